"""What physics functions take and return: numbers, or arrays that broadcast."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatLike: TypeAlias = float | NDArray[np.floating[Any]]
IntLike: TypeAlias = int | NDArray[np.integer[Any]]
Count: TypeAlias = IntLike | FloatLike
"""A number of things: whole, though an array may hold it as floats."""
BoolLike: TypeAlias = bool | NDArray[np.bool_]
FloatArray: TypeAlias = Any
"""A float where every input was a number, else an array: NumPy decides at run time."""
