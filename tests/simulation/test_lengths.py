"""Lengths of requests: what is drawn has the means asked for."""

from __future__ import annotations

import numpy as np
import pytest

from roofline_afd.simulation.lengths import ListedLaw, law


def test_laws_have_the_means_asked_for() -> None:
    rng = np.random.default_rng(0)
    assert law(distribution="lognormal", mean=300, variation=1.5).mean == pytest.approx(300, rel=1e-3)
    assert law(distribution="lognormal", mean=300).draw(rng, 1000).dtype.kind == "i"
    assert law(distribution="fixed", mean=12.5).mean == 12.5
    assert law(distribution="geometric", mean=1).draw(rng, 5).tolist() == [1] * 5
    lengths, before = ListedLaw(np.array([1, 9])).draw_running(rng, 50_000)
    assert (lengths == 9).mean() == pytest.approx(0.9, abs=0.01)
    assert (before < lengths).all()
    assert before[lengths == 9].mean() == pytest.approx(4, abs=0.05)
