"""Measured collectives: which library a row timed, its time by hand, and records held to their rows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from roofline_afd.analysis.evidence.operators.collectives import (
    SENT_SHARE,
    FittedCollective,
    collective_time,
    fit_collectives,
    library_of,
)
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.catalogue.calibration import load_calibration
from roofline_afd.catalogue.collectives import TABLES
from roofline_afd.errors import InputError
from tests.analysis.evidence.operators.times import CATALOGUE, SECOND, one_answer
from tests.conftest import require

if TYPE_CHECKING:
    from pathlib import Path

    from roofline_afd.analysis.evidence.operators.rows import Measurement

ENGINES = {
    "vllm 0.24.0 custom all-reduce, CUDA graph": "vllm",
    "vllm 0.28.0 flashinfer 0.6.16 mnnvl one-shot fused RMSNorm, CUDA graph": "flashinfer",
    "sglang 0.5.14 custom all-reduce, CUDA graph": "sglang",
    "sglang quick all-reduce int8": "quick-int8",
    "tensorrt-llm 1.3.0rc20 AllReduce (auto)": "trtllm",
    "nccl 2.29.2": "nccl",
    "pynccl symmetric": "nccl-symmetric",
    "nccl 2.30.7 symmetric memory": "nccl-symmetric",
    "torch symm_mem multimem": "multimem",
    "hccl demo": "hccl",
    "somebody's own": "",
}


def _rows(tmp_path: Path, text: str) -> list[Measurement]:
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8")
    return read_measurements([path], catalogue=CATALOGUE)


def _published() -> list[Measurement]:
    require(present=all(file.is_file() for file in SECOND), what="the second set of measured operators")
    return read_measurements(SECOND, catalogue=CATALOGUE)


def _values(record: str, table: str) -> dict[str, float]:
    quantities = CATALOGUE.record("calibration", f"collectives-{record}").quantities
    return {key.partition(".")[2]: each.value for key, each in quantities.items() if key.startswith(table)}


def test_rows_tell_their_library(tmp_path: Path) -> None:
    """By the engine, the kernel, or the note where neither is filled."""
    lines = ["id,operator,system,n_devices,message_bytes,latency_us,engine,kernel,note"]
    lines += [f'a,allreduce,h100,8,64,9,"{engine}",,' for engine in ENGINES]
    lines += ["b,allreduce,h100,8,64,9,,,NCCL 2.29.2 and more", "c,allgather,h100,8,64,9,,nccl ring,"]
    found = [library_of(row) for row in _rows(tmp_path, "\n".join(lines))]
    assert found == [*ENGINES.values(), "nccl", "nccl"]


def test_a_row_takes_the_law_of_its_library(tmp_path: Path) -> None:
    """8 H800, a fabric like the H100's: vLLM's fixed times, and its share of 200 GB/s."""
    row = {"n_devices": 8, "engine": "vllm 0.24.0 custom all-reduce, CUDA graph"}
    law = _values("nvlink4-vllm", "all_reduce")
    found = one_answer(tmp_path, operator="allreduce", message_bytes=2**13, **row)
    peak = 200e3 * law["efficiency"]
    assert found["predicted"] == pytest.approx(law["one_shot_us"] + 7 * 2**13 / peak, rel=1e-9)
    assert found["kind"] == "estimated"
    large = one_answer(tmp_path, operator="allreduce", message_bytes=2**26, **row)
    assert large["predicted"] == pytest.approx(law["two_shot_us"] + 1.75 * 2**26 / peak, rel=1e-9)
    own = one_answer(tmp_path, operator="allreduce", system="h100", message_bytes=2**13, **row)
    assert own["kind"] == "measured"


def test_gathering_and_scattering_take_alike(tmp_path: Path) -> None:
    row = {"system": "h100", "n_devices": 8, "kernel": "nccl ring"}
    law = _values("nvlink4-nccl", "all_gather")
    time = law["fixed_us"] + 7 / 8 * 2**20 / (450e3 * law["efficiency"])
    for operator in ("allgather", "reducescatter"):
        found = one_answer(tmp_path, operator=operator, message_bytes=2**20, **row)
        assert (found["predicted"], found["kind"]) == (pytest.approx(time, rel=1e-9), "measured")
    noted = one_answer(tmp_path, operator="allgather", note="message 1MiB of it", message_bytes="", **row)
    assert noted["predicted"] == pytest.approx(time, rel=1e-9)


def test_groups_beyond_a_domain(tmp_path: Path) -> None:
    """Sums are within, across and within again; gatherings are not modelled; some have no fabric."""
    across = one_answer(tmp_path, operator="allreduce", message_bytes=2**10, n_devices=16, system="h20")
    assert 30 <= across["predicted"] <= 46.4
    assert across["kind"] == "estimated"
    gathered = one_answer(tmp_path, operator="allgather", message_bytes=64, n_devices=16)
    assert gathered["why"] == "allgather beyond one scale-up domain is not modelled"


def test_some_groups_have_no_fabric(tmp_path: Path) -> None:
    path = tmp_path / "alone.csv"
    path.write_text("id,operator,system,n_devices,message_bytes,latency_us\na,allreduce,tpu-v6e,512,64,9\n")
    (row,) = read_measurements([path], catalogue=CATALOGUE)
    alone = dataclasses.replace(row, part=dataclasses.replace(row.system, scale_out=None))
    calibration = load_calibration(row.system, catalogue=CATALOGUE)
    with pytest.raises(InputError, match="tpu-v6e has no scale-out fabric, and its domain is smaller"):
        collective_time(alone, calibration)


def _check(found: FittedCollective) -> None:
    """Compare a fit with the one record that has its table."""
    (record,) = [
        each
        for each in CATALOGUE.records("calibration")
        if found.family == each.data.get(found.table, {}).get("family")
        and tuple(each.data.get("scale_up", ())) == found.fabrics
    ]
    table = record.data[found.table]
    for key, value in found.values.items():
        stated = record.quantities[f"{found.table}.{key}"]
        assert stated.value == pytest.approx(value, rel=1e-3), (record.id, key)
        assert stated.kind == ("derived" if key in found.derived else "measured"), (record.id, key)
    assert table["points"] == len(found.rows)
    assert table["held_out_error"] == pytest.approx(found.fit.held_out_error, rel=1e-2)
    assert table["training_error"] == pytest.approx(found.fit.training_error, rel=1e-2)
    share = record.quantities.get(f"{found.table}.sent_share")
    assert (share.value if share else 1.0) == SENT_SHARE.get(found.family, 1.0)


def test_records_are_what_their_rows_give() -> None:
    """Every table that was fitted, and none besides; what is not fitted has too few rows."""
    fitted, left = fit_collectives(_published(), catalogue=CATALOGUE)
    for found in fitted:
        _check(found)
        assert all(row.use_kind == "fit" for row in found.rows)
        if len(found.rows) >= 8:
            assert found.fit.held_out_error <= 0.15, (found.table, found.family, found.fabrics)
    shipped = sum(
        table in record.data
        for record in CATALOGUE.records("calibration")
        for table in TABLES
        if record.id != "default"
    )
    assert len(fitted) == shipped
    assert left == [
        "[all_reduce] flashinfer on nvlink4: 3 rows, 6 are needed",
        "[all_reduce] quick on xgmi-mi300x: 4 rows, 6 are needed",
    ]


def test_rows_of_known_parameters_give_them_back(tmp_path: Path) -> None:
    """Of a library nobody knows: times by hand go in, parameters come out; rows to check stay out."""
    lines = ["id,operator,system,n_devices,message_bytes,latency_us,use"]
    rate = 0.4 * 448e3
    for message in (2**12, 2**15, 2**17, 2**20, 2**22, 2**24):
        gathered = 7.0 + 7 / 8 * message / rate
        summed = min(3.0 + 7 * message / rate, 12.0 + 1.75 * message / rate)
        lines += [
            f"a,allreduce,mi300x,8,{message},{summed!r},fit",
            f"b,allgather,mi300x,8,{message},{gathered!r},fit",
            f"c,allreduce,mi300x,8,{message},{9 * summed!r},check: not these",
        ]
    fitted, left = fit_collectives(_rows(tmp_path, "\n".join(lines)), catalogue=CATALOGUE)
    assert not left
    gather, reduce = fitted
    assert gather.values == pytest.approx({"fixed_us": 7.0, "efficiency": 0.4}, rel=1e-3)
    assert reduce.values == pytest.approx(
        {"one_shot_us": 3.0, "two_shot_us": 12.0, "efficiency": 0.4}, rel=1e-3
    )
    assert len(reduce.rows) == 6
