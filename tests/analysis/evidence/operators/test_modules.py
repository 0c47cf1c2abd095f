"""Whole attention modules: what they take beyond their products, cores and passes sets the small kernels."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from roofline_afd.analysis.evidence.operators.predict import predict
from roofline_afd.analysis.evidence.operators.work import measured_us
from roofline_afd.catalogue.calibration import load_calibration, load_service_constants
from tests.analysis.evidence.operators.times import CATALOGUE, rows_to_calibrate

if TYPE_CHECKING:
    from numpy.typing import NDArray

LATENT = ("mla_module",)


@functools.cache
def _beyond(engine: str) -> NDArray[np.float64]:
    """Return what latent modules of an engine take beyond their prediction, which counts no small kernels."""
    rows = [
        row
        for row in rows_to_calibrate()
        if row.operator in LATENT and row.use_kind == "fit" and row.texts["engine"].startswith(engine)
    ]
    calibrations = {row.system.id: load_calibration(row.system, catalogue=CATALOGUE) for row in rows}
    predicted = [predict(row, calibrations[row.system.id], catalogue=CATALOGUE)[0] * 1e6 for row in rows]
    return np.array([measured_us(row) for row in rows]) - predicted


def test_small_kernels_of_a_layer_are_what_modules_take_beyond_their_parts() -> None:
    """TensorRT-LLM's on GB200 and H200: 51 of them; half lie between -4 and 4 us, as the record says."""
    beyond = _beyond("trtllm")
    assert beyond.size == 51
    stated = load_service_constants(CATALOGUE).other_s * 1e6
    assert float(np.median(beyond)) == pytest.approx(stated, abs=0.05)
    quarters = np.quantile(beyond, (0.25, 0.75))
    assert quarters == pytest.approx([-4, 4], abs=0.5)


def test_modules_of_another_engine_take_more() -> None:
    """VLLM's, which launch more small kernels: half of 78 take 14 to 54 us more, as the record says."""
    beyond = _beyond("vllm")
    assert beyond.size == 78
    quarters = np.quantile(beyond, (0.25, 0.75)) - np.median(_beyond("trtllm"))
    assert quarters == pytest.approx([14, 54], abs=0.5)
    note = CATALOGUE.record("calibration", "service").quantities["service.other_us"].note
    assert "half of vLLM's take 14 to 54 more" in note
