"""Configurations from the field that were refused, or read wrongly: published totals, formats as stated."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

import pytest

from roofline_afd.catalogue.huggingface.importing import Imported, read_config
from roofline_afd.catalogue.models import Model, model_of
from roofline_afd.catalogue.reading import parse_record
from tests.conftest import SHARED

FOLDER = SHARED / "data" / "cases"
EXPECTED = FOLDER / "expected.csv"
NAMED = ("refused_*.json", "wrong_*.json")
FILES = sorted(path for pattern in NAMED for path in FOLDER.glob(pattern))
FORMATS = {
    "refused_glm-5.2-nvfp4_layer_types.json": ("nvfp4", "bf16"),
    "refused_minimax-m2.5-nvfp4_router_jitter_noise.json": ("nvfp4", "bf16"),
    "refused_qwen3.6-35b-a3b_mixed_precision.json": ("nvfp4", "fp8"),
    "refused_mlx_quantization.json": ("int4", "int4"),
    "refused_dots1_unknown_family.json": ("int4", "int4"),
    "wrong_attention_read_as_int4_projections_listed_singly.json": ("int4", "bf16"),
    "refused_config_over_1MB_says_1000001_bytes.json": ("fp8", "fp8"),
}
"""Formats of experts and attention where a file states any: MLX's four bits of dots.llm1 among them."""

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the cases of the shared folder")


def _model(found: Imported) -> Model:
    (name,) = re.findall(r'^id = "(.*)"$', found.record, re.MULTILINE)
    return model_of(parse_record(found.record.encode(), file=f"{name}.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_read_as_its_makers_have_it(path: Any) -> None:  # noqa: ANN401 - a path
    """Totals within 4 %, active parameters within 8 %, of what was published."""
    found = read_config(path.read_bytes())
    model = _model(found)
    rows = {row["file"]: row for row in csv.DictReader(EXPECTED.read_text("utf-8").splitlines())}
    row = rows.get(path.name, {})
    for key, value, off in (
        ("total_params_b", model.total_params, 0.04),
        ("active_params_b", model.active_params, 0.08),
    ):
        if row.get(key):
            assert value / 1e9 == pytest.approx(float(row[key]), rel=off)
    assert (model.expert_weights, model.attention_weights) == FORMATS.get(path.name, ("bf16", "bf16"))


def test_a_file_beside_says_how_weights_are_quantised() -> None:
    """As modelopt writes it; without it what is not stated is told."""
    text = (FOLDER / "wrong_deepseek-v3.1-nvfp4_read_as_bf16.json").read_bytes()
    alone = read_config(text)
    assert any("no quantisation is stated" in note for note in alone.notes)
    block = {
        "quant_algo": "NVFP4",
        "kv_cache_quant_algo": "FP8",
        "exclude_modules": ["*self_attn*", "lm_head"],
    }
    beside = json.dumps({"producer": {"name": "modelopt"}, "quantization": block})
    found = read_config(text, beside=beside)
    model = _model(found)
    assert (model.expert_weights, model.attention_weights) == ("nvfp4", "bf16")
    assert "caches are held in fp8: --kv-precision fp8" in found.notes


def test_harmless_fields_are_passed_over_in_one_note() -> None:
    found = read_config((FOLDER / "refused_unsloth_fields.json").read_bytes())
    (note,) = (note for note in found.notes if note.startswith("passed over"))
    assert "unsloth" in note
