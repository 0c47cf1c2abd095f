"""Exchanges that somebody timed, dispatch and combine together, laid on what is predicted of them."""

from __future__ import annotations

import dataclasses
from importlib.resources import as_file
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING

from roofline_afd.analysis.bounds.fabric import MeasuredExchange, fabric
from roofline_afd.analysis.evidence.operators.libraries import KERNEL_TIMINGS, library_of
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.analysis.evidence.operators.transfers import DEFAULTS
from roofline_afd.catalogue.hardware import System

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.analysis.bounds.questions import Fabric
    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.models import Model
    from roofline_afd.catalogue.store import Catalogue

SHIPPED_FILE = "exchanges.csv"
SHAPE = ("n_devices", "tokens", "hidden", "top_k")
ALIKE = ("engine", "kernel", "timing", "model", "routing", "source")
"""Columns in which the halves of one exchange agree, besides system and shape."""


def measured_fabric(question: Fabric) -> Answer:
    """Answer `fabric` with the exchanges that were timed: those published, and those of the question's files.

    Parameters
    ----------
    question : Fabric
        What is asked.

    Returns
    -------
    Answer
        As of `fabric`; exchanges of other shapes than the model's are left out, and a note says how many.

    Raises
    ------
    InputError
        As of `fabric`, or if a file is faulty.
    """
    if not question.scenarios:
        return fabric(question)
    scenario = question.scenarios[0]
    catalogue = scenario.system.parts.catalogue
    rows = shipped_exchanges(catalogue)
    if question.operators:
        rows += read_measurements(map(Path, question.operators), catalogue=catalogue)
    systems = {each.system.id for each in question.scenarios}
    whole = [
        row
        for row in exchanges_of(rows)
        if isinstance(row.part, System) and row.part.id in systems and not row.why_not
    ]
    fitting = [row for row in whole if _fits(row, scenario.model)]
    answer = fabric(question, [_measured(row) for row in fitting])
    if len(fitting) < len(whole):
        answer.notes.append(
            f"{len(whole) - len(fitting)} measured exchanges of these systems are of another width or top-k "
            f"than {scenario.model.id} has: not drawn"
        )
    return answer


def shipped_exchanges(catalogue: Catalogue) -> list[Measurement]:
    """Return the published exchanges that ship with this package."""
    with as_file(package_files("hardware_db") / "measurements" / SHIPPED_FILE) as path:
        return read_measurements([path], catalogue=catalogue)


def exchanges_of(rows: Iterable[Measurement]) -> list[Measurement]:
    """Return rows of whole exchanges, and those made of a dispatch and a combine of one setting.

    Parameters
    ----------
    rows : iterable of Measurement
        Rows of any operators.

    Returns
    -------
    list of Measurement
        Rows with a time; a pair has the dispatch's format, and the sum of both times. Halves that several
        rows could complete are left out.
    """
    whole = []
    halves: dict[tuple[object, ...], dict[str, list[Measurement]]] = {}
    for row in rows:
        if "latency_us" not in row.numbers:
            continue
        if row.operator == "exchange":
            whole.append(row)
        elif row.operator in {"dispatch", "combine"}:
            shape = (row.numbers.get(key) for key in SHAPE)
            system = row.part.id if isinstance(row.part, System) else row.part
            key = (system, *shape, *(row.texts[name] for name in ALIKE))
            halves.setdefault(key, {}).setdefault(row.operator, []).append(row)
    for found in halves.values():
        pair: Sequence[list[Measurement]] = [found.get(name, []) for name in ("dispatch", "combine")]
        if [len(each) for each in pair] == [1, 1]:
            whole.append(_together(pair[0][0], pair[1][0]))
    return whole


def _together(dispatch: Measurement, combine: Measurement) -> Measurement:
    """Return the exchange that two halves make."""
    time = dispatch.numbers["latency_us"] + combine.numbers["latency_us"]
    return dataclasses.replace(
        dispatch,
        id=f"{dispatch.id} and {combine.id}",
        operator="exchange",
        numbers={**dispatch.numbers, "latency_us": time},
    )


def _fits(row: Measurement, model: Model) -> bool:
    return (row.numbers["hidden"], row.numbers["top_k"]) == (model.dispatch_width, model.top_k)


def _measured(row: Measurement) -> MeasuredExchange:
    timing = row.texts["timing"]
    return MeasuredExchange(
        id=row.id,
        system=row.system.id,
        n_devices=int(row.numbers["n_devices"]),
        tokens=row.numbers["tokens"],
        exchange_us=row.numbers["latency_us"],
        precision=row.texts["precision"] or DEFAULTS["exchange"],
        library=library_of(row),
        timing=timing,
        kernels=timing in KERNEL_TIMINGS,
        source=row.texts["source"],
    )
