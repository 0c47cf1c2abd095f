"""Where expert parallelism and disaggregation win over the latency target."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns, provenance_notes, with_formats
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, question_line, serving_inputs
from roofline_afd.analysis.decode.rows import row_of
from roofline_afd.analysis.decode.sides import NAMES, refusal_of, search_modes
from roofline_afd.analysis.decode.verdict import Odds, odds_of
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.errors import InfeasibleError, InputError, shown
from roofline_afd.progress import steps
from roofline_afd.serving.checks import finite
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployments
from roofline_afd.serving.scenario import SHORTEST_TPOT_MS, Scenario
from roofline_afd.serving.search import search
from roofline_afd.serving.targets import search_targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.decode.questions import Frontier
    from roofline_afd.catalogue.ratio_error import RatioError
    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.search import Found

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
MOST_TARGETS = 2500
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


def frontier(question: Frontier) -> Answer:
    """Answer which mode serves more tokens per device at which latency target.

    Parameters
    ----------
    question : Frontier
        What is asked.

    Returns
    -------
    Answer
        The best deployments of both modes, each once, by latency target; who wins where, and how sure that
        is. Its picture has the question in a line, the latency targets from which, to which and at which it
        is drawn [ms], the 80 % interval of AFD against EP as predicted, and by mode the median error of
        published services.

    Raises
    ------
    InputError
        If a target is out of bounds, the range is reversed, or the question contradicts itself.
    InfeasibleError
        If neither mode has a feasible deployment at any of the targets.
    """
    scenario = question.scenario
    asked = _asked_targets(question)
    curves = {mode: Curve(scenario, mode) for mode in MODES}
    if all(curve.unlimited is None for curve in curves.values()):
        raise InfeasibleError(f"no: {refusal_of(search_modes(attrs.evolve(scenario, tpot_ms=UNLIMITED_MS)))}")
    targets = _targets(scenario, curves) if asked is None else asked
    points = {mode: curve.points(targets) for mode, curve in steps(curves.items())}
    if not any(points.values()):
        raise InfeasibleError(f"no: {refusal_of(search_modes(attrs.evolve(scenario, tpot_ms=targets[-1])))}")
    parts = _parts(curves, targets)
    catalogue = scenario.system.parts.catalogue
    constants = load_service_constants(catalogue)
    odds = _odds(curves, targets, load_ratio_error(catalogue))
    close = _close(odds)
    own = scenario.latency_ms
    at_target = {mode: curve.at(own) for mode, curve in curves.items()} if asked is None else {}
    sides = [Deployments(scenario, mode) for mode in MODES]
    quantities = quantities_of(*sides)
    typical = {mode: at_target.get(mode) or rows[-1] for mode, rows in points.items() if rows}
    examined = sum(curve.examined for curve in curves.values())
    drawn = [row for mode in MODES for row in points[mode]]
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
        columns=object_columns(drawn),
        summary={
            "parts": [
                {
                    **part._asdict(),
                    "within_error": _within(part, odds),
                }
                for part in parts
            ],
            "too_close_ms": [list(one) for one in close],
            "crossings_ms": [part.from_ms for part in parts[1:]],
            "least_tpot_ms": {mode: _finite_or_none(curve.least) for mode, curve in curves.items()},
            "saturated_tpot_ms": {
                mode: curve.unlimited and curve.unlimited["tpot_ms"] for mode, curve in curves.items()
            },
            "at_target": at_target,
            "validated_error": constants.validated_error,
            "estimated": any(row["estimated_share"] > 0 for row in typical.values()),
            "answer": with_formats(
                f"{_headline(parts, points, close, odds)} {_at_target(own, at_target, curves)}"
                f"{_at_own(odds.get(own) if at_target else None)}".strip(),
                scenario,
            ),
        },
        notes=notes,
        table_keys=("mode", "tpot_limit_ms", *POINT_KEYS[:-1]),
        picture={
            "question": question_line(scenario),
            "target_ms": own,
            "from_ms": targets[0] if asked else min(targets[0], *(row["tpot_ms"] for row in drawn)),
            "to_ms": targets[-1],
            "validated": {mode: error for mode, (error, _) in constants.validated_by_mode.items()},
            "band": [
                {"tpot_ms": limit, "low": rate * each.low / each.ratio, "high": rate * each.high / each.ratio}
                for limit, each in odds.items()
                if (rate := _rate(curves[AFD].at(limit)))
            ],
        },
    )


def _odds(curves: Mapping[str, Curve], targets: Sequence[float], error: RatioError) -> dict[float, Odds]:
    """Return how sure the ratio is at each target where both modes are feasible."""
    found = {}
    for limit in targets:
        ep, afd = (curves[mode].at(limit) for mode in (EP, AFD))
        if ep is not None and afd is not None:
            share = max(float(row["estimated_share"]) for row in (ep, afd))
            found[limit] = odds_of(error, ratio=_rate(afd) / _rate(ep), estimated_share=share)
    return found


def _within(part: Part, odds: Mapping[float, Odds]) -> bool:
    """Whether all of a part is too close to call."""
    own = [
        each
        for limit, each in odds.items()
        if part.from_ms <= limit <= part.to_ms and (AFD if each.ratio > 1 else EP) == part.winner
    ]
    return not part.only and bool(own) and all(each.close for each in own)


def _close(odds: Mapping[float, Odds]) -> list[tuple[float, float]]:
    """Return the ranges of targets, of those looked at, over which it is too close to call [ms]."""
    runs = itertools.groupby(odds, key=lambda limit: odds[limit].close)
    limits = [list(run) for close, run in runs if close]
    return [(run[0], run[-1]) for run in limits]


def _range(close: tuple[float, float], odds: Mapping[float, Odds]) -> str:
    """Return a range of targets in words."""
    low, high = close
    if low == high:
        return f"at {low:.3g} ms"
    return f"from {low:.3g} ms on" if high == max(odds) else f"from {low:.3g} to {high:.3g} ms"


def _at_own(odds: Odds | None) -> str:
    """Return how sure the ratio at the question's own target is; empty where there is none."""
    return f" {odds.words}{': too close to call' if odds.close else ''}." if odds else ""


def _asked_targets(question: Frontier) -> list[float] | None:
    """Return the latency targets asked for; None where nothing is said."""
    if question.targets_ms is not None:
        if question.tpot_range is not None:
            raise InputError("--tpot-range and targets_ms exclude each other: give one of them")
        return _given_targets(question.targets_ms)
    if question.tpot_range is None:
        return None
    low, high = (finite("--tpot-range", value, above=0, below=1e9) for value in question.tpot_range)
    if high <= low:
        raise InputError(f"--tpot-range {low:g}:{high:g} is reversed or empty: write low:high")
    return _given_targets(np.geomspace(low, high, TARGETS))


def _given_targets(given: object) -> list[float]:
    """Check latency targets that were asked for."""
    option = "--tpot-range"
    try:
        targets = np.unique(np.asarray(given, dtype=float))
    except (TypeError, ValueError) as error:
        raise InputError(f"{option} {shown(given)} holds no numbers") from error
    if not targets.size:
        raise InputError(f"{option} asks for no latency target")
    if targets.size > MOST_TARGETS:
        raise InputError(f"{option} asks for {targets.size:,} latency targets; at most {MOST_TARGETS:,}")
    return [finite(option, float(value), least=SHORTEST_TPOT_MS, below=1e9) for value in targets]


class Curve:
    """The best deployment of one mode at any latency target, each target searched once, many together.

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
        return None if found.best is None else self._row(deployments, found.best, limit)

    def _row(self, deployments: Deployments, best: Deployment, limit: float) -> dict[str, Any]:
        row = row_of(deployments, best)
        return {"mode": self.mode, "tpot_limit_ms": limit} | {key: row[key] for key in POINT_KEYS}

    def at(self, limit: float) -> dict[str, Any] | None:
        """Return the best under a latency target [ms], None where nothing is feasible."""
        if limit not in self._rows:
            self._look([limit])
        return self._rows[limit]

    def _look(self, limits: Sequence[float]) -> None:
        """Search targets that were not looked at yet."""
        asked = []
        for limit in dict.fromkeys(limits):
            if limit in self._rows:
                continue
            if self.unlimited is None or limit < self.least:
                self._rows[limit] = None
            elif limit >= self.unlimited["tpot_ms"]:
                self._rows[limit] = self.unlimited | {"tpot_limit_ms": limit}
            else:
                asked.append(limit)
        if not asked:
            return
        found = search_targets(self.scenario, self.mode, asked)
        self.examined += found.examined
        for limit, best in zip(asked, found.best, strict=True):
            question = Deployments(attrs.evolve(self.scenario, tpot_ms=limit), self.mode)
            self._rows[limit] = None if best is None else self._row(question, best, limit)

    def points(self, targets: Sequence[float]) -> list[dict[str, Any]]:
        """Return the best at each target that a shorter one did not have already."""
        self._look(targets)
        kept: list[dict[str, Any]] = []
        for limit in targets:
            row = self.at(limit)
            if row is not None and (not kept or _rate(row) > _rate(kept[-1])):
                kept.append(row)
        return kept


def _rate(row: Mapping[str, Any] | None) -> float:
    return 0.0 if row is None else float(row["tokens_per_s_per_device"])


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


def _lead(curves: Mapping[str, Curve], limit: float) -> float | None:
    """Return AFD over EP under a latency target: 0 or infinite where one has nothing, None where both."""
    ep, afd = (_rate(curves[mode].at(limit)) for mode in (EP, AFD))
    if not (ep or afd):
        return None
    return afd / ep if ep else math.inf


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


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _why(scenario: Scenario, curves: Mapping[str, Curve], mode: str) -> str:
    """Return why a mode has nothing at the targets looked at."""
    if curves[mode].unlimited is None:
        wide = attrs.evolve(scenario, tpot_ms=UNLIMITED_MS)
        return refusal_of({mode: search_modes(wide)[mode]}).partition(": ")[2]
    return f"the least latency is {curves[mode].least:.4g} ms per token"


def _headline(
    parts: Sequence[Part],
    points: Mapping[str, Sequence[Any]],
    close: Sequence[tuple[float, float]],
    odds: Mapping[float, Odds],
) -> str:
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
        gain = part.least_lead if len(compared) == 1 and not close else None  # a least lead that holds
        by = "" if gain is None else f", by {_percent(gain)} or more"
        turns.append(f"{what} from {part.from_ms:.3g} ms{'' if turns else ' per token on'}{by}")
    text = ", ".join(turns)
    if close:
        text += f"; too close to call {' and '.join(_range(one, odds) for one in close)}"
    text = f"{text[0].upper()}{text[1:]}."
    if alone:
        text += f" Below, from {parts[0].from_ms:.3g} ms, only {NAMES[parts[0].winner]} is feasible."
    return text


def _percent(value: float) -> str:
    return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"  # noqa: PLR2004 - two digits either way


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
