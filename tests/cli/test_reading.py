"""Numbers as people write them."""

from __future__ import annotations

import pytest
import typer

from roofline_afd.cli.reading import number, whole_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8192", 8192),
        ("8k", 8000),
        ("8K", 8000),
        ("8Ki", 8192),
        ("1e6", 10**6),
        ("1.5M", 1_500_000),
        ("2G", 2 * 10**9),
    ],
)
def test_whole_numbers_with_suffixes(text: str, value: int) -> None:
    """Thousands by k, powers of 1024 by Ki."""
    assert whole_number(text) == value
    assert number(text) == value


@pytest.mark.parametrize("text", ["1_0", "1__0", "k", "8kk", "8x", "", "½", "1.5", "1e-3", "0x10", "1e999"])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a whole number"):
        whole_number(text)


@pytest.mark.parametrize("text", ["1_0", "k", "8kk", "", "1,5"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a number"):
        number(text)
