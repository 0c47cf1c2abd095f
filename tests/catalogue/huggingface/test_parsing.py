"""Parsing: whatever a file holds, it is read or refused in one clear line."""

from __future__ import annotations

import json

import pytest

from roofline_afd.catalogue.huggingface.importing import read_config
from tests.catalogue.huggingface.toys import refusal, toy

DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
LONG = json.dumps(toy("mixtral"))[:-1] + ', "rope_theta": ' + "9" * 5000 + "}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[1, 2]", "is a JSON list, not an object"),
        ("3", "is a JSON int"),
        ("null", "is a JSON NoneType"),
        (b"\xff\xfe{", "is not UTF-8"),
        ('{"a": 1, "a": 2}', "field 'a' is given twice"),
        ('{"model_type": "mixtral", "rope_theta": NaN}', "holds NaN"),
        (LONG, "an integer of 5000 digits"),
        (DEEP, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        (" " * 16_000_001, "16,000,001 bytes"),
        (json.dumps(toy("qwen3_moe", mlp_only_layers=list(range(10**5)))), "8 is not one of 0, 1, 2"),
        ('{"model_type": {"$ref": "x"}}', "a file without model_type"),
        ('{"model_type": "\\ud800\\u0000\\n"}', "no known family"),
        (
            json.dumps(toy("mixtral", **{f"x{n}_layers": n + 1 for n in range(5000)})),
            "and 4994 more fields that may",
        ),
        (json.dumps({f"k{n}" * 50: n for n in range(2000)}), "and 1988 more"),
        (json.dumps(toy("mixtral")).replace("16,", "1e999,", 1), "is not a whole number"),
        (json.dumps(toy("mixtral")).replace("16,", "Infinity,", 1), "inf is not a whole number"),
    ],
)
def test_hostile_files_are_one_clear_line(text: str | bytes, says: str) -> None:
    assert says in refusal(text)


def test_an_infinity_that_nobody_reads_passes() -> None:
    """A shipped configuration has one in time_step_limit."""
    config = json.dumps(toy("nemotron_h", time_step_limit=[0.0, 1])).replace("[0.0, 1]", "[0.0, Infinity]")
    assert read_config(config).record


def test_a_byte_order_mark_passes() -> None:
    text = json.dumps(toy("mixtral"))
    assert read_config(b"\xef\xbb\xbf" + text.encode()).record == read_config(text).record
