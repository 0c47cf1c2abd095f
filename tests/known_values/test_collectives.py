"""Collectives against published timings of kernels, and a law of H100 read off them."""

from __future__ import annotations

import pytest

from roofline_afd.catalogue.calibration import load_calibration
from roofline_afd.catalogue.engines import load_engine
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.physics.collectives import all_reduce_time
from roofline_afd.serving.collectives import all_reduce

KIB, MIB = 2**10, 2**20


@pytest.mark.parametrize(("mebibytes", "microseconds"), [(0.5, 12.5), (2, 20), (8, 51), (64, 335)])
def test_the_law_of_eight_h100(mebibytes: float, microseconds: float) -> None:
    """4 us in one step, 10 us in two, 361 GB/s."""
    law = {"one_shot_latency": 4e-6, "two_shot_latency": 10e-6, "bandwidth": 361e9, "devices": 8}
    assert all_reduce_time(message_bytes=mebibytes * MIB, **law) * 1e6 == pytest.approx(
        microseconds, rel=0.01
    )


@pytest.mark.parametrize(
    ("system", "devices", "message", "low", "high"),
    [
        ("h100", 8, 8 * KIB, 3.5, 5.0),
        ("h100", 8, 512 * KIB, 10.5, 17.7),
        ("h100", 8, 2 * MIB, 20.0, 35.0),
        ("h100", 8, 64 * MIB, 321.0, 344.0),
        ("b200", 8, 8 * KIB, 5.0, 8.0),
        ("b200", 8, 512 * KIB, 10.9, 26.2),
        ("b200", 8, 64 * MIB, 222.0, 279.0),
        ("gb200-nvl72", 4, 8 * KIB, 4.2, 5.4),
        ("gb200-nvl72", 4, 4 * MIB, 25.5, 26.8),
        ("mi300x", 4, 16 * KIB, 7.2, 7.3),
        ("mi300x", 4, 8 * MIB, 118.0, 119.0),
    ],
)
def test_engines_are_near_what_their_kernels_took(
    system: str, devices: int, message: float, low: float, high: float
) -> None:
    """Each within a quarter of the range that libraries span; no engine as quick as the quickest of all."""
    part = load_system(system)
    times = []
    for engine in ("vllm", "sglang", "trtllm", "ideal"):
        calibration = load_calibration(part, families=load_engine(engine).families)
        found = all_reduce(part, calibration, message_bytes=message, devices=devices)
        times.append(float(found.time) * 1e6)
        assert 0.75 * low <= times[-1] <= 1.4 * high, engine
        assert found.kind == "measured"
    assert times[-1] == min(times)
