"""What is asked of a deployment that is to be launched."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.analysis.deploy.targets import TARGETS
from roofline_afd.analysis.requests.questions import Lengths
from roofline_afd.questions import option

if TYPE_CHECKING:
    from pathlib import Path

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.serving.scenario import Scenario

MODES = ("ep", "afd", "agg", "pd", "agg+afd")
"""Modes that can be launched: of decode alone, and of whole requests."""


@dataclasses.dataclass(frozen=True)
class Launch(Lengths):
    """How a deployment is launched with serving software.

    Parameters
    ----------
    scenario : Scenario
        The question: with `devices` and `batch` that deployment, without `batch` the best one under the
        latency target that the software can be told to run; with lengths of requests the best one for
        prefill and decode on `devices`. Where no `engine` is named, kernels and memory are those of the
        software.
    target : str
        Software that the files are for.
    mode : str, optional
        Mode of the deployment: ep or afd where decode alone is asked about, agg, pd or agg+afd where lengths
        of requests are given; the best that the software runs where absent.
    ttft_ms : float, optional
        Time to the first token allowed, with lengths of requests; any where absent [ms].
    answer : Path, optional
        Answer of predict, compare or explore kept as JSON, whose deployment is launched; nothing else is
        asked.
    """

    scenario: Scenario
    _: dataclasses.KW_ONLY
    target: str = option(dataclasses.MISSING, words=tuple(TARGETS), flag="--for", hardware=True)
    mode: str | None = option(None, words=MODES)
    ttft_ms: float | None = None
    answer: Answer | Path | None = option(None, metavar="FILE.json", flag="--from")
