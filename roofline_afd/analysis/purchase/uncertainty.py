"""The inputs an answer rests on, and how far each may be off."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, NamedTuple

from roofline_afd.catalogue.calibration import (
    DEFAULT,
    ESTIMATED,
    LAW_UNITS,
    MEASURED,
    ROUTING,
    ROWS_ALONE,
    SERVICE,
    SIBLING,
    STRENGTH,
    STRUCTURE,
    Choice,
    choose,
    load_service_constants,
    weakest,
)
from roofline_afd.catalogue.engines import ALL
from roofline_afd.catalogue.hardware import PEAK_KEYS
from roofline_afd.catalogue.links import GROWTH, OUT, UP, legs_of, library_of
from roofline_afd.catalogue.precision import operand, precision
from roofline_afd.catalogue.records import GIVEN, table_quantities
from roofline_afd.catalogue.schema import properties
from roofline_afd.errors import InputError, nearest, shown
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.measured import kernels_run
from roofline_afd.serving.scenario import SHORTEST_TPOT_MS
from roofline_afd.units import UNITS, parse_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.records import Quantity, Record
    from roofline_afd.serving.scenario import Scenario

OPTION = "option"


class Spread(NamedTuple):
    """How far a value may be off, to either side: a share of it [1], else an amount in its unit."""

    amount: float
    relative: bool = True


SPREADS = {
    "datasheet": Spread(0.02),
    MEASURED: Spread(0.05),
    GIVEN: Spread(0.05),
    "derived": Spread(0.10),
    "reported": Spread(0.10),
    SIBLING: Spread(0.20),
    ESTIMATED: Spread(0.30),
    "context": Spread(0.20),
    "accept_length": Spread(0.05),
    "gap_ms": Spread(1.0, relative=False),
    "sigma_dp": Spread(0.10),
    "sigma_ep": Spread(0.15),
    "memory_reserve": Spread(0.50),
}
"""Uncertainty by default: of catalogue values by their kind, of options by their name.

What was fitted to measurements takes the held-out error of its record instead."""
OPTIONS = ("context", "accept_length", "gap_ms", "sigma_ep", "sigma_dp", "memory_reserve")
ASKED_OPTIONS = ("tpot_ms",)
"""Options that are what one asks for: they vary only where a range is given."""
WHOLE = ("context",)
SIDES = ("attention_system", "ffn_system")
FASTER = (
    *("compute_efficiency", "compute_efficiency_wide", "memory_efficiency", "vector_efficiency"),
    *("efficiency_up", "efficiency_out", "combine_efficiency_up", "combine_efficiency_out"),
)
"""Fitted parameters that shorten times; all others lengthen them."""
LARGEST = 1e6
"""Most that a fitted parameter may be, as in the schema of its record."""
NARROW = 1.5
"""Factor either way within which a shape far behind the best does not overtake it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Input:
    """One uncertain number: its value, the range it may lie in, and the bounds physics sets it.

    `place` and `name` say where it is: an option of the scenario, a value of one of its systems, or one of a
    calibration record. Inputs of the same `group` are off together; one that is not `faster` the other way.
    """

    key: str
    value: float
    unit: str
    kind: str
    low: float
    high: float
    least: float
    most: float
    uncertainty: str
    default: bool
    place: str
    name: str
    group: str
    faster: bool = True
    whole: bool = False

    def close(self, value: float) -> bool:
        """Whether a value is as near to its own as those of default uncertainties are.

        An exponent never is: where steps are close to the latency target, shapes far behind may overtake.
        """
        if self.place == f"calibration {ROUTING}":
            return value == self.value
        if self.default and self.low <= value <= self.high:
            return True
        return self.value / NARROW <= value <= self.value * NARROW

    def rounded(self, value: float) -> float:
        """Return a value this input can have: whole where it counts something, within its bounds."""
        within = min(max(value, self.least), self.most)
        return float(round(within)) if self.whole else within


def uncertain_inputs(
    scenario: Scenario, uncertainty: Mapping[str, str] | None = None
) -> tuple[list[Input], list[str]]:
    """Return every uncertain number an answer rests on, with its range.

    Parameters
    ----------
    scenario : Scenario
        The question.
    uncertainty : mapping of str to str, optional
        Key to range, in place of the default: `"10%"` to either side, or `"low:high"` in the key's unit.

    Returns
    -------
    tuple of list
        The inputs, and the keys of those left out because they are 0: a share of nothing is nothing.

    Raises
    ------
    InputError
        If a key is unknown (names the nearest), or a range does not hold the value or leaves its bounds.
    """
    every: dict[str, Input] = {}
    for found in (*_of_systems(scenario), *_of_calibration(scenario), *_of_options(scenario)):
        every.setdefault(found.key, found)
    for key, text in (uncertainty or {}).items():
        name = key.removeprefix("--")
        name = name if name in every else name.replace("-", "_")
        if name not in every:
            raise InputError(f"--uncertainty {shown(key)} is no uncertain input{nearest(name, every)}")
        low, high = _read(str(text), every[name])
        every[name] = dataclasses.replace(
            every[name], low=low, high=high, uncertainty=f"{text}, as given", default=False, group=name
        )
    kept = [found for found in every.values() if found.high > found.low or not found.default]
    left = [found.key for found in every.values() if found not in kept and found.value == 0 and found.default]
    return kept, left


def _of_systems(scenario: Scenario) -> Iterator[Input]:
    """Yield the peaks, memory and bandwidths of every system."""
    modes = [Deployments(scenario, mode) for mode in (EP, AFD)]
    for field, system in systems_of(scenario).items():
        peaks: set[str] = set()
        for each in modes:
            if system in (each.attention, each.ffn):
                peaks |= _peak_keys(each, system)
        keys = [
            *(key for key in PEAK_KEYS.values() if key in peaks),
            "memory_gb_per_s",
            "memory_gb",
            "scale_up_gb_per_s",
            "scale_out_gb_per_s",
        ]
        if scenario.links == "nominal":
            keys += ["scale_up_efficiency", "scale_out_efficiency"]
        for key in keys:
            if key in system.quantities:
                quantity = system.quantities[key]
                name = key if field == "system" else f"{field}.{key}"
                spread = SPREADS[quantity.kind]
                yield _made(
                    name,
                    quantity,
                    quantity.kind,
                    spread,
                    f"{_said(spread, quantity.unit)}, default of kind {quantity.kind}",
                    bounds=_bounds("system", key),
                    place=field,
                    group=name,
                )


def systems_of(scenario: Scenario) -> dict[str, System]:
    """Return the different systems of a scenario.

    Parameters
    ----------
    scenario : Scenario
        The question.

    Returns
    -------
    dict of str to System
        By the field that names them: `system`, `attention_system`, `ffn_system`.
    """
    found = {"system": scenario.system}
    for field, side in zip(SIDES, ("attention", "ffn"), strict=True):
        system = scenario.side(side)
        if all(system != other for other in found.values()):
            found[field] = system
    return found


def _peak_keys(deployments: Deployments, system: System) -> set[str]:
    """Return the peaks that products of a deployment run at on a system."""
    formats = deployments.formats
    pairs = [
        (formats.experts, formats.dispatch),
        (formats.others, formats.others),
        (formats.core, "bf16"),
        ("bf16", "bf16"),
    ]
    peaks = system.accelerator.peak_flop_per_s
    found = {operand(precision(weights), precision(arriving), peaks) for weights, arriving in pairs}
    return {PEAK_KEYS[name] for name in found if name}


def _bounds(record: str, key: str) -> tuple[float, float]:
    rule = properties(record)[key]["properties"]["value"]
    least = rule.get("minimum", rule.get("exclusiveMinimum", 0.0))
    return float(least), float(rule.get("maximum", math.inf))


def _made(
    key: str,
    quantity: Quantity,
    kind: str,
    spread: Spread,
    uncertainty: str,
    *,
    bounds: tuple[float, float],
    place: str,
    group: str,
) -> Input:
    """Return the input that a quantity is."""
    name = quantity.key
    low, high = _ranged(quantity.value, spread, *bounds)
    return Input(
        key=key,
        value=float(quantity.value),
        unit=quantity.unit,
        kind=kind,
        low=low,
        high=high,
        least=bounds[0],
        most=bounds[1],
        uncertainty=uncertainty,
        default=True,
        place=place,
        name=name,
        group=group,
        faster=place in {"system", *SIDES} or name.rpartition(".")[2] in FASTER,
    )


def _ranged(value: float, spread: Spread, least: float, most: float) -> tuple[float, float]:
    off = spread.amount * abs(value) if spread.relative else spread.amount
    return max(value - off, least), min(value + off, most)


def _of_calibration(scenario: Scenario) -> Iterator[Input]:
    """Yield what operators and links reach of their peaks, and what a service adds."""
    for choice in _tables(scenario):
        keys = [key for key in LAW_UNITS if key not in {*ROWS_ALONE, *STRUCTURE}]
        yield from _fitted(choice.record, choice.table, keys, kind=choice.kind)
    for system in systems_of(scenario).values():
        catalogue = system.parts.catalogue
        if scenario.links == "nominal":
            continue
        library = library_of(system, catalogue=catalogue, libraries=scenario.engine.exchanges)
        legs = zip((UP, OUT), legs_of(system, library, catalogue=catalogue), strict=True)
        for way, found in legs:
            if way == OUT and system.scale_out is None:
                continue
            default = catalogue.record("calibration", DEFAULT)
            growth = [] if GROWTH[way] in found.keys else [GROWTH[way]]
            kind = MEASURED if found.exact else ESTIMATED
            yield from _fitted(found.record, "link", found.keys, kind=kind, widening=found.widening)
            yield from _fitted(default, "link", growth, kind=ESTIMATED)
    keys = ["other_us", "router_us"]
    if Deployments(scenario, EP).load is not None and scenario.zipf is None and not scenario.expert_counts:
        keys.append("popularity_exponent")
    if scenario.links != "nominal" and scenario.routing != "balanced":
        keys.append("communication_slowdown")
    record = scenario.system.parts.catalogue.record("calibration", SERVICE)
    yield from _fitted(record, SERVICE, keys, kind=MEASURED)
    if scenario.routing != "balanced":
        record = scenario.system.parts.catalogue.record("calibration", ROUTING)
        yield from _fitted(record, ROUTING, ["exponent"], kind=MEASURED)


def _tables(scenario: Scenario) -> list[Choice]:
    """Return the tables of calibration records that a scenario's times rest on, each once."""
    found: dict[tuple[str, str], Choice] = {}
    for mode in (EP, AFD):
        for system, kernel, form in kernels_run(Deployments(scenario, mode)):
            choice = choose(
                kernel,
                form,
                system.accelerator.id,
                catalogue=system.parts.catalogue,
                families=scenario.engine.families,
            )
            key = (choice.record.id, choice.table)
            if key not in found or STRENGTH.index(choice.kind) < STRENGTH.index(found[key].kind):
                found[key] = choice
    return list(found.values())


def _fitted(
    record: Record, table: str, keys: Iterable[str], *, kind: str, widening: float = 0.0
) -> Iterator[Input]:
    """Yield the parameters of a table of a calibration record; all that it measured are off together.

    Those that stand for a part that was not measured may be off by its widening besides.
    """
    values = table_quantities(record, table)
    data = record.data[table]
    held_out = data.get("held_out_error", data.get("validated_error"))
    for key in keys:
        if key not in values:
            continue
        quantity = values[key]
        own = weakest((kind, quantity.kind))
        spread = SPREADS[own]
        why = f"default of kind {own}"
        if own == MEASURED and held_out:
            spread = Spread(float(held_out))
            why = f"held-out error of [{table}] in calibration record {record.id}"
        elif own == SIBLING and held_out and "sibling_error" in data:
            spread = Spread(math.hypot(held_out, data["sibling_error"]))
            why = f"held-out and sibling error of [{table}] in calibration record {record.id}"
        elif widening and held_out:
            spread = Spread(math.hypot(held_out, widening))
            why = f"held-out error of [{table}] in calibration record {record.id}, and for standing in"
        least = 1.0 if key == "communication_slowdown" else 0.0
        name = f"{record.id}.{table}.{key}" if table != record.id else f"{record.id}.{key}"
        yield _made(
            name,
            dataclasses.replace(quantity, key=f"{table}.{key}"),
            own,
            spread,
            f"{_said(spread, quantity.unit)}, {why}",
            bounds=(least, 1.0 if key in FASTER or table == ROUTING else LARGEST),
            place=f"calibration {record.id}",
            group=f"{record.id}.{table}.{own}",
        )


def _of_options(scenario: Scenario) -> Iterator[Input]:
    """Yield the options of the question that are estimates of what will be."""
    constants = load_service_constants(scenario.system.parts.catalogue)
    most_gap = scenario.latency_ms * scenario.accept_length * (1.0 - 1e-6)
    bounds = {
        "context": (1.0, 1e8),
        "accept_length": (1.0, float(scenario.query_tokens)),
        "gap_ms": (0.0, most_gap),
        "sigma_ep": (1e-3, 1.0),
        "sigma_dp": (1e-3, 1.0),
        "memory_reserve": (0.0, 0.999),
        "tpot_ms": (max(SHORTEST_TPOT_MS, (scenario.gap_ms or 0.0) * (1.0 + 1e-6)), 1e9),
    }
    gap = constants.gap_s * 1e3 if scenario.gap_ms is None else scenario.gap_ms
    popular = Deployments(scenario, EP).load is not None
    fixed = scenario.memory_reserve is None and scenario.engine.fraction_holds != ALL
    for name in (*OPTIONS, *ASKED_OPTIONS):
        if name == "memory_reserve" and fixed:  # one that is given would be of all that is held
            continue
        if name == "sigma_ep" and popular:  # popularity and placement say how even the load is
            continue
        value = {"gap_ms": gap, "tpot_ms": scenario.latency_ms, "memory_reserve": scenario.reserve}.get(name)
        value = float(getattr(scenario, name)) if value is None else value
        unit = "ms" if name.endswith("_ms") else "1"
        spread = SPREADS.get(name, Spread(0.0))
        low, high = _ranged(value, spread, *bounds[name])
        yield Input(
            key=name,
            value=value,
            unit=unit,
            kind=OPTION,
            low=math.floor(low) if name in WHOLE else low,
            high=math.ceil(high) if name in WHOLE else high,
            least=bounds[name][0],
            most=bounds[name][1],
            uncertainty=f"{_said(spread, unit)}, default of the option",
            default=True,
            place=OPTION,
            name=name,
            group=name,
            whole=name in WHOLE,
        )


def _read(text: str, found: Input) -> tuple[float, float]:
    """Read the range of an input, and check that it can be one."""
    option = f"--uncertainty {found.key}"
    try:
        low, high = _numbers(text, found)
    except InputError as error:
        raise InputError(f"{option}: {error}") from error
    if low > high:
        raise InputError(f"{option}: {text} is reversed: {low:g} is above {high:g}")
    if not low <= found.value <= high:
        raise InputError(f"{option}: {text} must hold the value itself, {found.value:g}")
    if low < found.least or high > found.most or (low == 0 < found.value and found.place != OPTION):
        within = f"above {found.least:g}" if found.place != OPTION else f"from {found.least:g}"
        raise InputError(f"{option}: {text} must lie {within} to {found.most:g}")
    if found.whole and not (float(low).is_integer() and float(high).is_integer()):
        raise InputError(f"{option}: {text}: write whole numbers")
    return low, high


def _numbers(text: str, found: Input) -> tuple[float, float]:
    """Read the range of an input: `10%` to either side, or `low:high`."""
    first, colon, last = (part.strip() for part in text.partition(":"))
    if colon:
        unit = found.unit if found.unit in UNITS else "1"
        return parse_number(first, unit=unit), parse_number(last, unit=unit)
    if not first.endswith("%"):
        raise InputError(f"{shown(text)} is no range: write 10% or low:high")
    share = parse_number(first[:-1], unit="1") / 100
    if not 0 <= share < 1:
        raise InputError(f"{shown(text)} must be at least 0 % and below 100 %")
    if found.value == 0 and share:
        raise InputError("a share of 0 is 0: write low:high")
    low, high = _ranged(found.value, Spread(share), found.least, found.most)
    return (math.floor(low), math.ceil(high)) if found.whole else (low, high)


def _said(spread: Spread, unit: str) -> str:
    """Return a spread in words."""
    return f"{spread.amount:.3g} {unit}" if not spread.relative else f"{spread.amount * 100:.3g} %"


def default_text() -> str:
    """Return the default uncertainties in a line.

    Returns
    -------
    str
        Kinds and options, each with its share or its amount.
    """
    parts = [
        f"{name} {_said(spread, 'ms' if name.endswith('_ms') else '1')}" for name, spread in SPREADS.items()
    ]
    return ", ".join(parts) + "; fitted parameters the held-out error of their record"
