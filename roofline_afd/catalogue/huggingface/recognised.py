"""Files that are no configuration of a mixture of experts we can serve, and why: told, not guessed at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.huggingface.fields import names_of
from roofline_afd.errors import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

BESIDE = "import the config.json beside it"
MAGIC = {
    b"GGUF": "a GGUF file of weights: import the config.json of the model it was made from",
    b"PK\x03\x04": f"a zip or PyTorch archive: {BESIDE}",
    b"\x80\x02": f"a pickle, which is never opened: {BESIDE}",
}
"""First bytes of other files."""
_RELATIVE = "learned relative positions and short convolutions make a cache not known here"
_LOOPS = "layers that are passed several times make a cache not known here"
_ENCODER = "it has an encoder beside the decoder, which no mode here serves"
_NGRAMS = "embeddings of n-grams and mixed residual streams are not known here"
UNSERVED = {
    "switch_transformers": _ENCODER,
    "nllb-moe": _ENCODER,
    "openai_privacy_filter": "it labels tokens and generates none",
    "dots3_note_vision_encoder": "it encodes images and generates no tokens",
    **dict.fromkeys(("inkling_mm_model", "inkling_text", "inkling2", "inkling2_text"), _RELATIVE),
    **dict.fromkeys(("inkling2_loop", "inkling2_loop_text"), _LOOPS),
    "jetmoe": "attention heads that are experts themselves are served by no mode here",
    "zaya": "attention in a convolved, compressed space is not known here",
    "doge": "attention masked by values, and experts looked up by product keys, are not known here",
    "lfm2_moe": "layers that are short convolutions have a state not known here",
    **dict.fromkeys(("qwen4_exp", "qwen4_exp_text"), _NGRAMS),
    **dict.fromkeys(("unlimited_ocr", "unlimited_ocr_text"), "windows with a reference are not known here"),
    **dict.fromkeys(
        ("ernie4_5_vl_moe", "ernie4_5_vl_moe_text"), "experts that differ by modality are not known here"
    ),
    **dict.fromkeys(("glm5_next", "glm5_next_text"), "an index of pooled keys is a cache not known here"),
}
"""Types that have experts, and what about them is not known here."""
KINDS = (
    ("peft_type", "an adapter, not a model: import the config.json of the model it is for"),
    ("weight_map", f"an index of weights: {BESIDE}"),
)
"""Fields that tell what else a file is."""
SIZELESS = (
    ("n_layers", "a params.json of the maker's own, not a config.json: import the one for transformers"),
    ("tokenizer_class", f"a configuration of a tokenizer, not of a model: {BESIDE}"),
    ("chat_template", f"a configuration of a tokenizer, not of a model: {BESIDE}"),
    ("_from_model_config", f"a generation_config.json, not a model's: {BESIDE}"),
    ("do_sample", f"a generation_config.json, not a model's: {BESIDE}"),
    ("quantization", f"a file about quantisation: {BESIDE}, which reads this one too"),
)
"""The same of files that name no width of a model."""
DRAFT = (
    "a draft head, not a model: import the model it drafts for; --draft-tokens and --accept-length say what "
    "it adds"
)
DRAFTS = ("eagle", "medusa", "speculator", "dflash", "nextn_draft")


def other_file(text: bytes | str) -> str:
    """Return what a file is by its first bytes; empty where it may be a configuration.

    Parameters
    ----------
    text : bytes or str
        The file.

    Returns
    -------
    str
        Part of a sentence.
    """
    start = text[:16].encode("utf-8", "replace") if isinstance(text, str) else text[:16]
    for magic, what in MAGIC.items():
        if start.startswith(magic):
            return what
    if len(start) > 8 and start[8:9] == b"{" and not start[:1].isspace() and start[:1] != b"{":  # noqa: PLR2004
        return "a safetensors file, which holds weights: import the config.json beside it"
    return ""


def other_kind(data: Mapping[str, Any], inner: Mapping[str, Any]) -> str:
    """Return what a JSON file is if no model that can be served; empty where it may be one.

    Parameters
    ----------
    data : mapping
        Fields of the file.
    inner : mapping
        Those of the language model within it.

    Returns
    -------
    str
        Part of a sentence.
    """
    sized = "hidden_size" in inner or "d_model" in inner
    told: tuple[tuple[str, str], ...] = KINDS if sized else KINDS + SIZELESS
    for key, what in told:
        if key in data:
            return what
    names = names_of(data, inner)
    if "speculators_config" in data or any(word in name.lower() for name in names for word in DRAFTS):
        return DRAFT
    return next((f"{shown(name)}: {UNSERVED[name]}" for name in names if name in UNSERVED), "")
