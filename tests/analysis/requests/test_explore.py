"""The answer of serving modes: every row keeps the books, limits hold, more of anything never hurts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roofline_afd.analysis.requests.explore import explore, explored
from roofline_afd.analysis.requests.questions import Exploration
from roofline_afd.analysis.requests.reasons import COARSE, NAMES
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InfeasibleError
from roofline_afd.serving.deployment import AFD, EP, Deployment, Deployments
from roofline_afd.serving.scenario import Scenario

SAME = 1e-9
ACCEPTED = 1.6


def _scenario(**options: Any) -> Scenario:  # noqa: ANN401 - any field
    return Scenario(**{"system": "b200", "model": "gpt-oss-20b", "devices": 8, **options})


QUESTIONS = st.fixed_dictionaries(
    {
        "scenario": st.fixed_dictionaries(
            {
                "system": st.sampled_from(["h100", "b200", "gb200-nvl72", "mi300x"]),
                "model": st.sampled_from(
                    ["gpt-oss-20b", "qwen3-30b-a3b", "deepseek-v2-lite", "nemotron-3-nano-30b-a3b"]
                ),
                "devices": st.sampled_from([4, 8, 11, 16]),
                "tpot_ms": st.sampled_from([None, 20, 60]),
                "accept_length": st.sampled_from([1.0, ACCEPTED]),
            }
        ),
        "workload": st.sampled_from(["chat", "coding", "agentic"]),
        "ttft_ms": st.sampled_from([None, 300, 3000]),
        "shared_prefix": st.booleans(),
        "chunk_tokens": st.sampled_from([None, 512, 4096]),
    }
)


@given(QUESTIONS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_row_keeps_the_books(drawn: dict[str, Any]) -> None:
    """Little's law, tokens in and out, devices, packing, limits; and the frontier is one."""
    question = dict(drawn)
    scenario = _scenario(**question.pop("scenario"))
    try:
        answer, dominated = explored(Exploration(scenario, **question))
    except InfeasibleError:
        return
    work, limits = answer.inputs, (question["ttft_ms"], scenario.tpot_ms)
    rows = [row for row in answer.rows() if row["feasible"]]
    assert rows
    for row in [*rows[:: len(rows) // 40 + 1], *dominated[:: len(dominated) // 40 + 1]]:
        groups = row["n_replicas"] * (row["n_attention_devices"] or row["n_devices"]) / row["tensor_parallel"]
        served = groups * row["batch_per_group"]
        tokens = row["tokens_per_s"]
        assert row["concurrent_requests"] == pytest.approx(tokens * row["tpot_ms"] * 1e-3, rel=SAME)
        assert row["requests_per_s"] * work["osl"] == pytest.approx(tokens, rel=SAME)
        assert row["tokens_per_s_per_user"] == pytest.approx(1e3 / row["tpot_ms"], rel=SAME)
        prompts = row["requests_per_s"] * work["isl"]
        used = row["n_replicas"] * row["n_devices"]
        if row["n_prefill_replicas"] is None:
            assert row["concurrent_requests"] == pytest.approx(served, rel=SAME)
            step = row["tpot_ms"] * 1e-3 * scenario.accept_length
            computed = row["mixed_share"] * row["chunk_tokens"] * groups / step
            assert computed == pytest.approx(prompts, rel=SAME)
            assert 0 < row["mixed_share"] <= 1 + SAME
        else:
            assert row["concurrent_requests"] <= served * (1 + SAME)
            before = row["n_prefill_attention_devices"]
            step = (row["ttft_ms"] - row["kv_transfer_ms"]) * 1e-3
            step /= max(round(work["isl"] / row["chunk_tokens"]), 1)
            capacity = row["n_prefill_replicas"] * before / row["prefill_tensor_parallel"]
            assert capacity * row["chunk_tokens"] / step >= prompts * (1 - 1e-6)
            used += row["n_prefill_replicas"] * (before + (row["n_prefill_ffn_devices"] or 0))
        assert used + row["n_idle_devices"] == scenario.devices
        assert row["n_idle_devices"] >= 0
        assert row["batch_per_group"] % row["microbatches"] == 0
        for limit, key in zip(limits, ("ttft_ms", "tpot_ms"), strict=True):
            assert limit is None or row[key] <= limit * (1 + SAME)
        _held_in_memory(row, scenario, work)
    for mode in {row["mode"] for row in rows}:
        _is_a_frontier([row for row in rows if row["mode"] == mode])
    _is_a_frontier([row for row in rows if row["on_frontier"]])


def _is_a_frontier(rows: list[dict[str, Any]]) -> None:
    """Check that more throughput costs latency, row after row."""
    ordered = sorted(rows, key=lambda row: float(row["tpot_ms"]))
    rates = [row["tokens_per_s_per_device"] for row in ordered]
    assert rates == sorted(rates)
    assert len(set(rates)) == len(rates)


def _held_in_memory(row: dict[str, Any], scenario: Scenario, work: dict[str, Any]) -> None:
    """Check weights and caches of the decoding devices against what may be used."""
    mode = AFD if row["n_ffn_devices"] else EP
    held = work["prefix"] + work["isl"] + work["osl"]
    deployments = Deployments(scenario, mode, held_tokens=held)
    heads = row["tensor_parallel"]
    found = Deployment(
        mode=mode,
        attention_devices=row["n_attention_devices"] or row["n_devices"],
        ffn_devices=row["n_ffn_devices"],
        batch=0,
        microbatches=1,
        tensor_parallel=heads,
        transport="replicated" if heads == row["n_devices"] > 1 and mode == EP else "",
    )
    one, two = (float(each) for each in deployments.memory(found))
    own, whole = held, 0.0
    if work["shared_prefix"]:
        own, whole = held - work["prefix"], deployments.cache_of(work["prefix"], heads)
    room = deployments.usable_memory()
    assert one + whole + row["batch_per_group"] * deployments.cache_of(own, heads) <= room[0] * (1 + SAME)
    assert two <= room[1]


def _best(**question: Any) -> dict[str, float]:  # noqa: ANN401 - any option
    """Return the tokens a second of all devices of each mode; 0 where none is feasible."""
    scenario = _scenario(**question.pop("scenario", {}))
    try:
        found = explore(Exploration(scenario, **{"workload": "chat", "chunk_tokens": 512, **question}))
    except InfeasibleError:
        return dict.fromkeys(("agg", "pd", "agg+afd", "pd+afd"), 0.0)
    best = found.summary["best_by_mode"]
    return {mode: row["tokens_per_s"] if row else 0.0 for mode, row in best.items()}


MORE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "time per token": ({"scenario": {"tpot_ms": 12}}, {"scenario": {"tpot_ms": 13}}),
    "time to the first": ({"ttft_ms": 20}, {"ttft_ms": 25}),
    "devices": ({"scenario": {"devices": 8}}, {"scenario": {"devices": 24}}),
    "memory": (
        {"scenario": {"tpot_ms": 30}},
        {"scenario": {"tpot_ms": 30, "system": load_system("b200", overrides={"memory_gb_per_s": 16_000})}},
    ),
    "links": (
        {"scenario": {"devices": 16, "tpot_ms": 30}},
        {
            "scenario": {
                "devices": 16,
                "tpot_ms": 30,
                "system": load_system("b200", overrides={"scale_out_gb_per_s": 400}),
            }
        },
    ),
    "overlap": ({"ttft_ms": 25}, {"ttft_ms": 25, "kv_overlap": True}),
    "less to move": ({"ttft_ms": 25}, {"ttft_ms": 25, "kv_moved": "new"}),
    "a shared prefix": ({}, {"shared_prefix": True}),
    "any chunk": ({"ttft_ms": 25}, {"ttft_ms": 25, "chunk_tokens": None}),
    "any heads": ({"scenario": {"tensor_parallel": 2}}, {}),
    "no rate": ({"request_rate": 20, "ttft_ms": 40}, {"ttft_ms": 40}),
    "the first token earlier": ({"first_token": "decode", "ttft_ms": 40}, {"ttft_ms": 40}),
}


@pytest.mark.parametrize("what", MORE)
def test_more_never_hurts(what: str) -> None:
    """A looser limit, more or faster hardware, or more freedom: no mode serves less of it."""
    less, more = (_best(**each) for each in MORE[what])
    for mode, before in less.items():
        assert more[mode] >= before * (1 - SAME), mode


def test_answer() -> None:
    """It names the best of all modes, its limits, and why the others lose."""
    found = explore(Exploration(_scenario(tpot_ms=30), workload="chat", ttft_ms=500))
    summary = found.summary
    best = summary["best_under_slo"]
    assert best == max(summary["best_by_mode"].values(), key=lambda row: float(row["tokens_per_s"]))
    assert "serves most under TTFT <= 500 ms and TPOT <= 30 ms" in summary["answer"]
    assert best["deployment"] in summary["answer"]
    for other in set(summary["best_by_mode"]) - {best["mode"]}:
        share = summary["best_by_mode"][other]["tokens_per_s"] / best["tokens_per_s"] - 1
        figure = f"{share:+.0%}" if abs(share) >= COARSE else f"{share:+.1%}"
        assert f"{NAMES[other]} {figure}" in summary["answer"]
    for row in found.rows():
        if row["binding"]:
            assert row["binding"] == summary["binding_by_mode"][row["mode"]]
    assert set(summary["least_ttft_ms"]) == set(summary["best_by_mode"])
    for said in ("4,096 cached, 512 input and 256 output", "without queueing", "all its cached tokens"):
        assert any(said in note for note in found.notes), said


def test_both_limits_cannot_be_met_together() -> None:
    """Then what is named for one is feasible without the other, and following what is named ends well."""
    limits: dict[str, Any] = {"ttft_ms": 1.0, "tpot_ms": 1.0}
    refused = ""
    for _ in range(4):
        try:
            scenario = _scenario(tpot_ms=limits["tpot_ms"])
            found = explore(Exploration(scenario, workload="chat", ttft_ms=limits["ttft_ms"], modes=["pd"]))
        except InfeasibleError as error:
            named = re.search(r"the least is --(ttft|tpot)-ms ([\d.]+)", str(error))
            if named is None:
                refused = str(error)
                break
            limits[f"{named[1]}_ms"] = float(named[2])
        else:
            row = found.summary["best_under_slo"]
            assert row["ttft_ms"] <= limits["ttft_ms"]
            break
    else:
        pytest.fail("what is named is never feasible")
    assert not refused or "not both together" in refused or "cluster size" in refused


def test_each_mode_says_why_it_is_infeasible() -> None:
    with pytest.raises(InfeasibleError) as caught:
        explore(Exploration(_scenario(tpot_ms=0.01), workload="chat"))
    for name in ("aggregated:", "P/D:", "aggregated AFD:", "P/D AFD:"):
        assert name in str(caught.value)
    assert str(caught.value).count("the least is --tpot-ms") == 4


def test_power_is_that_of_the_site() -> None:
    """Rated power takes the default PUE, provisioned power holds it: joules are those of `procure`."""
    for system, watts in (("h800", 700 * 1.3), ("gb200-nvl72", 2100)):
        scenario = Scenario(system=system, model="qwen3-235b-a22b", devices=16)
        answer = explore(Exploration(scenario, isl=1000, osl=200, modes=["agg"]))
        assert any("times a PUE of 1.3" in note for note in answer.notes) == (system == "h800")
        for row in answer.rows():
            joules = row["tokens_per_joule"] * 16 * watts
            assert joules == pytest.approx(row["tokens_per_s"], rel=1e-9)
