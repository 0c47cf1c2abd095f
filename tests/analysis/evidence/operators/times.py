"""Times of operators that the tests share: published ones, and some of known parameters."""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.evidence.operators.calibrate import calibrate
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.analysis.evidence.operators.validate import validate_operators
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.physics.operators import gemm_bytes, gemm_flops, operator_time
from tests.conftest import SHARED, require

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.records import Record


OPERATORS = SHARED / "data" / "measurements" / "operators.csv"
SECOND = [OPERATORS.with_name(name) for name in ("operators_2.csv", "fabrics_2.csv")]
CATALOGUE = Catalogue()
DATE = "2026-01-01"
TRUTH = {
    "launch_us": 4.0,
    "depth_ns": 0.9,
    "compute_efficiency": 0.6,
    "memory_efficiency": 0.75,
}


@functools.cache
def rows_to_calibrate() -> list[Measurement]:
    """Return the published rows that shipped records rest on."""
    files = (OPERATORS, *SECOND)
    require(present=all(file.is_file() for file in files), what="the files of published operator times")
    return read_measurements(files, catalogue=CATALOGUE)


@functools.cache
def published() -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return what the command makes of these rows, which takes a while: records, and errors by series."""
    written, answer = calibrate(rows_to_calibrate(), catalogue=CATALOGUE, date=DATE, shipped=True)
    return written, answer.rows()


def record(name: str, text: str) -> Record:
    return parse_record(text.encode(), file=f"{name}.toml")


def one_answer(tmp_path: Path, **columns: object) -> dict[str, Any]:
    """Return the answer for one row on the H800, or another system, with a time of 100 us."""
    cells = {"id": "a", "system": "h800", "latency_us": 100, **columns}
    path = tmp_path / "one.csv"
    with path.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([cells.keys(), cells.values()])
    (row,) = validate_operators(read_measurements([path], catalogue=CATALOGUE), catalogue=CATALOGUE).rows()
    return row


def synthetic(path: Path, *, system: str = "mi300x") -> Path:
    """Write products whose times are exactly those of known parameters."""
    accelerator = load_system(system, catalogue=CATALOGUE).accelerator
    lines = ["id,operator,system,precision,m,n,k,latency_us,source"]
    for m in (1, 16, 64, 256, 1024, 4096):
        for n, k in ((1024, 7168), (4096, 7168), (7168, 2048), (512, 16384)):
            time = operator_time(
                flops=gemm_flops(m=m, n=n, k=k),
                bytes_moved=gemm_bytes(m=m, n=n, k=k, input_bytes=1, weight_bytes=1, output_bytes=2),
                tokens=m,
                depth=k,
                peak=accelerator.peak_flop_per_s["fp8"],
                memory_bandwidth=accelerator.memory_bytes_per_s,
                compute_efficiency=TRUTH["compute_efficiency"],
                memory_efficiency=TRUTH["memory_efficiency"],
                launch=TRUTH["launch_us"] * 1e-6,
                depth_time=TRUTH["depth_ns"] * 1e-9,
            )
            lines.append(f"s{len(lines)},gemm,{system},fp8,{m},{n},{k},{float(time) * 1e6!r},our bench")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
