"""`deploy` as users meet it: files on a terminal and in a folder, kept answers, refusals."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ask, command

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("answered_once")

BASE = ("--system", "h200", "--model", "deepseek-v3", "--devices", "16", "--batch", "32")
DEPLOY = ("deploy", "--for", "sglang", *BASE)


def test_files_are_shown_whole_and_what_to_watch_below() -> None:
    """On a terminal and in Markdown; JSON has files, settings and what they say."""
    answer = ask(*DEPLOY)
    (text,) = answer["summary"]["files"].values()
    shown = command(*DEPLOY, "--format", "table").out
    assert text in shown
    assert shown.index(text) < shown.index("time per output token")
    assert f"```bash\n{text}```" in command(*DEPLOY, "--format", "markdown").out
    told = {each["name"]: each["says"] for each in answer["summary"]["settings"]}
    assert told["--tp-size"] == "all devices of a replica"
    assert answer["inputs"]["engine"] == "sglang"
    rows = list(csv.DictReader(io.StringIO(command(*DEPLOY).out)))
    assert [row["quantity"] for row in rows] == [row["quantity"] for row in answer["results"]]


def test_a_folder_gets_all_files_or_none(tmp_path: Path) -> None:
    folder = tmp_path / "launch"
    asked = ("deploy", "--for", "trtllm", *BASE, "--folder", str(folder))
    assert command(*asked).status == 0
    assert {file.name for file in folder.iterdir()} == {"serve.sh", "serve.yaml"}
    assert (folder / "serve.sh").stat().st_mode & 0o100
    (folder / "serve.sh").unlink()
    before = (folder / "serve.yaml").read_text()
    refused = command(*asked, "--set", "scale_out_gb_per_s=100")
    assert refused.status == 2
    assert "serve.yaml' exists; --force replaces it" in refused.complaint
    assert not (folder / "serve.sh").exists()
    assert (folder / "serve.yaml").read_text() == before
    assert command(*asked, "--force").status == 0


def test_a_kept_answer_is_launched(tmp_path: Path) -> None:
    """Of `predict`, with the same deployment; nothing may be asked beside it."""
    kept = tmp_path / "kept.json"
    predicted = ("predict", *BASE, "--engine", "sglang", "--output", str(kept))
    assert command(*predicted).status == 0
    files = ask("deploy", "--for", "sglang", "--from", str(kept))["summary"]["files"]
    assert files == ask(*DEPLOY)["summary"]["files"]
    beside = command("deploy", "--for", "sglang", "--from", str(kept), "--batch", "3")
    assert (beside.status, beside.complaint) == (
        2,
        "--from holds the question: leave out --batch",
    )
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "command": "imbalance"}))
    other = command("deploy", "--for", "sglang", "--from", str(kept))
    assert other.status == 2
    assert "valid: compare, explore, predict" in other.complaint


def test_a_scenario_file_is_launched(tmp_path: Path) -> None:
    file = tmp_path / "question.toml"
    file.write_text('system = "h200"\nmodel = "deepseek-v3"\ndevices = 16\nbatch = 32\nfor = "sglang"\n')
    assert ask("deploy", "--scenario", str(file)) == ask(*DEPLOY)


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        (("--for", "slang", *BASE), 2, "did you mean 'sglang'"),
        (BASE, 2, "--for"),
        (("--for", "vllm", *BASE, "--engine", "sglang"), 2, "is not what vLLM runs; valid: vllm"),
        (("--for", "vllm", *BASE, "--mode", "afd"), 2, "--mode 'afd' is not valid"),
        (("--for", "vllm", *BASE, "--ttft-ms", "3"), 2, "--ttft-ms belongs to requests"),
        (("--for", "vllm", "--from", "nothing.json"), 2, "cannot be read: No such file"),
        (("--for", "vllm", *BASE[:4], "--max-devices", "4"), 1, "binding is HBM capacity"),
        (("--for", "vllm", *BASE[:4], "--tpot-ms", "2"), 1, "binding is latency target"),
        (("--for", "vllm", *BASE[:6], "--batch", "4000"), 1, "binding is HBM capacity"),
    ],
)
def test_refusals_are_one_line(asked: tuple[str, ...], status: int, says: str) -> None:
    outcome = command("deploy", *asked)
    assert (outcome.status, outcome.out) == (status, "")
    assert says in outcome.complaint
    assert "\n" not in outcome.complaint.strip()
