"""How far long work is, and how long it will yet take, on standard error while there is a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from roofline_afd.progress import listening

SILENT_S, BETWEEN_S = 1.0, 0.1
"""Seconds before anything is shown, and between two looks."""
BAR = 20
"""Characters of the bar."""


class Bar:
    """A line that tells how far work is; it goes when the answer comes."""

    def __init__(self) -> None:
        self._begun = self._pass = time.monotonic()
        self._last = 0.0
        self._share = 0.0
        self.drawn = False

    def tell(self, share: float) -> None:
        """Draw, unless it was drawn just now, or work has only begun."""
        now = time.monotonic()
        if share < self._share:  # other work begins
            self._pass = now
        self._share = share
        if now - self._begun < SILENT_S or now - self._last < BETWEEN_S or not sys.stderr.isatty():
            return
        self._last = now
        took = now - self._pass
        left = f"{took * (1.0 - share) / share:,.0f} s left" if share else f"{now - self._begun:,.0f} s"
        full = round(BAR * share)
        line = f"\r{'#' * full}{'.' * (BAR - full)} {share:4.0%}  {left}\033[K"
        print(line, end="", file=sys.stderr, flush=True)  # noqa: T201
        self.drawn = True

    def clear(self) -> None:
        """Take the line away."""
        if self.drawn:
            print("\r\033[K", end="", file=sys.stderr, flush=True)  # noqa: T201
            self.drawn = False


_bars: list[Bar] = []


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Show how far the work of a command is, as its loops say."""
    bar = Bar()
    _bars.append(bar)
    try:
        with listening(bar.tell if sys.stderr.isatty() else None):
            yield
    finally:
        bar.clear()
        _bars.remove(bar)


def clear() -> None:
    """Take the line away, since something else is printed."""
    for bar in _bars:
        bar.clear()


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[float], None]]:
    """Show how far work is that says so itself, whatever the loops within it say.

    Yields
    ------
    callable
        Takes the share that is done [1].
    """
    bar = _bars[-1] if _bars else Bar()
    with listening(None):
        yield bar.tell
    bar.clear()
