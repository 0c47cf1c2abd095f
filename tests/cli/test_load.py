"""`load` and whole requests of `procure` as users meet them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ask, command

if TYPE_CHECKING:
    from pathlib import Path

BASE = ("--system", "b200", "--model", "gpt-oss-20b", "--devices", "4", "--isl", "512", "--osl", "64")
LOAD = ("load", *BASE, "--mode", "pd", "--ttft-ms", "500", "--tpot-ms", "30", "--requests-per-s", "5,50")


def test_percentiles_over_load() -> None:
    """A row for each rate: percentiles in order, requests served as they come, the same for a seed."""
    answer = ask(*LOAD)
    rows = answer["results"]
    assert [row["request_rate"] for row in rows] == [5, 50]
    for row in rows:
        for name in ("ttft", "tpot", "end_to_end"):
            assert row[f"{name}_p50_ms"] <= row[f"{name}_p95_ms"] <= row[f"{name}_p99_ms"]
        assert row["requests_per_s"] == pytest.approx(row["request_rate"], rel=0.1)
        assert 0 <= row["within_limits"] <= 1
        assert row["goodput_requests_per_s"] <= row["requests_per_s"]
        assert 0 < row["decode_utilization"] <= 1
    assert rows[0]["tpot_p50_ms"] <= rows[1]["tpot_p50_ms"]
    assert rows[0]["usd_per_million_tokens"] > rows[1]["usd_per_million_tokens"]
    assert ask(*LOAD) == answer
    assert ask(*LOAD, "--seed", "7")["results"] != rows


def test_bursts_wait_longer_and_a_day_has_its_peak() -> None:
    plain, bursts, day = (
        ask(*LOAD[:-1], "50", "--requests", "6000", *more)["results"][0]
        for more in ((), ("--arrivals", "bursty"), ("--day", "0.2,0.2,3"))
    )
    assert bursts["ttft_p99_ms"] > plain["ttft_p99_ms"]
    assert day["tpot_p99_ms"] > plain["tpot_p99_ms"]


def test_a_trace_at_its_times(tmp_path: Path) -> None:
    lines = [
        json.dumps({"timestamp": 50 * each, "input_length": 500 + each % 7, "output_length": 20 + each % 5})
        for each in range(400)
    ]
    file = tmp_path / "trace.jsonl"
    file.write_text("\n".join(lines))
    asked = ("load", *BASE[:6], "--trace", str(file), "--requests-per-s", "trace", "--mode", "agg")
    (row,) = ask(*asked)["results"]
    assert row["requests"] == 400
    assert row["request_rate"] == pytest.approx(20.0, rel=1e-6)


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ((*LOAD[:-1], "soon"), 2, "--requests-per-s 'soon' is not a list of numbers"),
        ((*LOAD[:-1], "0"), 2, "--requests-per-s 0"),
        ((*LOAD[:-1], "trace"), 2, "needs --trace FILE"),
        ((*LOAD, "--day", "0,0"), 2, "--day needs"),
        ((*LOAD, "--arrivals", "often"), 2, "--arrivals 'often' is not valid"),
        ((*LOAD, "--batch", "4"), 2, "--batch is found"),
        ((*LOAD, "--requests", "5"), 2, "5 requests are too few"),
        (("load", *BASE[:6]), 2, "--isl and --osl missing"),
        ((*LOAD, "--tpot-ms", "0.01"), 1, "binding is latency target"),
    ],
)
def test_refusals_are_one_line(asked: tuple[str, ...], status: int, says: str) -> None:
    outcome = command(*asked)
    assert (outcome.status, outcome.out) == (status, "")
    assert says in outcome.complaint
    assert "\n" not in outcome.complaint.strip()


def test_either_name_of_the_rate_is_taken() -> None:
    asked = ("procure", "--systems", "b200", "--model", "gpt-oss-20b", "--isl", "512", "--osl", "64")
    limits = ("--ttft-p95-ms", "500", "--tpot-p95-ms", "30", "--modes", "pd")
    one, other = (ask(*asked, name, "50", *limits) for name in ("--requests-per-s", "--request-rate"))
    assert one == other
    assert one["results"][0]["simulated"] is True
    assert "USD per thousand" in one["summary"]["answer"]
    explored = ("explore", *BASE, "--modes", "pd")
    one, other = (ask(*explored, name, "5") for name in ("--requests-per-s", "--request-rate"))
    assert one == other
