"""Overrides: values set on top of a record, and what is refused."""

from __future__ import annotations

import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.overrides import parse_pairs, split_overrides
from roofline_afd.catalogue.records import GIVEN
from roofline_afd.errors import InputError


def test_overrides() -> None:
    system = load_system(
        "h800", overrides={"fp8_tflops": "2 PFLOP/s", "scale_out_gb_per_s": 25, "scale_up_efficiency": 0.5}
    )
    assert system.accelerator.peak_flop_per_s["fp8"] == 2e15
    assert system.scale_out is not None
    assert system.scale_out.bytes_per_s == 25e9
    assert system.scale_up.efficiency == 0.5
    assert system.quantities["fp8_tflops"].kind == GIVEN
    assert system.quantities["fp8_tflops"].note == "the catalogue has 1979"
    assert (
        load_system("a100", overrides={"fp8_tflops": 1}).quantities["fp8_tflops"].note
        == "the catalogue has none"
    )
    assert load_model("kimi-k2", overrides={"attention.full.heads": 128}).attention[0].heads == 128


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("fp8_tflop", 1, "unknown system key 'fp8_tflop'; did you mean 'fp8_tflops'"),
        ("fp8_tflops", 0, "fp8_tflops: 0 must be above 0"),
        ("fp8_tflops", float("nan"), "not a finite number"),
        ("fp8_tflops", "many", "fp8_tflops: 'many' is not a number in TFLOP/s"),
        ("scale_up_efficiency", 1.2, "scale_up_efficiency: 1.2 must be at most 1"),
        ("devices_per_node", 2.5, "devices_per_node: 2.5 is not a whole number"),
        ("memory_gb", "80 Gb", "bits and bytes in doubt"),
        ("memory_gb", "80 GB/s", "not a unit of this value"),
    ],
)
def test_refused_overrides(key: str, value: float | str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_system("h800", overrides={key: value})


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (["fp8_tflops"], "not KEY=VALUE"),
        (["=3"], "not KEY=VALUE"),
        (["top_k="], "not KEY=VALUE"),
        (["top_k=1", "top_k=2"], "given twice"),
    ],
)
def test_refused_pairs(pairs: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_pairs(pairs)


def test_pairs_go_where_they_belong() -> None:
    pairs = parse_pairs(["fp8_tflops=4500", "top_k = 4", "attention.full.heads=64"])
    assert split_overrides(pairs) == ({"fp8_tflops": "4500"}, {"top_k": "4", "attention.full.heads": "64"})
    with pytest.raises(InputError, match="unknown key 'topk' in --set; did you mean 'top_k'"):
        split_overrides({"topk": 3})


def test_no_key_belongs_to_both_a_system_and_a_model() -> None:
    from roofline_afd.catalogue.schema import quantity_keys

    assert not set(quantity_keys("system")) & set(quantity_keys("model"))
