"""Where a decode step spends its time."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from roofline_afd.analysis.decode.breakdown import breakdown
from roofline_afd.analysis.decode.questions import Breakdown
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import Deployment, Deployments
from roofline_afd.serving.scenario import Scenario

H800 = Scenario(system="h800", model="deepseek-v3")
ONE = attrs.evolve(H800, devices=32, batch=128)


@pytest.mark.parametrize("sizes", [{"devices": 32}, {"devices": 1}, {"devices": 32, "ffn_devices": 8}])
def test_operators_add_up(sizes: dict[str, Any]) -> None:
    """Without overlap the operators of one micro-batch make up the whole step."""
    scenario = attrs.evolve(H800, batch=64, microbatches=1, memory_reserve=0.0, **sizes)
    if sizes["devices"] == 1:  # weights of the whole model fit no device: times are asked for all the same
        deployments = Deployments(scenario, "ep")
        step = deployments.step(Deployment(mode="ep", attention_devices=1, batch=64, microbatches=1))
        assert float(step.time) > 0
        return
    answer = breakdown(Breakdown(scenario))
    rows = answer.rows()
    assert answer.summary["step_time_us"] == pytest.approx(answer.summary["step_ms"] * 1e3)
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert sum(answer.summary["shares"].values()) == pytest.approx(1)
    assert all(row["step_time_us"] == pytest.approx(row["time_us"] * row["layers"]) for row in rows)


def test_the_best_deployment_without_a_batch() -> None:
    """A batch left open is the one of the best deployment under the latency target."""
    found = breakdown(Breakdown(H800)).summary
    assert found["step_ms"] <= 50 * (1 + 1e-9)
    assert found["batch_per_device"] > 1


def test_what_was_never_measured_is_said() -> None:
    """The H800 was measured but for small kernels; of the MI300X exchanges alone were."""
    assert breakdown(Breakdown(ONE)).summary["estimated_share"] < 0.1
    mine = attrs.evolve(ONE, system="mi300x")
    rows = breakdown(Breakdown(mine)).rows()
    assert {row["kind"] for row in rows if row["side"] != "network"} == {"estimated"}
    assert {row["kind"] for row in rows if row["side"] == "network"} == {"measured"}


def test_fewer_copies_take_less_time_between_nodes() -> None:
    """In a batch of prompts, where volume counts; in small ones kernels of decoding are quicker."""
    times = {}
    for transport in ("pair", "rank", "node"):
        rows = breakdown(
            Breakdown(attrs.evolve(ONE, transport=transport, devices=64, batch=4096, context=64))
        ).rows()
        times[transport] = sum(row["step_time_us"] for row in rows if row["side"] == "network")
    assert times["node"] < times["rank"] < times["pair"]


def test_longer_contexts_cost_attention_only() -> None:
    short, long = (
        breakdown(Breakdown(attrs.evolve(ONE, batch=8, context=context))).rows() for context in (1024, 65536)
    )
    changed = {a["operator"] for a, b in zip(short, long, strict=True) if a["time_us"] != b["time_us"]}
    assert changed == {"core_attention"}


def test_times_are_those_in_service() -> None:
    """Transfers carry the slowdown of live routing and the fullest device, and fewer experts are touched.

    By hand: 2,048 tokens of a micro-batch reach 8 of 256 experts each; the eight of a device are all reached
    where they are forced to balance, and all but 8 * (1 - 1/32)^(2048^a) in service. An expert's first
    product has 7168 * 4096 weights of a byte.
    """
    forced, live = (
        {
            row["operator"]: row
            for row in breakdown(Breakdown(attrs.evolve(ONE, routing=routing, redundant_experts=0))).rows()
        }
        for routing in ("balanced", "natural")
    )
    deployments = Deployments(ONE, "ep")
    assert deployments.slowdown > 1
    assert deployments.load is not None
    fullest = float(deployments.load.factor(32.0, 0.0, 2048.0))
    assert fullest > 1
    slower = forced["dispatch"]["time_us"] * deployments.slowdown
    assert slower < live["dispatch"]["time_us"] <= slower * fullest * (1 + 1e-9)  # its fixed time is no load
    assert live["experts_up"]["flops"] == pytest.approx(forced["experts_up"]["flops"] * fullest)
    exponent = load_service_constants(Catalogue()).routing_exponent
    assert 0 < exponent < 1
    unread = 8 * (31 / 32) ** (2048**exponent) * 7168 * 4096
    spared = forced["experts_up"]["bytes_moved"] - live["experts_up"]["bytes_moved"]
    pairs = 2048 * 8 / 32 * (fullest - 1)  # those more of the fullest device: 7168 in, 4096 out
    assert spared == pytest.approx(unread - pairs * (7168 + 2 * 4096), rel=1e-6)
    assert live["query_up"] | {"share": None} == forced["query_up"] | {"share": None}


@pytest.mark.parametrize(
    ("mode", "says"),
    [("edp", "did you mean 'ep'"), ("afd", "--attention-devices and --ffn-devices are needed")],
)
def test_bad_questions(mode: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        breakdown(Breakdown(ONE, mode=mode))
