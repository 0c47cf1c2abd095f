"""Calibration: efficiencies of operators and links fitted to measured times, written as catalogue records."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns
from roofline_afd.analysis.evidence.fitting import Bounds, Fit, fit
from roofline_afd.analysis.evidence.operator_times import (
    TABLES,
    Exchange,
    Work,
    exchange_of,
    measured_us,
    work_of,
)
from roofline_afd.catalogue.calibration import (
    BALANCE,
    DEFAULT,
    ESTIMATED,
    OPERATOR_TABLES,
    LinkEfficiency,
    OperatorEfficiency,
    record_for,
    table_quantities,
)
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.measurements import Measurement
    from roofline_afd.catalogue.records import Record
    from roofline_afd.catalogue.store import Catalogue

SHARE = Bounds(0.02, 1.0, 0.7)
BOUNDS = {
    "launch_us": Bounds(0.0, 100.0, 5.0),
    "depth_ns": Bounds(0.0, 10.0, 0.5),
    "compute_efficiency": SHARE,
    "half_saturation_tokens": Bounds(0.0, 2000.0, 50.0),
    "memory_efficiency": SHARE,
    "latency_up_us": Bounds(0.0, 200.0, 10.0),
    "efficiency_up": SHARE,
    "latency_out_us": Bounds(0.0, 200.0, 20.0),
    "efficiency_out": SHARE,
    "scale_penalty": Bounds(0.0, 0.5, 0.05),
    "latency_growth": Bounds(0.0, 0.5, 0.05),
}
"""Range of each parameter, in the unit of its key."""
BOTH_SHARES = ("compute_efficiency", "memory_efficiency")
FULL = {
    "gemm": ("launch_us", "depth_ns", "compute_efficiency", "half_saturation_tokens", "memory_efficiency"),
    "grouped_gemm": ("launch_us", "compute_efficiency", "half_saturation_tokens", "memory_efficiency"),
    "attention": ("launch_us", "compute_efficiency"),
}
"""Parameters fitted for each class of operators; others are held, or 0: they do not lower held-out errors."""
REDUCED = {"gemm": BOTH_SHARES, "grouped_gemm": BOTH_SHARES, "attention": ("compute_efficiency",)}
"""Parameters fitted where rows are few."""
HELD = {
    "attention": {
        "memory_efficiency": "all rows of latent attention do about as many operations per byte, so that one "
        "of both shares fits them: the compute share; this one is taken from the record default"
    }
}
"""Parameters that no measured row can fix, and why; the record `default` has them."""
UP = ("latency_up_us", "efficiency_up", "latency_growth")
OUT = ("latency_out_us", "efficiency_out", "scale_penalty")
ROWS_PER_PARAMETER = 2
"""Fewer rows than this per parameter fix no more than the shares of the peaks."""
UNMOVED = 1e-9
"""Relative change of every predicted time below which a parameter has no say in them."""
ZERO = "held at 0: fitting it does not lower the held-out error"
DIGITS = 4
TABLE_KEYS = ("operator", "system", "points", "training_error", "held_out_error", "record", "parameters")


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Rows that share one set of parameters: one table of one record."""

    record: str
    table: str
    rows: tuple[Measurement, ...]
    work: Work | Exchange = dataclasses.field(repr=False)
    measured: NDArray[np.float64] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class FittedTable:
    """One table of a record: parameters by key, which of them are estimates and why, and the fit."""

    record: str
    table: str
    rows: tuple[Measurement, ...]
    values: Mapping[str, float]
    estimated: Mapping[str, str]
    fit: Fit


def efficiency_of(table: str, values: Mapping[str, float]) -> OperatorEfficiency | LinkEfficiency:
    """Return efficiencies in SI from the values of a table.

    Parameters
    ----------
    table : str
        A member of `OPERATOR_TABLES`, or `link`.
    values : mapping of str to float
        Values in the units the keys name.

    Returns
    -------
    OperatorEfficiency or LinkEfficiency
        The same in SI.
    """
    if table == "link":
        return LinkEfficiency(
            latency_up_s=values["latency_up_us"] * 1e-6,
            latency_out_s=values["latency_out_us"] * 1e-6,
            efficiency_up=values["efficiency_up"],
            efficiency_out=values["efficiency_out"],
            scale_penalty=values["scale_penalty"],
            latency_growth=values["latency_growth"],
        )
    return OperatorEfficiency(
        compute_efficiency=values["compute_efficiency"],
        half_saturation_tokens=values["half_saturation_tokens"],
        memory_efficiency=values["memory_efficiency"],
        launch_s=values["launch_us"] * 1e-6,
        depth_time_s=values["depth_ns"] * 1e-9,
    )


def times_of(table: str, work: Work | Exchange, values: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the time of each row under the values of a table [s]."""
    return work.times(efficiency_of(table, values))  # type: ignore[arg-type]  # table and work belong together


def groups_of(rows: Iterable[Measurement], *, catalogue: Catalogue) -> list[Group]:
    """Sort measured rows into the tables of the records they calibrate.

    Parameters
    ----------
    rows : iterable of Measurement
        Complete rows; whole attention layers are left out: they are predicted, never fitted.
    catalogue : Catalogue
        Its records say which parts are pooled: those that a record's lists name together.

    Returns
    -------
    list of Group
        In order of first appearance.

    Raises
    ------
    InputError
        If a row lacks what its time is computed from.
    """
    sorted_rows: dict[tuple[str, str], list[Measurement]] = {}
    for row in rows:
        if row.missing:
            raise InputError(f"{row.place}: lacks {', '.join(row.missing)}")
        if row.operator in TABLES:
            table = TABLES[row.operator]
            link = table == "link"
            part = row.system.scale_up.id if link else row.system.accelerator.id
            if not part:
                raise InputError(f"{row.place}: {row.system.id} names no scale-up fabric")
            key = "scale_up" if link else "accelerators"
            known = record_for(table, part, key, catalogue=catalogue)
            sorted_rows.setdefault((known.id if known else part, table), []).append(row)
    groups = []
    for (record, table), held in sorted_rows.items():
        work = exchange_of(held) if table == "link" else work_of(held)
        measured = np.array([measured_us(row) for row in held]) * 1e-6
        groups.append(Group(record, table, tuple(held), work, measured))
    return groups


def fit_group(group: Group, defaults: Mapping[str, float]) -> FittedTable | None:
    """Fit the parameters of a table.

    Parameters
    ----------
    group : Group
        Its rows.
    defaults : mapping of str to float
        Values of parameters that the rows do not fix, in the units of the keys.

    Returns
    -------
    FittedTable or None
        None where the rows are too few for even one parameter.
    """
    fitted, estimated = _parameters(group)
    if not fitted:
        return None
    base = {key: defaults[key] for key in (*UP, *OUT)} if group.table == "link" else dict(defaults)
    if group.table in FULL:
        kept = {*FULL[group.table], *HELD.get(group.table, {})}
        base |= {key: 0.0 for key in base if key not in kept}

    def times(parameters: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.float64]:
        values = {**base, **dict(zip(fitted, parameters.tolist(), strict=True))}
        return times_of(group.table, _subset(group.work, rows), values)

    found = fit(times, group.measured, tuple(BOUNDS[key] for key in fitted))
    values = {**base, **dict(zip(fitted, found.parameters, strict=True))}
    for key in fitted:
        if not _matters(group, values, key):
            values[key] = defaults[key]
            estimated[key] = "no row depends on it: taken from the record default"
    return FittedTable(group.record, group.table, group.rows, values, estimated, found)


def _parameters(group: Group) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return which parameters the rows can fix, and why each other one, or any, is an estimate."""
    estimated: dict[str, str] = {}
    if isinstance(group.work, Exchange):
        across = int(np.count_nonzero(group.work.crosses))
        up = UP if group.work.grows else UP[:2]
        choices: list[tuple[tuple[str, ...], list[tuple[str, ...]], int]] = [
            (UP, [up, UP[1:2]], len(group.rows) - across),
            (OUT, [OUT, OUT[:2], OUT[1:2]], across),
        ]
    else:
        full = FULL[group.table]
        choices = [(full, [full, REDUCED[group.table]], len(group.rows))]
        estimated |= HELD.get(group.table, {})
    fitted: list[str] = []
    for every, tiers, rows in choices:
        chosen = next((tier for tier in tiers if rows >= ROWS_PER_PARAMETER * len(tier)), ())
        fitted += chosen
        why = f"{rows} rows are too few to fix it: taken from the record default"
        estimated |= {key: why for key in every if key not in chosen}
        if every[0] not in chosen:  # the fixed time, which comes first
            estimated |= dict.fromkeys(chosen, f"{rows} rows cannot tell it from fixed times")
    return tuple(fitted), estimated


def _subset(work: Work | Exchange, rows: NDArray[np.intp]) -> Work | Exchange:
    columns = {field.name: getattr(work, field.name)[rows] for field in dataclasses.fields(work)}
    return type(work)(**columns)


def _matters(group: Group, values: Mapping[str, float], key: str) -> bool:
    """Whether any predicted time changes when a parameter does."""
    moved = {**values, key: values[key] * 1.1 if values[key] else BOUNDS[key].start}
    before, after = (times_of(group.table, group.work, each) for each in (values, moved))
    less = times_of(group.table, group.work, {**values, key: values[key] * 0.9})
    change = np.maximum(np.abs(after / before - 1), np.abs(less / before - 1))
    return bool(np.max(change) > UNMOVED)


def calibrate(
    rows: Sequence[Measurement], *, catalogue: Catalogue, date: str | None = None, shipped: bool = False
) -> tuple[dict[str, str], Answer]:
    """Fit every group of measured rows, and write the records.

    Parameters
    ----------
    rows : sequence of Measurement
        What was measured.
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
        If a row lacks an input, or no group has enough rows.
    """
    date = date or dt.datetime.now(tz=dt.UTC).date().isoformat()
    default = catalogue.record("calibration", DEFAULT)
    tables: list[FittedTable] = []
    few: list[str] = []
    for group in groups_of(rows, catalogue=catalogue):
        values = {
            key: value.value
            for key, value in table_quantities(default, group.table).items()
            if key != BALANCE
        }
        fitted = fit_group(group, values)
        if fitted is None:
            few.append(
                f"{group.record} [{group.table}]: {len(group.rows)} rows are too few, nothing is fitted"
            )
        else:
            tables.append(fitted)
    if not tables:
        raise InputError(
            "; ".join(few) or "no row to fit: whole attention layers are predicted, never fitted"
        )
    records: dict[str, list[FittedTable]] = {}
    for table in tables:
        records.setdefault(table.record, []).append(table)
    written = {
        name: record_text(name, held, catalogue=catalogue, date=date, shipped=shipped)
        for name, held in sorted(records.items())
    }
    return written, _answer(tables, few)


def _answer(tables: Iterable[FittedTable], few: Iterable[str]) -> Answer:
    rows = []
    notes = list(few)
    for table in tables:
        parameters = ", ".join(f"{key} {_rounded(value):g}" for key, value in _written(table).items())
        for series in _series(table):
            source = series.pop("source")
            rows.append(
                {"record": table.record, "table": table.table, **series, "parameters": parameters}
                | {"source": source}
            )
        notes += [
            f"estimated: {table.record} [{table.table}] {key}: {why}" for key, why in table.estimated.items()
        ]
    points = sum(len(table.rows) for table in tables)
    return Answer("calibrate", {}, object_columns(rows), {"points": points}, notes, TABLE_KEYS)


def _series(table: FittedTable) -> list[dict[str, Any]]:
    """Return points and errors of a table for each operator, system and source."""
    names = [(row.operator, row.system.id, row.texts["source"]) for row in table.rows]
    found = []
    for name in sorted(set(names)):
        mine = [index for index, other in enumerate(names) if other == name]
        found.append(
            {
                "operator": name[0],
                "system": name[1],
                "source": name[2],
                "points": len(mine),
                "training_error": float(np.median(np.abs(table.fit.errors[mine]))),
                "held_out_error": float(np.median(np.abs(table.fit.held_out_errors[:, mine]))),
            }
        )
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _written(table: FittedTable) -> dict[str, float]:
    """Return the values a record states: all but those of links that come whole from the default."""
    if table.table != "link":
        return dict(table.values)
    needed = UP[:2]  # the schema wants these in any case
    return {
        key: value
        for key, value in table.values.items()
        if key in needed or "taken from the record default" not in table.estimated.get(key, "")
    }


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
    head = [
        "schema = 1",
        'record = "calibration"',
        f"id = {_quoted(name)}",
        f"name = {_quoted(data.get('name') or f'Fitted efficiencies of {name}')}",
        *([f"note = {_quoted(data['note'])}"] if "note" in data and shipped else []),
        f"fitted = {_quoted(date)}",
        *(["replaces = true"] if earlier and not shipped else []),
        *(f"{key} = [{', '.join(map(_quoted, parts))}]" for key, parts in lists.items() if parts),
    ]
    return "\n\n".join(["\n".join(head), *blocks, *sources.blocks()]) + "\n"


def _part_lists(
    data: Mapping[str, Any], rows: Iterable[Measurement], *, operators: bool, link: bool
) -> dict[str, list[str]]:
    """Return which parts a record is for: those named before, and those measured now."""
    lists = {key: list(data.get(key, ())) for key in ("accelerators", "alike", "scale_up", "scale_out")}
    for row in rows:
        if TABLES[row.operator] != "link":
            lists["accelerators"] += [row.system.accelerator.id] if operators else []
            continue
        lists["scale_up"] += [row.system.scale_up.id] if link else []
        crosses = row.numbers["n_devices"] > row.system.scale_up_domain_devices
        if crosses and row.system.scale_out is not None and row.system.scale_out.id:
            lists["scale_out"].append(row.system.scale_out.id)
    return {key: list(dict.fromkeys(parts)) for key, parts in lists.items()}


class _Sources:
    """Sources of a record under construction: those of the rows, under keys made from their names."""

    def __init__(self, earlier: Record | None, date: str) -> None:
        self._tables: dict[str, dict[str, str]] = {}
        self._earlier = earlier.data["sources"] if earlier else {}
        self._date = date

    def key(self, text: str) -> str:
        """Return the key of a source that rows name in these words."""
        title = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text).strip()[:500] or "own measurements"
        for key, table in {**self._earlier, **self._tables}.items():
            if table["title"] == title:
                self._tables.setdefault(key, dict(table))
                return str(key)
        address = re.search(r"https://[^\s<>\"()]+", title)
        name = re.sub(r".*?github\.com/[^/\s]+/([^/\s]+).*", r"\1", title)
        words = re.findall(r"[a-z0-9]+", name.lower())[:2]
        stem = "-".join(words) or "source"
        taken = {*self._tables, *self._earlier}
        key = next(
            each for each in (stem, *(f"{stem}-{count}" for count in range(2, 99))) if each not in taken
        )
        url = {"url": address[0]} if address else {}
        self._tables[key] = {"title": title, **url, "date": self._date}
        return key

    def keep(self, key: str) -> None:
        """Keep a source of the earlier record."""
        self._tables.setdefault(key, dict(self._earlier[key]))

    def blocks(self) -> list[str]:
        """Return the tables of all sources used."""
        return [
            "\n".join(
                [
                    f"[sources.{_bare(key)}]",
                    *(f"{entry} = {_quoted(value)}" for entry, value in table.items()),
                ]
            )
            for key, table in self._tables.items()
        ]


def _table_text(table: FittedTable, sources: _Sources, earlier: Record | None, *, shipped: bool) -> str:
    named = list(dict.fromkeys(sources.key(row.texts["source"]) for row in table.rows))
    note = earlier.data.get(table.table, {}).get("note") if earlier and shipped else None
    series = [
        {**each, "source": sources.key(each["source"])}
        | {key: _rounded(each[key]) for key in ("training_error", "held_out_error")}
        for each in _series(table)
    ]
    lines = [
        f"[{table.table}]",
        *([f"note = {_quoted(note)}"] if note else []),
        f"points = {len(table.rows)}",
        f"training_error = {_rounded(table.fit.training_error)}",
        f"held_out_error = {_rounded(table.fit.held_out_error)}",
        "\n".join(["series = [", *(f"  {_literal(each)}," for each in series), "]"]),
    ]
    for key, value in _written(table).items():
        why = table.estimated.get(key)
        entry = {
            "value": _rounded(value),
            "kind": ESTIMATED if why else "measured",
            "source": named,
            "note": why or (ZERO if _held_at_zero(table, key) else "fitted to measured times"),
        }
        lines.append(_entry(key, entry))
    return "\n".join(lines)


def _held_at_zero(table: FittedTable, key: str) -> bool:
    return table.table in FULL and key not in FULL[table.table]


def _kept_text(name: str, table: Mapping[str, Any], sources: _Sources) -> str:
    lines = [f"[{name}]"]
    for key, value in table.items():
        if isinstance(value, dict):
            for source in value["source"]:
                sources.keep(source)
            lines.append(_entry(key, value))
        else:
            lines.append(f"{key} = {_literal(value)}")
    return "\n".join(lines)


def _entry(key: str, values: Mapping[str, Any]) -> str:
    return f"{key} = {{ {', '.join(f'{name} = {_literal(value)}' for name, value in values.items())} }}"


def _literal(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_literal(each)}' for key, each in value.items())} }}"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _bare(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _quoted(key)


def _quoted(text: object) -> str:
    return json.dumps(str(text), ensure_ascii=False)
