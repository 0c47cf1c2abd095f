"""`load` and whole requests of `procure` as users meet them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ONE_PLAN_OPTIONS, ask, command

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("answered_once")

BASE = ("--system", "b200", "--model", "gpt-oss-20b", "--devices", "4", "--isl", "512", "--osl", "64")
LOAD = ("load", *BASE, "--mode", "pd", "--ttft-ms", "500", "--tpot-ms", "30", "--requests-per-s", "5,50")


DECODE = ("load", "--system", "h200", "--model", "qwen3-30b-a3b", "--devices", "8")


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


def kept(tmp_path: Path, *asked: str) -> str:
    """Return the file of an answer that is kept."""
    file = tmp_path / "kept.json"
    done = command(*asked, "--format", "json", "--output", str(file), "--force")
    assert done.status == 0, done.err
    return str(file)


def test_a_kept_answer_of_explore_is_loaded_as_it_stands(tmp_path: Path) -> None:
    """The same rows as of the question itself; its limits, too."""
    limits = ("--ttft-ms", "500", "--tpot-ms", "30")
    file = kept(tmp_path, "explore", *BASE, "--modes", "pd,agg", *limits)
    found = ask("load", "--from", file, "--requests-per-s", "50")
    best = json.loads((tmp_path / "kept.json").read_text("utf-8"))["summary"]["best_under_slo"]
    same = ask("load", *BASE, "--mode", best["mode"], *limits, "--requests-per-s", "50")
    assert found["results"] == same["results"]
    assert found["summary"]["deployment"]["deployment"] == best["deployment"]
    assert command("load", "--from", file, "--isl", "9").complaint.count("leave out --isl") == 1


@pytest.mark.parametrize("mode", ["ep", "afd"])
def test_one_deployment_that_decodes(tmp_path: Path, mode: str) -> None:
    """With all places taken a token takes what `predict` says, alone much less; the same of a kept answer.

    Requests of lengths far apart, so that they do not end in waves: 12,000 of them deviate by 1 %.
    """
    sides = ("--attention-devices", "4", "--ffn-devices", "4") if mode == "afd" else ("--devices", "8")
    asked = (*DECODE[1:5], *sides, "--mode", mode, "--batch", "32", "--microbatches", "2")
    predicted = ask("predict", *asked)["results"][0]
    rates = ("--osl", "200", "--output-variation", "1", "--requests", "12000", "--requests-per-s")
    groups = 4 if mode == "afd" else 8
    full = groups * 32 / (200 * predicted["tpot_ms"] * 1e-3)
    few, many = ask("load", *asked, *rates, f"{full / 50!r},{3 * full!r}")["results"]
    assert many["tpot_p50_ms"] == pytest.approx(predicted["tpot_ms"], rel=0.01)
    assert many["requests_per_s"] == pytest.approx(full, rel=0.03)
    assert few["tpot_p50_ms"] < many["tpot_p50_ms"]
    assert few["ttft_p95_ms"] < predicted["tpot_ms"] < many["ttft_p95_ms"]
    file = kept(tmp_path, "predict", *asked)
    again = ask("load", "--from", file, *rates, f"{full / 50!r}")
    assert again["results"] == [few]
    assert any("prompts are computed elsewhere" in note for note in again["notes"])


def test_a_kept_comparison_is_loaded_with_its_winner(tmp_path: Path) -> None:
    file = kept(tmp_path, "compare", *DECODE[1:5], "--max-devices", "16", "--tpot-ms", "40")
    held = json.loads((tmp_path / "kept.json").read_text("utf-8"))
    best = next(row for row in held["results"] if row["mode"] == held["summary"]["winner"])
    found = ask("load", "--from", file, "--osl", "100", "--requests", "4000", "--requests-per-s", "1")
    assert found["summary"]["deployment"]["n_devices"] == best["n_devices"]
    rate = best["tokens_per_s_per_device"] * best["n_devices"] / 100
    assert found["summary"]["capacity_requests_per_s"] == pytest.approx(rate, rel=1e-9)
    (other,) = {"ep", "afd"} - {best["mode"]}
    turned = ask(
        "load", "--from", file, "--mode", other, "--osl", "100", "--requests", "400", "--requests-per-s", "1"
    )
    assert turned["summary"]["deployment"]["mode"] == other


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ((*LOAD[:-1], "soon"), 2, "--requests-per-s 'soon' is not a list of numbers"),
        ((*LOAD[:-1], "0"), 2, "--requests-per-s 0"),
        ((*LOAD[:-1], "trace"), 2, "needs --trace FILE"),
        ((*LOAD, "--day", "0,0"), 2, "--day needs"),
        ((*LOAD, "--arrivals", "often"), 2, "--arrivals 'often' is not valid"),
        ((*LOAD, "--batch", "4"), 2, "--batch is found where prompts are served"),
        ((*DECODE, "--batch", "4"), 2, "--osl missing"),
        ((*DECODE, "--batch", "4", "--osl", "64", "--ttft-ms", "9"), 2, "are of prompts"),
        ((*DECODE, "--batch", "4", "--osl", "64", "--mode", "pd"), 2, "--mode 'pd' is not valid"),
        ((*DECODE, "--batch", "4", "--osl", "9000"), 2, "leaves no prompt"),
        ((*DECODE, "--batch", "900000", "--osl", "64"), 1, "HBM"),
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


def test_too_few_requests_are_said_first() -> None:
    """Their goodput is no answer: among the notes that a screen shows, not among the rest."""
    asked = ("--system", "h800", "--model", "mixtral-8x7b", "--devices", "8", "--isl", "512", "--osl", "256")
    done = command("load", *asked, "--requests", "40", "--format", "table", *ONE_PLAN_OPTIONS)
    assert done.status == 0, done.err
    said = " ".join((done.out + done.err).split())
    assert re.search(
        r"too few requests to be steady at [\d., ]+ a second, so that their goodput is too low", said
    )
