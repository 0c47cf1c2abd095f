"""Formulas of serving modes and of cost: cases worked by hand, limits, arrays of open axes."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics import economics, serving_modes

POSITIVE = st.floats(1e-3, 1e6)

HAND: list[tuple[Any, dict[str, Any], float]] = [
    # 100 sequences, 1.5 tokens a step: 150 tokens; a prompt of 300 for 600 of them: 75 of a chunk of 250
    (
        serving_modes.mixed_share,
        {"batch": 100, "accept_length": 1.5, "prompt_tokens": 300, "output_tokens": 600, "chunk_tokens": 250},
        0.3,
    ),
    (
        serving_modes.mean_step_time,
        {"mixed": 50e-3, "one": 30e-3, "pure": 20e-3, "share": 0.3, "groups": 1},
        29e-3,
    ),
    (
        serving_modes.mean_step_time,
        {"mixed": 50e-3, "one": 30e-3, "pure": 20e-3, "share": 0, "groups": 1},
        20e-3,
    ),
    (
        serving_modes.mean_step_time,
        {"mixed": 50e-3, "one": 30e-3, "pure": 20e-3, "share": 1, "groups": 1},
        50e-3,
    ),
    # two groups, each with a chunk in half of its steps: none 1/4, one 1/2, both 1/4
    (
        serving_modes.mean_step_time,
        {"mixed": 50e-3, "one": 30e-3, "pure": 20e-3, "share": 0.5, "groups": 2},
        (20e-3 + 2 * 30e-3 + 50e-3) / 4,
    ),
    (serving_modes.prompt_step_time, {"mixed": 50e-3, "one": 30e-3, "share": 0.5, "groups": 2}, 40e-3),
    (serving_modes.prompt_step_time, {"mixed": 50e-3, "one": 30e-3, "share": 0.5, "groups": 1}, 50e-3),
    # a chunk of 8 prompts in 100 ms; an eighth of a prompt in 5 ms
    (serving_modes.prefill_rate, {"chunk_tokens": 4096, "prompt_tokens": 512, "step": 0.1}, 80.0),
    (serving_modes.prefill_rate, {"chunk_tokens": 512, "prompt_tokens": 4096, "step": 5e-3}, 25.0),
    (
        serving_modes.matched_rate,
        {"prefill_replicas": 3, "prefill_rate": 7, "decode_replicas": 1, "decode_rate": 25},
        21.0,
    ),
    (
        serving_modes.matched_rate,
        {"prefill_replicas": 4, "prefill_rate": 7, "decode_replicas": 1, "decode_rate": 25},
        25.0,
    ),
    # half loaded, 40 ms each: 20 ms where alike, as long again where exponential
    (serving_modes.waiting_time, {"rate": 12.5, "service": 0.04, "variation": 0}, 0.02),
    (serving_modes.waiting_time, {"rate": 12.5, "service": 0.04, "variation": 1}, 0.04),
    (serving_modes.waiting_time, {"rate": 0, "service": 0.04, "variation": 1}, 0.0),
    (serving_modes.waiting_time, {"rate": 25, "service": 0.04, "variation": 0}, math.inf),
    (serving_modes.waiting_time, {"rate": 26, "service": 0.04, "variation": 0}, math.inf),
    # 2 bytes * (10 tokens * (2 * 4 + 6) + 5 pairs * (2 * 3 + 3 * 2))
    (
        serving_modes.working_bytes,
        {
            "tokens": 10,
            "hidden_size": 4,
            "attention_width": 6,
            "pairs": 5,
            "dispatch_width": 3,
            "intermediate": 2,
            "expert_matrices": 3,
            "activation_bytes": 2,
        },
        400.0,
    ),
    # 8 devices of 4.5 USD an hour that give 20,000 tokens/s: half a dollar a million
    (economics.usd_per_million_tokens, {"usd_per_hour": 36, "tokens_per_s": 20_000}, 0.5),
    (economics.tokens_per_joule, {"tokens_per_s": 20_000, "power": 8000}, 2.5),
]


@pytest.mark.parametrize(("formula", "values", "expected"), HAND)
def test_by_hand(formula: Any, values: dict[str, Any], expected: float) -> None:  # noqa: ANN401 - any formula
    """A number in, a number out; arrays of open axes in, their product out."""
    assert float(formula(**values)) == pytest.approx(expected, rel=1e-12)
    assert np.ndim(formula(**values)) == 0
    assert all(
        each.kind is inspect.Parameter.KEYWORD_ONLY for each in inspect.signature(formula).parameters.values()
    )
    count = len(values)
    axes = {
        key: np.full([2 if axis == index else 1 for axis in range(count)], value)
        for index, (key, value) in enumerate(values.items())
    }
    found = np.asarray(formula(**axes))
    assert found.shape == (2,) * count
    assert np.all(found == formula(**values))


@given(POSITIVE, POSITIVE, st.floats(0, 3), st.floats(1, 100))
def test_waits_grow_with_the_load(rate: float, service: float, variation: float, factor: float) -> None:
    """And never come out negative or undefined."""
    low, high = (
        float(serving_modes.waiting_time(rate=each, service=service, variation=variation))
        for each in (rate, rate * factor)
    )
    assert 0 <= low <= high
    assert math.isinf(low) == (rate * service >= 1)


@given(POSITIVE, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(1, 64))
def test_a_mean_step_lies_between(mixed: float, low: float, high: float, share: float, groups: int) -> None:
    """Between a step without prompts and one with those of all groups; exact by chances of each number."""
    pure, one = (mixed * each for each in sorted((low, high)))
    times = {"mixed": mixed, "one": one, "pure": pure, "share": share, "groups": groups}
    found = float(serving_modes.mean_step_time(**times))
    assert pure * (1 - 1e-9) <= found <= mixed * (1 + 1e-9)
    chances = [math.comb(groups, k) * share**k * (1 - share) ** (groups - k) for k in range(groups + 1)]
    grown = [one + (mixed - one) * (k - 1) / max(groups - 1, 1) for k in range(1, groups + 1)]
    grown[-1] = mixed
    exact = chances[0] * pure + sum(chance * time for chance, time in zip(chances[1:], grown, strict=True))
    assert found == pytest.approx(exact, rel=1e-6, abs=1e-9 * mixed)


@given(POSITIVE, POSITIVE)
def test_cost_scales(price: float, tokens: float) -> None:
    """Twice the tokens at the price is half the cost; energy likewise."""
    cost = float(economics.usd_per_million_tokens(usd_per_hour=price, tokens_per_s=tokens))
    half = float(economics.usd_per_million_tokens(usd_per_hour=price, tokens_per_s=2 * tokens))
    assert cost == pytest.approx(2 * half)
    once, twice = (
        float(economics.tokens_per_joule(tokens_per_s=each, power=price)) for each in (tokens, 2 * tokens)
    )
    assert twice == pytest.approx(2 * once)
