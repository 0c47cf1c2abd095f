"""What tests of purchases share: questions, candidates, and reading of answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from roofline_afd.analysis.purchase import procurement, sensitivity
from roofline_afd.analysis.purchase.questions import Purchase, Sensitivity
from roofline_afd.analysis.purchase.uncertainty import uncertain_inputs
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.questions import asks
from roofline_afd.serving.scenario import Scenario
from tests.conftest import ONE_PLAN

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

QUESTION: dict[str, Any] = {"model": "deepseek-v3", "tpot_ms": 50, "max_devices": 64, **ONE_PLAN}
DEMAND = 30_000.0
RENT = {"h800": 2.0, "h20": 0.9, "h200": 1.6}
H800: dict[str, Any] = QUESTION | {"system": "h800", "max_devices": 96}
CLOSE_CALL: dict[str, Any] = QUESTION | {"system": "h20", "model": "kimi-k2", "max_devices": 160}
AFD_AHEAD: dict[str, Any] = {"system": "gb200-nvl72", "model": "step-3", "tpot_ms": 40, "max_devices": 96}
ONLY_EP_MS = 8.0
"""Latency at which EP alone serves `AFD_AHEAD`: the least of EP is 6.5 ms, of AFD 9.4."""
PART = """
schema = 1
record = "accelerator"
id = "{id}"
name = "{id}"
vendor = "Me"
status = "announced"
device_unit = "chip"
bf16_tflops = {{ value = {tflops}, kind = "datasheet", source = "plan" }}
fp8_tflops = {{ value = {tflops}, kind = "datasheet", source = "plan" }}
memory_gb = {{ value = 140, kind = "datasheet", source = "plan" }}
memory_gb_per_s = {{ value = 4000, kind = "datasheet", source = "plan" }}
{power}

[[prices]]
basis = "purchase"
terms = "street"
value = {price}
unit = "{unit}"
date = "2026-01"
kind = "reported"
source = "plan"

[[prices]]
basis = "purchase"
terms = "street"
value = 1
unit = "{unit}"
date = "2024-01"
kind = "reported"
source = "plan"

[sources.plan]
title = "the plan"
date = "2026-01"
"""
NODE = """
schema = 1
record = "system"
id = "{id}-node"
name = "{id} node"
accelerator = "{id}"
scale_up = "nvlink4"
scale_out = "infiniband-ndr-400"
devices_per_node = {{ value = 8, kind = "derived", source = "plan" }}
scale_up_domain_devices = {{ value = 8, kind = "derived", source = "plan" }}

[sources.plan]
title = "the plan"
date = "2026-01"
"""
WATTS = 'tdp_w = { value = 700, kind = "datasheet", source = "plan" }'

procure = asks(Purchase)(procurement.procure)
moved = asks(Sensitivity)(sensitivity.sensitivity)


def asked(*systems: str, **fields: Any) -> list[Scenario]:  # noqa: ANN401 - any field
    """Return the question for each system; a pair is attention+ffn."""
    made = []
    for name in systems:
        attention, plus, ffn = name.partition("+")
        sides = {"attention_system": load_system(attention), "ffn_system": load_system(ffn)} if plus else {}
        made.append(Scenario(system=ffn or attention, **QUESTION | sides | fields))
    return made


def rent(*systems: str) -> dict[str, float]:
    return {name: RENT[name] for name in systems}


def rows_of(answer: Answer) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["system"], row["mode"]): row for row in answer.rows()}


def order_of(answer: Answer) -> list[tuple[str, str]]:
    return [(row["system"], row["mode"]) for row in answer.rows()]


def overlay(folder: Path, *, unit: str, rate: float = 1.0, power: str = WATTS) -> list[Scenario]:
    """Return a question on two systems of one's own, with prices in a currency."""
    for name, tflops, price in (("alpha", 900, 20_000), ("beta", 450, 9_000)):
        text = PART.format(id=name, tflops=tflops, price=price * rate, unit=unit, power=power)
        (folder / f"{name}.toml").write_text(text, "utf-8")
        (folder / f"{name}-node.toml").write_text(NODE.format(id=name), "utf-8")
    catalogue = Catalogue([folder])
    return [
        Scenario(system=load_system(f"{name}-node", catalogue=catalogue), **QUESTION)
        for name in ("alpha", "beta")
    ]


def singles_of(answer: Answer) -> dict[str, dict[str, Any]]:
    return {row["input"]: row for row in answer.rows() if row.get("other_input") is None}


def pinned(scenario: Scenario, *free: str) -> dict[str, str]:
    """Return ranges without width for all inputs but some."""
    inputs, _ = uncertain_inputs(scenario)
    return {item.key: "0:0" if item.value == 0 else "0%" for item in inputs if item.key not in free}


@pytest.fixture(scope="package")
def answer() -> Answer:
    return procure(asked("h800", "h20", "h200"), demand=DEMAND, prices=RENT)


@pytest.fixture(scope="package")
def close_call() -> Answer:
    return moved(Scenario(**CLOSE_CALL), samples=40, seed=3, break_evens=12)
