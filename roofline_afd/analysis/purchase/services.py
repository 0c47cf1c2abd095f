"""Candidate systems for whole requests: fleets that prefill and decode, what they cost, and what flips it."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from roofline_afd.analysis.answer import (
    Answer,
    Decisive,
    object_columns,
    provenance_notes,
    refusal,
    with_formats,
)
from roofline_afd.analysis.decode.notes import notes_of, quantities_of, serving_inputs
from roofline_afd.analysis.purchase import procurement
from roofline_afd.analysis.purchase.cache_rows import ByCache, cache_rows
from roofline_afd.analysis.purchase.candidates import candidate_name, check_distinct, is_pair, records_of
from roofline_afd.analysis.purchase.costs import basis_note, buyer_of
from roofline_afd.analysis.purchase.limits import GROWN, limits_of
from roofline_afd.analysis.purchase.odds import estimate_words
from roofline_afd.analysis.purchase.service_rows import Terms, candidate_of, service_row
from roofline_afd.analysis.purchase.wanted import LATE_SHARE, spares_of, wanted_of
from roofline_afd.analysis.requests.load import Arrivals, Load, enough, loaded, service_of
from roofline_afd.analysis.requests.odds import estimated_share, mode_odds
from roofline_afd.analysis.requests.reasons import NAMES, prefill_evidence, prefill_note
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InputError, shown
from roofline_afd.physics import economics
from roofline_afd.progress import steps
from roofline_afd.serving.checks import belongs, choice, finite
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.limits import FIRST_TOKEN, LATENCY
from roofline_afd.serving.modes.question import AGG_AFD, PD, PD_AFD, SERVING_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.purchase.costs import Buyer
    from roofline_afd.analysis.purchase.limits import Limits
    from roofline_afd.analysis.purchase.questions import Purchase
    from roofline_afd.analysis.purchase.service_rows import Candidate
    from roofline_afd.analysis.purchase.wanted import Wanted
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.modes.question import Question

APART = {PD, PD_AFD}
"""Modes whose prompts are computed by devices of their own."""
FOLLOWED = 2
"""Systems whose cheapest fleet is followed request by request, the cheapest first."""
TRIES = 4
"""Times that the fleet of a mode is searched, each under tighter limits, until few enough are late."""
TABLE_KEYS = (
    "rank",
    "system",
    "mode",
    "deployment",
    "n_devices_sold",
    "usd_per_million_input_tokens",
    "usd_per_million_cached_tokens",
    "usd_per_million_output_tokens",
    "usd_per_request",
    "ttft_p95_ms",
    "tpot_p95_ms",
    "power_kw",
    "break_even_price",
    "estimated_share",
    "binding",
)
OF_REQUESTS = (
    "isl",
    "osl",
    "prefix_hit",
    "prefix_cache_gb",
    "prefix_cache",
    "session",
    "prefill_systems",
    "ttft_ms",
    "ttft_p95_ms",
    "tpot_p95_ms",
    "spares",
    "api_price",
)


def procure(question: Purchase) -> Answer:
    """Answer what each candidate system costs to serve a demand, and which is cheapest.

    Parameters
    ----------
    question : Purchase
        Candidates, demand, and a buyer's assumptions.

    Returns
    -------
    Answer
        Of decoded tokens alone, or of whole requests where requests a second are asked for.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    InfeasibleError
        If no candidate serves the demand.
    """
    return _requests(question) if of_requests(question) else procurement.procure(question)


def of_requests(question: Purchase, but: Sequence[str] = ()) -> bool:
    """Return whether whole requests are asked about.

    Parameters
    ----------
    question : Purchase
        What is asked.
    but : sequence of str
        Of `OF_REQUESTS`, what is of decoded tokens, too.

    Returns
    -------
    bool
        Whether requests a second are given, or follow from users and the time these think.

    Raises
    ------
    InputError
        If something else is said of requests, but not how many come.
    """
    if question.request_rate is not None or question.think_time_s is not None:
        return True
    belongs(question, [name for name in OF_REQUESTS if name not in but], "--requests-per-s")
    return False


class _Found(NamedTuple):
    """Rows by rank, the question about each candidate, and what a request costs elsewhere."""

    rows: list[dict[str, Any]]
    questions: Mapping[str, Question]
    terms: Terms
    api: Mapping[str, float] | None
    by_cache: ByCache
    buying: Limits
    quotes: Mapping[str, Mapping[str, Any] | None]


def _requests(purchase: Purchase) -> Answer:
    """Answer for whole requests."""
    check_distinct(purchase.scenarios)
    wanted, need, limits = wanted_of(purchase)
    modes = [choice("--modes", mode, SERVING_MODES) for mode in purchase.modes]
    before = _prefilling(purchase, modes)
    buying = limits_of(purchase)
    terms = Terms(wanted, need, limits, spares_of(purchase.spares), buyer_of(purchase, before))
    notes: list[str] = []
    rows: list[dict[str, Any]] = []
    candidates: dict[str, Candidate] = {}
    for scenario in steps(purchase.scenarios):
        own = {scenario.side(side).id for side in ("attention", "ffn")}
        for system in (None, *(each for each in before if {each.id} != own)):
            candidate = candidate_of(scenario, terms, notes, system)
            candidates[candidate.name] = candidate
            for mode in modes:
                if (is_pair(scenario) and mode not in {AGG_AFD, PD_AFD}) or (system and mode not in APART):
                    continue
                row = service_row(candidate, mode, terms)
                rows.append(row)
                if row["feasible"]:
                    row["estimated_share"] = estimated_share(candidate.question, _as_explored(row))
    if any(row["feasible"] for row in rows):
        _follow(rows, candidates, terms, notes)
    rows = [
        buying.apply(row, partial(_grown, candidates[row["system"]], row["mode"], terms))
        if row["feasible"]
        else row
        for row in rows
    ]
    refusals = [
        Decisive(f"{row['system']}, {NAMES[row['mode']]}: binding is {row['binding']}")
        for row in rows
        if not row["feasible"]
    ]
    if len(refusals) == len(rows):
        raise refusal("; ".join(refusals), *purchase.scenarios)
    _rank(rows)
    api = _api(purchase.api_price, wanted, rows)
    by_cache = cache_rows(candidates[rows[0]["system"]], rows[0], terms)
    questions = {name: each.question for name, each in candidates.items()}
    quotes = {name: one.quote for each in candidates.values() for name, one in each.devices.items()}
    return _answer(
        purchase,
        _Found(rows, questions, terms, api, by_cache, buying, quotes),
        [*by_cache.notes, *dict.fromkeys(notes), *refusals],
    )


def _prefilling(purchase: Purchase, modes: Sequence[str]) -> list[System]:
    """Return the systems that may prefill for others; those of candidates with what is set for them."""
    if purchase.prefill_systems is None:
        return []
    if not APART & set(modes):
        raise InputError("--prefill-systems is of the modes pd and pd+afd: --modes leaves both out")
    known = {scenario.system.id: scenario.system for scenario in purchase.scenarios}
    found: dict[str, System] = {}
    for given in purchase.prefill_systems:
        system = load_system(given) if isinstance(given, str) else given
        if system.id in found:
            raise InputError(f"--prefill-systems names {system.id} twice")
        found[system.id] = known.get(system.id, system)
    return list(found.values())


def _as_explored(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as `explore` has them: `n_devices` are those of a replica that decodes."""
    point = row["point"]
    return {**row, "n_devices": round(point["attention"] + point["ffn"])}


def _follow(
    rows: list[dict[str, Any]], candidates: Mapping[str, Candidate], terms: Terms, notes: list[str]
) -> None:
    """Follow requests through the cheapest fleets of the cheapest systems, and tell what they see.

    Where more requests are late than may be, the fleet is searched again under a limit so much tighter.
    """
    for name in sorted(candidates, key=lambda name: _cost_of_row(_cheapest(rows, name)))[:FOLLOWED]:
        followed: set[str] = set()
        while (row := _cheapest(rows, name)) and row["mode"] not in followed:
            followed.add(row["mode"])
            candidate = candidates[name]
            for left in reversed(range(TRIES)):
                late = _late(row, candidate, terms)
                if not late:
                    break
                if not left:
                    notes.append(f"{name}, {NAMES[row['mode']]}, as it was followed: {late.words}")
                    break
                tighter = attrs.evolve(candidate.question, ttft_ms=late.ttft_ms, tpot_ms=late.tpot_ms)
                candidate = attrs.evolve(candidate, question=tighter)
                row.update(dict.fromkeys(row), **service_row(candidate, row["mode"], terms))
                if not row["feasible"]:  # under the tighter limit: what was seen is what rules it out
                    row["binding"] = f"{FIRST_TOKEN if 'TTFT' in late.words else LATENCY}: {late.words}"
                    break
                row["estimated_share"] = estimated_share(candidate.question, _as_explored(row))


class _Late(NamedTuple):
    """Limits, so much tighter that those asked for are kept, and what was seen [ms]."""

    ttft_ms: float | None
    tpot_ms: float | None
    words: str


def _late(row: dict[str, Any], candidate: Candidate, terms: Terms) -> _Late | None:
    """Follow requests through a fleet, put what they see into its row, and tell whether too many are late."""
    question = candidate.question
    stay = (row["ttft_ms"] + question.workload.osl * row["tpot_ms"]) * 1e-3
    rate, variation = terms.wanted.requests_per_s, terms.wanted.variation
    arrivals = Arrivals(rate, enough(rate, stay), variation=variation)
    found = loaded(Load(service_of(question, row["mode"], row["point"]), arrivals))
    row["simulated"] = found.steady
    if not found.steady:
        return None
    limits: dict[str, Any] = {}
    words = []
    for key, (seen, _) in (
        ("ttft_ms", found.ttft_ms(LATE_SHARE)),
        ("tpot_ms", found.tpot_ms(LATE_SHARE)),
    ):
        late = key.replace("_ms", "_p95_ms")
        asked, estimate, limits[key] = terms.limits[key], row[late], getattr(question, key)
        row[late] = seen
        if terms.need.share and asked is not None and seen > asked:
            limits[key] = min(limits[key], estimate) * asked / seen
            words.append(f"95 % within {seen:,.4g} ms of {key.partition('_')[0].upper()}, {asked:,.4g} asked")
    return _Late(**limits, words=" and ".join(words)) if words else None


def _grown(candidate: Candidate, mode: str, terms: Terms, times: float) -> dict[str, Any]:
    """Return the row of the cheapest fleet for so many times the requests, sized and not followed."""
    rate = terms.wanted.requests_per_s * times
    more = terms._replace(
        wanted=terms.wanted._replace(requests_per_s=rate), need=terms.need._replace(requests_per_s=rate)
    )
    row = service_row(candidate, mode, more)
    return row if row["feasible"] else {**row, **dict.fromkeys(GROWN)}


def _cheapest(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the cheapest fleet of a system; nothing where it has none."""
    own = (row for row in rows if row["system"] == name and row["feasible"])
    return min(own, key=_cost_of_row, default={})


def _cost_of_row(row: Mapping[str, Any]) -> tuple[float, float]:
    cost = row.get("usd_per_request")
    return (math.inf if cost is None else float(cost), float(row.get("n_devices_sold", math.inf)))


def _rank(rows: list[dict[str, Any]]) -> None:
    """Order rows, the cheapest first, and tell at which price of a device each would be first."""
    feasible = sorted((row for row in rows if row["feasible"]), key=_cost_of_row)
    for index, row in enumerate(feasible):
        row["rank"] = index + 1
        rivals = [other for other in feasible if other["system"] != row["system"] and other["usd_per_hour"]]
        if rivals and not row["prefill_system"] and "+" not in row["system"]:
            row["break_even_price"] = rivals[0]["usd_per_hour"] / row["n_devices_sold"]
    rows.sort(key=lambda row: row.get("rank") or math.inf)


def _api(text: str | None, wanted: Wanted, rows: Sequence[dict[str, Any]]) -> dict[str, float] | None:
    """Return what a request costs elsewhere, and the load at which the best fleet costs as much."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    try:
        prices = [float(part) for part in parts]
    except ValueError as error:
        raise InputError(f"--api-price {shown(text)} is not USD, or USD,USD,USD") from error
    if len(prices) not in {1, 3}:
        raise InputError(f"--api-price {shown(text)}: one price of output tokens, or of input,cached,output")
    for price in prices:
        finite("--api-price", price, least=0, below=1e6)
    work = wanted.workload
    tokens = (work.osl,) if len(prices) == 1 else (work.isl, work.prefix, work.osl)
    request = sum(price * count for price, count in zip(prices, tokens, strict=True)) / 1e6
    found = {"usd_per_request": request}
    best = rows[0]
    if best["usd_per_hour"] is not None and request > 0:
        found["break_even_utilization"] = float(
            economics.break_even_utilization(
                usd_per_hour=best["usd_per_hour"],
                requests_per_s=wanted.requests_per_s,
                usd_per_request=request,
            )
        )
    return found


def _answer(purchase: Purchase, found: _Found, notes: list[str]) -> Answer:
    rows, questions, (wanted, _, _, spares, buyer), api, by_cache, buying, quotes = found
    best = rows[0]
    scenarios = purchase.scenarios
    catalogue = scenarios[0].system.parts.catalogue
    constants = load_service_constants(catalogue)
    question = questions[best["system"]]
    by_mode: dict[str, dict[str, Any] | None] = {
        row["mode"]: _as_explored(row)
        | {"requests_per_usd": 1.0 / (row["usd_per_request"] or row["n_devices_sold"])}
        for row in rows
        if row["system"] == best["system"] and row["feasible"]
    }
    odds = mode_odds(question, by_mode, key="requests_per_usd", level_error=constants.validated_error)
    evidence = prefill_evidence(catalogue)
    racks = [row.pop("racks", []) for row in rows]
    for row in rows:
        row.pop("point", None)
    keys = list(dict.fromkeys(key for row in rows if row["feasible"] for key in row))
    rows = [{key: row.get(key) for key in keys} for row in rows]
    quantities = quantities_of(*(Deployments(scenario, AFD) for scenario in scenarios))
    work = wanted.workload
    first = Deployments(question.scenario, AFD if is_pair(scenarios[0]) else EP)
    picture = {"model": scenarios[0].model.name, "racks": racks, "mode_names": dict(NAMES)}
    picture["records"] = records_of(scenarios)
    return Answer(
        command="procure",
        inputs={
            **serving_inputs(question.scenario, quantities),
            "systems": [candidate_name(scenario) for scenario in scenarios],
            "requests_per_s": wanted.requests_per_s,
            "users": wanted.users,
            "think_time_s": wanted.think_s,
            "isl": work.prompt,
            "cached_tokens": work.prefix,
            "prefix_cache_gb": purchase.prefix_cache_gb,
            "prefix_cache": purchase.prefix_cache,
            "session": purchase.session,
            "osl": work.osl,
            "ttft_ms": question.ttft_ms,
            "tpot_ms": question.tpot_ms,
            "spares": purchase.spares,
            "price_basis": buyer.basis,
            "price_terms": buyer.terms,
            "prices": dict(buyer.given),
            "device_prices": quotes,
            "utilization": buyer.utilization,
            "api_price": purchase.api_price,
            **buying.keys(),
        },
        columns=object_columns(rows),
        summary={
            "best": best["system"],
            "best_mode": best["mode"],
            "ranked_by": "usd_per_request" if best["usd_per_request"] is not None else "n_devices_sold",
            **odds.keys(),
            "api": dict(api) if api else None,
            "by_prefix_cache": by_cache.rows or None,
            "validated_error": constants.validated_error,
            **evidence,
            "answer": with_formats(
                _sentence(rows, wanted, (buyer, buying), api, error=constants.validated_error), *scenarios
            ),
        },
        notes=[
            (
                f"{wanted.requests_per_s:,.4g} requests a second of {work.prompt:,} input tokens, "
                f"{work.prefix:,} of them cached, and {work.osl:,} output tokens{wanted.source}"
            ),
            (
                "fleets are sized for peaks of requests that come at random; those marked `simulated` are "
                "followed request by request, searched again where too many were late, and show the "
                "percentiles found"
            ),
            (
                "the cost of a request is divided by devices of both pools, or by what prompts add to a "
                "step; cached tokens bear what reading their cache adds"
            ),
            (
                "devices are sold by node or rack, idle ones paid for; a replica is lost as a whole with any "
                f"device of it; {spares.words}"
            ),
            prefill_note(evidence),
            *(
                ["`estimated` is of decoding alone, whatever system prefills for it"]
                if any(each["prefill_system"] for each in rows)
                else []
            ),
            basis_note(buyer),
            *buying.notes(),
            *notes,
            *notes_of(first, []),
            *provenance_notes(question.scenario, quantities),
        ],
        table_keys=(*TABLE_KEYS[:-1], *buying.columns(), TABLE_KEYS[-1]),
        picture={
            "model": scenarios[0].model.name,
            "racks": racks,
            "mode_names": dict(NAMES),
            "records": records_of(scenarios),
        },
    )


def _sentence(
    rows: Sequence[Mapping[str, Any]],
    wanted: Wanted,
    terms: tuple[Buyer, Limits],
    api: Mapping[str, float] | None,
    *,
    error: float,
) -> str:
    """Return which candidate serves the requests cheapest, their cost by part, and what would change it."""
    (buyer, buying), best = terms, rows[0]
    text = f"{best['system']} ({NAMES[best['mode']]}) serves {wanted.requests_per_s:,.4g} requests/s"
    if best["usd_per_request"] is not None:
        kinds = [
            f"{best[f'usd_per_million_{kind}_tokens']:.3g} {name}"
            for kind, name in (("input", "of input"), ("cached", "cached"), ("output", "of output"))
            if best[f"usd_per_million_{kind}_tokens"] is not None
        ]
        text += (
            f" for {best['usd_per_request'] * 1e3:.3g} USD per thousand, {', '.join(kinds)} USD per million "
            f"tokens ({buyer.basis}, {buyer.terms})"
        )
    text += f": {best['n_devices_sold']:,} devices ({best['units']}) as {best['deployment']}"
    if best["power_kw"] is not None:
        text += f", {best['power_kw']:,.0f} kW"
    text += buying.words(best)
    text += (
        f"; 95 % of requests within {best['ttft_p95_ms']:,.0f} ms to the first token and "
        f"{best['tpot_p95_ms']:.1f} ms per token"
    )
    text += estimate_words(best, what="decode time")
    rivals = [row for row in rows[1:] if row["feasible"] and row["system"] != best["system"]]
    if rivals and rivals[0]["usd_per_request"] is not None and best["usd_per_request"]:
        rival = rivals[0]
        more = rival["usd_per_request"] / best["usd_per_request"] - 1.0
        text += f"; {rival['system']} ({NAMES[rival['mode']]}) costs {more:.0%} more"
        if rival["break_even_price"] is not None:
            text += f", as much at {rival['break_even_price']:.3g} USD/h a device"
        if more <= error:
            text += f", within the {error:.1%} median error of predictions: too close to call"
    if api and "break_even_utilization" in api:
        share = api["break_even_utilization"]
        text += f"; an API at {api['usd_per_request'] * 1e3:.3g} USD per thousand is "
        text += f"dearer from {share:.0%} load on" if share <= 1 else "cheaper at any load"
    return f"{text}."
