"""How far long work is: loops say it as they go on, and whoever listens hears shares of the whole."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

T = TypeVar("T")
Tell = Callable[[float], None]


class _Heard(NamedTuple):
    """Who listens, and which part of the whole the present work is."""

    tell: Tell
    start: float
    end: float


_heard: list[_Heard | None] = [None]
"""The last one is heard now."""


def steps(items: Iterable[T]) -> Iterator[T]:
    """Give items one by one; whoever listens hears after each how far that is.

    Loops within the work on an item divide its share among theirs.

    Parameters
    ----------
    items : iterable
        What is worked through, each about as long.

    Yields
    ------
    object
        The items.

    Examples
    --------
    >>> told = []
    >>> with listening(told.append):
    ...     for one in steps("ab"):
    ...         inner = list(steps(range(2)))
    >>> told
    [0.25, 0.5, 0.5, 0.75, 1.0, 1.0]
    """
    held = _heard[-1]
    if held is None:
        yield from items
        return
    every = list(items)
    width = (held.end - held.start) / max(len(every), 1)
    try:
        for place, item in enumerate(every):
            end = held.start + (place + 1) * width
            _heard[-1] = _Heard(held.tell, held.start + place * width, end)
            yield item
            held.tell(end)
    finally:
        _heard[-1] = held


@contextlib.contextmanager
def listening(tell: Tell | None) -> Iterator[None]:
    """Hear how far work is while it lasts; None hears nothing.

    Parameters
    ----------
    tell : callable or None
        Takes the share that is done [1]; it falls where new work begins.
    """
    _heard.append(None if tell is None else _Heard(tell, 0.0, 1.0))
    try:
        yield
    finally:
        _heard.pop()
