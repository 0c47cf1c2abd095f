"""The operators of a model's layers on a system: operations, bytes and time of each."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from roofline_afd.catalogue.calibration import ESTIMATED, Calibration, load_calibration
from roofline_afd.catalogue.hardware import PEAK_KEYS
from roofline_afd.catalogue.models import EMBEDDING_BYTES, STATE_BYTES
from roofline_afd.catalogue.precision import operand, precision
from roofline_afd.catalogue.products import LATENT_UNFOLDING, Product, products_of
from roofline_afd.catalogue.records import KINDS
from roofline_afd.errors import InputError
from roofline_afd.physics import network, operators
from roofline_afd.physics.attention import (
    decode_attention_bytes,
    decode_attention_flops,
    prefill_attention_bytes,
    prefill_attention_flops,
    state_bytes,
)
from roofline_afd.physics.counting import hyper_connection_parameters
from roofline_afd.serving.exchange import afd_exchange, ep_exchange
from roofline_afd.serving.scenario import choice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from roofline_afd.catalogue.attention import Attention
    from roofline_afd.catalogue.calibration import OperatorEfficiency
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.models import Model
    from roofline_afd.physics.arrays import Count, FloatArray, FloatLike

Side = Literal["attention", "ffn", "network"]
DEPLOYMENTS = ("ep", "afd")
TRANSPORTS = ("pair", "rank", "node")
MEASURED_TRANSPORT = "pair"
"""What the kernels do whose timings the links are calibrated on."""
ACTIVATION_BYTES = 2.0
"""Bytes of an element between operators, which kernels leave in bf16 but for the products' inputs."""
SCALE_BYTES = {"fp8": 4 / 128}
"""Bytes per element of the block scales that travel with a format."""
TILE_ROWS = 64
"""Rows of a matrix-unit tile that query heads sharing a cached head fill up, as on NVIDIA since Hopper."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """Number formats by what they hold (ids of `catalogue.precision`)."""

    experts: str = "fp8"
    others: str = "fp8"
    cache: str = "bf16"
    core: str = "bf16"
    dispatch: str = "fp8"
    combine: str = "bf16"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """A model on a system: what the times of its layers depend on besides sizes.

    Parameters
    ----------
    model : Model
        What is served.
    attention, ffn : System
        Where the attention side runs, and the FFN side; the same under `ep`, and where absent.
    attention_calibration, ffn_calibration : Calibration
        Efficiencies of each side; those of the system's records where absent.
    formats : Formats
        Number formats.
    deployment : str
        `ep`: every device does both; `afd`: two groups of devices.
    transport : str
        `pair`: a copy per expert; `rank`: per device hit; `node`: per node hit, forwarded inside.
    fan_out : str
        How the experts of a token spread over places: `uniform`, `grouped` or `paper`.
    dense_side : str
        Side of shared experts and dense layers, `attention` or `ffn`.
    experts_reached : int, optional
        Experts of a device that tokens reach at most, where routing is forced to fewer than it holds [1].
    other_us : float
        Small kernels of one layer on each side [us]: norms, rotary embedding, quantisation, bookkeeping.
    tile_rows : int
        Rows that query heads of one cached head fill up to, 1 without padding [1].
    tensor_parallel : int
        Devices of a scale-up domain that share the heads of their sequences; experts stay whole [1].

    Raises
    ------
    InputError
        If the heads do not divide among so many devices.
    """

    model: Model
    attention: System
    ffn: System | None = None
    attention_calibration: Calibration | None = None
    ffn_calibration: Calibration | None = None
    formats: Formats = Formats()
    deployment: str = "ep"
    transport: str = "pair"
    fan_out: str = "uniform"
    dense_side: str = "ffn"
    experts_reached: int | None = None
    other_us: float = 0.0
    tile_rows: int = 1
    tensor_parallel: int = 1

    def __post_init__(self) -> None:
        if self.attention_calibration is None:
            object.__setattr__(self, "attention_calibration", load_calibration(self.attention))
        if self.ffn_calibration is None:
            own = self.attention_calibration if self.ffn is None else load_calibration(self.ffn)
            object.__setattr__(self, "ffn_calibration", own)
        choice("deployment", self.deployment, DEPLOYMENTS)
        choice("transport", self.transport, TRANSPORTS)
        choice("dense_side", self.dense_side, ("attention", "ffn"))
        if any(kind.split(self.tensor_parallel) is None for kind in self.model.attention):
            raise InputError(
                f"the heads of {self.model.id} do not divide among {self.tensor_parallel} devices"
            )

    @property
    def shared_side(self) -> Side:
        """Side of shared experts: of the attention where only a narrower vector reaches the FFN side."""
        narrow = self.model.dispatch_width != self.model.hidden_size and self.deployment == "afd"
        return "attention" if narrow or self.dense_side == "attention" else "ffn"

    def system(self, side: str) -> System:
        """Return the system of a side."""
        return self.attention if side == "attention" or self.ffn is None else self.ffn

    def calibration(self, side: str) -> Calibration:
        """Return the efficiencies of a side."""
        found = self.attention_calibration if side == "attention" else self.ffn_calibration
        assert found is not None  # noqa: S101 - filled when made
        return found


class Operator(NamedTuple):
    """One operator of one device and layer: how many layers have it, what it counts, how long it takes.

    `flops` [FLOP], `bytes_moved` of memory or link [B], `time` [s]; `kind` is that of its efficiencies.
    """

    name: str
    side: Side
    part: str
    layers: int
    flops: FloatArray
    bytes_moved: FloatArray
    time: FloatArray
    efficiency: str
    kind: str
    arguments: Mapping[str, Any]
    """What the formulas of this operator were called with, by parameter name."""


class Sizes(NamedTuple):
    """What one call asks of a group that shares heads; every field a number or an array that broadcasts."""

    sequences: FloatArray
    tokens: FloatArray
    context: FloatArray
    query_tokens: FloatArray
    attention_devices: FloatArray
    ffn_devices: FloatArray
    prefill: bool
    redundant_experts: FloatArray = 0.0
    mean_tokens: FloatArray | None = None
    """Tokens of a mean device, where `tokens` are those of the fullest."""

    @property
    def sent(self) -> FloatArray:
        """Tokens that a mean device of the attention side sends to the experts."""
        return self.tokens if self.mean_tokens is None else self.mean_tokens


class Prompt(NamedTuple):
    """Prompts, or chunks of them, that a step computes on one attention device, or those that share heads."""

    sequences: FloatLike
    new_tokens: FloatLike
    context: FloatLike
    """Tokens of each that are cached already."""


def _peak(system: System, weights: str, arriving: str) -> float:
    """Return the peak a product of two formats runs at on a system."""
    peaks = system.accelerator.peak_flop_per_s
    found = operand(precision(weights), precision(arriving), peaks)
    if found is None:
        raise InputError(
            f"system {system.id} has no peak to multiply {weights} weights with; supply one with --set, for "
            f"example {PEAK_KEYS['bf16']}=VALUE"
        )
    return peaks[found]


def _input_bytes(system: System, weights: str, arriving: str) -> float:
    """Return the bytes of an element of a product's input: that of the format it runs in."""
    found = operand(precision(weights), precision(arriving), system.accelerator.peak_flop_per_s)
    return precision(found).bytes if found else ACTIVATION_BYTES


def _kind(found: OperatorEfficiency, arguments: dict[str, Any], time: FloatArray) -> str:
    """Return the kind of what a time rests on: the memory share's too where memory binds anywhere."""
    if found.kind == found.memory_kind:
        return found.kind
    doubled = arguments | {"memory_efficiency": 2 * found.memory_efficiency}
    bound = np.any(np.asarray(operators.operator_time(**doubled)) < np.asarray(time))
    return max(found.kind, found.memory_kind, key=KINDS.index) if bound else found.kind


class _Clock(NamedTuple):
    """Makes operators of one side."""

    layers: Layers
    side: Side

    def time(
        self,
        name: str,
        part: str,
        count: int,
        *,
        flops: FloatArray,
        bytes_moved: FloatArray,
        tokens: FloatLike,
        depth: FloatLike,
        peak: float,
        efficiency: str,
        counted: Mapping[str, Any] | None = None,
    ) -> Operator:
        """Return an operator with its time; `counted` is what its operations and bytes were counted from."""
        found: OperatorEfficiency = getattr(self.layers.calibration(self.side), efficiency)
        accelerator = self.layers.system(self.side).accelerator
        arguments: dict[str, Any] = {
            "flops": flops,
            "bytes_moved": bytes_moved,
            "tokens": tokens,
            "depth": depth,
            "peak": peak,
            "memory_bandwidth": accelerator.memory_bytes_per_s,
            "compute_efficiency": found.compute_efficiency,
            "half_saturation_tokens": found.half_saturation_tokens,
            "memory_efficiency": found.memory_efficiency,
            "launch": found.launch_s,
            "depth_time": found.depth_time_s,
        }
        time = operators.operator_time(**arguments)
        kind = _kind(found, arguments, time)
        return Operator(
            *(name, self.side, part, count, flops, bytes_moved, time, efficiency, kind),
            {**(counted or {}), **arguments},
        )

    def product(
        self, item: Product, part: str, count: int, *, tokens: FloatLike, weights: str | None = None
    ) -> Operator:
        """Return a product of every token with the same weights, which are read once."""
        weights = weights or self.layers.formats.others
        system = self.layers.system(self.side)
        rows, columns = np.multiply(tokens, item.groups), item.n
        native = self.layers.formats.others
        formats = {
            "input_bytes": _input_bytes(system, weights, native),
            "weight_bytes": precision(weights).bytes,
            "output_bytes": ACTIVATION_BYTES,
        }
        shape = {"n": columns, "k": item.k}
        if item.groups == 1:
            flops = operators.gemm_flops(m=rows, **shape)
            bytes_moved = operators.gemm_bytes(m=rows, **shape, **formats)
        else:
            flops = operators.grouped_gemm_flops(pairs=rows, **shape)
            bytes_moved = operators.grouped_gemm_bytes(
                pairs=rows, experts_touched=item.groups, **shape, **formats
            )
        return self.time(
            item.name,
            part,
            count,
            flops=flops,
            bytes_moved=bytes_moved,
            tokens=tokens,
            depth=item.k,
            peak=_peak(system, weights, native),
            efficiency="gemm",
            counted={"m": rows, **shape, **formats},
        )

    def fixed(self, name: str, part: str, count: int, microseconds: float) -> Operator:
        """Return an operator of a given time that counts nothing."""
        time = microseconds * 1e-6
        return Operator(name, self.side, part, count, 0.0, 0.0, time, "", "estimated", {})


def _absorbed(layer: Attention, sizes: Sizes) -> bool:
    """Whether latents are attended to as they are: in decoding, and where few tokens meet a long cache."""
    if not sizes.prefill or layer.index_top_k is not None:
        return True
    return bool(np.any(sizes.context)) and bool(np.max(sizes.query_tokens) < layer.unfolding_pays_from())


def _attention_operators(layers: Layers, whole: Attention, phases: tuple[Sizes, ...]) -> Iterator[Operator]:
    """Yield the operators of one kind of sequence-mixing layers, products of all phases as one."""
    clock = _Clock(layers, "attention")
    layer = whole.split(layers.tensor_parallel)
    assert layer is not None  # noqa: S101 - checked when the layers were made
    products: dict[Product, FloatArray] = {}
    for sizes in phases:
        for item in products_of(layer, layers.model.hidden_size, absorbed=_absorbed(layer, sizes)):
            tokens = sizes.tokens
            if item.name == LATENT_UNFOLDING:  # the cached part of a prompt is unfolded too
                tokens = np.multiply(sizes.sequences, np.add(sizes.context, sizes.query_tokens))
            products[item] = products[item] + tokens if item in products else tokens
    for item, tokens in products.items():
        yield clock.product(item, layer.name, layer.layers, tokens=tokens)
    system = layers.attention
    every: FloatArray = sum(sizes.tokens for sizes in phases)
    rest: dict[str, Any] = {
        "depth": 0,
        "peak": _peak(system, layers.formats.core, "bf16"),
        "efficiency": "attention",
    }
    if layer.elementwise_parameters:
        weights = precision(layers.formats.others).bytes * layer.elementwise_parameters
        yield clock.time(
            "convolution",
            layer.name,
            layer.layers,
            flops=np.multiply(2.0 * layer.elementwise_parameters, every),
            bytes_moved=np.multiply(every, 0.0) + weights,
            tokens=every,
            **rest,
        )
    for sizes in phases:
        yield _core_operator(clock, layer, sizes, absorbed=_absorbed(layer, sizes), rest=rest)
    if layers.tensor_parallel > 1:
        yield _gathering(layers, layer, every)
    yield clock.fixed("attention_other", layer.name, layer.layers, layers.other_us)


def _gathering(layers: Layers, layer: Attention, tokens: FloatArray) -> Operator:
    """Return what devices that share heads exchange: results summed and scattered, then gathered."""
    link = layers.calibration("attention").link
    arguments = {
        "tokens": tokens,
        "width": layers.model.hidden_size,
        "bytes_per_element": ACTIVATION_BYTES,
        "devices": layers.tensor_parallel,
        "bandwidth": layers.attention.scale_up.bytes_per_s * link.efficiency_up,
        "latency": link.latency_up_s,
    }
    time = network.head_exchange_time(**arguments)
    moved = 2.0 * np.multiply(tokens, layers.model.hidden_size * ACTIVATION_BYTES)
    moved = moved * (1.0 - 1.0 / layers.tensor_parallel)
    return Operator(
        *("attention_exchange", "attention", layer.name, layer.layers, 0.0, moved, time, "link", link.kind),
        arguments,
    )


def _core_operator(
    clock: _Clock, layer: Attention, sizes: Sizes, *, absorbed: bool, rest: Mapping[str, Any]
) -> Operator:
    """Return core attention, or the update of a constant state."""
    tokens = {"sequences": sizes.sequences, "query_tokens": sizes.query_tokens}
    counted: dict[str, Any]
    if layer.constant_state:
        counted = {
            **tokens,
            "state_elements": layer.state_elements,
            "state_bytes": STATE_BYTES,
            "vector_elements": layer.vector_elements,
            "activation_bytes": ACTIVATION_BYTES,
        }
        flops, moved = layer.core_flops(0, **tokens), state_bytes(**counted)
    else:
        count = _prefill_core if sizes.prefill else _decode_core
        flops, moved, counted = count(clock.layers, layer, sizes, absorbed=absorbed)
    return clock.time(
        "core_attention",
        layer.name,
        layer.layers,
        flops=flops,
        bytes_moved=moved,
        tokens=sizes.tokens,
        counted=counted,
        **rest,
    )


def _core_vectors(layers: Layers, layer: Attention, *, absorbed: bool) -> tuple[dict[str, Any], ...]:
    """Return what the operations and the bytes of core attention depend on besides tokens."""
    query, value = layer.core_widths(absorbed=absorbed)
    index = {"index_heads": layer.index_heads or 0, "index_width": layer.index_width}
    widths = {"heads": layer.heads, "query_width": query, "value_width": value, **index}
    vectors = {
        "entry_elements": layer.entry_elements,
        "index_width": layer.index_width,
        "cache_bytes": precision(layers.formats.cache).bytes,
        "query_elements": layer.heads * query,
        "output_elements": layer.heads * value,
        "activation_bytes": ACTIVATION_BYTES,
    }
    return widths, vectors


def _decode_core(
    layers: Layers, layer: Attention, sizes: Sizes, *, absorbed: bool
) -> tuple[FloatArray, FloatArray, dict[str, Any]]:
    """Return operations and bytes of core attention in decoding, and what they were counted from."""
    widths, vectors = _core_vectors(layers, layer, absorbed=absorbed)
    tokens = {"sequences": sizes.sequences, "query_tokens": sizes.query_tokens}
    cached = {
        "entries": layer.attended_entries(sizes.context),
        "index_entries": layer.index_entries(sizes.context),
    }
    kept = layer.kept_entries(sizes.context)
    tiles = {"cached_heads": layer.cached_heads, "tile_rows": layers.tile_rows}
    flops = decode_attention_flops(**tokens, **cached, **widths, **tiles)
    moved = decode_attention_bytes(**tokens, **cached, **vectors, kept_entries=kept)
    rows = np.divide(np.multiply(layer.heads, sizes.query_tokens), layer.cached_heads)
    counted = {**tokens, **cached, **widths, **vectors, **tiles, "kept_entries": kept, "rows": rows}
    return flops, moved, counted


def _prefill_core(
    layers: Layers, layer: Attention, sizes: Sizes, *, absorbed: bool
) -> tuple[FloatArray, FloatArray, dict[str, Any]]:
    """Return operations and bytes of core attention over prompts, and what they were counted from."""
    widths, vectors = _core_vectors(layers, layer, absorbed=absorbed)
    attended, scored = layer.prefill_entries(sizes.query_tokens, sizes.context)
    every = np.add(sizes.context, sizes.query_tokens)
    kept = layer.kept_entries(every)
    if layer.window_tokens:  # each new token has a window of its own
        window = np.minimum(every, np.add(layer.window_tokens, sizes.query_tokens))
        kept = kept - np.minimum(every, layer.window_tokens) + window
    sums = {"attended": attended, "index_attended": scored}
    cached = {"kept_entries": kept, "index_entries": layer.index_entries(every)}
    flops = prefill_attention_flops(sequences=sizes.sequences, **widths, **sums)
    moved = prefill_attention_bytes(
        sequences=sizes.sequences, new_tokens=sizes.query_tokens, **cached, **vectors
    )
    counted = {"sequences": sizes.sequences, "new_tokens": sizes.query_tokens, "context": sizes.context}
    most = min(layer.window_tokens or np.inf, layer.index_top_k or np.inf)
    return flops, moved, {**counted, **widths, **sums, **cached, **vectors, "most": most}


def _around_experts(layers: Layers, sizes: Sizes) -> Iterator[Operator]:
    """Yield what the attention side does for the FFN: router, narrower expert space, residual streams."""
    model, clock = layers.model, _Clock(layers, "attention")
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
            clock = _Clock(layers, side)
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
    model, formats, clock = layers.model, layers.formats, _Clock(layers, "ffn")
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
    input_bytes = _input_bytes(system, formats.experts, formats.dispatch)
    peak = _peak(system, formats.experts, formats.dispatch)
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


def _network_operators(layers: Layers, sizes: Sizes) -> Iterator[Operator]:
    """Yield dispatch and combine of expert layers, and of dense layers that are away from attention."""
    model, formats = layers.model, layers.formats
    copies: list[tuple[str, int, float | None]] = [("", model.moe_layers, None)]
    if layers.deployment == "afd" and layers.dense_side != "attention":
        copies.append(("_dense", model.dense_layers, 1.0))
    for suffix, count, only in copies:
        for name, form in (("dispatch", formats.dispatch), ("combine", formats.combine)):
            if not count:
                continue
            vector = {
                "width": model.dispatch_width if only is None else model.hidden_size,
                "bytes_per_element": precision(form).bytes,
                "scale_bytes_per_element": SCALE_BYTES.get(form, 0.0),
            }
            exchange = ep_exchange if layers.deployment == "ep" else afd_exchange
            flow, time, arguments = exchange(layers, sizes, vector, only)
            link = layers.calibration("attention").link
            leaves = bool(np.any(np.asarray(flow.scale_out_bytes) > 0))
            kind = max(link.kind, link.kind_out, key=KINDS.index) if leaves else link.kind
            if layers.transport != MEASURED_TRANSPORT and only is None:
                kind = ESTIMATED
            moved = flow.scale_up_bytes + flow.scale_out_bytes
            yield Operator(
                *(name + suffix, "network", "experts", count, 0.0, moved, time, "link", kind), arguments
            )


def _head_operators(layers: Layers, sizes: Sizes) -> Iterator[Operator]:
    """Yield what happens once a step: embedding, and the output head on tokens that are sampled."""
    model, clock = layers.model, _Clock(layers, "attention")
    sampled = sizes.sequences if sizes.prefill else sizes.tokens
    head = Product("output_head", model.hidden_size, model.vocab_size)
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
        peak=_peak(layers.attention, "bf16", "bf16"),
        efficiency="gemm",
    )


def _ffn_devices(layers: Layers, attention_devices: Count, ffn_devices: Count | None) -> Count:
    """Return the devices of the FFN side: under `ep` the same, by default as many."""
    if ffn_devices is None:
        return attention_devices
    if layers.deployment == "ep":
        raise InputError("ffn_devices belongs to deployment afd: under ep every device does both")
    return ffn_devices


def _operators(layers: Layers, *phases: Sizes) -> Iterator[Operator]:
    for kind in layers.model.attention:
        yield from _attention_operators(layers, kind, phases)
    device = _of_one_device(phases, layers.tensor_parallel)
    yield from _around_experts(layers, device)
    yield from _dense_operators(layers, device)
    yield from _expert_operators(layers, device)
    yield from _network_operators(layers, device)
    yield from _head_operators(layers, device)


def _of_one_device(phases: tuple[Sizes, ...], tensor_parallel: int) -> Sizes:
    """Return the sizes outside attention: all phases, and of a group's tokens the share of one device."""
    if len(phases) == 1 and tensor_parallel == 1:
        return phases[0]
    sampled: FloatArray = sum(each.sequences if each.prefill else each.tokens for each in phases)
    return phases[0]._replace(
        sequences=np.divide(sampled, tensor_parallel),
        tokens=np.divide(sum(each.tokens for each in phases), tensor_parallel),
        mean_tokens=np.divide(sum(each.sent for each in phases), tensor_parallel),
        prefill=True,
    )


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
