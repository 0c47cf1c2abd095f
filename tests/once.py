"""Answers that many tests show in one way or another: each question is answered once."""

from __future__ import annotations

import copy
import functools
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

SLOW = (
    "roofline_afd.analysis.decode.compare.compare",
    "roofline_afd.analysis.decode.what_if.what_if",
    "roofline_afd.analysis.deploy.deploy.deploy",
    "roofline_afd.analysis.evidence.points.validate.validate_points",
    "roofline_afd.analysis.evidence.points.validate.with_prefill",
    "roofline_afd.analysis.evidence.services.validate.validate_services",
    "roofline_afd.analysis.purchase.sensitivity.sensitivity",
    "roofline_afd.analysis.purchase.services.procure",
    "roofline_afd.analysis.requests.explore.explore",
    "roofline_afd.analysis.requests.provisioning.provision",
    "roofline_afd.analysis.requests.under_load.under_load",
)
"""What commands call, and looks for long."""

_known: dict[str, list[tuple[tuple[Any, ...], dict[str, Any], Any]]] = {}


def answer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a question that was answered before be answered alike: for tests of how answers are shown.

    Not for tests that ask whether two answers are alike, nor for catalogues that change.
    """
    for path in SLOW:
        module, _, name = path.rpartition(".")
        answer = getattr(importlib.import_module(module), name)
        monkeypatch.setattr(path, functools.wraps(answer)(_remembering(path, answer)))


def _remembering(path: str, answer: Callable[..., Any]) -> Callable[..., Any]:
    known = _known.setdefault(path, [])

    def remembered(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the question takes
        asked = {key: value for key, value in named.items() if not callable(value)}
        for before, others, found in known:
            if _same(before, arguments) and _same(others, asked):
                return copy.deepcopy(found)
        found = answer(*arguments, **named)
        known.append((arguments, asked, found))
        return copy.deepcopy(found)

    return remembered


def _same(one: object, other: object) -> bool:
    """Return whether two are alike; not where that takes more than to ask them, as of arrays."""
    try:
        return bool(one == other)
    except ValueError:
        return False
