"""Questions searched for their best deployment, and what that reaches."""

from __future__ import annotations

from typing import Any

import numpy as np

from roofline_afd.serving.deployment import Deployment, Deployments
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import Found, search

H800: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "tpot_ms": 50}


def searched(mode: str, **question: Any) -> tuple[Deployments, Found]:  # noqa: ANN401 - any field
    """Return a question for one mode, and what the search finds."""
    deployments = Deployments(Scenario(**question), mode)
    return deployments, search(deployments)


def best_of(mode: str, **question: Any) -> Deployment:  # noqa: ANN401 - any field
    """Return the best deployment of a question, which must have one."""
    _, found = searched(mode, **question)
    assert found.best is not None
    return found.best


def rate_of(deployments: Deployments, deployment: Deployment | None) -> float:
    """Return the throughput of a deployment; 0 where there is none."""
    if deployment is None:
        return 0.0
    step = deployments.step(deployment).time
    return float(np.asarray(deployments.tokens_per_s_per_device(deployment, step)))
