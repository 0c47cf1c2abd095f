"""Imbalance: limits and orders of what it costs, and the loads it comes from against counting."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from roofline_afd.physics import imbalance as physics

sigmas = st.floats(1e-6, 1)
counts = st.integers(1, 1000)
ratios = st.floats(1e-3, 1e3)


@given(sigmas, ratios)
def test_continuous_is_a_share(sigma: float, ratio: float) -> None:
    """Never above balance, never below what attention that does not adapt would leave."""
    alpha = physics.alpha_continuous(sigma=sigma, attention_over_ffn=ratio)
    assert sigma * (1 - 1e-12) <= alpha <= 1
    assert physics.alpha_continuous(sigma=1.0, attention_over_ffn=ratio) == 1


@given(sigmas, sigmas, ratios)
def test_continuous_rises_with_balance(one: float, other: float, ratio: float) -> None:
    low, high = (
        physics.alpha_continuous(sigma=sigma, attention_over_ffn=ratio) for sigma in sorted((one, other))
    )
    assert low <= high


@given(sigmas, counts, counts)
def test_whole_nodes_are_never_better(sigma: float, attention: int, ffn: int) -> None:
    """In (0, 1], at most the continuous form, and 1 for a balanced load."""
    nodes = {"attention_nodes": attention, "ffn_nodes": ffn}
    alpha = physics.alpha_afd(sigma=sigma, **nodes)
    smooth = physics.alpha_continuous(sigma=sigma, attention_over_ffn=attention / ffn)
    assert 0 < alpha <= min(1, smooth + 1e-12)
    assert physics.afd_rounding_penalty(sigma=sigma, **nodes) == pytest.approx(smooth - alpha, abs=1e-12)
    assert physics.alpha_afd(sigma=1.0, **nodes) == 1


@given(sigmas, st.integers(1, 200), counts)
def test_the_nodes_used_are_the_best_of_all(sigma: float, attention: int, ffn: int) -> None:
    """Against every whole node count there is."""
    nodes = {"attention_nodes": attention, "ffn_nodes": ffn}
    every = physics.alpha_afd_with(sigma=sigma, **nodes, nodes_run=np.arange(attention + 1.0))
    used = physics.attention_nodes_used(sigma=sigma, **nodes)
    assert physics.alpha_afd(sigma=sigma, **nodes) == pytest.approx(every.max(), rel=1e-11)
    assert every[int(used)] == pytest.approx(every.max(), rel=1e-11)
    assert 1 <= used <= attention


@given(st.integers(1, 1000), st.data())
def test_whole_products_are_free_of_noise(attention: int, data: st.DataObject) -> None:
    """0.9 * 10 is 9.000000000000002 or 8.99...: 9 nodes, and no penalty, either way."""
    needed = data.draw(st.integers(1, attention))
    for sigma in (
        np.nextafter(needed / attention, 0),
        needed / attention,
        np.nextafter(needed / attention, 2),
    ):
        question: dict[str, Any] = {"sigma": float(sigma), "attention_nodes": attention}
        assert physics.attention_nodes_floor(**question) == needed
        assert physics.attention_nodes_ceil(**question) == needed
        assert physics.afd_rounding_penalty(**question, ffn_nodes=3) <= 1e-12


def test_no_node_left() -> None:
    """Rounding down can leave none; then rounding up is what remains."""
    question: dict[str, Any] = {"sigma": 0.2, "attention_nodes": 3}
    assert physics.attention_nodes_floor(**question) == 0
    assert physics.alpha_afd_floor(**question, ffn_nodes=1) == 0
    assert physics.attention_nodes_used(**question, ffn_nodes=1) == 1
    assert physics.alpha_afd(**question, ffn_nodes=1) == pytest.approx(0.6 / 2 * 4 / 3)


@given(sigmas, st.integers(1, 20), st.integers(1, 20), st.integers(1, 10_000))
def test_penalty_vanishes_with_more_nodes(sigma: float, attention: int, ffn: int, factor: int) -> None:
    """It is below one node's worth of the nodes in use."""
    penalty = physics.afd_rounding_penalty(
        sigma=sigma, attention_nodes=attention * factor, ffn_nodes=ffn * factor
    )
    assert 0 <= penalty < 1 / (factor * (sigma * attention + ffn))


@given(sigmas, st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.1, 0.01, 0.003]))
def test_scale_without_rounding(sigma: float, attention: int, ffn: int, tolerance: float) -> None:
    """From the factor on no larger one exceeds the tolerance, and the factor before does."""
    scale = physics.scale_without_rounding(
        sigma=sigma, attention_nodes=attention, ffn_nodes=ffn, tolerance=tolerance
    )
    factors = np.arange(1, 2000)
    penalty = physics.afd_rounding_penalty(
        sigma=sigma, attention_nodes=attention * factors, ffn_nodes=ffn * factors
    )
    assert (penalty[int(scale) - 1 :] <= tolerance).all()
    assert scale == 1 or penalty[int(scale) - 2] > tolerance


def test_arrays_broadcast() -> None:
    """An axis of balances, one of node counts; each cell as the numbers alone."""
    balances, nodes = np.array([[1.0], [0.9], [0.35]]), np.array([3, 10, 400])
    found = physics.alpha_afd(sigma=balances, attention_nodes=nodes, ffn_nodes=2)
    scale = physics.scale_without_rounding(sigma=balances, attention_nodes=nodes, ffn_nodes=2, tolerance=0.01)
    for row, column in itertools.product(range(3), range(3)):
        one: dict[str, Any] = {
            "sigma": float(balances[row, 0]),
            "attention_nodes": int(nodes[column]),
            "ffn_nodes": 2,
        }
        assert found[row, column] == physics.alpha_afd(**one)
        assert scale[row, column] == physics.scale_without_rounding(**one, tolerance=0.01)


@given(arrays.arrays(float, st.integers(1, 20), elements=st.floats(0, 1e6)))
def test_load_balance(loads: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    sigma = physics.load_balance(loads=loads)
    assert 0 < sigma <= 1
    assert physics.load_balance(loads=np.full(7, 0.1)) == 1
    if loads.max() > 0:
        assert sigma * loads.max() == pytest.approx(loads.mean())
        assert sigma >= 1 / loads.size - 1e-12


@given(st.integers(1, 300), st.floats(0, 5))
def test_zipf(experts: int, exponent: float) -> None:
    shares = physics.zipf_popularity(experts=experts, exponent=exponent)
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 0).all()
    assert shares[0] / shares[-1] == pytest.approx(experts**exponent)
    assert physics.zipf_popularity(experts=experts, exponent=0) == pytest.approx(1 / experts)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40), st.data())
def test_inclusion_is_proportional_up_to_one(popularity: list[float], data: st.DataObject) -> None:
    """Their sum is k, none is above 1, and those below 1 keep the ratio of their popularity."""
    top_k = data.draw(st.integers(1, len(popularity)))
    found = physics.inclusion_probability(popularity=popularity, top_k=top_k)
    assert found.sum() == pytest.approx(top_k)
    assert found.max() <= 1
    below = found < 1
    scale = found[below] / np.array(popularity)[below]
    assert scale == pytest.approx(np.full(scale.size, scale.max(initial=0)))
    assert (np.array(popularity)[~below] * scale.max(initial=0) >= 1 - 1e-9).all() or not below.any()


def test_inclusion_at_its_limits() -> None:
    """Experts nobody asks for stay idle; choices along other axes are those of each row."""
    assert physics.inclusion_probability(popularity=[3, 0, 1], top_k=2).tolist() == [1, 0, 1]
    assert physics.inclusion_probability(popularity=[3, 0, 0], top_k=2).tolist() == [1, 0, 0]
    assert physics.inclusion_probability(popularity=[1, 1e-320, 1e-320], top_k=2).tolist() == [1, 0.5, 0.5]
    both = physics.inclusion_probability(popularity=[[8, 1, 1], [1, 1, 1]], top_k=2)
    assert both == pytest.approx(np.array([[1, 0.5, 0.5], [2 / 3] * 3]))


@given(st.integers(1, 60), st.data())
def test_contiguous_placement_is_even(experts: int, data: st.DataObject) -> None:
    """In order, device i holding floor((i+1)*E/n) - floor(i*E/n) experts."""
    devices = data.draw(st.integers(1, experts))
    placed = physics.contiguous_placement(experts=experts, devices=devices)
    held = [(i + 1) * experts // devices - i * experts // devices for i in range(devices)]
    assert np.bincount(placed.slot_device, minlength=devices).tolist() == held
    assert placed.slot_expert.tolist() == list(range(experts))
    assert (np.diff(placed.slot_device) >= 0).all()


loads_of_experts = st.lists(st.floats(0, 1e6), min_size=1, max_size=40)


@given(loads_of_experts, st.integers(0, 20), st.data())
def test_greedy_placement_holds_every_expert(loads: list[float], redundant: int, data: st.DataObject) -> None:
    """Each expert once, the redundant ones besides, no device above its slots, no load lost."""
    devices = data.draw(st.integers(1, len(loads)))
    placed = physics.greedy_placement(loads=loads, devices=devices, redundant_experts=redundant)
    replicas = np.bincount(placed.slot_expert, minlength=len(loads))
    assert replicas.min() >= 1
    assert replicas.sum() == len(loads) + redundant
    slots = -(-(len(loads) + redundant) // devices)
    assert np.bincount(placed.slot_device, minlength=devices).max() <= slots
    found = physics.device_loads(loads=loads, placement=placed)
    assert found.sum() == pytest.approx(sum(loads))
    assert found.size == devices


@given(loads_of_experts, st.integers(0, 30))
def test_the_most_loaded_are_replicated(loads: list[float], redundant: int) -> None:
    """No single further replica of another expert would have lowered the largest load of a replica."""
    devices = len(loads) + redundant
    placed = physics.greedy_placement(loads=loads, devices=devices, redundant_experts=redundant)
    replicas = np.bincount(placed.slot_expert)
    per_replica = np.array(loads) / replicas
    before = np.array(loads) / np.maximum(replicas - 1, 1)
    assert (before[replicas > 1] >= per_replica.max() - 1e-9).all()


@given(st.integers(1, 8), st.integers(1, 8), st.data())
def test_greedy_is_never_worse_than_ranks_in_order(devices: int, slots: int, data: st.DataObject) -> None:
    """Experts sorted by load and equally many on each device: in order is the worst of all placements."""
    size = devices * slots
    loads = sorted(data.draw(st.lists(st.floats(0, 1e3), min_size=size, max_size=size)), reverse=True)
    in_order = physics.contiguous_placement(experts=size, devices=devices)
    by_load = physics.greedy_placement(loads=loads, devices=devices, redundant_experts=0)
    worst, better = (
        physics.load_balance(loads=physics.device_loads(loads=loads, placement=placed))
        for placed in (in_order, by_load)
    )
    assert better >= worst - 1e-9


@pytest.mark.parametrize("exponent", [0.3, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("devices", [8, 32, 128])
def test_redundant_experts_level_a_skewed_load(exponent: float, devices: int) -> None:
    """Zipf over 256 experts, top 8: from order over load to replicas, balance gets better."""
    popularity = physics.zipf_popularity(experts=256, exponent=exponent)
    loads = physics.inclusion_probability(popularity=popularity, top_k=8)
    in_order = physics.contiguous_placement(experts=256, devices=devices)
    placed = [
        physics.greedy_placement(loads=loads, devices=devices, redundant_experts=redundant)
        for redundant in (0, 128)
    ]
    found = [
        physics.load_balance(loads=physics.device_loads(loads=loads, placement=placement))
        for placement in (in_order, *placed)
    ]
    assert found[0] < found[1]
    # The heaviest first is no optimum: where the load is even already, replicas may lose a little.
    assert found[1] <= found[2] + 0.02
    assert found[2] > 0.75


def test_replicas_share_equally() -> None:
    """Two replicas of expert 0 on two devices, expert 1 beside one of them."""
    placed = physics.Placement(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    assert physics.device_loads(loads=[4, 1], placement=placed).tolist() == [2, 3, 0]
    assert physics.device_loads(loads=[[4, 1], [0, 2]], placement=placed).tolist() == [[2, 3, 0], [0, 2, 0]]


@pytest.mark.parametrize(
    ("experts", "top_k", "exponent"), [(256, 8, 1.0), (8, 2, 0.5), (16, 1, 1.0), (12, 12, 1)]
)
def test_batches_have_the_probabilities_asked_for(experts: int, top_k: int, exponent: float) -> None:
    """Mean and variance of each expert's load are those of independent tokens; experts of a token differ."""
    tokens, batches = 1000, 400
    inclusion = physics.inclusion_probability(
        popularity=physics.zipf_popularity(experts=experts, exponent=exponent), top_k=top_k
    )
    loads = physics.sampled_expert_loads(inclusion=inclusion, tokens=tokens, batches=batches, seed=7)
    assert (loads.sum(axis=1) == tokens * top_k).all()
    assert loads.max() <= tokens
    deviation = np.sqrt(tokens * inclusion * (1 - inclusion))
    assert np.abs(loads.mean(axis=0) - tokens * inclusion).max() <= 5 * deviation.max() / np.sqrt(batches)
    varied = deviation > 0.5
    spread = loads.std(axis=0)[varied] / deviation[varied]
    assert spread == pytest.approx(np.ones(spread.size), abs=0.2)
    one = physics.sampled_expert_loads(inclusion=inclusion, tokens=1, batches=50, seed=1)
    assert one.max() == 1


def test_batches_of_any_size_come_in_blocks() -> None:
    """Blocks of random numbers are a matter of memory; every token is counted once."""
    inclusion = np.full(64, 4 / 64)
    for tokens in (1, 31, 32, 33, 300_001):
        loads = physics.sampled_expert_loads(inclusion=inclusion, tokens=tokens, batches=1, seed=3)
        assert loads.sum() == 4 * tokens


def test_sigma_of_batches() -> None:
    """Seeded; the spread shrinks as one over the root of the tokens, and the mean goes to the expectation."""
    inclusion = physics.inclusion_probability(
        popularity=physics.zipf_popularity(experts=64, exponent=0.8), top_k=4
    )
    placed = physics.greedy_placement(loads=inclusion, devices=8, redundant_experts=8)
    expected = physics.load_balance(loads=physics.device_loads(loads=inclusion, placement=placed))
    question: dict[str, Any] = {"inclusion": inclusion, "placement": placed, "batches": 200}
    few, many = (
        physics.spread(sample=physics.sampled_sigma(**question, tokens=tokens, seed=1))
        for tokens in (400, 40_000)
    )
    assert few.low < few.mean < few.high < 1
    assert few.mean < many.mean < expected
    assert expected - many.mean < 0.02
    assert (many.high - many.low) * 10 == pytest.approx(few.high - few.low, rel=0.4)
    again, other = (physics.sampled_sigma(**question, tokens=400, seed=seed).mean() for seed in (1, 2))
    assert again == few.mean
    assert other != few.mean
