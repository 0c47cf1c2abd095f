"""Measured operator and transfer times as files hold them: rows read, checked, and named when faulty."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.table import MAX_BYTES, TableRow, number, require_filled, table_rows
from roofline_afd.analysis.files import file_text
from roofline_afd.catalogue.hardware import System, load_system
from roofline_afd.errors import InputError, nearest, shown, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from roofline_afd.catalogue.store import Catalogue

ID_COLUMNS = ("id", "operator", "system")
GROUPED = ("precision", "groups", "tokens_per_expert", "hidden", "intermediate")
LINEAR = ("batch", "query_heads", "kv_heads", "head_dim")
TRANSFER = ("precision", "n_devices", "tokens", "hidden", "top_k")
INPUTS: Mapping[str, tuple[str, ...]] = {
    "gemm": ("precision", "m", "n", "k"),
    "grouped_gemm": ("precision", "n", "k", "groups", "tokens_per_expert"),
    "grouped_gemm_up": GROUPED,
    "grouped_gemm_down": GROUPED,
    "mla_decode": ("precision", "kv_precision", "batch", "context_tokens"),
    "dsa_decode_index": ("precision", "batch", "context_tokens", "query_heads", "head_dim", "query_tokens"),
    "dsa_prefill_index": ("precision", "tokens", "context_tokens", "query_heads", "head_dim"),
    "linear_decode_convolution": LINEAR,
    "linear_decode_update": LINEAR,
    "dispatch": TRANSFER,
    "combine": TRANSFER,
    "attention_layer": ("precision", "batch", "context_tokens", "note"),
}
"""Operator to the columns its time is computed from."""
MEASURES = ("latency_us", "tflops", "gb_per_s")
"""Columns with a measurement; the first that a row fills counts."""
TEXTS = ("id", "operator", "system", "precision", "kv_precision", "note", "source")
WHOLE = ("n_devices", "m", "n", "k", "groups", "hidden", "top_k", "experts", "intermediate")


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """One row of a file: what was timed on which system, and the figure."""

    place: str
    id: str
    operator: str
    system: System
    texts: Mapping[str, str]
    numbers: Mapping[str, float]

    @property
    def missing(self) -> tuple[str, ...]:
        """Columns this row leaves empty although its time depends on them."""
        absent = [key for key in INPUTS[self.operator] if key not in self.numbers and not self.texts.get(key)]
        if not any(key in self.numbers for key in MEASURES):
            absent.append(" or ".join(MEASURES))
        return tuple(absent)


def read_measurements(files: Iterable[Path], *, catalogue: Catalogue) -> list[Measurement]:
    """Read measured rows, in the order of the files.

    Parameters
    ----------
    files : iterable of Path
        CSV files with a header; columns beyond those needed are ignored.
    catalogue : Catalogue
        Where systems are looked up.

    Returns
    -------
    list of Measurement
        At least one.

    Raises
    ------
    InputError
        If a file cannot be read or is empty, a column is missing, or a row holds text for a number, a number
        not above 0, or an unknown operator or system: names the file and the row, the header being row 1.
    """
    systems: dict[str, System] = {}
    return [row for file in files for row in _rows(file, catalogue, systems)]


def _rows(file: Path, catalogue: Catalogue, systems: dict[str, System]) -> Iterator[Measurement]:
    text = file_text(file, most=MAX_BYTES)
    for row in table_rows(text, name=shown_path(file), required=ID_COLUMNS, one_of=MEASURES):
        yield _row(row, catalogue, systems)


def _row(row: TableRow, catalogue: Catalogue, systems: dict[str, System]) -> Measurement:
    place, filled, header = row
    require_filled(row, ID_COLUMNS)
    operator = filled["operator"]
    if operator not in INPUTS:
        raise InputError(f"{place}: operator {shown(operator)} is not known{nearest(operator, INPUTS)}")
    absent = [name for name in INPUTS[operator] if name not in header]
    if absent:
        raise InputError(f"{place}: the file lacks the column {', '.join(absent)}, needed for {operator}")
    name = filled["system"]
    if name not in systems:
        try:
            systems[name] = load_system(name, catalogue=catalogue)
        except InputError as error:
            raise InputError(f"{place}: {error}") from error
    wanted = {*INPUTS[operator], *MEASURES, "experts", "n_devices"} - {*TEXTS}
    numbers = {
        key: number(f"{place}: {key}", filled[key], whole=key in WHOLE)
        for key in sorted(wanted)
        if key in filled
    }
    texts = {key: filled.get(key, "") for key in TEXTS}
    return Measurement(place, filled["id"], operator, systems[name], texts, numbers)
