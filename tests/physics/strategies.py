"""What tests of random lengths and of straight lines are asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from roofline_afd.physics.linear import Coefficients

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAPER = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)

times = st.floats(0, 1e-3)
coefficients = st.builds(
    Coefficients, st.floats(0, 1e-7), times, st.floats(1e-9, 1e-5), times, st.floats(0, 1e-5), times
)
loads = st.floats(1, 1e5)
batches = st.integers(1, 1000)


def heavy(generator: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return log-normal prompts and outputs that hang together."""
    normal = generator.multivariate_normal([5.0, 4.0], [[1.0, 0.6], [0.6, 1.0]], count)
    prompt, output = np.ceil(np.exp(normal)).astype(np.int64).T
    return prompt, output
