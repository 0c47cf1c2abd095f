"""Operators of the FFN layers: router, shared experts, dense layers, routed experts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.products import Product
from roofline_afd.physics import operators
from roofline_afd.physics.counting import hyper_connection_parameters
from roofline_afd.physics.uneven import fullest_pairs_share
from roofline_afd.serving.fan_out import places_hit
from roofline_afd.serving.fused import fused_operator
from roofline_afd.serving.module import Module, of_product
from roofline_afd.serving.sizes import FUSED
from roofline_afd.serving.timing import Clock, Operator, operand_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.catalogue.calibration import OperatorEfficiency
    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.sizes import Layers, Side, Sizes


def ffn_operators(layers: Layers, sizes: Sizes) -> Iterator[Operator]:
    """Yield the operators of the FFN layers, each on the side that has it.

    Parameters
    ----------
    layers : Layers
        Model, systems, formats, efficiencies.
    sizes : Sizes
        What one attention device sends.

    Yields
    ------
    Operator
        Times are of one layer.
    """
    yield from _around_experts(layers, sizes)
    yield from _dense_operators(layers, sizes)
    yield from _expert_operators(layers, sizes)


def _around_experts(layers: Layers, sizes: Sizes) -> Iterator[Operator]:
    """Yield what the attention side does for the FFN: router, narrower expert space, residual streams."""
    model, clock = layers.model, Clock(layers, "attention")
    streams = hyper_connection_parameters(hidden_size=model.hidden_size, streams=model.residual_streams)
    if streams:
        wide = model.residual_streams * model.hidden_size
        mixing = Product("residual_streams", wide, streams // wide)
        yield clock.product(mixing, "residual", 2 * model.layers, tokens=sizes.tokens, weights="bf16")
    if not model.moe_layers:
        return
    router = Product("router", model.hidden_size, model.routed_experts + model.zero_experts)
    yield clock.product(router, "experts", model.moe_layers, tokens=sizes.tokens, weights="bf16")
    yield clock.fixed("router_choice", "experts", model.moe_layers, layers.router_us)
    if model.dispatch_width != model.hidden_size:
        for name, k, n in (
            ("latent_down", model.hidden_size, model.dispatch_width),
            ("latent_up", model.dispatch_width, model.hidden_size),
        ):
            yield clock.product(Product(name, k, n), "experts", model.moe_layers, tokens=sizes.tokens)


def _dense_operators(layers: Layers, sizes: Sizes) -> Iterator[Operator]:
    """Yield shared experts and dense layers, on the side they are put."""
    model = layers.model
    dense_side: Side = "attention" if layers.dense_side == "attention" else "ffn"
    blocks = (
        (
            *("shared", layers.shared_side, model.moe_layers),
            *(model.shared_expert_intermediate, model.shared_expert_matrices),
        ),
        ("dense", dense_side, model.dense_layers, model.dense_intermediate, model.dense_matrices),
    )
    for part, side, count, intermediate, matrices in blocks:
        if count and intermediate:
            clock = Clock(layers, side)
            tokens = sizes.tokens if side == "attention" else _ffn_tokens(sizes)
            own: Any = intermediate
            if part == "dense":
                own = -(-intermediate // layers.dense_parts)
                tokens = np.multiply(tokens, 1 if layers.replicated else layers.dense_parts)
            elif layers.replicated:
                own = -(-intermediate // layers.tensor_parallel)
            up = Product(f"{part}_up", model.hidden_size, (matrices - 1) * own)
            down = Product(f"{part}_down", own, model.hidden_size)
            yield clock.product(up, part, count, tokens=tokens)
            yield clock.product(down, part, count, tokens=tokens)
            if part == "dense":
                yield clock.fixed("dense_other", part, count, layers.other_us)


def _ffn_tokens(sizes: Sizes) -> FloatArray:
    """Return the tokens a device of the FFN side gets, those of all attention devices shared out."""
    return np.multiply(sizes.sent, np.divide(sizes.attention_devices, sizes.ffn_devices))


def _expert_operators(layers: Layers, sizes: Sizes) -> Iterator[Operator]:
    """Yield the routed experts of the device that holds most of them."""
    model, formats, clock = layers.model, layers.formats, Clock(layers, "ffn")
    if not model.moe_layers:
        return
    system = layers.system("ffn")
    experts = np.add(model.routed_experts, sizes.redundant_experts)
    places = layers.expert_places(sizes.ffn_devices)
    held = np.ceil(np.divide(experts, places))
    slots = np.maximum(experts, places)
    senders = np.divide(sizes.attention_devices, layers.tensor_parallel if layers.replicated else 1)
    tokens = np.multiply(sizes.sent, senders)
    share = fullest_pairs_share(
        experts_per_device=held,
        slots=slots,
        devices=places,
        imbalance=sizes.fullest,
    )
    pairs = tokens * model.mean_top_k * share
    routing = {
        "experts_per_device": held,
        "top_k": model.mean_top_k,
        "routed_experts": slots,
        "routing_exponent": layers.routing_exponent,
    }
    touched = operators.experts_touched(tokens=tokens, **routing)
    if layers.experts_reached is not None:
        touched = np.minimum(touched, layers.experts_reached)
    form = operand_of(system, formats.experts, formats.dispatch)
    columns: Any = model.expert_intermediate // layers.expert_tensor_parallel
    module = Module(
        pairs=pairs,
        touched=touched,
        tokens_handed=_handed(layers, sizes, pairs, tokens),
        width=model.dispatch_width,
        intermediate=columns,
        matrices=model.expert_matrices,
        peak=system.accelerator.peak_flop_per_s[form],
        memory_bandwidth=system.accelerator.memory_bytes_per_s,
        input_bytes=precision(form).bytes,
        weight_bytes=precision(formats.experts).bytes,
    )
    if layers.kernels == FUSED:
        yield fused_operator(layers, sizes, module)
        return
    packed = layers.sorted
    kernel = "grouped_gemm" if packed else "experts"
    found = layers.calibration("ffn").of(kernel, form)
    for name, work, counted in module.products():
        yield clock.timed(
            name,
            "experts",
            model.moe_layers,
            work,
            kernel=kernel,
            found=of_product(found),
            counted={**counted, **routing, "routed_tokens": tokens},
        )
    yield _handling(clock, module, found, packed=packed)


def _handed(layers: Layers, sizes: Sizes, pairs: FloatArray, tokens: FloatArray) -> FloatArray:
    """Return the vectors that an expert module is handed: the copies that its device receives."""
    if layers.sorted:
        return pairs
    places = np.asarray(layers.expert_places(sizes.ffn_devices))
    return tokens * places_hit(layers, places) / places


def _handling(clock: Clock, module: Module, found: OperatorEfficiency, *, packed: bool) -> Operator:
    """Return what a device does to the vectors it is handed, before, between and after the products.

    Kernels that send a copy per expert deliver them sorted by expert, and take results as they lie: between
    the products alone something is left to do.
    """
    layers = clock.layers
    counted = {
        "pairs": module.pairs,
        "width": 0 if packed and not found.module else module.width,
        "intermediate": module.intermediate,
        "expert_matrices": module.matrices,
        "dispatch_bytes": precision(layers.formats.dispatch).bytes,
        "operand_bytes": module.input_bytes,
        "combine_bytes": precision(layers.formats.combine).bytes,
    }
    moved = operators.expert_handling_bytes(**counted)
    place = ("experts_handling", "experts", layers.model.moe_layers)
    if found.module:
        arguments = module.handling(found)
        time = operators.expert_handling_time(**arguments)
        return Operator(
            *(place[0], clock.side, *place[1:], 0.0, moved, time, "experts", found.kind),
            {**counted, **arguments},
        )
    rows: dict[str, Any] = {"tokens": module.pairs, "depth": 0, "peak": module.peak}
    return clock.time(*place, kernel="gemm", counted=counted, flops=0.0, bytes_moved=moved, **rows)
