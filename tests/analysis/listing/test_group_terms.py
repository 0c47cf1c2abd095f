"""Collectives explained with numbers: those of the sum that heads shared over a node take."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from roofline_afd.analysis.listing.explain import explain
from roofline_afd.analysis.listing.terms import ALIASES, HEADS, TERMS
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.serving.collectives import all_reduce, moved
from roofline_afd.serving.deployment import EP, Deployments
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from pathlib import Path

SIZES: dict[str, Any] = {"batch": 96, "context": 10_000}
MESSAGE = 96 * 4096 * 2
ACROSS = "domains_all_reduce_time"
GROUP_TERMS = [name for name, term in TERMS.items() if term.operator == HEADS]


def _values(term: str, system: str) -> tuple[float, dict[str, Any], list[str]]:
    answer = explain(term, Scenario(system=system, model="qwen3-235b-a22b"), **SIZES)
    return answer.summary["value"], {row["symbol"]: row["value"] for row in answer.rows()}, answer.notes


@pytest.mark.parametrize(("system", "devices"), [("h100", 8), ("mi300x", 8), ("gb200-nvl72", 4)])
def test_the_exchange_of_heads_is_the_sum_of_its_fabric(system: str, devices: int) -> None:
    """By whichever name it is asked: formula, arguments and result are those of the operator."""
    scenario = Scenario(system=system, model="qwen3-235b-a22b")
    calibration = Deployments(scenario, EP).layers("pair").calibration("attention")
    found = all_reduce(scenario.system, calibration, message_bytes=MESSAGE, devices=devices)
    for name in ("all_reduce_time", "attention_exchange", "head exchange time", "all-reduce"):
        value, symbols, notes = _values(name, system)
        assert value == pytest.approx(float(found.time), rel=1e-12)
        assert symbols["message_bytes"] == MESSAGE
        assert symbols["devices"] == devices
        assert "all_reduce_time: efficiencies and fixed times are measured" in notes


@pytest.mark.parametrize("system", ["h100", "mi300x"])
@pytest.mark.parametrize("term", GROUP_TERMS)
def test_every_term_has_its_numbers_or_says_why_not(term: str, system: str) -> None:
    absent = {
        ("in_switch_time", "h100"): "nvlink4: no record says that its switches sum",
        ("in_switch_time", "mi300x"): "xgmi-mi300x: no record says that its switches sum",
        ("mesh_group_bandwidth", "h100"): "nvlink4: it is no full mesh",
    }.get((term, system))
    if absent:
        with pytest.raises(InputError, match=absent):
            _values(term, system)
        return
    value, symbols, _ = _values(term, system)
    assert None not in symbols.values()
    assert value == pytest.approx(float(TERMS[term].function(**symbols)), rel=1e-12)
    assert value > 0


def test_parts_add_up() -> None:
    """Two steps are a ring of the same fixed time, and beyond a domain comes on top."""
    two, ring, one, every, across = (
        _values(term, "h100")[0]
        for term in ("two_shot_time", "ring_time", "one_shot_time", "all_reduce_time", ACROSS)
    )
    assert ring == pytest.approx(two, rel=1e-9)
    assert every == min(one, two)
    assert across > two


def test_moving_terms_take_the_table_of_what_moves() -> None:
    scenario = Scenario(system="h100", model="qwen3-235b-a22b")
    calibration = Deployments(scenario, EP).layers("pair").calibration("attention")
    for term in ("all_gather_time", "reduce_scatter_time", "all_to_all_time"):
        formula = TERMS[term].function
        found = moved(formula, scenario.system, calibration, message_bytes=MESSAGE, devices=8)
        assert _values(term, "h100")[0] == pytest.approx(float(found.time), rel=1e-12)
        assert ALIASES[term.removesuffix("_time")] == term


def test_heads_that_no_node_shares_are_told() -> None:
    """A node of one device shares nothing; a system whose domains stand alone has nothing across."""
    single = load_system("h100", overrides={"devices_per_node": 1})
    with pytest.raises(InputError, match="its heads do not divide among the devices of a node of h100"):
        explain("all_reduce_time", Scenario(system=single, model="qwen3-235b-a22b"), **SIZES)
    alone = dataclasses.replace(load_system("tpu-v6e"), scale_out=None)
    with pytest.raises(InputError, match=f"{ACROSS} does not apply to tpu-v6e: it has no scale-out fabric"):
        explain(ACROSS, Scenario(system=alone, model="qwen3-235b-a22b"), **SIZES)


def test_switches_that_sum_have_their_numbers(tmp_path: Path) -> None:
    """A user's record of H100 says so: 9 us and half the peak, quicker than two steps at this size."""
    values = {"one_shot_us": 90.0, "two_shot_us": 80.0, "in_switch_us": 9.0}
    values |= {"efficiency": 0.7, "in_switch_efficiency": 0.5}
    lines = [
        f'{key} = {{ value = {value}, kind = "measured", source = "bench" }}' for key, value in values.items()
    ]
    head = 'schema = 1\nrecord = "calibration"\nid = "mine"\nname = "own"\nscale_up = ["nvlink4"]\n'
    tail = '[sources.bench]\ntitle = "our bench"\ndate = "2026-11"\n'
    (tmp_path / "mine.toml").write_text("\n".join([head, "[all_reduce]", *lines, tail]), encoding="utf-8")
    own = load_system("h100", catalogue=Catalogue([tmp_path]))
    scenario = Scenario(system=own, model="qwen3-235b-a22b")
    for term in ("in_switch_time", "all_reduce_time"):
        found = explain(term, scenario, **SIZES).summary["value"]
        assert found == pytest.approx(9e-6 + MESSAGE / (0.5 * 450e9))
