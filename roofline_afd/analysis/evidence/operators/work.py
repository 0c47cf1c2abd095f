"""Measured rows as what they compute and move, and the times that efficiencies give them."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.catalogue.attention import Attention
from roofline_afd.catalogue.models import STATE_BYTES, load_model
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.records import KINDS
from roofline_afd.errors import InputError, shown
from roofline_afd.physics import attention, index, network, operators, traffic
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.sizes import ACTIVATION_BYTES, SCALE_BYTES, TILE_ROWS, Formats, Layers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.calibration import Calibration, LinkEfficiency, OperatorEfficiency
    from roofline_afd.catalogue.models import Model
    from roofline_afd.catalogue.store import Catalogue

    Array = NDArray[np.float64]

TABLES = {
    "gemm": "gemm",
    "grouped_gemm": "grouped_gemm",
    "grouped_gemm_up": "grouped_gemm",
    "grouped_gemm_down": "grouped_gemm",
    "mla_decode": "attention",
    "dsa_decode_index": "index",
    "dsa_prefill_index": "index",
    "linear_decode_convolution": "convolution",
    "linear_decode_update": "state",
    "dispatch": "link",
    "combine": "link",
}
"""Operator of a measured row to the calibration table that its time depends on."""
SHORT_NAMES = {"dsv3": "deepseek-v3", "qwen3-235b": "qwen3-235b-a22b"}
"""What papers call models of the catalogue."""
LATENT, ROPE, LATENT_HEADS = 512, 64, 128
"""Shape of the latent attention that `mla_decode` rows time."""
CONVOLUTION_TAPS = 4
"""Taps of the convolution that `linear_decode_convolution` rows time, as of every gated delta layer known."""


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """What operators compute and move, an element per row: the arguments of `operator_time`."""

    flops: Array
    bytes_moved: Array
    tokens: Array
    depth: Array
    peak: Array
    memory_bandwidth: Array

    def kinds(self, efficiency: OperatorEfficiency) -> list[str]:
        """Return the kind of what each row's time rests on: the memory share's too where memory binds."""
        better = dataclasses.replace(efficiency, memory_efficiency=2 * efficiency.memory_efficiency)
        bound = self.times(better) < self.times(efficiency)
        weakest = max(efficiency.kind, efficiency.memory_kind, key=KINDS.index)
        return [weakest if by_memory else efficiency.kind for by_memory in bound]

    def times(self, efficiency: OperatorEfficiency) -> Array:
        """Return the time of each row [s]."""
        return np.asarray(
            operators.operator_time(
                flops=self.flops,
                bytes_moved=self.bytes_moved,
                tokens=self.tokens,
                depth=self.depth,
                peak=self.peak,
                memory_bandwidth=self.memory_bandwidth,
                compute_efficiency=efficiency.compute_efficiency,
                half_saturation_tokens=efficiency.half_saturation_tokens,
                memory_efficiency=efficiency.memory_efficiency,
                launch=efficiency.launch_s,
                depth_time=efficiency.depth_time_s,
            )
        )


@dataclasses.dataclass(frozen=True, slots=True)
class LayerWork:
    """Whole attention layers, an element per row: core attention, and the time of everything else [s]."""

    core: Work
    rest: Array

    def times(self, efficiency: OperatorEfficiency) -> Array:
        """Return the time of each row [s]."""
        return self.core.times(efficiency) + self.rest


@dataclasses.dataclass(frozen=True, slots=True)
class Exchange:
    """What dispatch or combine sends, an element per row, and the peaks of the fabrics it crosses."""

    copies_bytes: Array
    scale_up_bytes: Array
    scale_out_bytes: Array
    devices: Array
    scale_up: Array
    scale_out: Array

    @property
    def grows(self) -> bool:
        """Whether any group within one scale-up domain is large enough for its fixed time to grow."""
        return bool(np.any(self.devices[~self.crosses] > network.GROUP_DEVICES))

    @property
    def crosses(self) -> NDArray[np.bool_]:
        """Whether a row's group reaches beyond one scale-up domain."""
        return self.scale_out_bytes > 0

    def times(self, efficiency: LinkEfficiency) -> Array:
        """Return the time of each row [s]."""
        return np.asarray(
            network.transfer_time(
                latency=np.where(
                    self.crosses,
                    efficiency.latency_out_s,
                    network.group_latency(
                        latency=efficiency.latency_up_s,
                        devices=self.devices,
                        latency_growth=efficiency.latency_growth,
                    ),
                ),
                scale_up_bytes=self.scale_up_bytes,
                scale_out_bytes=self.scale_out_bytes,
                scale_up=self.scale_up * efficiency.efficiency_up,
                scale_out=self.scale_out * efficiency.efficiency_out,
                slowdown=network.scale_out_slowdown(
                    devices=self.devices, scale_penalty=efficiency.scale_penalty
                ),
            )
        )


def _sizes(row: Measurement) -> tuple[float, float, float, float, float]:
    """Return groups, rows of a group, columns, depth and bytes of an operand's element of a product."""
    values = row.numbers
    operand = _format(row, "precision")
    if row.operator == "gemm":
        return 1, values["m"], values["n"], values["k"], operand
    groups, rows = values["groups"], values["tokens_per_expert"]
    if row.operator == "grouped_gemm":
        return groups, rows, values["n"], values["k"], operand
    hidden, intermediate = values["hidden"], values["intermediate"]
    if row.operator == "grouped_gemm_up":  # gate and up matrices side by side
        return groups, rows, 2 * intermediate, hidden, operand
    return groups, rows, hidden, intermediate, operand


def _format(row: Measurement, key: str) -> float:
    return precision(row.texts[key], option=f"{row.place}: {key}").bytes


def _peak(row: Measurement) -> float:
    """Return the peak rate of a row's accelerator in the row's precision [FLOP/s]."""
    _format(row, "precision")
    peaks = row.system.accelerator.peak_flop_per_s
    if row.texts["precision"] not in peaks:
        raise InputError(
            f"{row.place}: the catalogue has no {row.texts['precision']} rate of {row.system.accelerator.id}"
        )
    return peaks[row.texts["precision"]]


def _index(row: Measurement) -> tuple[float, float, float]:
    """Return operations, bytes and tokens of the logits of an index; the context of prompts includes them."""
    values = row.numbers
    decoding = row.operator == "dsa_decode_index"
    sequences = values["batch"] if decoding else 1.0
    new = values["query_tokens" if decoding else "tokens"]
    context = values["context_tokens"] - (0.0 if decoding else new)
    scored = new * context if decoding else attention.causal_entries(new_tokens=new, context=context)
    width = values["head_dim"]
    flops = index.index_flops(
        sequences=sequences, index_heads=values["query_heads"], index_width=width, scored=scored
    )
    moved = index.index_bytes(
        sequences=sequences,
        new_tokens=new,
        index_entries=values["context_tokens"],
        key_bytes=index.index_key_bytes(index_width=width, element_bytes=_format(row, "precision")),
        scored=scored,
    )
    return float(flops), float(moved), sequences * new


def _linear(row: Measurement) -> tuple[float, float, float]:
    """Return operations, bytes and tokens of a gated delta layer: its convolution, or its state's update."""
    values = row.numbers
    shape = Attention(
        *("row", "gated-delta", 1),
        heads=int(values["kv_heads"]),
        key_heads=int(values["query_heads"]),
        head_dim=int(values["head_dim"]),
        value_head_dim=int(values["head_dim"]),
        conv_kernel=CONVOLUTION_TAPS,
    )
    batch = values["batch"]
    if row.operator == "linear_decode_update":
        moved = attention.state_bytes(
            sequences=batch,
            query_tokens=1,
            state_elements=shape.matrix_elements,
            state_bytes=STATE_BYTES,
            vector_elements=shape.vector_elements,
            activation_bytes=ACTIVATION_BYTES,
        )
        return float(shape.core_flops(0, sequences=batch)), float(moved), batch
    moved = attention.convolution_bytes(
        sequences=batch,
        tokens=batch,
        channels=shape.conv_channels,
        kept_elements=shape.conv_elements,
        weights=shape.elementwise_parameters,
        weight_bytes=ACTIVATION_BYTES,
        activation_bytes=ACTIVATION_BYTES,
    )
    return 2.0 * shape.elementwise_parameters * batch, float(moved), batch


def _operator(row: Measurement) -> tuple[float, ...]:
    """Return the arguments of `operator_time` that do not depend on efficiencies."""
    values = row.numbers
    accelerator = row.system.accelerator
    if TABLES[row.operator] == "index":
        return *_index(row), 0.0, _peak(row), accelerator.memory_bytes_per_s
    if TABLES[row.operator] in ("convolution", "state"):
        return *_linear(row), 0.0, accelerator.peak_flop_per_s["bf16"], accelerator.memory_bytes_per_s
    if row.operator == "mla_decode":
        batch, context = values["batch"], values["context_tokens"]
        flops = attention.decode_attention_flops(
            sequences=batch,
            query_tokens=1,
            heads=LATENT_HEADS,
            query_width=LATENT + ROPE,
            value_width=LATENT,
            entries=context,
        )
        moved = attention.decode_attention_bytes(
            sequences=batch,
            query_tokens=1,
            entries=context,
            kept_entries=context,
            entry_elements=LATENT + ROPE,
            cache_bytes=_format(row, "kv_precision"),
            query_elements=LATENT_HEADS * (LATENT + ROPE),
            output_elements=LATENT_HEADS * LATENT,
            activation_bytes=ACTIVATION_BYTES,
        )
        tokens, depth = batch, 0.0
    else:
        groups, tokens, n, depth, operand = _sizes(row)
        flops = operators.grouped_gemm_flops(pairs=groups * tokens, n=n, k=depth)
        moved = operators.grouped_gemm_bytes(
            pairs=groups * tokens,
            n=n,
            k=depth,
            experts_touched=groups,
            input_bytes=operand,
            weight_bytes=operand,
            output_bytes=ACTIVATION_BYTES,
        )
    return float(flops), float(moved), tokens, depth, _peak(row), accelerator.memory_bytes_per_s


def _exchange(row: Measurement) -> tuple[float, ...]:
    values, system = row.numbers, row.system
    width, devices = values["hidden"], values["n_devices"]
    size = _format(row, "precision")
    scales = SCALE_BYTES.get(row.texts["precision"], 0.0)
    sent = traffic.pair_traffic(
        tokens=values["tokens"],
        top_k=values["top_k"],
        width=width,
        bytes_per_element=size,
        scale_bytes_per_element=scales,
        devices=devices,
        devices_per_node=system.scale_up_domain_devices,
    )
    copies = values["tokens"] * values["top_k"] * width * (size + scales)
    if devices > system.scale_up_domain_devices and system.scale_out is None:
        raise InputError(f"{row.place}: {system.id} has no scale-out fabric, and its domain is smaller")
    out = system.scale_out.bytes_per_s if system.scale_out else 1.0
    up = system.scale_up.bytes_per_s
    return copies, float(sent.scale_up_bytes), float(sent.scale_out_bytes), devices, up, out


def work_of(rows: Sequence[Measurement]) -> Work:
    """Return what the operators of rows compute and move; InputError where a format or peak is unknown."""
    return Work(*np.array([_operator(row) for row in rows], dtype=float).T)


def exchange_of(rows: Sequence[Measurement]) -> Exchange:
    """Return what the transfers of rows send; InputError where a format or fabric is unknown."""
    return Exchange(*np.array([_exchange(row) for row in rows], dtype=float).T)


def layer_work(
    rows: Sequence[Measurement], calibrations: Mapping[str, Calibration], *, catalogue: Catalogue
) -> LayerWork:
    """Return what whole attention layers compute and move, the weights in the precision of the row.

    Parameters
    ----------
    rows : sequence of Measurement
        Rows of the operator `attention_layer`, whose notes name the model.
    calibrations : mapping of str to Calibration
        Efficiencies of each system, for all but core attention.
    catalogue : Catalogue
        Where models are looked up.

    Returns
    -------
    LayerWork
        An element per row.

    Raises
    ------
    InputError
        If a note names no model of the catalogue, or a precision has no peak.
    """
    cores, rest = [], []
    for row in rows:
        _peak(row)
        model = _model(row, catalogue)
        kind = max(model.attention, key=lambda layer: layer.layers)
        layers = Layers(
            model=model,
            attention=row.system,
            attention_calibration=calibrations[row.system.id],
            formats=Formats(others=row.texts["precision"]),
            tile_rows=TILE_ROWS,
        )
        batch, context = row.numbers["batch"], row.numbers["context_tokens"]
        own = [
            operator
            for operator in decode_operators(layers, sequences=batch, context=context)
            if operator.part == kind.name
        ]
        accelerator = row.system.accelerator
        peak, bandwidth = accelerator.peak_flop_per_s["bf16"], accelerator.memory_bytes_per_s
        core = next(operator for operator in own if operator.name == "core_attention")
        cores.append((float(core.flops), float(core.bytes_moved), batch, 0.0, peak, bandwidth))
        rest.append(sum(float(operator.time) for operator in own if operator is not core))
    return LayerWork(Work(*np.array(cores, dtype=float).T), np.array(rest))


def _model(row: Measurement, catalogue: Catalogue) -> Model:
    """Return the model that a row's note names: a catalogue id or alias, or a paper's short name."""
    words = re.findall(r"[\w.-]+", row.texts["note"].lower())
    known = {*catalogue.ids("model"), *SHORT_NAMES}
    found = next((word for word in words if word in known), None)
    if found is None:
        raise InputError(
            f"{row.place}: note {shown(row.texts['note'])} names no model; write its catalogue id first"
        )
    return load_model(SHORT_NAMES.get(found, found), catalogue=catalogue)


def measured_us(row: Measurement) -> float:
    """Return the measured time of a row: its latency, else what its rate implies [us]."""
    values = row.numbers
    if "latency_us" in values:
        return values["latency_us"]
    link = TABLES.get(row.operator) == "link"
    first, second, *_ = _exchange(row) if link else _operator(row)
    if "tflops" in values and not link:
        return first / (values["tflops"] * 1e6)
    if "gb_per_s" in values:
        return (first if link else second) / (values["gb_per_s"] * 1e3)
    raise InputError(f"{row.place}: tflops says nothing of a transfer: give latency_us or gb_per_s")
