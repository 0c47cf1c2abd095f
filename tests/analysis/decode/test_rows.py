"""The row of a deployment: it agrees with the plain functions, and names what binds and what it waits for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roofline_afd.analysis.decode.breakdown import breakdown
from roofline_afd.analysis.decode.one import deployment_of
from roofline_afd.analysis.decode.predict import predict
from roofline_afd.analysis.decode.questions import Breakdown, Prediction
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.precision import PRECISIONS
from roofline_afd.errors import InfeasibleError
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.scenario import Scenario
from tests.conftest import ONE_PLAN

EP_QUESTION: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "devices": 128, "batch": 96}
AFD_QUESTION: dict[str, Any] = {
    "system": "h800",
    "model": "deepseek-v3",
    "batch": 96,
    "attention_devices": 96,
    "ffn_devices": 64,
}
SHAPES = {EP: EP_QUESTION, AFD: AFD_QUESTION}


def _row(**question: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    (row,) = predict(Prediction(Scenario(**question))).rows()
    return row


@pytest.mark.parametrize("mode", SHAPES)
@pytest.mark.parametrize("accepted", [1.0, 1.7])
def test_rates_follow_from_the_step(mode: str, accepted: float) -> None:
    """Time per token, tokens per user and per device are one step told three ways."""
    row = _row(**SHAPES[mode], accept_length=accepted)
    assert row["mode"] == mode
    assert row["tpot_ms"] == pytest.approx(row["step_ms"] / accepted)
    assert row["tokens_per_s_per_user"] == pytest.approx(1e3 / row["tpot_ms"])
    attend = row["n_attention_devices"] or row["n_devices"]
    tokens = row["tokens_per_s_per_user"] * row["batch_per_device"] * attend / row["n_devices"]
    assert row["tokens_per_s_per_device"] == pytest.approx(tokens)
    parts = row["breakdown"]
    assert parts["layers_ms"] + parts["gap_ms"] + parts["head_ms"] == pytest.approx(row["step_ms"])


@pytest.mark.parametrize("mode", SHAPES)
def test_row_agrees_with_the_deployment(mode: str) -> None:
    scenario = Scenario(**SHAPES[mode], gap_ms=3)
    deployments = Deployments(scenario, mode)
    deployment = deployment_of(deployments)
    row = _row(**SHAPES[mode], gap_ms=3)
    assert deployment.microbatches == row["microbatches"] == {EP: 2, AFD: 3}[mode]
    assert row["step_ms"] == pytest.approx(float(deployments.step(deployment).time) * 1e3)
    assert row["breakdown"]["gap_ms"] == pytest.approx(3)
    held = [float(value) / 1e9 for value in deployments.memory(deployment)]
    assert row["memory_gb"] == pytest.approx(held[0])
    assert row["ffn_memory_gb"] == (pytest.approx(held[1]) if mode == AFD else None)


@pytest.mark.parametrize(
    ("question", "pieces"),
    [
        (EP_QUESTION | {"microbatches": 1}, "serial"),
        (EP_QUESTION, "lock-step"),
        (AFD_QUESTION, "pipeline"),
        (AFD_QUESTION | {"duplex": "shared"}, "pipeline"),
    ],
)
def test_breakdown_adds_up(question: dict[str, Any], pieces: str) -> None:
    """The times of a layer make the layer by the schedule named; no layer is below its lower bound."""
    parts = _row(**question)["breakdown"]
    attention, ffn, dispatch, combine = (
        parts[f"{name}_us"] for name in ("attention", "ffn", "dispatch", "combine")
    )
    loop = attention + ffn + dispatch + combine
    if pieces == "serial":
        expected = loop
    elif pieces == "lock-step":
        expected = max(attention, dispatch) + max(ffn, dispatch) + max(ffn, combine) + max(attention, combine)
        assert parts["overlap_lower_bound_us"] == pytest.approx(2 * max(attention + ffn, dispatch + combine))
        assert parts["overlap_lower_bound_us"] <= expected
    else:
        link = dispatch + combine if "duplex" in question else max(dispatch, combine)
        assert parts["link_us"] == pytest.approx(link)
        assert parts["loop_us"] == pytest.approx(loop)
        assert parts["cycle_us"] == pytest.approx(max(attention, ffn, link, loop / 3))
        expected = 3 * parts["cycle_us"]
    assert parts["layer_us"] == pytest.approx(expected)
    assert parts["layers"] == 61


@given(
    st.sampled_from(
        [
            "deepseek-v3",
            "qwen3-235b-a22b",
            "step-3",
            "nemotron-3-super-120b-a12b",
            "jamba-v0.1",
            "longcat-flash",
        ]
    ),
    st.sampled_from(["h800", "gb200-nvl72", "h20", "mi300x", "b300"]),
    st.integers(1, 32),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([None, 1, 2]),
    st.fixed_dictionaries(
        {},
        optional={
            "expert_precision": st.sampled_from(tuple(PRECISIONS)),
            "attention_precision": st.sampled_from(tuple(PRECISIONS)),
            "dispatch_precision": st.sampled_from(["bf16", "fp8", "int8"]),
            "attention_core_precision": st.sampled_from(["bf16", "fp8"]),
            "context": st.sampled_from([1, 128, 100_000]),
            "draft_tokens": st.integers(0, 3),
            "redundant_experts": st.integers(0, 9),
        },
    ),
)
@example("olmoe-1b-7b", "b300", 256, 1, 1, None, {"expert_precision": "int8"})
@example("llama-4-maverick", "b300", 512, 1, 1, None, {"expert_precision": "int8", "context": 128})
@example("jamba-v0.1", "b300", 512, 1, 1, None, {"expert_precision": "int8", "context": 128})
@settings(max_examples=30, deadline=None)
def test_utilization_is_a_share(  # noqa: PLR0917 - drawn in order
    model: str,
    system: str,
    batch: int,
    attend: int,
    feed: int,
    microbatches: int | None,
    further: dict[str, Any],
) -> None:
    """HFU never exceeds one, nor the stage's the share of it that computes; memory is what devices have.

    The examples were above one: their operations run at several peaks, or in layers of two kinds.
    """
    shape: dict[str, Any] = {"system": system, "model": model, "batch": batch, "microbatches": microbatches}
    shape |= further
    for devices in ({"devices": 8 * attend}, {"attention_devices": 8 * attend, "ffn_devices": 8 * feed}):
        try:
            row = _row(**shape, **devices)
        except InfeasibleError:
            continue
        hfu = [row[key] for key in ("hfu_all_devices", "hfu_ffn_devices_stage", "hfu_ffn_devices_step")]
        assert all(0 < value <= 1 for value in hfu), hfu
        assert row["hfu_ffn_devices_step"] <= row["hfu_ffn_devices_stage"]
        assert 0 < row["attention_busy"] <= 1 + 1e-9
        assert 0 < row["ffn_busy"] <= 1 + 1e-9
        if row["mode"] == EP:
            assert row["attention_busy"] + row["ffn_busy"] <= 1 + 1e-9
        assert 0 <= row["estimated_share"] <= 1
        assert row["memory_gb"] > 0


@pytest.mark.parametrize(
    ("mode", "changes"),
    [
        *((mode, {"batch": batch}) for mode in SHAPES for batch in (96, 95)),
        (EP, {"devices": 96, "redundant_experts": 0}),
        (AFD, {"sigma_dp": 0.9, "sigma_ep": 0.7}),
    ],
)
def test_utilization_counts_what_a_token_needs(mode: str, changes: dict[str, Any]) -> None:
    """By hand: two operations a parameter and core attention, each at the peak of its format.

    Router, output head and core attention run in bf16, at half the peak. 128 heads of one cached latent fill
    two tiles whole; 95 sequences in two or three micro-batches are not 96; of 256 experts on 96 devices some
    hold three and a mean one 2.67; of uneven sequences a mean device has 0.9 of the fullest.
    """
    model = load_model("deepseek-v3")
    core = 61 * 2 * 128 * (576 + 512) * 4096
    wide = 58 * 7168 * 256 + 7168 * 129280
    batch = changes.get("batch", 96) * changes.get("sigma_dp", 1.0)
    seconds = (2 * (model.active_params - wide) / 1979e12 + (2 * wide + core) / 989e12) * batch
    row = _row(**SHAPES[mode] | changes)
    attend = row["n_attention_devices"] or row["n_devices"]
    expected = seconds * attend / (row["step_ms"] * 1e-3 * row["n_devices"])
    assert row["hfu_all_devices"] == pytest.approx(expected, rel=1e-9)
    experts = 58 * 8 * 2 * 3 * 7168 * 2048 / 1979e12 * batch
    feed = row["n_ffn_devices"] or row["n_devices"]
    assert row["hfu_ffn_devices_step"] == pytest.approx(
        experts * attend / feed / (row["step_ms"] * 1e-3), rel=1e-9
    )


def test_padding_is_no_work() -> None:
    """Eight query heads of a cached head fill half a tile of 16: they take its time, and do half.

    128 sequences of a micro-batch with two cached heads are 256 pieces for 78 processors: 4 waves of them, as
    if of 312. Both take time alone: 2 * 312 / 256 times the operations that the row tells.
    """
    scenario = Scenario(system="h20", model="qwen3-next-80b-a3b", devices=8, batch=256, microbatches=2)
    deployments = Deployments(scenario, EP)
    deployment = deployment_of(deployments)
    (core,) = (
        item
        for item in deployments.operators(deployment)
        if item.name == "core_attention" and item.part == "full"
    )
    sequences = float(deployment.sequences)
    assert core.flops == pytest.approx(sequences * 16 * 2 * (256 + 256) * 4096)
    assert sequences == 128
    assert core.arguments["padding"] == pytest.approx(2 * 312 / 256)
    told = [row["flops"] for row in breakdown(Breakdown(scenario)).rows() if row["layers"] == 12]
    assert core.flops in told


def test_binding() -> None:
    """Memory, latency, or what a step waits for, each where one sequence more says so."""
    one_way = EP_QUESTION | {"redundant_experts": 0}
    deployments = Deployments(Scenario(**one_way), EP)
    most = int(deployments.largest_batch(deployment_of(deployments)))
    with pytest.raises(InfeasibleError, match=f"binding is HBM capacity: .*--batch {most} does"):
        _row(**one_way | {"batch": most + 1})
    assert _row(**one_way | {"batch": most})["binding"] == "HBM capacity"
    assert _row(**one_way | {"batch": most - 1})["binding"] != "HBM capacity"
    slow = _row(**EP_QUESTION)
    bound = _row(**EP_QUESTION, tpot_ms=slow["tpot_ms"] * (1 + 1e-6))
    assert bound["binding"] == "latency target"
    assert bound["bottleneck"] == slow["bottleneck"]
    assert _row(**EP_QUESTION, tpot_ms=slow["tpot_ms"] * 1.2)["binding"] == slow["bottleneck"]


def test_a_batch_that_fewer_copies_of_experts_leave_room_for_is_served() -> None:
    """The quickest way has one expert more on each device; where memory lacks room, one without serves."""
    question = {**EP_QUESTION, "devices": 32, "context": 8192, **ONE_PLAN}
    fits = _row(**question | {"batch": 64})
    assert fits["redundant_experts"] < _row(**question | {"batch": 60})["redundant_experts"]
    with pytest.raises(InfeasibleError, match=r"--batch (6[4-9]|[7-9]\d) does"):
        _row(**question | {"batch": 100})


def test_bottleneck_moves_with_the_hardware() -> None:
    """What is made slow enough becomes what the step waits for.

    As it is, core attention: 54.8 GFLOP of a micro-batch take 99 us of the 56 % of 989 TFLOP/s that its
    kernel reaches, its cache 75 us of 90 % of 3.35 TB/s. Queries and results pass by themselves, so that
    faster memory helps even a kernel that waits for the matrix units: what helps more counts.
    """
    assert _row(**EP_QUESTION)["bottleneck"] == "compute"
    for key, expected in (("scale_out_gb_per_s", "scale-out"), ("scale_up_gb_per_s", "scale-up")):
        system = load_system("h800", overrides={key: 2.0})
        assert _row(**EP_QUESTION | {"system": system})["bottleneck"] == expected
    weak = load_system("h800", overrides={"fp8_tflops": 30.0, "bf16_tflops": 15.0})
    assert _row(**EP_QUESTION | {"system": weak})["bottleneck"] == "compute"
    narrow = load_system("h800", overrides={"memory_gb_per_s": 100.0})
    row = _row(**EP_QUESTION | {"system": narrow})
    assert row["bottleneck"] in {"attention bandwidth", "weight streaming"}
    few = _row(**AFD_QUESTION | {"ffn_devices": 10, "batch": 4, "microbatches": 4})
    assert few["bottleneck"] in {"weight streaming", "pipeline loop"}
    assert _row(**AFD_QUESTION | {"microbatches": 1})["bottleneck"] == "pipeline loop"


def test_ffn_devices_past_need_only_cost() -> None:
    """The dead zone (arXiv 2602.09721) in a whole deployment: 64 attention devices on InfiniBand.

    FFN devices help until the slower of attention and network sets the pace; then time per token stays, and
    throughput per device falls as devices are added.
    """
    counts = (16, 24, 32, 48, 64, 96, 128, 192, 256)
    question = AFD_QUESTION | {"attention_devices": 64, "batch": 128}
    rows = [_row(**question | {"ffn_devices": count}) for count in counts]
    rates = [row["tokens_per_s_per_device"] for row in rows]
    peak = int(np.argmax(rates))
    assert 0 < peak < len(counts) - 4
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rows[0]["bottleneck"] == "scale-out"
    beyond = [row for row in rows if row["n_ffn_devices"] >= 96]
    times = [row["tpot_ms"] for row in beyond]
    assert max(times) == pytest.approx(
        min(times), rel=0.01
    )  # latency growth with devices is all that is left
    assert all(row["breakdown"]["ffn_us"] < row["breakdown"]["cycle_us"] for row in beyond)
    shares = [row["tokens_per_s_per_device"] * row["n_devices"] for row in beyond]
    assert max(shares) == pytest.approx(min(shares), rel=0.01)
    busy = [row["ffn_busy"] for row in beyond]
    assert busy == sorted(busy, reverse=True)
