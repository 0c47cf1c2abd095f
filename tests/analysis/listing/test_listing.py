"""Lists and side-by-side views of the catalogues, and models imported from configurations."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, SHARED, ask, command, require

MIXTRAL = {
    "model_type": "mixtral", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 14336,
    "vocab_size": 32000, "max_position_embeddings": 32768,
}  # fmt: skip


def _ids(*arguments: str) -> list[str]:
    return [row["id"] for row in ask(*arguments)["results"]]


def test_filters() -> None:
    every = _ids("hardware", "list")
    superpods = _ids("hardware", "list", "--class", "superpod")
    others = _ids("hardware", "list", "--class", "scale-out")
    assert "gb200-nvl72" in superpods
    assert "h800" in others
    assert not set(superpods) & set(others)
    assert set(superpods) | set(others) < set(every)  # the incomplete ones have no class
    assert set(_ids("hardware", "list", "--vendor", "amd")) == {"helios", "mi300x", "mi325x", "mi355x"}
    large = ask("hardware", "list", "--min-memory-gb", "256", "--min-fp8-tflops", "4 PFLOP/s")["results"]
    assert large
    assert all(row["memory_gb"] >= 256 and row["fp8_tflops"] >= 4000 for row in large)
    assert _ids("hardware", "list", "--kind", "interconnect", "--min-gb-per-s", "1 TB/s")
    wide = ask("models", "list", "--min-total-params", "5e11", "--vendor", "deepseek")["results"]
    assert {row["id"] for row in wide} == {"deepseek-v3", "deepseek-v3.2", "deepseek-v4-pro"}


def test_sort() -> None:
    rows = ask("hardware", "list", "--sort=-memory_gb")["results"]
    known = [row["memory_gb"] for row in rows if row["memory_gb"] is not None]
    assert known == sorted(known, reverse=True)
    rates = [row["fp8_tflops"] for row in ask("hardware", "list", "--sort", "fp8_tflops")["results"]]
    first_unknown = rates.index(None)
    assert rates[first_unknown:] == [None] * (len(rates) - first_unknown)
    assert rates[:first_unknown] == sorted(rates[:first_unknown])


def test_nothing_passes_is_a_no_with_the_nearest() -> None:
    outcome = command("hardware", "list", "--min-memory-gb", "1 TB")
    assert outcome.status == 1
    assert outcome.complaint == "no system passes the filters; the largest memory_gb is 432 (helios)"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--vendor", "nvidiaa"), "--vendor 'nvidiaa' is not known; did you mean 'nvidia'"),
        (("--class", "superpods"), "--class 'superpods' is not valid; did you mean 'superpod'"),
        (("--class", "superpod", "--kind", "accelerator"), "--class applies to systems"),
        (("--sort", "memory"), "--sort 'memory' is no key of these records; did you mean 'memory_gb'"),
        (("--min-memory-gb", "much"), "'much' is not a number in GB"),
        (("--min-memory-gb", "80 GB/s"), "is not a unit of this value"),
    ],
)
def test_bad_filters(arguments: tuple[str, ...], says: str) -> None:
    outcome = command("hardware", "list", *arguments)
    assert outcome.status == 2
    assert says in outcome.complaint


def test_estimates_are_marked_wherever_they_are_seen() -> None:
    for arguments in (("hardware", "list"), ("hardware", "show", "h20"), ("hardware", "show", "h20", "h800")):
        assert "296\u2020" in command(*arguments, "--format", "table").out
        assert "296\u2020" in command(*arguments, "--format", "markdown").out
    (row,) = ask("hardware", "show", "h20")["results"]
    assert row["int8_tops_kind"] == "estimated"
    question = ("roofline", "--system", "h20", "--model", "deepseek-v3", "--expert-precision", "int8")
    answer = ask(*question)
    assert answer["summary"]["weakest_kind"] == "estimated"
    assert any(note.startswith("estimated: int8_tops = 296") for note in answer["notes"])
    assert "note: estimated: int8_tops = 296" in command(*question, "--format", "csv").err
    assert "%\u2020" in command(*question, "--format", "table").out
    shape = ask("models", "show", "hunyuan-a13b")["results"][0]
    assert shape["total_params_kind"] == "estimated"
    assert ask("models", "show", "deepseek-v3")["results"][0]["total_params_kind"] == "derived"
    price = command("hardware", "show", "b300", "--format", "table").out
    assert re.search(r"price, rent \(three-year\) +3\.48\u2020", price)


def test_side_by_side() -> None:
    rows = ask("hardware", "show", "h20", "gb200-nvl72")["results"]
    assert [row["id"] for row in rows] == ["h20", "gb200-nvl72"]
    table = command("hardware", "show", "h20", "gb200-nvl72", "--format", "table").out
    assert re.search(r"fp8_tflops +TFLOP/s +296 +5000", table)
    models = command("models", "show", "deepseek-v3", "kimi-k2", "--format", "table").out
    assert re.search(r"routed_experts +1 +256 +384", models)


def test_where_names_file_and_source_of_each_value() -> None:
    (row,) = ask("hardware", "show", "h800", "--where")["results"]
    values = [key.removesuffix("_kind") for key in row if key.endswith("_kind")]
    assert len(values) > 12
    for key in values:
        assert (ROOT / row[f"{key}_file"]).is_file()
        assert row[f"{key}_source"]
    assert row["fp8_tflops_file"] == "hardware_db/accelerators/h800.toml"
    assert row["scale_up_gb_per_s_file"] == "hardware_db/interconnects/nvlink4-h800.toml"
    (model,) = ask("models", "show", "dbrx")["results"]
    assert all((ROOT / value).is_file() for key, value in model.items() if key.endswith("_file"))
    table = command("hardware", "show", "h800", "--where", "--format", "table").out
    assert "hardware_db/accelerators/h800.toml" in table


def test_prices_are_shown_with_basis_and_date() -> None:
    (row,) = ask("hardware", "show", "h100")["results"]
    assert {price["basis"] for price in row["prices"]} >= {"tco", "rent"}
    assert all(price["date"] and price["source"] and price["kind"] for price in row["prices"])
    assert "price, tco (hyperscaler)" in command("hardware", "show", "h100", "--format", "table").out


def test_the_how_to_works_as_written(tmp_path: Path) -> None:
    """Add your accelerator in five minutes: the records of the page, in a folder, and a question."""
    text = (ROOT / "hardware_db" / "README.md").read_text("utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    for block in blocks:
        name = re.search(r'^id = "(.*)"$', block, flags=re.MULTILINE)
        assert name is not None
        (tmp_path / f"{name[1]}.toml").write_text(block, "utf-8")
    overlay = ("--hardware-db", str(tmp_path))
    assert ask("hardware", "validate", *overlay)["summary"]["faulty"] == 0
    answer = ask("roofline", *overlay, "--system", "x1-node", "--model", "deepseek-v3")
    # closed form by hand: 6 * 2048 * 50e9 / (3 * 1e15)
    assert answer["summary"]["hfu_floor"] == pytest.approx(0.2048)
    assert any("one pair of devices reaches 50 of its 350 GB/s" in note for note in answer["notes"])


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
    outcome = command("models", "import", _config(tmp_path), "--vendor", "Me", "--output", str(record))
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
        ({"num_local_expert": 8}, "unknown field 'num_local_expert'; did you mean 'num_local_experts'"),
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
        (b"", "is not valid JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"[]", "is a JSON list, not an object"),
        (b" " * 2_000_000, "a configuration has at most"),
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
