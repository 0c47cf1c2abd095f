"""What a field that no family reads can mean, judged by its name and value: nothing harmless stops a file."""

from __future__ import annotations

import re
from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHAPES = _words("""
    attention attn block blocks branch cache channels compress compression compressed conv cross decoder depth
    dim dims encoder expand expansion expert experts ffn freq frequency gate gated gating group groups hc head
    heads hidden hybrid index indexer intermediate interval kernel kv latent layer layers linear lora loop
    lowrank mamba mixer mla mlp moe mtp ngram nextn parallel passes pattern period ple pool query rank rate
    rates ratio recurrent share shared sharing size sizes sparse ssm state states step stream streams stride
    swa topk types vocab width window
""")
"""Words of fields that may say how many, how wide, or which layers."""
FORMATS = _words("bits bitwidth dtype precision quant quantization quantized format")
"""Words of fields that may say in which format."""
HARMLESS = _words("""
    act activation alpha aux beta bias bos cap clip combine deviation dropout drop embeddings eos eps epsilon
    factor floor id ids implementation impl init initializer jitter label logit logits loss magnitude mask max
    method multiplier noise norm normalize output pad position positions prob processor range renormalize
    rope rotary route router routed sampling scale scaling score scoring seed selection sep sink softcap
    softcapping std strategy temperature theta threshold token tokens tokenizer train training unsloth version
    weight weights
""")
"""Words of fields about scores, scales, positions, training and sampling."""
HARD = _words("""
    dim dims rank heads size sizes width layers experts window lora latent groups channels intermediate vocab
    streams kernel ratio expand expansion
""")
"""Words of numbers that count elements, whatever else a name says."""
PLACES = _words("position positions rope rotary theta token tokens")
"""Words of numbers about places in a text."""
MODALITIES = _words("""
    image vision video audio speech patch projector projection spatial out merged downsample timestamp
""")
FRACTIONS = _words("ratio expand expansion")
WIDTHS = _words("ffn mlp dim size width")


def may_change(name: str, value: Any) -> bool:  # noqa: ANN401 - any field
    """Return whether a field may change shape, precision or cache of a model, as far as can be told.

    Parameters
    ----------
    name : str
        Of the field.
    value : object
        As it stands in the file.

    Returns
    -------
    bool
        False where it is empty, off, or about something else.
    """
    words = set(re.split(r"[_\W]+", name.lower()))
    off = value is None or value is False or value in ("", 0)
    if off or value in ([], {}) or words & MODALITIES:
        return False
    if words & FORMATS:
        return not words & HARMLESS
    if isinstance(value, float) and not value.is_integer():
        return bool(words & FRACTIONS) or ("multiplier" in words and bool(words & WIDTHS))
    counts = not isinstance(value, bool | str) and bool(words & HARD) and not words & PLACES
    return counts or (bool(words & SHAPES) and not words & HARMLESS)
