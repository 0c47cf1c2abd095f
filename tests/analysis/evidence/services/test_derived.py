"""Constants of services that timings of operators give: recomputed from the published modules."""

from __future__ import annotations

import numpy as np
import pytest

from roofline_afd.analysis.evidence.operators.layers import layer_time
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.analysis.evidence.operators.work import measured_us
from roofline_afd.analysis.evidence.services.record import DERIVED
from roofline_afd.catalogue.calibration import load_calibration
from tests.analysis.evidence.operators.times import CATALOGUE, SECOND
from tests.conftest import require


def test_small_kernels_are_what_whole_modules_take_besides() -> None:
    """Median of measured less predicted, without small kernels, over the latent modules of TensorRT-LLM."""
    require(present=SECOND[0].is_file(), what="the second set of measured operators")
    rows = [
        row
        for row in read_measurements(SECOND[:1], catalogue=CATALOGUE)
        if row.operator == "mla_module" and row.use_kind == "fit" and row.texts["engine"].startswith("trtllm")
    ]
    rest = [
        measured_us(row)
        - layer_time(row, load_calibration(row.system, catalogue=CATALOGUE), catalogue=CATALOGUE)[0] * 1e6
        for row in rows
    ]
    stated = DERIVED["other_us"]
    assert f"what {len(rows)} whole latent modules" in str(stated["note"])
    assert float(np.median(rest)) == pytest.approx(stated["value"], abs=0.5)
