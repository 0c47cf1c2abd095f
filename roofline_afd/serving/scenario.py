"""The question: a system, a model, a latency target, and how the network and numbers are used."""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.catalogue.hardware import System, load_system
from roofline_afd.catalogue.models import Model, load_model
from roofline_afd.catalogue.precision import Precision, operand, precision
from roofline_afd.errors import InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

FAN_OUTS = ("paper", "uniform", "grouped")
DUPLEXES = ("shared", "full")
LINKS = ("nominal", "calibrated")
LARGEST = 1e15
"""Numbers from here on mean nothing in this field, and are refused with infinity."""
SHORTEST_TPOT_MS = 1e-6
MAX_COUNT = 1_000_000
"""No cluster, batch or pipeline has more of anything that is counted here."""


def _as_system(value: System | str) -> System:
    return value if isinstance(value, System) else load_system(value)


def _as_model(value: Model | str) -> Model:
    return value if isinstance(value, Model) else load_model(value)


def _id(value: System | Model) -> str:
    return repr(value.id)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def finite(
    name: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float = math.inf,
) -> float:
    """Check that a value is a finite number within bounds.

    Parameters
    ----------
    name : str
        Option the value belongs to, as messages call it.
    value : object
        What was given.
    above, least, below : float, optional
        The value must be above, at least, below these.

    Returns
    -------
    float
        The value.

    Raises
    ------
    InputError
        If it is no number, not finite, or out of bounds.
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        number = float(value) if real else math.nan  # type: ignore[arg-type]  # a real number, just checked
    except OverflowError:
        number = math.inf
    if not abs(number) < LARGEST:
        raise InputError(f"{name} {shown(value)} is not a finite number")
    if above is not None and number <= above:
        raise InputError(f"{name} {number:g} must be above {above:g}")
    if least is not None and number < least:
        raise InputError(f"{name} {number:g} must be at least {least:g}")
    if number >= below:
        raise InputError(f"{name} {number:g} must be below {below:g}")
    return number


def whole(name: str, value: object, *, most: int = MAX_COUNT) -> int:
    """Check that a value is a whole number from 1 to `most`.

    Parameters
    ----------
    name : str
        Option the value belongs to, as messages call it.
    value : object
        What was given.
    most : int
        The largest valid value.

    Returns
    -------
    int
        The value.

    Raises
    ------
    InputError
        If it is not whole or out of bounds.
    """
    number = finite(name, value)
    if not number.is_integer() or not 1 <= number <= most:
        raise InputError(f"{name} {number:g} must be a whole number from 1 to {most:,}")
    return int(number)


def choice(name: str, value: object, valid: Sequence[str]) -> str:
    """Check that a value is one of a few words; raises InputError naming the nearest."""
    if value not in valid:
        raise InputError(f"{name} {shown(value)} is not valid{nearest(str(value)[:80], valid)}")
    return str(value)


@attrs.frozen(kw_only=True)
class Scenario:
    """One question, in the units of the command line's options; checked when made.

    Parameters
    ----------
    system : System or str
        What is bought, or its id.
    model : Model or str
        What is served, or its id.
    tpot_ms : float
        Time per output token allowed [ms].
    accept_length : float
        Mean tokens accepted per step with speculative decoding; 1 without [1].
    gap_ms : float
        Time of a step outside its layers [ms].
    microbatches : int
        Micro-batches in flight [1].
    attention_devices : int, optional
        Attention devices that send to the FFN devices; where absent only the receiving end counts [1].
    expert_precision : str, optional
        Format of the expert weights; where absent the first of fp8, int8, bf16 the accelerator computes in.
    dispatch_precision : str, optional
        Format of the vectors sent to the experts; where absent chosen as for the weights.
    combine_precision : str, optional
        Format of the vectors sent back; where absent bf16.
    fan_out : str
        How the experts of a token spread over nodes: `paper`, `uniform` or `grouped`.
    duplex : str
        Whether dispatch and combine share the stage (`shared`) or overlap (`full`).
    links : str
        Efficiency of the links: the `nominal` convention, or `calibrated`, as published measurements.
    memory_reserve : float
        Share of device memory kept free [1].

    Raises
    ------
    InputError
        If any value is out of bounds, or the latency target leaves no time for the layers.
    """

    system: System = attrs.field(converter=_as_system, repr=_id)
    model: Model = attrs.field(converter=_as_model, repr=_id)
    tpot_ms: float = 50.0
    accept_length: float = 1.0
    gap_ms: float = 0.0
    microbatches: int = 3
    attention_devices: int | None = None
    expert_precision: str | None = None
    dispatch_precision: str | None = None
    combine_precision: str | None = None
    fan_out: str = "paper"
    duplex: str = "shared"
    links: str = "nominal"
    memory_reserve: float = 0.1

    def __attrs_post_init__(self) -> None:
        finite("--tpot-ms", self.tpot_ms, above=0, below=1e9)
        finite("--tpot-ms", self.tpot_ms, least=SHORTEST_TPOT_MS)
        finite("--accept-length", self.accept_length, least=1, below=1e3)
        finite("--gap-ms", self.gap_ms, least=0, below=1e9)
        whole("--microbatches", self.microbatches, most=1000)
        if self.attention_devices is not None:
            whole("--attention-devices", self.attention_devices)
        finite("--memory-reserve", self.memory_reserve, least=0, below=1)
        choice("--fan-out", self.fan_out, FAN_OUTS)
        choice("--duplex", self.duplex, DUPLEXES)
        choice("--links", self.links, LINKS)
        for name in ("expert_precision", "dispatch_precision", "combine_precision"):
            given = getattr(self, name)
            if given is not None:
                precision(given, option=_option(name))
        least = self.gap_ms / self.accept_length
        if self.tpot_ms <= least:
            raise InputError(
                f"--tpot-ms {self.tpot_ms:g} leaves no time for the layers: it must be above "
                f"--gap-ms {self.gap_ms:g} / --accept-length {self.accept_length:g} = {least:g} ms"
            )
        if self.fan_out == "grouped" and self.model.expert_groups == 1:
            raise InputError(
                f"--fan-out grouped: {self.model.id} does not limit routing to groups; valid: paper, uniform"
            )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, FBT001 - a notebook's protocol
        del cycle
        printer.text(repr(self))

    @property
    def native_precision(self) -> str:
        """The narrowest of fp8, int8 and bf16 that the accelerator has a peak for."""
        return next(name for name in ("fp8", "int8", "bf16") if name in self._peaks)

    @property
    def _peaks(self) -> dict[str, float]:
        peaks = dict(self.system.accelerator.peak_flop_per_s)
        if not {"fp8", "int8", "bf16"} & set(peaks):
            raise InputError(f"system {self.system.id} has no fp8, int8 or bf16 peak; supply one with --set")
        return peaks

    @property
    def weights(self) -> Precision:
        """Format of the expert weights."""
        return precision(self.expert_precision or self.native_precision)

    @property
    def dispatched(self) -> Precision:
        """Format of the vectors sent to the experts."""
        return precision(self.dispatch_precision or self.native_precision)

    @property
    def combined(self) -> Precision:
        """Format of the vectors sent back."""
        return precision(self.combine_precision or "bf16")

    @property
    def operand(self) -> str:
        """Peak the expert product runs at (`catalogue.precision.operand`)."""
        found = operand(self.weights, self.dispatched, self._peaks)
        if found is None:
            raise InputError(
                f"system {self.system.id} has no peak to multiply {self.weights.id} weights with"
            )
        return found
