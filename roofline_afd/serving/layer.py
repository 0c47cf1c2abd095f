"""All operators of a step: a model's layers on a system, in decoding and over prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.catalogue.models import EMBEDDING_BYTES
from roofline_afd.catalogue.products import Product
from roofline_afd.errors import InputError
from roofline_afd.serving.attention import attention_operators
from roofline_afd.serving.exchange import crossing_operators, network_operators
from roofline_afd.serving.experts import ffn_operators
from roofline_afd.serving.sizes import ACTIVATION_BYTES, Sizes, any_shared
from roofline_afd.serving.timing import Clock, peak_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.physics.arrays import Count, FloatArray
    from roofline_afd.serving.sizes import Layers, Prompt
    from roofline_afd.serving.timing import Operator


def decode_operators(
    layers: Layers,
    *,
    sequences: Count,
    context: Count,
    query_tokens: Count = 1,
    attention_devices: Count = 1,
    ffn_devices: Count | None = None,
    redundant_experts: Count = 0,
    mean_share: float = 1.0,
    prompt: Prompt | None = None,
) -> Iterator[Operator]:
    """Yield every operator of one decode step, each on the axes it depends on.

    Parameters
    ----------
    layers : Layers
        Model, systems, formats, efficiencies.
    sequences : float or array
        Sequences in this step, or micro-batch of it, of one attention device or of those that share heads
        [1].
    context : float or array
        Tokens cached of each [1].
    query_tokens : float or array
        New tokens of each: 1, and the drafted ones [1].
    attention_devices : int or array
        Devices of the attention side; under `ep` all devices [1].
    ffn_devices : int or array, optional
        Devices of the FFN side; as many as of the attention side where absent [1].
    redundant_experts : int or array
        Experts held twice [1].
    mean_share : float
        Sequences of a mean attention device over those of the fullest, whose times these are [1].
    prompt : Prompt, optional
        Tokens of prompts that the same step computes.

    Yields
    ------
    Operator
        One per product, core attention, transfer and so on; times are of one layer.
    """
    tokens = np.multiply(sequences, query_tokens) * 1.0
    sizes = Sizes(
        redundant_experts=redundant_experts,
        mean_tokens=None if mean_share == 1.0 else tokens * mean_share,
        sequences=sequences,
        tokens=tokens,
        context=context,
        query_tokens=query_tokens,
        attention_devices=attention_devices,
        ffn_devices=_ffn_devices(layers, attention_devices, ffn_devices),
        prefill=False,
    )
    if prompt is None:
        return _operators(layers, sizes)
    added = np.multiply(prompt.sequences, prompt.new_tokens) * 1.0
    chunk = sizes._replace(
        sequences=prompt.sequences,
        tokens=added,
        mean_tokens=None if mean_share == 1.0 else added * mean_share,
        context=prompt.context,
        query_tokens=prompt.new_tokens,
        prefill=True,
    )
    return _operators(layers, sizes, chunk)


def prefill_operators(
    layers: Layers,
    *,
    sequences: Count,
    new_tokens: Count,
    context: Count = 0,
    attention_devices: Count = 1,
    ffn_devices: Count | None = None,
    redundant_experts: Count = 0,
) -> Iterator[Operator]:
    """Yield every operator of one prefill step, each on the axes it depends on.

    Parameters
    ----------
    layers : Layers
        Model, systems, formats, efficiencies.
    sequences : float or array
        Prompts of one attention device, or of those that share heads [1].
    new_tokens : float or array
        Tokens of each that are computed together: the prompt, or a chunk of it [1].
    context : float or array
        Tokens of each that are cached already [1].
    attention_devices : int or array
        Devices of the attention side; under `ep` all devices [1].
    ffn_devices : int or array, optional
        Devices of the FFN side; as many as of the attention side where absent [1].
    redundant_experts : int or array
        Experts held twice [1].

    Yields
    ------
    Operator
        One per product, core attention, transfer and so on; times are of one layer.
    """
    sizes = Sizes(
        sequences=sequences,
        tokens=np.multiply(sequences, new_tokens) * 1.0,
        context=context,
        query_tokens=new_tokens,
        attention_devices=attention_devices,
        ffn_devices=_ffn_devices(layers, attention_devices, ffn_devices),
        prefill=True,
        redundant_experts=redundant_experts,
    )
    return _operators(layers, sizes)


def _ffn_devices(layers: Layers, attention_devices: Count, ffn_devices: Count | None) -> Count:
    """Return the devices of the FFN side: under `ep` the same, by default as many."""
    if ffn_devices is None:
        return attention_devices
    if layers.deployment == "ep":
        raise InputError("ffn_devices belongs to deployment afd: under ep every device does both")
    return ffn_devices


def _operators(layers: Layers, *phases: Sizes) -> Iterator[Operator]:
    if layers.together is not None:
        yield from _core_cut(layers, layers.together, phases)
        return
    for kind in layers.model.attention:
        yield from attention_operators(layers, kind, phases)
    group = _together(phases, 1)
    device = group if layers.replicated else _together(phases, layers.tensor_parallel)
    device = device._replace(fullest=_fullest(layers, device))
    yield from ffn_operators(layers, device)
    yield from network_operators(layers, device)
    yield from _head_operators(layers, group)


def _core_cut(layers: Layers, together: Layers, phases: tuple[Sizes, ...]) -> Iterator[Operator]:
    """Yield the operators where one group has caches and attention cores, and the other all the rest.

    What the second group exchanges among its own devices is part of its stage: nothing hides it.
    """
    device = _together(phases, layers.tensor_parallel)
    share = np.divide(device.attention_devices, device.ffn_devices) / layers.tensor_parallel
    own = tuple(
        each._replace(
            sequences=np.multiply(each.sequences, share),
            tokens=np.multiply(each.tokens, share),
            mean_tokens=np.multiply(each.sent, share),
            attention_devices=each.ffn_devices,
        )
        for each in phases
    )
    for kind in layers.model.attention:
        yield from attention_operators(layers, kind, phases, weights=False)
        yield from crossing_operators(layers, kind, device)
        for item in attention_operators(together, kind, own, caches=False):
            yield item._replace(side="ffn")
    whole = _together(own, 1)
    whole = whole._replace(fullest=_fullest(together, whole))
    for found in (
        ffn_operators(together, whole),
        network_operators(together, whole),
        _head_operators(together, whole),
    ):
        for item in found:
            yield item._replace(side="ffn")


def _fullest(layers: Layers, device: Sizes) -> FloatArray:
    """Return what the fullest device with experts gets over the mean, of what all devices send."""
    if layers.load is None:
        return 1.0
    places = layers.expert_places(device.ffn_devices)
    sent = device.all_sent / (layers.tensor_parallel if layers.replicated else 1)
    return layers.load.factor(places, device.redundant_experts, sent)


def _together(phases: tuple[Sizes, ...], tensor_parallel: Count) -> Sizes:
    """Return the sizes outside attention: all phases, and of a group's tokens the share of one device."""
    if len(phases) == 1 and not any_shared(tensor_parallel):
        return phases[0]
    sampled: FloatArray = sum(each.sequences if each.prefill else each.tokens for each in phases)
    return phases[0]._replace(
        sequences=np.divide(sampled, tensor_parallel),
        tokens=np.divide(sum(each.tokens for each in phases), tensor_parallel),
        mean_tokens=np.divide(sum(each.sent for each in phases), tensor_parallel),
        prefill=True,
    )


def _head_operators(layers: Layers, sizes: Sizes) -> Iterator[Operator]:
    """Yield what happens once a step: embedding, and the output head on tokens that are sampled.

    Devices that share heads share its words too.
    """
    model, clock = layers.model, Clock(layers, "attention")
    sampled = sizes.sequences if sizes.prefill else sizes.tokens
    words: Any = -(-model.vocab_size // layers.tensor_parallel)
    head = Product("output_head", model.hidden_size, words)
    yield clock.product(head, "head", 1, tokens=sampled, weights="bf16")
    row = model.hidden_size * (EMBEDDING_BYTES + ACTIVATION_BYTES)
    yield clock.time(
        "embedding",
        "head",
        1,
        flops=0.0,
        bytes_moved=np.multiply(row, sizes.tokens),
        tokens=sizes.tokens,
        depth=0,
        peak=peak_of(layers.attention, "bf16", "bf16"),
        kernel="gemm",
    )
