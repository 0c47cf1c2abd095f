"""Fields of a `config.json` that leave the shape alone."""

from __future__ import annotations

IGNORED_ENDINGS = ("_token_id", "_token_index", "_placeholder", "tokens_per_image", "_dropout", "_eps")
_SHAPELESS = """
    architectures auto_map _name_or_path model_type dtype torch_dtype transformers_version use_cache
    quantization_config quantization compression_config
    tie_word_embeddings add_cross_attention attention_bias bad_words_ids
    begin_suppress_tokens chunk_size_feed_forward cross_attention_hidden_size diversity_penalty
    do_sample early_stopping encoder_no_repeat_ngram_size exponential_decay_length_penalty
    finetuning_task id2label is_decoder is_encoder_decoder label2id length_penalty max_length
    min_length no_repeat_ngram_size num_beam_groups num_beams num_return_sequences output_attentions
    output_hidden_states output_router_logits output_scores prefix problem_type pruned_heads
    remove_invalid_values repetition_penalty return_dict return_dict_in_generate suppress_tokens
    task_specific_params temperature tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p
    torchscript typical_p use_bfloat16 _attn_implementation initializer_range initializer_factor
    embedding_initializer_range rms_norm_epsilon layernorm_epsilon layer_norm_epsilon norm_eps
    hidden_act pretraining_tp ep_size aux_loss_alpha seq_aux router_aux_loss_coef router_z_loss_coef
    routed_scaling_factor scoring_func topk_method norm_topk_prob moe_router_dtype rope_theta
    rope_scaling rope_parameters rope_interleave partial_rotary_factor rotary_dim
    original_max_position_embeddings max_window_layers use_qk_norm qk_norm_type swiglu_limit
    swiglu_alpha ignore_index
"""
IGNORED = frozenset(_SHAPELESS.split())
"""Fields of every family: names, training, sampling, positions, norms, router scores."""
OUTER = IGNORED | {
    "text_config",
    "vision_config",
    "audio_config",
    "model_max_length",
    "use_unified_vision_chunk",
}
"""Fields around the `text_config` of a multimodal model, whose other parts are not counted."""
