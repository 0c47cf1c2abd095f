"""Published pairs of AFD and EP: whether the sign of their difference is predicted, and how far it is off."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.evidence.services.ratio import (
    FIELD_NOISE,
    Pair,
    estimated_share_of,
    fit_ratio,
    left_out,
    ratio_model,
    sources_of,
)
from roofline_afd.analysis.evidence.services.rows import DEVICE, KERNEL, LOWER_BOUND, WALL
from roofline_afd.serving.deployment import AFD, EP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from roofline_afd.analysis.evidence.services.rows import ServiceMeasurement
    from roofline_afd.catalogue.calibration import ServiceConstants

RATIO_BAND = 0.15
"""Difference from a published ratio of AFD to EP that still counts as that ratio [1]."""


@dataclasses.dataclass(frozen=True, slots=True)
class Compared:
    """A row that has both figures [tokens/s/device]."""

    row: ServiceMeasurement
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Signed, as a fraction of what was measured."""
        return self.predicted / self.measured - 1


def sign_test(compared: Sequence[Compared], constants: ServiceConstants) -> dict[str, Any]:
    """Return whether AFD is ahead of EP in prediction where it is in measurement, pair by pair.

    A pair is an AFD row and the best measured EP row of the same system, model, context, formats, accepted
    length and routing. Both are timed by the wall clock, or both on the device: where a span leaves the host
    out, so does a sum of kernels. Pairs timed in different ways, or predicted without a pause that was timed,
    are listed apart.

    Parameters
    ----------
    compared : sequence of Compared
        Rows with both figures.
    constants : ServiceConstants
        What running a service adds to its operators.

    Returns
    -------
    dict
        `pairs` and `timed_differently`, how many have the same sign, also of those whose margin exceeds the
        noise of such runs, and `ratio_model`.
    """
    alike: list[tuple[Compared, Compared]] = []
    unlike = []
    for afd, ep in _paired(compared):
        difference = _difference(afd.row, ep.row)
        if difference:
            unlike.append(_pair(afd, ep) | {"difference": difference})
        else:
            alike.append((afd, ep))
    pairs = [_pair(afd, ep) for afd, ep in alike]
    told = [_told(afd, ep, constants) for afd, ep in alike]
    fit = fit_ratio(told)
    apart = (fit and left_out(fit)) or {}
    for pair, one in zip(pairs, told, strict=True):
        low, high = apart.get((one.afd, one.ep), (None, None))
        pair |= {
            "log_error": one.log_error,
            "estimated_share": one.estimated_share,
            "low_without_source": low,
            "high_without_source": high,
        }
    beyond = [pair for pair in pairs if pair["beyond_noise"]]
    return {
        "n": len(pairs),
        "same_sign": sum(pair["same_sign"] for pair in pairs),
        "within_band": sum(abs(pair["ratio_error"]) <= RATIO_BAND for pair in pairs),
        "noise": FIELD_NOISE,
        "n_beyond_noise": len(beyond),
        "same_sign_beyond_noise": sum(pair["same_sign"] for pair in beyond),
        "pairs": pairs,
        "timed_differently": unlike,
        "ratio_model": ratio_model(told),
    }


def _paired(compared: Sequence[Compared]) -> Iterator[tuple[Compared, Compared]]:
    """Yield each AFD row with the best EP row of its conditions, of every clock that EP rows have."""
    for afd in compared:
        if afd.row.mode != AFD or afd.row.use == LOWER_BOUND:
            continue
        best: dict[tuple[bool, bool], Compared] = {}
        for each in compared:
            row = each.row
            if row.mode != EP or row.use == LOWER_BOUND or row.conditions != afd.row.conditions:
                continue
            kind = (row.timing == WALL, row.like_for_like)
            if kind not in best or each.measured > best[kind].measured:
                best[kind] = each
        for ep in best.values():
            yield afd, ep


def _told(afd: Compared, ep: Compared, constants: ServiceConstants) -> Pair:
    """Return what a pair says of predicted ratios."""
    return Pair(
        afd=afd.row.id,
        ep=ep.row.id,
        sources=sources_of(afd.row),
        measured=afd.measured / ep.measured,
        predicted=afd.predicted / ep.predicted,
        estimated_share=max(estimated_share_of(each.row, constants) for each in (afd, ep)),
        basis=WALL if afd.row.timing == WALL else DEVICE,
        system=afd.row.system or "",
        engine=afd.row.engine,
    )


def pairs_alike(compared: Sequence[Compared], constants: ServiceConstants) -> list[Pair]:
    """Return the pairs of AFD and EP among rows that are alike in conditions and clock.

    Parameters
    ----------
    compared : sequence of Compared
        Rows with both figures.
    constants : ServiceConstants
        What running a service adds to its operators.

    Returns
    -------
    list of Pair
        Measured and predicted ratio of each.
    """
    return [_told(afd, ep, constants) for afd, ep in _paired(compared) if not _difference(afd.row, ep.row)]


def _difference(afd: ServiceMeasurement, ep: ServiceMeasurement) -> str:
    """Return why the ratio of two rows is not what is predicted, empty where it is."""
    parts = []
    if (afd.timing == WALL) != (ep.timing == WALL):
        timed = f"AFD timed as {afd.timing}, EP as {ep.timing}"
        if (afd.timing, ep.timing) == (WALL, KERNEL):
            timed += ", which leaves out what the host adds to EP alone and so understates AFD"
        parts.append(timed)
    parts += [
        f"{name} predicted without {pause_of(row)}"
        for name, row in (("AFD", afd), ("EP", ep))
        if not row.like_for_like
    ]
    return "; ".join(parts)


def _pair(afd: Compared, ep: Compared) -> dict[str, Any]:
    measured, predicted = afd.measured / ep.measured, afd.predicted / ep.predicted
    margin = max(measured, 1.0 / measured) - 1.0
    return {
        "afd": afd.row.id,
        "ep": ep.row.id,
        "measured_ratio": measured,
        "predicted_ratio": predicted,
        "ratio_error": predicted - measured,
        "same_sign": (measured > 1) == (predicted > 1),
        "measured_margin": margin,
        "beyond_noise": margin > FIELD_NOISE,
    }


def pause_of(row: ServiceMeasurement) -> str:
    """Return which pause a prediction lacks, in words."""
    return f"the host pause of {row.engine}, which is not modelled"


def sure_notes(signs: Mapping[str, Any]) -> list[str]:
    """Return how sure predicted ratios are by the pairs, in words."""
    model = signs["ratio_model"]
    if model is None:
        return []
    text = (
        f"AFD over EP, all pairs alike: {signs['n']}, {signs['n_beyond_noise']} of which differ by more than "
        f"{signs['noise']:.0%}; of these {signs['same_sign_beyond_noise']} have the sign predicted. "
        f"Log errors of the ratio have spread {model['spread']:.3g} and mean {model['mean_log_error']:+.3g} "
        f"(bias taken {model['bias']:.3g}), sources weighing alike (pairs that share a source or a baseline "
        f"count as one: {len(model['sources'])}): Student's t with {model['degrees']} degrees of freedom"
    )
    held = model["coverage"]
    if held is None:
        return [text]
    by_pairs, by_sources = (
        f"{low:.0%} to {high:.0%}"
        for low, high in ((held["low"], held["high"]), (held["sources_low"], held["sources_high"]))
    )
    cover = (
        f"{held['wanted']:.0%} interval of the ratio, leaving one source out: holds {held['covered']} of "
        f"{held['pairs']} pairs (95 % interval of that share {by_pairs} if pairs were independent), and all "
        f"pairs of {held['sources_covered']} of {held['sources']} sources ({by_sources})"
    )
    return [text, cover]
