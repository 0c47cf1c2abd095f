"""Services the tests share: those that ship, and rows of a file of one's own."""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.evidence.services.rows import (
    FOLDER,
    SHIPPED_FILES,
    ServiceMeasurement,
    read_services,
    shipped_services,
)
from roofline_afd.analysis.evidence.services.validate import validate_services
from roofline_afd.catalogue.store import Catalogue
from tests.conftest import ROOT

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer


CATALOGUE = Catalogue()
SHIPPED = [ROOT / FOLDER / name for name in SHIPPED_FILES]
ROW = {
    "id": "mine",
    "mode": "ep",
    "system": "h800",
    "model": "deepseek-v3",
    "n_devices": "128",
    "batch_per_device": "128",
    "context_tokens": "4096",
    "tokens_per_s_per_device": "2324",
}
GROUPS = {"mode": "afd", "n_attention_devices": "96", "n_ffn_devices": "32"}


@functools.cache
def told() -> tuple[dict[str, str], ...]:
    """Return the shipped rows as text, each with the name of its file."""
    rows = []
    for path in SHIPPED:
        with path.open(encoding="utf-8", newline="") as file:
            rows += [{"file": path.name, **row} for row in csv.DictReader(file)]
    return tuple(rows)


def lacking(row: dict[str, str]) -> list[str]:
    """Return which columns a row of text lacks that its prediction needs."""
    needed = ["system", "batch_per_device", "tokens_per_s_per_device"]
    needed += [] if row["use"] == "relative" else ["accept_length"]
    return [key for key in needed if not row[key]]


@functools.cache
def shipped() -> tuple[ServiceMeasurement, ...]:
    return tuple(shipped_services(CATALOGUE))


@functools.cache
def answer() -> Answer:
    return validate_services(shipped(), catalogue=CATALOGUE)


def written(tmp_path: Path, *rows: dict[str, str]) -> Path:
    """Write rows as a CSV with the columns any of them has."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = [",".join(keys), *(",".join(row.get(key, "") for key in keys) for row in rows)]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(tmp_path: Path, *rows: dict[str, str]) -> list[ServiceMeasurement]:
    return read_services([written(tmp_path, *rows)], catalogue=CATALOGUE)


def validated(tmp_path: Path, *rows: dict[str, str]) -> list[dict[str, Any]]:
    return validate_services(read(tmp_path, *rows), catalogue=CATALOGUE).rows()
