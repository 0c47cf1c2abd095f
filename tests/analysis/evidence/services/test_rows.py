"""Rows of published services: the shipped ones as they were collected, own ones read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline_afd.analysis.evidence.services.rows import REQUIRED, read_services
from roofline_afd.errors import InputError
from tests.analysis.evidence.services.given import CATALOGUE, GROUPS, ROW, SHIPPED, read, validated, written
from tests.conftest import SHARED, require

SOURCE = SHARED / "data" / "measurements" / "systems.csv"


def test_shipped_rows_are_the_collected_ones() -> None:
    require(present=SOURCE.is_file(), what="the collection of published services")
    assert SHIPPED.read_bytes() == SOURCE.read_bytes()


def test_required_columns_are_enough(tmp_path: Path) -> None:
    assert tuple(ROW) == REQUIRED
    (row,) = read(tmp_path, ROW)
    assert (row.use, row.role, row.timing, row.microbatches) == ("absolute", "check", "wall", 1)
    assert (row.scenario.routing, row.accept_length) == ("natural", 1.0)
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
    "routing": ({"routing": "forced"}, "routing 'forced' is not valid; valid: balanced, natural"),
    "text": ({"batch_per_device": "many"}, "batch_per_device 'many' is not a number"),
    "nan": ({"tokens_per_s_per_device": "nan"}, "tokens_per_s_per_device 'nan' is not a number"),
    "infinite": ({"context_tokens": "inf"}, "context_tokens 'inf' is not a number"),
    "tiny": ({"tokens_per_s_per_device": "1e-320"}, "'1e-320' is too small"),
    "zero": ({"n_devices": "0"}, "n_devices '0' must be above 0"),
    "negative": ({"draft_tokens": "-1"}, "draft_tokens '-1' must be at least 0"),
    "broken": ({"context_tokens": "4096.5"}, "context_tokens '4096.5' is not a whole number"),
    "huge": ({"context_tokens": "1e14"}, "--context"),
    "no id": ({"id": ""}, "id is empty"),
    "no context": ({"context_tokens": ""}, "context_tokens is empty"),
    "accepted below 1": ({"accept_length": "0.5"}, "--accept-length 0.5 must be at least 1"),
    "accepted above drafted": (
        {"accept_length": "2.5", "draft_tokens": "1"},
        "--accept-length 2.5 exceeds the 2 tokens of a step",
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
