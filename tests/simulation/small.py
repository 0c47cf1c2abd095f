"""Small simulations that tests share."""

from __future__ import annotations

from typing import Any

import numpy as np

from roofline_afd.physics.linear import Coefficients
from roofline_afd.simulation.lengths import GeometricLaw, IndependentLengths, TracedLengths, law
from roofline_afd.simulation.settings import Settings

PAPER = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
"""arXiv 2601.21351: DeepSeek-V3 on Ascend 910C, one layer."""
PAPER_TEXT = ".00165,50,.083,100,.022,20"


def requests(prompt: float, decode_mean: float) -> IndependentLengths:
    """Return fixed prompts and geometric outputs."""
    return IndependentLengths(law(distribution="fixed", mean=prompt), GeometricLaw(decode_mean))


def alike(prompt: float, decode: int) -> IndependentLengths:
    """Return requests that are all alike."""
    return IndependentLengths(*(law(distribution="fixed", mean=mean) for mean in (prompt, decode)))


def trial(**changes: Any) -> Settings:  # noqa: ANN401 - fields of a simulation
    """Return a small simulation with the paper's times."""
    fields: dict[str, Any] = {
        "lengths": requests(100, 50),
        "coefficients": PAPER,
        "batch": 16,
        "ratios": (1, 2, 4),
        "microbatches": 2,
        "requests": 2000,
        "replications": 2,
        "duplex": "shared",
    }
    return Settings(**(fields | changes))


def correlated() -> TracedLengths:
    """Return requests whose prompts are longer where their outputs are."""
    rng = np.random.default_rng(11)
    decode = np.maximum(1, np.rint(rng.lognormal(3.0, 0.8, 400))).astype(np.int64)
    return TracedLengths(rng.integers(5, 100, 400) + decode, decode)
