"""Operators of the layers that mix a sequence: products, core attention or states, the exchange of heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.catalogue.collectives import ALL_GATHER, ALL_REDUCE
from roofline_afd.catalogue.models import STATE_BYTES
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.products import LATENT_UNFOLDING, products_of, turns_latent
from roofline_afd.errors import InputError
from roofline_afd.physics import attention, collectives, index, passes
from roofline_afd.serving.collectives import all_reduce, moved
from roofline_afd.serving.sizes import ACTIVATION_BYTES, any_shared, where_shared
from roofline_afd.serving.timing import Clock, Operator, operand_of, peak_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.catalogue.attention import Attention
    from roofline_afd.catalogue.products import Product
    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.sizes import Layers, Sizes

SUM_BYTES = 4.0
"""Bytes of the sum of the weights of a query, by which parts of its result are put together [B]."""


def attention_operators(
    layers: Layers,
    whole: Attention,
    phases: tuple[Sizes, ...],
    *,
    weights: bool = True,
    caches: bool = True,
) -> Iterator[Operator]:
    """Yield the operators of one kind of sequence-mixing layers, products of all phases as one.

    Parameters
    ----------
    layers : Layers
        Model, systems, formats, efficiencies.
    whole : Attention
        The kind, with all its heads.
    phases : tuple of Sizes
        What the step decodes, and prompts it computes besides.
    weights, caches : bool
        Whether the device has the products with weights, and whether it has caches and states, with the
        products that turn queries and results of a latent.

    Yields
    ------
    Operator
        Times are of one layer, on one of the devices that share heads.

    Raises
    ------
    InputError
        If devices share caches while prompts are computed, of which no kernel is known here.
    """
    clock = Clock(layers, "attention")
    _check_phases(layers, phases)
    layer = whole.split(layers.tensor_parallel)
    core = whole.split(layers.tensor_parallel // (1 if whole.constant_state else layers.context_parallel))
    assert layer is not None  # noqa: S101 - checked when the layers were made
    assert core is not None  # noqa: S101 - likewise
    for item, tokens in _products(layers, layer, phases):
        if caches if turns_latent(layer, item) else weights:
            yield clock.product(item, layer.name, layer.layers, tokens=tokens)
    if weights:
        yield from _small_kernels(clock, layer, phases)
    if caches:
        yield from _cores(clock, layer, core, phases)
    if weights and any_shared(layers.tensor_parallel):
        every: FloatArray = sum(sizes.tokens for sizes in phases)
        yield _gathering(layers, layer, every)


def _products(
    layers: Layers, layer: Attention, phases: tuple[Sizes, ...]
) -> Iterator[tuple[Product, FloatArray]]:
    """Yield the products with weights, and the tokens of all phases that each is for."""
    products: dict[str, Product] = {}
    every: dict[str, FloatArray] = {}
    for sizes in phases:
        for item in products_of(layer, layers.model.hidden_size, absorbed=_absorbed(layer, sizes)):
            tokens = sizes.tokens
            if item.name == LATENT_UNFOLDING:  # the cached part of a prompt is unfolded too
                tokens = np.multiply(sizes.sequences, np.add(sizes.context, sizes.query_tokens))
            every[item.name] = every[item.name] + tokens if item.name in every else tokens
            products[item.name] = item
    return zip(products.values(), every.values(), strict=True)


def _cores(clock: Clock, layer: Attention, core: Attention, phases: tuple[Sizes, ...]) -> Iterator[Operator]:
    """Yield what reads caches and states: convolutions, index, core attention, and what sharers exchange."""
    layers = clock.layers
    peak = peak_of(layers.attention, layers.formats.core, "bf16")
    for sizes in phases:
        if layer.has_elementwise:
            yield _convolution(clock, layer, sizes, peak=peak)
        if layer.index_heads:
            yield from _index_operators(clock, layer, sizes)
        yield _core_operator(clock, core, sizes, absorbed=_absorbed(layer, sizes), peak=peak)
        yield from _parts_of_caches(layers, core, sizes)


def _check_phases(layers: Layers, phases: tuple[Sizes, ...]) -> None:
    if any_shared(layers.context_parallel) and any(sizes.prefill for sizes in phases):
        raise InputError("--context-parallel is for decoding: prompts are computed without it")


def _small_kernels(clock: Clock, layer: Attention, phases: tuple[Sizes, ...]) -> Iterator[Operator]:
    """Yield the small kernels of the attention side: passes over what tokens have, and once a fixed time."""
    layers = clock.layers
    form = operand_of(layers.attention, layers.formats.others, layers.formats.others)
    narrow = precision(form).bytes < ACTIVATION_BYTES
    sent = precision(layers.formats.dispatch).bytes < ACTIVATION_BYTES and layers.model.moe_layers > 0
    for sizes in phases:
        absorbed = _absorbed(layer, sizes)
        items = products_of(layer, layers.model.hidden_size, absorbed=absorbed)
        read = sum(item.k * item.groups for item in items) if narrow else 0
        query = 0 if layer.constant_state else layer.heads * layer.core_widths(absorbed=absorbed)[0]
        keys = query if layer.type == "mla" and not absorbed else 0
        counted = {
            "tokens": sizes.tokens,
            "width": layers.model.hidden_size,
            "quantised_elements": read + (layers.model.dispatch_width if sent else 0),
            "operand_bytes": precision(form).bytes,
            "turned_elements": query + keys,
        }
        yield clock.streaming(
            "attention_other",
            layer.name,
            layer.layers,
            microseconds=layers.other_us if sizes is phases[0] else 0.0,
            bytes_moved=passes.elementwise_bytes(**counted),
            counted=counted,
        )


def _absorbed(layer: Attention, sizes: Sizes) -> bool:
    """Whether latents are attended to as they are: in decoding, and where few tokens meet a long cache."""
    if not sizes.prefill or layer.index_top_k is not None:
        return True
    return bool(np.any(sizes.context)) and bool(np.max(sizes.query_tokens) < layer.unfolding_pays_from())


def _convolution(clock: Clock, layer: Attention, sizes: Sizes, *, peak: float) -> Operator:
    """Return the short convolution before a constant state; over a prompt it streams like the update."""
    counted = {
        "sequences": sizes.sequences,
        "tokens": sizes.tokens,
        "channels": layer.conv_channels,
        "kept_elements": layer.conv_elements,
        "weights": layer.elementwise_parameters,
        "weight_bytes": precision(clock.layers.formats.others).bytes,
        "activation_bytes": ACTIVATION_BYTES,
    }
    return clock.time(
        "convolution",
        layer.name,
        layer.layers,
        flops=np.multiply(2.0 * layer.elementwise_parameters, sizes.tokens),
        bytes_moved=attention.convolution_bytes(**counted),
        tokens=sizes.tokens,
        depth=0,
        peak=peak,
        kernel="state" if sizes.prefill else "convolution",
        counted=counted,
    )


def _index_operators(clock: Clock, layer: Attention, sizes: Sizes) -> Iterator[Operator]:
    """Yield the logits of an index over all its keys, and the choice of the best."""
    context, new = sizes.context, sizes.query_tokens
    parts = clock.layers.context_parallel
    if sizes.prefill:  # the keys of the prompt itself are written, then read
        scored = layer.prefill_entries(new, context)[1]
        cached = layer.index_entries(np.add(context, new))
    else:
        cached = np.divide(layer.index_entries(context), parts)
        scored = np.multiply(new, cached)
    keys = {
        "sequences": sizes.sequences,
        "new_tokens": np.divide(new, layer.compress_ratio or 1),
        "index_entries": cached,
        "key_bytes": layer.index_key_bytes,
        "scored": scored,
    }
    heads = {"index_heads": layer.index_heads or 0, "index_width": layer.index_width}
    scores = {"sequences": sizes.sequences, "scored": scored}
    yield clock.time(
        "index_logits",
        layer.name,
        layer.layers,
        flops=index.index_flops(**scores, **heads),
        bytes_moved=index.index_bytes(**keys),
        tokens=sizes.tokens,
        depth=0,
        peak=peak_of(clock.layers.attention, layer.index_precision, layer.index_precision),
        kernel="index",
        counted={**keys, **heads, "element_bytes": precision(layer.index_precision).bytes},
    )
    blocks = layer.index_block_tokens or 1
    scores["scored"] = np.divide(scored, blocks)
    yield clock.time(
        "index_choice",
        layer.name,
        layer.layers,
        flops=0.0,
        bytes_moved=index.choice_bytes(**scores),
        tokens=sizes.tokens,
        depth=np.divide(cached, blocks),
        peak=peak_of(clock.layers.attention, "bf16", "bf16"),
        kernel="top_k",
        counted=scores,
    )


def _core_operator(clock: Clock, layer: Attention, sizes: Sizes, *, absorbed: bool, peak: float) -> Operator:
    """Return core attention, or the update of a constant state."""
    tokens = {"sequences": sizes.sequences, "query_tokens": sizes.query_tokens}
    work: dict[str, Any] = {"tokens": sizes.tokens, "depth": 0, "peak": peak}
    counted: dict[str, Any]
    if layer.constant_state:
        counted = {
            **tokens,
            "state_elements": layer.matrix_elements,
            "state_bytes": STATE_BYTES,
            "vector_elements": layer.vector_elements,
            "activation_bytes": ACTIVATION_BYTES,
        }
        work |= {"flops": layer.core_flops(0, **tokens), "bytes_moved": attention.state_bytes(**counted)}
    else:
        count = _prefill_core if sizes.prefill else _decode_core
        counts, counted = count(clock.layers, layer, sizes, absorbed=absorbed)
        work |= counts
    prompt = sizes.prefill and not layer.constant_state
    return clock.time(
        "core_attention",
        layer.name,
        layer.layers,
        kernel="prefill_attention" if prompt else layer.kernel,
        form="" if prompt or layer.constant_state else clock.layers.formats.cache,
        counted=counted,
        **work,
    )


def _core_vectors(layers: Layers, layer: Attention, *, absorbed: bool) -> tuple[dict[str, Any], ...]:
    """Return what the operations and the bytes of core attention depend on besides tokens."""
    query, value = layer.core_widths(absorbed=absorbed)
    widths = {"heads": layer.heads, "query_width": query, "value_width": value}
    vectors = {
        "entry_elements": layer.entry_elements,
        "cache_bytes": precision(layers.formats.cache).bytes,
        "query_elements": layer.heads * query,
        "output_elements": layer.heads * value,
        "activation_bytes": ACTIVATION_BYTES,
    }
    return widths, vectors


def _decode_core(
    layers: Layers, layer: Attention, sizes: Sizes, *, absorbed: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the work of core attention in decoding, and what it was counted from."""
    widths, vectors = _core_vectors(layers, layer, absorbed=absorbed)
    tokens = {"sequences": sizes.sequences, "query_tokens": sizes.query_tokens}
    parts = layers.context_parallel
    cached = {"entries": np.divide(layer.attended_entries(sizes.context), parts)}
    kept = np.divide(layer.kept_entries(sizes.context), parts)
    heads = {"cached_heads": layer.cached_heads}
    counted = {**tokens, **cached, **widths, **vectors, **heads, "kept_entries": kept}
    if layer.chunk_tokens:
        counted |= {"chunk_context": sizes.context, "chunk_tokens": layer.chunk_tokens}
    elements = vectors["query_elements"] + vectors["output_elements"]
    work = {
        "flops": attention.decode_attention_flops(**tokens, **cached, **widths),
        "bytes_moved": attention.decode_attention_bytes(**tokens, **cached, **vectors, kept_entries=kept),
        "rows": np.divide(np.multiply(layer.heads, sizes.query_tokens), layer.cached_heads),
        "items": np.multiply(sizes.sequences, layer.work_items),
        "cache_peak": layers.attention.accelerator.peak_flop_per_s.get(layers.formats.cache, 0.0),
        "vector_bytes": np.multiply(sizes.tokens, elements * ACTIVATION_BYTES),
        **cached,
    }
    return work, counted


def _prefill_core(
    layers: Layers, layer: Attention, sizes: Sizes, *, absorbed: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the work of core attention over prompts, and what it was counted from."""
    widths, vectors = _core_vectors(layers, layer, absorbed=absorbed)
    attended, _ = layer.prefill_entries(sizes.query_tokens, sizes.context)
    every = np.add(sizes.context, sizes.query_tokens)
    kept = layer.kept_entries(every)
    if layer.window_tokens:  # each new token has a window of its own
        window = np.minimum(every, np.add(layer.window_tokens, sizes.query_tokens))
        kept = kept - np.minimum(every, layer.window_tokens) + window
    elif layer.chunk_tokens:  # what is cached of the chunk begun, and every new token
        kept = np.add(np.mod(sizes.context, layer.chunk_tokens), sizes.query_tokens)
    sums, cached = {"attended": attended}, {"kept_entries": kept}
    flops = attention.prefill_attention_flops(sequences=sizes.sequences, **widths, **sums)
    moved = attention.prefill_attention_bytes(
        sequences=sizes.sequences, new_tokens=sizes.query_tokens, **cached, **vectors
    )
    work = {"flops": flops, "bytes_moved": moved, "tokens": sizes.query_tokens}
    counted = {"sequences": sizes.sequences, "new_tokens": sizes.query_tokens}
    if layer.chunk_tokens:
        whole = {"chunk_context": sizes.context, "chunk_tokens": layer.chunk_tokens}
        return work, {**counted, **widths, **sums, **cached, **vectors, **whole}
    counted["context"] = sizes.context
    most = min(layer.window_tokens or np.inf, layer.index_top_k or np.inf)
    return work, {**counted, **widths, **sums, **cached, **vectors, "most": most}


def _parts_of_caches(layers: Layers, core: Attention, sizes: Sizes) -> Iterator[Operator]:
    """Yield what devices that share the caches of sequences exchange: all queries, and each one's results.

    Every one of them attends with the queries of all to its part of the cache; what each makes of a query is
    put together by the sums of its weights, which travel along in fp32.
    """
    if core.constant_state or not any_shared(layers.context_parallel):
        return
    query, value = core.core_widths(absorbed=True)
    for name, formula, width in (
        ("query_gathering", collectives.all_gather_time, query * ACTIVATION_BYTES),
        ("result_scattering", collectives.reduce_scatter_time, value * ACTIVATION_BYTES + SUM_BYTES),
    ):
        message = np.multiply(sizes.tokens, core.heads * width)
        found = moved(
            formula,
            layers.system("attention"),
            layers.calibration("attention"),
            message_bytes=message,
            devices=layers.context_parallel,
        )
        share = 1.0 - 1.0 / layers.context_parallel
        time = where_shared(layers.context_parallel, found.time)
        yield Operator(
            *(name, "attention", core.name, core.layers, 0.0, message * share, time),
            *(ALL_GATHER, found.kind, found.arguments),
        )


def _gathering(layers: Layers, layer: Attention, tokens: FloatArray) -> Operator:
    """Return what devices that share heads exchange: the sum of their results, which each of them gets."""
    vector = layers.model.hidden_size * ACTIVATION_BYTES
    found = all_reduce(
        layers.system("attention"),
        layers.calibration("attention"),
        message_bytes=np.multiply(tokens, vector),
        devices=layers.tensor_parallel,
    )
    moved = 2.0 * np.multiply(tokens, vector) * (1.0 - 1.0 / layers.tensor_parallel)
    time = where_shared(layers.tensor_parallel, found.time)
    return Operator(
        *("attention_exchange", "attention", layer.name, layer.layers, 0.0, moved, time),
        *(ALL_REDUCE, found.kind, found.arguments),
    )
