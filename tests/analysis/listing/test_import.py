"""Models imported from configurations by command: answered, written, or refused in one line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SHARED, ask, command, require

MIXTRAL = {
    "model_type": "mixtral", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 14336,
    "vocab_size": 32000, "max_position_embeddings": 32768,
}  # fmt: skip


def _config(folder: Path, **changes: Any) -> str:  # noqa: ANN401 - whatever a file may hold
    path = folder / "config.json"
    path.write_text(json.dumps(MIXTRAL | changes), "utf-8")
    return str(path)


def test_import_answers(tmp_path: Path) -> None:
    answer = ask("models", "import", _config(tmp_path), "--id", "mine")
    (row,) = answer["results"]
    keys = """id hidden_size dispatch_width layers moe_layers routed_experts shared_experts top_k
    expert_intermediate expert_matrices total_params active_params kv_bytes_per_token"""
    assert list(row)[: len(keys.split())] == keys.split()
    (shipped,) = ask("models", "show", "mixtral-8x7b")["results"]
    assert [row[key] for key in keys.split()[1:]] == [shipped[key] for key in keys.split()[1:]]
    assert row["id"] == "mine"


def test_import_writes_a_record_that_answers_questions(tmp_path: Path) -> None:
    record = tmp_path / "mine.toml"
    config = _config(tmp_path, torch_dtype="bfloat16")
    outcome = command("models", "import", config, "--vendor", "Me", "--output", str(record))
    assert (outcome.status, outcome.out) == (0, "")
    question = ("roofline", "--system", "h800", "--ffn-nodes", "1:4")
    mine = ask(*question, "--model", "mine", "--model-db", str(record))
    shipped = ask(*question, "--model", "mixtral-8x7b")
    assert mine["results"] == shipped["results"]
    refused = command("models", "import", _config(tmp_path), "--output", str(record))
    assert "exists; --force replaces it" in refused.complaint


def test_import_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(json.dumps(MIXTRAL).encode())

    monkeypatch.setattr(sys, "stdin", Stdin())
    assert ask("models", "import", "-")["results"][0]["routed_experts"] == 8


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "llama"}, "is no known family of mixture-of-experts models"),
        ({"num_local_experts": "eight"}, "num_local_experts"),
        (
            {"num_local_expert": 8},
            "'num_local_expert' may change the shape",
        ),
        ({"hidden_size": -1}, "hidden_size"),
        ({"hidden_size": 10**30}, "holds an integer of 31 digits"),
        ({"hidden_size": float("nan")}, "holds NaN"),
    ],
)
def test_import_refuses(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    outcome = command("models", "import", _config(tmp_path, **changes))
    assert outcome.status == 2
    assert outcome.out == ""
    assert says in outcome.complaint


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"[]", "is a JSON list, not an object"),
        (b" " * 17_000_000, "is larger than 16,000,000 bytes"),
    ],
)
def test_import_refuses_what_is_no_configuration(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    outcome = command("models", "import", str(path))
    assert outcome.status == 2
    assert says in outcome.complaint


def test_import_checks_its_options(tmp_path: Path) -> None:
    config = _config(tmp_path)
    assert "cannot be read" in command("models", "import", str(tmp_path / "nothing.json")).complaint
    assert "is no regular file" in command("models", "import", str(tmp_path)).complaint
    disagree = command("models", "import", config, "--id", "a", "--output", str(tmp_path / "b.toml"))
    assert "a record's file is its id" in disagree.complaint
    both = command("models", "import", config, "--format", "csv", "--output", str(tmp_path / "b.toml"))
    assert "disagree" in both.complaint
    assert command("models", "import", config, "--id", "No Id").status == 2


def test_every_published_configuration_imports_by_command() -> None:
    folder = SHARED / "data" / "hf_configs"
    require(present=folder.is_dir(), what="the folder of published configurations")
    files = sorted(folder.glob("*.json"))
    assert len(files) == 36
    for file in files:
        (row,) = ask("models", "import", str(file))["results"]
        assert row["total_params"] > row["active_params"] > 0
