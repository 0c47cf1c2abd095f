"""The calibration record of what running a service adds, as TOML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.evidence.services.ratio import ESTIMATED_ERROR, covered
from roofline_afd.catalogue.calibration import SERVICE
from roofline_afd.catalogue.writing import address, block, entries, rounded, title, today

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.analysis.evidence.services.fit import PopularityFit, ServiceFit
    from roofline_afd.analysis.evidence.services.ratio import RatioFit
    from roofline_afd.analysis.evidence.services.rows import ServiceMeasurement

NOTES = {
    "gap_ms": "launch, synchronisation and sampling, from rows timed by the wall clock",
    "communication_slowdown": "applies to natural routing alone, and to what leaves a scale-up domain: "
    "transfers of live services against kernels timed by themselves; with forced balance there is none",
}
"""What each fitted constant stands for."""
NO_GAP = (
    "at its bound: kernels, transfers and small kernels explain the steps timed by the wall clock without a "
    "gap; rows timed on the device cannot show one"
)
RECORD_NOTE = (
    "gap and slowdown, which no timing of operators gives, are fitted to four published services and to "
    "nothing else; all other published services are predicted with them; the validated errors are of those "
    "among them that name no engine and whose level is to be met"
)


DERIVED: dict[str, dict[str, object]] = {
    "other_us": {
        "value": 0.3,
        "kind": "derived",
        "source": ["modules"],
        "note": "a layer of the attention side: what 51 whole latent modules of TensorRT-LLM (GB200, H200) "
        "take beyond their products, cores and passes, in the median; half of them lie between -4 and 4, "
        "half of vLLM's take 14 to 54 more",
    },
    "router_us": {
        "value": 4.0,
        "kind": "derived",
        "source": ["router"],
        "note": "a layer with experts: gate and top-k of Qwen3-235B take 9.3 us apart and 8.05 us fused, of "
        "which the product of the gate is 5.3 on that part",
    },
}
"""Small kernels, which timed modules tell, not services."""
NEVER_MEASURED: dict[str, object] = {
    "value": ESTIMATED_ERROR,
    "kind": "estimated",
    "source": ["parts"],
    "note": "times whose efficiencies were never measured: fixed times of measured parts scatter by about "
    "0.3 about the medians that stand for such parts (root mean square of logarithms), shares of peak by "
    "0.2, of memory bandwidth by 0.1; the largest is taken, though part of it cancels in a ratio",
}
"""What widens the spread of a ratio."""
SOURCES = {
    "parts": {
        "title": "the measured records of this catalogue, about the medians of its record default",
        "date": "2026-11",
    },
    "modules": {
        "title": "PyPI aiconfigurator-core 0.12.0: latent modules of TensorRT-LLM on GB200 and H200",
        "date": "2026-11-28",
    },
    "router": {
        "title": "FastAFD, comment at the fused router of python/minisgl",
        "url": "https://github.com/linsj20/FastAFD",
        "date": "2026-11-28",
    },
}


def service_record_text(
    fit: ServiceFit, *, date: str | None = None, prefill: Mapping[str, Any] | None = None
) -> str:
    """Return the calibration record of fitted constants as TOML.

    Parameters
    ----------
    fit : ServiceFit
        What `fit_service_constants` found.
    date : str, optional
        Date of the fit; today by default.
    prefill : mapping, optional
        What `evidence.points.validate.prefill_errors` found with these constants.

    Returns
    -------
    str
        The record `service`.
    """
    date = date or today()
    keys = {row.id: _source_key(row, index) for index, row in enumerate(fit.rows)}
    errors = ", ".join(f"{row.id} {error:+.1%}" for row, error in zip(fit.rows, fit.errors, strict=True))
    without = "; ".join(f"without {name}: {_listed(values)}" for name, values in fit.without.items())
    head = {
        "schema": 1,
        "record": "calibration",
        "id": SERVICE,
        "name": "What running a service adds to its operators",
        "note": RECORD_NOTE,
        "fitted": date,
    }
    table: dict[str, object] = {
        "note": f"errors of the step: {errors}; constants where one row is left out: {without}",
        "points": len(fit.rows),
        "training_error": rounded(fit.training_error),
    }
    if fit.validated_error is not None:
        table["validated_error"] = rounded(fit.validated_error)
    for mode, (error, bias) in fit.validated_by_mode.items():
        table |= {f"validated_error_{mode}": rounded(error), f"validated_bias_{mode}": rounded(bias)}
    if prefill is not None and prefill["n"]:
        table |= {
            "prefill_points": prefill["n"],
            "prefill_error": rounded(prefill["median_abs_error"]),
            "prefill_bias": rounded(prefill["median_signed_error"]),
        }
    table |= _ratio(fit.ratio)
    for key, value in fit.values.items():
        table[key] = {
            "value": rounded(value),
            "kind": "measured",
            "source": list(keys.values()),
            "note": NO_GAP if key == "gap_ms" and not value else NOTES[key],
        }
    if fit.popularity is not None:
        table["popularity_exponent"] = _popularity(fit.popularity)
    table |= DERIVED
    blocks = ["\n".join(entries(head)), block(SERVICE, table)]
    for row in fit.rows:
        named = title(": ".join(filter(None, (row.origin, row.source)))) or row.id
        blocks.append(block(f"sources.{keys[row.id]}", {"title": named, **address(row.source), "date": date}))
    if fit.popularity is not None:
        row = fit.popularity.rows[0]
        told = title(": ".join(filter(None, (row.origin, row.source)))) or row.id
        blocks.append(block("sources.popularity", {"title": told, **address(row.source), "date": date}))
    blocks += [block(f"sources.{key}", source) for key, source in SOURCES.items()]
    return "\n\n".join(blocks) + "\n"


def _popularity(found: PopularityFit) -> dict[str, object]:
    """Return how the popularity of experts was found, as a value of the record."""
    low, high = found.alike
    return {
        "value": found.exponent,
        "kind": "measured",
        "source": ["popularity"],
        "note": f"fitted to {len(found.rows)} rows of role calibration timed on the device, with experts as "
        "they come, which hardly tell it: the root mean square of their log errors is "
        f"{found.spread:.4f}, {found.even_spread:.4f} with even popularity, and within a tenth of the least "
        f"from {low:g} to {high:g}",
    }


def _ratio(found: RatioFit | None) -> dict[str, object]:
    """Return how far predicted ratios of AFD to EP are off; nothing where no rows make a pair."""
    if found is None:
        return {}
    inside = covered(found)
    return {
        "ratio_spread": rounded(found.spread),
        "ratio_bias": rounded(found.bias),
        "ratio_degrees": found.degrees,
        "ratio_pairs": found.pairs,
        "ratio_sources": len(found.groups),
        **({} if inside is None else {"ratio_covered": inside}),
        "ratio_estimated_error": NEVER_MEASURED,
    }


def _source_key(row: ServiceMeasurement, index: int) -> str:
    return row.id if re.fullmatch(r"[a-z][a-z0-9-]{0,40}", row.id) else f"row-{index + 1}"


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{key} {value:.3g}" for key, value in values.items())
