"""What each lever does to the verdict: one choice changed at a time, for both modes alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.analysis.answer import Asked
from roofline_afd.analysis.decode.sides import NAMES, search_mode
from roofline_afd.analysis.decode.verdict import chance, verdict_of
from roofline_afd.errors import InputError
from roofline_afd.progress import steps
from roofline_afd.serving.checks import option
from roofline_afd.serving.deployment import AFD, EP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.analysis.decode.sides import Side
    from roofline_afd.serving.scenario import Scenario

LEVERS: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("kernels of experts", "kernels", ("separate", "fused")),
    ("cut of the layer under AFD", "afd_cut", ("attention", "core")),
    ("attention groups that take turns", "attention_groups", (2, 3)),
    ("placement of experts", "expert_placement", ("plain", "levelled")),
    ("routing", "routing", ("natural", "balanced")),
    ("copies that are sent", "transport", ("pair", "rank", "node")),
    ("shared heads", "tensor_parallel", (1, 8)),
    ("shared caches", "context_parallel", (1,)),
    ("processors for transfers", "transfer_share", (0.15,)),
    ("host and small kernels", "engine", ("ideal", "vllm")),
)
"""Levers by name, the field of a question that each sets, and the values that are tried."""
ONLY_AFD = ("afd_cut", "attention_groups")
"""Fields of which EP knows nothing."""
SEARCHED = ("afd_cut", "tensor_parallel", "context_parallel")
"""Fields that are searched: where the best has a value, it is the best of those that have it too."""
SURE = ("probability_afd_wins", "afd_over_ep_low", "afd_over_ep_high", "too_close_to_call")
"""Keys of a row that say how sure it is."""


def levers_of(scenario: Scenario, sides: Mapping[str, Side]) -> list[dict[str, Any]]:
    """Return what becomes of both modes where one lever is set, all else as asked.

    Parameters
    ----------
    scenario : Scenario
        The question.
    sides : mapping of str to Side
        What was found, by mode.

    Returns
    -------
    list of dict
        A row per lever and value: option, rates of both modes, their ratio, the winner, whether that is
        another one, and how sure that is; or why it cannot be set.
    """
    known = sides[EP].rate or 0.0, sides[AFD].rate or 0.0
    before = _winner(*known)
    rows = []
    for name, field, values in steps(LEVERS):
        for value in values:
            row: dict[str, Any] = {"lever": name, "option": f"{option(field)} {value}"}
            try:
                changed = _set(scenario, field, value)
                found = {
                    mode: side if _moves_nothing(scenario, side, field, value) else search_mode(changed, mode)
                    for mode, side in sides.items()
                }
                row |= _outcome(found[EP].rate or 0.0, found[AFD].rate or 0.0, before)
                row |= _sure(found) | {"why": None}
            except InputError as error:
                row |= _outcome(0.0, 0.0, None) | dict.fromkeys(SURE) | {"why": str(error)}
            rows.append(row | {"remark": _remark(row)})
    return rows


def _moves_nothing(scenario: Scenario, side: Side, field: str, value: object) -> bool:
    """Return whether a mode's best stays what it is: it has that value, or a mode has no such choice."""
    if field in ONLY_AFD and side.deployments.mode == EP:
        return True
    if getattr(scenario, field) == value:
        return True
    best = side.found.best
    return best is not None and field in SEARCHED and getattr(best, field) == value


def _remark(row: Mapping[str, Any]) -> str | None:
    """Return what a row says besides its numbers."""
    if row["why"]:
        return str(row["why"])
    if row["winner"] is None:
        return "neither mode has a feasible deployment"
    if row["afd_over_ep"] is None:
        return f"only {NAMES[row['winner']]} has a feasible deployment"
    if row["changes_winner"]:
        return "the winner changes" + (", but too close to call" if row["too_close_to_call"] else "")
    return None


def _set(scenario: Scenario, field: str, value: object) -> Scenario:
    """Return a question with one lever set; others that it excludes are left to their defaults."""
    changes: dict[str, Any] = {field: value}
    if field == "routing" and value == "balanced":
        changes |= {"expert_placement": None, "zipf": None, "expert_counts": None}
    if field == "expert_placement" and scenario.routing == "balanced":
        raise InputError("routing is balanced: placement changes nothing")
    if field == "engine":
        changes["any_size"] = True
    return attrs.evolve(scenario, **changes)


def _outcome(ep: float, afd: float, before: str | None) -> dict[str, Any]:
    """Return rates, ratio and winner; None where a mode has no feasible deployment."""
    winner = _winner(ep, afd)
    return {
        "ep_tokens_per_s_per_device": ep or None,
        "afd_tokens_per_s_per_device": afd or None,
        "afd_over_ep": afd / ep if ep and afd else None,
        "winner": winner,
        "changes_winner": None if winner is None or before is None else winner != before,
    }


def _sure(sides: Mapping[str, Side]) -> dict[str, Any]:
    """Return how sure it is who is ahead; None where neither mode has a feasible deployment."""
    if all(side.rate is None for side in sides.values()):
        return dict.fromkeys(SURE)
    found = verdict_of(sides).keys()
    return {key: found[key] for key in SURE}


def _winner(ep: float, afd: float) -> str | None:
    if not (ep or afd):
        return None
    return AFD if afd > ep else EP


def lever_notes(rows: list[dict[str, Any]]) -> list[str]:
    """Return what levers do, a sentence each: AFD over EP, and whether another mode wins."""
    notes: list[str] = []
    for row in rows:
        if row["why"] is not None:
            told = row["why"]
        elif row["winner"] is None:
            told = "neither mode has a feasible deployment"
        elif row["afd_over_ep"] is None:
            told = f"only {NAMES[row['winner']]} has a feasible deployment"
        else:
            told = (
                f"EP {row['ep_tokens_per_s_per_device']:,.0f}, AFD {row['afd_tokens_per_s_per_device']:,.0f} "
                f"tokens/s per device, AFD / EP {row['afd_over_ep']:.2f}, AFD ahead with probability "
                f"{chance(row['probability_afd_wins'])}"
            )
        flips = ": the winner changes" if row["changes_winner"] else ""
        if flips and row["too_close_to_call"]:
            flips += ", but it is too close to call"
        notes.append(Asked(f"lever, {row['lever']}, {row['option']}: {told}{flips}"))
    return notes
