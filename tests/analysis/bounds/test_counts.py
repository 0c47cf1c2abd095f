"""Tokens of each expert, as files hold them: read in any form, or refused with the row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roofline_afd.analysis.bounds.counts import read_counts
from roofline_afd.analysis.bounds.imbalance import imbalance
from roofline_afd.analysis.bounds.questions import Imbalance
from roofline_afd.errors import InputError

NODES: dict[str, Any] = {"attention_nodes": 3, "ffn_nodes": 1}
QUICK: dict[str, Any] = {"tokens": 500, "batches": 20}


def _ask(**question: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever the analysis takes
    return imbalance(Imbalance(**{**NODES, **question})).rows()


GOOD_FILES = {
    "expert and count": "expert,count\n0,1\n1,2\n2,3\n",
    "in any order": "count,expert\n3,2\n1,0\n2,1\n",
    "numbered from one": "expert,count\n3,3\n1,1\n2,2\n",
    "named": "expert,count\nfirst,1\nsecond,2\nthird,3\n",
    "other columns": "layer,Expert, Count \n1,0,1\n1,1,2\n1,2,3\n",
    "one column with header": "count\n1\n2\n3\n",
    "one column": "1\n2\n3\n",
    "blank lines": "\n1\n\n 2.0\n3e0\n\n",
    "of a spreadsheet": "\ufeffexpert,count\r\n0,1\r\n1,2\r\n2,3\r\n",
}


@pytest.mark.parametrize("what", GOOD_FILES)
def test_counts_are_read(what: str, tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_bytes(GOOD_FILES[what].encode())
    assert read_counts(path) == [1, 2, 3]
    rows = _ask(expert_counts=path, devices=3, **QUICK)
    assert rows == _ask(expert_counts=str(path), devices=3, **QUICK)
    assert rows == _ask(expert_counts=[1, 2, 3], devices=3, **QUICK)


BAD_FILES = {
    "empty": ("", "is empty; it needs columns expert, count, or one column of counts"),
    "blank": ("\n , \n", "is empty"),
    "header alone": ("expert,count\n", "holds no counts"),
    "no column": ("expert,tokens\n0,1\n", "lacks the column count"),
    "no header": ("0,10\n1,20\n", "lacks the column count"),
    "text": ("expert,count\n0,1\n1,many\n", "row 3: count 'many' is not a finite number"),
    "another header": ("tokens\n1\n", "row 1: count 'tokens' is not a finite number"),
    "missing": ("expert,count\n0,1\n1,\n", "row 3: count '' is not a finite number"),
    "negative": ("1\n-2\n", "row 2: count -2 must be at least 0"),
    "not a number": ("1\nnan\n", "row 2: count nan is not a finite number"),
    "infinite": ("1\ninf\n", "row 2: count inf is not a finite number"),
    "all zero": ("0\n0\n", "all counts are 0"),
    "short row": ("expert,count\n0\n", "row 2: 1 cells, but 2 columns"),
    "long row": ("expert,count\n0,1,2\n", "row 2: 3 cells, but 2 columns"),
    "no expert": ("expert,count\n,1\n", "row 2: expert is empty"),
    "twice": ("expert,count\n0,1\n0,2\n", "row 3: expert '0' is there twice"),
    "twice by number": ("expert,count\n0,1\n00,2\n", "experts are numbered twice"),
    "a gap": ("expert,count\n0,1\n2,2\n", "experts skip 1; an idle one has a count of 0"),
    "open quote": ('"1\n2\n', "row 2: is no CSV"),
    "too many": ("1\n" * 5000, "has counts of more than 4,096 experts"),
    "too large": ("1\n" * 600_000, "is larger than 1,000,000 bytes"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_faulty_counts_are_named(what: str, tmp_path: Path) -> None:
    content, says = BAD_FILES[what]
    path = tmp_path / "counts.csv"
    path.write_text(content, "utf-8")
    with pytest.raises(InputError) as error:
        _ask(expert_counts=path)
    assert says in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        _ask(expert_counts=tmp_path / "none.csv")
    with pytest.raises(InputError, match="is no regular file"):
        _ask(expert_counts=tmp_path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        _ask(expert_counts=tmp_path / "binary.csv")
