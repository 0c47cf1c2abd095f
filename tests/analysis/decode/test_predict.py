"""One deployment: which one a question describes, and in which mode."""

from __future__ import annotations

from typing import Any

import pytest

from roofline_afd.analysis.decode.predict import predict, predict_afd, predict_ep
from roofline_afd.analysis.decode.questions import Prediction
from roofline_afd.errors import InputError
from roofline_afd.serving.scenario import Scenario

EP_QUESTION: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "devices": 128, "batch": 96}
AFD_QUESTION: dict[str, Any] = {
    "system": "h800",
    "model": "deepseek-v3",
    "batch": 96,
    "attention_devices": 96,
    "ffn_devices": 64,
}


def _row(**question: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    (row,) = predict(Prediction(Scenario(**question))).rows()
    return row


def test_the_quickest_of_all_transports_is_named() -> None:
    rows = {name: _row(**EP_QUESTION, transport=name) for name in ("pair", "rank", "node", "all")}
    quickest = min(rows["pair"]["tpot_ms"], rows["rank"]["tpot_ms"], rows["node"]["tpot_ms"])
    assert rows["all"]["tpot_ms"] == quickest
    assert rows[rows["all"]["transport"]]["tpot_ms"] == quickest
    assert _row(**EP_QUESTION)["transport"] == "pair"


def test_a_mode_of_its_own() -> None:
    """Named by the function or by the devices; `ep` with FFN devices is a contradiction."""
    assert predict_ep(Scenario(**EP_QUESTION)).rows() == predict(Prediction(Scenario(**EP_QUESTION))).rows()
    assert (
        predict_afd(Scenario(**AFD_QUESTION)).rows() == predict(Prediction(Scenario(**AFD_QUESTION))).rows()
    )
    with pytest.raises(InputError, match="--ffn-devices belongs to --mode afd"):
        predict_ep(Scenario(**AFD_QUESTION))
    with pytest.raises(InputError, match="--attention-devices and --ffn-devices are needed"):
        predict_afd(Scenario(**EP_QUESTION))


def test_where_devices_lie_is_part_of_the_answer() -> None:
    """Of racks that several nodes share, where a deployment reaches beyond one."""
    question: dict[str, Any] = {
        "system": "gb200-nvl72",
        "model": "deepseek-v3",
        "batch": 256,
        "context": 1024,
    }
    within, beyond = (predict(Prediction(Scenario(**question, devices=each), mode="ep")) for each in (72, 76))
    assert beyond.summary["answer"].startswith("EP on 76 devices (2 racks, 38+38): ")
    assert within.summary["answer"].startswith("EP on 72 devices: ")
    (row,) = beyond.rows()
    assert (row["domain_layout"], row["domains"], row["n_domains"]) == ("even", "2 racks, 38+38", 2)
    assert row["exchange_library"] == "deepep-v1-low-latency"
    full = predict(Prediction(Scenario(**question, devices=76, domain_layout="full"), mode="ep")).rows()[0]
    assert full["domains"] == "2 racks, 72+4"
    assert full["breakdown"]["dispatch_us"] > 1.5 * row["breakdown"]["dispatch_us"]
