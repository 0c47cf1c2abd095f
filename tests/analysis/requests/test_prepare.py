"""Questions put into a simulation: in SI, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from roofline_afd import InputError
from roofline_afd.analysis.requests.prepare import Prepared, checked, prepare
from roofline_afd.analysis.requests.questions import Simulation
from roofline_afd.simulation.replicate import Course, replicate
from tests.simulation.small import PAPER, PAPER_TEXT, trial

QUESTION: dict[str, Any] = {
    "coefficients": PAPER_TEXT,
    "prompt_mean": 100,
    "decode_mean": 100,
    "batch": 64,
    "requests": 1500,
    "r": (2, 3, 4, 5, 6),
}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no ratio": ({"r": ()}, "--r is empty"),
    "a ratio of 0": ({"r": (0,)}, "--r 0 must be a whole number from 1 to 1,024"),
    "twice": ({"r": (2, 2)}, "--r names a ratio twice"),
    "requests": ({"requests": 0}, "--requests 0 must be a whole number"),
    "start": ({"start": "warm"}, "--start 'warm' is not valid"),
    "window": ({"window": "all"}, "--window 'all' is not valid"),
    "seed": ({"seed": -1}, "--seed -1 must be at least 0"),
    "half a seed": ({"seed": 0.5}, "--seed 0.5 must be a whole number from 0"),
    "slots": ({"batch": 65536, "r": (1000,)}, "slots; at most 10,000,000 are simulated"),
    "hours": ({"requests": 10**8}, "this would take some .* minutes; at most 60 are allowed"),
    "replay": ({"replay": "in-order"}, "--replay belongs to --trace, which is missing"),
    "horizon": ({"horizon": 5}, "--horizon and --requests exclude each other"),
    "horizon at rest": (
        {"horizon": 5, "requests": None, "start": "stationary"},
        "--horizon and --start stationary exclude each other",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_questions(case: str) -> None:
    changes, message = BAD[case]
    with pytest.raises(InputError, match=message):
        prepare(Simulation(**(QUESTION | changes)))


def test_slots_of_all_ffn_devices_count() -> None:
    message = "--r 200 with 16 FFN devices, --batch 2048 and --microbatches 2 make 13,107,200 slots"
    with pytest.raises(InputError, match=message):
        checked(trial(ratios=(200,), batch=2048, ffn_devices=16))


def test_prepared_in_si() -> None:
    prepared = prepare(
        Simulation(**QUESTION, layers=61, gap_ms=2.0, accept_length=1.5, duplex="shared", tpot_ms=50)
    )
    assert isinstance(prepared, Prepared)
    asked = prepared.settings
    assert (asked.layers, asked.accept_length, asked.duplex, prepared.tpot) == (61, 1.5, "shared", 0.05)
    assert asked.outside == pytest.approx(2e-3)
    assert asked.coefficients == pytest.approx(PAPER)
    assert isinstance(replicate(dataclasses.replace(asked, requests=10), 0), Course)
