"""Records by the names that people have for them."""

from __future__ import annotations

import pytest

from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError

CATALOGUE = Catalogue()


@pytest.mark.parametrize(
    ("kind", "name", "id_"),
    [
        ("model", "deepseek-v3", "deepseek-v3"),
        ("model", "DeepSeek-V3", "deepseek-v3"),
        ("model", "deepseek-ai/DeepSeek-V3", "deepseek-v3"),
        ("model", "DEEPSEEK-AI/deepseek-r1", "deepseek-v3"),
        ("model", "DeepSeek-R1", "deepseek-v3"),
        ("model", "deepseek_v3", "deepseek-v3"),
        ("model", "Qwen/Qwen3-235B-A22B", "qwen3-235b-a22b"),
        ("system", "H200", "h200"),
        ("system", "GB200_NVL72", "gb200-nvl72"),
        ("engine", "vLLM", "vllm"),
    ],
)
def test_names_in_any_case_and_of_hugging_face(kind: str, name: str, id_: str) -> None:
    assert CATALOGUE.record(kind, name).id == id_


def test_every_model_is_found_by_every_name_of_it() -> None:
    """No two records share a name."""
    for record in CATALOGUE.records("model"):
        for name in (record.id, *record.data.get("aliases", ()), *record.data.get("hugging_face_ids", ())):
            assert CATALOGUE.record("model", name.upper()).id == record.id


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(
        InputError, match="unknown model 'Qwen/Qwen3-235B-A22B-FP8'; did you mean 'qwen3-235b"
    ):
        CATALOGUE.record("model", "Qwen/Qwen3-235B-A22B-FP8")
