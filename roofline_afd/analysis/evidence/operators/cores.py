"""Measured rows of core attention, indexes and constant states: what they compute and move.

The same formulas count them as in serving. The core itself multiplies in the format a service takes by
default, whatever the cache holds: rows of latent decoding name the type of the cache in `precision`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.evidence.operators.formats import cache_peak, core_peak, row_format, row_peak
from roofline_afd.catalogue.attention import LATENT_BLOCK, Attention
from roofline_afd.catalogue.models import STATE_BYTES
from roofline_afd.catalogue.precision import precision
from roofline_afd.errors import InputError
from roofline_afd.physics import attention, index
from roofline_afd.serving.sizes import ACTIVATION_BYTES, Formats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.physics.arrays import FloatArray

LATENT, ROPE, LATENT_HEADS, LATENT_HEAD = 512, 64, 128, 128
"""Shape of the latent attention that `mla` and `dsa` rows time: DeepSeek-V3's, where no column says."""
CHOSEN = 2048
"""Entries that the index of DeepSeek-V3.2 and of GLM-5 picks, in their configurations `index_topk`."""
CONVOLUTION = 4
"""Taps of the convolution of a gated delta layer, in the configuration of Qwen3-Next."""


def _cache_bytes(row: Measurement) -> float:
    """Return the bytes of a cached element: as the row says, else as a service keeps it by default."""
    if row.texts["kv_precision"]:
        return row_format(row, "kv_precision").bytes
    return precision(Formats().cache).bytes


def _work(
    row: Measurement, flops: FloatArray, moved: FloatArray, *, tokens: float, **more: float
) -> dict[str, float]:
    if row.texts["precision"]:
        row_format(row, "precision")
    bandwidth = row.system.accelerator.memory_bytes_per_s
    counts = {"flops": float(flops), "bytes_moved": float(moved), "tokens": tokens, "depth": 0.0}
    return {"peak": core_peak(row), "memory_bandwidth": bandwidth, **counts, **more}


def _latent(row: Measurement) -> dict[str, float]:
    heads = row.numbers.get("query_heads", LATENT_HEADS)
    return {"heads": heads, "query_width": LATENT + ROPE, "value_width": LATENT, "entry": LATENT + ROPE}


def _grouped(row: Measurement) -> dict[str, float]:
    width = row.numbers["head_dim"]
    heads = {"heads": row.numbers["query_heads"], "query_width": width, "value_width": width}
    return {**heads, "entry": 2 * row.numbers["kv_heads"] * width}


def _decode(
    row: Measurement,
    shape: Mapping[str, float],
    *,
    cached_heads: float = 1,
    latent: bool = False,
    most: float = float("inf"),
) -> dict[str, float]:
    """Return the work of one step of a core."""
    heads, query, value, entry = (
        shape.get(key, 0) for key in ("heads", "query_width", "value_width", "entry")
    )
    new, context = row.numbers.get("query_tokens", 1), row.numbers["context_tokens"]
    entries = min(context, most)
    tokens = {"sequences": row.numbers["batch"], "query_tokens": new}
    flops = attention.decode_attention_flops(
        **tokens,
        heads=heads,
        query_width=query,
        value_width=value,
        entries=entries,
    )
    moved = attention.decode_attention_bytes(
        **tokens,
        entries=entries,
        kept_entries=context,
        entry_elements=entry,
        cache_bytes=_cache_bytes(row),
        query_elements=heads * query,
        output_elements=heads * value,
        activation_bytes=ACTIVATION_BYTES,
    )
    batch = row.numbers["batch"]
    return _work(
        row,
        flops,
        moved,
        tokens=batch * new,
        rows=heads * new / cached_heads,
        items=batch * (np.ceil(heads / LATENT_BLOCK) if latent else cached_heads),
        entries=entries,
        cache_peak=cache_peak(row),
        vector_bytes=batch * new * heads * (query + value) * ACTIVATION_BYTES,
    )


def _prefill(
    row: Measurement,
    shape: Mapping[str, float],
    *,
    most: float = float("inf"),
) -> dict[str, float]:
    """Return the work over one prompt, of whose `context_tokens` the last `tokens` are new."""
    heads, query, value, entry = (
        shape.get(key, 0) for key in ("heads", "query_width", "value_width", "entry")
    )
    new, every = _prompt(row)
    attended = attention.causal_entries(new_tokens=new, context=every - new, most=most)
    flops = attention.prefill_attention_flops(
        sequences=1,
        heads=heads,
        query_width=query,
        value_width=value,
        attended=attended,
    )
    moved = attention.prefill_attention_bytes(
        sequences=1,
        new_tokens=new,
        kept_entries=every,
        entry_elements=entry,
        cache_bytes=_cache_bytes(row),
        query_elements=heads * query,
        output_elements=heads * value,
        activation_bytes=ACTIVATION_BYTES,
    )
    return _work(row, flops, moved, tokens=new)


def _prompt(row: Measurement) -> tuple[float, float]:
    """Return new tokens of a prompt, and all of its context."""
    new = row.numbers["tokens"]
    every = row.numbers.get("context_tokens", new)
    if every < new:
        raise InputError(f"{row.place}: {new:g} new tokens are more than the {every:g} of the context")
    return new, every


def _index(row: Measurement) -> dict[str, float]:
    """Return the work of the logits of an index, whose keys are fp8 where no column says."""
    sequences = row.numbers.get("batch", 1.0)
    if row.operator == "dsa_decode_index":
        new, every = row.numbers.get("query_tokens", 1), row.numbers["context_tokens"]
        scored = new * every
    else:
        new, every = _prompt(row)
        scored = float(attention.causal_entries(new_tokens=new, context=every - new))
    width = row.numbers["head_dim"]
    form = row_format(row, "precision") if row.texts["precision"] else precision("fp8")
    flops = index.index_flops(
        sequences=sequences, index_heads=row.numbers["query_heads"], index_width=width, scored=scored
    )
    moved = index.index_bytes(
        sequences=sequences,
        new_tokens=new,
        index_entries=every,
        key_bytes=index.index_key_bytes(index_width=width, element_bytes=form.bytes),
        scored=scored,
    )
    accelerator = row.system.accelerator
    peak = row_peak(row) if row.texts["precision"] else accelerator.peak_flop_per_s.get("fp8")
    if peak is None:
        raise InputError(f"{row.place}: the catalogue has no fp8 rate of {accelerator.id}")
    return {
        "flops": float(flops),
        "bytes_moved": float(moved),
        "tokens": sequences * new,
        "depth": 0.0,
        "peak": peak,
        "memory_bandwidth": accelerator.memory_bytes_per_s,
    }


def _unfolded(row: Measurement) -> dict[str, float]:
    heads = {"heads": row.numbers["query_heads"], "query_width": LATENT_HEAD + ROPE}
    return {**heads, "value_width": LATENT_HEAD, "entry": LATENT + ROPE}


def _delta_layer(row: Measurement) -> Attention:
    width = int(row.numbers["head_dim"])
    return Attention(
        name="linear",
        type="gated-delta",
        layers=1,
        heads=int(row.numbers["kv_heads"]),
        key_heads=int(row.numbers["query_heads"]),
        head_dim=width,
        value_head_dim=width,
        conv_kernel=CONVOLUTION,
    )


def _convolution(row: Measurement) -> dict[str, float]:
    layer, batch = _delta_layer(row), row.numbers["batch"]
    moved = attention.convolution_bytes(
        sequences=batch,
        tokens=batch,
        channels=layer.conv_channels,
        kept_elements=layer.conv_elements,
        weights=layer.elementwise_parameters,
        weight_bytes=ACTIVATION_BYTES,
        activation_bytes=ACTIVATION_BYTES,
    )
    return _work(row, 2.0 * layer.elementwise_parameters * batch, moved, tokens=batch)


def _update(row: Measurement) -> dict[str, float]:
    layer, batch = _delta_layer(row), row.numbers["batch"]
    moved = attention.state_bytes(
        sequences=batch,
        query_tokens=1,
        state_elements=layer.matrix_elements,
        state_bytes=STATE_BYTES,
        vector_elements=layer.vector_elements,
        activation_bytes=ACTIVATION_BYTES,
    )
    return _work(row, layer.core_flops(0, sequences=batch), moved, tokens=batch)


CORES: Mapping[str, Callable[[Measurement], dict[str, float]]] = {
    "mla_decode": lambda row: _decode(row, _latent(row), latent=True),
    "gqa_decode": lambda row: _decode(row, _grouped(row), cached_heads=row.numbers["kv_heads"]),
    "dsa_decode_attention": lambda row: _decode(row, _latent(row), latent=True, most=CHOSEN),
    "dsa_decode_index": _index,
    "gqa_prefill": lambda row: _prefill(row, _grouped(row)),
    "mla_prefill": lambda row: _prefill(row, _unfolded(row)),
    "dsa_prefill_attention": lambda row: _prefill(row, _latent(row), most=CHOSEN),
    "dsa_prefill_index": _index,
    "linear_decode_convolution": _convolution,
    "linear_decode_update": _update,
}
"""Operator to the fields of `Work` of its rows."""
