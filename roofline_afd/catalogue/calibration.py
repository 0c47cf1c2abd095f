"""What operators and transfers reach of peak rates: fitted where measured, else class defaults."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.catalogue.records import weakest_kind
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from roofline_afd.catalogue.hardware import Accelerator, System
    from roofline_afd.catalogue.models import Model
    from roofline_afd.catalogue.records import Quantity, Record
    from roofline_afd.catalogue.store import Catalogue

OPERATOR_TABLES = ("gemm", "grouped_gemm", "attention", "index", "top_k", "convolution", "state")
"""Classes of operators, each with efficiencies of its own."""
EVERY_MODEL = ("gemm", "grouped_gemm", "attention", "link")
"""Tables that the times of every model rest on; the others only where it has such layers."""
DEFAULT = "default"
"""Record with the efficiencies of parts that were never measured."""
SERVICE = "service"
"""Record, and its table, of what running a service adds."""
ESTIMATED = "estimated"
BALANCE = "balance_flop_per_byte"
"""Key of the machine balance that rows at half saturation were measured at."""


@dataclasses.dataclass(frozen=True, slots=True)
class OperatorEfficiency:
    """What one class of operators reaches on one accelerator (`physics.operators.operator_time`).

    Shares of peak rates [1], rows at half saturation [1], fixed times [s] and [s/element of depth]. `kind` is
    that of all but the memory share, `memory_kind` that of the share: some kernels never show it.
    """

    compute_efficiency: float
    half_saturation_tokens: float
    memory_efficiency: float
    launch_s: float
    depth_time_s: float
    kind: str = ESTIMATED
    source: str = ""
    memory_kind: str = ESTIMATED


@dataclasses.dataclass(frozen=True, slots=True)
class LinkEfficiency:
    """What transfers reach on one system's fabrics (`physics.network.transfer_time`).

    Latencies [s], shares of peak bandwidth [1], growth per doubling of devices of the scale-out time and of
    the fixed time within a domain [1]. `kind`
    and `source` are those of what happens within a scale-up domain, `kind_out` and `source_out` of the rest.
    """

    latency_up_s: float
    latency_out_s: float
    efficiency_up: float
    efficiency_out: float
    scale_penalty: float
    latency_growth: float = 0.0
    kind: str = ESTIMATED
    source: str = ""
    kind_out: str = ESTIMATED
    source_out: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceConstants:
    """What running a service adds to its operators.

    Gap of a step [s], factor on transfers under live routing [1], small kernels of a layer and side [s].
    """

    gap_s: float
    communication_slowdown: float
    other_s: float
    source: str = ""
    validated_error: float = 0.0
    """Median absolute relative error on the published services that set none of these [1]."""
    validated_by_mode: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """By mode that error, and the median signed one: below 0 where services are faster than predicted [1]."""


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """Efficiencies of the operator classes of an accelerator, and of its links."""

    gemm: OperatorEfficiency
    grouped_gemm: OperatorEfficiency
    attention: OperatorEfficiency
    index: OperatorEfficiency
    top_k: OperatorEfficiency
    convolution: OperatorEfficiency
    state: OperatorEfficiency
    link: LinkEfficiency

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each part, by its name."""
        return {field.name: getattr(self, field.name).kind for field in dataclasses.fields(self)}


def tables_of(model: Model) -> tuple[str, ...]:
    """Return the tables that the times of a model rest on, of `OPERATOR_TABLES` and `link`."""
    kinds = model.attention
    index = ("index", "top_k") if any(kind.index_heads for kind in kinds) else ()
    state = ("state",) if any(kind.constant_state for kind in kinds) else ()
    taps = ("convolution",) if any(kind.elementwise_parameters for kind in kinds) else ()
    return (*EVERY_MODEL, *index, *taps, *state)


def record_for(table: str, part: str, key: str, *, catalogue: Catalogue) -> Record | None:
    """Return the calibration record that has a table for a part, if one does.

    Parameters
    ----------
    table : str
        A member of `OPERATOR_TABLES`, or `link`.
    part : str
        Id of an accelerator or a fabric.
    key : str
        List of the record that names the part: `accelerators`, `alike`, `scale_up`, `scale_out`.
    catalogue : Catalogue
        Where to look.

    Returns
    -------
    Record or None
        The record.

    Raises
    ------
    InputError
        If several have one: which is meant cannot be told.
    """
    found = [
        record
        for record in catalogue.naming("calibration", part)
        if table in record.data and part in record.data.get(key, ())
    ]
    if len(found) > 1:
        files = " and ".join(record.file for record in found[:2])
        raise InputError(f"{files} both calibrate [{table}] of {part}: keep one")
    return found[0] if found else None


def load_calibration(system: System, *, catalogue: Catalogue | None = None) -> Calibration:
    """Return the efficiencies of a system: measured where its parts were, estimated where they were not.

    Parameters
    ----------
    system : System
        The system.
    catalogue : Catalogue, optional
        Where to look; where the system was found by default.

    Returns
    -------
    Calibration
        Efficiencies, each with the kind and the source of what it rests on.

    Raises
    ------
    InputError
        If a record is faulty, or two of them calibrate the same part.

    Examples
    --------
    >>> from roofline_afd.catalogue.hardware import load_system
    >>> load_calibration(load_system("h800")).gemm.kind
    'measured'
    """
    catalogue = catalogue or system.parts.catalogue
    operators = {table: _operator(table, system.accelerator, catalogue) for table in OPERATOR_TABLES}
    return Calibration(**operators, link=_link(system, catalogue))


def load_service_constants(catalogue: Catalogue) -> ServiceConstants:
    """Return what running a service adds to its operators; InputError where no record says."""
    found = catalogue.record("calibration", SERVICE)
    values = table_quantities(found, SERVICE)
    return ServiceConstants(
        gap_s=values["gap_ms"].si,
        communication_slowdown=values["communication_slowdown"].si,
        other_s=values["other_us"].si,
        source=_source(found, values.values()),
        validated_error=float(found.data[SERVICE].get("validated_error", 0.0)),
        validated_by_mode={
            mode: (
                found.data[SERVICE][f"validated_error_{mode}"],
                found.data[SERVICE][f"validated_bias_{mode}"],
            )
            for mode in ("ep", "afd")
            if f"validated_error_{mode}" in found.data[SERVICE]
            and f"validated_bias_{mode}" in found.data[SERVICE]
        },
    )


def _balance(part: Accelerator) -> float:
    """Return the operations an accelerator does at 8 bits in the time it reads a byte [FLOP/B]."""
    peaks = part.peak_flop_per_s
    eight_bits = max((peaks[name] for name in ("fp8", "int8") if name in peaks), default=0.0)
    return (eight_bits or 2.0 * peaks.get("bf16", 0.0)) / part.memory_bytes_per_s


def _operator(table: str, part: Accelerator, catalogue: Catalogue) -> OperatorEfficiency:
    record = record_for(table, part.id, "accelerators", catalogue=catalogue)
    alike = record or record_for(table, part.id, "alike", catalogue=catalogue)
    chosen = alike or catalogue.record("calibration", DEFAULT)
    values = table_quantities(chosen, table)
    scale = 1.0
    if BALANCE in values and alike is None:
        scale = _balance(part) / values[BALANCE].si
    return OperatorEfficiency(
        compute_efficiency=values["compute_efficiency"].si,
        half_saturation_tokens=values["half_saturation_tokens"].si * scale,
        memory_efficiency=values["memory_efficiency"].si,
        launch_s=values["launch_us"].si,
        depth_time_s=values["depth_ns"].si,
        kind=weakest_kind(value for key, value in values.items() if key != "memory_efficiency")
        if record
        else ESTIMATED,
        source=_source(chosen, values.values()),
        memory_kind=values["memory_efficiency"].kind if record else ESTIMATED,
    )


def _link(system: System, catalogue: Catalogue) -> LinkEfficiency:
    default = catalogue.record("calibration", DEFAULT)
    fallback = table_quantities(default, "link")
    record = record_for("link", system.scale_up.id, "scale_up", catalogue=catalogue)
    own = table_quantities(record, "link") if record else {}
    up = {key: own.get(key, fallback[key]) for key in ("latency_up_us", "efficiency_up", "latency_growth")}
    out = {key: own.get(key, fallback[key]) for key in ("latency_out_us", "efficiency_out", "scale_penalty")}
    fabric = system.scale_out.id if system.scale_out else ""
    measured_out = record is not None and fabric in record.data.get("scale_out", ())
    return LinkEfficiency(
        latency_up_s=up["latency_up_us"].si,
        latency_out_s=out["latency_out_us"].si,
        efficiency_up=up["efficiency_up"].si,
        efficiency_out=out["efficiency_out"].si,
        scale_penalty=out["scale_penalty"].si,
        latency_growth=up["latency_growth"].si,
        kind=weakest_kind(value for key, value in up.items() if key != "latency_growth"),
        source=_source(record or default, up.values()),
        kind_out=weakest_kind(out.values()) if measured_out else ESTIMATED,
        source_out=_source(record or default, out.values()),
    )


def table_quantities(record: Record, table: str) -> dict[str, Quantity]:
    """Return the quantities of one table of a record, by their bare keys."""
    prefix = f"{table}."
    found = {
        key.removeprefix(prefix): value for key, value in record.quantities.items() if key.startswith(prefix)
    }
    if not found:
        raise InputError(f"{record.file}: missing [{table}]")
    return found


def _source(record: Record, values: Iterable[Quantity]) -> str:
    """Return which record a table comes from, and what that rests on."""
    sources = dict.fromkeys(str(source) for value in values for source in value.sources)
    return f"calibration {record.id}: {'; '.join(sources)}"
