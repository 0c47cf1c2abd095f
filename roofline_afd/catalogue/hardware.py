"""Hardware in SI: accelerators, interconnects, and the systems one buys."""

from __future__ import annotations

import contextlib
import copyreg
import dataclasses
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.overrides import override
from roofline_afd.catalogue.records import GIVEN, Source
from roofline_afd.catalogue.schema import properties
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError, naming_arguments
from roofline_afd.units import to_si

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.catalogue.records import Price, Quantity, Record

PEAK_KEYS = {"bf16": "bf16_tflops", "fp8": "fp8_tflops", "int8": "int8_tops", "fp4": "fp4_tflops"}
"""Peak of a precision to the record key that holds it."""
DRIVER = "memory_driver_mib"
"""Key of the memory that the driver reports."""
AS_STATED = Source(title="the maker's figure in decimal bytes", date="2026-11")
"""Source of the driver's memory where no listing of a part was read: the least that its maker can mean."""
CUBE_DIMENSIONS = 3
"""Dimensions of a torus whose slices are made of cubes."""
NEEDED = (
    "memory_gb",
    "memory_gb_per_s",
    "scale_up_gb_per_s",
    "scale_up_efficiency",
    "devices_per_node",
    "scale_up_domain_devices",
)
"""What no computation can do without, besides a peak rate."""


@dataclasses.dataclass(frozen=True, slots=True)
class Accelerator:
    """One device: peak dense rates [FLOP/s] by precision, memory its driver reports [B], bandwidth [B/s]."""

    id: str
    name: str
    peak_flop_per_s: Mapping[str, float]
    memory_bytes: float
    memory_bytes_per_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Interconnect:
    """One fabric, per device and direction: peak [B/s] and the efficiencies that scale it [1]."""

    id: str
    name: str
    topology: str
    bytes_per_s: float
    efficiency: float
    measured_efficiency: float | None
    slices: Slices | None = None
    """What jobs run on in a torus; None of other fabrics."""
    tiers: tuple[Tier, ...] = ()
    """Units between which a switched fabric is slower, smallest first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Slices:
    """Slices of a torus, as its record states them: links, shapes, and which sides have their ends linked.

    `link_shares` are shares of a device's bandwidth: a link of each dimension. Beyond `shapes` there are
    those of whole cubes of side `cube_side`, up to `longest_side`. Ends are linked of sides from `ring_side`
    on, and of every side of slices from `ring_devices` on.
    """

    link_shares: tuple[float, ...]
    shapes: tuple[tuple[int, ...], ...]
    cube_side: int | None = None
    longest_side: int | None = None
    ring_side: int | None = None
    ring_devices: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Tier:
    """A unit of a switched fabric: its devices, and the share of its bandwidth a device has to reach them.

    Only those count that no smaller unit holds.
    """

    devices: int
    share: float


@dataclasses.dataclass(frozen=True, slots=True)
class System:
    """What one buys: accelerator, node, scale-up domain and scale-out fabric, with all provenance."""

    id: str
    name: str
    node_name: str
    domain_name: str
    """What a scale-up domain is called: a node where it is one."""
    accelerator: Accelerator
    scale_up: Interconnect
    scale_out: Interconnect | None
    devices_per_node: int
    scale_up_domain_devices: int
    parts: SystemParts = dataclasses.field(repr=False)
    overridden: tuple[str, ...] = ()

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """Every number of the system and its parts under the key `--set` knows it by."""
        return self.parts.quantities

    @property
    def prices(self) -> tuple[Price, ...]:
        """Dated prices of one device: the system's own where it states some, else its accelerator's."""
        return self.parts.system.prices or self.parts.accelerator.prices

    def __hash__(self) -> int:
        """Tell systems apart by id and by what was set; equal systems have both alike."""
        values = self.parts.quantities
        return hash((self.id, *((key, values[key].value) for key in self.overridden)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Return id, catalogue and what was set, which make the same system in another process."""
        given = {key: value.value for key, value in self.parts.quantities.items() if value.kind == GIVEN}
        told = (self.id, given, self.overridden, self.parts.catalogue)
        with contextlib.suppress(InputError):
            if _made_again(*told) == self:
                return _made_again, told
        return copyreg.__newobj__, (System,), self.__getstate__()  # type: ignore[attr-defined]  # of slots

    @property
    def superpod(self) -> bool:
        """Whether one scale-up domain has room for an attention node and an FFN node."""
        return self.scale_up_domain_devices >= 2 * self.devices_per_node


@dataclasses.dataclass(frozen=True, slots=True)
class SystemParts:
    """The records a system is made of, and all its quantities under their system-wide keys.

    An accelerator's key stands as it is, a fabric's with `scale_up_` or `scale_out_` before it.
    """

    system: Record
    accelerator: Record
    scale_up: Record | None
    scale_out: Record | None
    quantities: Mapping[str, Quantity]
    catalogue: Catalogue = dataclasses.field(repr=False, compare=False)
    """Where they were found, and where what was measured of them is."""

    @property
    def missing(self) -> list[str]:
        """Keys without a known value that every computation needs."""
        absent = [key for key in NEEDED if key not in self.quantities]
        if not any(key in self.quantities for key in PEAK_KEYS.values()):
            absent.insert(0, " or ".join(PEAK_KEYS.values()))
        return absent


def system_parts(name: str, *, catalogue: Catalogue | None = None) -> SystemParts:
    """Look up a system and its parts, and merge their quantities; the system's own values win.

    Parameters
    ----------
    name : str
        Id of a system.
    catalogue : Catalogue, optional
        Where to look; the shipped one with the user's overlays by default.

    Returns
    -------
    SystemParts
        Records and merged quantities.

    Raises
    ------
    InputError
        If the system, or a part it names, is unknown.
    """
    catalogue = catalogue or Catalogue()
    _refuse_part(name, catalogue)
    record = catalogue.record("system", name)

    def part(kind: str, key: str) -> Record:
        try:
            return catalogue.record(kind, record.text(key))
        except InputError as error:
            raise InputError(f"system {name}: {key}: {error}") from error

    accelerator = part("accelerator", "accelerator")
    scale_up, scale_out = (
        part("interconnect", key) if key in record.data else None for key in ("scale_up", "scale_out")
    )
    for key, fabric, wrong in (("scale_up", scale_up, "scale-out"), ("scale_out", scale_out, "scale-up")):
        if fabric is not None and fabric.text("scope") == wrong:
            raise InputError(f"system {name}: {key}: {fabric.id} is a {wrong} fabric")
    merged = dict(accelerator.quantities)
    for prefix, fabric in (("scale_up_", scale_up), ("scale_out_", scale_out)):
        if fabric is not None:
            merged |= {
                prefix + key: dataclasses.replace(value, key=prefix + key)
                for key, value in fabric.quantities.items()
            }
    merged |= record.quantities
    if "memory_gb" in merged and DRIVER not in merged:
        merged[DRIVER] = _as_stated(merged["memory_gb"])
    order = {key: rank for rank, key in enumerate(properties("system"))}
    quantities = dict(sorted(merged.items(), key=lambda item: order[item[0]]))
    return SystemParts(record, accelerator, scale_up, scale_out, quantities, catalogue)


def _as_stated(memory: Quantity) -> Quantity:
    """Return the driver's figure of a part without one: what its maker states in decimal bytes, estimated."""
    return dataclasses.replace(
        memory,
        key=DRIVER,
        value=memory.si / to_si(1.0, "MiB"),
        unit="MiB",
        kind="estimated",
        sources=(AS_STATED,),
        note="no listing of the part was read: the least that memory_gb can mean",
        alternatives=(),
    )


def _memory(parts: SystemParts, quantities: Mapping[str, Quantity]) -> float:
    """Return the memory of a device [B]: the driver's, in proportion where the maker's figure is changed."""
    stated, own = quantities["memory_gb"], {**parts.accelerator.quantities, **parts.system.quantities}
    if DRIVER not in quantities or "memory_gb" not in own:
        return stated.si
    driver = quantities[DRIVER]
    return driver.si if driver.kind == GIVEN else driver.si * (stated.value / own["memory_gb"].value)


def _refuse_part(name: str, catalogue: Catalogue) -> None:
    """Raise if a name is that of an accelerator or interconnect only, and say which systems have it."""
    if catalogue.find("system", name) is not None:
        return
    for kind in ("accelerator", "interconnect"):
        if catalogue.find(kind, name) is not None:
            keys = ("accelerator",) if kind == "accelerator" else ("scale_up", "scale_out")
            owners = [
                system.id
                for system in catalogue.records("system")
                if name in (system.text(key) for key in keys)
            ]
            valid = f"systems with it: {', '.join(owners)}" if owners else "no system of the catalogue has it"
            raise InputError(f"{name} is an {kind}, not a system; {valid}")


def _domain_name(system: Record, quantities: Mapping[str, Quantity]) -> str:
    """Return what a scale-up domain is called: as a node where it is no larger than one."""
    node, domain = (quantities[key].value for key in ("devices_per_node", "scale_up_domain_devices"))
    return (system.text("node_name") or "node") if domain <= node else system.text("domain_name") or "domain"


def _made_again(
    name: str, given: Mapping[str, float], overridden: tuple[str, ...], catalogue: Catalogue
) -> System:
    """Return a system as it was before it was pickled."""
    return dataclasses.replace(load_system(name, overrides=given, catalogue=catalogue), overridden=overridden)


@naming_arguments()
def load_system(
    name: str, *, overrides: Mapping[str, float | str] | None = None, catalogue: Catalogue | None = None
) -> System:
    """Load a system in SI, with any value overridden.

    Parameters
    ----------
    name : str
        Id of a system, for example `"h800"`.
    overrides : mapping of str to float or str, optional
        Record key to value in the key's unit, or text with a unit (`"400 Gb/s"`).
    catalogue : Catalogue, optional
        Where to look; the shipped one with the user's overlays by default.

    Returns
    -------
    System
        SI values and the provenance of each.

    Raises
    ------
    InputError
        If the id or a key is unknown, a value is out of bounds, or the system is known but incomplete.

    Examples
    --------
    >>> load_system("h800", overrides={"scale_out_gb_per_s": "800 Gb/s"}).scale_out.bytes_per_s
    100000000000.0
    """
    return build_system(system_parts(name, catalogue=catalogue), overrides=overrides)


def build_system(parts: SystemParts, *, overrides: Mapping[str, float | str] | None = None) -> System:
    """Turn records into a system in SI.

    Parameters
    ----------
    parts : SystemParts
        Records and quantities; those of a `System` to change one that is loaded.
    overrides : mapping of str to float or str, optional
        As for `load_system`.

    Returns
    -------
    System
        SI values and the provenance of each.

    Raises
    ------
    InputError
        If a key is unknown, a value is out of bounds, or a value every computation needs is missing.
    """
    name = parts.system.id
    quantities = override(parts.quantities, overrides or {}, record="system", name=name)
    parts = dataclasses.replace(parts, quantities=quantities)
    if parts.missing:
        raise InputError(
            f"system {name} is known but incomplete: no source gives {', '.join(parts.missing)}; "
            "supply it with --set KEY=VALUE"
        )

    node, domain = (quantities[key].value for key in ("devices_per_node", "scale_up_domain_devices"))
    if node > domain:
        raise InputError(
            f"system {name}: devices_per_node {node:g} exceeds scale_up_domain_devices {domain:g}: "
            "a node lies inside one scale-up domain"
        )

    def optional(key: str) -> float | None:
        return quantities[key].si if key in quantities else None

    def fabric(prefix: str, record: Record | None) -> Interconnect:
        return Interconnect(
            id=record.id if record else "",
            name=record.text("name") if record else "",
            topology=record.text("topology") if record else "",
            bytes_per_s=quantities[prefix + "gb_per_s"].si,
            efficiency=quantities[prefix + "efficiency"].si,
            measured_efficiency=optional(prefix + "measured_efficiency"),
            slices=_slices(record),
            tiers=_tiers(record),
        )

    return System(
        id=parts.system.id,
        name=parts.system.text("name"),
        node_name=parts.system.text("node_name") or "node",
        domain_name=_domain_name(parts.system, quantities),
        accelerator=Accelerator(
            id=parts.accelerator.id,
            name=parts.accelerator.text("name"),
            peak_flop_per_s={
                precision: quantities[key].si for precision, key in PEAK_KEYS.items() if key in quantities
            },
            memory_bytes=_memory(parts, quantities),
            memory_bytes_per_s=quantities["memory_gb_per_s"].si,
        ),
        scale_up=fabric("scale_up_", parts.scale_up),
        scale_out=fabric("scale_out_", parts.scale_out)
        if {"scale_out_gb_per_s", "scale_out_efficiency"} <= set(quantities)
        else None,
        devices_per_node=int(quantities["devices_per_node"].value),
        scale_up_domain_devices=int(quantities["scale_up_domain_devices"].value),
        parts=parts,
        overridden=tuple(overrides or ()),
    )


def _slices(record: Record | None) -> Slices | None:
    """Return the slices that a record of a torus states.

    Raises
    ------
    InputError
        If a torus states none, or a shape has other dimensions than there are links.
    """
    if record is None or (record.text("topology") != "torus" and "slices" not in record.data):
        return None
    stated = record.data.get("slices")
    if stated is None:
        raise InputError(f"interconnect {record.id}: a torus needs slices: shapes, and its links' rates")
    links = stated["link_gb_per_s"]
    odd = [shape for shape in stated["shapes"] if len(shape) != len(links)]
    if odd or ("cube_side" in stated and len(links) != CUBE_DIMENSIONS):
        raise InputError(
            f"interconnect {record.id}: slices.shapes: {odd[0] if odd else 'cubes'} and the links of "
            f"{len(links)} dimensions do not go together"
        )
    return Slices(
        link_shares=tuple(link / (2.0 * sum(links)) for link in links),
        shapes=tuple(tuple(shape) for shape in stated["shapes"]),
        **{key: stated.get(key) for key in ("cube_side", "longest_side", "ring_side", "ring_devices")},
    )


def _tiers(record: Record | None) -> tuple[Tier, ...]:
    """Return the tiers that a record of a switched fabric states, in shares of its bandwidth."""
    stated = record.data.get("tiers", ()) if record else ()
    whole = record.quantities["gb_per_s"].value if record and stated else 1.0
    return tuple(
        Tier(tier["devices"], tier["gb_per_s"] / whole)
        for tier in sorted(stated, key=lambda tier: int(tier["devices"]))
    )
