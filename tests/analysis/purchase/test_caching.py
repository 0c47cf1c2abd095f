"""Prefix caches by tier, and systems that differ by pool: by hand, and what must hold for all."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from roofline_afd.analysis.purchase.questions import Purchase
from roofline_afd.analysis.purchase.services import procure
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from pathlib import Path

    from roofline_afd.analysis.answer import Answer

SESSION = "turns=10,shared=2000,first=6000,input=1000,gap_s=20"
TOKEN_GB = 61 * (512 + 64) * 2 / 1e9
"""DeepSeek-V3: 61 layers of 512 latent and 64 rotary numbers in bf16 (arXiv 2412.19437, table 1)."""


@functools.cache
def ask(systems: str = "h200", **given: Any) -> Answer:  # noqa: ANN401 - fields of a purchase
    """Return an answer, each asked for once."""
    scenarios = [Scenario(system=name, model="deepseek-v3", tensor_parallel=1) for name in systems.split(",")]
    plain: dict[str, Any] = {
        "request_rate": 30.0,
        "osl": 400,
        "ttft_p95_ms": 3000.0,
        "tpot_p95_ms": 50.0,
        "modes": ("pd",),
        "prices": dict.fromkeys(systems.split(","), 2.0),
    }
    return procure(Purchase(scenarios, **plain | given))


def tiers(cache: str, **given: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - fields of a purchase
    """Return the rows of a cache by tier."""
    found: list[dict[str, Any]] = ask(session=SESSION, prefix_cache=cache, **given).summary["by_prefix_cache"]
    return found


def test_tiers_hold_together_what_one_cache_of_their_size_does() -> None:
    *_, one = tiers("hbm=3000")
    *_, two = tiers("hbm=500,host=2500@40")
    assert two["prefix_hit"] == pytest.approx(one["prefix_hit"])
    assert two["cache_gb"] == one["cache_gb"] == 3000


def test_reading_back_by_hand() -> None:
    """What the second tier holds more than the first, over the bandwidth of a device."""
    _, first, both = tiers("hbm=500,host=2500@40")
    prompt = 2000 + 6000 + 9 * 1400 / 2
    tokens = (both["prefix_hit"] - first["prefix_hit"]) * prompt
    assert first["loading_ms"] == 0
    assert both["loading_ms"] == pytest.approx(tokens * TOKEN_GB / 40 * 1e3, rel=1e-3)  # whole tokens


def test_more_cache_takes_fewer_devices_and_a_slower_one_no_fewer() -> None:
    sold = [row["n_devices_sold"] for row in tiers("hbm=500,host=2500@40,remote=20000@10")]
    assert sold == sorted(sold, reverse=True)
    assert sold[0] > sold[-1]
    *_, quick = tiers("host=3000@40")
    *_, slow = tiers("host=3000@1.2")
    assert slow["n_prefill_devices"] > quick["n_prefill_devices"]
    assert slow["ttft_p95_ms"] > quick["ttft_p95_ms"]


def test_a_remote_tier_is_read_over_the_scale_out_fabric() -> None:
    """50 GB/s of a device of h200 nominal, somewhat less as calibrated."""
    *_, row = tiers("remote=3000")
    tokens = row["prefix_hit"] * (2000 + 6000 + 9 * 1400 / 2)
    speed = tokens * TOKEN_GB / (row["loading_ms"] * 1e-3)
    assert 25 < speed <= 50


def test_memory_of_devices_that_does_not_hold_the_cache_is_told() -> None:
    notes = ask(session=SESSION, prefix_cache="hbm=50000").notes
    assert any("50,000 GB are taken to lie there" in note for note in notes)
    assert not any(
        "taken to lie there" in note
        for note in ask(session=SESSION, prefix_cache="hbm=1", ttft_p95_ms=9000.0).notes
    )


def test_what_a_followed_request_waits_for_its_cache() -> None:
    """A second of reading back is a second of every time to the first token, followed or not."""
    answer = ask(session=SESSION, prefix_cache="host=4000@0.9", ttft_p95_ms=5000.0)
    *_, row = answer.summary["by_prefix_cache"]
    followed = answer.rows()[0]
    assert followed["simulated"]
    assert row["loading_ms"] > 800
    assert followed["ttft_p95_ms"] > followed["ttft_ms"] > row["loading_ms"]


def test_pools_of_two_systems_cost_what_each_does() -> None:
    """Devices by system, each at its own price, sold by its own node or rack."""
    prices = {"h200": 2.0, "gb200-nvl72": 5.0}
    given = {"isl": 4096, "prefill_systems": ("gb200-nvl72",), "prices": prices}
    scenarios = [Scenario(system="h200", model="deepseek-v3", tensor_parallel=1)]
    plain: dict[str, Any] = {"request_rate": 30.0, "osl": 400, "tpot_p95_ms": 50.0, "modes": ("pd",)}
    rows = procure(Purchase(scenarios, **plain | given)).rows()
    (mixed,) = (row for row in rows if row["system"] == "gb200-nvl72:h200")
    (alone,) = (row for row in rows if row["system"] == "h200")
    assert (mixed["prefill_system"], alone["prefill_system"]) == ("gb200-nvl72", None)
    decode = mixed["n_replicas"] * mixed["n_attention_devices"] if mixed["n_attention_devices"] else None
    assert decode is None  # EP: the devices of a replica stand in its deployment
    racks, nodes = (int(part.split(" x ")[0]) for part in mixed["units"].split(" and "))
    assert mixed["usd_per_hour"] == pytest.approx(racks * 72 * 5.0 + nodes * 8 * 2.0)
    assert mixed["n_devices_sold"] == racks * 72 + nodes * 8
    assert mixed["unit_devices"] is None
    used = mixed["n_prefill_replicas"] * mixed["n_prefill_attention_devices"]
    share = used * 5.0 / (used * 5.0 + (mixed["n_devices"] - used) * 2.0)
    assert mixed["prefill_cost_share"] == pytest.approx(share)


def test_a_system_that_prefills_for_itself_is_no_second_candidate() -> None:
    rows = ask("h200,b200", isl=4096, prefill_systems=("b200",)).rows()
    assert {row["system"] for row in rows} == {"h200", "b200", "b200:h200"}


@pytest.mark.parametrize(("gaps", "spread"), [([1.0] * 60, "0"), ([0.0, 0.0, 3.0] * 20, "1.4")])
def test_bursts_of_a_trace_are_told(tmp_path: Path, gaps: list[float], spread: str) -> None:
    """Even times deviate by nothing; two of three at once by the root of two."""
    times = np.cumsum([0.0, *gaps])
    rows = [f'{{"timestamp": {1000 * at}, "input_length": 900, "output_length": 50}}' for at in times]
    trace = tmp_path / "trace.jsonl"
    trace.write_text("\n".join(rows), encoding="utf-8")
    notes = ask(request_rate="trace", trace=trace, osl=None).notes
    assert any(f"deviate by {spread} of their mean" in note for note in notes)
    assert any("in bursts" in note for note in notes) == (spread != "0")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"session": "turns=3,input=5", "prefix_cache": None}, "needs gap_s"),
        ({"session": "turns=3,gap_s=5"}, "needs first"),
        ({"session": "turns=3.5,input=5,gap_s=1"}, "no whole number"),
        ({"session": "turns=3,input=5,gap_s=soon"}, "no number"),
        ({"session": "turns=3,input=5,gap_s=1,answers=lost"}, "--session answers"),
        ({"session": "turns=3,turns=4"}, "twice"),
        ({"session": "turns"}, "valid: turns, shared"),
        ({"session": SESSION, "isl": 100}, "exclude each other"),
        ({"session": SESSION, "prefix_hit": 0.5}, "exclude each other"),
        ({"session": SESSION, "prefix_cache": "hbm=1", "prefix_cache_gb": 2.0}, "exclude each other"),
        ({"isl": 100, "prefix_cache": "hbm=1"}, "needs --session"),
        ({"isl": 100, "prefix_hit": 0.5, "prefix_cache": "hbm=1"}, "exclude each other"),
        ({"session": SESSION, "prefix_cache": "hbm"}, "not TIER=GB"),
        ({"session": SESSION, "prefix_cache": "hbm=much"}, "not TIER=GB"),
        ({"session": SESSION, "prefix_cache": "hbm=1@2"}, "read in place"),
        ({"session": SESSION, "prefix_cache": "host=1"}, "needs the speed"),
        ({"session": SESSION, "prefix_cache": "remote=1,hbm=2"}, "the nearest first"),
        ({"session": SESSION, "prefix_cache": "disk=1"}, "'disk' is not valid"),
        ({"isl": 100, "prefill_systems": ("b200", "b200")}, "twice"),
        ({"isl": 100, "prefill_systems": ("b200",), "modes": ("agg",)}, "leaves both out"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(**given)
