"""Engines: found by id, kernel families in order, memory in SI; a scenario carries one."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

import attrs
import pytest

from roofline_afd.catalogue.engines import ALL, IDEAL, load_engine
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.scenario_file import scenario_text
from tests.conftest import ask, command

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = Catalogue()
TABLES = {"gqa_decode", "mla_decode", "prefill_attention", "gemm", "experts", "all_reduce"}


@pytest.mark.parametrize("name", CATALOGUE.ids("engine"))
def test_every_engine_names_families_for_every_table(name: str) -> None:
    """A table without families would leave its kernel open; a family twice says nothing."""
    engine = load_engine(name, catalogue=CATALOGUE)
    assert set(engine.families) == TABLES
    for families in engine.families.values():
        assert families
        assert len(set(families)) == len(families)
    assert 0.5 < engine.memory_fraction <= 1
    assert bool(engine.exchanges) == (name != IDEAL)  # which takes what is in use on the fabric
    assert set(engine.exchanges) <= set(CATALOGUE.ids("library"))
    assert len(set(engine.exchanges)) == len(engine.exchanges)


def test_ideal_keeps_a_tenth_free_and_holds_nothing_besides() -> None:
    """Where no engine is named, memory is that of the hardware: weights, cache, and a tenth free."""
    engine = load_engine(catalogue=CATALOGUE)
    assert (engine.id, engine.fraction_holds, engine.exchange) == (IDEAL, ALL, "none")
    assert engine.memory_fraction == 0.9
    assert engine.libraries_bytes == engine.collectives_bytes == engine.graphs_bytes == 0
    assert engine.step_tokens == engine.sampled_sequences == engine.exchange_tokens == 0


def test_an_unknown_engine_is_refused_in_one_line_with_the_nearest() -> None:
    """In Python and on the command line, where the exit status is 2."""
    with pytest.raises(InputError, match=re.escape("unknown engine 'vlm'; did you mean 'vllm'?")):
        load_engine("vlm", catalogue=CATALOGUE)
    with pytest.raises(InputError, match="unknown engine 'vlm'"):
        Scenario(system="h800", model="deepseek-v3", engine="vlm")
    outcome = command(
        "predict",
        "--system",
        "h800",
        "--model",
        "deepseek-v3",
        "--devices",
        "64",
        "--batch",
        "8",
        "--engine",
        "x",
    )
    assert outcome.status == 2
    assert outcome.complaint.startswith("unknown engine 'x'; valid: ideal")


def test_a_scenario_carries_its_engine() -> None:
    """By name or loaded; its fraction decides the reserve unless one is given; a file keeps its name."""
    scenario = Scenario(system="h800", model="deepseek-v3")
    assert (scenario.engine.id, scenario.reserve) == (IDEAL, 0.1)
    named = attrs.evolve(scenario, engine="sglang")
    assert named == attrs.evolve(scenario, engine=load_engine("sglang", catalogue=CATALOGUE))
    assert named.reserve == pytest.approx(1 - named.engine.memory_fraction)
    assert attrs.evolve(named, memory_reserve=0.3).reserve == 0.3
    assert 'engine = "sglang"' in scenario_text(named)
    assert "engine" not in scenario_text(scenario)


def test_an_overlaid_engine_is_found(tmp_path: Path) -> None:
    """A user's engine lies over the catalogue like any record, and its name is listed."""
    mine = tmp_path / "mine.toml"
    source = (files("hardware_db") / "engines" / "ideal.toml").read_text("utf-8")
    mine.write_text(source.replace('id = "ideal"', 'id = "mine"').replace("value = 0.9", "value = 0.8"))
    rows = ask("hardware", "list", "--kind", "engine", "--hardware-db", str(mine))["results"]
    assert {row["id"]: row["memory_fraction"] for row in rows}["mine"] == 0.8
    answer = ask(
        *("predict", "--system", "h800", "--model", "deepseek-v3", "--devices", "64", "--batch", "8"),
        *("--engine", "mine", "--hardware-db", str(mine)),
    )
    assert (answer["inputs"]["engine"], answer["inputs"]["memory_reserve"]) == ("mine", 0.2)


def test_show_tells_the_families_of_an_engine() -> None:
    """Each table with its families in order, beside numbers with their sources."""
    (row,) = ask("hardware", "show", "vllm")["results"]
    engine = load_engine("vllm", catalogue=CATALOGUE)
    assert {table: tuple(row[f"families.{table}"]) for table in TABLES} == engine.families
    assert tuple(row["exchanges"]) == engine.exchanges
    assert row["memory_fraction_source"]
