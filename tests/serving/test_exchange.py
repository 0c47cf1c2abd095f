"""Transfers of a layer between two groups: what reaches the FFN devices, and over which fabric."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.sizes import Layers

H800 = load_system("h800")


def test_afd_shares_the_attention_side_out() -> None:
    """Tokens of all attention devices reach the FFN devices; within one domain nothing crosses scale-out."""
    model = load_model("deepseek-v3")
    apart = Layers(model=model, attention=H800, deployment="afd", transport="node")
    sizes: dict[str, Any] = {"sequences": 64, "context": 4096, "attention_devices": 24, "ffn_devices": 8}
    found = {item.name: item for item in decode_operators(apart, **sizes)}
    assert found["experts_up"].flops == pytest.approx(24 * 64 * 8 / 8 * 2 * 2 * 2048 * 7168)
    assert found["shared_up"].flops == pytest.approx(24 * 64 / 8 * 2 * 2 * 2048 * 7168)
    assert {"dispatch_dense", "combine_dense"} <= set(found)
    assert found["dispatch"].arguments["scale_out_bytes"] == pytest.approx(24 * 64 * 7392)
    inside = dataclasses.replace(apart, attention=load_system("gb200-nvl72"))
    found = {item.name: item for item in decode_operators(inside, **sizes)}
    assert found["dispatch"].arguments["scale_out_bytes"] == 0
    assert found["dispatch"].arguments["scale_up_bytes"] == pytest.approx(24 * 64 * 8 * 7392)
    at_home = dataclasses.replace(apart, dense_side="attention")
    found = {item.name: item for item in decode_operators(at_home, **sizes)}
    assert found["shared_up"].side == found["dense_up"].side == "attention"
    assert "dispatch_dense" not in found
