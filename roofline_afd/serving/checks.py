"""Values of options, checked: finite numbers within bounds, whole ones, one of a few words."""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING

from roofline_afd.errors import InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST = 1e15
"""Numbers from here on mean nothing in this field, and are refused with infinity."""
MAX_COUNT = 1_000_000
"""No cluster, batch or pipeline has more of anything that is counted here."""


def option(name: str) -> str:
    """Return the option of the command line that sets a field."""
    return "--" + name.replace("_", "-")


def finite(
    name: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float = math.inf,
    most: float = math.inf,
) -> float:
    """Check that a value is a finite number within bounds.

    Parameters
    ----------
    name : str
        Option the value belongs to, as messages call it.
    value : object
        What was given.
    above, least, below, most : float, optional
        The value must be above, at least, below, at most these.

    Returns
    -------
    float
        The value.

    Raises
    ------
    InputError
        If it is no number, not finite, or out of bounds.
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        number = float(value) if real else math.nan  # type: ignore[arg-type]  # a real number, just checked
    except OverflowError:
        number = math.inf
    if math.isfinite(number) and abs(number) >= LARGEST:
        raise InputError(f"{name} {number:g} must be within {LARGEST:g}")
    if not math.isfinite(number):
        raise InputError(f"{name} {shown(value)} is not a finite number")
    if above is not None and number <= above:
        raise InputError(f"{name} {number:g} must be above {above:g}")
    if least is not None and number < least:
        raise InputError(f"{name} {number:g} must be at least {least:g}")
    if number > most:
        raise InputError(f"{name} {number:g} must be at most {most:g}")
    if number >= below:
        raise InputError(f"{name} {number:g} must be below {below:g}")
    return number


def whole(name: str, value: object, *, most: int = MAX_COUNT) -> int:
    """Check that a value is a whole number from 1 to `most`.

    Parameters
    ----------
    name : str
        Option the value belongs to, as messages call it.
    value : object
        What was given.
    most : int
        The largest valid value.

    Returns
    -------
    int
        The value.

    Raises
    ------
    InputError
        If it is not whole or out of bounds.
    """
    number = finite(name, value)
    if not number.is_integer() or not 1 <= number <= most:
        raise InputError(f"{name} {number:g} must be a whole number from 1 to {most:,}")
    return int(number)


def belongs(question: object, names: Sequence[str], other: str) -> None:
    """Refuse fields that say more of another one where that is missing; raises InputError."""
    given = next((name for name in names if getattr(question, name) is not None), None)
    if given is not None:
        raise InputError(f"{option(given)} belongs to {other}, which is missing")


def choice(name: str, value: object, valid: Sequence[str]) -> str:
    """Check that a value is one of a few words; raises InputError naming the nearest."""
    if value not in valid:
        raise InputError(f"{name} {shown(value)} is not valid{nearest(str(value)[:80], valid)}")
    return str(value)


def an_id(what: str, value: object) -> str:
    """Return an id; raises InputError where it is something else."""
    if not isinstance(value, str):
        raise InputError(f"{what} {shown(value)} is no id, and no {what} that was loaded")
    return value
