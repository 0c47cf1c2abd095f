"""Operators of the FFN layers: router, shared experts, dense layers, routed experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.products import Product
from roofline_afd.physics import operators
from roofline_afd.physics.counting import hyper_connection_parameters
from roofline_afd.serving.sizes import ACTIVATION_BYTES
from roofline_afd.serving.timing import Clock, input_bytes_of, peak_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.sizes import Layers, Side, Sizes
    from roofline_afd.serving.timing import Operator


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
            up = Product(f"{part}_up", model.hidden_size, (matrices - 1) * intermediate)
            down = Product(f"{part}_down", intermediate, model.hidden_size)
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
    held = np.ceil(np.divide(experts, sizes.ffn_devices))
    slots = np.maximum(experts, sizes.ffn_devices)
    tokens = np.multiply(sizes.sent, sizes.attention_devices)
    pairs = tokens * (held * (model.mean_top_k / slots))
    routing = {"experts_per_device": held, "top_k": model.mean_top_k, "routed_experts": slots}
    touched = operators.experts_touched(tokens=tokens, **routing)
    if layers.experts_reached is not None:
        touched = np.minimum(touched, layers.experts_reached)
    rows = pairs / np.maximum(touched, operators.LEAST_ROWS)
    width, inner = model.dispatch_width, model.expert_intermediate
    weight_bytes = precision(formats.experts).bytes
    input_bytes = input_bytes_of(system, formats.experts, formats.dispatch)
    peak = peak_of(system, formats.experts, formats.dispatch)
    for name, n, k in (
        ("experts_up", (model.expert_matrices - 1) * inner, width),
        ("experts_down", width, inner),
    ):
        shape = {"pairs": pairs, "n": n, "k": k}
        memory = {
            "experts_touched": touched,
            "input_bytes": input_bytes,
            "weight_bytes": weight_bytes,
            "output_bytes": ACTIVATION_BYTES,
        }
        yield clock.time(
            name,
            "experts",
            model.moe_layers,
            flops=operators.grouped_gemm_flops(**shape),
            bytes_moved=operators.grouped_gemm_bytes(**shape, **memory),
            tokens=rows,
            depth=k,
            peak=peak,
            efficiency="grouped_gemm",
            counted={**shape, **memory, **routing, "routed_tokens": tokens},
        )
    handling = {
        "pairs": pairs,
        "width": width,
        "intermediate": inner,
        "expert_matrices": model.expert_matrices,
        "dispatch_bytes": precision(formats.dispatch).bytes,
        "operand_bytes": input_bytes,
        "combine_bytes": precision(formats.combine).bytes,
    }
    yield clock.time(
        "experts_handling",
        "experts",
        model.moe_layers,
        flops=0.0,
        bytes_moved=operators.expert_handling_bytes(**handling),
        tokens=rows,
        depth=0,
        peak=peak,
        efficiency="gemm",
        counted=handling,
    )
    yield clock.fixed("ffn_other", "experts", model.moe_layers, layers.other_us)
