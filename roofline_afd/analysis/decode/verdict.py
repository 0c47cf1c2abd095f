"""How sure it is which mode is ahead: the probability and the interval of a predicted ratio of AFD to EP."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.analysis.answer import Decisive
from roofline_afd.catalogue.ratio_error import RatioError, load_ratio_error
from roofline_afd.physics import confidence
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.limits import LATENCY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.analysis.decode.sides import Side
    from roofline_afd.serving.deployment import Deployments

COVERAGE = 0.8
"""Share of measured ratios that the interval of a prediction is to hold [1]."""
UNDECIDED = 0.2
"""Probability from which on a mode that is behind may as well be ahead [1]."""
WALL, DEVICE = "wall", "device"
"""What a prediction covers: a client's time, with the pause of the host, or that of devices alone."""
LOWEST, HIGHEST = 0.01, 0.99
"""Probabilities beyond which words tell no digits."""


class Odds(NamedTuple):
    """How sure a predicted ratio of AFD to EP is: probability that AFD is ahead, ends of its interval [1]."""

    ratio: float
    probability: float
    low: float
    high: float

    @property
    def close(self) -> bool:
        """Whether it is too close to call."""
        return UNDECIDED < self.probability < 1.0 - UNDECIDED

    @property
    def words(self) -> str:
        """The ratio, its interval and the probability."""
        return (
            f"AFD / EP {self.ratio:.2f}, {COVERAGE * 100:.0f} % interval {self.low:.2f} to {self.high:.2f}, "
            f"AFD ahead with probability {chance(self.probability)}"
        )


def chance(probability: float) -> str:
    """Return a probability in words, of no more digits than it deserves."""
    if probability < LOWEST:
        return f"below {LOWEST:g}"
    return f"above {HIGHEST:g}" if probability > HIGHEST else f"{probability:.2f}"


def odds_of(error: RatioError, *, ratio: float, estimated_share: float) -> Odds:
    """Return how sure a predicted ratio of AFD to EP is.

    Both modes of a comparison run on the same kernels and links: their errors go together, and the ratio is
    surer than both levels put together. So it has an error of its own.

    Parameters
    ----------
    error : RatioError
        How far predicted ratios are off.
    ratio : float
        Predicted throughput of AFD over EP [1].
    estimated_share : float
        The larger of both modes' shares of a step that rest on efficiencies never measured [1].

    Returns
    -------
    Odds
        Probability and interval.
    """
    spread = confidence.ratio_spread(
        base=error.spread, estimated_share=estimated_share, estimated_error=error.estimated_error
    )
    model: dict[str, Any] = {
        "ratio": ratio,
        "bias": error.bias,
        "spread": spread,
        "degrees": error.degrees,
    }
    low, high = confidence.ratio_interval(**model, coverage=COVERAGE)
    return Odds(ratio, float(confidence.probability_ahead(**model)), float(low), float(high))


def undecided(error: RatioError, *, estimated_share: float = 0.0) -> tuple[float, float]:
    """Return the predicted ratios of AFD to EP between which it is too close to call.

    Parameters
    ----------
    error : RatioError
        How far predicted ratios are off.
    estimated_share : float
        Share of a step whose efficiencies were never measured [1].

    Returns
    -------
    tuple of float
        Ends [1].
    """
    spread = confidence.ratio_spread(
        base=error.spread, estimated_share=estimated_share, estimated_error=error.estimated_error
    )
    reach = spread * confidence.student_quantile(probability=1.0 - UNDECIDED, degrees=error.degrees)
    return math.exp(error.bias - reach), math.exp(error.bias + reach)


class Verdict(NamedTuple):
    """What is known of who is ahead: odds where both modes are feasible, else what rules one out."""

    odds: Odds | None
    probability: float | None
    estimated_share: float
    basis: str
    note: str | None

    @property
    def close(self) -> bool:
        """Whether it is too close to call; never so where one mode is not feasible."""
        return self.odds is not None and self.odds.close

    def keys(self, suffix: str = "") -> dict[str, Any]:
        """Return what a summary tells of it, under keys with an ending."""
        odds = self.odds
        found = {
            "probability_afd_wins": self.probability,
            "afd_over_ep_low": odds.low if odds else None,
            "afd_over_ep_high": odds.high if odds else None,
            "too_close_to_call": self.close,
            "basis": self.basis,
            "estimated_share": self.estimated_share,
        }
        return {f"{key}{suffix}": value for key, value in found.items()}


def basis_of(deployments: Deployments) -> str:
    """Return what predicted times of a question cover: `wall` with the pause of a host, else `device`."""
    scenario = deployments.scenario
    paused = scenario.gap_ms is None and scenario.engine.host_pause_s > 0
    return WALL if paused or deployments.gap > 0 else DEVICE


def verdict_of(sides: Mapping[str, Side]) -> Verdict:
    """Return how sure it is which mode is ahead.

    Parameters
    ----------
    sides : mapping
        Both modes, searched; one at least is feasible.

    Returns
    -------
    Verdict
        With a note where one mode is not feasible: the probability is 0 or 1 where that is for a reason that
        no error of times changes, and None where only its latency rules it out.
    """
    ep, afd = sides[EP], sides[AFD]
    deployments = ep.deployments
    shares = [float(side.row["estimated_share"]) for side in sides.values() if side.rate]
    share = max(shares, default=0.0)
    basis = basis_of(deployments)
    if ep.rate and afd.rate:
        error = load_ratio_error(deployments.scenario.system.parts.catalogue)
        odds = odds_of(error, ratio=afd.rate / ep.rate, estimated_share=share)
        return Verdict(odds, odds.probability, share, basis, None)
    out = afd if ep.rate else ep
    name, refusal = out.deployments.mode.upper(), out.found.refusal
    if refusal == LATENCY:
        note = Decisive(
            f"{name} is too slow by a prediction that may be off: no probability is told of who is ahead"
        )
        return Verdict(None, None, share, basis, note)
    probability = 1.0 if out is ep else 0.0
    note = Decisive(
        f"AFD is ahead with probability {probability:.0f}: no error of times changes what rules {name} out"
    )
    return Verdict(None, probability, share, basis, note)


def model_note(error: RatioError, verdict: Verdict) -> str:
    """Return what the probability rests on, in words.

    Parameters
    ----------
    error : RatioError
        How far predicted ratios are off.
    verdict : Verdict
        What it is of.

    Returns
    -------
    str
        A note.
    """
    covers = "the pause of a host included" if verdict.basis == WALL else "without the pause of any host"
    text = (
        f"probability and interval: log errors of predicted AFD / EP have spread {error.spread:.3g} over "
        f"{error.pairs} published pairs of {error.sources} sources (Student's t, {error.degrees:.0f} degrees "
        "of freedom)"
    )
    if verdict.estimated_share > 0:
        text += (
            f", widened by {error.estimated_error:.0%} of the {verdict.estimated_share:.0%} of a step that "
            "was never measured"
        )
    return (
        f"{text}; both modes on the {verdict.basis} basis, {covers}; too close to call between probabilities "
        f"{UNDECIDED:g} and {1 - UNDECIDED:g}"
    )
