"""Popularity of experts: its limits, and random loads against counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics.popularity import inclusion_probability, sampled_expert_loads, zipf_popularity


@given(st.integers(1, 300), st.floats(0, 5))
def test_zipf(experts: int, exponent: float) -> None:
    shares = zipf_popularity(experts=experts, exponent=exponent)
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 0).all()
    assert shares[0] / shares[-1] == pytest.approx(experts**exponent)
    assert zipf_popularity(experts=experts, exponent=0) == pytest.approx(1 / experts)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40), st.data())
def test_inclusion_is_proportional_up_to_one(popularity: list[float], data: st.DataObject) -> None:
    """Their sum is k, none is above 1, and those below 1 keep the ratio of their popularity."""
    top_k = data.draw(st.integers(1, len(popularity)))
    found = inclusion_probability(popularity=popularity, top_k=top_k)
    assert found.sum() == pytest.approx(top_k)
    assert found.max() <= 1
    below = found < 1
    scale = found[below] / np.array(popularity)[below]
    assert scale == pytest.approx(np.full(scale.size, scale.max(initial=0)))
    assert (np.array(popularity)[~below] * scale.max(initial=0) >= 1 - 1e-9).all() or not below.any()


def test_inclusion_at_its_limits() -> None:
    """Experts nobody asks for stay idle; choices along other axes are those of each row."""
    assert inclusion_probability(popularity=[3, 0, 1], top_k=2).tolist() == [1, 0, 1]
    assert inclusion_probability(popularity=[3, 0, 0], top_k=2).tolist() == [1, 0, 0]
    assert inclusion_probability(popularity=[1, 1e-320, 1e-320], top_k=2).tolist() == [1, 0.5, 0.5]
    both = inclusion_probability(popularity=[[8, 1, 1], [1, 1, 1]], top_k=2)
    assert both == pytest.approx(np.array([[1, 0.5, 0.5], [2 / 3] * 3]))


@pytest.mark.parametrize(
    ("experts", "top_k", "exponent"), [(256, 8, 1.0), (8, 2, 0.5), (16, 1, 1.0), (12, 12, 1)]
)
def test_batches_have_the_probabilities_asked_for(experts: int, top_k: int, exponent: float) -> None:
    """Mean and variance of each expert's load are those of independent tokens; experts of a token differ."""
    tokens, batches = 1000, 400
    inclusion = inclusion_probability(
        popularity=zipf_popularity(experts=experts, exponent=exponent), top_k=top_k
    )
    loads = sampled_expert_loads(inclusion=inclusion, tokens=tokens, batches=batches, seed=7)
    assert (loads.sum(axis=1) == tokens * top_k).all()
    assert loads.max() <= tokens
    deviation = np.sqrt(tokens * inclusion * (1 - inclusion))
    assert np.abs(loads.mean(axis=0) - tokens * inclusion).max() <= 5 * deviation.max() / np.sqrt(batches)
    varied = deviation > 0.5
    spread = loads.std(axis=0)[varied] / deviation[varied]
    assert spread == pytest.approx(np.ones(spread.size), abs=0.2)
    one = sampled_expert_loads(inclusion=inclusion, tokens=1, batches=50, seed=1)
    assert one.max() == 1


def test_batches_of_any_size_come_in_blocks() -> None:
    """Blocks of random numbers are a matter of memory; every token is counted once."""
    inclusion = np.full(64, 4 / 64)
    for tokens in (1, 31, 32, 33, 300_001):
        loads = sampled_expert_loads(inclusion=inclusion, tokens=tokens, batches=1, seed=3)
        assert loads.sum() == 4 * tokens
