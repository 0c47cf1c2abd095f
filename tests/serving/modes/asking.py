"""Questions on one cluster, and the best of what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.serving.modes.question import Question
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.workload import Workload

if TYPE_CHECKING:
    from roofline_afd.serving.modes.search import ModeFound


def asking(**changes: Any) -> Question:  # noqa: ANN401 - any field
    """Return a question on 8 devices of b200, with anything else instead."""
    system = changes.pop("system", "b200")
    shared = {key: changes.pop(key) for key in ("tensor_parallel",) if key in changes}
    options = changes.pop("scenario", {}) | shared
    scenario = Scenario(system=system, model=changes.pop("model", "gpt-oss-20b"), **options)
    prefill = changes.pop("prefill", None)
    return Question(
        scenario=scenario,
        prefill=attrs.evolve(scenario, system=load_system(prefill)) if prefill else scenario,
        workload=Workload(**changes.pop("workload", {"prefix": 4096, "isl": 512, "osl": 256})),
        **{"devices": 8, **changes},
    )


def rate_of(found: ModeFound) -> float:
    """Return the best rate found; 0 where there is none."""
    return found.best["rate"] if found.best else 0.0
