"""Published points of serving as files hold them: rows read, checked, and named when faulty."""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
from fnmatch import fnmatchcase
from importlib.resources import files as package_files
from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.services.rows import FOLDER
from roofline_afd.analysis.evidence.table import MAX_BYTES, TableRow, distinct_rows, number, require_filled
from roofline_afd.analysis.files import file_text
from roofline_afd.catalogue.hardware import System, load_system
from roofline_afd.catalogue.models import Model, load_model
from roofline_afd.catalogue.precision import precision
from roofline_afd.errors import InputError, shown, shown_path
from roofline_afd.serving.checks import choice, whole
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from roofline_afd.catalogue.store import Catalogue

SHIPPED_FILE = "serving_points.csv"
TPOT, PER_INSTANCE, PER_DEVICE, PREFILL = (
    "tpot_ms",
    "output_tokens_per_s",
    "output_tokens_per_s_per_device",
    "prefill_tokens_per_s_per_device",
)
METRICS = (TPOT, PER_INSTANCE, PER_DEVICE, PREFILL)
"""What a row measures: a time per output token [ms], or a rate [tokens/s]."""
FILLED = ("id", "model", "system", "metric", "measured")
"""Columns that every row fills."""
REQUIRED = ("id", "model", "system", "n_devices", "parallelism", "isl", "osl", "concurrency", *FILLED[3:])
"""Columns that every file has; a row that leaves one empty which its metric needs is skipped."""
FORMATS = {
    "expert_precision": "expert_precision",
    "attention_precision": "attention_core_precision",
    "kv_precision": "kv_precision",
}
"""Columns of number formats, and the field of a scenario each sets."""
COUNTED = ("n_devices", "isl", "osl")
NUMBERS = (*COUNTED, "concurrency", "accept_length", "measured")
HEADS, SPREAD = "TP", "EP"
SHARING = re.compile(r"(TP|EP|DP)([1-9][0-9]{0,5})?")
"""One way of sharing work, and over how many devices."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServingPoint:
    """One row of a file: what was served on how many devices, and what was measured.

    `asked` is None where the catalogue lacks the system, `devices` where nobody stated them; where the row
    names no EP, those that share heads share experts too. `concurrency` counts the requests in flight on
    all devices [1], None where nobody stated it; `measured` is in the unit that `metric` names.
    """

    place: str
    id: str
    system: str
    model: str
    asked: Scenario | None
    workload: Workload | None
    devices: int | None
    parallelism: str
    engine: str
    concurrency: float | None
    metric: str
    measured: float
    source: str
    why_not: str = ""
    """Why nothing is predicted for the row, empty where something is."""
    reason: str = ""
    """Why the prediction is far off, where somebody looked into it."""

    @property
    def scenario(self) -> Scenario:
        """The question the row answers; InputError where nothing is predicted for it."""
        if self.asked is None:
            raise InputError(self.why_not)
        return self.asked

    @property
    def prefill(self) -> bool:
        """Whether the row times prompts alone."""
        return self.metric == PREFILL


def read_points(files: Iterable[Path], *, catalogue: Catalogue) -> list[ServingPoint]:
    """Read published points of serving.

    Parameters
    ----------
    files : iterable of path
        CSV files with a header that names at least `REQUIRED`; columns beyond those known are ignored.
    catalogue : Catalogue
        Where systems and models are looked up.

    Returns
    -------
    list of ServingPoint
        At least one.

    Raises
    ------
    InputError
        If a file cannot be read or is empty, a column is missing, or a row holds text for a number, a number
        out of bounds, an unknown metric, model or format, or a repeated id: names the file and the row, the
        header being row 1. A row of an unknown system is read, and says so.
    """
    return _points([(shown_path(file), file_text(file, most=MAX_BYTES)) for file in files], catalogue)


def shipped_points(catalogue: Catalogue) -> list[ServingPoint]:
    """Return the published points that ship with this package, with the reasons of large errors."""
    folder = package_files("hardware_db") / "measurements"
    text = (folder / SHIPPED_FILE).read_text(encoding="utf-8")
    reasons = shipped_point_reasons()
    return [
        dataclasses.replace(
            row, reason=next((why for ids, why in reasons.items() if fnmatchcase(row.id, ids)), "")
        )
        for row in _points([(f"{FOLDER}/{SHIPPED_FILE}", text)], catalogue)
    ]


def shipped_point_reasons() -> dict[str, str]:
    """Return the sentence on shipped points that are missed by far, by their id, or a pattern of ids."""
    text = (package_files("hardware_db") / "measurements" / "misses.toml").read_text(encoding="utf-8")
    return {str(key): str(value) for key, value in tomllib.loads(text)["points"].items()}


def _points(texts: Iterable[tuple[str, str]], catalogue: Catalogue) -> list[ServingPoint]:
    @functools.cache
    def system(name: str) -> System | str:
        try:
            return load_system(name, catalogue=catalogue)
        except InputError as error:
            return str(error).partition("; valid")[0]

    @functools.cache
    def model(name: str) -> Model:
        return load_model(name, catalogue=catalogue)

    return distinct_rows(texts, required=REQUIRED, read=lambda row: _point(row, system, model))


def _point(
    row: TableRow, system: Callable[[str], System | str], model: Callable[[str], Model]
) -> ServingPoint:
    require_filled(row, FILLED)
    place, filled, _ = row
    metric = choice(f"{place}: metric", filled["metric"], METRICS)
    numbers = {
        key: number(f"{place}: {key}", filled[key], whole=key in COUNTED) for key in NUMBERS if key in filled
    }
    counts = {key: int(value) for key, value in numbers.items() if key in COUNTED}
    formats = {
        field: precision(filled[key], option=f"{place}: {key}").id
        for key, field in FORMATS.items()
        if key in filled
    }
    text = filled.get("parallelism", "")
    ways = _ways(f"{place}: parallelism", text)
    devices = counts.get("n_devices")
    try:
        if devices is not None:
            whole("n_devices", devices)
        served, part = model(filled["model"]), system(filled["system"])
        scenario = (
            None
            if isinstance(part, str)
            else Scenario(
                system=part,
                model=served,
                accept_length=numbers.get("accept_length", 1.0),
                tensor_parallel=ways.get(HEADS) or 1,
                expert_tensor_parallel=1 if SPREAD in ways else ways.get(HEADS) or 1,
                **formats,  # type: ignore[arg-type]  # fields of formats, by name
            )
        )
        stated = "isl" in counts and "osl" in counts
        work = Workload(isl=counts["isl"], osl=counts["osl"]) if stated else None
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    concurrency = numbers.get("concurrency")
    absent = [key for key in ("isl", "osl") if key not in counts]
    if metric == TPOT and concurrency is None:
        absent.append("concurrency")
    if metric != PREFILL and devices is None:
        absent.append("n_devices")
    why = f"the row lacks {', '.join(absent)}" if absent else ""
    return ServingPoint(
        place=place,
        id=filled["id"],
        system=filled["system"],
        model=served.id,
        asked=scenario,
        workload=work,
        devices=devices,
        parallelism=text,
        engine=filled.get("engine", ""),
        concurrency=concurrency,
        metric=metric,
        measured=numbers["measured"],
        source=filled.get("source", ""),
        why_not=part if isinstance(part, str) else _not_modelled(ways, devices) or why,
    )


def _ways(place: str, text: str) -> dict[str, int | None]:
    """Return over how many devices heads, experts and sequences are shared, None where nobody said."""
    found: dict[str, int | None] = {}
    for word in text.split():
        match = SHARING.fullmatch(word)
        if match is None or match[1] in found or (match[1] == HEADS and not match[2]):
            raise InputError(
                f"{place} {shown(text)} is not written as TP8, EP8 or DP8, or some of them with a blank "
                "between"
            )
        found[match[1]] = int(match[2]) if match[2] else None
    return found


def _not_modelled(ways: Mapping[str, int | None], devices: int | None) -> str:
    """Return why nothing is predicted for a way of sharing work, empty where something is."""
    heads, spread = ways.get(HEADS) or 1, ways.get(SPREAD)
    if devices is not None and spread is not None and spread != devices:
        return f"experts over {spread} of {devices} devices are not modelled"
    if devices is not None and devices % heads:
        return f"heads shared by {heads} of {devices} devices are not modelled"
    return ""
