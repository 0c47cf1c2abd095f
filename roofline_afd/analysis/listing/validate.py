"""What is wrong with records, shipped and overlaid, and what is missing in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.answer import Answer, object_columns
from roofline_afd.catalogue.hardware import load_system, system_parts
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.reading import RecordError
from roofline_afd.catalogue.schema import FOLDERS
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from roofline_afd.catalogue.store import Catalogue


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
    summary = {
        "records": len(rows),
        "numbers": numbers,
        "estimated": estimated,
        "faulty": faulty,
        "answer": f"{verdict} {numbers} numbers, each with a source; {estimated} of them estimated.",
    }
    return Answer(command, {}, object_columns(rows), summary)
