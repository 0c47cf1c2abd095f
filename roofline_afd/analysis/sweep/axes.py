"""Axes of a sweep: numbers from ranges and lists, words, and records of the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np

from roofline_afd.analysis.decode.changes import SUBJECTS
from roofline_afd.analysis.decode.maps import axis_unit
from roofline_afd.analysis.files import file_text
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.errors import InputError, shown
from roofline_afd.serving.checks import finite
from roofline_afd.serving.scenario import CHOICES
from roofline_afd.units import parse_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.catalogue.store import Catalogue

MOST_VALUES = 10_000_000
"""Values of an axis."""
MOST_FILE_BYTES = 100_000_000
ALL = "all"
RANGE = "low:high[:step], low:high*factor, low:high/count, a,b,c, all or @FILE"
PARTS = 3
"""Numbers of a range: first, last, step."""


@attrs.frozen(eq=False)
class Axis:
    """An input and its values, in the order in which they are swept."""

    key: str
    numbers: NDArray[np.float64] | None
    words: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    """Records that are known but incomplete."""

    @property
    def size(self) -> int:
        """How many values it has [1]."""
        return len(self.words) if self.numbers is None else int(self.numbers.size)

    def value(self, index: int) -> float | str:
        """Return a value by its place: a whole number as such."""
        if self.numbers is None:
            return self.words[index]
        number = float(self.numbers[index])
        return int(number) if number.is_integer() else number


def axis_from(key: str, values: object) -> Axis:
    """Return an axis of values as Python has them: numbers, or words.

    Parameters
    ----------
    key : str
        The input.
    values : sequence of float or str, or str
        Values; a text is read as the command line's.

    Returns
    -------
    Axis
        The axis.

    Raises
    ------
    InputError
        If it is empty, mixed, too long, or holds what is not finite.
    """
    name = key.removeprefix("--").replace("-", "_")
    held = list(values) if not isinstance(values, np.ndarray) else values  # type: ignore[call-overload]
    if len(held) and all(isinstance(each, str) for each in held):
        return _checked(Axis(name, None, tuple(held)))
    try:
        numbers = np.asarray(held, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"--axis {shown(name)} holds neither numbers alone nor words alone") from error
    if numbers.ndim != 1:
        raise InputError(f"--axis {shown(name)} is no list of numbers")
    if not np.all(np.isfinite(numbers)):
        raise InputError(f"--axis {shown(name)} holds what is no finite number")
    return _checked(Axis(name, numbers, ()))


def axis_of(text: str, catalogue: Catalogue) -> Axis:
    """Read an axis: `KEY=low:high[:step]`, `low:high*factor`, `low:high/count`, `a,b,c`, `all`, `@FILE`.

    Parameters
    ----------
    text : str
        What was given.
    catalogue : Catalogue
        Whose systems or models `all` stands for.

    Returns
    -------
    Axis
        The axis.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    key, equals, given = (part.strip() for part in text.partition("="))
    if not (equals and key and given):
        raise InputError(f"--axis {shown(text)} is not KEY=VALUES: {RANGE}")
    name = key.removeprefix("--").replace("-", "_")
    if given.startswith("@"):
        lines = file_text(Path(given[1:]), most=MOST_FILE_BYTES).splitlines()
        parts = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    elif given.lower() == ALL:
        return _checked(_all(name, catalogue))
    elif ":" in given:
        return _checked(Axis(name, _range(name, given), ()))
    else:
        parts = [part.strip() for part in given.split(",")]
    if name in SUBJECTS or name in CHOICES:
        return _checked(Axis(name, None, tuple(parts)))
    try:
        return _checked(Axis(name, np.array([_number(name, part) for part in parts]), ()))
    except InputError:
        if any(part[:1].isdigit() for part in parts):
            raise
        return _checked(Axis(name, None, tuple(parts)))


def _all(name: str, catalogue: Catalogue) -> Axis:
    """Return what `all` stands for: records that are complete, or every word of an option."""
    if name in CHOICES:
        return Axis(name, None, tuple(CHOICES[name]))
    if name in SUBJECTS:
        kind = "model" if name == "model" else "system"
        held, out = [], []
        for each in catalogue.ids(kind):
            try:
                (load_model if kind == "model" else load_system)(each, catalogue=catalogue)
            except InputError:
                out.append(each)
            else:
                held.append(each)
        return Axis(name, None, tuple(held), tuple(out))
    raise InputError(f"--axis {name}=all: all is of systems, models and options of a few words; give {RANGE}")


def _range(name: str, text: str) -> NDArray[np.float64]:
    """Read a range: by a step, a factor, or a count; both ends are in it where they are met."""
    low_text, _, rest = text.partition(":")
    low = _number(name, low_text)
    for sign, spread in (("*", _by_factor), ("/", _by_count)):
        if sign in rest:
            high_text, _, how = rest.partition(sign)
            return spread(name, low, _number(name, high_text), how)
    high_text, _, step_text = rest.partition(":")
    high = _number(name, high_text)
    step = _number(name, step_text) if step_text else 1.0
    if not step > 0 or high < low:
        raise InputError(f"--axis {name}={text}: write low:high[:step] with low at most high, a step above 0")
    count = int(np.floor((high - low) / step * (1.0 + 1e-12))) + 1
    _few_enough(name, count)
    return np.asarray(low + step * np.arange(count, dtype=np.float64), dtype=np.float64)


def _by_factor(name: str, low: float, high: float, how: str) -> NDArray[np.float64]:
    factor = _number(name, how)
    if not (factor > 1 and 0 < low <= high):
        raise InputError(f"--axis {name}: low:high*factor needs a factor above 1 and 0 < low <= high")
    count = int(np.floor(np.log(high / low) / np.log(factor) * (1.0 + 1e-12))) + 1
    _few_enough(name, count)
    return np.asarray(low * factor ** np.arange(count, dtype=np.float64), dtype=np.float64)


def _by_count(name: str, low: float, high: float, how: str) -> NDArray[np.float64]:
    if not how.strip().isdecimal() or int(how[:9]) < 2:  # noqa: PLR2004 - both ends
        raise InputError(f"--axis {name}: low:high/count needs a whole count of at least 2")
    _few_enough(name, int(how[:9]))
    return np.linspace(low, high, int(how[:9]))


def _number(name: str, text: str) -> float:
    try:
        return finite(f"--axis {name}", parse_number(text.strip(), unit=axis_unit(name)))
    except InputError as error:
        raise InputError(f"--axis {name}: {error}") from error


def _few_enough(name: str, count: int) -> None:
    if count > MOST_VALUES:
        raise InputError(f"--axis {name} has {count:,} values; an axis has at most {MOST_VALUES:,}")


def _checked(axis: Axis) -> Axis:
    if not axis.size:
        raise InputError(f"--axis {axis.key} is empty: {RANGE}")
    _few_enough(axis.key, axis.size)
    return axis


def axes_of(given: Mapping[str, object] | Sequence[str], catalogue: Catalogue) -> tuple[Axis, ...]:
    """Return the axes of a sweep, from texts or by key.

    Parameters
    ----------
    given : mapping of str to sequence, or sequence of str
        Values by key; or texts as the command line has them.
    catalogue : Catalogue
        Whose systems or models `all` stands for.

    Returns
    -------
    tuple of Axis
        In the order given.

    Raises
    ------
    InputError
        If there is none, one twice, or one cannot be read.
    """
    if hasattr(given, "items"):
        axes = tuple(
            axis_of(f"{key}={values}", catalogue) if isinstance(values, str) else axis_from(key, values)
            for key, values in given.items()
        )
    else:
        axes = tuple(axis_of(text, catalogue) for text in given)
    if not axes:
        raise InputError(f"a sweep needs an axis: --axis KEY={RANGE}")
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"--axis {key} is given twice")
    return axes
