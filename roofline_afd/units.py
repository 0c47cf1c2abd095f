"""Units at the boundary: human units in, SI inside. Decimal prefixes; bits and bytes kept apart."""

from __future__ import annotations

import math
import re

from roofline_afd.errors import InputError, shown

UNITS: dict[str, tuple[str, float]] = {
    "1": ("1", 1.0),
    "%": ("1", 1e-2),
    "B": ("B", 1.0),
    "kB": ("B", 1e3),
    "MB": ("B", 1e6),
    "GB": ("B", 1e9),
    "TB": ("B", 1e12),
    "KiB": ("B", 2.0**10),
    "MiB": ("B", 2.0**20),
    "GiB": ("B", 2.0**30),
    "TiB": ("B", 2.0**40),
    "B/s": ("B/s", 1.0),
    "MB/s": ("B/s", 1e6),
    "GB/s": ("B/s", 1e9),
    "TB/s": ("B/s", 1e12),
    "GiB/s": ("B/s", 2.0**30),
    "Mb/s": ("B/s", 1e6 / 8),
    "Gb/s": ("B/s", 1e9 / 8),
    "Tb/s": ("B/s", 1e12 / 8),
    "FLOP/s": ("FLOP/s", 1.0),
    "GFLOP/s": ("FLOP/s", 1e9),
    "TFLOP/s": ("FLOP/s", 1e12),
    "PFLOP/s": ("FLOP/s", 1e15),
    "TOP/s": ("FLOP/s", 1e12),
    "POP/s": ("FLOP/s", 1e15),
    "s": ("s", 1.0),
    "ms": ("s", 1e-3),
    "us": ("s", 1e-6),
    "ns": ("s", 1e-9),
    "ps": ("s", 1e-12),
    "W": ("W", 1.0),
    "kW": ("W", 1e3),
}
"""Unit name to (SI dimension, factor to SI)."""

SPELLINGS = {
    "Mbit/s": "Mb/s",
    "Gbit/s": "Gb/s",
    "Tbit/s": "Tb/s",
    "Gbps": "Gb/s",
    "Tbps": "Tb/s",
    "GBps": "GB/s",
    "TBps": "TB/s",
    "GFLOPS": "GFLOP/s",
    "TFLOPS": "TFLOP/s",
    "PFLOPS": "PFLOP/s",
    "TOPS": "TOP/s",
    "POPS": "POP/s",
    "µs": "us",
    "KB": "kB",
}
"""Other spellings of the same unit in use; letter case always matters, since it tells bits from bytes."""

SUFFIXES = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12, "ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30}
"""What may follow a plain number: thousands, millions, billions, trillions; Ki, Mi, Gi in powers of 1024."""

MOST_CHARACTERS = 400
"""Characters of a number with its unit: those of the largest one written out, and room to spare [1]."""
_NUMBER_AND_UNIT = re.compile(
    r"([+-]?(?:\d+(?:_\d+)*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\d_.])\s*(.*)", re.ASCII
)


def to_si(value: float, unit: str) -> float:
    """Convert a value in a named unit to SI.

    Parameters
    ----------
    value : float
        The number [`unit`].
    unit : str
        A key of `UNITS`.

    Returns
    -------
    float
        The number in SI [bytes, seconds, FLOP/s, W, ...].

    Examples
    --------
    >>> to_si(400, "Gb/s")
    50000000000.0
    """
    return value * UNITS[unit][1]


def parse_number(text: str, *, unit: str) -> float:
    """Read a number, with or without a unit, in the unit wanted.

    Parameters
    ----------
    text : str
        `"50"`, `"50 GB/s"`, `"400 Gb/s"`; a bare number is taken in `unit`, and a pure one may end as `"8k"`.
    unit : str
        The unit of the result, a key of `UNITS`.

    Returns
    -------
    float
        The number [`unit`].

    Raises
    ------
    InputError
        If the text is no finite number, its unit is unknown or of another dimension, or its letter case
        leaves bits and bytes in doubt.

    Examples
    --------
    >>> parse_number("400 Gb/s", unit="GB/s")
    50.0
    """
    match = _NUMBER_AND_UNIT.fullmatch(text.strip()) if len(text) <= MOST_CHARACTERS else None
    if match is None:
        raise InputError(f"{shown(text)} is not a number" + ("" if unit == "1" else f" in {unit}"))
    number = float(match[1])
    if not math.isfinite(number):
        raise InputError(f"{shown(text)} is not a finite number")
    if not match[2]:
        return number
    given = SPELLINGS.get(match[2], match[2])
    dimension, factor = UNITS[unit]
    if dimension == "1" and given.lower() in SUFFIXES:
        return number * SUFFIXES[given.lower()]
    if given in UNITS and UNITS[given][0] == dimension:
        return number * UNITS[given][1] / factor
    valid = [name for name, (its, _) in UNITS.items() if its == dimension]
    alike = [name for name in (*valid, *SPELLINGS) if name.lower() == match[2].lower()]
    if given not in UNITS and alike:
        raise InputError(
            f"{shown(match[2])} leaves bits and bytes in doubt (b is bit, B is byte): "
            f"write {' or '.join(alike)}"
        )
    raise InputError(f"{shown(match[2])} is not a unit of this value; valid: {', '.join(valid)}")


_PREFIXES = (
    (1e15, "P"),
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "u"),
)


def format_si(value: float, unit: str) -> str:
    """Write an SI value with the prefix people use for it.

    Parameters
    ----------
    value : float
        The number [`unit`].
    unit : str
        SI unit; empty or `"1"` for a pure number.

    Returns
    -------
    str
        For example `"1.979 PFLOP/s"` or `"382.5 us"`; pure numbers and element counts carry no prefix.

    Examples
    --------
    >>> format_si(3.825137e-4, "s")
    '382.5 us'
    """
    if unit == "elements" and abs(value) >= 1e4 and value == round(value):  # noqa: PLR2004
        return f"{value:,.0f} {unit}"
    if unit not in {"s", "B", "B/s", "FLOP", "FLOP/s", "W"} or value == 0 or not math.isfinite(value):
        return f"{value:.6g}" + ("" if unit in {"", "1"} else f" {unit}")
    top = 1.0 if unit == "s" else math.inf
    factor, prefix = next(
        (pair for pair in _PREFIXES if pair[0] <= top and abs(value) >= pair[0] * 0.9999995), _PREFIXES[-1]
    )
    return f"{value / factor:.4g} {prefix}{unit}"


def rounded_up(value: float) -> str:
    """Write a number in four digits or so that is not below it."""
    digits = max(3 - math.floor(math.log10(value)), 0) if value > 0 else 0
    return f"{math.ceil(value * 10**digits) / 10**digits:.{digits}f}"
