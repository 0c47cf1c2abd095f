"""How many places the experts of a token are spread over: one answer, whoever asks, for one place or many."""

from __future__ import annotations

import numpy as np
import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.serving.fan_out import places_hit
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.serving.scenario import FAN_OUTS, Scenario
from roofline_afd.serving.sizes import Layers


@pytest.mark.parametrize("fan_out", FAN_OUTS)
def test_the_roofline_and_the_exchanges_spread_experts_alike(fan_out: str) -> None:
    places = np.array([[1, 2, 3], [8, 32, 256]])
    layers = Layers(model=load_model("deepseek-v3"), attention=load_system("h800"), fan_out=fan_out)
    stage = ffn_stage_inputs(Scenario(system="h800", model="deepseek-v3", fan_out=fan_out))
    found = places_hit(layers, places)
    assert found == pytest.approx(np.asarray(stage.nodes_hit(places)), rel=1e-12)
    assert found[0, 0] == 1
    assert np.all(np.diff(np.ravel(found)) >= 0)
