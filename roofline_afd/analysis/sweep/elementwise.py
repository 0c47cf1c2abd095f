"""Arrays of inputs: a row for each element, those that share what is searched computed together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, left_out
from roofline_afd.analysis.decode.changes import SUBJECTS
from roofline_afd.analysis.sweep.axes import Axis
from roofline_afd.analysis.sweep.metrics import METRICS, kind_of
from roofline_afd.errors import InputError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from roofline_afd.serving.scenario import Scenario

MOST_ELEMENTS = 100_000_000


def elementwise(
    of: str, scenario: Scenario, arrays: Mapping[str, ArrayLike], *, mode: str | None = None
) -> Answer:
    """Answer a question at each element of arrays.

    Parameters
    ----------
    of : str
        `roofline` or `predict`.
    scenario : Scenario
        What arrays leave as it is.
    arrays : mapping of str to array-like of float
        Inputs by name, options or catalogue keys, in their units; they broadcast against each other.
    mode : str, optional
        With `predict`: `ep` or `afd`.

    Returns
    -------
    Answer
        A row for each element, in the order of the arrays broadcast: inputs, and the metrics of a sweep.

    Raises
    ------
    InputError
        If arrays do not broadcast, are not finite numbers, or a name is unknown.
    """
    axes, places = _axes(arrays)
    kind = kind_of(of, mode)
    open_ = set(kind.open_axes(scenario, axes))
    outer = [index for index, axis in enumerate(axes) if axis.key not in open_]
    inner = [index for index in range(len(axes)) if index not in outer]
    metrics = tuple(METRICS[of])
    size = places[0].size
    found = {name: np.full(size, np.nan) for name in metrics}
    found["feasible"] = np.zeros(size, dtype=bool)
    for rows, given in _groups(axes, places, outer):
        evaluate = kind.evaluator(scenario, given, [axes[index] for index in inner], metrics)
        part = evaluate([places[index][rows] for index in inner])
        for name in metrics:
            found[name][rows] = part[name]
    inputs = {axis.key: _column(axis)[place] for axis, place in zip(axes, places, strict=True)}
    feasible = int(np.count_nonzero(found["feasible"]))
    return Answer(
        command=of,
        inputs={
            "system": scenario.system.id,
            "model": scenario.model.id,
            "arrays": {axis.key: axis.size for axis in axes},
        },
        columns={**inputs, **found},
        summary={
            "points": size,
            "feasible_points": feasible,
            "answer": f"{feasible:,} of {size:,} points are feasible.",
        },
        notes=left_out(scenario.system.parts.catalogue),
        table_keys=(*inputs, *metrics),
    )


def _axes(arrays: Mapping[str, ArrayLike]) -> tuple[list[Axis], list[NDArray[np.int64]]]:
    """Return an axis of the values of each array, and the place of each element on it."""
    if not arrays:
        raise InputError("arrays are empty: give one, as {'batch': [1, 2, 4]}")
    names = [key.removeprefix("--").replace("-", "_") for key in arrays]
    for name in names:
        if name in SUBJECTS:
            raise InputError(f"{name} is no number: sweep(axes=...) takes several")
    try:
        held = [np.asarray(values, dtype=np.float64) for values in arrays.values()]
        every = np.broadcast_arrays(*held)
    except (TypeError, ValueError) as error:
        shapes = ", ".join(f"{name} {np.shape(each)}" for name, each in arrays.items())
        raise InputError(f"arrays are no numbers that broadcast against each other: {shapes}") from error
    if not 0 < every[0].size <= MOST_ELEMENTS:
        raise InputError(f"arrays of {every[0].size:,} elements: valid 1 to {MOST_ELEMENTS:,}")
    axes, places = [], []
    for name, own, column in zip(names, held, every, strict=True):
        if not np.all(np.isfinite(own)):
            raise InputError(f"{shown(name)} holds what is no finite number")
        values, place = np.unique(column, return_inverse=True)
        axes.append(Axis(name, values, ()))
        places.append(place.ravel())
    return axes, places


def _column(axis: Axis) -> NDArray[Any]:
    """Return the values of an axis, whole numbers as such."""
    assert axis.numbers is not None  # noqa: S101 - of numbers alone
    whole = axis.numbers.astype(np.int64)
    return whole if np.array_equal(whole, axis.numbers) else axis.numbers


def _groups(
    axes: list[Axis], places: list[NDArray[np.int64]], outer: list[int]
) -> list[tuple[NDArray[np.intp], dict[str, float | str]]]:
    """Return the elements that share the values of some axes, and these values."""
    size = places[0].size
    if not outer:
        return [(np.arange(size), {})]
    code = np.zeros(size, dtype=np.int64)
    for index in outer:
        code = code * axes[index].size + places[index]
    _, first, group = np.unique(code, return_index=True, return_inverse=True)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group))[:-1]
    return [
        (rows, {axes[index].key: axes[index].value(int(places[index][at])) for index in outer})
        for rows, at in zip(np.split(order, ends), first, strict=True)
    ]
