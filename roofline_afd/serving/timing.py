"""One operator of a device and layer: what it counts, and how long it takes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.catalogue.hardware import PEAK_KEYS
from roofline_afd.catalogue.precision import operand, precision
from roofline_afd.catalogue.records import KINDS
from roofline_afd.errors import InputError
from roofline_afd.physics import attention, operators
from roofline_afd.serving.sizes import ACTIVATION_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.catalogue.calibration import OperatorEfficiency
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.products import Product
    from roofline_afd.physics.arrays import FloatArray, FloatLike
    from roofline_afd.serving.sizes import Layers, Side


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

    @property
    def work(self) -> FloatArray:
        """Operations the model needs: `flops` without those that only fill up tiles [FLOP]."""
        if "tile_rows" not in self.arguments:
            return self.flops
        asked = inspect.signature(attention.decode_attention_flops).parameters
        return attention.decode_attention_flops(
            **{
                **{key: self.arguments[key] for key in asked},
                "tile_rows": 1,
            }
        )


class Clock(NamedTuple):
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
            "input_bytes": input_bytes_of(system, weights, native),
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
            peak=peak_of(system, weights, native),
            efficiency="gemm",
            counted={"m": rows, **shape, **formats},
        )

    def fixed(self, name: str, part: str, count: int, microseconds: float) -> Operator:
        """Return an operator of a given time that counts nothing."""
        time = microseconds * 1e-6
        return Operator(name, self.side, part, count, 0.0, 0.0, time, "", "estimated", {})


def _kind(found: OperatorEfficiency, arguments: dict[str, Any], time: FloatArray) -> str:
    """Return the kind of what a time rests on: the memory share's too where memory binds anywhere."""
    if found.kind == found.memory_kind:
        return found.kind
    doubled = arguments | {"memory_efficiency": 2 * found.memory_efficiency}
    bound = np.any(np.asarray(operators.operator_time(**doubled)) < np.asarray(time))
    return max(found.kind, found.memory_kind, key=KINDS.index) if bound else found.kind


def peak_of(system: System, weights: str, arriving: str) -> float:
    """Return the peak a product of two formats runs at on a system.

    Parameters
    ----------
    system : System
        What computes it.
    weights, arriving : str
        Formats of both operands.

    Returns
    -------
    float
        Peak [FLOP/s].

    Raises
    ------
    InputError
        If the system has no peak that both can run at.
    """
    peaks = system.accelerator.peak_flop_per_s
    found = operand(precision(weights), precision(arriving), peaks)
    if found is None:
        raise InputError(
            f"system {system.id} has no peak to multiply {weights} weights with; supply one with --set, for "
            f"example {PEAK_KEYS['bf16']}=VALUE"
        )
    return peaks[found]


def input_bytes_of(system: System, weights: str, arriving: str) -> float:
    """Return the bytes of an element of a product's input: that of the format it runs in.

    Parameters
    ----------
    system : System
        What computes it.
    weights, arriving : str
        Formats of both operands.

    Returns
    -------
    float
        Bytes of an element [B].
    """
    found = operand(precision(weights), precision(arriving), system.accelerator.peak_flop_per_s)
    return precision(found).bytes if found else ACTIVATION_BYTES
