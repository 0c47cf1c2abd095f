"""How far predicted ratios of AFD to EP are from published ones: a spread of their own, from pairs alike."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.decode.rows import kind_shares
from roofline_afd.analysis.evidence.services.predict import deployment_of
from roofline_afd.catalogue.calibration import ESTIMATED
from roofline_afd.physics import confidence
from roofline_afd.serving.deployment import Deployments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.services.rows import ServiceMeasurement
    from roofline_afd.catalogue.calibration import ServiceConstants

COVERAGE = 0.8
"""Share of measured ratios that the interval of a prediction is to hold [1]."""
FIELD_NOISE = 0.17
"""Difference of two runs of one configuration by one author: margins below it decide nothing [1]."""
ESTIMATED_ERROR = 0.3
"""Relative error of a time whose efficiencies were never measured, as an estimate [1]."""
FEWEST_SOURCES = 2
"""Sources from which on one can be left out."""
ADDRESS = re.compile(
    r"github\.com/([\w.-]+/[\w.-]+)|arxiv(?:\.org/\w+/|[ :])\s*(\d{4}\.\d{4,5})", re.IGNORECASE
)
"""What names a source: a repository, or a paper."""
SITE = re.compile(r"https?://([\w.-]+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A published ratio of AFD to EP on one basis, and what is predicted of it [1]."""

    afd: str
    ep: str
    sources: frozenset[str]
    """Where its AFD row was published: pairs that share that, or the baseline, say the same."""
    measured: float
    predicted: float
    estimated_share: float
    """The larger of both rows' shares of a step that rest on efficiencies never measured."""
    basis: str = ""
    """What both were timed by: `wall`, or `device`."""
    system: str = ""
    engine: str = ""
    """That of its AFD row."""

    @property
    def log_error(self) -> float:
        """Logarithm of predicted over measured."""
        return math.log(self.predicted / self.measured)


@dataclasses.dataclass(frozen=True, slots=True)
class RatioFit:
    """The log error of predicted ratios: spread and bias [1], and what they rest on."""

    spread: float
    bias: float
    degrees: int
    groups: tuple[tuple[Pair, ...], ...]
    """Pairs by source."""

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return sum(len(group) for group in self.groups)


def sources_of(row: ServiceMeasurement) -> frozenset[str]:
    """Return where a row was published: repositories and papers, else sites, else its own words."""
    named = {(repository or paper).lower() for repository, paper in ADDRESS.findall(row.source)}
    sites = {site.lower() for site in SITE.findall(row.source)}
    return frozenset(named or sites or {row.source or row.origin or row.place.rpartition(" row ")[0]})


def estimated_share_of(row: ServiceMeasurement, constants: ServiceConstants) -> float:
    """Return the share of a row's step that rests on efficiencies never measured [1]."""
    deployments = Deployments(row.scenario, row.mode)
    deployments.constants = constants
    return kind_shares(deployments, deployment_of(row, deployments)).get(ESTIMATED, 0.0)


def by_source(pairs: Sequence[Pair]) -> tuple[tuple[Pair, ...], ...]:
    """Return pairs in groups that have no source and no baseline in common.

    Parameters
    ----------
    pairs : sequence of Pair
        In any order.

    Returns
    -------
    tuple of tuple of Pair
        Groups, in the order of their first pair.
    """
    groups: list[tuple[set[str], list[Pair]]] = []
    for pair in pairs:
        names, members = {pair.ep, *pair.sources}, [pair]
        apart = []
        for known, held in groups:
            if known & names:
                names |= known
                members = held + members
            else:
                apart.append((known, held))
        groups = [*apart, (names, members)]
    order = {pair: index for index, pair in enumerate(pairs)}
    found = [tuple(sorted(members, key=order.__getitem__)) for _, members in groups]
    return tuple(sorted(found, key=lambda group: order[group[0]]))


def fit_ratio(pairs: Sequence[Pair]) -> RatioFit | None:
    """Fit the spread of the log error of predicted ratios, sources weighing alike.

    The bias is 0 unless sources show one; where it is, it takes a degree of freedom. Nothing is taken off
    for the estimated shares of the pairs themselves, so that intervals err to the wide side.

    Parameters
    ----------
    pairs : sequence of Pair
        Pairs on one basis.

    Returns
    -------
    RatioFit or None
        None without a pair.
    """
    return _fit(by_source(pairs)) if pairs else None


def _fit(groups: Sequence[Sequence[Pair]]) -> RatioFit:
    means = np.array([np.mean([pair.log_error for pair in group]) for group in groups])
    bias = confidence.shown_bias(means=means)
    errors = np.array([pair.log_error for group in groups for pair in group]) - bias
    numbers = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    degrees = len(groups) - bool(bias)
    spread = confidence.pooled_spread(errors=errors, groups=numbers) * math.sqrt(len(groups) / degrees)
    return RatioFit(spread, bias, degrees, tuple(tuple(group) for group in groups))


def interval_of(pair: Pair, fit: RatioFit) -> tuple[float, float]:
    """Return the interval that a fit expects a pair's measured ratio in, `COVERAGE` of them [1]."""
    spread = confidence.ratio_spread(
        base=fit.spread, estimated_share=pair.estimated_share, estimated_error=ESTIMATED_ERROR
    )
    low, high = confidence.ratio_interval(
        ratio=pair.predicted, bias=fit.bias, spread=spread, degrees=fit.degrees, coverage=COVERAGE
    )
    return float(low), float(high)


def left_out(fit: RatioFit) -> dict[tuple[str, str], tuple[float, float]] | None:
    """Return the interval of each pair that the other sources alone give.

    Parameters
    ----------
    fit : RatioFit
        With its pairs by source.

    Returns
    -------
    dict or None
        By the ids of both rows: ends [1]; None where there is one source only.
    """
    if len(fit.groups) < FEWEST_SOURCES:
        return None
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for index, group in enumerate(fit.groups):
        others = _fit([*fit.groups[:index], *fit.groups[index + 1 :]])
        found |= {(pair.afd, pair.ep): interval_of(pair, others) for pair in group}
    return found


def covered(fit: RatioFit) -> int | None:
    """Return how many pairs lie within the interval that the other sources give; None of one source."""
    intervals = left_out(fit)
    if intervals is None:
        return None
    return sum(_inside(pair, intervals) for group in fit.groups for pair in group)


def _inside(pair: Pair, intervals: Mapping[tuple[str, str], tuple[float, float]]) -> bool:
    low, high = intervals[pair.afd, pair.ep]
    return low <= pair.measured <= high


def ratio_model(pairs: Sequence[Pair]) -> dict[str, Any] | None:
    """Return how sure predicted ratios are, as a summary tells it.

    Parameters
    ----------
    pairs : sequence of Pair
        Pairs on one basis.

    Returns
    -------
    dict or None
        `spread` (s_0), `bias` (b, with `mean_log_error` whether shown or not), `degrees`, `pairs`, `sources`
        with their pairs, largest estimated share and root mean square error each; `coverage` of the 80 %
        interval leaving one source out: pairs within, their share, its 95 % binomial interval as if pairs
        were independent, that of sources all of whose pairs are within, and the pairs within `by` basis,
        system and engine. None without a pair.
    """
    fit = fit_ratio(pairs)
    if fit is None:
        return None
    intervals = left_out(fit)
    return {
        "spread": fit.spread,
        "bias": fit.bias,
        "mean_log_error": float(np.mean([_errors(group).mean() for group in fit.groups])),
        "degrees": fit.degrees,
        "pairs": fit.pairs,
        "estimated_error": ESTIMATED_ERROR,
        "sources": [
            {
                "names": sorted(set().union(*(pair.sources for pair in group))),
                "pairs": len(group),
                "estimated_share": max(pair.estimated_share for pair in group),
                "rms_log_error": float(np.sqrt(np.mean(_errors(group) ** 2))),
                "covered": None if intervals is None else sum(_inside(pair, intervals) for pair in group),
            }
            for group in fit.groups
        ],
        "coverage": None if intervals is None else _coverage(fit, intervals),
    }


def _errors(group: Sequence[Pair]) -> NDArray[np.float64]:
    return np.array([pair.log_error for pair in group])


def _coverage(fit: RatioFit, intervals: Mapping[tuple[str, str], tuple[float, float]]) -> dict[str, Any]:
    inside = [[_inside(pair, intervals) for pair in group] for group in fit.groups]
    hits, whole = sum(map(sum, inside)), sum(map(all, inside))
    low, high = confidence.binomial_interval(hits=hits, trials=fit.pairs)
    whole_low, whole_high = confidence.binomial_interval(hits=whole, trials=len(inside))
    return {
        "wanted": COVERAGE,
        "covered": hits,
        "pairs": fit.pairs,
        "share": hits / fit.pairs,
        "low": low,
        "high": high,
        "sources_covered": whole,
        "sources": len(inside),
        "sources_low": whole_low,
        "sources_high": whole_high,
        "by": [
            {
                "basis": basis,
                "system": system,
                "engine": engine or None,
                "pairs": len(own),
                "covered": sum(_inside(pair, intervals) for pair in own),
                "rms_log_error": float(np.sqrt(np.mean(_errors(own) ** 2))),
            }
            for (basis, system, engine), own in _alike(fit).items()
        ],
    }


def _alike(fit: RatioFit) -> dict[tuple[str, str, str], list[Pair]]:
    """Return pairs by basis, system and engine."""
    found: dict[tuple[str, str, str], list[Pair]] = {}
    for group in fit.groups:
        for pair in group:
            found.setdefault((pair.basis, pair.system, pair.engine), []).append(pair)
    return found
