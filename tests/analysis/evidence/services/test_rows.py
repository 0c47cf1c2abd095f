"""Rows of published services: the shipped ones as they were collected, own ones read strictly."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from roofline_afd.analysis.evidence.services.rows import (
    CALIBRATION,
    REQUIRED,
    SHIPPED_FILES,
    read_services,
    shipped_reasons,
)
from roofline_afd.errors import InputError
from tests.analysis.evidence.services.given import (
    CATALOGUE,
    GROUPS,
    ROW,
    SHIPPED,
    read,
    shipped,
    told,
    validated,
    written,
)
from tests.conftest import SHARED, require

SOURCES = SHARED / "data" / "measurements"


def _withdrawn() -> set[str]:
    """Return the ids of rows that their author withdrew."""
    with (SOURCES / "withdrawn.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"] for row in csv.DictReader(file)}


def test_shipped_rows_are_the_collected_ones_without_the_withdrawn() -> None:
    require(present=SOURCES.is_dir(), what="the collection of published services")
    withdrawn = _withdrawn()
    for name, path in zip(SHIPPED_FILES, SHIPPED, strict=True):
        collected = (SOURCES / name).read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in collected if line.partition(",")[0] not in withdrawn]
        assert path.read_text("utf-8").startswith("".join(kept))  # rows of others stand below


def test_nothing_withdrawn_remains() -> None:
    require(present=SOURCES.is_dir(), what="the list of withdrawn services")
    withdrawn = _withdrawn()
    assert len(withdrawn) == 28
    assert not withdrawn & {row.id for row in shipped()}
    assert not withdrawn & set(shipped_reasons())
    for path in (*SHIPPED, SHIPPED[0].with_name("misses.toml"), SHIPPED[0].with_name("README.md")):
        assert not [name for name in withdrawn if name in path.read_text("utf-8")], path.name


def test_shipped_rows_by_what_they_are() -> None:
    rows = shipped()
    for key, of in (
        ("file", lambda row: Path(row.place.partition(", row")[0]).name),
        ("engine", lambda row: row.engine),
        ("id", lambda row: row.id),
    ):
        assert Counter(map(of, rows)) == Counter(row.get(key) or "" for row in told()), key
    placed = Counter(row.get("placement") for row in told() if row["mode"] == "afd" and row.get("placement"))
    assert Counter(row.placement for row in rows if row.placement) >= placed
    calibrating = Counter((row.engine, row.timing) for row in rows if row.role == CALIBRATION)
    assert calibrating == {
        ("", "profile"): 1,
        ("", "wall"): 2,
        ("", "kernel"): 1,
        ("vllm-0.19", "kernel"): 12,
        ("vllm-0.19", "wall"): 12,
    }
    assert {row.id for row in rows if row.system is None} == {
        row["id"] for row in told() if not row["system"]
    }


def test_required_columns_are_enough(tmp_path: Path) -> None:
    assert tuple(ROW) == REQUIRED
    (row,) = read(tmp_path, ROW)
    assert (row.use, row.role, row.timing, row.microbatches) == ("absolute", "check", "wall", 1)
    assert (row.scenario.routing, row.accept_length) == ("natural", 1.0)
    assert (row.engine, row.placement, row.basis, row.like_for_like) == ("", None, "wall", True)
    (groups,) = read(tmp_path, ROW | GROUPS)
    assert groups.placement == "attention"
    (found,) = validated(tmp_path, ROW)
    assert found["error"] == pytest.approx(found["predicted"] / 2324 - 1)
    assert found["tpot_predicted_ms"] == pytest.approx(128 / found["predicted"] * 1e3)


BAD = {
    "mode": ({"mode": "epp"}, "mode 'epp' is not valid; did you mean 'ep'?"),
    "system": ({"system": "h8000"}, "unknown system 'h8000'; did you mean 'h800'"),
    "model": ({"model": "deepseek-v33"}, "unknown model 'deepseek-v33'; did you mean 'deepseek-v3'"),
    "precision": ({"kv_precision": "fp9"}, "kv_precision 'fp9' is not a precision; did you mean 'fp8'"),
    "use": ({"use": "absolut"}, "use 'absolut' is not valid; did you mean 'absolute'?"),
    "role": ({"role": "calib"}, "role 'calib' is not valid"),
    "timing": ({"timing": "wal"}, "timing 'wal' is not valid; did you mean 'wall'?"),
    "engine": ({"engine": "vLLM 0.19"}, "engine 'vLLM 0.19' is not written as an id is: lower case"),
    "placement": (GROUPS | {"placement": "cor"}, "placement 'cor' is not valid; did you mean 'core'?"),
    "placement under ep": ({"placement": "attention"}, "ep has no placement: leave it empty"),
    "model without a system": ({"system": "", "model": "deepseek-v33"}, "unknown model 'deepseek-v33'"),
    "routing": ({"routing": "forced"}, "routing 'forced' is not valid; valid: balanced, natural"),
    "text": ({"batch_per_device": "many"}, "batch_per_device 'many' is not a number"),
    "nan": ({"tokens_per_s_per_device": "nan"}, "tokens_per_s_per_device 'nan' is not a number"),
    "infinite": ({"context_tokens": "inf"}, "context_tokens 'inf' is not a number"),
    "tiny": ({"tokens_per_s_per_device": "1e-320"}, "'1e-320' is too small"),
    "zero": ({"n_devices": "0"}, "n_devices '0' must be above 0"),
    "negative": ({"draft_tokens": "-1"}, "draft_tokens '-1' must be at least 0"),
    "broken": ({"context_tokens": "4096.5"}, "context_tokens '4096.5' is not a whole number"),
    "huge": ({"context_tokens": "1e14"}, "context 1e+14"),
    "no id": ({"id": ""}, "id is empty"),
    "no context": ({"context_tokens": ""}, "context_tokens is empty"),
    "accepted below 1": ({"accept_length": "0.5"}, "accept_length 0.5 must be at least 1"),
    "accepted above drafted": (
        {"accept_length": "2.5", "draft_tokens": "1"},
        "accept_length 2.5 exceeds the 2 tokens of a step",
    ),
    "groups under ep": ({"n_ffn_devices": "32"}, "ep has no groups"),
    "no groups": ({"mode": "afd"}, "afd needs n_attention_devices and n_ffn_devices"),
    "sum": (GROUPS | {"n_devices": "129"}, "96 attention and 32 FFN devices are not n_devices 129"),
    "three under ep": ({"microbatches": "3"}, "microbatches 3 is not valid under ep; valid: 1, 2"),
    "override": ({"overrides": "scale_out_gb_per_s"}, "overrides 'scale_out_gb_per_s' is not KEY=VALUE"),
    "override twice": (
        {"overrides": "hbm_gb=1;hbm_gb=2"},
        "overrides set 'hbm_gb' twice",
    ),
    "unknown override": ({"overrides": "scale_out_gbps=25"}, "'scale_out_gbps'"),
    "no experts": ({"overrides": "experts_per_ffn_device=0"}, "experts_per_ffn_device '0' must be above 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_one_line_with_their_place(name: str, tmp_path: Path) -> None:
    changes, message = BAD[name]
    path = written(tmp_path, ROW | {"id": "good", "accept_length": "1"}, ROW | changes)
    with pytest.raises(InputError) as raised:
        read_services([path], catalogue=CATALOGUE)
    assert message in str(raised.value)
    assert "mine.csv', row 3" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_ids_are_unique_over_all_files(tmp_path: Path) -> None:
    path = written(tmp_path, ROW)
    with pytest.raises(InputError, match=r"row 2: id 'mine' is taken by .*mine\.csv', row 2"):
        read_services([path, path], catalogue=CATALOGUE)


@pytest.mark.parametrize(
    ("timing", "engine", "basis", "like"),
    [
        ("wall", "", "wall", True),
        ("wall", "vllm-0.19", "wall", True),
        ("wall", "fastafd", "device", False),
        ("kernel", "", "device", True),
        ("kernel", "vllm-0.19", "device", True),
        ("profile", "", "device", True),
        ("profile", "fastafd", "device", True),
    ],
)
def test_what_is_predicted_of_a_timing(
    timing: str, engine: str, basis: str, *, like: bool, tmp_path: Path
) -> None:
    """Host gaps are out of kernel and profile rows; the pause of an engine may be known or not."""
    (row,) = read(tmp_path, ROW | {"timing": timing, "engine": engine})
    assert (row.basis, row.like_for_like) == (basis, like)
    assert row.scenario.gap_ms == (None if basis == "wall" else 0.0)
    assert row.general == (not engine)
