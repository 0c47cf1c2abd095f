"""Files of the user, line by line: bounded in bytes, lines and their length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from roofline_afd.analysis import files
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("text", ["1,1\n" * 11, "\n" * 11, "a\n\n\n" * 4])
def test_lines_are_bounded_blank_ones_too(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text, "utf-8")
    monkeypatch.setattr(files, "MOST_LINES", 10)
    with pytest.raises(InputError, match="has more than 10 lines: give a part of it"):
        list(files.file_lines(file, most=1_000))
    monkeypatch.setattr(files, "MOST_LINES", 12)
    assert len(list(files.file_lines(file, most=1_000))) == text.count("\n")
