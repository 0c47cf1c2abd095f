"""Deployments of serving modes as rows: what each gives, costs and draws, and which a weight prefers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.analysis.answer import Decisive
from roofline_afd.analysis.prices import (
    PUE,
    describe_power,
    describe_price,
    power_of,
    price_of,
    terms_of,
)
from roofline_afd.analysis.requests.questions import OBJECTIVES
from roofline_afd.errors import InputError
from roofline_afd.physics import economics
from roofline_afd.serving.modes.load import at_concurrency
from roofline_afd.serving.modes.points import frontier_rows, joined, take
from roofline_afd.serving.modes.question import AGG_AFD, PD, PD_AFD, Question

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from roofline_afd.serving.modes.points import Points
    from roofline_afd.serving.modes.search import ModeFound

PREFILL_KEYS = (
    ("n_prefill_replicas", "p_replicas"),
    ("n_prefill_attention_devices", "p_attention"),
    ("n_prefill_ffn_devices", "p_ffn"),
    ("prefill_tensor_parallel", "p_tp"),
    ("prefill_microbatches", "p_m"),
)
WHOLE = frozenset(
    {
        "n_devices",
        "n_replicas",
        "n_attention_devices",
        "n_ffn_devices",
        "tensor_parallel",
        "microbatches",
        "batch_per_group",
        "n_idle_devices",
        "prefill_every",
        *(key for key, _ in PREFILL_KEYS),
    }
)
"""Keys that count."""


class Rates(NamedTuple):
    """Price and power of one device of each pool and side; None where the catalogue has none."""

    usd_per_hour: dict[str, float | None]
    power_w: dict[str, float | None]
    notes: list[str]


def rates_of(question: Question, basis: str) -> Rates:
    """Return prices and power of all devices.

    Parameters
    ----------
    question : Question
        What is asked: its systems are priced.
    basis : str
        `rent` or `tco`.

    Returns
    -------
    Rates
        What the catalogue knows, and notes on it.
    """
    systems = {
        "attention": question.scenario.side("attention"),
        "ffn": question.scenario.side("ffn"),
        "together": question.scenario.system,
        "prefill": question.prefill.system,
    }
    prices: dict[str, float | None] = {}
    watts: dict[str, float | None] = {}
    notes: list[str] = []
    terms = terms_of(systems.values(), basis)
    for name, system in systems.items():
        price, power = price_of(system, basis, terms), power_of(system)
        prices[name] = price.value if price else None
        watts[name] = power.at_site() if power else None
        notes += [
            f"price of {describe_price(system, price)}"
            if price
            else Decisive(f"no {basis} price of {system.id} on {terms} terms is known: costs are left out"),
            f"power of {describe_power(system, power)}"
            + ("" if power.provisioned else f", times a PUE of {PUE:g}")
            if power
            else Decisive(f"no power of {system.id} is known: tokens per joule are left out"),
        ]
    return Rates(prices, watts, list(dict.fromkeys(notes)))


def check_objective(objective: str, rates: Rates) -> None:
    """Refuse to weigh by a price or a power that the catalogue lacks."""
    table = {"dollar": rates.usd_per_hour, "watt": rates.power_w}.get(objective)
    if table is not None and None in table.values():
        what = "price" if objective == "dollar" else "power"
        raise InputError(
            f"--per {objective}: the catalogue has no {what} of every device; valid: --per device"
        )


def rows_of(question: Question, found: ModeFound, points: Points, rates: Rates) -> list[dict[str, Any]]:
    """Return points as rows of plain values.

    Parameters
    ----------
    question : Question
        What was asked.
    found : ModeFound
        The mode that the points are of.
    points : Points
        Deployments.
    rates : Rates
        Price and power of their devices.

    Returns
    -------
    list of dict
        A row per deployment, all with the same keys; None where a key says nothing of the mode.
    """
    columns = {
        key: [
            None if math.isnan(value) else round(value) if key in WHOLE else value
            for value in np.asarray(column, dtype=float).tolist()
        ]
        for key, column in _columns(question, found.mode, points, rates).items()
    }
    rows = [
        {"mode": found.mode, **dict(zip(columns, values, strict=True))}
        for values in zip(*columns.values(), strict=True)
    ]
    for row in rows:
        row["deployment"] = _shape(row)
    return rows


def load_rows(
    question: Question, found: Mapping[str, ModeFound], rates: Rates, concurrency: float
) -> dict[str, dict[str, Any] | None]:
    """Return what serves so many requests in flight best, as a row of each mode; None where nothing does.

    Parameters
    ----------
    question : Question
        What was asked.
    found : Mapping of str to ModeFound
        What was found of each mode.
    rates : Rates
        Price and power of its devices.
    concurrency : float
        Requests in flight on the whole cluster [1].

    Returns
    -------
    dict of str to dict or None
        By mode.
    """
    loaded: dict[str, dict[str, Any] | None] = {}
    for mode, each in found.items():
        point = at_concurrency(question, mode, concurrency)
        loaded[mode] = None
        if point is not None:
            columns = {key: np.array([value]) for key, value in point.items()}
            (row,) = rows_of(question, each, columns, rates)
            loaded[mode] = {**row, "feasible": True, "binding": None, "on_frontier": False, "at_load": True}
    return loaded


def concurrency_notes(loaded: Mapping[str, Mapping[str, Any] | None], concurrency: float | None) -> list[str]:
    """Return what each mode reaches with so many requests in flight, in a sentence."""
    if not loaded:
        return []
    parts = [
        f"{mode} {row['tpot_ms']:.3g} ms per token and {row['tokens_per_s_per_device']:,.0f} tokens/s per "
        f"device as {row['deployment']}"
        if row
        else f"{mode} not within the limits"
        for mode, row in loaded.items()
    ]
    return [f"with {concurrency:,.0f} requests in flight: {'; '.join(parts)}"]


def _columns(question: Question, mode: str, points: Points, rates: Rates) -> dict[str, NDArray[Any]]:
    """Return points of one mode under the names users know."""
    apart = mode in {PD, PD_AFD}
    tokens = points["rate"] * question.devices
    blank = np.full(tokens.shape, np.nan)
    used = points["replicas"] * (points["attention"] + points["ffn"])
    if apart:
        used = used + points["p_replicas"] * points["p_size"]
    price, power = (_total(question, points, mode, table) for table in (rates.usd_per_hour, rates.power_w))
    return {
        "ttft_ms": points["ttft"] * 1e3,
        "tpot_ms": points["tpot"] * 1e3,
        "tokens_per_s_per_user": 1.0 / points["tpot"],
        "tokens_per_s_per_device": points["rate"],
        "tokens_per_s": tokens,
        "requests_per_s": tokens / question.workload.osl,
        "concurrent_requests": tokens * points["tpot"],
        "n_devices": points["attention"] + points["ffn"],
        "n_replicas": points["replicas"],
        "n_attention_devices": points["attention"] if mode in {AGG_AFD, PD_AFD} else blank,
        "n_ffn_devices": points["ffn"] if mode in {AGG_AFD, PD_AFD} else blank,
        "tensor_parallel": points["tp"],
        "microbatches": points["m"],
        "batch_per_group": points["batch"],
        "chunk_tokens": points["chunk"],
        "mixed_share": blank if apart else points["share"],
        "prefill_every": blank if apart else points["every"],
        **{key: points[name] if apart else blank for key, name in PREFILL_KEYS},
        "kv_transfer_ms": points["kv"] * 1e3 if apart else blank,
        "n_idle_devices": question.devices - used,
        "usd_per_million_tokens": blank
        if price is None
        else economics.usd_per_million_tokens(usd_per_hour=price, tokens_per_s=tokens),
        "tokens_per_usd": blank if price is None else tokens * economics.SECONDS_PER_HOUR / price,
        "tokens_per_joule": blank
        if power is None
        else economics.tokens_per_joule(tokens_per_s=tokens, power=power),
    }


def _total(question: Question, points: Points, mode: str, table: Mapping[str, float | None]) -> Any:  # noqa: ANN401
    """Return the sum of a rate over all devices, idle ones as those that work; None where one is unknown."""
    apart = mode in {AGG_AFD, PD_AFD}
    sides = ("attention", "ffn") if apart else ("together", "together")
    attention, ffn = (table[name] for name in sides)
    before = table["prefill"]
    pools = mode in {PD, PD_AFD}
    if attention is None or ffn is None or (pools and before is None):
        return None
    own = points["replicas"] * (points["attention"] * attention + points["ffn"] * ffn)
    count = points["replicas"] * (points["attention"] + points["ffn"])
    if pools:
        alike = question.prefill is question.scenario and apart  # both pools are made of the same two groups
        assert before is not None  # noqa: S101 - just checked
        rates = (attention, ffn) if alike else (before, before)
        own = own + points["p_replicas"] * (points["p_attention"] * rates[0] + points["p_ffn"] * rates[1])
        count = count + points["p_replicas"] * points["p_size"]
    return own / count * question.devices


def _shape(row: Mapping[str, Any]) -> str:
    """Return a deployment in a few words, as 16 x 8 or 2 x (4A+4F), heads shared by 2."""

    def one(count: Any, size: Any, attention: Any, ffn: Any, heads: Any) -> str:  # noqa: ANN401
        what = f"({attention}A+{ffn}F)" if ffn else f"{size}"
        return f"{count} x {what}" + (f" TP{heads}" if heads > 1 else "")

    own = one(
        row["n_replicas"],
        row["n_devices"],
        row["n_attention_devices"],
        row["n_ffn_devices"],
        row["tensor_parallel"],
    )
    if row["n_prefill_replicas"] is None:
        return own
    before = one(
        row["n_prefill_replicas"],
        row["n_prefill_attention_devices"] + (row["n_prefill_ffn_devices"] or 0),
        row["n_prefill_attention_devices"],
        row["n_prefill_ffn_devices"],
        row["prefill_tensor_parallel"],
    )
    return f"P {before}, D {own}"


def weighed(question: Question, found: ModeFound, rates: Rates, objective: str) -> tuple[Points, Points]:
    """Return a mode's frontier by the objective, and what it beats.

    Where all devices cost alike, that is the frontier by device; else it is taken anew from all points kept.

    Parameters
    ----------
    question : Question
        What was asked.
    found : ModeFound
        What the search kept of a mode.
    rates : Rates
        Price and power of its devices.
    objective : str
        A member of `OBJECTIVES`.

    Returns
    -------
    frontier, beaten : Points
        Deployments.
    """
    if objective == "device" or not mixed(question):
        return found.points, found.others
    every = joined([found.points, found.others])
    columns = _columns(question, found.mode, every, rates)
    rows = frontier_rows(columns["tpot_ms"], columns[OBJECTIVES[objective]])
    rest = np.setdiff1d(np.arange(columns["tpot_ms"].size), rows)
    return take(every, rows), take(every, rest)


def mixed(question: Question) -> bool:
    """Whether the cluster has devices of several systems."""
    sides = (question.scenario.side("attention"), question.scenario.side("ffn"), question.prefill.system)
    return len({system.id for system in sides}) > 1
