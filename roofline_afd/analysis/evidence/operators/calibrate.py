"""The answer of `calibrate`: every group of measured rows fitted, and the records written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.answer import Answer, left_out, object_columns
from roofline_afd.analysis.evidence.operators.families import family_of
from roofline_afd.analysis.evidence.operators.fit import FittedTable, Group, fit_group, groups_of
from roofline_afd.analysis.evidence.operators.record import record_text
from roofline_afd.catalogue.calibration import DEFAULT
from roofline_afd.catalogue.records import table_quantities
from roofline_afd.catalogue.writing import rounded, today
from roofline_afd.errors import InputError
from roofline_afd.progress import steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.records import Quantity
    from roofline_afd.catalogue.store import Catalogue

TABLE_KEYS = ("operator", "system", "points", "training_error", "held_out_error", "record", "parameters")

MOST_REASONS = 3
"""Reasons of a message why nothing can be fitted."""


def calibrate(
    rows: Sequence[Measurement], *, catalogue: Catalogue, date: str | None = None, shipped: bool = False
) -> tuple[dict[str, str], Answer]:
    """Fit every group of measured rows, and write the records.

    Parameters
    ----------
    rows : sequence of Measurement
        What was measured; those whose `use` is not `fit` are left out.
    catalogue : Catalogue
        Its calibration records say which parts are pooled, and give what the rows do not fix.
    date : str, optional
        Date of the fit; today by default.
    shipped : bool
        Whether the records take the place of the shipped files themselves, instead of lying above them.

    Returns
    -------
    dict of str to str
        Id to TOML text of each record.
    Answer
        A row per operator of each fitted table: points, parameters, training and held-out error.

    Raises
    ------
    InputError
        If no group has enough rows that can be fitted: says why.
    """
    date = date or today()
    default = catalogue.record("calibration", DEFAULT)
    tables: list[FittedTable] = []
    few: list[str] = []
    groups, left = groups_of(rows, catalogue=catalogue)
    for group in steps(groups):
        kernel = "grouped_gemm" if group.kernel == "experts" else group.kernel
        nearest = group.table if group.table in default.data else kernel
        values = {key: value.value for key, value in table_quantities(default, nearest).items()}
        fitted = fit_group(group, values, _earlier(group, catalogue))
        if fitted is None:
            few.append(
                f"{group.record} [{group.table}]: {len(group.rows)} rows are too few, nothing is fitted"
            )
        else:
            tables.append(fitted)
    if not tables:
        raise InputError("; ".join([*few, *left][:MOST_REASONS]))
    records: dict[str, list[FittedTable]] = {}
    for table in tables:
        records.setdefault(table.record, []).append(table)
    written = {
        name: record_text(name, held, catalogue=catalogue, date=date, shipped=shipped)
        for name, held in sorted(records.items())
    }
    return written, _answer(tables, [*left_out(catalogue), *few, *(f"not fitted: {why}" for why in left)])


def _earlier(group: Group, catalogue: Catalogue) -> dict[str, Quantity]:
    """Return the values of the table that a group's record has already; none where it has none."""
    record = catalogue.find("calibration", group.record)
    return table_quantities(record, group.table) if record and group.table in record.data else {}


def _answer(tables: Iterable[FittedTable], few: Iterable[str]) -> Answer:
    rows = []
    notes = list(few)
    for table in tables:
        parameters = ", ".join(f"{key} {rounded(value):g}" for key, value in table.stated.items())
        for series in table.series:
            source = series.pop("source")
            rows.append(
                {"record": table.record, "table": table.table, **series, "parameters": parameters}
                | {"source": source}
            )
        library = family_of(table.rows[0]) if table.table != "link" and table.rows[0].family else ""
        if library:
            notes.append(
                f"{table.record} [{table.table}] is taken where an engine runs {library}: without `family` "
                "in the record always"
            )
        families = sorted({row.family for row in table.rows} - {""})
        if len(families) > 1:
            notes.append(f"{table.record} [{table.table}] pools the kernels {', '.join(families)}")
        notes += [
            f"estimated: {table.record} [{table.table}] {key}: {why}" for key, why in table.estimated.items()
        ]
    points = sum(len(table.rows) for table in tables)
    return Answer("calibrate", {}, object_columns(rows), {"points": points}, notes, TABLE_KEYS)
