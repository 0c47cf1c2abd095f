"""Tables: they fit terminals and say what they leave out, nothing is cut in pipes, text stays text."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from roofline_afd.analysis.answer import Asked, Decisive, object_columns
from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.analysis.decode.compare import compare
from roofline_afd.analysis.listing.list import list_hardware
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import Scenario
from roofline_afd.view.cells import Choice, grid_of
from roofline_afd.view.columns import column
from roofline_afd.view.screen import notes_shown, screen_of
from roofline_afd.view.tables import (
    Form,
    as_csv,
    as_markdown,
    as_table,
    choose_format,
    deliver,
    write_file,
    write_files,
)
from tests.conftest import ONE_PLAN

ANSWER = roofline(Roofline(Scenario(system="h800", model="deepseek-v3"), ffn_nodes=range(1, 6)))


LISTED = list_hardware(Catalogue())
COMPARED = compare(Scenario(system="h800", model="deepseek-v3", max_devices=32, **ONE_PLAN))
ANSWERS = {"roofline": ANSWER, "hardware list": LISTED, "compare": COMPARED}


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200, None])
@pytest.mark.parametrize("name", ANSWERS)
def test_tables_fit_and_name_what_they_leave_out(name: str, width: int | None) -> None:
    """No line is wider than the terminal; every value of a column that is shown stands whole in it."""
    answer = ANSWERS[name]
    screen, grid = screen_of(answer, width=width), grid_of(answer)
    assert max(map(len, screen.text.splitlines())) <= (width or 10**6)
    assert set(screen.left_out) < set(grid.keys)
    assert width is not None or not screen.left_out
    words = set(screen.text.split())
    for row in grid.body:
        for key, cell in zip(grid.keys, row, strict=True):
            assert key in screen.left_out or cell == "-" or set(cell.split()) <= words, (key, cell)
        assert row[0] in words


def test_few_rows_are_turned_on_their_side() -> None:
    lines = screen_of(COMPARED, width=80).text.splitlines()
    heads = next(line.split() for line in lines if line.startswith("mode"))
    assert heads == ["mode", "ep", "afd"]
    assert not screen_of(COMPARED, width=60).left_out
    assert max(map(len, lines[lines.index("") :])) <= 60


def test_deployments_and_ids_are_not_broken() -> None:
    deployment = "P 1 x (8A+16F), D 1 x (16A+24F)"
    rows = {"id": "a" * 30, "deployment": deployment, **dict.fromkeys(["why", "note"], "a b c d e f " * 9)}
    columns = {key: np.array([value] * 4, dtype=object) for key, value in rows.items()}
    answer = dataclasses.replace(ANSWER, summary={}, columns=columns, table_keys=tuple(rows))
    screen = screen_of(answer, width=80)
    assert max(map(len, screen.text.splitlines())) <= 80
    assert screen.text.count(f"{'a' * 30}  {deployment}") == 4
    assert screen.left_out == ("why", "note")


def test_chosen_columns_all_stand_in_parts_where_they_must() -> None:
    names = tuple(LISTED.table_keys)
    screen = screen_of(LISTED, width=80, choice=Choice(names))
    assert not screen.left_out
    lines = screen.text.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("gb200-nvl72-infiniband-800 ") for line in lines) > 1


def test_a_column_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match="--columns 'hfv' is no column; did you mean 'hfu'"):
        as_csv(ANSWER, Choice(("hfv",)))


def test_csv_holds_the_columns_of_the_table_and_those_within() -> None:
    header = as_csv(COMPARED).splitlines()[0].split(",")
    assert tuple(header) == COMPARED.table_keys
    within = as_csv(COMPARED, Choice(("mode", "breakdown"))).splitlines()
    assert within[0].startswith("mode,breakdown.")
    assert "breakdown.attention_us" in within[0]
    whole = as_csv(COMPARED, Choice(whole=True))
    assert "{" not in whole
    assert set(header) < set(whole.splitlines()[0].split(","))


def test_notes_that_decide_come_alone_and_once() -> None:
    notes = ["a", Decisive("b"), "a", Decisive("c"), Decisive("d"), Decisive("e"), Decisive("b")]
    told = dataclasses.replace(ANSWER, notes=list(notes)).notes
    assert told == ["a", "b", "c", "d", "e"]
    assert notes_shown(told, every=False) == ["note: b", "note: c", "note: d", "2 more notes: --why"]
    assert notes_shown(told, every=True) == [f"note: {text}" for text in "abcde"]
    assert notes_shown(["a"], every=False) == ["1 note: --why"]
    asked = [Decisive(each) for each in "abcd"] + [Asked("e")]
    assert notes_shown(asked, every=False)[-2:] == ["note: e", "1 more note: --why"]
    long = notes_shown([Decisive("word " * 40)], every=False, width=60)
    assert max(map(len, long)) <= 60
    assert all(line.startswith("      ") for line in long[1:])


def test_rows_of_metrics_are_told_in_their_own_units() -> None:
    rows = [
        {
            "metric": "afd_over_ep",
            "before": 0.8788,
            "after": 0.8949,
            "change": 0.0161,
            "change_fraction": 0.018,
        },
        {
            "metric": "ep.hfu_all_devices",
            "before": 0.21,
            "after": 0.26,
            "change": 0.05,
            "change_fraction": 0.24,
        },
        {"metric": "afd.n_devices", "before": 96, "after": 104, "change": 8, "change_fraction": 0.083},
    ]
    answer = dataclasses.replace(
        ANSWER, summary={}, notes=[], columns=object_columns(rows), table_keys=tuple(rows[0])
    )
    lines = as_table(answer, width=80).splitlines()
    assert lines[0].split() == ["metric", "before", "after", "difference", "change"]
    assert lines[2].split("  ")[0] == "AFD / EP"
    assert lines[3].split() == ["EP", "HFU,", "all", "devices", "21.0%", "26.0%", "5.0%", "+24.0%"]
    assert lines[4].split() == ["AFD", "devices", "96", "104", "8", "+8.3%"]
    assert "ep.hfu_all_devices,0.21" in as_csv(answer)


def test_levers_are_a_table_below_the_answer() -> None:
    """Texts stand left though they begin with a dash; numbers and what is missing stand right."""
    known = {"option": "--kernels separate", "ep_tokens_per_s_per_device": 1941.0, "remark": None}
    refused = {"option": "--kernels fused", "ep_tokens_per_s_per_device": None, "remark": "never timed"}
    answer = dataclasses.replace(ANSWER, summary={"levers": [known, refused]})
    lines = as_table(answer, width=80).splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith("option"))
    assert lines[head].split() == ["option", "EP", "remark"]
    assert lines[head + 2 : head + 4] == [
        "--kernels separate  1941  -",
        "--kernels fused        -  never timed",
    ]


def test_texts_of_records_cannot_colour_a_terminal() -> None:
    columns = {"id": np.array(["a\x1b[31mb\nc"], dtype=object)}
    answer = dataclasses.replace(ANSWER, summary={}, notes=[], columns=columns, table_keys=("id",))
    assert "a?[31mb c" in as_table(answer, width=80)


def test_csv_is_plain() -> None:
    rows = list(csv.reader(io.StringIO(as_csv(ANSWER))))
    assert rows[0][0] == "ffn_nodes"
    assert len(rows) == 6
    assert {row[rows[0].index("feasible")] for row in rows[1:]} <= {"True", "False"}


def test_markdown_escapes_what_would_break_the_table() -> None:
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
        ("total_params", 671025397760, "671 B"),
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


def test_markdown_holds_no_element_of_others() -> None:
    """Neither in cells nor in notes; signs of order stay."""
    answer = dataclasses.replace(
        ANSWER,
        summary={"answer": "TPOT <= 50 ms of <img src=x onerror=alert(1)>"},
        notes=["a < b, </script> and <!-- what follows"],
    )
    text = as_markdown(answer)
    assert text.startswith("TPOT <= 50 ms of &lt;img")
    assert "- a < b, &lt;/script> and &lt;!-- what follows" in text


def test_terminals_are_not_controlled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names with signs that control a terminal are shown without them in every format."""
    answer = dataclasses.replace(
        ANSWER, columns=object_columns([{"id": "\x1b[31mred\x1b]0;x\x07"}]), table_keys=("id",)
    )
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for form in ("table", "csv", "markdown", "json"):
        deliver(answer, Form(form))
        shown = capsys.readouterr().out
        assert "red" in shown
        assert "\x1b" not in shown
        assert "\x07" not in shown


def test_tables_are_for_people() -> None:
    """A thousand rows, and how many there are more; csv has all."""
    many = roofline(Roofline(Scenario(system="h800", model="deepseek-v3"), ffn_nodes=range(1, 3001)))
    lines = as_table(many).splitlines()
    assert lines[-1] == "... 2,000 more rows: --format csv has all"
    assert len(lines) < 1010
    assert len(as_csv(many).splitlines()) == 3001
    assert "more rows" not in as_table(ANSWER)


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
