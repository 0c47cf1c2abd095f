"""One deployment: its step written out from its operators, its memory, its factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.serving.deployment import AFD, EP, MODES, Deployment, Deployments
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import search
from roofline_afd.serving.sizes import TRANSPORTS

if TYPE_CHECKING:
    from roofline_afd.serving.timing import Operator

MODELS = Catalogue().ids("model")


CONSTANTS = load_service_constants(Catalogue())
ROUTED = {"experts_up", "experts_down", "experts_handling"}
SMALL_SIZES: dict[str, Any] = {"attention_devices": 24, "ffn_devices": 8, "batch": 96}


def _deployment(mode: str, **changes: Any) -> Deployment:  # noqa: ANN401 - any field
    given_: dict[str, Any] = {"mode": mode, "microbatches": 1 if mode == EP else 3, **SMALL_SIZES, **changes}
    if mode == EP:
        given_["ffn_devices"] = None
    return Deployment(**given_)


def _operators(deployments: Deployments, deployment: Deployment, query_tokens: int = 1) -> list[Operator]:
    """Return the operators of one micro-batch, asked for directly."""
    return list(
        decode_operators(
            deployments.layers(deployment.transport),
            sequences=-(-deployment.batch // deployment.microbatches),
            context=deployments.scenario.context,
            query_tokens=query_tokens,
            attention_devices=deployment.attention_devices,
            ffn_devices=deployment.ffn_devices,
            redundant_experts=deployment.redundant_experts,
        )
    )


FLOW = ("attention", "dispatch", "ffn", "combine")
"""Stages in the order in which a micro-batch goes through them."""


def _followed(layers: list[list[float]], *, microbatches: int) -> float:
    """Return when the last micro-batch leaves the last layer: each stage serves who comes first."""
    ready = [0.0] * microbatches
    free = [0.0] * len(FLOW)
    for times in layers:
        for stage, time in enumerate(times):
            for index in range(microbatches):
                free[stage] = ready[index] = max(ready[index], free[stage]) + time
    return ready[-1]


def _in_service(item: Operator) -> float:
    """Return the time of an operator in service: transfers of live routing take longer."""
    factor = CONSTANTS.communication_slowdown if item.side == "network" else 1.0
    return float(np.asarray(item.time)) * factor


class _Kinds:
    """Times of one expert layer and of one dense layer, of a model whose layers all attend alike."""

    def __init__(self, found: list[Operator], model_layers: int, expert_layers: int) -> None:
        times = {item.name: _in_service(item) for item in found}
        by_layers: dict[str, list[Operator]] = {"all": [], "moe": [], "dense": []}
        for item in found:
            if item.part == "head":
                continue
            kind = (
                "all" if item.layers == model_layers else "moe" if item.layers == expert_layers else "dense"
            )
            by_layers[kind].append(item)
        self.head = sum(times[item.name] for item in found if item.part == "head")

        def total(kind: str, side: str, name: str = "") -> float:
            return sum(
                _in_service(item)
                for item in by_layers[kind]
                if item.side == side and item.name.startswith(name)
            )

        self.layer = {
            kind: {
                "attention": total("all", "attention") + total(kind, "attention"),
                "ffn": total("all", "ffn") + total(kind, "ffn"),
                "dispatch": total(kind, "network", "dispatch"),
                "combine": total(kind, "network", "combine"),
            }
            for kind in ("moe", "dense")
        }


@pytest.mark.parametrize("name", MODELS)
def test_step_without_overlap_is_the_sum_of_its_operators(name: str) -> None:
    """EP in one batch, any model: each operator as often as the model has its layer."""
    deployments = Deployments(Scenario(system="h800", model=name, gap_ms=1.5), EP)
    deployment = _deployment(EP, batch=32)
    found = _operators(deployments, deployment)
    expected = 1.5e-3 + sum(_in_service(item) * item.layers for item in found)
    assert float(deployments.step(deployment).time) == pytest.approx(expected, rel=1e-9)


def test_step_in_lockstep_written_out() -> None:
    """DeepSeek-V3, two halves: 58 expert layers and 3 dense ones, the head twice, the gap once."""
    deployments = Deployments(Scenario(system="h800", model="deepseek-v3", gap_ms=2), EP)
    deployment = _deployment(EP, microbatches=2, batch=97)  # halves of 49 and 48: the fuller one counts
    kinds = _Kinds(_operators(deployments, deployment), 61, 58)
    moe, dense = kinds.layer["moe"], kinds.layer["dense"]
    assert dense["dispatch"] == dense["combine"] == 0
    one = (
        max(moe["attention"], moe["dispatch"])
        + max(moe["ffn"], moe["dispatch"])
        + max(moe["ffn"], moe["combine"])
        + max(moe["attention"], moe["combine"])
    )
    expected = 2e-3 + 2 * kinds.head + 58 * one + 3 * 2 * (dense["attention"] + dense["ffn"])
    step = deployments.step(deployment)
    assert float(step.time) == pytest.approx(expected, rel=1e-9)
    assert float(step.once) == pytest.approx(2e-3 + 2 * kinds.head, rel=1e-9)
    assert sum(block.layers for block in step.blocks) == 61


@pytest.mark.parametrize("duplex", ["full", "shared"])
def test_step_of_two_groups_written_out(duplex: str) -> None:
    """DeepSeek-V3 on 24 + 8 devices, three micro-batches; dense layers come first, and cross once a way."""
    deployments = Deployments(Scenario(system="h800", model="deepseek-v3", gap_ms=2, duplex=duplex), AFD)
    deployment = _deployment(AFD)
    kinds = _Kinds(_operators(deployments, deployment), 61, 58)
    busiest, loop = 0.0, 0.0
    for layers, kind in ((58, "moe"), (3, "dense")):
        times = kinds.layer[kind]
        both = times["dispatch"], times["combine"]
        assert min(both) > 0
        link = sum(both) if duplex == "shared" else max(both)
        busiest += layers * max(times["attention"], times["ffn"], link)
        loop += layers * sum(times.values())
    pipeline = max(3 * busiest + (loop - busiest) / 61, loop + 2 * busiest / 61)
    if duplex == "full":
        pipeline = _followed(
            [[kinds.layer["dense"][stage] for stage in FLOW]] * 3
            + [[kinds.layer["moe"][stage] for stage in FLOW]] * 58,
            microbatches=3,
        )
    expected = 2e-3 + 3 * kinds.head + pipeline
    assert float(deployments.step(deployment).time) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["nemotron-3-super-120b-a12b", "nemotron-3-nano-30b-a3b", "longcat-flash"])
def test_layers_that_only_mix_or_only_have_an_ffn(name: str) -> None:
    """Models whose attention layers are not their FFN layers: every layer is counted, and none twice."""
    model = load_model(name)
    assert model.attention_layers != model.moe_layers
    for mode in MODES:
        deployments = Deployments(Scenario(system="h800", model=model), mode)
        deployment = _deployment(mode)
        found = _operators(deployments, deployment)
        blocks = deployments.step(deployment).blocks
        for side in ("attention", "ffn"):
            expected = sum(
                float(np.asarray(item.time)) * item.layers
                for item in found
                if item.side == side and item.part != "head"
            )
            total = sum(float(block.layers * np.asarray(getattr(block, side))) for block in blocks)
            assert total == pytest.approx(expected, rel=1e-9), (mode, side)


def test_drafting_adds_a_layer_and_a_head() -> None:
    """Two tokens verified: all layers with two tokens a sequence, and one more layer and head with one."""
    scenario = Scenario(system="h800", model="deepseek-v3", accept_length=1.7, gap_ms=1)
    deployments, deployment = Deployments(scenario, EP), _deployment(EP)
    assert scenario.query_tokens == 2
    verified = _operators(deployments, deployment, query_tokens=2)
    drafted = _Kinds(_operators(deployments, deployment), 61, 58)
    expected = 1e-3 + sum(_in_service(item) * item.layers for item in verified)
    expected += drafted.head + sum(drafted.layer["moe"].values())
    assert float(deployments.step(deployment).time) == pytest.approx(expected, rel=1e-9)
    twice = Deployments(attrs.evolve(scenario, draft_tokens=2), EP)
    more = float(twice.step(deployment).time)
    three = sum(_in_service(item) * item.layers for item in _operators(twice, deployment, query_tokens=3))
    assert more == pytest.approx(1e-3 + three + 2 * (drafted.head + sum(drafted.layer["moe"].values())))


def test_drafting_takes_memory() -> None:
    """The drafting layer is one more expert layer: weights and cache grow, by about one layer in 61."""
    plain, drafting = (
        Deployments(Scenario(system="h800", model="deepseek-v3", accept_length=accepted), EP)
        for accepted in (1, 1.7)
    )
    assert drafting.cache_bytes == pytest.approx(plain.cache_bytes * 62 / 61)
    grown = float(drafting.memory(_deployment(EP))[0]) / float(plain.memory(_deployment(EP))[0])
    assert 1 < grown < 1 + 1 / 58


@pytest.mark.parametrize("mode", MODES)
def test_uneven_experts_slow_experts_and_transfers(mode: str) -> None:
    """Mean over largest load of 0.5: routed experts and their transfers take twice as long, nothing else.

    Routing is balanced, so that nothing but sigma tells how even the load is.
    """
    even, uneven = (
        Deployments(Scenario(system="h800", model="deepseek-v3", sigma_ep=sigma, routing="balanced"), mode)
        for sigma in (1, 0.5)
    )
    deployment = _deployment(mode, microbatches=1)
    found = _operators(even, deployment)
    slower = sum(
        float(np.asarray(item.time)) * item.layers
        for item in found
        if item.name in ROUTED | {"dispatch", "combine"}
    )
    assert slower > 0
    one, two = (float(each.step(deployment).time) for each in (even, uneven))
    assert two - one == pytest.approx(slower, rel=1e-6)


@pytest.mark.parametrize("sigma", [0.5, 0.8, 0.95])
def test_uneven_attention_costs_expert_parallelism_less_than_its_share(sigma: float) -> None:
    """From arXiv 2602.09721: time that FFN and network save is filled with a larger batch."""
    rates = {}
    for value in (1.0, sigma):
        scenario = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, sigma_dp=value)
        deployments = Deployments(scenario, EP)
        best = search(deployments).best
        assert best is not None
        rates[value] = float(deployments.tokens_per_s_per_device(best, deployments.step(best).time))
    assert sigma * rates[1.0] * (1 + 1e-6) < rates[sigma] < rates[1.0]


def test_uneven_attention_sends_the_mean() -> None:
    """Attention takes the fullest device's time, experts and transfers get what a mean device sends."""
    found = {}
    for sigma in (1.0, 0.5):
        scenario = Scenario(system="h800", model="deepseek-v3", sigma_dp=sigma, routing="balanced")
        deployments = Deployments(scenario, AFD)
        found[sigma] = {item.name: item for item in deployments.operators(_deployment(AFD))}
    assert found[0.5]["core_attention"].time == found[1.0]["core_attention"].time
    for name in ("experts_up", "dispatch"):
        assert found[0.5][name].time < found[1.0][name].time
    assert found[0.5]["experts_up"].flops == pytest.approx(found[1.0]["experts_up"].flops / 2)


@pytest.mark.parametrize("mode", MODES)
def test_balanced_routing_removes_the_slowdown(mode: str) -> None:
    """Transfers of forced balance take as long as kernels timed by themselves; attention does not change.

    Live ones carry the slowdown, and what the fullest device gets over the mean, but for their fixed times.
    """
    both = [
        Deployments(Scenario(system="h800", model="deepseek-v3", routing=routing), mode)
        for routing in ("natural", "balanced")
    ]
    deployment = _deployment(mode)
    natural, balanced = (each.step(deployment).blocks for each in both)
    assert CONSTANTS.communication_slowdown > 1
    assert both[1].load is None
    assert both[0].load is not None
    tokens = float(deployment.sequences) * float(np.asarray(deployment.attention_devices))
    fullest = float(both[0].load.factor(float(np.asarray(deployment.expert_devices)), 0.0, tokens))
    assert fullest > 1
    for slow, fast in zip(natural, balanced, strict=True):
        assert fast.attention == slow.attention
        if fast.dense:
            assert fast.ffn == slow.ffn
        for name in ("dispatch", "combine"):
            least = getattr(fast, name) * CONSTANTS.communication_slowdown
            most = least * (1.0 if fast.dense else fullest)
            assert least * (1 - 1e-12) <= getattr(slow, name) <= most * (1 + 1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_live_tokens_reach_fewer_experts(mode: str) -> None:
    """As many as so many fewer that choose apart; the fullest device has more pairs than the mean."""
    found = {}
    for routing in ("natural", "balanced"):
        deployments = Deployments(Scenario(system="h800", model="deepseek-v3", routing=routing), mode)
        found[routing] = {
            item.name: item for item in deployments.operators(_deployment(mode, microbatches=1))
        }
    live, even = found["natural"], found["balanced"]
    for name in ("experts_up", "experts_down"):
        given_ = live[name].arguments
        held, miss = given_["experts_per_device"], 1 - given_["top_k"] / given_["routed_experts"]
        tokens = given_["routed_tokens"]
        assert tokens == 96 * 24
        assert given_["experts_touched"] == pytest.approx(
            held * (1 - miss ** (tokens**CONSTANTS.routing_exponent))
        )
        assert even[name].arguments["experts_touched"] == pytest.approx(held * (1 - miss**tokens))
        assert live[name].flops > even[name].flops
        assert live[name].arguments["experts_touched"] < even[name].arguments["experts_touched"]
    for name in live.keys() - {*ROUTED, "dispatch", "combine"}:
        assert live[name].time == even[name].time, name


@pytest.mark.parametrize("mode", MODES)
def test_nominal_links_have_no_fixed_times(mode: str) -> None:
    """By the convention of published rooflines transfers are volume over bandwidth: twice for twice."""
    even: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "routing": "balanced"}
    nominal, calibrated = (
        Deployments(Scenario(**even, links=links), mode) for links in ("nominal", "calibrated")
    )
    for name in ("dispatch", "combine"):
        one, two = (
            [float(np.asarray(getattr(block, name))) for block in nominal.step(each).blocks]
            for each in (_deployment(mode, batch=96), _deployment(mode, batch=192))
        )
        assert two == pytest.approx([2 * time for time in one], rel=1e-12)
        one, two = (
            [float(np.asarray(getattr(block, name))) for block in calibrated.step(each).blocks]
            for each in (_deployment(mode, batch=96), _deployment(mode, batch=192))
        )
        assert max(one) > 0
        assert max(two) < 2 * max(one)
    # 24 devices in nodes of 8, k = 8: 16 of 24 copies leave, 64 elements in 65 bytes of fp8 with scales
    if mode == EP:
        moe = max(nominal.step(_deployment(EP)).blocks, key=lambda block: block.layers)
        expected = 96 * 8 * 16 / 24 * 7168 * (1 + 4 / 128) / 50e9
        assert float(np.asarray(moe.dispatch)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_memory_adds_up_to_the_parameters(name: str) -> None:
    """Two bytes each in bf16: one device holds all of them, and so do two groups of one."""
    model = load_model(name)
    scenario = Scenario(system="h800", model=model, expert_precision="bf16", attention_precision="bf16")
    whole = Deployments(scenario, EP).memory(_deployment(EP, attention_devices=1, batch=0))
    assert whole[0] == whole[1] == pytest.approx(2 * model.total_params, rel=1e-9)
    split = Deployments(scenario, AFD).memory(_deployment(AFD, attention_devices=1, ffn_devices=1, batch=0))
    assert sum(map(float, split)) == pytest.approx(2 * model.total_params, rel=1e-9)
    away = sum(model.params_by_part[part] for part in ("routed_experts", "shared_experts", "dense"))
    if model.dispatch_width == model.hidden_size:
        assert float(split[1]) == pytest.approx(2 * away, rel=1e-9)
    assert Deployments(scenario, EP).cache_bytes == pytest.approx(
        float(np.asarray(model.kv_bytes(4096.0, 2.0))) + model.state_bytes()
    )


def test_memory_lies_where_the_work_is_done() -> None:
    """Where a narrower vector reaches the FFN side, shared experts run and lie on the attention side."""
    model = load_model("nemotron-3-super-120b-a12b")
    assert model.dispatch_width < model.hidden_size
    deployments = Deployments(Scenario(system="h800", model=model, expert_precision="bf16"), AFD)
    deployment = _deployment(AFD, ffn_devices=1, batch=0)
    sides = {item.name: item.side for item in deployments.operators(_deployment(AFD))}
    assert sides["shared_up"] == "attention"
    _, experts = deployments.memory(deployment)
    assert float(experts) == pytest.approx(2 * model.params_by_part["routed_experts"], rel=1e-9)


def test_memory_holds_whole_experts() -> None:
    """257 experts on 8 devices: one of them holds 33; a redundant expert more on each changes nothing."""
    model = load_model("deepseek-v3")
    deployments = Deployments(Scenario(system="h800", model=model, routing="balanced"), AFD)
    expert = model.expert_params * model.moe_layers  # a byte each
    held = [
        float(deployments.memory(_deployment(AFD, redundant_experts=count, batch=0))[1])
        for count in (0, 1, 8, 9)
    ]
    assert np.diff(held) == pytest.approx([expert, 0, expert])
    assert float(deployments.fill(np.array(48))) == 6 * 48 - 256
    assert float(deployments.fill(np.array(300))) == 44
    forced = Deployments(Scenario(system="h800", model=model, redundant_experts=32), AFD)
    assert float(forced.fill(np.array(48))) == 32


@given(st.sampled_from(["deepseek-v3", "step-3", "qwen3-next-80b-a3b"]), st.integers(1, 200_000))
@settings(max_examples=20, deadline=None)
def test_largest_batch_is_the_last_that_fits(name: str, context: int) -> None:
    """Of both groups, memory fits at the largest batch and does not at one sequence more."""
    for mode in MODES:
        deployments = Deployments(Scenario(system="h800", model=name, context=context), mode)
        deployment = _deployment(mode, attention_devices=64, ffn_devices=64)
        most = float(deployments.largest_batch(deployment))
        room = deployments.usable_memory()
        assert room == (81559 * 2**20 * 0.9,) * 2
        if most >= 1:
            fitting = deployments.memory(_deployment(mode, attention_devices=64, ffn_devices=64, batch=most))
            assert max(map(float, fitting)) <= room[0]
        more = deployments.memory(_deployment(mode, attention_devices=64, ffn_devices=64, batch=most + 1))
        assert float(more[0]) > room[0]


def test_shared_experts_on_the_attention_side() -> None:
    """They take time and memory there, and dense layers cross the network no more."""
    away, home = (
        Deployments(Scenario(system="h800", model="deepseek-v3", shared_experts=side), AFD)
        for side in ("ffn", "attention")
    )
    sides = {item.name: item.side for item in home.operators(_deployment(AFD))}
    assert sides["shared_up"] == sides["dense_down"] == "attention"
    assert "dispatch_dense" not in sides
    dense = min(home.step(_deployment(AFD)).blocks, key=lambda block: block.layers)
    assert dense.layers == 3
    assert float(np.asarray(dense.dispatch + dense.combine + dense.ffn)) == 0
    parts = load_model("deepseek-v3").params_by_part
    moved = parts["shared_experts"] + parts["dense"]  # a byte each
    before, after = (np.array(each.memory(_deployment(AFD))) for each in (away, home))
    assert after - before == pytest.approx([moved, -moved])


def test_each_group_has_its_own_system() -> None:
    """Attention on one accelerator, experts on another: each side's times and memory are its own."""
    alone = {name: Deployments(Scenario(system=name, model="deepseek-v3"), AFD) for name in ("h20", "h800")}
    scenario = Scenario(
        system="h800", model="deepseek-v3", attention_system="h20", ffn_system=load_system("h800")
    )
    mixed, deployment = Deployments(scenario, AFD), _deployment(AFD)
    for block, attends, feeds in zip(
        mixed.step(deployment).blocks,
        alone["h20"].step(deployment).blocks,
        alone["h800"].step(deployment).blocks,
        strict=True,
    ):
        assert block.attention == attends.attention
        assert block.ffn == feeds.ffn
    assert mixed.usable_memory() == (97871 * 2**20 * 0.9, 81559 * 2**20 * 0.9)
    assert Deployments(scenario, EP).usable_memory() == (81559 * 2**20 * 0.9,) * 2


@given(
    st.sampled_from(["h800", "gb200-nvl72", "mi300x", "tpu-v6e"]),
    st.sampled_from(["deepseek-v3", "nemotron-3-super-120b-a12b", "deepseek-v4-flash"]),
    st.sampled_from(MODES),
    st.lists(
        st.tuples(
            st.integers(1, 120), st.integers(1, 100), st.integers(1, 600), st.integers(1, 4),
            st.integers(0, 40),
        ),
        min_size=2,
        max_size=5,
    ),
    st.sampled_from(TRANSPORTS),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_arrays_are_their_elements(
    system: str, model: str, mode: str, sizes: list[tuple[int, ...]], transport: str
) -> None:
    """Many deployments at once are each by itself, memory and rate included."""
    if mode == EP:
        sizes = [(a, f, b, 1 + m % 2, r) for a, f, b, m, r in sizes]
    scenario = Scenario(system=system, model=model, accept_length=1.5, sigma_dp=0.9, sigma_ep=0.8)
    deployments = Deployments(scenario, mode)

    def made(values: Any) -> Deployment:  # noqa: ANN401 - numbers or arrays
        senders, receivers, batch, m, redundant = values
        return Deployment(
            mode=mode,
            attention_devices=senders,
            ffn_devices=receivers if mode == AFD else None,
            batch=batch,
            microbatches=m,
            transport=transport,
            redundant_experts=redundant,
        )

    together = made(np.array(sizes).T)
    times = np.asarray(deployments.step(together).time)
    rates = np.asarray(deployments.tokens_per_s_per_device(together, times))
    memory = np.asarray(deployments.memory(together))
    for index, size in enumerate(sizes):
        one = made(size)
        time = deployments.step(one).time
        assert np.ndim(time) == 0
        assert float(time) == pytest.approx(times[index], rel=1e-12)
        assert float(deployments.tokens_per_s_per_device(one, time)) == pytest.approx(rates[index], rel=1e-12)
        held = [float(value) for value in deployments.memory(one)]
        assert held == pytest.approx(memory[:, index], rel=1e-12)
