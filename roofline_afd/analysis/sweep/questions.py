"""What a sweep is asked with: each option once, with its unit, default and words."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.questions import option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from roofline_afd.serving.scenario import Scenario

OF = ("compare", "predict", "roofline", "provision", "explore")
RUNNERS = ("serial", "processes", "dask", "ray")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Many designs at once: every combination of values on some axes.

    Parameters
    ----------
    scenario : Scenario
        The question that axes vary.
    axes : mapping of str to sequence, or sequence of str
        Inputs and their values: any option of the command that is swept, a catalogue key, `system` or
        `model`; KEY=low:high[:step], low:high*factor, low:high/count, a,b,c, all, or @FILE with a value a
        line.
    metrics : sequence of str, optional
        Results to keep; the main ones of the command where absent.
    of : str
        Command that is swept.
    mode : str, optional
        With `predict`: one group of devices, or two; afd where FFN devices are named and nothing else is
        said.
    reduce : str
        What is kept of all points: best:KEY, top:N:KEY, pareto:X,Y, histogram:KEY[:BINS], quantiles:KEY, or
        none for every point.
    runner : str
        Who does the work: this process, processes on all cores, a Dask cluster, or Ray.
    scheduler : str, optional
        Address of a running scheduler, for dask as tcp://host:8786, for ray as host:6379 or auto; a local one
        is started where absent.
    workers : int, optional
        Processes; as many as cores where absent [1].
    resume : bool
        Go on from the blocks that an earlier run of the same sweep finished.
    file : Path, optional
        Where rows go as they are made, as .csv or .parquet; beside it finished blocks are kept, those of a
        reduction too.
    """

    scenario: Scenario
    _: dataclasses.KW_ONLY
    axes: Mapping[str, object] | Sequence[str] | None = option(None, metavar="KEY=VALUES", flag="--axis")
    metrics: Sequence[str] | None = option(None, metavar="LIST")
    of: str = option("compare", words=OF)
    mode: str | None = option(None, words=("ep", "afd"))
    reduce: str = option("none", metavar="REDUCTION")
    runner: str = option("processes", words=RUNNERS)
    scheduler: str | None = option(None, metavar="ADDRESS")
    workers: int | None = None
    resume: bool = option(default=False)
    file: Path | None = option(None, shown=False)


@dataclasses.dataclass(frozen=True)
class Swept:
    """A sweep's file as a picture: cells over two of its axes, or lines over one, the best of all others.

    Parameters
    ----------
    file : Path, optional
        What `sweep --output` wrote: .csv or .parquet.
    metric : str, optional
        Column that is drawn.
    x : str, optional
        Axis from left to right.
    y : str, optional
        Axis from bottom to top, of cells.
    by : str, optional
        Axis whose values have a line each, where there is no `y`.
    """

    _: dataclasses.KW_ONLY
    file: Path | None = option(None, metavar="FILE")
    metric: str | None = option(None, metavar="KEY")
    x: str | None = option(None, metavar="KEY")
    y: str | None = option(None, metavar="KEY")
    by: str | None = option(None, metavar="KEY")
