"""Operators of the FFN layers: the side that shared experts run on."""

from __future__ import annotations

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.sizes import Layers

H800 = load_system("h800")


def test_narrow_vectors_keep_shared_experts_at_home() -> None:
    """A model that dispatches a narrower vector cannot run its shared experts on the FFN side."""
    layers = Layers(model=load_model("nemotron-3-super-120b-a12b"), attention=H800, deployment="afd")
    found = {item.name: item for item in decode_operators(layers, sequences=8, context=100)}
    assert found["shared_up"].side == "attention"
    assert found["latent_down"].flops == 2 * 8 * 4096 * 1024
