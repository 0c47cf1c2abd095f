"""Answers as tables and as JSON: columns of numbers are numbers, and what was written is read back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from roofline_afd.analysis.answer import Answer, Words, object_columns, read_answer
from roofline_afd.errors import InputError
from tests.conftest import command

ROWS = [
    {"mode": "ep", "n": 1, "share": 0.5, "few": None, "fine": True, "mixed": 1, "never": None, "some": None},
    {
        "mode": "afd",
        "n": 2,
        "share": None,
        "few": 3,
        "fine": False,
        "mixed": 0.5,
        "never": None,
        "some": True,
    },
]
QUESTION = ("--system", "h800", "--model", "deepseek-v3")


def _answer() -> Answer:
    return Answer(
        command="compare",
        inputs={"tpot_ms": 50.0},
        columns=object_columns(ROWS),
        summary={"winner": "ep"},
        notes=["a note"],
        picture={"names": ["EP", "AFD"]},
    )


def test_number_columns_are_numbers() -> None:
    table = _answer().frame()
    assert {name: str(kind) for name, kind in table.dtypes.items() if name != "mode"} == {
        "n": "int64",
        "share": "float64",
        "few": "Int64",
        "fine": "bool",
        "mixed": "float64",
        "never": "float64",
        "some": "boolean",
    }
    assert table["mode"].tolist() == ["ep", "afd"]
    assert table["few"].isna().tolist() == [True, False]
    assert table["few"].iloc[1] == 3
    assert np.isnan(table["share"].iloc[1])
    assert table.attrs == {"summary": {"winner": "ep"}, "inputs": {"tpot_ms": 50.0}, "notes": ["a note"]}


def test_numbers_too_large_for_whole_columns_stay_numbers() -> None:
    table = Answer(command="x", inputs={}, columns=object_columns([{"n": 2**70}, {"n": 1}])).frame()
    assert table["n"].tolist() == [float(2**70), 1.0]


def test_words_and_arrays_keep_their_kind() -> None:
    columns: dict[str, Any] = {
        "regime": Words(np.array([1, 0], dtype=np.int8), ("a", "b")),
        "hfu": np.array([0.1, 0.2]),
    }
    table = Answer(command="roofline", inputs={}, columns=columns).frame()
    assert isinstance(table["regime"].dtype, pd.CategoricalDtype)
    assert table["regime"].tolist() == ["b", "a"]
    assert table["hfu"].dtype == np.float64


@pytest.mark.parametrize("picture", [False, True])
def test_what_is_written_is_read_back(picture: bool) -> None:  # noqa: FBT001 - pytest calls it so
    written = _answer().json(picture=picture)
    found = read_answer(written, name="x")
    assert found.json(picture=picture) == written
    assert found.rows() == ROWS
    assert found.picture == ({"names": ["EP", "AFD"]} if picture else {})


@pytest.mark.parametrize(
    "words",
    [
        ("compare", *QUESTION, "--max-devices", "64"),
        ("roofline", *QUESTION),
        ("predict", *QUESTION, "--devices", "128", "--batch", "128"),
        ("hardware", "list"),
        ("imbalance", "--sigma", "0.9", "--attention-nodes", "3", "--ffn-nodes", "1"),
    ],
)
def test_json_of_commands_is_read_back(words: tuple[str, ...]) -> None:
    out = command(*words, "--format", "json").out
    assert read_answer(out, name="x").json() == out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "x is no JSON"),
        ("[" * 100_000, "x is nested too deeply"),
        ('{"schema": 1, "command": "a", "results": NaN}', "x holds NaN, which is no number"),
        ("[]", "x is no answer of this program"),
        ('{"command": "compare"}', "x is no answer of this program"),
        ('{"schema": 2, "command": "compare"}', "x has schema 2; this version reads 1"),
        ('{"schema": 1, "command": "compare", "inputs": 3}', "x: inputs of the answer"),
        ('{"schema": 1, "command": "compare", "results": [3]}', "x: results of the answer"),
    ],
)
def test_what_is_no_answer_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_answer(text, name="x")
    assert str(caught.value).startswith(message)


def test_a_picture_is_left_out_of_what_commands_print() -> None:
    out = command("roofline", *QUESTION, "--format", "json").out
    assert "picture" not in json.loads(out)
