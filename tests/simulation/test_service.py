"""Requests followed through a service: against queues that are solved, by hand, and what is always kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.physics import serving_modes
from roofline_afd.simulation.service import FILLS, Pool, Requests, serve

if TYPE_CHECKING:
    from roofline_afd.simulation.arrays import Floats

PLACES = 1_000_000


def _table(slots: int, pure: float, full: float, each: float = 0.0) -> list[list[float]]:
    """Return times of steps: `each` more for a sequence, on a line from none of a chunk to all of it."""
    return [
        [0.0 if not n and not k else pure + each * n + (full - pure) * k / FILLS for k in range(FILLS + 1)]
        for n in range(slots + 1)
    ]


def _pool(**given: Any) -> Pool:  # noqa: ANN401 - fields of a pool
    plain = {"replicas": 1, "groups": 1, "slots": 100, "chunk": 0.0, "every": 1}
    return Pool(**{**plain, **given})


def _queue(service: float) -> Pool:
    """Return one server that prefills a prompt of 100 tokens in a step."""
    table = [[0.0, *[service] * FILLS]]
    return _pool(slots=PLACES, chunk=100.0, even=table, uneven=table)


def _lindley(arrival: Floats, service: Floats) -> Floats:
    """Return the waits of one server that takes requests in turn: W' = max(0, W + S - A)."""
    change = np.concatenate([[0.0], np.cumsum(service[:-1] - np.diff(arrival))])
    return change - np.minimum.accumulate(change)


@pytest.mark.parametrize("chunks", [(1.0,), (1.0, 9.0)])
def test_one_server_is_the_queue_that_is_solved(chunks: tuple[float, ...]) -> None:
    """M/D/1 and M/G/1: each wait is that of Lindley's recursion, whose mean is Pollaczek and Khinchine's.

    The first on 20,000 requests to rounding, the second on five million of the same law within 2 %.
    """
    random = np.random.default_rng(3)
    shares = [1.0] if len(chunks) == 1 else [0.75, 0.25]
    mean, square = (
        sum(share * each**power for share, each in zip(shares, chunks, strict=True)) for power in (1, 2)
    )
    rate = 0.7 / mean

    def drawn(many: int) -> tuple[Floats, Floats]:
        return np.cumsum(random.exponential(1.0 / rate, many)), random.choice(chunks, many, p=shares)

    arrival, service = drawn(20_000)
    served = serve(Requests(arrival, 100.0 * service, np.ones(arrival.size)), _queue(1.0))
    waits = served.first - arrival - service
    assert waits == pytest.approx(_lindley(arrival, service), abs=1e-6)
    exact = rate * square / (2.0 * (1.0 - rate * mean))
    assert float(np.mean(_lindley(*drawn(5_000_000)))) == pytest.approx(exact, rel=0.02)
    variation = math.sqrt(square / mean**2 - 1.0)
    formula = serving_modes.waiting_time(rate=rate, service=mean, variation=variation)
    assert float(formula) == pytest.approx(exact, rel=1e-9)


def test_a_simulated_queue_waits_as_long_as_the_formula_says() -> None:
    """M/D/1 at 60 % load, followed itself: W = rho S / (2 (1 - rho)) within 2 % over 120,000 requests."""
    many, rho = 120_000, 0.6
    arrival = np.cumsum(np.random.default_rng(3).exponential(1.0 / rho, many))
    served = serve(Requests(arrival, np.full(many, 100.0), np.ones(many)), _queue(1.0))
    exact = float(serving_modes.waiting_time(rate=rho, service=1.0, variation=0.0))
    assert float(np.mean(served.first - arrival - 1.0)) == pytest.approx(exact, rel=0.02)


def test_steps_that_groups_share_are_those_of_the_formula() -> None:
    """Eight groups whose prompts come at random: the mean step is `mean_step_time`, within 2 %.

    A step grows from 30 ms with one group's chunk to 60 ms with those of all, and takes 20 ms without.
    """
    groups, slots, pure, one, mixed = 8, 4000, 0.02, 0.03, 0.06
    grown = [pure, *(one + (mixed - one) * (k / FILLS - 1 / groups) / (1 - 1 / groups) for k in range(1, 9))]
    table = [grown] * (slots + 1)
    pool = _pool(groups=groups, slots=slots, chunk=500.0, even=table, uneven=table)
    rate, output, many = 40.0, 200, 20_000
    arrival = np.cumsum(np.random.default_rng(1).exponential(1.0 / rate, many))
    served = serve(Requests(arrival, np.full(many, 500.0), np.full(many, float(output))), pool)
    rows = slice(many // 4, 3 * many // 4)
    step = float(np.mean((served.finish - served.first)[rows])) / (output - 1)
    share = rate / groups * step  # one chunk for each prompt
    exact = float(serving_modes.mean_step_time(mixed=mixed, one=one, pure=pure, share=share, groups=groups))
    assert step == pytest.approx(exact, rel=0.02)


def test_by_hand() -> None:
    """Two requests of two chunks and three tokens: the second joins at the next step of the first."""
    table = _table(2, 0.1, 0.3)
    pool = _pool(slots=2, chunk=10.0, even=table, uneven=table)
    served = serve(Requests(np.array([0.0, 0.25]), np.full(2, 20.0), np.full(2, 3.0)), pool)
    # steps end at 0.3 and 0.6 (prompt of the first), 0.9 and 1.2 (of the second, the first decodes along)
    assert served.first.tolist() == pytest.approx([0.6, 1.2])
    assert served.finish.tolist() == pytest.approx([1.2, 1.4])


def test_pools_apart_by_hand() -> None:
    """Prefill 0.3 s, the cache 0.05 s on its way, two more tokens of 0.1 s."""
    before = _pool(slots=PLACES, chunk=10.0, even=[[0.0, *[0.3] * 8]], uneven=[[0.0, *[0.3] * 8]])
    after = _pool(slots=1, even=[[0.0], [0.1]], uneven=[[0.0], [0.1]])
    requests = Requests(np.array([0.0, 0.0]), np.full(2, 10.0), np.full(2, 3.0))
    served = serve(requests, after, prefill=before, moving=0.05)
    assert served.first.tolist() == pytest.approx([0.3, 0.6])
    assert served.finish.tolist() == pytest.approx([0.55, 0.85])  # the place is free when the second comes


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 40),
    st.floats(0.1, 40),
    st.integers(1, 5),
    st.booleans(),
    st.integers(0, 1000),
)
def test_what_is_always_kept(  # noqa: PLR0917 - what hypothesis draws
    replicas: int,
    groups: int,
    slots: int,
    rate: float,
    every: int,
    apart: bool,  # noqa: FBT001 - as above
    seed: int,
) -> None:
    """Every request is answered, in order, at least in the time of its steps; Little's law holds exactly."""
    random = np.random.default_rng(seed)
    many = 300
    arrival = np.cumsum(random.exponential(1.0 / rate, many))
    requests = Requests(
        arrival, random.integers(1, 900, many).astype(float), random.integers(1, 60, many).astype(float)
    )
    table = _table(slots * groups, 0.01, 0.05, each=1e-4)
    chunk = {"chunk": 256.0, "every": every, "even": table, "uneven": table}
    size = {"replicas": replicas, "groups": groups, "slots": slots * groups}
    if apart:
        first = [[0.0, *[0.05] * 8]]
        before = _pool(**{**size, "slots": PLACES, "chunk": 256.0, "even": first, "uneven": first})
        alone = [row[:1] for row in table]
        served = serve(requests, _pool(**size, even=alone, uneven=alone), prefill=before, moving=0.003)
    else:
        served = serve(requests, _pool(**size, **chunk))
    assert not np.any(np.isnan(served.finish))
    assert np.all(served.first > arrival)
    assert np.all(served.finish - served.first >= (requests.output - 1) * 0.01 * (1 - 1e-9))
    events = np.sort(np.concatenate([arrival, served.finish]))
    inside = [np.sum((arrival <= time) & (served.finish > time)) for time in events[:-1]]
    held = float(np.sum(np.array(inside) * np.diff(events)))
    assert held == pytest.approx(float(np.sum(served.finish - arrival)), rel=1e-6)
    whole = float(np.max(served.finish))
    assert np.all(served.busy <= whole * (1 + 1e-9))


def test_no_more_sequences_than_places() -> None:
    """With two places four requests at once are answered in two rounds."""
    pool = _pool(slots=2, even=[[0.1]] * 3, uneven=[[0.1]] * 3)
    served = serve(Requests(np.zeros(4), np.ones(4), np.full(4, 11.0)), pool)
    assert served.finish.tolist() == pytest.approx([1.0, 1.0, 2.0, 2.0])
    assert math.isclose(float(np.max(served.busy)), 2.0)
