"""Where layers are cut between two groups, and experts in one kernel: volumes, times and memory by hand."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.products import products_of, turns_latent
from roofline_afd.physics.stages import fused_stage_time
from roofline_afd.serving.deployment import Deployments
from roofline_afd.serving.exchange import crossing_elements
from roofline_afd.serving.fused import fused_stage
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.sizes import Layers, Plan

if TYPE_CHECKING:
    from roofline_afd.catalogue.models import Model
    from roofline_afd.serving.timing import Operator

GB200, B200 = load_system("gb200-nvl72"), load_system("b200")
QWEN, DEEPSEEK = load_model("qwen3-235b-a22b"), load_model("deepseek-v3")
CACHED = {"key_absorption", "value_absorption", "core_attention"}
"""What the attention side of the core cut computes of these models."""


def _operators(model: Model, sizes: dict[str, Any], **changes: object) -> list[Operator]:
    plain = Layers(model=model, transport="pair", attention=GB200, deployment="afd")
    settings: dict[str, Any] = dict(changes)
    if "attention" in settings:  # efficiencies are those of its records
        settings |= {"attention_calibration": None, "ffn_calibration": None}
    return list(decode_operators(dataclasses.replace(plain, **settings), context=8192, **sizes))


def _time(items: list[Operator], name: str) -> float:
    return next(float(np.asarray(item.time)) for item in items if item.name == name)


@pytest.mark.parametrize(
    ("model", "there", "back"),
    [
        (QWEN, (64 + 2 * 4) * 128, 64 * 128),
        (DEEPSEEK, 128 * (128 + 64) + 512 + 64, 128 * 128),
    ],
    ids=["grouped-query", "latent"],
)
def test_elements_that_cross(model: Model, there: int, back: int) -> None:
    """Queries, keys and values go there and the core's result comes back; of latents 50 and 33 kB in bf16.

    Turned into the latent before they are sent they would be 149 and 131 kB.
    """
    assert crossing_elements(model.attention[0]) == (there, back)
    if model is DEEPSEEK:
        assert (round(2 * there / 1e3), round(2 * back / 1e3)) == (50, 33)
        absorbed = 128 * (512 + 64) + 512 + 64, 128 * 512
        assert [round(2 * each / 1e3) for each in absorbed] == [149, 131]


@given(
    sequences=st.integers(1, 256),
    attention_devices=st.integers(1, 36),
    ffn_devices=st.integers(1, 36),
)
def test_a_token_crosses_once(sequences: int, attention_devices: int, ffn_devices: int) -> None:
    """What crosses is one copy of every token, however many devices there are on the other side."""
    sizes = {"sequences": sequences, "attention_devices": attention_devices, "ffn_devices": ffn_devices}
    items = [item for item in _operators(QWEN, sizes, afd_cut="core") if item.side == "network"]
    tokens = sequences * attention_devices
    moved = {item.name: float(np.asarray(item.bytes_moved)) for item in items}
    assert moved["dispatch"] == pytest.approx(tokens * 9216 * 2)
    assert moved["combine"] == pytest.approx(tokens * 8192 * (1 + 4 / 128))  # fp8, with scales of blocks


@pytest.mark.parametrize("model", [QWEN, DEEPSEEK], ids=["grouped-query", "latent"])
def test_the_other_side_is_expert_parallelism_without_caches(model: Model) -> None:
    """Each operator of the FFN side is that of EP on as many devices, which share the tokens of all."""
    sizes = {"sequences": 32, "attention_devices": 24, "ffn_devices": 8}
    cut = _operators(model, sizes, afd_cut="core")
    alone = _operators(model, {"sequences": 96, "attention_devices": 8}, deployment="ep")
    mine = {item.name: float(np.asarray(item.time)) for item in cut if item.side == "ffn"}
    theirs = {item.name: float(np.asarray(item.time)) for item in alone if item.name not in CACHED}
    assert mine == pytest.approx(theirs)
    assert {item.name for item in cut if item.side == "attention"} == (
        CACHED if model is DEEPSEEK else {"core_attention"}
    )


@pytest.mark.parametrize("model", [QWEN, DEEPSEEK], ids=["grouped-query", "latent"])
def test_weights_move_and_none_is_lost(model: Model) -> None:
    """The core cut moves weights to the FFN side but those computed beside the cache: by hand of DeepSeek.

    128 heads turn queries of 128 into a latent of 512, and a latent into values of 128, in 61 layers of fp8.
    """
    deployments = Deployments(Scenario(system=GB200, model=model), "afd")
    held = {}
    for cut in ("attention", "core"):
        plan = Plan("pair", afd_cut=cut)
        deployment = deployments.deployment_of(24, 8, batch=32, plan=plan, redundant_experts=0)
        held[cut] = deployments.held.parts(deployment)
    (mine, theirs), (mine_core, theirs_core) = held["attention"], held["core"]
    turning = 61 * 128 * 2 * 128 * 512 if model is DEEPSEEK else 0
    assert mine_core.get("attention", 0.0) == pytest.approx(turning)
    assert theirs_core["attention"] == pytest.approx(mine["attention"] - turning)
    assert "embeddings" not in mine_core
    assert theirs_core["embeddings"] == pytest.approx(mine["embeddings"])
    for same in ("experts", "shared_experts", "dense"):
        assert theirs_core[same] == pytest.approx(theirs[same])
    assert mine_core["cache"] == pytest.approx(mine["cache"])


def test_what_has_weights_beside_the_cache_is_computed_there() -> None:
    """Memory and time agree which products of a latent stay with the cache."""
    kind = DEEPSEEK.attention[0]
    items = products_of(kind, DEEPSEEK.hidden_size)
    assert {item.name for item in items if turns_latent(kind, item)} == CACHED - {"core_attention"}
    assert not any(turns_latent(each, item) for each in QWEN.attention for item in products_of(each, 4096))


def test_one_kernel_is_its_formula() -> None:
    """Both transfers are within the kernel's time, of all but a device's own share; none is beside it."""
    items = _operators(
        QWEN, {"sequences": 64, "attention_devices": 8}, attention=B200, deployment="ep", kernels="fused"
    )
    assert not {"dispatch", "combine", "experts_up", "experts_handling"} & {item.name for item in items}
    found = next(item for item in items if item.name == "experts_fused")
    values = fused_stage(B200)
    assert values is not None
    assert found.arguments["fixed_time"] == values.values["ep_fixed_us"]
    vectors = 4096 * (1 + 4 / 128) + 4096 * 2  # fp8 there with scales, bf16 back
    assert found.arguments["moved_bytes"] == pytest.approx(64 * 8 * 7 / 8 * vectors)
    assert float(np.asarray(found.time)) == pytest.approx(float(fused_stage_time(**found.arguments)))


def test_one_kernel_stays_within_a_domain() -> None:
    """It takes for ever beyond a domain, and between two systems, which share none; within it does not."""
    eight = {"sequences": 32, "attention_devices": 4, "ffn_devices": 4}
    more = eight | {"attention_devices": 5}
    fused = {"kernels": "fused", "attention": B200}
    assert np.isfinite(_time(_operators(QWEN, eight, **fused), "experts_fused"))
    assert np.isinf(_time(_operators(QWEN, more, **fused), "experts_fused"))
    apart = fused | {"attention": load_system("h200"), "ffn": B200}
    assert np.isinf(_time(_operators(QWEN, eight, **apart), "experts_fused"))
    core = _operators(QWEN, eight, **apart, afd_cut="core")  # the kernel is within the FFN side alone
    assert np.isfinite(_time(core, "experts_fused"))
