"""All uncertain inputs at once: random values of them, and what they say of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.purchase.questions import RATIO
from roofline_afd.physics import confidence
from roofline_afd.serving.deployment import AFD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.analysis.purchase.uncertainty import Input
    from roofline_afd.analysis.purchase.variation import Rates
    from roofline_afd.catalogue.ratio_error import RatioError

SAMPLED_KEYS = ("feasible_samples", "probability_afd_wins_sampled", "afd_ahead_share", "intervals")
MODEL = 1
"""Number of the random stream of the model's own error, beside that of inputs."""
LOW_END, HIGH_END = 5.0, 95.0
"""Percentiles that hold 90 % of the samples."""


def draws(inputs: Sequence[Input], samples: int, seed: int) -> list[dict[str, float]]:
    """Return random values of all inputs, evenly spread between their ends on logarithms.

    Parameters
    ----------
    inputs : sequence of Input
        What is uncertain; those of a group are drawn together, all towards faster or all towards slower.
    samples : int
        How many [1].
    seed : int
        Of the random numbers.

    Returns
    -------
    list of dict
        Value by key, for each sample.
    """
    groups = list(dict.fromkeys(item.group for item in inputs))
    random = np.random.default_rng(seed).random((samples, len(groups)))
    columns = {}
    for item in inputs:
        share = random[:, groups.index(item.group)]
        share = share if item.faster else 1.0 - share
        if item.low > 0:
            values = item.low * (item.high / item.low) ** share
        else:
            values = item.low + (item.high - item.low) * share
        columns[item.key] = [item.rounded(min(max(value, item.low), item.high)) for value in values.tolist()]
    return [{key: values[index] for key, values in columns.items()} for index in range(samples)]


def sampled(
    found: Sequence[Rates], error: RatioError, seed: int, *, estimated_share: float = 0.0
) -> dict[str, Any]:
    """Return what samples say: an interval of each headline number, and how likely AFD wins.

    Inputs alone say how far the prediction moves; what is predicted may be off besides. So each sample's
    ratio is taken with the error of predicted ratios, as wide as that of the prediction itself: the
    probability is the mean over samples of that of each, and the interval of the ratio is of samples with an
    error drawn each. Inputs that were never measured are drawn besides: most move both modes alike, so that
    draws of them leave out what is off in one mode alone.

    Parameters
    ----------
    found : sequence of Rates
        Throughput of each sample.
    error : RatioError
        How far predicted ratios are off.
    seed : int
        Of the random numbers.
    estimated_share : float
        As that of the prediction itself [1].

    Returns
    -------
    dict
        `feasible_samples`, `probability_afd_wins_sampled`, `afd_ahead_share` (of the samples as predicted)
        and `intervals`: all None where nothing was sampled.
    """
    if not found:
        return dict.fromkeys(SAMPLED_KEYS)
    decided = [rates for rates in found if rates.winner]
    ratios = np.array([rates.afd / rates.ep for rates in found if rates.ep and rates.afd])
    spread = float(
        confidence.ratio_spread(
            base=error.spread, estimated_share=estimated_share, estimated_error=error.estimated_error
        )
    )
    model: dict[str, Any] = {"bias": error.bias, "spread": spread, "degrees": error.degrees}
    wins = sum(rates.winner == AFD and not rates.ep for rates in decided)
    likely = wins + float(np.sum(confidence.probability_ahead(ratio=ratios, **model)))
    order = np.random.default_rng([seed, MODEL]).permutation(ratios.size)
    drawn = (order + 0.5) / max(ratios.size, 1)  # as many slices of the distribution as samples, each once
    off = error.bias + spread * confidence.student_quantile(probability=drawn, degrees=error.degrees)
    numbers = {
        "ep_tokens_per_s_per_device": [rates.ep for rates in found if rates.ep],
        "afd_tokens_per_s_per_device": [rates.afd for rates in found if rates.afd],
        RATIO: (ratios * np.exp(-off)).tolist(),
    }
    ahead = sum(rates.winner == AFD for rates in decided)
    return {
        "feasible_samples": len(decided),
        "probability_afd_wins_sampled": likely / len(decided) if decided else None,
        "afd_ahead_share": ahead / len(decided) if decided else None,
        "intervals": {key: _interval(values, len(found)) for key, values in numbers.items()},
    }


def _interval(values: Sequence[float], asked: int) -> dict[str, float] | None:
    """Return the middle 90 % of samples, their median, and the share of them that has a value."""
    if not values:
        return None
    low, median, high = np.percentile(values, [LOW_END, 50.0, HIGH_END]).tolist()
    return {"low": low, "median": median, "high": high, "feasible_share": len(values) / asked}
