"""Everything known of some records, side by side, each value with unit, kind, note and source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.answer import Answer, left_out, object_columns
from roofline_afd.analysis.listing.rows import (
    HARDWARE_KINDS,
    check_kind,
    hardware_row,
    model_row,
    note_estimates,
)
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.errors import InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.catalogue.huggingface.importing import Imported
    from roofline_afd.catalogue.store import Catalogue

IMPORTED_KEYS = (
    "id",
    "hidden_size",
    "dispatch_width",
    "layers",
    "moe_layers",
    "routed_experts",
    "shared_experts",
    "top_k",
    "expert_intermediate",
    "expert_matrices",
    "total_params",
    "active_params",
    "kv_bytes_per_token",
)


def show_hardware(
    catalogue: Catalogue, names: Sequence[str], *, kind: str | None = None, where: bool = False
) -> Answer:
    """Show everything known under hardware ids; a system with the values of its parts.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.
    names : sequence of str
        Ids of systems, their parts, engines or libraries; several are shown side by side. A calibration
        record is shown where nothing else has its id, or its kind is given.
    kind : str, optional
        Which of them, where several share an id.
    where : bool
        Whether tables show file and source of each value instead of record and note.

    Returns
    -------
    Answer
        A row per record: each value, and its unit, kind, source, note, record and file under the key with
        that ending; dated prices.

    Raises
    ------
    InputError
        If an id or the kind is unknown.
    """
    if kind is not None:
        check_kind(kind)
    kinds = (kind,) if kind else HARDWARE_KINDS
    rows = []
    for name in dict.fromkeys(names):
        found = [record for each in kinds if (record := catalogue.find(each, name)) is not None]
        if not found:
            known = {other for each in kinds for other in catalogue.ids(each)}
            raise InputError(f"unknown {kind or 'hardware id'} {shown(name)}{nearest(name, known)}")
        parts = [record for record in found if record.record != "calibration"] or found
        whole = parts[:1] if parts[0].record == "system" else parts  # a system shows its parts already
        rows += [hardware_row(catalogue, record, full=True) for record in whole]
    inputs = {"ids": list(names), "kind": kind}
    return _shown("hardware show", inputs, rows, left_out(catalogue), where=where)


def show_models(catalogue: Catalogue, names: Sequence[str], *, where: bool = False) -> Answer:
    """Show everything known of models.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.
    names : sequence of str
        Ids or aliases; several are shown side by side.
    where : bool
        Whether tables show file and source of each value instead of record and note.

    Returns
    -------
    Answer
        A row per model: each value, and its unit, kind, source, note, record and file under the key with
        that ending.

    Raises
    ------
    InputError
        If an id is unknown.
    """
    rows = [model_row(catalogue.record("model", name), full=True) for name in dict.fromkeys(names)]
    inputs = {"ids": list(names)}
    return _shown("models show", inputs, rows, left_out(catalogue), where=where)


def imported_model(found: Imported) -> Answer:
    """Show what an imported configuration says.

    Parameters
    ----------
    found : Imported
        The record made from it, and what was passed over or not stated.

    Returns
    -------
    Answer
        One row: shape, and parameters and cache bytes counted from it; `record` of the summary is the TOML.
    """
    name = found.record.partition('id = "')[2].partition('"')[0]
    record = parse_record(found.record.encode(), file=f"{name}.toml")
    row = model_row(record, full=False)
    first = {key: row[key] for key in IMPORTED_KEYS}
    rest = {key: value for key, value in row.items() if key not in first and key != "name"}
    told = [
        f"{value.key} is derived: {value.note}"
        for value in record.quantities.values()
        if value.kind == "derived" and value.note
    ]
    columns = object_columns([{**first, **rest}])
    summary = {"record": found.record}
    return Answer("models import", {}, columns, summary, [*found.notes, *told], IMPORTED_KEYS)


def _shown(
    command: str, inputs: dict[str, Any], rows: list[dict[str, Any]], left: list[str], *, where: bool
) -> Answer:
    """Return rows as an answer whose tables show this provenance of each value."""
    beside = ("file", "kind", "source") if where else ("record", "unit", "kind", "note")
    return Answer(command, inputs, object_columns(rows), {}, [*left, *note_estimates(rows)], beside)
