"""How sure a predicted ratio is: against tables, in limits, and what must grow with what."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics.confidence import (
    binomial_interval,
    pooled_spread,
    probability_ahead,
    ratio_interval,
    ratio_spread,
    shown_bias,
    student_probability,
    student_quantile,
)

DEGREES = st.integers(1, 40)
RATIOS = st.floats(0.05, 20.0)
SPREADS = st.floats(0.01, 1.0)
BIASES = st.floats(-0.3, 0.3)


@pytest.mark.parametrize(
    ("degrees", "quantiles"),
    [
        (1, (1.376, 3.078, 6.314, 12.706)),
        (2, (1.061, 1.886, 2.920, 4.303)),
        (3, (0.978, 1.638, 2.353, 3.182)),
        (5, (0.920, 1.476, 2.015, 2.571)),
        (10, (0.879, 1.372, 1.812, 2.228)),
        (30, (0.854, 1.310, 1.697, 2.042)),
        (math.inf, (0.842, 1.282, 1.645, 1.960)),
    ],
)
def test_quantiles_are_those_of_tables(degrees: float, quantiles: tuple[float, ...]) -> None:
    """Abramowitz, Stegun, table 26.10, three digits after the point; of one side 0.8, 0.9, 0.95, 0.975."""
    chances = np.array([0.8, 0.9, 0.95, 0.975])
    assert student_quantile(probability=chances, degrees=degrees) == pytest.approx(quantiles, abs=6e-4)
    found = student_probability(t=np.array(quantiles), degrees=degrees)
    assert found == pytest.approx(chances, abs=3e-4)


@given(st.floats(-30, 30))
def test_closed_forms_of_few_degrees(t: float) -> None:
    """One degree: Cauchy, 1/2 + atan(t)/pi; two: 1/2 + t/(2*sqrt(2 + t^2)); none known: the normal one."""
    assert student_probability(t=t, degrees=1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-14)
    two = 0.5 + t / (2 * math.sqrt(2 + t * t))
    assert student_probability(t=t, degrees=2) == pytest.approx(two, abs=1e-14)
    normal = statistics.NormalDist().cdf(t)
    assert student_probability(t=t, degrees=math.inf) == pytest.approx(normal, rel=1e-9, abs=1e-15)


@given(st.floats(-6, 6), DEGREES)
def test_probability_is_the_integral_of_the_density(t: float, degrees: int) -> None:
    """Gauss-Legendre over Gamma((n+1)/2)/(sqrt(n*pi)*Gamma(n/2))*(1 + x^2/n)^(-(n+1)/2)."""
    nodes, weights = np.polynomial.legendre.leggauss(120)
    x = t * (nodes + 1) / 2
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)
    density = scale * (1 + x**2 / degrees) ** (-(degrees + 1) / 2)
    assert student_probability(t=t, degrees=degrees) == pytest.approx(
        0.5 + float(density @ weights) * t / 2, abs=1e-10
    )


@given(st.floats(0.001, 0.999), DEGREES)
def test_quantile_and_probability_undo_each_other(chance: float, degrees: int) -> None:
    bound = student_quantile(probability=chance, degrees=degrees)
    assert student_probability(t=bound, degrees=degrees) == pytest.approx(chance, abs=1e-12)


@given(RATIOS, RATIOS, BIASES, SPREADS, DEGREES)
def test_probability_grows_with_the_ratio(
    one: float, other: float, bias: float, spread: float, degrees: int
) -> None:
    low, high = sorted((one, other))
    model = {"bias": bias, "spread": spread, "degrees": degrees}
    chances = probability_ahead(ratio=np.array([low, high]), **model)
    assert 0 <= chances[0] <= chances[1] + 1e-12 <= 1 + 2e-12  # both may round to 1
    assert probability_ahead(ratio=math.exp(bias), **model) == pytest.approx(0.5)
    mirrored = probability_ahead(ratio=1 / low, **model | {"bias": -bias})
    assert mirrored == pytest.approx(1 - chances[0], abs=1e-12)  # EP over AFD


@given(RATIOS, BIASES, SPREADS, DEGREES, st.floats(0.1, 0.98))
def test_interval_holds_the_middle_and_its_share(
    ratio: float, bias: float, spread: float, degrees: int, coverage: float
) -> None:
    """Ends as far from r/exp(b) by factor; P at r where an end is 1 is the tail that is left out."""
    model = {"bias": bias, "spread": spread, "degrees": degrees}
    low, high = ratio_interval(ratio=ratio, coverage=coverage, **model)
    middle = ratio * math.exp(-bias)
    assert low < middle < high
    assert low * high == pytest.approx(middle**2)
    # a ratio whose interval ends at 1: AFD is ahead with the tail left out
    assert probability_ahead(ratio=ratio / high, **model) == pytest.approx((1 - coverage) / 2, abs=1e-9)
    wider = ratio_interval(ratio=ratio, coverage=coverage, **model | {"spread": spread * 1.1})
    assert wider[0] < low
    assert wider[1] > high


def test_interval_by_hand() -> None:
    """Ln r = ln 0.9, s = 0.13, two degrees: 0.9*exp(-+0.13*1.8856) = 0.704 and 1.150; P = 0.252.

    P: t = -0.10536/0.13 = -0.8105, 1/2 - 0.8105/(2*sqrt(2.6569)) = 0.2514.
    """
    ends = ratio_interval(ratio=0.9, bias=0.0, spread=0.13, degrees=2, coverage=0.8)
    assert ends == pytest.approx((0.9 * math.exp(-0.13 * 1.88562), 0.9 * math.exp(0.13 * 1.88562)), rel=1e-5)
    assert probability_ahead(ratio=0.9, bias=0.0, spread=0.13, degrees=2) == pytest.approx(0.2514, abs=1e-4)


@given(SPREADS, st.floats(0, 1), st.floats(0, 1))
def test_estimated_shares_widen(base: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    spreads = ratio_spread(base=base, estimated_share=np.array([0.0, low, high]), estimated_error=0.3)
    assert spreads[0] == base
    assert spreads[0] <= spreads[1] <= spreads[2] <= base + 0.3 * high + 1e-12
    assert ratio_spread(base=0.4, estimated_share=1.0, estimated_error=0.3) == pytest.approx(0.5)  # 3-4-5


def test_sources_weigh_alike() -> None:
    """Two sources: one with ten pairs off by 0.3, one with a pair off by 0.1: sqrt((0.09 + 0.01)/2)."""
    errors = np.array([0.3] * 10 + [-0.1])
    groups = np.array([0] * 10 + [1])
    assert pooled_spread(errors=errors, groups=groups) == pytest.approx(math.sqrt(0.05))
    assert pooled_spread(errors=errors[9:], groups=groups[9:]) == pytest.approx(math.sqrt(0.05))


def test_a_bias_must_be_shown() -> None:
    """T of (0.1, 0.2, 0.3) is 0.2/(0.1/sqrt(3)) = 3.46, below 4.303; of (0.15, 0.2, 0.25) twice that."""
    assert shown_bias(means=np.array([0.1, 0.2, 0.3])) == 0
    assert shown_bias(means=np.array([0.15, 0.2, 0.25])) == pytest.approx(0.2)
    assert shown_bias(means=np.array([0.2, 0.2])) == 0  # two sources show nothing


@given(st.integers(1, 60), st.data())
def test_binomial_interval(trials: int, data: st.DataObject) -> None:
    """Clopper, Pearson: at an end, what was seen or more is as rare as the tail; the share lies inside."""
    hits = data.draw(st.integers(0, trials))
    low, high = binomial_interval(hits=hits, trials=trials)
    assert 0 <= low <= hits / trials <= high <= 1

    def at_most(count: int, p: float) -> float:
        return sum(math.comb(trials, j) * p**j * (1 - p) ** (trials - j) for j in range(count + 1))

    if hits:
        assert 1 - at_most(hits - 1, low) == pytest.approx(0.025, abs=1e-9)
    else:
        assert low == 0
    if hits < trials:
        assert at_most(hits, high) == pytest.approx(0.025, abs=1e-9)
    else:
        assert high == 1
        assert low == pytest.approx(0.025 ** (1 / trials))  # all hits: p^n = 0.025
