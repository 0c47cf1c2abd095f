"""What operators and transfers reach of peak rates: fitted where measured, else class defaults."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING

from roofline_afd.catalogue.engines import load_engine
from roofline_afd.catalogue.links import LinkEfficiency, load_link
from roofline_afd.catalogue.records import KINDS, source_of, table_quantities
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.models import Model
    from roofline_afd.catalogue.records import Quantity, Record
    from roofline_afd.catalogue.store import Catalogue

OPERATOR_TABLES = (
    *("gemm", "gemm_bf16", "gemm_fp4"),
    *("experts", "experts_fp4", "grouped_gemm", "grouped_gemm_fp4"),
    *("gqa_decode", "gqa_decode_fp8", "mla_decode", "mla_decode_fp8", "prefill_attention"),
    *("index", "top_k", "convolution", "state"),
)
"""Tables of kernels a record may have: a kernel each, and where an ending says so in one number format.

Without an ending products are of 8 bits, and caches of any width that the table was measured with. `experts`
times whole modules, products and the handling of what they receive; `grouped_gemm` a product alone."""
EARLIER = {"mla_decode": "attention", "gqa_decode": "attention"}
"""Names that records of earlier versions have for tables."""
EVERY_MODEL = ("gemm", "grouped_gemm")
"""Kernels that the times of every model rest on; the others only where it has such layers."""
EXPERT_KERNELS = ("experts", "grouped_gemm")
"""Kernels of experts: modules that sort what they are handed, and products of vectors that arrive sorted."""
DEFAULT = "default"
"""Record with the efficiencies of parts that were never measured."""
SERVICE = "service"
"""Record, and its table, of what running a service adds."""
ROUTING = "routing"
"""Record, and its table, of how alike live tokens choose experts."""
MEASURED, SIBLING, ESTIMATED = "measured", "sibling", "estimated"
STRENGTH = (*KINDS[:-1], SIBLING, ESTIMATED)
"""Kinds of efficiencies, strongest first: `sibling` was measured on a part of the same make, or in another
number format."""
LAW_UNITS = {
    "launch_us": "launch_s",
    "depth_ns": "depth_time_s",
    "few_items_us": "few_items_s",
    "cold_us": "cold_s",
    "cache_mb": "cache_bytes",
    "pacing_us": "pacing_s",
    "compute_efficiency": "compute_efficiency",
    "compute_efficiency_wide": "compute_efficiency_wide",
    "half_saturation_tokens": "half_saturation_tokens",
    "memory_efficiency": "memory_efficiency",
    "warm_memory_efficiency": "warm_memory_efficiency",
    "vector_efficiency": "vector_efficiency",
    "tile_rows": "tile_rows",
    "processors": "processors",
    "pair_ps": "pair_time_s",
    "token_ps": "token_time_s",
}
"""Key of a table to the field of `OperatorEfficiency` with its SI value; a table states those of its law."""
COMPUTE_KEYS = ("compute_efficiency", "compute_efficiency_wide", "half_saturation_tokens")
MEMORY_KEYS = ("memory_efficiency", "vector_efficiency")
STRUCTURE = ("tile_rows", "processors")
"""Keys that say how a device is built."""
ROWS_ALONE = ("cache_mb", "pacing_us", "warm_memory_efficiency")
"""Keys that say how rows were timed, and nothing of a service."""


def weakest(kinds: Iterable[str]) -> str:
    """Return the weakest of some kinds of efficiencies."""
    return max(kinds, key=STRENGTH.index, default=MEASURED)


@dataclasses.dataclass(frozen=True, slots=True)
class OperatorEfficiency:
    """What one kernel reaches on one accelerator (`physics.operators.operator_time`).

    Shares of peak rates [1], fixed times [s], [s/element of depth], [s/element handled], rows [1]; terms that
    its table does not state are neutral. `kind` is that of its fixed times, `few_kind` that of their growth
    where pieces are few, `compute_kind` and `memory_kind` those of the shares: some kernels never show one.
    """

    compute_efficiency: float
    memory_efficiency: float
    launch_s: float
    depth_time_s: float = 0.0
    half_saturation_tokens: float = 0.0
    compute_efficiency_wide: float = 0.0
    """Share of the peak from `physics.filling.WIDE_ROWS` rows of an operand on; 0 where it is no other."""
    few_items_s: float = 0.0
    vector_efficiency: float = 0.0
    cold_s: float = 0.0
    """Time added where what is read is not in the cache on the chip: always, in a service."""
    cache_bytes: float = 0.0
    """Bytes below which measured rows do not pay it."""
    warm_memory_efficiency: float = 0.0
    """Share of the memory bandwidth of measured rows whose weights may be in the cache on the chip."""
    pacing_s: float = 0.0
    """Least time of measured rows, whose loop its host paces."""
    tile_rows: float = 1.0
    processors: float = 0.0
    pair_time_s: float = 0.0
    token_time_s: float = 0.0
    core_in_cache_format: bool = False
    """Whether a core multiplies in the format of the cache where that is narrower than its own."""
    module: bool = False
    """Whether it times whole expert modules: their handling too."""
    kind: str = ESTIMATED
    few_kind: str = ESTIMATED
    compute_kind: str = ESTIMATED
    memory_kind: str = ESTIMATED
    evidence: str = ESTIMATED
    """Whether its table was `measured` on the part, on a `sibling`, or neither."""
    source: str = ""
    family: str = ""
    """Library whose kernel it is."""


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceConstants:
    """What running a service adds to its operators.

    Gap of a step [s], factor on transfers under live routing [1], small kernels of a layer and side [s].
    """

    gap_s: float
    communication_slowdown: float
    other_s: float
    router_s: float = 0.0
    """Choice of a token's experts beyond the product of the router, a layer [s]."""
    routing_exponent: float = 1.0
    """How alike live tokens choose experts [1]."""
    popularity_exponent: float = 0.0
    """How fast the popularity of experts falls with rank under live routing [1]."""
    source: str = ""
    validated_error: float = 0.0
    """Median absolute relative error on the published services that set none of these [1]."""
    validated_by_mode: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    """By mode that error, and the median signed one: below 0 where services are faster than predicted [1]."""


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """The table that a kernel's efficiencies are taken from, and how far it was measured on the part."""

    record: Record
    table: str
    kind: str

    @property
    def family(self) -> str:
        """Library whose kernel the table times; empty where it does not say."""
        return str(self.record.data[self.table].get("family", ""))

    def in_format(self, form: str) -> bool:
        """Whether the table was measured in a number format; so where none is asked, or it names none."""
        formats = self.record.data[self.table].get("formats")
        return not form or formats is None or form in formats

    def kind_of(self, quantity: Quantity) -> str:
        """Return the kind that a value of the table has for the part."""
        return weakest((self.kind, quantity.kind))


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """Efficiencies of an accelerator's kernels, found when asked for, and those of its links.

    `given` take the place of those of records, by table.
    """

    part: str
    catalogue: Catalogue = dataclasses.field(repr=False)
    link: LinkEfficiency
    families: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    given: Mapping[str, OperatorEfficiency] = dataclasses.field(default_factory=dict)
    _found: dict[tuple[str, str], OperatorEfficiency] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of(self, kernel: str, form: str = "") -> OperatorEfficiency:
        """Return the efficiencies of a kernel.

        Parameters
        ----------
        kernel : str
            A member of `KERNELS`.
        form : str
            Number format: of the operands of a product, of the cache that is read.

        Returns
        -------
        OperatorEfficiency
            Efficiencies, each with the kind and the source of what it rests on.
        """
        if kernel in self.given:
            return self.given[kernel]
        key = (kernel, form)
        if key not in self._found:
            self._found[key] = _operator(
                choose(kernel, form, self.part, catalogue=self.catalogue, families=self.families)
            )
        return self._found[key]


KERNELS = tuple(table for table in OPERATOR_TABLES if not table.endswith(("_bf16", "_fp4", "_fp8")))
"""Kernels that efficiencies are asked of; of both kinds of experts' kernels one stands in for the other."""


def kernels_of(model: Model) -> tuple[str, ...]:
    """Return the kernels that decoding with a model takes, of `KERNELS`."""
    kinds = model.attention
    core = {kind.kernel for kind in kinds}
    index = {"index", "top_k"} if any(kind.index_heads for kind in kinds) else set()
    taps = {"convolution"} if any(kind.elementwise_parameters for kind in kinds) else set()
    return tuple(each for each in KERNELS if each in {*EVERY_MODEL, *core, *index, *taps})


def _tables_for(kernel: str, form: str) -> list[tuple[str, ...]]:
    """Return the tables that may serve a kernel, those of its number format first."""
    if kernel in EXPERT_KERNELS:
        both = EXPERT_KERNELS if kernel == "experts" else EXPERT_KERNELS[::-1]
        formed = [f"{each}_{form}" for each in both if f"{each}_{form}" in OPERATOR_TABLES]
        return [(table,) for table in (*formed, *both)]
    own = f"{kernel}_{form}"
    return [(own,), (kernel,)] if own in OPERATOR_TABLES else [(kernel,)]


def _lists(record: Record, table: str, part: str) -> str:
    """Return as what a table covers a part: measured on it, sibling to it; empty where it does not."""
    found = record.data.get(table, record.data.get(EARLIER.get(table, ""), None))
    if found is None:
        return ""
    pooled = part in record.data.get("accelerators", ())
    if pooled and part in found.get("measured_on", [part]):
        return MEASURED
    return SIBLING if pooled or part in record.data.get("alike", ()) else ""


def choose(
    kernel: str,
    form: str,
    part: str,
    *,
    catalogue: Catalogue,
    families: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Choice:
    """Return the table that a kernel's efficiencies on a part are taken from.

    Of tables that name the part, one that says no family comes first, then one measured on the part itself,
    then in the order of families asked for; families not asked for only where no other names it, not even in
    a table of several formats.

    Parameters
    ----------
    kernel : str
        A member of `KERNELS`.
    form : str
        Number format: of the operands of a product, of the cache that is read.
    part : str
        Id of an accelerator.
    catalogue : Catalogue
        Where to look.
    families : mapping of str to sequence of str
        Kernel to the libraries whose kernels run, the first that has one wins.

    Returns
    -------
    Choice
        Record, table, and whether it was `measured` on the part and in the format, on a `sibling`, or is
        `estimated`.

    Raises
    ------
    InputError
        If two tables serve alike: which is meant cannot be told.
    """
    asked = list(families.get("experts" if kernel in EXPERT_KERNELS else kernel, ()))
    others: list[Choice] = []
    for tier in _tables_for(kernel, form):
        found = []
        for record in catalogue.naming("calibration", part):
            for table in tier:
                kind = _lists(record, table, part)
                if kind:
                    choice = Choice(record, table if table in record.data else EARLIER[table], kind)
                    found.append(_in_format(choice, form))
        if kernel == "gqa_decode" and any(each.table in tier for each in found):
            found = [each for each in found if each.table in tier]  # earlier tables were fitted to latents
        wanted = [each for each in found if not each.family or each.family in asked]
        if others:
            wanted = [each for each in wanted if each.in_format(form)]
        if wanted:
            return _best(wanted, part, asked)
        others = others or found
    if others:
        return _best(others, part, asked)
    record = catalogue.record("calibration", DEFAULT)
    table = next(table for tier in _tables_for(kernel, form) for table in tier if table in record.data)
    return Choice(record, table, ESTIMATED)


def _best(found: Sequence[Choice], part: str, asked: Sequence[str]) -> Choice:
    """Return the first of tables that serve a kernel; InputError where two serve alike."""
    order = {name: place for place, name in enumerate(asked)}
    ranks = [
        (bool(each.family), each.kind != MEASURED, order.get(each.family, len(order)), each.family)
        for each in found
    ]
    best = min(ranks)
    first, *others = (each for each, rank in zip(found, ranks, strict=True) if rank == best)
    if others:
        files = f"{first.record.file} and {others[0].record.file}"
        raise InputError(f"{files} both calibrate [{first.table}] of {part}: keep one")
    return first


def _in_format(choice: Choice, form: str) -> Choice:
    """Return a choice as measured only where the table was in that number format."""
    if choice.in_format(form) or choice.kind != MEASURED:
        return choice
    return dataclasses.replace(choice, kind=SIBLING)


def record_for(table: str, part: str, key: str, *, catalogue: Catalogue) -> Record | None:
    """Return the calibration record that has a table for a part, if one does.

    Parameters
    ----------
    table : str
        Name of the table.
    part : str
        Id of an accelerator.
    key : str
        List of the record that names it: `accelerators`, `alike`.
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


def load_calibration(
    system: System,
    *,
    catalogue: Catalogue | None = None,
    families: Mapping[str, Sequence[str]] | None = None,
    libraries: Sequence[str] = (),
    transport: str | None = None,
) -> Calibration:
    """Return the efficiencies of a system: measured where its parts were, estimated where they were not.

    Parameters
    ----------
    system : System
        The system.
    catalogue : Catalogue, optional
        Where to look; where the system was found by default.
    families : mapping of str to sequence of str, optional
        Kernel to the libraries whose kernels run, the first that has one wins; those of the engine `ideal`
        where absent.
    libraries : sequence of str
        Libraries whose kernels may send tokens to experts; those in use on the system's fabrics where empty.
    transport : str, optional
        How they are to send; as the library does where absent.

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
    >>> load_calibration(load_system("h800")).of("gemm", "fp8").kind
    'measured'
    """
    catalogue = catalogue or system.parts.catalogue
    return Calibration(
        part=system.accelerator.id,
        catalogue=catalogue,
        link=load_link(system, catalogue=catalogue, libraries=libraries, transport=transport),
        families=load_engine(catalogue=catalogue).families if families is None else families,
    )


def load_service_constants(catalogue: Catalogue) -> ServiceConstants:
    """Return what running a service adds to its operators; InputError where no record says."""
    found = catalogue.record("calibration", SERVICE)
    values = table_quantities(found, SERVICE)
    return ServiceConstants(
        gap_s=values["gap_ms"].si,
        communication_slowdown=values["communication_slowdown"].si,
        other_s=values["other_us"].si,
        router_s=values["router_us"].si if "router_us" in values else 0.0,
        popularity_exponent=values["popularity_exponent"].si if "popularity_exponent" in values else 0.0,
        routing_exponent=table_quantities(catalogue.record("calibration", ROUTING), ROUTING)["exponent"].si,
        source=source_of(found, values.values()),
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


def _operator(choice: Choice) -> OperatorEfficiency:
    """Return the efficiencies of a table in SI, with the kind of each part."""
    values = table_quantities(choice.record, choice.table)
    apart = {*COMPUTE_KEYS, *MEMORY_KEYS, *ROWS_ALONE, *STRUCTURE, "few_items_us"}
    fixed = [key for key in values if key not in apart]

    def kind(keys: Iterable[str]) -> str:
        return weakest(choice.kind_of(values[key]) for key in keys if key in values)

    return OperatorEfficiency(
        **{LAW_UNITS[key]: value.si for key, value in values.items()},
        core_in_cache_format=bool(choice.record.data[choice.table].get("core_in_cache_format")),
        module=choice.table.startswith("experts"),
        kind=kind(fixed),
        few_kind=kind(["few_items_us"]),
        compute_kind=kind(COMPUTE_KEYS),
        memory_kind=kind(MEMORY_KEYS),
        evidence=choice.kind,
        source=source_of(choice.record, values.values()),
        family=choice.family,
    )
