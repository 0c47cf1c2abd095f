"""Every combination of values on some axes: rows to a file, or what a reduction keeps of them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pickle
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.answer import Answer, Decisive, left_out, object_columns
from roofline_afd.analysis.decode.changes import SUBJECTS, changed
from roofline_afd.analysis.sweep import runners
from roofline_afd.analysis.sweep.axes import axes_of
from roofline_afd.analysis.sweep.metrics import METRICS
from roofline_afd.analysis.sweep.plan import Plan, Spec, ordered, plan_of, valid_metrics
from roofline_afd.analysis.sweep.questions import OF, RUNNERS
from roofline_afd.analysis.sweep.reduce import (
    BEST,
    HISTOGRAM,
    NONE,
    PARETO,
    QUANTILES,
    TOP,
    Reducer,
    better,
    reduction_of,
)
from roofline_afd.analysis.sweep.runners import SERIAL, Job, LostError, run
from roofline_afd.analysis.sweep.store import FORMS, Store
from roofline_afd.analysis.sweep.work import PARQUET, TABLE
from roofline_afd.errors import InputError, nearest, shown, shown_path
from roofline_afd.processes import cores
from roofline_afd.serving.checks import choice, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from pathlib import Path

    from roofline_afd.analysis.sweep.axes import Axis
    from roofline_afd.analysis.sweep.questions import Sweep

MOST_ROWS = 100_000
"""Points that an answer holds; more go to a file."""
MOST_POINTS = 10**12
TASK_POINTS = {NONE: 1 << 17, "reduced": 1 << 22}
"""Points of a task, where many are computed at once."""
FEWEST_TASKS = 64
"""Tasks of a long reduction: each begins with nothing to hold its first points to."""
SEARCHES = 8
"""Points of a task that are searched one by one."""
SEARCHED = {"compare", "provision", "explore"}


@dataclasses.dataclass
class Progress:
    """How far a sweep is."""

    points: int
    total: int
    seconds: float

    @property
    def rate(self) -> float:
        """Points a second [1/s]."""
        return self.points / max(self.seconds, 1e-9)

    @property
    def left(self) -> float:
        """Time left at that rate [s]."""
        return (self.total - self.points) / max(self.rate, 1e-9)


def sweep(question: Sweep, *, told: Callable[[Progress], None] | None = None) -> Answer:
    """Answer every combination of values.

    Parameters
    ----------
    question : Sweep
        What is asked.
    told : callable, optional
        Is told how far it is.

    Returns
    -------
    Answer
        All rows, or what the reduction keeps; none where they went to a file.

    Raises
    ------
    InputError
        If an axis or a metric is unknown, there are too many points, or a file cannot be written.
    """
    spec = _spec(question)
    runner = choice("--runner", question.runner, RUNNERS)
    if question.scheduler is not None and runner not in {runners.DASK, runners.RAY}:
        raise InputError("--scheduler belongs to --runner dask or ray")
    reduced = spec.reduce[0] != NONE
    form = None if reduced else _form(question.file)
    if question.resume and question.file is None:
        raise InputError("--resume needs --output FILE: finished blocks are kept beside it")
    points = spec.grid.points
    if not reduced and question.file is None and points > MOST_ROWS:
        raise InputError(
            f"{points:,} points are more than the {MOST_ROWS:,} that an answer holds: give --output FILE.csv "
            "or FILE.parquet, or --reduce"
        )
    packed = pickle.dumps(spec)
    _tried(spec, plan_of(packed))
    tasks = spec.grid.tasks(_task_points(spec))
    if len(tasks) == 1 and runner == runners.PROCESSES:
        runner = SERIAL
    job = Job(
        packed,
        form or TABLE,
        list(enumerate(tasks)),
        whole("--workers", question.workers, most=1024) if question.workers else cores(),
        question.scheduler,
    )
    if question.file is None:
        return _answer(spec, _in_memory(spec, runner, job, told), runner)
    return _answer(spec, _to_file(spec, question, runner, job, told), runner)


def _spec(question: Sweep) -> Spec:
    of = choice("--of", question.of, OF)
    if question.axes is None:
        raise InputError("a sweep needs an axis: --axis KEY=VALUES")
    axes = axes_of(question.axes, question.scenario.system.parts.catalogue)
    known = METRICS[of]
    reduction = reduction_of(question.reduce, of)
    metrics = list(question.metrics or ())
    for name in metrics:
        if name not in known:
            raise InputError(
                f"--metrics {shown(name)}{nearest(name, tuple(known))}; valid: {', '.join(known)}"
            )
    wanted = [part for part in reduction[1:] if part in known]
    if not metrics:
        metrics = wanted or list(valid_metrics(of))
        metrics += ["feasible"] if "feasible" in known and "feasible" not in metrics else []
    metrics = list(dict.fromkeys([*metrics, *wanted]))
    if reduction[0] in {HISTOGRAM, QUANTILES} and known[reduction[1]].words:
        raise InputError(f"--reduce {question.reduce}: {reduction[1]} is no number")
    places, outer = ordered(of, question.mode, question.scenario, axes)
    spec = Spec(of, question.mode, question.scenario, places, outer, tuple(metrics), reduction)
    if spec.grid.points > MOST_POINTS:
        raise InputError(f"{spec.grid.points:,} points are more than a sweep has, {MOST_POINTS:,}")
    return spec


def _form(file: Path | None) -> str | None:
    if file is None:
        return None
    form = FORMS.get(file.suffix.lower())
    if form is None:
        raise InputError(
            f"--output {shown_path(file)}: {shown(file.suffix)} is no table; valid: .csv, .parquet"
        )
    if form == PARQUET:
        try:
            import_module("pyarrow.parquet")
        except ImportError as error:
            raise InputError("Parquet needs pyarrow: pip install 'roofline-afd[parquet]'") from error
    return form


def _tried(spec: Spec, plan: Plan) -> None:
    """Compute the first point, so that what cannot be meant is refused before any work."""
    plan.tried()
    for index, axis in enumerate(spec.axes[: spec.n_outer]):
        if axis.key not in SUBJECTS:
            continue
        for place in range(axis.size):
            _known(spec, index, place)


def _known(spec: Spec, index: int, place: int) -> None:
    """Refuse a value that no question can have; whether it is feasible is for the sweep to say."""
    axis = spec.axes[index]
    try:
        changed(spec.scenario, {axis.key: axis.value(place)})
    except InputError as error:
        known = f"{axis.key} {shown(str(axis.value(place)))}"
        raise InputError(f"--axis {known}: {error}") from error


def _task_points(spec: Spec) -> int:
    if spec.of in SEARCHED:
        return SEARCHES
    if spec.reduce[0] == NONE:
        return TASK_POINTS[NONE]
    return max(TASK_POINTS["reduced"], spec.grid.points // FEWEST_TASKS)


def _done(
    runner: str, job: Job, spec: Spec, told: Callable[[Progress], None] | None, before: int
) -> Generator[tuple[int, bytes], None, None]:
    """Yield what tasks give, and tell how far the sweep is."""
    grid = spec.grid
    begun, points = time.monotonic(), before
    each = grid.points / max(grid.chunks, 1)
    sizes = {number: len(chunks) * each for number, chunks in job.tasks}
    for number, part in run(runner, job):
        points += round(sizes[number])
        if told is not None:
            told(Progress(min(points, grid.points), grid.points, time.monotonic() - begun))
        yield number, part


def _in_memory(
    spec: Spec, runner: str, job: Job, told: Callable[[Progress], None] | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return rows, and what is said of all points."""
    try:
        with contextlib.closing(_done(runner, job, spec, told, 0)) as done:
            found = dict(done)
    except LostError as error:
        raise InputError(f"--runner {runner}: {error}; --output FILE keeps what is done") from error
    if spec.reduce[0] == NONE:
        parts = (pickle.loads(found[number]) for number in range(len(job.tasks)))  # noqa: S301 - of our workers
        rows = [
            _plain(dict(zip(part, row, strict=True)))
            for part in parts
            for row in zip(*part.values(), strict=True)
        ]
        return rows, {"points": len(rows)}
    return _joined(spec, (found[number] for number in range(len(job.tasks))))


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and value != value else value for key, value in row.items()}  # noqa: PLR0124 - NaN


def _to_file(
    spec: Spec,
    question: Sweep,
    runner: str,
    job: Job,
    told: Callable[[Progress], None] | None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Write rows, or keep the states of a reduction, part by part, so that a run that ends early goes on."""
    assert question.file is not None  # noqa: S101 - the caller's
    with Store(question.file, spec.digest, resume=question.resume) as store:
        kept = store.done()
        left = [(number, chunks) for number, chunks in job.tasks if number not in kept]
        before = round(spec.grid.points * len(kept) / max(len(job.tasks), 1))
        try:
            with contextlib.closing(_done(runner, job._replace(tasks=left), spec, told, before)) as parts:
                for number, part in parts:
                    store.keep(number, part)
        except LostError as error:
            done = len(store.done())
            raise InputError(
                f"--runner {runner}: {error}; {done:,} finished blocks are kept for --resume"
            ) from error
        if spec.reduce[0] != NONE:
            found = _joined(spec, (store.read(number) for number in range(len(job.tasks))))
            store.drop()
            return found
        header = [*(axis.key for axis in spec.axes), *spec.metrics]
        store.assemble(job.form, header, len(job.tasks))
        return [], {"points": spec.grid.points, "file": str(question.file)}


def _joined(spec: Spec, parts: Iterator[bytes]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows that a reduction of all parts comes to."""
    reducer = Reducer(spec.of, spec.reduce, spec.metrics)
    for part in parts:
        reducer.join(json.loads(part))
    told = {"points": reducer.points, "points_counted": reducer.valid}
    if not reducer.valid:
        return [], told
    name = spec.reduce[0]
    if name == QUANTILES:
        return list(reducer.quantiles()), told
    if name == HISTOGRAM:
        return list(reducer.histogram()), told
    plan = Plan(spec)
    rows = []
    for index, place in enumerate(reducer.kept.places.tolist()):
        values = {key: column[index] for key, column in reducer.kept.columns.items()}
        rows.append({**plan.point(place), **{key: _told(spec, key, value) for key, value in values.items()}})
    return [_plain(row) for row in rows], told


def _told(spec: Spec, key: str, value: float) -> Any:  # noqa: ANN401 - a number, a word, or yes and no
    words = METRICS[spec.of][key].words
    if words:
        return words[int(value)]
    return bool(value) if key == "feasible" else float(value)


def _answer(spec: Spec, found: tuple[list[dict[str, Any]], dict[str, Any]], runner: str) -> Answer:
    rows, told = found
    sizes = ", ".join(_axis_words(axis) for axis in spec.axes)
    return Answer(
        command="sweep",
        inputs={
            "of": spec.of,
            "system": spec.scenario.system.id,
            "model": spec.scenario.model.id,
            "axes": {axis.key: axis.size for axis in spec.axes},
            "metrics": list(spec.metrics),
            "reduce": ":".join(spec.reduce),
        },
        columns=object_columns(rows) if rows else {},
        summary={**told, "answer": _sentence(spec, rows, told)},
        notes=[
            f"axes, the last one fastest: {sizes}",
            *left_out(spec.scenario.system.parts.catalogue),
            *_notes(spec, told),
        ],
        table_keys=tuple(rows[0]) if rows else (),
        picture={
            "of": spec.of,
            "axes": [axis.key for axis in spec.axes],
            "metrics": list(spec.metrics),
            "better": {name: better(spec.of, name) for name in spec.metrics},
            "runner": runner,
        },
    )


def _axis_words(axis: Axis) -> str:
    ends = (axis.value(0), axis.value(axis.size - 1))
    if axis.size == 1:
        return f"{axis.key} {ends[0]}"
    told = "{:,.6g} to {:,.6g}".format(*ends) if axis.numbers is not None else f"{ends[0]} ... {ends[1]}"
    return f"{axis.key} {told} ({axis.size:,})"


def _notes(spec: Spec, told: Mapping[str, Any]) -> list[str]:
    notes: list[str] = [
        Decisive(f"{axis.key}: known but incomplete, left out: {', '.join(axis.left_out)}")
        for axis in spec.axes
        if axis.left_out
    ]
    out = told["points"] - told.get("points_counted", told["points"])
    if out:
        notes.append(Decisive(f"{out:,} of {told['points']:,} points infeasible: left out"))
    if spec.of == "predict":
        notes.append(
            "heads, caches and experts are not shared but as options say; where micro-batches are not given: "
            "the better of one and two with EP, three with AFD"
        )
    if spec.reduce[0] in {HISTOGRAM, QUANTILES}:
        notes.append("values are counted in bins half a percent wide")
    return notes


def _sentence(spec: Spec, rows: list[dict[str, Any]], told: Mapping[str, Any]) -> str:
    points = f"{told['points']:,} points of {spec.of}"
    name = spec.reduce[0]
    if name == NONE:
        return f"{points} are in {told['file']}." if "file" in told else f"{points}."
    if not rows:
        return f"None of {points} is feasible."
    if name in {BEST, TOP}:
        key, first = spec.reduce[1], rows[0]
        at = ", ".join(f"{axis.key} {_short(first[axis.key])}" for axis in spec.axes)
        most = {"most": "highest", "least": "lowest"}[better(spec.of, key)]
        return f"The {most} {key} of {points} is {_short(first[key])}, at {at}."
    if name == PARETO:
        return f"{len(rows):,} of {points} are on the frontier of {spec.reduce[1]} and {spec.reduce[2]}."
    key = spec.reduce[1]
    if name == HISTOGRAM:
        return f"{key} of {points} in {len(rows)} bins."
    low, _, middle, _, high = (row[key] for row in rows)
    return f"{key} of {points}: {middle:.4g} in the median, {low:.4g} to {high:.4g} in nine tenths."


def _short(value: object) -> str:
    return f"{value:,.6g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
