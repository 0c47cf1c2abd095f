"""Uneven experts: inclusion, placement and chance, by hand and by brute force."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics.normal import expected_maximum
from roofline_afd.physics.popularity import zipf_popularity
from roofline_afd.physics.uneven import (
    chance_imbalance,
    fullest_pairs_share,
    levelled_imbalance,
    longest_caches_share,
    plain_imbalance,
    successive_inclusion,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray

POPULARITY = st.lists(st.floats(1e-3, 1.0), min_size=4, max_size=24)


def drawn_in_turn(popularity: FloatArray, top_k: int) -> NDArray[np.float64]:
    """Return inclusion probabilities of drawing without replacement, summed over every order of draws."""
    shares = np.asarray(popularity) / np.sum(popularity)
    found = np.zeros(shares.size)
    for order in itertools.permutations(range(shares.size), top_k):
        chance, left = 1.0, 1.0
        for expert in order:
            chance *= shares[expert] / left
            left -= shares[expert]
        found[list(order)] += chance
    return found


@pytest.mark.parametrize("exponent", [0.0, 0.5, 0.8, 1.2])
def test_inclusion_is_near_that_of_draws_in_turn(exponent: float) -> None:
    popularity = np.arange(1, 9) ** -exponent
    told = successive_inclusion(popularity=popularity, top_k=3)
    # the time of the k-th arrival is taken at its mean: off by 0.021 at most, the more the steeper
    assert told == pytest.approx(drawn_in_turn(popularity, 3), abs=0.022)


@given(POPULARITY, st.integers(1, 30))
def test_a_token_has_its_experts(popularity: list[float], top_k: int) -> None:
    found = successive_inclusion(popularity=popularity, top_k=top_k)
    assert np.sum(found) == pytest.approx(min(top_k, len(popularity)))
    assert np.all((found > 0) & (found <= 1))
    order = np.argsort(popularity)
    assert np.all(np.diff(found[order]) >= -1e-12)


@pytest.mark.parametrize(("devices", "wanted"), [(4, 1.26), (8, 1.56), (16, 2.15), (32, 3.3), (64, 5.6)])
def test_plain_experts_of_qwen3_at_exponent_0_8(devices: int, wanted: float) -> None:
    loads = successive_inclusion(popularity=zipf_popularity(experts=128, exponent=0.8), top_k=8)
    # values to two digits, read off random placements of their own: 2 % covers both
    found = plain_imbalance(loads=loads, devices=devices, redundant_experts=0)
    assert found == pytest.approx(wanted, rel=0.02)


@given(POPULARITY, st.integers(1, 12), st.integers(0, 6))
def test_no_device_is_below_the_mean(loads: list[float], devices: int, redundant: int) -> None:
    for found in (
        plain_imbalance(loads=loads, devices=devices, redundant_experts=redundant),
        levelled_imbalance(
            loads=loads, devices=min(devices, len(loads) + redundant), redundant_experts=redundant
        ),
    ):
        assert 1.0 <= found <= devices * (1 + 1e-9)


def test_a_replica_on_each_device_nearly_levels() -> None:
    loads = successive_inclusion(popularity=zipf_popularity(experts=128, exponent=0.8), top_k=8)
    plain = plain_imbalance(loads=loads, devices=32, redundant_experts=0)
    without = levelled_imbalance(loads=loads, devices=32, redundant_experts=0)
    with_replicas = levelled_imbalance(loads=loads, devices=32, redundant_experts=32)
    assert without > 1.5
    assert plain > without > with_replicas
    assert with_replicas < 1.1


@pytest.mark.parametrize(("devices", "tokens", "top_k"), [(8, 4096, 8), (16, 2048, 4), (64, 8192, 8)])
def test_chance_is_that_of_tokens_thrown_at_even_experts(devices: int, tokens: int, top_k: int) -> None:
    generator = np.random.default_rng(11)
    experts = 4 * devices
    fullest = []
    for _ in range(40):
        chosen = generator.random((tokens, experts)).argpartition(top_k, axis=1)[:, :top_k]
        counts = np.bincount((chosen // 4).ravel(), minlength=devices)
        fullest.append(counts.max() / counts.mean())
    kappa = float(expected_maximum(workers=devices))
    told = chance_imbalance(devices=devices, tokens=tokens, top_k=top_k, kappa=kappa)
    # pairs of a token exclude each other, which counts taken as independent do not know: 15 % of the excess
    assert float(told) - 1 == pytest.approx(np.mean(fullest) - 1, rel=0.15)


def test_the_longest_caches_are_those_of_simulated_groups() -> None:
    generator = np.random.default_rng(5)
    # gamma lengths with standard deviation 0.7 of the mean: shape 1 / 0.49
    lengths = generator.gamma(1 / 0.49, size=(400, 64, 100)).sum(axis=2)
    simulated = np.mean(lengths.max(axis=1) / lengths.mean(axis=1))
    told = float(longest_caches_share(groups=64, sequences=100, variation=0.7))
    assert told == pytest.approx(1.164, abs=5e-4)
    assert told == pytest.approx(simulated, rel=0.01)  # sums of 100 are nearly normal, a little skewed


def test_the_fullest_pairs_are_of_slots_or_of_loads() -> None:
    shares = {"experts_per_device": 2, "slots": 15, "devices": 8}
    assert fullest_pairs_share(**shares, imbalance=1.0) == pytest.approx(2 / 15)
    assert fullest_pairs_share(**shares, imbalance=2.0) == pytest.approx(2 / 8)
    assert fullest_pairs_share(**shares, imbalance=99.0) == 1.0
