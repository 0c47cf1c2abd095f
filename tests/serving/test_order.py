"""The order of layers that counts tell, held against the orders that published files list."""

from __future__ import annotations

import json
from typing import Any

import pytest

from roofline_afd.catalogue.models import load_model
from roofline_afd.physics.schedule import LayerTimes, ordered_layers_time
from roofline_afd.serving.deployment import AFD, Deployments
from roofline_afd.serving.order import layer_order
from roofline_afd.serving.scenario import Scenario
from tests.conftest import SHARED

FOLDER = SHARED / "data" / "hf_configs"
CONFIGS = {
    "gemma-4-26b-a4b": ("google--gemma-4-26B-A4B", "layer_types"),
    "gpt-oss-120b": ("openai--gpt-oss-120b", "layer_types"),
    "step-3.7-flash": ("stepfun-ai--Step-3.7-Flash", "layer_types"),
    "qwen3.5-397b-a17b": ("Qwen--Qwen3.5-397B-A17B", "layer_types"),
    "mimo-v2-flash": ("XiaomiMiMo--MiMo-V2-Flash", "hybrid_layer_pattern"),
    "deepseek-v4-flash": ("deepseek-ai--DeepSeek-V4-Flash", "compress_ratios"),
    "deepseek-v4-pro": ("deepseek-ai--DeepSeek-V4-Pro", "compress_ratios"),
    "glm-5.2": ("zai-org--GLM-5.2", "indexer_types"),
}
WORDS: dict[str, dict[Any, str]] = {
    "layer_types": {"sliding_attention": "sliding", "full_attention": "full", "linear_attention": "linear"},
    "hybrid_layer_pattern": {0: "full", 1: "sliding"},
    "compress_ratios": {0: "window", 4: "compressed-4", 128: "compressed-128"},
    "indexer_types": {"full": "sparse", "shared": "sparse-shared-index"},
}
"""Kinds of our records by the words that files use."""
OFF = 0.02
"""What a schedule may be off for the order of its layers: less than one that takes no order into account."""


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the published configs of the shared folder")
@pytest.mark.parametrize("context", [4096, 131072])
@pytest.mark.parametrize("name", CONFIGS)
def test_steps_in_the_order_told_are_those_of_the_published_one(name: str, context: int) -> None:
    """Where the kinds of layers differ most, on a superpod, with two and three micro-batches."""
    stem, key = CONFIGS[name]
    config = json.loads((FOLDER / f"{stem}_config.json").read_text())
    listed = config.get("text_config", config)[key]
    model = load_model(name)
    kinds = [kind.name for kind in model.attention]
    mixing = [kinds.index(WORDS[key][word]) for word in listed[: model.layers]]
    published = [(mix, place < model.dense_layers) for place, mix in enumerate(mixing)]
    told = layer_order(model)
    pairs = tuple(dict.fromkeys((*told.kinds, *published)))
    deployments = Deployments(Scenario(system="gb200-nvl72", model=model, context=context), AFD)
    for m in (2, 3):
        deployment = deployments.deployment_of(36, 36, batch=16 * m, microbatches=m)
        blocks = deployments.micro_batch(deployment)[0]
        known = dict(zip(told.kinds, blocks, strict=True))
        mixes = {mix: block for (mix, _), block in known.items()}
        ffns = {dense: block for (_, dense), block in known.items()}
        times = [
            LayerTimes(mixes[mix].attention, ffns[dense].dispatch, ffns[dense].ffn, ffns[dense].combine)
            for mix, dense in pairs
        ]
        real = tuple(pairs.index(pair) for pair in published)
        steps = [
            ordered_layers_time(kinds=times, order=order, microbatches=m) for order in (told.layers, real)
        ]
        assert steps[0] == pytest.approx(steps[1], rel=OFF)
