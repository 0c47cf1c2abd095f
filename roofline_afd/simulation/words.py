"""Words of a simulation: distributions of lengths, starts of slots, windows that count."""

from __future__ import annotations

FIXED, GEOMETRIC, LOGNORMAL = "fixed", "geometric", "lognormal"
DISTRIBUTIONS = (GEOMETRIC, FIXED, LOGNORMAL)
STARTS = STATIONARY, COLD = "stationary", "cold"
WINDOWS = FIRST, STEADY = "first-80", "steady"
