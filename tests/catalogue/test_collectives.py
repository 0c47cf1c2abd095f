"""Which libraries' collectives a fabric is given: its own, those of its make, and the class at last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from roofline_afd.catalogue.calibration import ESTIMATED, MEASURED
from roofline_afd.catalogue.collectives import ALL_GATHER, ALL_REDUCE, ALL_TO_ALL, TABLES, collectives_of
from roofline_afd.catalogue.engines import load_engine
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = Catalogue()
SCALE_UP = [
    name
    for name in CATALOGUE.ids("interconnect")
    if CATALOGUE.record("interconnect", name).text("scope") == "scale-up"
]
LOSSY = {"quick-int4", "quick-int8"}


def _found(table: str, fabric: str, *families: str) -> dict[str, str]:
    """Return library to kind."""
    found = collectives_of(table, fabric, catalogue=CATALOGUE, families=families)
    return {each.family: each.kind for each in found}


def _record(directory: Path, name: str, *, family: str = "", one_shot_us: float = 1.0) -> None:
    """Write a record of a user's own all-reduces over MI300X."""
    head = f'family = "{family}"\n' if family else ""
    values = {"one_shot_us": one_shot_us, "two_shot_us": 9.0, "efficiency": 0.5}
    lines = [
        f'{key} = {{ value = {value}, kind = "measured", source = "bench" }}' for key, value in values.items()
    ]
    text = (
        f'schema = 1\nrecord = "calibration"\nid = "{name}"\nname = "own"\nscale_up = ["xgmi-mi300x"]\n\n'
        f"[all_reduce]\n{head}" + "\n".join(lines) + '\n\n[sources.bench]\ntitle = "x"\ndate = "2026-11"\n'
    )
    (directory / f"{name}.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("fabric", [*SCALE_UP, ""])
@pytest.mark.parametrize("table", TABLES)
def test_every_fabric_has_collectives_with_kind_and_source(fabric: str, table: str) -> None:
    """Of every engine; shares of 1 at most; sums that lose digits only where they are asked for."""
    for engine in CATALOGUE.ids("engine"):
        families = load_engine(engine, catalogue=CATALOGUE).families[ALL_REDUCE]
        found = collectives_of(table, fabric, catalogue=CATALOGUE, families=families)
        assert found
        for each in found:
            assert 0 < each.efficiency <= 1
            assert each.kind in {MEASURED, ESTIMATED}
            assert each.source.startswith("calibration ")
            assert each.sent_share == 1.0
            shots = each.one_shot_s > 0 and each.two_shot_s > 0
            assert shots if table == ALL_REDUCE else each.fixed_s > 0


def test_libraries_asked_for_come_first() -> None:
    """On the fabric, then on one of its make, then others; without a wish all that keep the format."""
    assert _found(ALL_REDUCE, "nvlink4", "vllm", "nccl") == {"vllm": MEASURED}
    assert _found(ALL_REDUCE, "nvlink4", "nccl") == {"nccl": ESTIMATED}  # of a rack of NVLink 5
    assert _found(ALL_GATHER, "nvlink4", "nccl") == {"nccl": MEASURED}
    assert _found(ALL_REDUCE, "nvlink4", "trtllm", "sglang") == {"sglang": MEASURED, "trtllm": MEASURED}
    assert _found(ALL_REDUCE, "nvlink4-h800", "vllm") == {"vllm": ESTIMATED}
    assert _found(ALL_REDUCE, "xgmi-mi300x", "vllm") == {"sglang": MEASURED}
    assert _found(ALL_REDUCE, "xgmi-mi300x") == {"sglang": MEASURED}
    assert _found(ALL_REDUCE, "xgmi-mi300x", "quick-int8") == {"quick-int8": "derived"}
    assert _found(ALL_REDUCE, "xgmi-mi355x") == {"sglang": ESTIMATED}
    assert _found(ALL_TO_ALL, "nvlink5") == {"nccl": ESTIMATED}


def test_fabrics_of_no_known_make_take_the_class() -> None:
    """Medians of what was measured, and their source says so."""
    for fabric in ("pcie5-x16", "ub-cloudmatrix384", "ici-v7", ""):
        (found,) = collectives_of(ALL_REDUCE, fabric, catalogue=CATALOGUE, families=["vllm"])
        assert (found.kind, found.family) == (ESTIMATED, "")
        assert found.source.startswith("calibration default: ")


def test_values_are_those_of_the_record_in_si() -> None:
    values = CATALOGUE.record("calibration", "collectives-xgmi-quick-int8").quantities
    (found,) = collectives_of(ALL_REDUCE, "xgmi-mi300x", catalogue=CATALOGUE, families=["quick-int8"])
    assert found.two_shot_s == pytest.approx(values["all_reduce.two_shot_us"].value * 1e-6)
    assert found.efficiency == values["all_reduce.efficiency"].value
    assert found.sent_share == values["all_reduce.sent_share"].value == 0.5
    assert found.in_switch_efficiency == 0.0


def test_times_of_a_user_come_before_all(tmp_path: Path) -> None:
    """Without a library whatever the engine runs; two of them cannot be told apart."""
    _record(tmp_path, "mine", one_shot_us=2.5)
    own = Catalogue([tmp_path])
    (found,) = collectives_of(ALL_REDUCE, "xgmi-mi300x", catalogue=own, families=["sglang"])
    assert found.one_shot_s == pytest.approx(2.5e-6)
    assert found.kind == MEASURED
    assert _found(ALL_REDUCE, "xgmi-mi300x", "sglang") == {"sglang": MEASURED}  # the shipped ones stay
    _record(tmp_path, "other")
    with pytest.raises(
        InputError,
        match=r"mine\.toml and .*other\.toml both calibrate \[all_reduce\] of xgmi-mi300x: keep one",
    ):
        collectives_of(ALL_REDUCE, "xgmi-mi300x", catalogue=Catalogue([tmp_path]))


def test_switches_that_sum_are_read(tmp_path: Path) -> None:
    _record(tmp_path, "mine", family="multimem")
    file = tmp_path / "mine.toml"
    more = "".join(
        f'{key} = {{ value = {value}, kind = "measured", source = "bench" }}\n'
        for key, value in {"in_switch_us": 9.0, "in_switch_efficiency": 0.4}.items()
    )
    file.write_text(file.read_text("utf-8").replace("[sources", f"{more}\n[sources"), encoding="utf-8")
    own = Catalogue([tmp_path])
    (found,) = collectives_of(ALL_REDUCE, "xgmi-mi300x", catalogue=own, families=["multimem"])
    assert found.in_switch_s == pytest.approx(9e-6)
    assert found.in_switch_efficiency == 0.4


def test_records_state_errors_and_keep_the_limit() -> None:
    """The median on rows held out is at most 15 % wherever eight rows or more were fitted."""
    tables = [
        (record.id, record.data[table])
        for record in CATALOGUE.records("calibration")
        for table in TABLES
        if table in record.data and record.id != "default"
    ]
    assert len(tables) >= 15
    for name, table in tables:
        assert re.fullmatch(r"collectives-[a-z0-9-]+", name)
        assert table["family"]
        assert table["points"] == sum(each["points"] for each in table["series"])
        if table["points"] >= 8:
            assert table["held_out_error"] <= 0.15, name
    assert sum(table["points"] >= 8 for _, table in tables) >= 9


def test_engines_take_no_sums_that_lose_digits() -> None:
    for engine in CATALOGUE.ids("engine"):
        assert not LOSSY & {*load_engine(engine, catalogue=CATALOGUE).families[ALL_REDUCE]}
