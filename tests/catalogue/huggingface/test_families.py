"""Families: each is found by its names and read as it spells its shape."""

from __future__ import annotations

import pytest

from roofline_afd.catalogue.huggingface.families import FAMILIES
from tests.catalogue.huggingface.toys import TOYS, imported, refusal, toy


@pytest.mark.parametrize("family", TOYS)
def test_every_family_is_read(family: str) -> None:
    _, expected, tables = TOYS[family]
    model = imported(toy(family))
    for key, value in expected.items():
        if value is not None:
            assert getattr(model, key) == value, key
    assert {kind.name for kind in model.attention} == set(tables)
    for kind in model.attention:
        for key, value in tables[kind.name].items():
            assert getattr(kind, key) == value, (kind.name, key)


def test_every_family_has_a_toy() -> None:
    covered = {name for family in FAMILIES for name in family.names.split() if name in TOYS}
    assert covered == set(TOYS)
    assert all(set(family.names.split()) & covered for family in FAMILIES)
    names = [name for family in FAMILIES for name in family.names.split()]
    assert len(names) == len(set(names))


def test_dense_models_are_refused_with_the_fields_seen() -> None:
    message = refusal({"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32})
    assert "no field speaks of experts" in message
    assert "hidden_size, model_type, num_hidden_layers" in message


def test_unknown_families_are_refused_with_the_nearest() -> None:
    message = refusal({"model_type": "qwen4_moe", "num_experts": 8})
    assert "it has experts, but 'qwen4_moe' is no known family" in message
    assert "'qwen3_moe'" in message
    assert "a file without model_type" in refusal({"num_experts": 8})


def test_names_of_two_families_are_refused() -> None:
    message = refusal(toy("mixtral", architectures=["DeepseekV3ForCausalLM"]))
    assert "name different families" in message
