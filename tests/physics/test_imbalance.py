"""What imbalance costs: limits and orders."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
