"""Units at the boundary."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.errors import InputError
from roofline_afd.units import UNITS, format_si, parse_number, to_si


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("50", "GB/s", 50),
        ("400 Gb/s", "GB/s", 50),
        ("400Gbps", "GB/s", 50),
        ("3.2 Tbit/s", "GB/s", 400),
        ("1 GiB/s", "GB/s", 1.073741824),
        ("80 GiB", "GB", 85.89934592),
        ("4.5 PFLOPS", "TFLOP/s", 4500),
        ("1.979e3", "TFLOP/s", 1979),
        ("15 ms", "us", 15000),
        ("10_000", "1", 10000),
        ("80 %", "1", 0.8),
    ],
)
def test_parse(text: str, unit: str, value: float) -> None:
    assert parse_number(text, unit=unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "unit", "says"),
    [
        ("400 gb/s", "GB/s", "bits and bytes in doubt"),
        ("400 GBPS", "GB/s", "bits and bytes in doubt"),
        ("400 GB", "GB/s", "is not a unit of this value"),
        ("400 parsec", "GB/s", "is not a unit of this value"),
        ("nan", "GB/s", "is not a number in GB/s"),
        ("inf", "1", "is not a number"),
        ("1e999", "GB", "is not a finite number"),
        ("", "GB", "is not a number"),
        ("twelve", "GB", "is not a number"),
        ("1__0", "GB", "is not a number"),
        ("1_", "GB", "is not a number"),
        ("1.2.3", "GB", "is not a number"),
        ("1" * 2000 + "x" * 2000, "GB", "is not a number"),
        ("1\u0663", "GB", "is not a unit"),
    ],
)
def test_refuse(text: str, unit: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_number(text, unit=unit)


@given(st.sampled_from(sorted(UNITS)), st.floats(1e-6, 1e6))
def test_every_unit_round_trips(unit: str, value: float) -> None:
    assert parse_number(f"{value!r} {unit if unit != '1' else ''}", unit=unit) == pytest.approx(value)
    assert math.isfinite(to_si(value, unit))


def test_bits_are_an_eighth_of_bytes() -> None:
    assert to_si(1, "GB/s") == 8 * to_si(1, "Gb/s")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.979e15, "FLOP/s", "1.979 PFLOP/s"),
        (160e9, "B/s", "160 GB/s"),
        (999.99999e-6, "s", "1 ms"),
        (382.5e-6, "s", "382.5 us"),
        (12.0, "s", "12 s"),
        (0.0, "s", "0 s"),
        (0.331, "1", "0.331"),
        (7168.0, "elements", "7168 elements"),
    ],
)
def test_format(value: float, unit: str, text: str) -> None:
    assert format_si(value, unit) == text
