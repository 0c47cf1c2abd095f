"""Writing of records: what is written is read back as it was."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.writing import address, bare_key, block, literal, rounded, title

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=20)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)


@given(VALUES)
def test_a_value_comes_back(value: object) -> None:
    assert tomllib.loads(f"key = {literal(value)}")["key"] == value


@given(TEXTS.filter(bool), VALUES)
def test_a_table_comes_back_under_any_name(name: str, value: object) -> None:
    assert tomllib.loads(block(bare_key(name), {"key": value})) == {name: {"key": value}}


def test_sources_and_fitted_numbers() -> None:
    assert title(" a\tb\x07c " + "x" * 600) == "a b c " + "x" * 494
    assert address("see https://example.com/a or (https://b.org)") == {"url": "https://example.com/a"}
    assert address("no link") == {}
    assert rounded(0.123456) == 0.1235
