"""Where expert parallelism and disaggregation win: over the latency target, and over any two inputs."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes
from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.analysis.decode.compare import NAMES, rates, refusal_of, search_modes
from roofline_afd.analysis.decode.predict import notes_of, quantities_of, row_of, serving_inputs
from roofline_afd.analysis.decode.what_if import SUBJECTS, changed, value_of
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.schema import quantity_keys
from roofline_afd.errors import InfeasibleError, InputError, nearest, shown
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployments
from roofline_afd.serving.scenario import (
    CHOICES,
    COUNTS,
    FORMATS,
    SHORTEST_TPOT_MS,
    Scenario,
    choice,
    finite,
)
from roofline_afd.serving.search import search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.serving.search import Found

    Numbers = NDArray[np.float64]
    Axis = tuple[str, Sequence[float]]

TARGETS = 20
"""Latency targets of a curve where none are asked for."""
LONGEST_TPOT_MS = 1000.0
"""Latency at which a curve ends where nobody asked for more: no reader waits a second for a token."""
BEYOND = 1.15
"""How far a curve goes on where nothing changes any more, as a factor."""
UNLIMITED_MS = 1e8
"""A latency target that binds nowhere."""
JUST_ABOVE = 1.0 + 1e-9
ROUNDS = 6
"""Halvings that settle a crossing between two targets."""
MOST_CROSSINGS = 6
"""Crossings that are settled; further ones are placed midway between two targets."""
MOST_POINTS = 2500
RATIO, HFU = "afd_over_ep", "hfu"
METRICS = (RATIO, HFU)
BOTH, ONLY_EP, ONLY_AFD, NEITHER = (
    "both feasible",
    "only EP feasible",
    "only AFD feasible",
    "neither feasible",
)
FEASIBLE, INFEASIBLE = "feasible", "infeasible"
POINT_KEYS = (
    "tpot_ms",
    "tokens_per_s_per_device",
    "tokens_per_s_per_user",
    "n_devices",
    "n_attention_devices",
    "n_ffn_devices",
    "batch_per_device",
    "microbatches",
    "binding",
    "bottleneck",
    "estimated_share",
)
X_FACTORS, Y_FACTORS = (0.25, 16.0, 13), (0.25, 8.0, 11)
"""Least and largest factor on the question's own value, and how many: steps of the square root of two."""
EXPERT_STEP = 128
"""Expert widths are multiples of this, as tiles of matrix units want them."""


class Curve:
    """The best deployment of one mode at any latency target, each target searched once.

    Parameters
    ----------
    scenario : Scenario
        The question; its own target is replaced.
    mode : str
        `ep` or `afd`.
    """

    def __init__(self, scenario: Scenario, mode: str) -> None:
        self.scenario, self.mode = scenario, mode
        self.examined = 0
        self._rows: dict[float, dict[str, Any] | None] = {}
        shortest = max(SHORTEST_TPOT_MS, (scenario.gap_ms or 0.0) / scenario.accept_length * JUST_ABOVE)
        self.unlimited = self._search(UNLIMITED_MS)
        self.least = math.inf
        """The least latency any deployment reaches [ms]."""
        if self.unlimited is not None:
            found = self._found(shortest)[1]
            self.least = shortest if found.nearest is None else found.nearest * 1e3 * JUST_ABOVE

    def _found(self, limit: float) -> tuple[Deployments, Found]:
        deployments = Deployments(attrs.evolve(self.scenario, tpot_ms=limit), self.mode)
        found = search(deployments)
        self.examined += found.examined
        return deployments, found

    def _search(self, limit: float) -> dict[str, Any] | None:
        deployments, found = self._found(limit)
        if found.best is None:
            return None
        row = row_of(deployments, found.best)
        return {"mode": self.mode, "tpot_limit_ms": limit} | {key: row[key] for key in POINT_KEYS}

    def at(self, limit: float) -> dict[str, Any] | None:
        """Return the best under a latency target [ms], None where nothing is feasible."""
        if limit not in self._rows:
            if self.unlimited is None or limit < self.least:
                self._rows[limit] = None
            elif limit >= self.unlimited["tpot_ms"]:
                self._rows[limit] = self.unlimited | {"tpot_limit_ms": limit}
            else:
                self._rows[limit] = self._search(limit)
        return self._rows[limit]

    def points(self, targets: Sequence[float]) -> list[dict[str, Any]]:
        """Return the best at each target that a shorter one did not have already."""
        kept: list[dict[str, Any]] = []
        for limit in targets:
            row = self.at(limit)
            if row is not None and (not kept or _rate(row) > _rate(kept[-1])):
                kept.append(row)
        return kept


def _rate(row: Mapping[str, Any] | None) -> float:
    return 0.0 if row is None else float(row["tokens_per_s_per_device"])


def _lead(curves: Mapping[str, Curve], limit: float) -> float | None:
    """Return AFD over EP under a latency target: 0 or infinite where one has nothing, None where both."""
    ep, afd = (_rate(curves[mode].at(limit)) for mode in (EP, AFD))
    if not (ep or afd):
        return None
    return afd / ep if ep else math.inf


def _targets(scenario: Scenario, curves: Mapping[str, Curve]) -> list[float]:
    """Return the targets of a curve: from the least latency to where it saturates, with its own."""
    possible = [curve for curve in curves.values() if curve.unlimited is not None]
    low = min(curve.least for curve in possible)
    ends = [float(curve.unlimited["tpot_ms"]) for curve in possible if curve.unlimited]
    own = scenario.latency_ms
    high = max(min(max(ends) * BEYOND, LONGEST_TPOT_MS), low * 1.5, own * BEYOND)
    exact = [own, *(curve.least for curve in possible), *ends]
    spaced = [float(value) for value in np.geomspace(low, high, TARGETS)]
    return sorted({low, *spaced[1:], *(value for value in exact if low <= value <= high)})


def _given_targets(given: object) -> list[float]:
    """Check latency targets that were asked for."""
    option = "--tpot-range"
    try:
        targets = np.unique(np.asarray(given, dtype=float))
    except (TypeError, ValueError) as error:
        raise InputError(f"{option} {shown(given)} holds no numbers") from error
    if not targets.size:
        raise InputError(f"{option} asks for no latency target")
    if targets.size > MOST_POINTS:
        raise InputError(f"{option} asks for {targets.size:,} latency targets; at most {MOST_POINTS:,}")
    return [finite(option, float(value), least=SHORTEST_TPOT_MS, below=1e9) for value in targets]


class Part(NamedTuple):
    """Latency targets over which one mode is ahead: their range [ms], and by how much it leads.

    `only` where the other mode has no feasible deployment.
    """

    winner: str
    only: bool
    from_ms: float
    to_ms: float
    least_lead: float | None
    largest_lead: float | None


def _ahead(lead: float) -> tuple[str, bool]:
    """Return which mode is ahead, and whether it is the only one feasible."""
    return (AFD if lead > 1 else EP), not 0 < lead < math.inf


def _crossing(curves: Mapping[str, Curve], low: float, high: float, *, settle: bool) -> float:
    """Return the latency target between two at which the winner changes, by bisection [ms]."""
    first, last = (_ahead(_lead(curves, limit) or 0.0) for limit in (low, high))
    if first[1] or last[1]:
        return max(curve.least for curve in curves.values())
    for _ in range(ROUNDS if settle else 0):
        middle = math.sqrt(low * high)
        if _ahead(_lead(curves, middle) or 0.0) == first:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def _parts(curves: Mapping[str, Curve], targets: Sequence[float]) -> list[Part]:
    """Return who is ahead where, in order of the latency target."""
    known = [(limit, lead) for limit in targets if (lead := _lead(curves, limit)) is not None]
    groups: list[list[tuple[float, float]]] = []
    for limit, lead in known:
        if groups and _ahead(groups[-1][-1][1]) == _ahead(lead):
            groups[-1].append((limit, lead))
        else:
            groups.append([(limit, lead)])
    settle = len(groups) <= MOST_CROSSINGS + 1
    inner = [
        _crossing(curves, before[-1][0], after[0][0], settle=settle)
        for before, after in itertools.pairwise(groups)
    ]
    edges = [known[0][0], *inner, known[-1][0]]
    parts = []
    for group, (low, high) in zip(groups, itertools.pairwise(edges), strict=True):
        winner, only = _ahead(group[0][1])
        gains = [math.expm1(abs(math.log(lead))) for _, lead in group] if not only else []
        parts.append(Part(winner, only, low, high, min(gains, default=None), max(gains, default=None)))
    return parts


def frontier(scenario: Scenario, *, tpot_ms: object = None) -> Answer:
    """Answer which mode serves more tokens per device at which latency target.

    Parameters
    ----------
    scenario : Scenario
        The question; its own latency target is one of those looked at.
    tpot_ms : array-like of float, optional
        Latency targets; by default from the least that any deployment reaches to where both modes saturate
        [ms].

    Returns
    -------
    Answer
        The best deployments of both modes, each once, by latency target; who wins where.

    Raises
    ------
    InputError
        If a target is out of bounds or the question contradicts itself.
    InfeasibleError
        If neither mode has a feasible deployment at any of the targets.
    """
    asked = None if tpot_ms is None else _given_targets(tpot_ms)
    curves = {mode: Curve(scenario, mode) for mode in MODES}
    if all(curve.unlimited is None for curve in curves.values()):
        raise InfeasibleError(f"no: {refusal_of(search_modes(attrs.evolve(scenario, tpot_ms=UNLIMITED_MS)))}")
    targets = _targets(scenario, curves) if asked is None else asked
    points = {mode: curve.points(targets) for mode, curve in curves.items()}
    if not any(points.values()):
        raise InfeasibleError(f"no: {refusal_of(search_modes(attrs.evolve(scenario, tpot_ms=targets[-1])))}")
    parts = _parts(curves, targets)
    error = load_service_constants(scenario.system.parts.catalogue).validated_error
    own = scenario.latency_ms
    at_target = {mode: curve.at(own) for mode, curve in curves.items()} if asked is None else {}
    sides = [Deployments(scenario, mode) for mode in MODES]
    quantities = quantities_of(*sides)
    typical = {mode: at_target.get(mode) or rows[-1] for mode, rows in points.items() if rows}
    examined = sum(curve.examined for curve in curves.values())
    notes = [
        f"{examined:,} deployments examined, at {len(targets)} latency targets and none between them",
        *(
            f"{NAMES[mode]} has no feasible deployment at these targets: {_why(scenario, curves, mode)}"
            for mode in MODES
            if not points[mode]
        ),
        *dict.fromkeys(
            note for side in sides if side.mode in typical for note in notes_of(side, [typical[side.mode]])
        ),
        *provenance_notes(scenario, quantities),
    ]
    return Answer(
        command="afd-vs-ep",
        inputs={**serving_inputs(scenario, quantities), "targets_ms": targets},
        columns=object_columns([row for mode in MODES for row in points[mode]]),
        summary={
            "parts": [
                {
                    **part._asdict(),
                    "within_error": part.largest_lead is not None and part.largest_lead <= error,
                }
                for part in parts
            ],
            "crossings_ms": [part.from_ms for part in parts[1:]],
            "least_tpot_ms": {mode: _finite_or_none(curve.least) for mode, curve in curves.items()},
            "saturated_tpot_ms": {
                mode: curve.unlimited and curve.unlimited["tpot_ms"] for mode, curve in curves.items()
            },
            "at_target": at_target,
            "validated_error": error,
            "estimated": any(row["estimated_share"] > 0 for row in typical.values()),
            "answer": f"{_headline(parts, points, error)} {_at_target(own, at_target, curves)}".strip(),
        },
        notes=notes,
        table_keys=("mode", "tpot_limit_ms", *POINT_KEYS[:-1]),
    )


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _why(scenario: Scenario, curves: Mapping[str, Curve], mode: str) -> str:
    """Return why a mode has nothing at the targets looked at."""
    if curves[mode].unlimited is None:
        wide = attrs.evolve(scenario, tpot_ms=UNLIMITED_MS)
        return refusal_of({mode: search_modes(wide)[mode]}).partition(": ")[2]
    return f"the least latency is {curves[mode].least:.4g} ms per token"


def _percent(value: float) -> str:
    return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"  # noqa: PLR2004 - two digits either way


def _headline(parts: Sequence[Part], points: Mapping[str, Sequence[Any]], error: float) -> str:
    """Return who wins where, the most important first."""
    low, high = parts[0].from_ms, parts[-1].to_ms
    for mode, other in ((EP, AFD), (AFD, EP)):
        if not points[other]:
            return f"Only {NAMES[mode]} is feasible, from {low:.3g} ms per token on."
    if len(parts) > MOST_CROSSINGS + 1:
        return f"The winner changes {len(parts) - 1} times between {low:.3g} and {high:.3g} ms per token."
    compared = [part for part in parts if not part.only]
    turns: list[str] = []
    alone = parts[0].only and len(parts) > 1
    for part in parts[1:] if alone else parts:
        name = NAMES[part.winner]
        what = (
            f"only {name} is feasible" if part.only else name if part in compared[1:] else f"{name} is ahead"
        )
        gain = part.least_lead if len(compared) == 1 else None
        by = "" if gain is None else f", by {_percent(gain)} or more"
        turns.append(f"{what} from {part.from_ms:.3g} ms{'' if turns else ' per token on'}{by}")
    text = ", ".join(turns)
    close = {
        f"{NAMES[part.winner]}'s lead of at most {_percent(part.largest_lead)}"
        for part in compared
        if part.largest_lead is not None and part.largest_lead <= error
    }
    if close:
        text += (
            f"; {' and '.join(sorted(close))} {'is' if len(close) == 1 else 'are'} within the {error:.1%} "
            "median error of predictions"
        )
    text = f"{text[0].upper()}{text[1:]}."
    if alone:
        text += f" Below, from {parts[0].from_ms:.3g} ms, only {NAMES[parts[0].winner]} is feasible."
    return text


def _at_target(own: float, rows: Mapping[str, Any], curves: Mapping[str, Curve]) -> str:
    """Return what both modes reach at the question's own target; empty where it was not looked at."""
    if not rows:
        return ""
    parts = []
    for mode, row in rows.items():
        if row is None:
            least = curves[mode].least
            parts.append(
                f"{NAMES[mode]} has no feasible deployment"
                + (f", the least is {least:.4g} ms" if math.isfinite(least) else "")
            )
            continue
        shape = (
            f"{row['n_attention_devices']} + {row['n_ffn_devices']}"
            if row["n_ffn_devices"]
            else f"{row['n_devices']}"
        )
        parts.append(f"{NAMES[mode]} {_rate(row):,.0f} tokens/s per device on {shape} devices")
    return f"At {own:g} ms: {'; '.join(parts)}."


# --- two inputs at once ------------------------------------------------------------------------------------


def axis_unit(key: str) -> str:
    """Return the unit of an input that a catalogue holds; `1` for the fields of a question."""
    return {**quantity_keys("model"), **quantity_keys("system")}.get(key, "1")


def is_whole(key: str) -> bool:
    """Return whether an input only takes whole numbers."""
    name = key.rpartition(".")[2]
    if name in COUNTS or name in {"draft_tokens", "redundant_experts"}:
        return True
    counts = {**quantity_keys("attention"), **quantity_keys("model")}
    devices = name.endswith("_devices") or name == "devices_per_node"
    return (name in counts and not name.endswith("_billion")) or devices


def _name(key: str) -> str:
    return key.removeprefix("--").replace("-", "_")


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


def default_x(scenario: Scenario) -> Axis:
    """Return the bandwidth that decides: of scale-up within a superpod, else of scale-out."""
    key = "scale_up_gb_per_s" if scenario.system.superpod else "scale_out_gb_per_s"
    own = value_of(scenario, key)
    if own is None:
        key = "scale_up_gb_per_s"
        own = value_of(scenario, key)
    low, high, count = X_FACTORS
    return key, spaced(key, (own or 1.0) * low, (own or 1.0) * high, count)


def default_y(scenario: Scenario) -> Axis:
    """Return widths of an expert around the model's own, multiples of 128."""
    key = "expert_intermediate"
    own = value_of(scenario, key) or 1.0
    low, high, count = Y_FACTORS
    widths = [
        max(round(value / EXPERT_STEP), 1) * EXPERT_STEP for value in own * np.geomspace(low, high, count)
    ]
    return key, [float(value) for value in dict.fromkeys(widths)]


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


def _number(key: str, value: float) -> float:
    return int(value) if is_whole(key) and value.is_integer() else value


def grid(scenario: Scenario, *, x: Axis | None = None, y: Axis | None = None, metric: str = RATIO) -> Answer:
    """Answer where AFD beats EP, or how well FFN devices are used, over two inputs at once.

    Parameters
    ----------
    scenario : Scenario
        The question.
    x, y : tuple of str and sequence of float, optional
        An input and its values: any number of the question, the system or the model; by default the
        bandwidth between the groups, and the width of an expert.
    metric : str
        `afd_over_ep`: throughput of the best deployments, AFD over EP; `hfu`: best feasible HFU of the FFN
        stage over 1 to 40 nodes.

    Returns
    -------
    Answer
        A row per point, empty where infeasible; the break-even line as segments.

    Raises
    ------
    InputError
        If a key is unknown, a value out of bounds, or there are more than `MOST_POINTS` points.
    """
    choice("--metric", metric, METRICS)
    x_key, xs = _axis(scenario, x or default_x(scenario), "--x")
    y_key, ys = _axis(scenario, y or default_y(scenario), "--y")
    if x_key == y_key:
        raise InputError(f"--x and --y are both {x_key}; a map needs two inputs")
    if len(xs) * len(ys) > MOST_POINTS:
        raise InputError(f"--x and --y ask for {len(xs) * len(ys):,} points; a map holds {MOST_POINTS:,}")
    measure = _modes_at if metric == RATIO else _hfu_at
    rows = []
    for one in ys:
        row = changed(scenario, {y_key: _number(y_key, one)})
        for other in xs:
            point = changed(row, {x_key: _number(x_key, other)})
            rows.append({x_key: other, y_key: one, **measure(point)})
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
    summary["answer"] = _map_sentence(rows, summary)
    return Answer(
        command="hfu-map",
        inputs=serving_inputs(scenario, quantities),
        columns=object_columns(rows),
        summary=summary,
        notes=[*_map_notes(scenario, (x_key, y_key), metric), *provenance_notes(scenario, quantities)],
    )


def _modes_at(scenario: Scenario) -> dict[str, Any]:
    """Return the throughput of both modes and their ratio; None where infeasible."""
    return _modes(*rates(scenario))


def _modes(ep: float, afd: float) -> dict[str, Any]:
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
    estimated = any(shares) if shares else any(side.deployments.estimated for side in sides.values())
    return _modes(ep, afd), estimated


def _own_hfu(scenario: Scenario) -> tuple[dict[str, Any], bool]:
    """Return the HFU at the question's own values, and whether it rests on an estimate."""
    return _hfu_at(scenario), roofline(scenario, ffn_nodes=[1]).summary["weakest_kind"] == "estimated"


def _hfu_at(scenario: Scenario) -> dict[str, Any]:
    """Return the best feasible HFU of the FFN stage, and the FFN nodes that reach it."""
    summary = roofline(scenario).summary
    return {
        HFU: summary["best_hfu"],
        "best_ffn_nodes": summary["best_ffn_nodes"],
        "hfu_ceiling": summary["hfu_ceiling"],
        "hfu_floor": summary["hfu_floor"],
        "state": INFEASIBLE if summary["best_hfu"] is None else FEASIBLE,
    }


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


Place = tuple[float, float]


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


def _figures(value: float) -> str:
    """Write a number with three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - thousands apart


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
    ahead = sum(row[RATIO] > 1 for row in known)
    whole = ahead in {0, len(known)}
    share = f"all {len(known)}" if whole else f"{ahead} of {len(known)}"
    winner = AFD if ahead else EP
    return (
        f"{NAMES[winner]} is ahead at {share} points where both are feasible: AFD / EP is {span}{here}. "
        f"Highest at {where}."
    )


def _map_notes(scenario: Scenario, keys: tuple[str, str], metric: str) -> list[str]:
    """Return what a map rests on."""
    notes = []
    if metric == RATIO:
        notes.append("each point: the best deployments of both modes, searched exhaustively")
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
