"""An operator's time: the kind of what it rests on."""

from __future__ import annotations

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.sizes import Layers

H800 = load_system("h800")


def test_efficiencies_have_kinds() -> None:
    """What was never measured says so, operator by operator."""
    grouped = Layers(model=load_model("qwen3-235b-a22b"), attention=H800)
    core = next(
        item
        for item in decode_operators(grouped, sequences=64, context=8192)
        if item.name == "core_attention"
    )
    assert core.kind == "estimated"  # memory binds, and its share was never measured
    for name, kinds in (("h800", {"measured"}), ("mi300x", {"estimated"})):
        layers = Layers(model=load_model("deepseek-v3"), attention=load_system(name))
        timed = [item for item in decode_operators(layers, sequences=128, context=4096) if item.efficiency]
        found = {item.kind for item in timed if item.efficiency in ("gemm", "grouped_gemm", "attention")}
        assert found == kinds, name
