"""The catalogues as tables: what is known, each value with unit, kind and source, and what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer
from roofline_afd.catalogue.hardware import load_system, system_parts
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.records import FOLDERS, Quantity, Record, RecordError, quantity_keys
from roofline_afd.errors import InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from roofline_afd.catalogue.store import Catalogue

HARDWARE_KINDS = ("system", "accelerator", "interconnect")
TABLE_KEYS = {
    "system": (
        "id",
        "class",
        "bf16_tflops",
        "fp8_tflops",
        "int8_tops",
        "memory_gb",
        "memory_gb_per_s",
        "scale_up_gb_per_s",
        "scale_up_domain_devices",
        "scale_out_gb_per_s",
        "devices_per_node",
    ),
    "accelerator": (
        "id",
        "vendor",
        "device_unit",
        "bf16_tflops",
        "fp8_tflops",
        "int8_tops",
        "fp4_tflops",
        "memory_gb",
        "memory_gb_per_s",
        "tdp_w",
    ),
    "interconnect": (
        "id",
        "scope",
        "topology",
        "gb_per_s",
        "pair_gb_per_s",
        "efficiency",
        "measured_efficiency",
        "latency_us",
    ),
    "model": (
        "id",
        "hidden_size",
        "layers",
        "moe_layers",
        "routed_experts",
        "shared_experts",
        "top_k",
        "expert_intermediate",
        "total_params",
        "active_params",
        "kv_bytes_per_token",
    ),
}
TEXTS = (
    "name",
    "vendor",
    "status",
    "launch",
    "release",
    "device_unit",
    "memory_type",
    "scope",
    "topology",
    "weights",
)


def _answer(
    command: str,
    rows: list[dict[str, Any]],
    *,
    summary: Mapping[str, Any] | None = None,
    notes: Iterable[str] = (),
    table_keys: tuple[str, ...] = (),
    inputs: Mapping[str, Any] | None = None,
) -> Answer:
    """Return rows with differing keys as an answer: the union of keys, in order of first appearance."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    columns = {}
    for key in keys:
        column = np.empty(len(rows), dtype=object)
        column[:] = [row.get(key) for row in rows]
        columns[key] = column
    shown_keys = tuple(key for key in table_keys if key in columns)
    return Answer(command, dict(inputs or {}), columns, dict(summary or {}), list(notes), shown_keys)


def _row(record: Record, quantities: Mapping[str, Quantity], *, full: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": record.id, "record": record.record}
    row |= {key: record.text(key) for key in TEXTS if key in record.data}
    for key, value in quantities.items():
        row[key] = value.value
        row[f"{key}_kind"] = value.kind
        if full:
            row |= {
                f"{key}_unit": value.unit,
                f"{key}_source": value.source,
                f"{key}_note": value.note or None,
            }
            row[f"{key}_record"] = value.record
    return row


def _hardware_row(catalogue: Catalogue, record: Record, *, full: bool) -> dict[str, Any]:
    if record.record != "system":
        return _row(record, record.quantities, full=full)
    parts = system_parts(record.id, catalogue=catalogue)
    row = _row(record, parts.quantities, full=full)
    extra: dict[str, Any] = {
        "class": None,
        "accelerator": parts.accelerator.id,
        "scale_up": parts.scale_up.id if parts.scale_up else None,
        "scale_out": parts.scale_out.id if parts.scale_out else None,
        "missing": parts.missing or None,
    }
    if not parts.missing:
        extra["class"] = "superpod" if load_system(record.id, catalogue=catalogue).superpod else "scale-out"
    head = {key: row.pop(key) for key in ("id", "record", "name")}
    return {**head, **extra, **row}


def _model_row(catalogue: Catalogue, record: Record, *, full: bool) -> dict[str, Any]:
    model = load_model(record.id, catalogue=catalogue)
    row = _row(record, model.quantities, full=full)
    counted = {
        "total_params": model.total_params,
        "active_params": model.active_params,
        "kv_bytes_per_token": model.kv_bytes_per_token(precision("bf16").bytes),
    }
    for key, value in counted.items():
        row[key] = value
        row[f"{key}_kind"] = "derived"
        if full:
            row |= {
                f"{key}_unit": "B" if key.endswith("token") else "1",
                f"{key}_source": "counted from the shape",
            }
            row[f"{key}_note"] = (
                "cache in bf16" if key.endswith("token") else "norms, biases and MTP left out"
            )
            row[f"{key}_record"] = f"model {record.id}"
    return row


def _note_estimates(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    marked = sum(value == "estimated" for row in rows for key, value in row.items() if key.endswith("_kind"))
    return [f"{marked} values marked \u2020 are of kind estimated: no source states them"] if marked else []


def list_hardware(catalogue: Catalogue, *, kind: str = "system") -> Answer:
    """List the hardware records of a kind.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.
    kind : str
        `system`, `accelerator` or `interconnect`.

    Returns
    -------
    Answer
        A row per record: id, record keys, and the kind of each value.

    Raises
    ------
    InputError
        If the kind is unknown or a record is faulty.
    """
    _check_kind(kind)
    rows = [_hardware_row(catalogue, record, full=False) for record in catalogue.records(kind)]
    return _answer(
        "hardware list",
        rows,
        summary={"records": len(rows)},
        notes=_note_estimates(rows),
        table_keys=TABLE_KEYS[kind],
        inputs={"kind": kind},
    )


def _check_kind(kind: str) -> None:
    if kind not in HARDWARE_KINDS:
        raise InputError(f"--kind {shown(kind)} is not valid{nearest(kind, HARDWARE_KINDS)}")


def show_hardware(catalogue: Catalogue, name: str, *, kind: str | None = None) -> Answer:
    """Show everything known under a hardware id; a system with the values of its parts.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.
    name : str
        Id of a system, accelerator or interconnect.
    kind : str, optional
        Which of them, where several share the id.

    Returns
    -------
    Answer
        A row per record: each value, and its unit, kind, source and note under the key with that ending.

    Raises
    ------
    InputError
        If the id or kind is unknown.
    """
    if kind is not None:
        _check_kind(kind)
    kinds = (kind,) if kind else HARDWARE_KINDS
    found = [record for each in kinds if (record := catalogue.find(each, name)) is not None]
    if not found:
        known = {other for each in kinds for other in catalogue.ids(each)}
        raise InputError(f"unknown {kind or 'hardware id'} {shown(name)}{nearest(name, known)}")
    if found[0].record == "system":  # it shows its parts already
        found = found[:1]
    rows = [_hardware_row(catalogue, record, full=True) for record in found]
    return _answer("hardware show", rows, notes=_note_estimates(rows), inputs={"id": name, "kind": kind})


def validate_hardware(catalogue: Catalogue) -> Answer:
    """Check every hardware record, shipped and overlaid, and that systems find their parts.

    Parameters
    ----------
    catalogue : Catalogue
        Made with `collect_faults=True`.

    Returns
    -------
    Answer
        A row per record: file, numbers, how many are estimated, what is missing, faults.
    """
    rows = []
    for kind in FOLDERS:
        for name in catalogue.ids(kind):
            row = _checked(catalogue, kind, name)
            if kind == "system" and not row["faults"]:
                try:
                    parts = system_parts(name, catalogue=catalogue)
                    row["missing"] = ", ".join(parts.missing) or None
                    if not parts.missing:
                        load_system(name, catalogue=catalogue)
                except InputError as error:
                    row["faults"] = [str(error)]
            rows.append(row)
    return _validated("hardware validate", rows, catalogue)


def _checked(catalogue: Catalogue, kind: str, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": name,
        "record": kind,
        "file": None,
        "numbers": 0,
        "estimated": 0,
        "missing": None,
    }
    try:
        record = catalogue.record(kind, name)
    except RecordError as error:
        return {**row, "file": error.file, "faults": list(error.faults)}
    values = record.quantities.values()
    estimated = sum(value.kind == "estimated" for value in values)
    return {**row, "file": record.file, "numbers": len(values), "estimated": estimated, "faults": []}


def _validated(command: str, rows: list[dict[str, Any]], catalogue: Catalogue) -> Answer:
    rows += [
        {"id": None, "record": None, "file": fault.file, "numbers": 0, "estimated": 0, "missing": None}
        | {"faults": list(fault.faults)}
        for fault in catalogue.faults
    ]
    faulty = sum(bool(row["faults"]) for row in rows)
    numbers, estimated = sum(row["numbers"] for row in rows), sum(row["estimated"] for row in rows)
    verdict = (
        f"{faulty} of {len(rows)} records are faulty." if faulty else f"All {len(rows)} records are valid."
    )
    return _answer(
        command,
        rows,
        summary={
            "records": len(rows),
            "numbers": numbers,
            "estimated": estimated,
            "faulty": faulty,
            "answer": f"{verdict} {numbers} numbers, each with a source; {estimated} of them estimated.",
        },
    )


def list_models(catalogue: Catalogue) -> Answer:
    """List the models.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.

    Returns
    -------
    Answer
        A row per model: id, record keys, the kind of each, and what is counted from the shape.
    """
    rows = [_model_row(catalogue, record, full=False) for record in catalogue.records("model")]
    return _answer(
        "models list",
        rows,
        summary={"records": len(rows)},
        notes=_note_estimates(rows),
        table_keys=TABLE_KEYS["model"],
    )


def show_model(catalogue: Catalogue, name: str) -> Answer:
    """Show everything known of a model.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.
    name : str
        Id or alias.

    Returns
    -------
    Answer
        One row: each value, and its unit, kind, source and note under the key with that ending.

    Raises
    ------
    InputError
        If the id is unknown.
    """
    row = _model_row(catalogue, catalogue.record("model", name), full=True)
    return _answer("models show", [row], notes=_note_estimates([row]), inputs={"id": name})


def validate_models(catalogue: Catalogue) -> Answer:
    """Check every model record, shipped and overlaid, and that its shape holds together.

    Parameters
    ----------
    catalogue : Catalogue
        Made with `collect_faults=True`.

    Returns
    -------
    Answer
        A row per record: file, numbers, how many are estimated, faults.
    """
    rows = []
    for name in catalogue.ids("model"):
        row = _checked(catalogue, "model", name)
        if not row["faults"]:
            try:
                load_model(name, catalogue=catalogue)
            except InputError as error:
                row["faults"] = [str(error)]
        rows.append(row)
    return _validated("models validate", rows, catalogue)


def known_keys() -> dict[str, dict[str, str]]:
    """Return every key `--set` takes, with its unit, by kind of record."""
    return {"system": quantity_keys("system"), "model": quantity_keys("model")}
