"""Replicas: what their memory holds, how many a cluster has room for, the heads they share."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import EP, Deployment, Deployments
from roofline_afd.serving.modes.pools import ways_to_prefill
from roofline_afd.serving.modes.question import AGG, AGG_AFD, PD
from roofline_afd.serving.modes.search import explore_modes
from roofline_afd.serving.modes.workers import Replicas, Workers
from tests.serving.modes.asking import asking
from tests.serving.modes.one_by_one import replicas_of


def test_sequences_with_a_shared_prefix_keep_states_of_their_own() -> None:
    """Only the prefix's cache is shared: each sequence has its own states, and windows of its last tokens."""
    for model in ("nemotron-3-super-120b-a12b", "gpt-oss-120b", "qwen3-235b-a22b"):
        held = {"prefix": 500_000, "isl": 100, "osl": 100}
        question = asking(model=model, workload=held, shared_prefix=True)
        found = explore_modes(question, [AGG])[AGG].best
        assert found is not None
        deployments = Deployments(question.scenario, EP, held_tokens=question.workload.held)
        shape = Deployment(
            mode=EP,
            attention_devices=found["attention"],
            batch=0,
            microbatches=1,
            tensor_parallel=int(found["tp"]),
            transport="replicated" if found["tp"] == found["attention"] else "",
        )
        heads = int(found["tp"])
        used = float(np.asarray(deployments.memory(shape)[0])) + deployments.cache_of(500_000, heads)
        own = deployments.cache_of(200, heads)
        assert own >= deployments.scenario.model.state_bytes() / heads * 0.99
        assert used + found["batch"] * own <= deployments.usable_memory()[0]


def test_replicas_stay_within_domains() -> None:
    """Of 3 devices two fit a domain of 8, and none crosses; larger ones are whole nodes."""
    question = asking(devices=20, tpot_ms=50)
    found = explore_modes(question, [AGG, AGG_AFD])
    for each in found.values():
        for points in (each.points, each.others):
            size = points["attention"] + points["ffn"]
            for held, count in {*zip(size.tolist(), points["replicas"].tolist(), strict=True)}:
                assert count == replicas_of(8, 20, int(held))
                assert held <= 8 or held % 8 == 0
    paired = explore_modes(asking(devices=24, tpot_ms=50), [PD])[PD].points
    size, before = paired["attention"], paired["p_attention"]
    for row in range(size.size):
        counts = [*([before[row]] * round(paired["p_replicas"][row]))]
        counts += [size[row]] * round(paired["replicas"][row])
        assert _packs(sorted(counts, reverse=True), 24, 8)


def _packs(sizes: list[float], devices: int, domain: int) -> bool:
    """Whether replicas, largest first, fit domains one after another."""
    free = [float(domain)] * (devices // domain)
    for size in sizes:
        if size > domain:
            whole = math.ceil(size / domain)
            if free.count(domain) < whole:
                return False
            for _ in range(whole):
                free.remove(domain)
            continue
        place = next((index for index, left in enumerate(free) if left >= size), None)
        if place is None:
            return False
        free[place] -= size
    return True


def test_prompts_are_sent_once_to_each_node() -> None:
    """Between nodes that is quicker than a copy per expert, which steps that decode send."""

    def ways(transport: str | None) -> dict[str, Any]:
        question = asking(
            system="h800",
            model="deepseek-v3",
            devices=32,
            scenario={"transport": transport, "redundant_experts": 0},
            workload={"isl": 4096, "osl": 1},
            tensor_parallel=1,
            chunk_tokens=8192,
        )
        workers = Workers(question, question.scenario, EP, held=4096)
        workers.shapes = np.array([32.0]), np.zeros(0)
        assert len(workers.plans) == 1
        one = Replicas(np.array(0), np.array(32), np.zeros(()))
        decoding = workers.deployment(one, batch=np.array(64))
        blocks, _ = workers.micro(decoding, None)
        return {
            **ways_to_prefill(question, workers),
            "dispatch": np.array([block.dispatch for block in blocks]),
        }

    usual, node, pair = (ways(each) for each in (None, "node", "pair"))
    assert usual["p_rate"].tolist() == node["p_rate"].tolist()
    assert np.all(usual["p_rate"] > pair["p_rate"])
    assert usual["dispatch"].tolist() == pair["dispatch"].tolist() != node["dispatch"].tolist()


def test_shared_heads_that_do_not_divide() -> None:
    with pytest.raises(InputError, match="heads of gpt-oss-20b do not divide among 3 devices"):
        explore_modes(asking(tensor_parallel=3))


def test_replicas_of_one_domain_where_no_fabric_leaves_it() -> None:
    """Larger ones have no time at all, and no warning says so."""
    question = asking(
        system=dataclasses.replace(load_system("tpu-v6e"), scale_out=None),
        devices=264,
        tensor_parallel=1,
        workload={"isl": 4000, "osl": 40},
        chunk_tokens=500,
    )
    found = explore_modes(question, [AGG])[AGG]
    assert found.best is not None
    for points in (found.points, found.others):
        assert np.max(points["attention"]) <= 256
        assert np.all(np.isfinite(points["rate"]))
