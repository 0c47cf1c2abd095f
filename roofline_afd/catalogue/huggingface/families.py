"""Families of mixture-of-experts models on Hugging Face, and how each spells its shape in `config.json`."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.huggingface import general, grouped, hybrid, latent, windowed
from roofline_afd.catalogue.huggingface.fields import MAX_COUNT, names_of, refuse
from roofline_afd.errors import nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from roofline_afd.catalogue.huggingface.fields import Fields, Shape, Tables

MAX_LAYERS = 2_000
SHOWN_NAMES = 12
"""Names of fields or families that a message lists."""


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """How one family of models spells its shape."""

    names: str
    """Values of model_type and architectures."""
    layers: Callable[[Fields, Shape], Tables]
    """Reads the mix of layers; may complete the shape."""
    spelling: str
    """ours=theirs, or one of several a|b; !n where a null field means n, ?n where a missing one does too."""
    gated: tuple[str, ...] = ("silu",)
    """Activations whose experts have three matrices in this family."""
    plain: tuple[str, ...] = ()
    """Activations whose experts have two."""
    activation: str = "hidden_act"
    tied: bool | None = False
    """Whether embeddings are tied where the file does not say; None: it must."""
    ignored: str = ""


_SIZES = (
    "hidden_size=hidden_size layers=num_hidden_layers vocab_size=vocab_size "
    "max_context_tokens=max_position_embeddings "
)
_DEEPSEEK = (
    _SIZES + "routed_experts=n_routed_experts|num_experts|num_local_experts top_k=num_experts_per_tok "
    "expert_intermediate=moe_intermediate_size "
    "shared_experts=n_shared_experts!0 mtp_layers=num_nextn_predict_layers?0 "
)
_GROUPS = "expert_groups=n_group?1 groups_per_token=topk_group?1 "
_MIXTRAL = (
    _SIZES
    + "routed_experts=num_local_experts top_k=num_experts_per_tok expert_intermediate=intermediate_size "
)
_QWEN = (
    _SIZES + "routed_experts=num_experts|num_local_experts top_k=num_experts_per_tok "
    "expert_intermediate=moe_intermediate_size "
)

_GENERAL = (
    "hidden_size=hidden_size layers=num_hidden_layers vocab_size=vocab_size "
    "max_context_tokens=max_position_embeddings|model_max_length "
    "routed_experts=num_experts|num_local_experts|n_routed_experts|moe_num_experts "
    "top_k=num_experts_per_tok|num_experts_per_token|moe_topk|moe_k|top_k_experts "
    "expert_intermediate=moe_intermediate_size>intermediate_size "
    "shared_experts=n_shared_experts|num_shared_experts|moe_num_shared_experts?0 "
    "shared_expert_intermediate="
    "shared_expert_intermediate_size|shared_experts_intermediate_size"
    "|shared_intermediate_size|share_expert_dim?0 "
    "mtp_layers=num_nextn_predict_layers|num_mtp_layers|num_mtp_modules?0 residual_streams=hc_mult?1 "
    "dispatch_width=moe_hidden_size?0 "
    "dense_intermediate=dense_intermediate_size>intermediate_size?0 "
    "expert_groups=n_group|num_expert_group|num_expert_groups?1 "
    "groups_per_token=topk_group|num_limited_groups?1 "
)

FAMILIES = (
    Family(
        names="afmoe",
        layers=general.gated,
        spelling=_GENERAL,
    ),
    Family(
        names="axk1 dots1 beam cohere2_moe exaone_moe flex_olmo flint glm4v_moe glm4v_moe_text granitemoe "
        "granitemoe_swa granitemoehybrid granitemoeshared hy_v3 kolibri1 mellum mistral4 sarvam_mla "
        "sarvam_moe solar_open aria aria_text laguna lara_mini qwen3_omni_moe_text bailing_hybrid "
        "mistral_large4_text muse_spark_text axk2 dots3_note_text hy_v4 hy_v4_vl_text "
        "step3p5 step3p7 Step3p7FlashForCausalLM minimax_m3_vl_text deepseek_ocr2_text "
        "qwen3_omni_moe_talker_text",
        layers=general.general,
        spelling=_GENERAL,
        ignored="prefix_dense_sliding_window_pattern enable_moe_fp32_combine gated_norm_rank kda_safe_gate "
        "kda_lower_bound short_conv_kernel_size layer_group_size swa_rope_theta query_pre_attn_scalar "
        "linear_lower_bound time_step_limit mamba_expand mamba_chunk_size hc_sinkhorn_iters",
        gated=("silu", "swiglu", "swigluoai", "gelu", "gelu_pytorch_tanh"),
    ),
    Family(
        names="deepseek_v2 deepseek_v3 deepseek_v32 kimi_k2 kimi_k25 KimiK25ForConditionalGeneration "
        "glm_moe_dsa glm4_moe_lite DeepseekV2ForCausalLM "
        "DeepseekV3ForCausalLM DeepseekV32ForCausalLM GlmMoeDsaForCausalLM Glm4MoeLiteForCausalLM",
        layers=latent.deepseek,
        spelling=_DEEPSEEK + _GROUPS + "dense_intermediate=intermediate_size",
        ignored="head_dim index_share_for_mtp_iteration index_skip_topk_offset indexer_rope_interleave",
    ),
    Family(
        names="deepseek_v4 DeepseekV4ForCausalLM",
        layers=latent.deepseek_v4,
        spelling=_DEEPSEEK + "hash_routed_layers=num_hash_layers?0 residual_streams=hc_mult",
        ignored="compress_rates expert_dtype hc_sinkhorn_iters compress_rope_theta",
    ),
    Family(
        names="kimi_linear kimi_k3 KimiLinearForCausalLM KimiK3ForConditionalGeneration",
        layers=hybrid.kimi_linear,
        spelling="hidden_size=hidden_size layers=num_hidden_layers vocab_size=vocab_size "
        "max_context_tokens=max_position_embeddings>model_max_length routed_experts=num_experts "
        "top_k=num_experts_per_token "
        "expert_intermediate=moe_intermediate_size shared_experts=num_shared_experts!0 "
        "mtp_layers=num_nextn_predict_layers?0 dense_intermediate=intermediate_size "
        "dispatch_width=routed_expert_hidden_size?0 expert_groups=num_expert_group!1 "
        "groups_per_token=topk_group!1",
        gated=("silu", "situ"),
        ignored="activation_situ_beta activation_situ_linear_beta attn_res_block_size latent_moe_use_norm "
        "mla_use_nope moe_renormalize moe_router_activation_func use_grouped_topk head_dim model_max_length",
    ),
    Family(
        names="glm4_moe Glm4MoeForCausalLM",
        layers=grouped.glm4,
        spelling=_DEEPSEEK + _GROUPS + "dense_intermediate=intermediate_size",
    ),
    Family(
        names="bailing_moe bailing_moe_v2 BailingMoeV2ForCausalLM",
        layers=grouped.glm4,
        spelling=_QWEN + _GROUPS + "shared_experts=num_shared_experts!0 dense_intermediate=intermediate_size "
        "mtp_layers=num_nextn_predict_layers?0",
        ignored="use_bias use_qkv_bias use_rmsnorm norm_softmax norm_head moe_router_enable_expert_bias "
        "score_function router_dtype mtp_loss_scaling_factor",
    ),
    Family(
        names="qwen2_moe Qwen2MoeForCausalLM",
        layers=grouped.qwen,
        spelling=_QWEN + "shared_expert_intermediate=shared_expert_intermediate_size "
        "dense_intermediate=intermediate_size?0",
    ),
    Family(
        names="qwen3_moe qwen3_vl_moe qwen3_vl_moe_text Qwen3MoeForCausalLM "
        "Qwen3VLMoeForConditionalGeneration",
        layers=grouped.qwen,
        spelling=_QWEN + "dense_intermediate=intermediate_size?0",
    ),
    Family(
        names="qwen3_next qwen3_5_moe qwen3_5_moe_text Qwen3NextForCausalLM "
        "Qwen3_5MoeForConditionalGeneration",
        layers=hybrid.qwen_hybrid,
        spelling=_QWEN + "shared_expert_intermediate=shared_expert_intermediate_size "
        "mtp_layers=mtp_num_hidden_layers?0 dense_intermediate=intermediate_size?0",
        ignored="mtp_use_dedicated_embeddings mamba_ssm_dtype",
    ),
    Family(names="mixtral MixtralForCausalLM", layers=grouped.plain, spelling=_MIXTRAL),
    Family(
        names="phimoe PhimoeForCausalLM PhiMoEForCausalLM",
        layers=grouped.plain,
        spelling=_MIXTRAL,
        ignored="lm_head_bias input_jitter_noise router_jitter_noise",
    ),
    Family(
        names="olmoe OlmoeForCausalLM",
        layers=grouped.plain,
        spelling=_SIZES + "routed_experts=num_experts top_k=num_experts_per_tok "
        "expert_intermediate=intermediate_size",
        ignored="clip_qkv",
    ),
    Family(
        names="arctic ArcticForCausalLM",
        layers=grouped.arctic,
        spelling=_MIXTRAL,
        ignored="moe_eval_capacity_factor moe_min_capacity moe_token_dropping moe_train_capacity_factor "
        "enable_expert_tensor_parallelism quantization",
    ),
    Family(
        names="dbrx DbrxForCausalLM",
        layers=grouped.dbrx,
        spelling="hidden_size=d_model layers=n_layers vocab_size=vocab_size max_context_tokens=max_seq_len",
        ignored="emb_pdrop resid_pdrop",
    ),
    Family(
        names="llama4 llama4_text Llama4ForConditionalGeneration Llama4ForCausalLM",
        layers=windowed.llama4,
        spelling=_MIXTRAL + "dense_intermediate=intermediate_size_mlp",
        ignored="for_llm_compressor attn_temperature_tuning floor_scale attn_scale router_jitter_noise",
    ),
    Family(
        names="gpt_oss GptOssForCausalLM",
        layers=windowed.by_window,
        spelling=_MIXTRAL,
        ignored="experts_per_token initial_context_length",
    ),
    Family(
        names="minimax_m1 minimax minimax_text_01 MiniMaxM1ForCausalLM MiniMaxText01ForCausalLM",
        layers=hybrid.minimax_m1,
        spelling=_MIXTRAL,
        ignored="postnorm layernorm_full_attention_alpha layernorm_full_attention_beta "
        "layernorm_linear_attention_alpha layernorm_linear_attention_beta layernorm_mlp_alpha "
        "layernorm_mlp_beta shared_moe_mode router_jitter_noise attention_type block block_size",
    ),
    Family(
        names="minimax_m2 MiniMaxM2ForCausalLM",
        layers=grouped.minimax_m2,
        spelling=_MIXTRAL + "mtp_layers=num_mtp_modules?0",
        ignored="use_routing_bias layernorm_full_attention_beta layernorm_mlp_beta",
    ),
    Family(
        names="minimax_m3 MiniMaxM3ForCausalLM",
        layers=grouped.minimax_m3,
        spelling=_MIXTRAL + "mtp_layers=num_nextn_predict_layers?0 shared_experts=n_shared_experts!0 "
        "shared_expert_intermediate=shared_intermediate_size!0 dense_intermediate=dense_intermediate_size",
        gated=("swigluoai",),
        ignored="num_mtp_modules moe_intermediate_size use_gemma_norm use_routing_bias",
    ),
    Family(
        names="step3 step3_text Step3TextForCausalLM Step3VLForConditionalGeneration",
        layers=grouped.step3,
        spelling="hidden_size=hidden_size layers=num_hidden_layers vocab_size=vocab_size "
        "max_context_tokens=max_position_embedding routed_experts=moe_num_experts top_k=moe_top_k "
        "expert_intermediate=moe_intermediate_size shared_expert_intermediate=share_expert_dim "
        "dense_intermediate=intermediate_size",
        ignored="max_seq_len use_moe norm_expert_weight moe_layer_offset use_im_start_end",
    ),
    Family(
        names="ernie4_5_moe Ernie4_5_MoeForCausalLM",
        layers=grouped.ernie,
        spelling=_SIZES
        + "routed_experts=moe_num_experts top_k=moe_k expert_intermediate=moe_intermediate_size "
        "shared_experts=moe_num_shared_experts!0 dense_intermediate=intermediate_size "
        "mtp_layers=num_nextn_predict_layers?0",
        tied=None,
        ignored="use_bias moe_capacity moe_gate moe_use_aux_free moe_norm_min compression_ratio "
        "moe_dropout_prob",
    ),
    Family(
        names="hunyuan hunyuan_v1_moe HunYuanMoEV1ForCausalLM HunYuanForCausalLM HunYuanMoeForCausalLM",
        layers=grouped.hunyuan,
        spelling=_SIZES,
        tied=None,
        ignored="moe_drop_tokens moe_random_routing_dropped_token capacity_factor mlp_bias cla_share_factor "
        "group_limited_greedy use_rotary_pos_emb norm_type",
    ),
    Family(
        names="longcat_flash LongcatFlashForCausalLM",
        layers=latent.longcat,
        spelling="hidden_size=hidden_size layers=num_layers vocab_size=vocab_size "
        "max_context_tokens=max_position_embeddings routed_experts=n_routed_experts "
        "zero_experts=zero_expert_num!0 "
        "top_k=moe_topk expert_intermediate=expert_ffn_hidden_size dense_intermediate=ffn_hidden_size "
        "mtp_layers=num_nextn_predict_layers?0",
        ignored="mla_scale_q_lora mla_scale_kv_lora router_bias head_dim",
    ),
    Family(
        names="jamba JambaForCausalLM",
        layers=hybrid.jamba,
        spelling=_SIZES + "routed_experts=num_experts top_k=num_experts_per_tok "
        "expert_intermediate=intermediate_size",
        ignored="mamba_conv_bias mamba_inner_layernorms mamba_proj_bias use_mamba_kernels num_logits_to_keep "
        "calc_logits_for_entire_prompt n_ctx",
    ),
    Family(
        names="nemotron_h NemotronHForCausalLM",
        layers=hybrid.nemotron,
        spelling=_DEEPSEEK.replace("num_hidden_layers", "num_hidden_layers?1")
        + _GROUPS
        + "dense_intermediate=intermediate_size?0 "
        "shared_expert_intermediate=moe_shared_expert_intermediate_size!0",
        gated=(),
        plain=("relu2",),
        activation="mlp_hidden_act",
        ignored="chunk_size mamba_hidden_act mamba_ssm_cache_dtype mtp_hybrid_override_pattern "
        "mtp_layers_block_type num_logits_to_keep rescale_prenorm_residual residual_in_fp32 "
        "time_step_floor time_step_max "
        "time_step_min time_step_limit use_conv_bias use_mamba_kernels moe_shared_expert_overlap",
    ),
    Family(
        names="mimo_v2_flash MiMoV2FlashForCausalLM",
        layers=windowed.mimo,
        spelling=_DEEPSEEK.replace("n_shared_experts!0", "n_shared_experts?0")
        + _GROUPS
        + "dense_intermediate=intermediate_size",
        ignored="add_full_attention_sink_bias add_swa_attention_sink_bias attention_value_scale "
        "swa_rope_theta",
    ),
    Family(
        names="gemma4 gemma4_text Gemma4ForConditionalGeneration Gemma4ForCausalLM",
        layers=windowed.gemma4,
        spelling=_SIZES + "routed_experts=num_experts top_k=top_k_experts "
        "expert_intermediate=moe_intermediate_size shared_expert_intermediate=intermediate_size",
        gated=("gelu_pytorch_tanh",),
        activation="hidden_activation",
        tied=None,
        ignored="final_logit_softcapping use_bidirectional_attention vocab_size_per_layer_input",
    ),
)


def family_of(data: Mapping[str, Any], inner: Mapping[str, Any]) -> Family:
    """Find the family of a file by its model_type and architectures.

    Parameters
    ----------
    data : mapping
        Fields of the file.
    inner : mapping
        Those of the language model within it.

    Returns
    -------
    Family
        The one that all known names agree on.

    Raises
    ------
    InputError
        If they do not agree, or none is known: says then whether the file looks dense, and which fields it
        has.
    """
    given = names_of(data, inner)
    found = {id(family): family for family in FAMILIES for name in given if name in family.names.split()}
    if len(found) > 1:
        refuse(f"{' and '.join(map(shown, dict.fromkeys(given)))} name different families of models")
    if not found:
        refuse(_unknown_family(given[0] if given else "", inner))
    return next(iter(found.values()))


def _unknown_family(name: str, inner: Mapping[str, Any]) -> str:
    """Say that a file is of no known family, whether it looks dense, and which fields it has."""
    keys = sorted(inner)
    seen = ", ".join(shown(key).strip("'") for key in keys[:SHOWN_NAMES])
    more = f" and {len(keys) - SHOWN_NAMES} more" if len(keys) > SHOWN_NAMES else ""
    dense = not any(re.search("expert|moe", key) for key in keys)
    what = "no field speaks of experts, and" if dense else "it has experts, but"
    known = {known for family in FAMILIES for known in family.names.split() if known.islower()}
    hint = nearest(name[:80], known) if name else f"; valid: {', '.join(sorted(known)[:SHOWN_NAMES])}, ..."
    return (
        f"{what} {shown(name) if name else 'a file without model_type'} is no known family of "
        f"mixture-of-experts models{hint}; fields seen: {seen or 'none'}{more}"
    )


def shape_of(fields: Fields, family: Family) -> Shape:
    """Read the numbers that a family spells one to one.

    Parameters
    ----------
    fields : Fields
        Of the language model; what is wrong with them lands there.
    family : Family
        Its family.

    Returns
    -------
    dict
        Record keys to numbers.
    """
    shape: Shape = {}
    for pair in family.spelling.split():
        ours, _, theirs = pair.partition("=")
        limit = MAX_LAYERS if ours == "layers" else MAX_COUNT
        found = re.fullmatch(r"([\w|>]+)([!?]?)(\d*)", theirs)
        assert found is not None  # noqa: S101 - spellings above are written so
        keys, mark, absent = found.groups()
        shape[ours] = fields.number(
            fields.spelled(keys),
            null=int(absent) if mark else None,
            missing=int(absent) if mark == "?" else None,
            minimum=0 if absent == "0" or ours == "hash_routed_layers" else 1,
            maximum=limit,
        )
    if shape.get("mtp_layers") == 0 and not any("mtp" in key or "nextn" in key for key in fields.data):
        del shape["mtp_layers"]  # a file that does not speak of them does not say that there are none
    activation = fields.value(family.activation)
    if activation is None or activation in family.gated:
        shape["expert_matrices"] = 2 if family.plain and not family.gated else 3
    elif activation in family.plain:
        shape["expert_matrices"] = 2
    else:
        valid = ", ".join((*family.gated, *family.plain))
        fields.fault(f"{family.activation}: {shown(activation)} is not known of this family; valid: {valid}")
    return shape
