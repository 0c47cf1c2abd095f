"""What to watch: thresholds are where an answer really turns."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import attrs
import numpy as np
import pytest

from roofline_afd.analysis.decode.sides import rates
from roofline_afd.analysis.deploy.deploy import deploy
from roofline_afd.analysis.deploy.questions import Launch
from roofline_afd.serving.deployment import Deployment, Deployments
from roofline_afd.serving.scenario import Scenario

DEVICES, BATCH, LIMIT = 32, 64, 50.0


def _scenario(**changes: Any) -> Scenario:  # noqa: ANN401 - whatever fields hold
    given: dict[str, Any] = {
        "devices": DEVICES,
        "batch": BATCH,
        "tpot_ms": LIMIT,
        "microbatches": 2,
        "redundant_experts": 32,
    }
    return Scenario(system="h200", model="deepseek-v3", engine="sglang", **(given | changes))


def _watch(scenario: Scenario) -> dict[str, dict[str, Any]]:
    rows = deploy(Launch(scenario, target="sglang")).rows()
    return {row["quantity"]: row for row in reversed(rows)}


def _deployment(deployments: Deployments, batch: int) -> Deployment:
    return deployments.deployment_of(DEVICES, 0, batch=batch, microbatches=2, redundant_experts=32)


def _tpot(scenario: Scenario, **changes: Any) -> float:  # noqa: ANN401 - as above
    other = attrs.evolve(scenario, **changes)
    deployments = Deployments(other, "ep")
    one = _deployment(deployments, other.batch or 0)
    return float(np.asarray(deployments.step(one).time)) / other.accept_length * 1e3


def test_longer_caches_break_the_target_where_it_says() -> None:
    scenario = _scenario()
    row = _watch(scenario)["tokens cached of a sequence"]
    limit = int(row["limit"])
    assert row["expected"] == 4096 < limit
    assert _tpot(scenario, context=limit) <= LIMIT * 1.0001
    assert _tpot(scenario, context=round(limit * 1.02)) > LIMIT


def test_sequences_break_the_target_or_fill_memory_where_it_says() -> None:
    scenario = _scenario()
    row = _watch(scenario)["sequences of an attention group"]
    assert row["expected"] == BATCH
    deployments = Deployments(scenario, "ep")
    one = _deployment(deployments, int(row["limit"]))
    more = dataclasses.replace(one, batch=int(row["limit"]) + 2)
    full = float(np.asarray(deployments.largest_batch(one)))
    fits = _tpot(scenario, batch=int(row["limit"])) <= LIMIT and row["limit"] <= full
    assert fits
    assert _tpot(scenario, batch=int(row["limit"]) + 2) > LIMIT or float(np.asarray(more.batch)) > full


@pytest.mark.parametrize("stage", ["attention", "experts", "dispatch", "combine"])
def test_a_slower_stage_breaks_the_target_where_it_says(stage: str) -> None:
    """Its time alone is put to the limit in every layer; the step then takes what the target allows."""
    scenario = _scenario()
    row = _watch(scenario)[f"{stage} of a layer and micro-batch"]
    name = "ffn" if stage == "experts" else stage
    deployments = Deployments(scenario, "ep")
    one = _deployment(deployments, BATCH)
    blocks, once = deployments.micro_batch(one)
    factor = row["limit"] / row["expected"]
    slower = [block._replace(**{name: factor * getattr(block, name)}) for block in blocks]
    time = float(np.asarray(deployments.step_of(slower, once, one).time)) * 1e3
    assert time == pytest.approx(LIMIT, rel=1e-6)


def test_fewer_tokens_accepted_break_the_target_where_it_says() -> None:
    scenario = _scenario(accept_length=1.8, tpot_ms=40.0)
    row = _watch(scenario)["tokens accepted of a step"]
    assert row["alert"] == "below"
    assert row["limit"] < 1.8
    assert _tpot(scenario, accept_length=row["limit"], draft_tokens=1) == pytest.approx(40.0, rel=1e-9)


def test_uneven_experts_break_the_target_where_it_says() -> None:
    scenario = _scenario()
    row = _watch(scenario)["fullest device of experts over the mean"]
    assert 1 < row["expected"] < row["limit"]
    assert _tpot(scenario, sigma_ep=1 / row["limit"]) == pytest.approx(LIMIT, rel=1e-3)


@pytest.mark.parametrize(("system", "tpot_ms"), [("h200", 50.0), ("h20", 50.0), ("h800", 100.0)])
def test_the_other_mode_serves_more_where_it_says(system: str, tpot_ms: float) -> None:
    """Beyond the imbalance named the best of the other mode is ahead, below it that of this one."""
    scenario = Scenario(system=system, model="deepseek-v3", engine="sglang", tpot_ms=tpot_ms)
    rows = deploy(Launch(scenario, target="sglang")).rows()
    (row,) = [row for row in rows if "AFD" in row["then"]]
    expected, limit = row["expected"], row["limit"]
    ends = {
        "AFD serves more": (0.98 * (limit or 0), 1.02 * (limit or 0)),
        "AFD serves more as it is": (math.inf, expected),
    }
    below, above = ends.get(row["then"], (8 * expected, math.inf))
    for imbalance, ahead in ((below, "ep"), (above, "afd")):
        if math.isfinite(imbalance):
            ep, afd = rates(attrs.evolve(scenario, sigma_ep=1 / imbalance))
            assert ("ep" if ep > afd else "afd") == ahead


def test_without_a_target_nothing_breaks() -> None:
    rows = _watch(_scenario(tpot_ms=None))
    assert rows["time per output token"]["limit"] is None
    assert rows["combine of a layer and micro-batch"]["limit"] is None
    assert rows["sequences of an attention group"]["then"] == "memory is full"
