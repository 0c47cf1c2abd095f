"""What each tier of a prefix cache changes: tokens computed, devices of both pools, cost of a request."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from roofline_afd.analysis.purchase.caching import HBM, gb_told, told
from roofline_afd.analysis.purchase.service_rows import service_row
from roofline_afd.serving.modes.profiles import free_sequences, loading_time
from roofline_afd.serving.modes.question import PD, PD_AFD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.analysis.purchase.caching import Caching
    from roofline_afd.analysis.purchase.service_rows import Candidate, Terms


class ByCache(NamedTuple):
    """A row for no cache, and for each tier with those before it; and what they say in notes."""

    rows: list[dict[str, Any]]
    notes: list[str]


def cache_rows(candidate: Candidate, best: Mapping[str, Any], terms: Terms) -> ByCache:
    """Return what each tier of a cache changes of a fleet.

    Parameters
    ----------
    candidate : Candidate
        Its system.
    best : mapping
        Its row.
    terms : Terms
        Requests, and the caches that keep their prompts.

    Returns
    -------
    ByCache
        Fleets sized by peaks, not followed; empty where the share that is cached was given.
    """
    caching = terms.wanted.caching
    if caching is None:
        return ByCache([], [])
    rows = []
    for many in range(len(caching.tiers) + 1):
        wanted = terms.wanted.cached(caching.hit(terms.wanted.workload.prompt, many))
        question = attrs.evolve(
            candidate.question,
            workload=wanted.workload,
            prompt_variation=wanted.variation,
            loading=wanted.loading,
        )
        tried = service_row(
            attrs.evolve(candidate, question=question), best["mode"], terms._replace(wanted=wanted)
        )
        size = sum(tier.gb for tier in caching.tiers[:many])
        rows.append(
            {
                "tiers": told(caching.tiers[:many]),
                "cache_gb": size if math.isfinite(size) else None,
                "prefix_hit": wanted.workload.prefix / wanted.workload.prompt,
                "loading_ms": loading_time(question, best["mode"], tried["point"]) * 1e3
                if tried["feasible"]
                else None,
                **_fleet(tried),
            }
        )
    return ByCache(rows, [_words(rows, best), *_room(candidate, best, caching)])


def _fleet(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return devices of both pools, and what a request costs; None where no fleet is feasible."""
    keys = ("deployment", "n_devices_sold", "usd_per_request", "ttft_p95_ms")
    many = {"n_prefill_devices": None, "n_decode_devices": None, **{key: row.get(key) for key in keys}}
    if not row["feasible"]:
        return {"feasible": False, **many, "binding": row["binding"]}
    point = row["point"]
    decode = round(point["replicas"] * (point["attention"] + point["ffn"]))
    prefill = None
    if row["mode"] in {PD, PD_AFD}:
        prefill = round(point["p_replicas"] * (point["p_attention"] + point["p_ffn"]))
    many |= {"n_prefill_devices": prefill, "n_decode_devices": decode}
    return {"feasible": True, **many, "binding": None}


def _words(rows: list[dict[str, Any]], best: Mapping[str, Any]) -> str:
    """Return the rows as a note."""
    parts = []
    for row in rows:
        text = f"{row['tiers']} {row['prefix_hit']:.0%} of input tokens"
        if not row["feasible"]:
            parts.append(f"{text}, none ({row['binding']})")
            continue
        pools = f"{row['n_decode_devices']:,} devices"
        if row["n_prefill_devices"] is not None:
            pools = f"P:D {row['n_prefill_devices']:,}:{row['n_decode_devices']:,} devices"
        cost = row["usd_per_request"]
        priced = "" if cost is None else f", {cost * 1e3:.3g} USD per thousand"
        reading = f", read back in {row['loading_ms']:.3g} ms" if row["loading_ms"] else ""
        parts.append(f"{text}, {pools}{priced}{reading}")
    return f"what the prefix cache is worth on {best['system']} (sized, not followed): {'; '.join(parts)}"


def _room(candidate: Candidate, best: Mapping[str, Any], caching: Caching) -> list[str]:
    """Return whether the memory of devices holds what is to be cached in it."""
    work = candidate.question.workload
    length = work.prompt if best["mode"] in {PD, PD_AFD} else work.held
    free = free_sequences(candidate.question, best["mode"], best["point"]) * length * caching.token_gb
    wanted = sum(tier.gb for tier in caching.tiers if tier.name == HBM)
    text = f"devices that prefill have {gb_told(free)} GB of memory left for caches"
    if wanted > free:
        asked = f"{gb_told(wanted)} GB are" if math.isfinite(wanted) else "all that recurs is"
        text += f", and {asked} taken to lie there: --prefix-cache hbm={free:.0f} and further tiers tell more"
    return [text]
