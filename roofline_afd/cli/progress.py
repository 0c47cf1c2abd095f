"""How far long work is, on standard error while there is a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(text: str) -> Iterator[Callable[[float], None]]:
    """Show a bar on standard error while there is a terminal; it goes when the work is done.

    Parameters
    ----------
    text : str
        What is being done.

    Yields
    ------
    callable
        Takes the share that is done [1].
    """
    if not sys.stderr.isatty():
        yield lambda _share: None
        return
    from rich.console import Console  # only for people
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(text, total=1.0)
        yield lambda share: progress.update(task, completed=share)
