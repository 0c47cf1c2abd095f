"""Points the tests share: those that ship, and rows of a file of one's own."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.evidence.points.rows import ServingPoint, read_points, shipped_points
from roofline_afd.analysis.evidence.points.validate import validate_points
from roofline_afd.catalogue.store import Catalogue

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

CATALOGUE = Catalogue()
ROW = {
    "id": "mine",
    "model": "deepseek-v3",
    "system": "h800",
    "n_devices": "16",
    "parallelism": "EP16",
    "isl": "2048",
    "osl": "512",
    "concurrency": "256",
    "metric": "tpot_ms",
    "measured": "40",
}
PROMPTS = ROW | {"metric": "prefill_tokens_per_s_per_device", "concurrency": "", "osl": "1"}


@functools.cache
def shipped() -> tuple[ServingPoint, ...]:
    return tuple(shipped_points(CATALOGUE))


@functools.cache
def answer() -> Answer:
    return validate_points(shipped())


def written(tmp_path: Path, *rows: dict[str, str]) -> Path:
    """Write rows as a CSV with the columns any of them has."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = [",".join(keys), *(",".join(row.get(key, "") for key in keys) for row in rows)]
    path = tmp_path / "points.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(tmp_path: Path, *rows: dict[str, str]) -> list[ServingPoint]:
    return read_points([written(tmp_path, *rows)], catalogue=CATALOGUE)


def validated(tmp_path: Path, *rows: dict[str, str]) -> list[dict[str, Any]]:
    return validate_points(read(tmp_path, *rows)).rows()
