"""Tables: nothing is lost on narrow terminals, nothing is cut in pipes, text stays text."""

from __future__ import annotations

import csv
import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest

from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.analysis.listing.list import list_hardware
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import Scenario
from roofline_afd.view.columns import column
from roofline_afd.view.tables import as_csv, as_markdown, as_table, choose_format, write_file, write_files

ANSWER = roofline(Roofline(Scenario(system="h800", model="deepseek-v3"), ffn_nodes=range(1, 6)))


@pytest.mark.parametrize("width", [20, 60, 80, 100, 130, 200, None])
@pytest.mark.parametrize("answer", [ANSWER, list_hardware(Catalogue())], ids=["roofline", "hardware list"])
def test_no_value_is_lost_at_any_width(answer: object, width: int | None) -> None:
    """Every id and every number of the wide table stands whole in the narrow one."""
    from roofline_afd.analysis.answer import Answer

    assert isinstance(answer, Answer)
    wide = as_table(answer)
    narrow = " ".join(as_table(answer, width=width).split())
    for line in wide.splitlines()[4:]:
        cells = [cell for cell in line.split() if cell[:1].isdigit()]
        assert all(cell in narrow for cell in cells), line


def test_csv_is_plain() -> None:
    rows = list(csv.reader(io.StringIO(as_csv(ANSWER))))
    assert rows[0][0] == "ffn_nodes"
    assert len(rows) == 6
    assert {row[rows[0].index("feasible")] for row in rows[1:]} <= {"True", "False"}


def test_markdown_escapes_what_would_break_the_table() -> None:
    import dataclasses

    answer = dataclasses.replace(
        ANSWER, summary={}, notes=[], columns={"id": np.array(["a|b<c>"])}, table_keys=("id",)
    )
    assert as_markdown(answer).splitlines()[2] == r"| a\|b&lt;c> |"


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("hfu", 0.33116, "33.1%"),
        ("ffn_nodes", 12000, "12,000"),
        ("memory_gb", 80, "80"),
        ("memory_gb_per_s", 3350.0, "3350"),
        ("total_params", 671025397760, "671,025,397,760"),
        ("feasible", False, "no"),
        ("dead_zone_from", None, "-"),
        ("faults", [], "-"),
        ("faults", ["a", "b"], "a, b"),
    ],
)
def test_values_as_people_read_them(key: str, value: object, text: str) -> None:
    assert column(key).show(value) == text


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "x.csv"
    with pytest.raises(InputError, match="does not exist"):
        write_file(target, b"x", force=False)
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "nowhere.csv")
    write_file(link, b"new", force=True)
    assert link.is_symlink()
    assert (tmp_path / "nowhere.csv").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.csv", "nowhere.csv"]
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is no regular file"):
        write_file(pipe, b"x", force=True)
    with pytest.raises(InputError, match="cannot be written: File name too long"):
        write_file(tmp_path / ("x" * 300 + ".csv"), b"x", force=True)


def test_several_files_are_written_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full after the first: neither files nor the folders made for them are left."""
    files = {"one.toml": "1", "two.toml": "2" * 100}
    folder = tmp_path / "new" / "deep"
    with monkeypatch.context() as patch:
        chmod, seen = Path.chmod, list[Path]()

        def full(path: Path, mode: int) -> None:
            seen.append(path)
            if len(seen) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            chmod(path, mode)

        patch.setattr(Path, "chmod", full)
        with pytest.raises(InputError, match="cannot be written: No space left on device"):
            write_files(folder, files, force=False, option="--output")
    assert not list(tmp_path.iterdir())
    write_files(folder, files, force=False, option="--output")
    assert {path.name: path.read_text() for path in folder.iterdir()} == files
    with pytest.raises(InputError, match="exists; --force replaces it"):
        write_files(folder, {"new.toml": "3", "one.toml": "4"}, force=False, option="--output")
    assert {path.name for path in folder.iterdir()} == set(files)


def test_terminal_gets_a_table_and_a_pipe_csv() -> None:
    assert choose_format(None, None, terminal=True) == "table"
    assert choose_format(None, None, terminal=False) == "csv"
    assert choose_format("json", Path("x.out"), terminal=True) == "json"
