"""Where neither mode has a deployment: what binds, and the nearest value that has one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from roofline_afd.analysis.decode.compare import compare
from roofline_afd.errors import InfeasibleError
from roofline_afd.serving.scenario import Scenario

H800: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "tpot_ms": 50}


def test_neither_mode_is_quick_enough() -> None:
    """Names the constraint, and the least latency of each; a little above the lower one has an answer."""
    with pytest.raises(InfeasibleError) as raised:
        compare(Scenario(**H800 | {"tpot_ms": 3}))
    text = str(raised.value)
    assert text.startswith("no: ")
    assert text.count("binding is latency target") == 2
    named = [float(number) for number in re.findall(r"the least is ([\d.]+) ms", text)]
    assert len(named) == 2
    # printed to four digits: half a unit of the last may be missing
    assert compare(Scenario(**H800 | {"tpot_ms": min(named) + 0.005})).rows()
    with pytest.raises(InfeasibleError):
        compare(Scenario(**H800 | {"tpot_ms": min(named) - 0.01}))


def test_neither_mode_has_memory() -> None:
    """Names the constraint and the devices, or the context, that would do; with it there is an answer."""
    with pytest.raises(InfeasibleError, match="binding is HBM capacity") as raised:
        compare(Scenario(**H800 | {"max_devices": 8}))
    devices = re.findall(r"(\d+) devices hold it", str(raised.value))
    assert len(devices) == 2
    assert compare(Scenario(**H800 | {"max_devices": int(devices[0])})).rows()[0]["feasible"]
    with pytest.raises(InfeasibleError, match="binding is HBM capacity") as raised:
        compare(Scenario(**H800 | {"context": 10_000_000, "tpot_ms": 500}))
    contexts = re.findall(r"--context (\d+) fits", str(raised.value))
    assert len(contexts) == 2
    answer = compare(Scenario(**H800 | {"context": int(max(contexts, key=int)), "tpot_ms": 500}))
    assert any(row["feasible"] for row in answer.rows())
