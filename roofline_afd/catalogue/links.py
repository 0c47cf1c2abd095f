"""What exchanges reach of the fabrics of a system: of the library whose kernels send, else of the nearest."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from roofline_afd.catalogue.libraries import load_library
from roofline_afd.catalogue.records import source_of, table_quantities, weakest_kind
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.records import Record
    from roofline_afd.catalogue.store import Catalogue

TABLE = "link"
DEFAULT = "default"
UP, OUT = "up", "out"
NEEDED = {UP: ("latency_up_us", "efficiency_up"), OUT: ("latency_out_us", "efficiency_out")}
"""Keys of a leg that make a record one of it."""
GROWTH = {UP: "latency_growth", OUT: "scale_penalty"}
"""Key that says how a leg slows down with the group; of the default record where the record has none."""
OTHERS = {
    UP: ("message_up_ns", "combine_latency_up_us", "combine_efficiency_up", "prepare_us"),
    OUT: ("message_out_ns", "combine_latency_out_us", "combine_efficiency_out"),
}
"""Keys that a record states where its kernels show it."""
PREPARE = "prepare_us"
ESTIMATED = "estimated"
LISTS = {UP: "scale_up", OUT: "scale_out"}
"""Keys of a record that list the fabrics of a leg."""
PAIR = "pair"
"""How kernels send that no library is named of: a copy per expert."""
OTHER_LIBRARY = 0.3
"""How far times may be off that kernels of another library showed on the same fabric [1]."""
OTHER_MAKER = 0.3
"""How far times may be off besides that accelerators of another maker showed [1]."""
NEAREST_STEPS = 3
"""Fabrics that stand for one another in a row, at most."""


@dataclasses.dataclass(frozen=True, slots=True)
class Leg:
    """What the kernels of a library reach over one fabric, dispatching, and combining where that differs.

    Fixed time [s], share of the peak [1], time per message that a device sends or receives [s], and growth
    with every doubling of the devices [1]: of the fixed time within a domain, of the transfer beyond it; and
    what comes before a dispatch, once [s].
    `basis` says in words what stands for it where it was not measured; `widening` how far that may be
    off [1].
    """

    latency_s: float
    efficiency: float
    message_s: float = 0.0
    growth: float = 0.0
    combine_latency_s: float | None = None
    combine_efficiency: float | None = None
    prepare_s: float = 0.0
    kind: str = ESTIMATED
    source: str = ""
    library: str = ""
    basis: str = ""
    widening: float = 0.0

    def of(self, operator: str) -> tuple[float, float]:
        """Return fixed time [s] and share of the peak [1] of `dispatch` or `combine`."""
        if operator != "combine":
            return self.latency_s, self.efficiency
        latency, share = self.combine_latency_s, self.combine_efficiency
        return (
            self.latency_s if latency is None else latency,
            self.efficiency if share is None else share,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class LinkEfficiency:
    """What exchanges reach of both fabrics of a system, and how the kernels send that reach it.

    `transport` is how the kernels that were timed send: `pair` (a copy per expert), `rank` (per device) or
    `node` (per node, forwarded inside).
    """

    up: Leg
    out: Leg
    library: str = ""
    transport: str = PAIR

    @property
    def latency_up_s(self) -> float:
        """Fixed time within a scale-up domain [s]."""
        return self.up.latency_s

    @property
    def latency_out_s(self) -> float:
        """Fixed time across scale-up domains [s]."""
        return self.out.latency_s

    @property
    def efficiency_up(self) -> float:
        """Share of the scale-up peak [1]."""
        return self.up.efficiency

    @property
    def efficiency_out(self) -> float:
        """Share of the scale-out peak [1]."""
        return self.out.efficiency

    @property
    def latency_growth(self) -> float:
        """Growth of the fixed time within a domain with every doubling beyond 8 devices [1]."""
        return self.up.growth

    @property
    def scale_penalty(self) -> float:
        """Growth of the time over scale-out with every doubling beyond 16 devices [1]."""
        return self.out.growth

    @property
    def kind(self) -> str:
        """Kind of what happens within a scale-up domain."""
        return self.up.kind

    @property
    def kind_out(self) -> str:
        """Kind of what happens across domains."""
        return self.out.kind


class Told(NamedTuple):
    """What is told of a leg besides its values; as in `Leg`."""

    kind: str = ESTIMATED
    source: str = ""
    library: str = ""
    basis: str = ""
    widening: float = 0.0


class Found(NamedTuple):
    """Where the values of a leg stand: record and keys, and what they are to the fabric asked for."""

    record: Record
    keys: tuple[str, ...]
    fabric: str
    library: str
    widening: float
    exact: bool


_links: WeakKeyDictionary[Catalogue, dict[tuple[object, ...], LinkEfficiency]] = WeakKeyDictionary()
"""What was loaded of a catalogue, by all of a system that records are chosen by."""


def load_link(
    system: System,
    *,
    catalogue: Catalogue,
    libraries: Sequence[str] = (),
    transport: str | None = None,
) -> LinkEfficiency:
    """Return what exchanges reach of the fabrics of a system.

    Parameters
    ----------
    system : System
        The system.
    catalogue : Catalogue
        Where to look.
    libraries : sequence of str
        Libraries whose kernels may send, first the one taken first; those in use on the fabric where empty.
    transport : str, optional
        How kernels are to send; as those of the library do where absent.

    Returns
    -------
    LinkEfficiency
        Both legs, of the first library that was measured on the fabric most exchanges cross.
    """
    known = _links.setdefault(catalogue, {})
    out = None if system.scale_out is None else system.scale_out.id
    asked = (system.accelerator.id, system.scale_up.id, out, system.superpod, tuple(libraries), transport)
    if asked not in known:
        library = library_of(system, catalogue=catalogue, libraries=libraries, transport=transport)
        own = load_library(library, catalogue=catalogue).transport if library else PAIR
        legs = [_leg(each, catalogue) for each in legs_of(system, library, catalogue=catalogue)]
        known[asked] = LinkEfficiency(up=legs[0], out=legs[1], library=library, transport=own)
    return known[asked]


def library_of(
    system: System, *, catalogue: Catalogue, libraries: Sequence[str] = (), transport: str | None = None
) -> str:
    """Return the library whose kernels send on a system; empty where none is known to run there.

    Domains of several nodes hold most exchanges, smaller ones send them out: the fabric that carries them
    decides. Of the libraries the first that was measured on it wins, then the first measured on the fabric
    that stands for it, then the first.

    Parameters
    ----------
    system : System
        The system.
    catalogue : Catalogue
        Where to look.
    libraries : sequence of str
        Libraries whose kernels may send; those in use on the fabric where empty.
    transport : str, optional
        How their kernels must send.

    Returns
    -------
    str
        Id of a library, or empty.
    """
    way = UP if system.superpod or system.scale_out is None else OUT
    fabric = _fabric(system, way)
    order = tuple(libraries) or _in_use(fabric, catalogue)
    if transport is not None:
        order = (*order, *(each for each in catalogue.ids("library") if each not in order))
    maker = system.parts.accelerator.text("vendor")
    loaded = {each: load_library(each, catalogue=catalogue) for each in order}
    order = tuple(
        each
        for each, library in loaded.items()
        if maker in (library.vendors or (maker,)) and transport in {None, library.transport}
    )
    reached = [(each, _reached(system, way, each, catalogue)) for each in order]
    measured = [name for name, found in reached if found is not None and found.exact]
    standing = [name for name, found in reached if found is not None]
    known_ways = (*measured, *standing) if transport is not None else (*measured, *standing, *order)
    return next(iter(known_ways), "")


def legs_of(system: System, library: str, *, catalogue: Catalogue) -> tuple[Found, Found]:
    """Return where the values of both legs of a library's exchanges on a system stand.

    Parameters
    ----------
    system : System
        The system.
    library : str
        Id of a library; empty where none is known.
    catalogue : Catalogue
        Where to look.

    Returns
    -------
    tuple of Found
        Within a scale-up domain, and across domains: of the library on the fabric, on the one that stands for
        it, of any library on these, else of the default record.
    """
    return _found(system, UP, library, catalogue), _found(system, OUT, library, catalogue)


def _found(system: System, way: str, library: str, catalogue: Catalogue) -> Found:
    own = _reached(system, way, library, catalogue) if library else None
    if own is not None:
        return own
    fabric = _fabric(system, way)
    for name, widening in _chain(fabric, catalogue):
        for other in _in_use(name, catalogue) or ("",):
            record = _record(system, way, name, other, catalogue, any_maker=True)
            if record is not None:
                exact = name == fabric and "library" not in record.data[TABLE]
                return _stated(record, way, name, other, widening + OTHER_LIBRARY * (not exact), exact=exact)
    return _stated(catalogue.record("calibration", DEFAULT), way, "", "", _default_widening(catalogue))


def _reached(system: System, way: str, library: str, catalogue: Catalogue) -> Found | None:
    """Return where a library was measured on a fabric, or on one that stands for it."""
    fabric = _fabric(system, way)
    for other in (0.0, OTHER_MAKER):
        for name, widening in _chain(fabric, catalogue):
            record = _record(system, way, name, library, catalogue, any_maker=other > 0)
            if record is not None:
                exact = name == fabric and not other
                return _stated(record, way, name, library, widening + other, exact=exact)
    return None


def _fabric(system: System, way: str) -> str:
    if way == UP:
        return system.scale_up.id
    return system.scale_out.id if system.scale_out else ""


def _chain(fabric: str, catalogue: Catalogue) -> Iterator[tuple[str, float]]:
    """Yield a fabric and those that stand for it, with how far they may be off together."""
    widening = 0.0
    for _ in range(NEAREST_STEPS):
        if not fabric:
            return
        yield fabric, widening
        record = catalogue.find("interconnect", fabric)
        if record is None:
            return
        like = record.data.get("like")
        if like is None:
            return
        fabric, widening = like["fabric"], widening + like["error"]


def _in_use(fabric: str, catalogue: Catalogue) -> tuple[str, ...]:
    """Return the libraries in use on a fabric, or on the one that stands for it."""
    for name, _ in _chain(fabric, catalogue):
        record = catalogue.find("interconnect", name)
        if record is not None and "libraries" in record.data:
            return tuple(record.data["libraries"])
    return ()


def _record(
    system: System, way: str, fabric: str, library: str, catalogue: Catalogue, *, any_maker: bool = False
) -> Record | None:
    """Return the calibration record of a library on a fabric, whose rows are of the system's maker, or any.

    One that names no library is of any, and comes first.
    """
    maker = system.parts.accelerator.text("vendor")
    found = []
    for record in catalogue.naming("calibration", fabric):
        table = record.data.get(TABLE, {})
        fits = fabric in record.data.get(LISTS[way], ()) and table.get("library", library) == library
        alike = way == UP or any_maker or table.get("vendor", maker) == maker
        if fits and alike and all(key in table for key in NEEDED[way]):
            found.append(("library" in table, record))
    found.sort(key=lambda pair: pair[0])
    if len(found) > 1 and found[0][0] == found[1][0]:
        files = f"{found[0][1].file} and {found[1][1].file}"
        raise InputError(f"{files} both calibrate [{TABLE}] of {fabric}: keep one")
    return found[0][1] if found else None


def _stated(
    record: Record, way: str, fabric: str, library: str, widening: float, *, exact: bool = False
) -> Found:
    table = record.data[TABLE]
    keys = tuple(key for key in (*NEEDED[way], GROWTH[way], *OTHERS[way]) if key in table)
    return Found(record, keys, fabric, library, widening, exact)


def _default_widening(catalogue: Catalogue) -> float:
    return table_quantities(catalogue.record("calibration", DEFAULT), TABLE)["like_error"].si


def leg_from(values: Mapping[str, float], way: str, told: Told | None = None) -> Leg:
    """Return a leg from the values of a table in SI, by key, and what is told of them.

    Parameters
    ----------
    values : mapping of str to float
        Values of one leg, its growth among them [SI].
    way : str
        `up` or `out`.
    told : Told, optional
        Kind, source, library, basis and widening of the leg.

    Returns
    -------
    Leg
        What is not stated is neutral.
    """
    latency, share = NEEDED[way]
    message, combine_latency, combine_share = OTHERS[way][:3]
    return Leg(
        latency_s=values[latency],
        efficiency=values[share],
        message_s=values.get(message, 0.0),
        growth=values[GROWTH[way]],
        combine_latency_s=values.get(combine_latency),
        combine_efficiency=values.get(combine_share),
        prepare_s=values.get(PREPARE, 0.0) if way == UP else 0.0,
        **(told or Told())._asdict(),
    )


def _leg(found: Found, catalogue: Catalogue) -> Leg:
    """Return a leg in SI, with the kind of what it rests on."""
    way = UP if NEEDED[UP][0] in found.keys else OUT
    held = table_quantities(found.record, TABLE)
    values = {key: held[key] for key in found.keys}
    default = table_quantities(catalogue.record("calibration", DEFAULT), TABLE)
    stated = [value for key, value in values.items() if key != GROWTH[way]]
    return leg_from(
        {GROWTH[way]: default[GROWTH[way]].si} | {key: value.si for key, value in values.items()},
        way,
        Told(
            kind=weakest_kind(stated) if found.exact else ESTIMATED,
            source=source_of(found.record, values.values()),
            library=found.library,
            basis=_basis(found),
            widening=found.widening,
        ),
    )


def _basis(found: Found) -> str:
    """Return in words what stands for a leg that was not measured; empty where it was."""
    if found.exact:
        return ""
    if not found.fabric:
        return "the medians of fabrics that were measured"
    return f"{found.library or 'exchanges'} on {found.fabric}"
