"""What predictions rest on."""

from __future__ import annotations

from typing import Any

from roofline_afd.analysis.decode.predict import predict
from roofline_afd.analysis.decode.questions import Prediction
from roofline_afd.serving.scenario import Scenario

EP_QUESTION: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "devices": 128, "batch": 96}


def test_what_a_prediction_rests_on() -> None:
    """Fitted constants, defaults and estimates are said; a measured part has no share of estimates."""
    answer = predict(Prediction(Scenario(**EP_QUESTION)))
    text = "\n".join(answer.notes)
    assert "fitted to published services" in text
    assert "taken by default: expert precision fp8" in text
    assert answer.inputs["links"] == "calibrated"
    assert answer.inputs["draft_tokens"] == 0
    assert set(answer.inputs["values"]) >= {"fp8_tflops", "memory_gb", "scale_out_gb_per_s", "top_k"}
    assert answer.rows()[0]["estimated_share"] == 0
    estimated = predict(Prediction(Scenario(**EP_QUESTION | {"system": "mi300x"})))
    assert estimated.rows()[0]["estimated_share"] > 0.3  # exchanges were measured
    assert any("never measured" in note for note in estimated.notes)
