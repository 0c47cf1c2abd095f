"""Where expert parallelism and disaggregation win over any two inputs at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes, with_formats
from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.analysis.decode.changes import SUBJECTS, changed, value_of
from roofline_afd.analysis.decode.notes import quantities_of, question_line, serving_inputs
from roofline_afd.analysis.decode.questions import METRICS, PLANES, Map
from roofline_afd.analysis.decode.sides import NAMES, Successive, search_modes
from roofline_afd.analysis.decode.verdict import undecided
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.catalogue.schema import quantity_keys
from roofline_afd.errors import InputError, nearest, shown
from roofline_afd.progress import steps
from roofline_afd.serving.checks import choice, finite
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployments
from roofline_afd.serving.measured import rests_on_estimates
from roofline_afd.serving.scenario import CHOICES, COUNTS, FORMATS, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Axis = tuple[str, Sequence[float]]
    Place = tuple[float, float]

MOST_POINTS = 2500
RATIO, HFU = METRICS
BOTH, ONLY_EP, ONLY_AFD, NEITHER = (
    "both feasible",
    "only EP feasible",
    "only AFD feasible",
    "neither feasible",
)
FEASIBLE, INFEASIBLE = "feasible", "infeasible"
X_FACTORS, Y_FACTORS = (0.25, 16.0, 13), (0.25, 8.0, 11)
"""Least and largest factor on the question's own value, and how many: steps of the square root of two."""
EXPERT_STEP = 128
"""Expert widths are multiples of this, as tiles of matrix units want them."""
CONTEXTS = tuple(float(1024 * 2**place) for place in range(8))
"""Contexts of a map [tokens]."""
TARGETS_MS = (10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 70.0, 100.0, 150.0, 200.0)
"""Latency targets of a map [ms]."""


def grid(question: Map) -> Answer:
    """Answer where AFD beats EP, or how well FFN devices are used, over two inputs at once.

    Parameters
    ----------
    question : Map
        What is asked.

    Returns
    -------
    Answer
        A row per point, empty where infeasible; the break-even line as segments. Its picture has the
        question in a line, and the units of both inputs.

    Raises
    ------
    InputError
        If a key is unknown, a value out of bounds, or there are more than `MOST_POINTS` points.
    """
    scenario, metric = question.scenario, question.metric
    choice("--metric", metric, METRICS)
    across, up = _asked_axes(question)
    x_key, xs = _axis(scenario, across, "--x")
    y_key, ys = _axis(scenario, up, "--y")
    if x_key == y_key:
        raise InputError(f"--x and --y are both {x_key}; a map needs two inputs")
    if len(xs) * len(ys) > MOST_POINTS:
        raise InputError(f"--x and --y ask for {len(xs) * len(ys):,} points; a map holds {MOST_POINTS:,}")
    successive = Successive()
    rows = []
    for one in steps(ys):
        row = changed(scenario, {y_key: _number(y_key, one)})
        for other in steps(xs):
            point = changed(row, {x_key: _number(x_key, other)})
            found = _modes(*successive.rates(point)) if metric == RATIO else _hfu_at(point)
            rows.append({x_key: other, y_key: one, **found})
    own = {key: value_of(scenario, key) for key in (x_key, y_key)}
    values = np.array([math.nan if row[metric] is None else row[metric] for row in rows])
    segments = []
    if metric == RATIO:
        with np.errstate(invalid="ignore"):
            segments = [*break_even(xs, ys, np.log(values).reshape(len(ys), len(xs)))]
    quantities = quantities_of(*(Deployments(scenario, mode) for mode in MODES))
    at_own, estimated = _own_modes(scenario) if metric == RATIO else _own_hfu(scenario)
    summary = {
        "metric": metric,
        "x": x_key,
        "y": y_key,
        "own": own,
        "at_own": at_own,
        "break_even": [segment._asdict() for segment in segments],
        "points": len(rows),
        "infeasible_points": sum(row[metric] is None for row in rows),
        "estimated": estimated,
    }
    if metric == RATIO:
        summary["undecided"] = list(undecided(load_ratio_error(scenario.system.parts.catalogue)))
    summary["answer"] = with_formats(_map_sentence(rows, summary), scenario)
    return Answer(
        command="hfu-map",
        inputs=serving_inputs(scenario, quantities),
        columns=object_columns(rows),
        summary=summary,
        notes=[*_map_notes(scenario, (x_key, y_key), metric), *provenance_notes(scenario, quantities)],
        picture={
            "question": _map_line(scenario, (x_key, y_key), metric),
            "units": {key: axis_unit(key) for key in (x_key, y_key)},
        },
    )


def _asked_axes(question: Map) -> tuple[Axis, Axis]:
    """Return both axes: those that are named, the others of the plane."""
    scenario = question.scenario
    if question.axes is not None:
        choice("--axes", question.axes, PLANES)
        if question.x and question.y:
            raise InputError("--x and --y leave nothing to --axes: leave one of them out")
    plane = question.axes or (PLANES[0] if question.metric == RATIO else PLANES[2])
    across, _, up = plane.partition("-")

    def beside(given: Axis | None, name: str) -> Axis:
        axis = default_axis(scenario, name)
        if given is None or _name(str(given[0])) != axis[0]:
            return axis
        return default_axis(scenario, "tpot" if name == "context" else "context")

    return question.x or beside(question.y, across), question.y or beside(question.x, up)


def default_axis(scenario: Scenario, name: str) -> Axis:
    """Return an input by its name in `PLANES`, and values around the question's own.

    Parameters
    ----------
    scenario : Scenario
        The question.
    name : str
        Part of a member of `PLANES`.

    Returns
    -------
    tuple of str and list of float
        The key and its values.
    """
    if name == "bandwidth":
        return default_x(scenario)
    if name == "width":
        return expert_widths(scenario)
    key, values, own = (
        ("context", CONTEXTS, float(scenario.context))
        if name == "context"
        else ("tpot_ms", TARGETS_MS, scenario.latency_ms)
    )
    return key, sorted({*values, own})


def _axis(scenario: Scenario, axis: Axis, option: str) -> tuple[str, list[float]]:
    """Check an axis: its key, and its values in order, each once."""
    key, given = axis
    name = _name(str(key))
    words = {*SUBJECTS, *CHOICES, *FORMATS}
    if name in words:
        raise InputError(f"{option} {shown(name)} is no number, and an axis of a map needs one")
    try:
        values = sorted({finite(f"{option} {name}", value) for value in given})
    except TypeError as error:
        raise InputError(f"{option} {name} {shown(given)} holds no numbers") from error
    if len(values) < 2:  # noqa: PLR2004 - a line needs two ends
        raise InputError(f"{option} {name} needs at least two values; write low:high or a list a,b,c")
    tables = {kind.name for kind in scenario.model.attention}
    known = {
        *({field.name for field in attrs.fields(Scenario)} - words),
        *quantity_keys("system"),
        *quantity_keys("model"),
        *(f"attention.{table}.{part}" for table in tables for part in quantity_keys("attention")),
    }
    if name not in known:
        raise InputError(f"{option}: unknown key {shown(name)}{nearest(name, known)}")
    return name, values


def _name(key: str) -> str:
    return key.removeprefix("--").replace("-", "_")


def default_x(scenario: Scenario) -> Axis:
    """Return the bandwidth that decides: of scale-up within a superpod, else of scale-out."""
    key = "scale_up_gb_per_s" if scenario.system.superpod else "scale_out_gb_per_s"
    own = value_of(scenario, key)
    if own is None:
        key = "scale_up_gb_per_s"
        own = value_of(scenario, key)
    low, high, count = X_FACTORS
    return key, spaced(key, (own or 1.0) * low, (own or 1.0) * high, count)


def expert_widths(scenario: Scenario) -> Axis:
    """Return widths of an expert around the model's own, multiples of 128."""
    key = "expert_intermediate"
    own = value_of(scenario, key) or 1.0
    low, high, count = Y_FACTORS
    widths = [
        max(round(value / EXPERT_STEP), 1) * EXPERT_STEP for value in own * np.geomspace(low, high, count)
    ]
    return key, [float(value) for value in dict.fromkeys(widths)]


def spaced(key: str, low: float, high: float, count: int) -> list[float]:
    """Return values of an input from the least to the largest at even ratios, whole where it is.

    Parameters
    ----------
    key : str
        The input.
    low, high : float
        The ends, above 0 [unit of the input].
    count : int
        How many [1].

    Returns
    -------
    list of float
        Each value once, in order.

    Raises
    ------
    InputError
        If the ends are no positive range, or the count is out of bounds.
    """
    low, high = (finite(key, value) for value in (low, high))
    if low <= 0 or high <= low:
        raise InputError(f"{key}: {low:g} to {high:g} is no range of positive numbers, the smaller first")
    if not 2 <= count <= MOST_POINTS:  # noqa: PLR2004 - a line needs two ends
        raise InputError(f"{key}: {count} values; an axis takes 2 to {MOST_POINTS:,}")
    values = [float(value) for value in np.geomspace(low, high, count)]
    values[0], values[-1] = low, high
    return [float(value) for value in dict.fromkeys(map(round, values))] if is_whole(key) else values


def is_whole(key: str) -> bool:
    """Return whether an input only takes whole numbers."""
    name = key.rpartition(".")[2]
    if name in COUNTS or name in {"draft_tokens", "redundant_experts"}:
        return True
    counts = {**quantity_keys("attention"), **quantity_keys("model")}
    devices = name.endswith("_devices") or name == "devices_per_node"
    return (name in counts and not name.endswith("_billion")) or devices


def axis_unit(key: str) -> str:
    """Return the unit of an input that a catalogue holds; `1` for the fields of a question."""
    return {**quantity_keys("model"), **quantity_keys("system")}.get(key, "1")


def _number(key: str, value: float) -> float:
    return int(value) if is_whole(key) and value.is_integer() else value


def _modes(ep: float, afd: float) -> dict[str, Any]:
    """Return the throughput of both modes and their ratio; None where infeasible."""
    state = BOTH if ep and afd else ONLY_EP if ep else ONLY_AFD if afd else NEITHER
    return {
        RATIO: afd / ep if ep and afd else None,
        "ep_tokens_per_s_per_device": ep or None,
        "afd_tokens_per_s_per_device": afd or None,
        "state": state,
    }


def _own_modes(scenario: Scenario) -> tuple[dict[str, Any], bool]:
    """Return the same at the question's own values, and whether any of it was never measured."""
    sides = search_modes(scenario)
    ep, afd = (sides[mode].rate or 0.0 for mode in (EP, AFD))
    shares = [side.row.get("estimated_share") for side in sides.values() if side.rate]
    estimated = (
        any(shares) if shares else any(rests_on_estimates(side.deployments) for side in sides.values())
    )
    return _modes(ep, afd), estimated


def _hfu_at(scenario: Scenario) -> dict[str, Any]:
    """Return the best feasible HFU of the FFN stage, and the FFN nodes that reach it."""
    summary = roofline(Roofline(scenario)).summary
    return {
        HFU: summary["best_hfu"],
        "best_ffn_nodes": summary["best_ffn_nodes"],
        "hfu_ceiling": summary["hfu_ceiling"],
        "hfu_floor": summary["hfu_floor"],
        "state": INFEASIBLE if summary["best_hfu"] is None else FEASIBLE,
    }


def _own_hfu(scenario: Scenario) -> tuple[dict[str, Any], bool]:
    """Return the HFU at the question's own values, and whether it rests on an estimate."""
    summary = roofline(Roofline(scenario, ffn_nodes=[1])).summary
    return _hfu_at(scenario), summary["weakest_kind"] == "estimated"


class Segment(NamedTuple):
    """A piece of the break-even line, in the units of both axes."""

    x1: float
    y1: float
    x2: float
    y2: float


def break_even(xs: Sequence[float], ys: Sequence[float], lead: Numbers) -> Iterator[Segment]:
    """Yield where a lead passes zero between the points of a grid, as straight pieces.

    Each square of four neighbours is crossed where the lead changes sign along its edges, interpolated on
    logarithms of the axes where they are positive; squares with an infeasible corner are left out.

    Parameters
    ----------
    xs, ys : sequence of float
        Values of the axes, ascending.
    lead : array of float
        Lead at each point, a row per y; nan where there is none.

    Yields
    ------
    Segment
        From one edge of a square to another.
    """
    (to_x, from_x), (to_y, from_y) = _scale(xs), _scale(ys)
    across, up = [to_x(value) for value in xs], [to_y(value) for value in ys]
    for row, column in np.ndindex(len(ys) - 1, len(xs) - 1):
        corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
        levels = [float(lead[corner]) for corner in corners]
        if not all(map(math.isfinite, levels)):
            continue
        places = [(across[j], up[i]) for i, j in corners]
        hits = [
            _between(places[edge], places[(edge + 1) % 4], levels[edge], levels[(edge + 1) % 4])
            for edge in range(4)
        ]
        for one, other in _pairs(hits, levels):
            yield Segment(from_x(one[0]), from_y(one[1]), from_x(other[0]), from_y(other[1]))


def _scale(values: Iterable[float]) -> tuple[Callable[[float], float], Callable[[float], float]]:
    return (math.log, math.exp) if min(values) > 0 else (float, float)


def _between(one: Place, other: Place, first: float, last: float) -> Place | None:
    """Return where a lead passes zero between two points; None where it does not."""
    if (first > 0) == (last > 0):
        return None
    share = first / (first - last)
    return (one[0] + share * (other[0] - one[0]), one[1] + share * (other[1] - one[1]))


def _pairs(hits: Sequence[Place | None], levels: Sequence[float]) -> list[tuple[Place, Place]]:
    """Return the crossings of a square's edges in pairs; a saddle is split as its middle lies."""
    found = [hit for hit in hits if hit is not None]
    if len(found) < 4:  # noqa: PLR2004 - the edges of a square
        return [(found[0], found[1])] if found else []
    below, right, above, left = found
    if (sum(levels) > 0) == (levels[0] > 0):
        return [(below, right), (above, left)]
    return [(below, left), (right, above)]


def _map_sentence(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    """Return what the map says: who wins where, or the range of HFU."""
    metric = summary["metric"]
    known = [row for row in rows if row[metric] is not None]
    if not known:
        return f"None of the {len(rows)} points is feasible" + (
            " under both modes." if metric == RATIO else "."
        )
    form = ".2f" if metric == RATIO else ".1%"
    highest = max(known, key=lambda row: row[metric])
    least = min(row[metric] for row in known)
    span = f"{least:{form}} to {highest[metric]:{form}}"
    own = summary["at_own"][metric]
    here = f", {own:{form}} at the question's own values" if own is not None else ""
    where = " and ".join(f"{key} = {_figures(highest[key])}" for key in (summary["x"], summary["y"]))
    if metric == HFU:
        return f"The best HFU of the FFN stage is {span}{here}. Highest at {where}."
    low, high = summary["undecided"]
    ahead = {AFD: sum(row[RATIO] > high for row in known), EP: sum(row[RATIO] < low for row in known)}
    close = len(known) - sum(ahead.values())
    parts = [
        f"{NAMES[mode]} is ahead at {count}"
        for mode, count in sorted(ahead.items(), key=lambda item: -item[1])
        if count
    ] + ([f"{close} {'are' if close > 1 else 'is'} too close to call"] if close else [])
    return (
        f"Of {len(known)} points where both are feasible {', '.join(parts)}: AFD / EP is {span}{here}. "
        f"Highest at {where}."
    )


def _figures(value: float) -> str:
    """Write a number with three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - thousands apart


def _map_notes(scenario: Scenario, keys: tuple[str, str], metric: str) -> list[str]:
    """Return what a map rests on."""
    notes = []
    if metric == RATIO:
        notes.append("each point: the best deployments of both modes, searched exhaustively")
        low, high = undecided(load_ratio_error(scenario.system.parts.catalogue))
        notes.append(
            f"AFD / EP from {low:.2f} to {high:.2f} is too close to call, and more where much of a step was "
            "never measured: `compare` tells the probability"
        )
    shape = [key for key in keys if key in quantity_keys("model") or key.startswith("attention.")]
    if shape and not {*shape} & {field.name for field in attrs.fields(Scenario)}:
        notes.append(
            f"{' and '.join(shape)}: another model, not the same one served otherwise; its parameters, "
            "memory and operations change with it"
        )
    if (scenario.attention_system or scenario.ffn_system) and any(
        key in quantity_keys("system") for key in keys
    ):
        notes.append("values of hardware change the system itself, not --attention-system and --ffn-system")
    return notes


def _map_line(scenario: Scenario, keys: tuple[str, str], metric: str) -> str:
    """Return the question of a map in a line, without the inputs that it varies."""
    target = f" · TPOT {scenario.latency_ms:g} ms" if "tpot_ms" not in keys else ""
    if metric == RATIO:
        return f"{question_line(scenario, keys)}{target}"
    stage = scenario.for_stage()
    how = f"{stage.microbatches} micro-batches · {stage.links} links · fan-out {stage.fan_out}"
    return f"{scenario.system.name} x {scenario.model.name}{target} · {how}"
