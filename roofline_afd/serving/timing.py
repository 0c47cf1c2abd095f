"""One operator of a device and layer: what it counts, and how long it takes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.catalogue.calibration import STRENGTH, weakest
from roofline_afd.catalogue.hardware import PEAK_KEYS
from roofline_afd.catalogue.precision import operand, precision
from roofline_afd.errors import InputError
from roofline_afd.physics import filling, operators
from roofline_afd.serving.sizes import ACTIVATION_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from roofline_afd.catalogue.calibration import OperatorEfficiency
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.products import Product
    from roofline_afd.physics.arrays import BoolLike, FloatArray, FloatLike
    from roofline_afd.serving.sizes import Layers, Side


COUNTS = 0.1
"""Share of a time from which a term counts in what kind of evidence the time rests on [1]."""
STEP = 0.01
"""Change of a term that shows its share of a time [1]."""


class Operator(NamedTuple):
    """One operator of one device and layer: how many layers have it, what it counts, how long it takes.

    `flops` that the result needs [FLOP], `bytes_moved` of memory or link [B], `time` [s]; `kind` is that of
    the efficiencies of its kernel, which `efficiency` names.
    """

    name: str
    side: Side
    part: str
    layers: int
    flops: FloatArray
    bytes_moved: FloatArray
    time: FloatArray
    efficiency: str
    basis: str | tuple[Work, OperatorEfficiency]
    """Kind of its efficiencies, or what it is told from when asked."""
    arguments: Mapping[str, Any]
    """What the formulas of this operator were called with, by parameter name."""

    @property
    def kind(self) -> str:
        """Weakest kind that a good part of its time rests on, anywhere in its arrays."""
        if isinstance(self.basis, str):
            return self.basis
        work, found = self.basis
        return weakest(set(np.ravel(work.kinds(found)).tolist()))


def stated(value: FloatLike) -> bool:
    """Whether a table states a term of a kernel's law: arrays of values always do."""
    return not isinstance(value, float) or value != 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a kernel computes and moves, whatever it reaches of the peaks: numbers, or arrays of rows."""

    flops: FloatLike
    bytes_moved: FloatLike
    tokens: FloatLike
    """Rows of the product, or new tokens of a prompt [1]."""
    depth: FloatLike
    peak: FloatLike
    memory_bandwidth: FloatLike
    rows: FloatLike = 0.0
    """Rows that share an operand, filled up to tiles: of a product, of an expert, of a cached head [1]."""
    spread: BoolLike = False
    """Whether these rows are a mean over groups that are filled unevenly."""
    items: FloatLike = np.inf
    """Pieces of work of a decode core: sequences times cached heads [1]."""
    entries: FloatLike = 0.0
    """Cached entries that each attends to [1]."""
    vector_bytes: FloatLike = 0.0
    """Bytes of queries and results [B]."""
    cache_peak: FloatLike = 0.0
    """Peak rate in the format of the cache, for cores that multiply in it; 0 where there is none [FLOP/s]."""

    @property
    def is_core(self) -> bool:
        """Whether it is a decode core, dealt out in pieces."""
        return not isinstance(self.items, float) or self.items != np.inf

    @property
    def fills_tiles(self) -> bool:
        """Whether its rows fill tiles."""
        return not isinstance(self.rows, float) or self.rows != 0.0

    def arguments(self, found: OperatorEfficiency) -> dict[str, Any]:
        """Return the arguments of `operator_time`: without those of terms that the kernel's law lacks."""
        arguments: dict[str, Any] = {
            "flops": self.flops,
            "bytes_moved": self.bytes_moved,
            "tokens": self.tokens,
            "depth": self.depth,
            "peak": self.peak,
            "memory_bandwidth": self.memory_bandwidth,
            "compute_efficiency": found.compute_efficiency,
            "memory_efficiency": found.memory_efficiency,
            "launch": found.launch_s + found.cold_s,
        }
        if found.core_in_cache_format and self.is_core:
            arguments["peak"] = np.maximum(self.peak, self.cache_peak)
        if stated(found.compute_efficiency_wide):
            arguments["compute_efficiency"] = filling.wide_share(
                rows=self.rows,
                tile_rows=found.tile_rows,
                narrow=found.compute_efficiency,
                wide=found.compute_efficiency_wide,
            )
        padding = self._padding(found)
        if padding is not None:
            arguments["padding"] = padding
        if stated(found.half_saturation_tokens):
            arguments["half_saturation_tokens"] = found.half_saturation_tokens
        if stated(found.depth_time_s):
            arguments["depth_time"] = found.depth_time_s
        if self.is_core and stated(found.few_items_s):
            arguments["growth"] = filling.few_items_growth(items=self.items, entries=self.entries)
            arguments["growth_time"] = found.few_items_s
        if self.is_core and stated(found.vector_efficiency):
            arguments["vector_bytes"] = self.vector_bytes
            arguments["vector_efficiency"] = found.vector_efficiency
        return arguments

    def _padding(self, found: OperatorEfficiency) -> FloatArray | None:
        """Return operations done over those needed; None where nothing is filled up."""
        padding: FloatArray | None = None
        core = self.is_core
        if found.tile_rows > 1 and (core or self.fills_tiles):
            tiles = {"rows": self.rows, "tile_rows": found.tile_rows}
            if self.spread:
                padding = filling.spread_padded_share(**tiles)
            else:
                padding = (filling.padded_share if core else filling.least_tile_share)(**tiles)
        if found.processors and core:
            share = filling.filled_waves(items=self.items, processors=found.processors)
            padding = np.divide(1.0 if padding is None else padding, share)
        return padding

    def filled(self, found: OperatorEfficiency) -> dict[str, FloatLike]:
        """Return what fills tiles and processors, where the kernel's law has them."""
        tiles = {"rows": self.rows, "tile_rows": found.tile_rows} if found.tile_rows > 1 else {}
        waves = {"items": self.items, "processors": found.processors} if found.processors else {}
        pieces = {"items": self.items, "entries": self.entries} if found.few_items_s else {}
        return {**tiles, **waves, **pieces}

    def times(self, found: OperatorEfficiency) -> FloatArray:
        """Return the time [s]."""
        return operators.operator_time(**self.arguments(found))

    def kinds(self, found: OperatorEfficiency) -> NDArray[np.str_]:
        """Return the kind of what each time rests on: of the terms that a good part of it comes from."""
        arguments = self.arguments(found)
        whole = np.asarray(operators.operator_time(**arguments))
        ranks = np.zeros(whole.shape, dtype=int)
        more = 1.0 + STEP
        terms = (
            (found.kind, {"launch": more * arguments["launch"], "depth_time": more * found.depth_time_s}),
            (found.few_kind, {"growth_time": more * found.few_items_s}),
            (found.compute_kind, {"compute_efficiency": arguments["compute_efficiency"] / more}),
            (found.memory_kind, {"memory_efficiency": arguments["memory_efficiency"] / more}),
        )
        if len({kind for kind, _ in terms}) == 1:
            return np.full(whole.shape, found.kind)
        for kind, changed in terms:
            if kind == STRENGTH[0]:
                continue
            slower = operators.operator_time(**arguments | changed)
            counts = np.greater(slower - whole, COUNTS * STEP * whole)
            ranks = np.where(counts, np.maximum(ranks, STRENGTH.index(kind)), ranks)
        return np.array(STRENGTH)[ranks]


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
        kernel: str,
        form: str = "",
        counted: Mapping[str, Any] | None = None,
        **work: FloatLike,
    ) -> Operator:
        """Return an operator with its time.

        `work` holds the fields of `Work` but the memory bandwidth; `counted` is what its operations and bytes
        were counted from.
        """
        found = self.layers.calibration(self.side).of(kernel, form)
        accelerator = self.layers.system(self.side).accelerator
        held = Work(memory_bandwidth=accelerator.memory_bytes_per_s, spread=False, **work)
        return self.timed(name, part, count, held, kernel=kernel, found=found, counted=counted)

    def timed(
        self,
        name: str,
        part: str,
        count: int,
        work: Work,
        *,
        kernel: str,
        found: OperatorEfficiency,
        counted: Mapping[str, Any] | None = None,
    ) -> Operator:
        """Return an operator of some work under given efficiencies."""
        arguments = work.arguments(found)
        time = operators.operator_time(**arguments)
        return Operator(
            *(name, self.side, part, count, work.flops, work.bytes_moved, time, kernel, (work, found)),
            {**(counted or {}), **work.filled(found), **arguments},
        )

    def product(
        self, item: Product, part: str, count: int, *, tokens: FloatLike, weights: str | None = None
    ) -> Operator:
        """Return a product of every token with the same weights, which are read once."""
        weights = weights or self.layers.formats.others
        system = self.layers.system(self.side)
        alone = isinstance(item.groups, int) and item.groups == 1
        rows, columns = tokens if alone else np.multiply(tokens, item.groups), item.n
        form = operand_of(system, weights, self.layers.formats.others)
        formats = {
            "input_bytes": precision(form).bytes,
            "weight_bytes": precision(weights).bytes,
            "output_bytes": ACTIVATION_BYTES,
        }
        shape = {"n": columns, "k": item.k}
        if alone:
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
            rows=tokens,
            depth=item.k,
            peak=system.accelerator.peak_flop_per_s[form],
            kernel="gemm",
            form=form,
            counted={"m": rows, **shape, **formats},
        )

    def streaming(
        self,
        name: str,
        part: str,
        count: int,
        *,
        microseconds: float,
        bytes_moved: FloatArray,
        counted: Mapping[str, Any],
    ) -> Operator:
        """Return small kernels: a given time, and bytes at the share of the memory bandwidth of products."""
        found = self.layers.calibration(self.side).of("gemm", "fp8")
        bandwidth = self.layers.system(self.side).accelerator.memory_bytes_per_s
        time = microseconds * 1e-6 + bytes_moved / (bandwidth * found.memory_efficiency)
        kind = "derived" if found.memory_kind == STRENGTH[0] else found.memory_kind
        return Operator(name, self.side, part, count, 0.0, bytes_moved, time, "", kind, dict(counted))

    def fixed(self, name: str, part: str, count: int, microseconds: float) -> Operator:
        """Return an operator of a given time that counts nothing."""
        time = microseconds * 1e-6
        return Operator(name, self.side, part, count, 0.0, 0.0, time, "", "estimated", {})


def operand_of(system: System, weights: str, arriving: str) -> str:
    """Return the format a product of two formats multiplies in on a system.

    Parameters
    ----------
    system : System
        What computes it.
    weights, arriving : str
        Formats of both operands.

    Returns
    -------
    str
        A format the system has a peak for.

    Raises
    ------
    InputError
        If the system has no peak that both can run at.
    """
    found = operand(precision(weights), precision(arriving), system.accelerator.peak_flop_per_s)
    if found is None:
        raise InputError(
            f"system {system.id} has no peak to multiply {weights} weights with; supply one with --set, for "
            f"example {PEAK_KEYS['bf16']}=VALUE"
        )
    return found


def peak_of(system: System, weights: str, arriving: str) -> float:
    """Return the peak a product of two formats runs at on a system [FLOP/s]; InputError as `operand_of`."""
    return system.accelerator.peak_flop_per_s[operand_of(system, weights, arriving)]
