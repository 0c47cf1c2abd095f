"""`validate --serving-points`, and the errors of prefill that `validate` and `explore` tell."""

from __future__ import annotations

from pathlib import Path

import pytest

import roofline_afd as ra
from roofline_afd.analysis.evidence.points.rows import REQUIRED, SHIPPED_FILE
from roofline_afd.analysis.evidence.services.rows import FOLDER
from tests.analysis.evidence.points.given import PROMPTS, ROW, written
from tests.conftest import ROOT, ask, command

pytestmark = pytest.mark.usefixtures("answered_once")

SHIPPED = str(ROOT / FOLDER / SHIPPED_FILE)


def test_points_of_a_file_are_predicted_term_by_term(tmp_path: Path) -> None:
    answer = ask("validate", "--serving-points", str(written(tmp_path, ROW, PROMPTS | {"id": "prompts"})))
    assert answer["command"] == "validate"
    assert [row["id"] for row in answer["results"]] == ["mine", "prompts"]
    for row in answer["results"]:
        assert row["error"] == pytest.approx(row["predicted"] / row["measured"] - 1)
        assert set(row) >= {"core_ms", "products_ms", "experts_ms", "index_ms", "exchange_ms", "host_ms"}
    assert answer["summary"]["prefill"]["rows"] == 1
    assert "median_abs_error" not in answer["summary"]


@pytest.mark.parametrize("form", ["table", "csv", "markdown"])
def test_every_format_shows_the_points(form: str) -> None:
    outcome = command("validate", "--serving-points", SHIPPED, "--format", form)
    assert outcome.status == 0, outcome.err
    assert "v3-gb200-prefill-bf16attn" in outcome.out


def test_files_after_the_option_are_of_its_kind(tmp_path: Path) -> None:
    one = written(tmp_path, ROW)
    answer = ask("validate", "--serving-points", SHIPPED, str(one))
    assert len(answer["results"]) == 26
    assert len(answer["inputs"]["serving_points"]) == 2


def test_plain_validate_tells_prefill_apart_from_decoding() -> None:
    answer, points = ask("validate"), ask("validate", "--serving-points", SHIPPED)
    assert answer["inputs"]["serving_points"] == [f"{FOLDER}/{SHIPPED_FILE}"]
    assert answer["summary"]["prefill"] == points["summary"]["prefill"]
    assert not set(answer["summary"]["counted_rows"]) & set(points["summary"]["prefill"]["counted_rows"])
    assert "prefill" not in answer["summary"]["answer"]
    assert any("points of prefill predicted" in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "is empty"),
        ([",".join(ROW)], "holds no rows below its header"),
        (["id,model,system", "a,deepseek-v3,h800"], "lacks the column n_devices, parallelism"),
        ([",".join(ROW), ",".join((ROW | {"model": "deepsek-v3"}).values())], "did you mean 'deepseek-v3'"),
        ([",".join(ROW), ",".join((ROW | {"measured": "nan"}).values())], "row 2: measured 'nan'"),
    ],
)
def test_bad_files_are_one_line_and_no_answer(tmp_path: Path, lines: list[str], said: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    outcome = command("validate", "--serving-points", str(path))
    assert outcome.status == 2
    assert said in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not outcome.out


def test_a_header_lists_what_a_file_needs(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    for absent in REQUIRED:
        path.write_text(",".join(key for key in REQUIRED if key != absent) + "\na\n", encoding="utf-8")
        outcome = command("validate", "--serving-points", str(path))
        assert outcome.status == 2
        assert f"lacks the column {absent}" in outcome.err


def test_two_questions_at_once_are_refused(tmp_path: Path) -> None:
    path = str(written(tmp_path, ROW))
    outcome = command("validate", "--serving-points", path, "--operators", path)
    assert outcome.status == 2
    assert "ask one at a time" in outcome.err
    with pytest.raises(ra.InputError, match="ask one at a time"):
        ra.validate(serving_points=[path], operators=[path])


def test_python_asks_the_same(tmp_path: Path) -> None:
    path = written(tmp_path, ROW)
    answer = ask("validate", "--serving-points", str(path))
    frame = ra.validate(serving_points=[path])
    assert frame["predicted"].tolist() == [row["predicted"] for row in answer["results"]]
    assert frame.attrs["summary"]["prefill"]["rows"] == 0


def test_explore_says_how_far_its_prefill_is_off() -> None:
    """The figures come from the record, which a test holds to what `validate` finds."""
    asked = ("--system", "h800", "--model", "deepseek-v3", "--devices", "32", "--isl", "2048", "--osl", "512")
    answer, prefill = ask("explore", *asked), ask("validate")["summary"]["prefill"]
    assert answer["summary"]["prefill_points"] == prefill["n"]
    assert answer["summary"]["prefill_error"] == pytest.approx(prefill["median_abs_error"], rel=1e-2)
    notes = [note for note in answer["notes"] if note.startswith("prefill")]
    assert len(notes) == 1
    assert f"{prefill['n']} published points is off by {answer['summary']['prefill_error']:.1%}" in notes[0]
