"""How sure a ranking is: neighbours that may as well change places, and AFD against EP on the best system."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.analysis.decode.sides import NAMES
from roofline_afd.analysis.decode.verdict import Odds, Verdict, chance, odds_of
from roofline_afd.serving.deployment import AFD, EP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.catalogue.ratio_error import RatioError

COST, DEVICES = "usd_per_million_tokens", "n_devices_sold"
MOSTLY = 0.5
"""Share of estimated times from which a ranking is said to rest on them."""


class Doubts(NamedTuple):
    """What is not sure about a ranking.

    `verdict` is of AFD against EP on the best system, by cost, with `ratio` tokens of AFD over those of EP
    for as much; `neighbours` has a row for each two candidates next to each other.
    """

    ratio: float | None
    verdict: Verdict
    neighbours: list[dict[str, Any]]

    def keys(self) -> dict[str, Any]:
        """Return what a summary tells of it."""
        return {"afd_over_ep": self.ratio, **self.verdict.keys(), "neighbours": self.neighbours}


def doubts_of(
    rows: Sequence[Mapping[str, Any]], error: RatioError, *, level_error: float, basis: str
) -> Doubts:
    """Return how sure a ranking is.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the answer, by rank.
    error : RatioError
        How far predicted ratios of AFD to EP of one system are off.
    level_error : float
        Median error of predicted levels, within which candidates of two systems are too close to call [1].
    basis : str
        What predicted times cover: `device` or `wall`.

    Returns
    -------
    Doubts
        Of the best system, and of neighbours.
    """
    feasible = [row for row in rows if row["feasible"]]
    best = feasible[0]
    modes = {row["mode"]: row for row in feasible if row["system"] == best["system"]}
    both = _odds(modes[AFD], modes[EP], error) if len(modes) == len(NAMES) else None
    share = max(float(row["estimated_share"]) for row in modes.values())
    verdict = Verdict(both, both.probability if both else None, share, basis, None)
    neighbours = [
        _neighbours(first, second, error, level_error) for first, second in itertools.pairwise(feasible)
    ]
    return Doubts(both.ratio if both else None, verdict, neighbours)


def _worth(first: Mapping[str, Any], second: Mapping[str, Any]) -> float | None:
    """Return by what factor a second candidate costs more; None where only one has a cost."""
    for key in (COST, DEVICES):
        one, other = first[key], second[key]
        if one is not None and other is not None:
            return float(other / one)
        if one is not None or other is not None:
            return None
    return None


def _odds(afd: Mapping[str, Any], ep: Mapping[str, Any], error: RatioError) -> Odds | None:
    """Return how sure it is which mode of a system is cheaper."""
    ratio = _worth(afd, ep)
    share = max(float(row["estimated_share"]) for row in (afd, ep))
    return None if ratio is None else odds_of(error, ratio=ratio, estimated_share=share)


def _neighbours(
    first: Mapping[str, Any], second: Mapping[str, Any], error: RatioError, level_error: float
) -> dict[str, Any]:
    """Return whether two candidates may as well change places.

    Both modes of a system by the probability of their ratio, else by the median error of levels.
    """
    factor = _worth(first, second)
    probability = None
    close = factor is not None and factor - 1.0 <= level_error
    if first["system"] == second["system"]:
        afd, ep = (first, second) if first["mode"] == AFD else (second, first)
        odds = _odds(afd, ep, error)
        if odds is not None:
            probability = odds.probability if first is afd else 1.0 - odds.probability
            close = odds.close
    return {
        "rank": first["rank"],
        "system": first["system"],
        "mode": first["mode"],
        "next_system": second["system"],
        "next_mode": second["mode"],
        "cost_ratio": factor,
        "probability_cheaper": probability,
        "too_close_to_call": close,
    }


def other_mode_words(rows: Sequence[Mapping[str, Any]], doubts: Doubts) -> str:
    """Return what the other mode of the best system costs, and how sure that is; empty where unknown."""
    best, odds = rows[0], doubts.verdict.odds
    if odds is None:
        return ""
    other = EP if best["mode"] == AFD else AFD
    row = next(row for row in rows if row["system"] == best["system"] and row["mode"] == other)
    more = (_worth(best, row) or 1.0) - 1.0
    what = "costs" if best[COST] is not None else "takes"
    ahead = odds.probability if best["mode"] == AFD else 1.0 - odds.probability
    text = f"; with {NAMES[other]} it {what} {more:.0%} more{'' if best[COST] is not None else ' devices'}"
    text += f" ({NAMES[best['mode']]} ahead with probability {chance(ahead)}"
    return f"{text}, too close to call)" if odds.close else f"{text})"


def estimate_words(best: Mapping[str, Any], *, what: str) -> str:
    """Return what share of a time rests on estimates where that is most of it; empty otherwise."""
    share = float(best["estimated_share"])
    return (
        f"; {share:.0%} of its {what} rests on kernels never timed on such parts" if share >= MOSTLY else ""
    )
