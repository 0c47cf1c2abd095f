"""Traces: what is read of every kind of file, and the one line that faulty ones get."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

from roofline_afd.analysis.requests import traces
from roofline_afd.analysis.requests.traces import arrival_rate, read_trace
from roofline_afd.errors import InputError
from roofline_afd.physics.slots import stationary_load
from tests.conftest import SHARED, require

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
GOOD = AZURE + "2023-11-16,374,44\n2023-11-16,396,109\n2023-11-16,879,0\n"
LINES = (
    '{"input_length": 374, "output_length": 44, "hash_ids": [1, 2]}\n'
    '{"input_length": 396, "output_length": 109}\n'
)


def _file(folder: Path, data: str | bytes, name: str = "trace") -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return path


READ: dict[str, tuple[str | bytes, dict[str, str]]] = {
    "azure": (GOOD, {}),
    "windows": ("\ufeff" + GOOD.replace("\n", "\r\n"), {}),
    "gzip": (gzip.compress(GOOD.encode()), {}),
    "json lines": (LINES, {}),
    "json lines, packed": (gzip.compress(LINES.encode()), {}),
    "json lines, blank ones between": ("\n" + LINES.replace("\n", "\n\n"), {}),
    "columns of the jsonl in a csv": ("output_length,input_length\n44,374\n109,396", {}),
    "own columns": ("in,out\n374,44.0\n396,109\n", {"prompt_column": "in", "decode_column": "out"}),
    "one own column": ('ContextTokens,"GeneratedTokens",n\n374,1,44\n396,1,109\n', {"decode_column": "n"}),
    "own keys": ('{"a": 374.0, "b": 44}\n{"b": 109, "a": 396}', {"prompt_column": "a", "decode_column": "b"}),
    "paths into objects": (
        '{"x": {"in": 374}, "y": {"out": 44}}\n{"x": {"in": 396}, "y": {"out": 109}}',
        {"prompt_column": "x.in", "decode_column": "y.out"},
    ),
    "tabs": ("ContextTokens\tGeneratedTokens\n374\t44\n396\t109\n", {}),
    "semicolons": ("ContextTokens;GeneratedTokens\n374;44\n396;109\n", {}),
    "burstgpt": ("Timestamp,Model,Request tokens,Response tokens\n5,A,374,44\n9,A,396,109\n", {}),
    "json list": ("[" + ", ".join(LINES.splitlines()) + "]", {}),
    "json list, over lines": ("[\n" + ",\n".join(LINES.splitlines()) + "\n]\n", {}),
    "usage of openai": (
        (
            '{"usage": {"prompt_tokens": 374, "completion_tokens": 44}, "created": 5}\n'
            '{"usage": {"prompt_tokens": 396, "completion_tokens": 109}, "created": 7}\n'
        ),
        {},
    ),
    "vllm bench serve": ('{"model_id": "m", "input_lens": [374, 396], "output_lens": [44, 109]}', {}),
    "vllm bench serve, over lines": (
        '{\n "model_id": "m",\n "input_lens": [374, 396],\n "output_lens": [44, 109]\n}\n',
        {},
    ),
    "sglang, a run a line": (
        '{"input_lens": [374], "output_lens": [44]}\n{"input_lens": [396], "output_lens": [109]}\n',
        {},
    ),
    "guidellm": (
        (
            '{"benchmarks": [{"requests": {"successful": [{"prompt_tokens": 374, "output_tokens": 44}, '
            '{"prompt_tokens": 396, "output_tokens": 109}], "errored": []}}]}'
        ),
        {},
    ),
    "aiperf": (
        (
            '{"metrics": {"input_sequence_length": {"value": 374}, '
            '"output_sequence_length": {"value": 44}}}\n'
            '{"metrics": {"input_sequence_length": {"value": 396}, '
            '"output_sequence_length": {"value": 109}}}\n'
        ),
        {},
    ),
}


@pytest.mark.parametrize("kind", READ)
def test_files_of_every_kind(kind: str, tmp_path: Path) -> None:
    data, columns = READ[kind]
    trace = read_trace(_file(tmp_path, data), **columns)
    assert trace.prompt_tokens.tolist() == [374, 396]
    assert trace.decode_tokens.tolist() == [44, 109]
    assert trace.requests == 2
    assert trace.without_output == (1 if kind in {"azure", "windows", "gzip"} else 0)


BAD: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty; it needs columns ContextTokens and GeneratedTokens, or input_length and"),
    "blank": ("\n \n", "is empty"),
    "only a header": (AZURE, "has 0 requests, of which 0 decode anything"),
    "one row": (AZURE + "t,374,44\n", "has 1 request, of which 1 decode anything; a load needs at least 2"),
    "no outputs": (AZURE + "t,374,0\nt,3,0\n", "has 2 requests, of which 0 decode anything"),
    "missing columns": ("time,tokens\n1,2\n", "lacks columns ContextTokens and GeneratedTokens, or"),
    "negative": (AZURE + "t,374,44\nt,-5,44\n", "row 3: '-5' tokens must be from 0 to 100,000,000"),
    "huge": (AZURE + "t,374,44\nt,5,1e99\n", "row 3: '1e99' tokens must be from 0"),
    "text": (AZURE + "t,374,44\nt,many,44\n", "row 3: 'many' is not a whole number of tokens"),
    "half a token": (AZURE + "t,374,44\nt,3,0.5\n", "row 3: '0.5' is not a whole number"),
    "not a number": (AZURE + "t,374,44\nt,nan,44\n", "row 3: 'nan' is not a whole number"),
    "infinite": (AZURE + "t,374,44\nt,inf,44\n", "row 3: 'inf' is not a whole number"),
    "underscored": (AZURE + "t,374,44\nt,1_000,44\n", "row 3: '1_000' is not a whole number"),
    "a hole": (AZURE + "t,374,44\nt,,44\n", "row 3: '' is not a whole number"),
    "too many cells": (AZURE + "t,374,44\nt,1,44,5\n", "row 3: 4 cells, but 3 columns"),
    "too few cells": (AZURE + "t,374,44\nt,1\n", "row 3: 2 cells, but 3 columns"),
    "a bad quote": (AZURE + 't,374,44\n"t"x,1,2\n', "row 3: is no CSV"),
    "an open quote": (AZURE + 't,374,44\n"t,1,2\n', "row 3: is no CSV"),
    "not UTF-8": (AZURE.encode() + b"t,374,44\n\xff,1,2\n", "row 3: is not UTF-8 text"),
    "binary": (b"\x00\x80\xff" * 40, "row 1: is not UTF-8 text"),
    "cut gzip": (gzip.compress(GOOD.encode() * 50)[:-20], "the gzip is cut off or damaged"),
    "damaged gzip": (gzip.compress(GOOD.encode())[:30] + b"\x00" * 30, "the gzip is cut off or damaged"),
    "no object": (LINES + "[1, 2]\n", "row 3: is no JSON object"),
    "broken json": (LINES + '{"input_length": 3,\n', "row 3: is no JSON object"),
    "nested json": (LINES + '{"a": ' + "[" * 100_000 + "\n", "row 3: is no JSON object"),
    "an absent key": (LINES + '{"input_length": 3}\n', "row 3: lacks 'output_length'"),
    "text in json": (LINES + '{"input_length": "x", "output_length": 1}\n', "row 3: 'x' is not a whole"),
    "truth in json": (LINES + '{"input_length": true, "output_length": 1}\n', "row 3: True is not a whole"),
    "null in json": (LINES + '{"input_length": null, "output_length": 1}\n', "row 3: lacks 'input_length'"),
    "other keys": ('{"a": 1}\n', "lacks columns ContextTokens"),
    "an endless line": ("x" * 1_100_000, "row 1: is longer than 1,000,000 bytes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_faulty_files_get_one_line(kind: str, tmp_path: Path) -> None:
    data, says = BAD[kind]
    with pytest.raises(InputError) as caught:
        read_trace(_file(tmp_path, data))
    message = str(caught.value)
    assert says in message
    assert "trace" in message
    assert "\n" not in message


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    file = _file(tmp_path, GOOD)
    with pytest.raises(InputError, match=r"--prompt-column 'ContextToken' is no column of .*did you mean"):
        read_trace(file, prompt_column="ContextToken")
    other = _file(tmp_path, "in,out\n1,2\n3,4\n", "other")
    with pytest.raises(InputError, match="name yours with --prompt-column and --decode-column"):
        read_trace(other, prompt_column="in")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_trace(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match="is no regular file"):
        read_trace(tmp_path)


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _file(tmp_path, gzip.compress(GOOD.encode() + b"t,1,1\n" * 1000))
    monkeypatch.setattr(traces, "MAX_REQUESTS", 500)
    with pytest.raises(InputError, match="more than 500 requests"):
        read_trace(file)
    monkeypatch.setattr(traces, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="larger than 1,000 bytes"):
        read_trace(file)


def test_the_load_of_twenty_thousand_requests(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    prompts, outputs = generator.integers(1, 8000, 20_000), generator.geometric(1 / 300, 20_000)
    rows = "".join(f"2023-11-16 18:15:46.6805900,{p},{d}\n" for p, d in zip(prompts, outputs, strict=True))
    file = _file(tmp_path, AZURE + rows)
    trace = read_trace(file)
    load = stationary_load(prompt=trace.prompt_tokens, decode=trace.decode_tokens)
    assert load.theta == pytest.approx(float(((prompts + (outputs - 1) / 2) * outputs).sum() / outputs.sum()))


def test_arrival_rate_of_a_csv(tmp_path: Path) -> None:
    """Four requests within six seconds: three gaps of two seconds."""
    rows = "".join(f"2023-11-16 18:15:4{second}.5000000,10,5\n" for second in (0, 1, 3, 6))
    assert arrival_rate(_file(tmp_path, "TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows)) == 0.5


def test_arrival_rate_of_json_lines(tmp_path: Path) -> None:
    """Times in milliseconds."""
    text = "".join(
        f'{{"timestamp": {time}, "input_length": 1, "output_length": 1}}\n' for time in (0, 10, 500)
    )
    assert arrival_rate(_file(tmp_path, text, "trace.jsonl")) == 4.0


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("TIMESTAMP,ContextTokens\n2024-05-12 00:00:00.5+00:00,1\n2024-05-12 02:00:01.5+02:00,1\n", None),
        ("TIMESTAMP,ContextTokens\n2024-05-12T00:00:00Z,1\n2024-05-12T00:00:01Z,1\n", None),
        ("Timestamp,Request tokens\n13,1\n14,1\n", None),
        ('{"created": 1700000000}\n{"created": 1700000001}\n', None),
        (
            '{"metadata": {"request_start_ns": 1000000000}}\n{"metadata": {"request_start_ns": 2000000000}}',
            None,
        ),
        ('[{"timestamp": 0}, {"timestamp": 1000}]', None),
        ('{"input_lens": [1, 1], "output_lens": [1, 1], "start_times": [0.5, 1.5]}', None),
        ("at\n1700000000000\n1700000001000\n", "at"),
        ("at\n1700000000000000000\n1700000001000000000\n", "at"),
        ("at\n3.5\n4.5\n", "at"),
        ('{"a": {"b": "2024-05-12 00:00:00"}}\n{"a": {"b": "2024-05-12 00:00:01"}}\n', "a.b"),
    ],
)
def test_times_of_every_kind(tmp_path: Path, text: str, column: str | None) -> None:
    """Dates with and without an offset, and numbers in the units of each form: one second between two."""
    assert arrival_rate(_file(tmp_path, text), time_column=column) == pytest.approx(1.0)


def test_a_time_of_two_lines_is_none(tmp_path: Path) -> None:
    file = _file(tmp_path, 'TIMESTAMP,ContextTokens\n0,1\n"a\nb",1\n')
    with pytest.raises(InputError, match="row 4: its time cannot be read"):
        arrival_rate(file)


def test_texts_are_estimated_and_said_to_be(tmp_path: Path) -> None:
    """A conversation has a request for each answer, with all that was said before it as its prompt."""
    turns = [("human", "x" * 40), ("gpt", "y" * 20), ("human", "z" * 8), ("gpt", "w" * 3)]
    talk = {"conversations": [{"from": speaker, "value": text} for speaker, text in turns]}
    trace = read_trace(_file(tmp_path, json.dumps([talk])))
    assert trace.prompt_tokens.tolist() == [10, 17]
    assert trace.decode_tokens.tolist() == [5, 1]
    assert "are estimated: 4 characters each" in trace.note


@pytest.mark.parametrize(
    "name", ["trace_aiperf.jsonl", "trace_azure2024.csv", "trace_burstgpt.csv", "trace_json_array.json"]
)
def test_traces_from_the_field(name: str) -> None:
    """All of the same first requests, in the forms of their makers."""
    file = SHARED / "data" / "cases" / name
    require(present=file.is_file(), what="the cases from the field")
    trace = read_trace(file)
    assert [each for each in trace.prompt_tokens.tolist() if each != 570][:3] == [3491, 3148, 1064]
    assert arrival_rate(file) > 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,1\n", "too few requests"),
        ("ContextTokens,GeneratedTokens\n1,1\n2,2\n3,3\n", "has no column of times, as TIMESTAMP"),
        ("TIMESTAMP,A\nnoon,1\n2023-11-16 18:15:46,1\n", "row 2: its time cannot be read"),
        ("TIMESTAMP,A\n2023-11-16 18:15:46,1\n2023-11-16 18:15:46,1\n", "row 3: its time is not after"),
        ('{"a": 1}\n{"a": 1}\n{"a": 1}\n', "name one with --time-column"),
        ("", "too few requests"),
    ],
)
def test_arrival_rate_refuses(tmp_path: Path, text: str, fault: str) -> None:
    """One line that names the row."""
    with pytest.raises(InputError, match=re.escape(fault)):
        arrival_rate(_file(tmp_path, text))
