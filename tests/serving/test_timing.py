"""An operator's time: the kind of what it rests on, the terms of its kernel's law, formats of products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.calibration import OperatorEfficiency
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.physics import filling
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.sizes import Layers
from roofline_afd.serving.timing import Operator, Work

H800 = load_system("h800")
PLAIN: dict[str, float] = {"compute_efficiency": 0.5, "memory_efficiency": 0.5, "launch_s": 10e-6}
WORK: dict[str, Any] = {
    "flops": 1e9,
    "bytes_moved": 1e6,
    "tokens": 32,
    "depth": 1000,
    "peak": 1e14,
    "memory_bandwidth": 1e12,
    "rows": 32,
}
"""Computes for 20 us, moves for 2 us, waits for 10 us."""


def _found(**terms: Any) -> OperatorEfficiency:  # noqa: ANN401 - any field
    return OperatorEfficiency(**PLAIN | terms)


def _operators(system: str, model: str) -> dict[str, Operator]:
    layers = Layers(model=load_model(model), attention=load_system(system))
    return {item.name: item for item in decode_operators(layers, sequences=128, context=4096)}


def test_efficiencies_have_kinds() -> None:
    """What was never measured says so, operator by operator, and what was on a part of the same make."""
    h800 = _operators("h800", "deepseek-v3")
    for name in ("query_up", "core_attention", "experts_up"):
        assert h800[name].kind == "measured", name
    assert h800["router"].kind == "sibling"  # products of bf16 were not timed, those of fp8 were
    h200 = _operators("h200", "deepseek-v3")
    assert h200["experts_up"].kind == "sibling"  # timed on the H800
    for model in ("deepseek-v3", "qwen3-235b-a22b"):
        timed = {name: item for name, item in _operators("mi300x", model).items() if item.efficiency}
        assert {item.kind for name, item in timed.items() if item.side != "network"} == {"estimated"}
        assert timed["dispatch"].kind == timed["combine"].kind == "measured"


def test_kinds_are_of_the_terms_that_count() -> None:
    """Each of many times by what most of it comes from: a tenth of it is enough for the weakest."""
    kinds = {"kind": "measured", "few_kind": "sibling", "compute_kind": "estimated", "memory_kind": "derived"}
    found = _found(**kinds, few_items_s=10e-6)
    work = Work(
        **WORK
        | {
            # 0.9 of 10.9 us; 2 of 12 us; streams 20 us; waits 40 us for few pieces
            "flops": np.array([0.45e8, 1e8, 1.0, 1.0]),
            "bytes_moved": np.array([1.0, 1.0, 1e7, 1.0]),
            "items": np.array([64, 64, 64, 1]),
            "entries": 32768,
        }
    )
    assert work.times(found) * 1e6 == pytest.approx([10.9, 12, 30, 50])
    assert work.kinds(found).tolist() == ["measured", "estimated", "derived", "sibling"]
    alike = _found(kind="sibling", few_kind="sibling", compute_kind="sibling", memory_kind="sibling")
    assert set(work.kinds(alike).tolist()) == {"sibling"}
    whole = Operator(*("core_attention", "attention", "x", 1, 0.0, 0.0, 0.0, "gqa_decode"), (work, found), {})
    assert whole.kind == "estimated"  # the weakest of its array
    assert whole._replace(basis="derived").kind == "derived"


@pytest.mark.parametrize(
    ("work", "terms", "microseconds"),
    [
        ({}, {}, 10 + 20),
        ({}, {"depth_time_s": 1e-9}, 10 + 1 + 20),
        ({}, {"cold_s": 4e-6}, 10 + 4 + 20),  # always paid: a service reads nothing from the cache on chip
        ({}, {"half_saturation_tokens": 16.0}, 10 + 30),
        ({}, {"compute_efficiency_wide": 1.0}, 10 + 20),  # 32 rows are narrow
        ({"rows": 64}, {"compute_efficiency_wide": 1.0}, 10 + 10),
        ({}, {"tile_rows": 64.0}, 10 + 40),  # a tile half full
        ({"rows": 96}, {"tile_rows": 64.0}, 10 + 20),  # beyond one tile nothing: batches are chosen
        ({"rows": 96, "spread": True}, {"tile_rows": 64.0}, 10 + 30),  # uneven groups fill 144
        ({"rows": 96, "items": 10}, {"tile_rows": 64.0}, 10 + 20 * 128 / 96),  # heads do not choose
        ({"items": 100}, {"processors": 78.0}, 10 + 20 / 0.75),
        ({"items": 156, "rows": 48}, {"processors": 78.0, "tile_rows": 64.0}, 10 + 20 * 64 / 48),
        ({}, {"processors": 78.0}, 10 + 20),  # a product is not dealt out
        ({"items": 4, "entries": 16384}, {"few_items_s": 3e-6}, 10 + 3 + 20),  # two doublings, half as long
        ({}, {"few_items_s": 3e-6}, 10 + 20),
        ({"items": 99, "vector_bytes": 5e5}, {"vector_efficiency": 0.1}, 10 + 5 + 20),
        ({"vector_bytes": 5e5}, {"vector_efficiency": 0.1}, 10 + 20),  # of cores alone
        ({"items": 99, "cache_peak": 2e14}, {"core_in_cache_format": True}, 10 + 10),
        ({"items": 99, "cache_peak": 2e14}, {}, 10 + 20),
        ({"items": 99, "cache_peak": 0.0}, {"core_in_cache_format": True}, 10 + 20),
        ({"cache_peak": 2e14}, {"core_in_cache_format": True}, 10 + 20),
    ],
)
def test_terms_of_a_law_by_hand(work: dict[str, Any], terms: dict[str, Any], microseconds: float) -> None:
    """Each alone; arrays of rows take the same times as numbers."""
    found = _found(**terms)
    assert Work(**WORK | work).times(found) * 1e6 == pytest.approx(microseconds, rel=1e-12)
    rows = {
        key: value if isinstance(value, bool) else np.full(2, float(value))
        for key, value in (WORK | work).items()
    }
    assert Work(**rows).times(found) * 1e6 == pytest.approx(np.full(2, microseconds), rel=1e-12)


TERMS = st.fixed_dictionaries(
    {
        "compute_efficiency": st.floats(0.05, 1.0),
        "memory_efficiency": st.floats(0.05, 1.0),
        "launch_s": st.floats(0.0, 1e-4),
        "depth_time_s": st.floats(0.0, 1e-8),
    }
)
FEW_ROWS = [{"half_saturation_tokens": 500.0}, *({"tile_rows": rows} for rows in (1.0, 16.0, 64.0))]
"""Laws say what few rows cost in one way or the other."""


@pytest.mark.parametrize("spread", [False, True])
@given(TERMS, st.sampled_from(FEW_ROWS), st.integers(1, 4096), st.floats(1.0, 8.0), st.integers(1, 7168))
def test_more_rows_never_take_less_nor_grow_faster(  # noqa: PLR0917 - drawn in order
    spread: bool,  # noqa: FBT001 - of a parameter
    terms: dict[str, float],
    few_rows: dict[str, float],
    rows: int,
    factor: float,
    width: int,
) -> None:
    """Of products and of experts: what a search over batches rests on."""

    def time(count: float) -> float:
        work = Work(
            flops=2.0 * count * width * width,
            bytes_moved=count * 3.0 * width + width * width,
            tokens=count,
            depth=width,
            peak=1e15,
            memory_bandwidth=3e12,
            rows=count,
            spread=spread,
        )
        return float(work.times(_found(**terms, **few_rows)))

    few, many = time(rows), time(rows * factor)
    assert few * (1 - 1e-12) <= many
    if not spread:  # groups fill a tile and a half from a tile on
        assert many <= few * factor * (1 + 1e-12)


def test_what_has_no_rows_fills_no_tiles() -> None:
    """Passes over memory, prompts: the default says that no rows share an operand."""
    work = Work(**{key: value for key, value in WORK.items() if key != "rows"})
    assert work.times(_found(tile_rows=64.0)) * 1e6 == pytest.approx(30)


def test_filling_is_told_with_the_time() -> None:
    """What fills tiles and waves is among an operator's arguments, of laws that have them alone."""
    work = Work(**WORK | {"items": 100, "entries": 10})
    assert work.filled(_found()) == {}
    assert work.filled(_found(tile_rows=64.0)) == {"rows": 32, "tile_rows": 64.0}
    assert work.filled(_found(processors=78.0)) == {"items": 100, "processors": 78.0}
    assert work.filled(_found(few_items_s=1e-6)) == {"items": 100, "entries": 10}
    assert filling.filled_waves(items=100, processors=78.0) == 0.75
