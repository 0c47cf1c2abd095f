"""A calibration record of fitted efficiencies as TOML, with what an earlier one of its id keeps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.evidence.operators.families import KERNELS, family_of, form_of
from roofline_afd.analysis.evidence.operators.fit import FITTED
from roofline_afd.analysis.evidence.operators.libraries import library_of
from roofline_afd.catalogue.calibration import ESTIMATED, MEASURED, OPERATOR_TABLES
from roofline_afd.catalogue.writing import address, bare_key, block, entries, literal, rounded, title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from roofline_afd.analysis.evidence.operators.fit import FittedTable
    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.records import Record
    from roofline_afd.catalogue.store import Catalogue


def record_text(
    name: str, tables: Sequence[FittedTable], *, catalogue: Catalogue, date: str, shipped: bool = False
) -> str:
    """Return a calibration record as TOML; tables that were not fitted anew are kept as they are.

    Parameters
    ----------
    name : str
        Id of the record.
    tables : sequence of FittedTable
        Its fitted tables.
    catalogue : Catalogue
        Where an earlier record of that id is looked up.
    date : str
        Date of the fit.
    shipped : bool
        Whether it takes the place of the shipped file itself.

    Returns
    -------
    str
        TOML that `--hardware-db` takes; it replaces an earlier record of that id.
    """
    earlier = catalogue.find("calibration", name)
    data: dict[str, Any] = dict(earlier.data) if earlier else {}
    rows = [row for table in tables for row in table.rows]
    sources = _Sources(earlier, date)
    blocks = []
    fitted = {table.table: table for table in tables}
    for table in (*OPERATOR_TABLES, "link"):
        if table in fitted:
            blocks.append(_table_text(fitted[table], sources, earlier, shipped=shipped))
        elif table in data:
            blocks.append(_kept_text(table, data[table], sources))
    lists = _part_lists(data, rows, operators=not set(fitted) <= {"link"}, link="link" in fitted)
    head = {
        "schema": 1,
        "record": "calibration",
        "id": name,
        "name": data.get("name") or f"Fitted efficiencies of {name}",
        **({"note": data["note"]} if "note" in data and shipped else {}),
        "fitted": date,
        **({"replaces": True} if earlier and not shipped else {}),
        **{key: parts for key, parts in lists.items() if parts},
    }
    return "\n\n".join(["\n".join(entries(head)), *blocks, *sources.blocks()]) + "\n"


def _part_lists(
    data: Mapping[str, Any], rows: Iterable[Measurement], *, operators: bool, link: bool
) -> dict[str, list[str]]:
    """Return which parts a record is for: those named before, and those measured now."""
    lists = {key: list(data.get(key, ())) for key in ("accelerators", "alike", "scale_up", "scale_out")}
    for row in rows:
        if KERNELS[row.operator] != "link":
            lists["accelerators"] += [row.system.accelerator.id] if operators else []
            continue
        crosses = row.numbers["n_devices"] > row.system.scale_up_domain_devices
        fabric = row.system.scale_out if crosses else row.system.scale_up
        if link and fabric is not None and fabric.id:
            lists["scale_out" if crosses else "scale_up"].append(fabric.id)
    return {key: list(dict.fromkeys(parts)) for key, parts in lists.items()}


class _Sources:
    """Sources of a record under construction: those of the rows, under keys made from their names."""

    def __init__(self, earlier: Record | None, date: str) -> None:
        self._tables: dict[str, dict[str, str]] = {}
        self._earlier = earlier.data["sources"] if earlier else {}
        self._date = date

    def key(self, text: str) -> str:
        """Return the key of a source that rows name in these words."""
        found = title(text) or "own measurements"
        for key, table in {**self._earlier, **self._tables}.items():
            if table["title"] == found:
                self._tables.setdefault(key, dict(table))
                return str(key)
        name = re.sub(r".*?github\.com/[^/\s]+/([^/\s]+).*", r"\1", found)
        words = re.findall(r"[a-z0-9]+", name.lower())[:2]
        stem = "-".join(words) or "source"
        taken = {*self._tables, *self._earlier}
        key = next(
            each for each in (stem, *(f"{stem}-{count}" for count in range(2, 99))) if each not in taken
        )
        self._tables[key] = {"title": found, **address(found), "date": self._date}
        return key

    def keep(self, key: str) -> None:
        """Keep a source of the earlier record."""
        self._tables.setdefault(key, dict(self._earlier[key]))

    def blocks(self) -> list[str]:
        """Return the tables of all sources used."""
        return [block(f"sources.{bare_key(key)}", table) for key, table in self._tables.items()]


def _table_text(table: FittedTable, sources: _Sources, earlier: Record | None, *, shipped: bool) -> str:
    named = list(dict.fromkeys(sources.key(row.texts["source"]) for row in table.rows))
    before = earlier.data.get(table.table, {}) if earlier else {}
    series = [
        {**each, "source": sources.key(each["source"])}
        | {key: rounded(each[key]) for key in ("training_error", "held_out_error")}
        for each in table.series
    ]
    unseen = table.fit.shape_error
    head = {
        **({"note": before["note"]} if "note" in before and shipped else {}),
        **(_rows_of(table, before) if table.table != "link" else _exchanges_of(table)),
        "points": len(table.rows),
        "training_error": rounded(table.fit.training_error),
        "held_out_error": rounded(table.fit.held_out_error),
        **({} if unseen is None else {"held_out_shape_error": rounded(unseen)}),
        **{key: before[key] for key in ("sibling_error", "core_in_cache_format") if key in before},
    }
    values = {
        key: _kept_value(before[key], sources)
        if key in table.held
        else {
            "value": rounded(value),
            "kind": ESTIMATED if key in table.estimated else MEASURED,
            "source": named,
            "note": table.estimated.get(key) or FITTED,
        }
        for key, value in table.stated.items()
    }
    listed = ["series = [", *(f"  {literal(each)}," for each in series), "]"]
    return "\n".join([block(table.table, head), *listed, *entries(values)])


def _rows_of(table: FittedTable, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the library that a table's rows timed, on which parts, and in which number formats."""
    family = before.get("family") or (family_of(table.rows[0]) if table.rows[0].family else "")
    forms = list(dict.fromkeys(filter(None, map(form_of, table.rows))))
    return {
        **({"family": family} if family else {}),
        "measured_on": list(dict.fromkeys(row.system.accelerator.id for row in table.rows)),
        **({"formats": forms} if forms else {}),
    }


def _exchanges_of(table: FittedTable) -> dict[str, Any]:
    """Return the library whose exchanges a table's rows timed, and of which maker's accelerators."""
    library, part = library_of(table.rows[0]), table.rows[0].system.parts.accelerator
    return {"library": library, "vendor": part.text("vendor")} if library else {}


def _kept_value(value: Mapping[str, Any], sources: _Sources) -> dict[str, Any]:
    for source in value["source"]:
        sources.keep(source)
    return dict(value)


def _kept_text(name: str, table: Mapping[str, Any], sources: _Sources) -> str:
    for value in table.values():
        if isinstance(value, dict):
            for source in value["source"]:
                sources.keep(source)
    return block(name, table)
