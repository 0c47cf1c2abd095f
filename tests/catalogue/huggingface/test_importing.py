"""Import of whole configurations: every published file, names and sources of a record, and any value."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.huggingface.importing import read_config
from roofline_afd.catalogue.models import Model, load_model, model_of
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from tests.catalogue.huggingface.toys import TOYS, toy
from tests.conftest import SHARED

FILES = sorted((SHARED / "data" / "hf_configs").glob("*_config.json"))
needs_files = pytest.mark.skipif(not FILES, reason="the published configurations are not there")
NOT_OF_THE_SHAPE = {
    *("id", "name", "vendor", "quantities", "attention", "expert_weights", "attention_weights"),
    *("checkpoints", "asked_as"),
}


def _of(repository: str) -> Model | None:
    """Return the catalogued model of a repository, by its id, precision and task left off."""
    name = repository.lower()
    for ending in ("-fp8", "-bf16", "-instruct", "-v0.1", "-17b-16e", "-17b-128e"):
        name = name.replace(ending, "")
    name = name.removeprefix("nvidia-")
    known = {"minimax-m2.5": "minimax-m2", "qwen3-vl-30b-a3b": "qwen3-30b-a3b", "deepseek-r1": "deepseek-v3"}
    return load_model(known.get(name, name), catalogue=Catalogue())


@needs_files
def test_all_published_files_are_there() -> None:
    assert len(FILES) == 36


@needs_files
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix("_config.json"))
def test_published_file_agrees_with_the_catalogue(file: Path) -> None:
    vendor, _, repository = file.name.removesuffix("_config.json").partition("--")
    text = read_config(file.read_bytes(), model_id="imported").record
    model = model_of(parse_record(text.encode(), file="imported.toml"))
    known = _of(repository)
    assert known is not None
    for field in dataclasses.fields(Model):
        if field.name == "mtp_layers" and "mtp_layers" not in model.quantities:
            continue  # the file does not speak of them
        if field.name not in NOT_OF_THE_SHAPE:
            assert getattr(model, field.name) == getattr(known, field.name), field.name
    by_name = {kind.name: kind for kind in known.attention}
    assert {kind.name: kind for kind in model.attention} == by_name
    context = "max_context_tokens"
    if "VL" not in repository and repository != "GLM-5.1-FP8":
        assert model.quantities[context].value == known.quantities[context].value
    stated = (model.expert_weights, model.attention_weights)
    if "FP8" not in repository:
        assert stated == (known.expert_weights, known.attention_weights)
    if vendor != "sgl-project":
        (found,) = model.checkpoints
        shapes = {(each.experts, each.rest, each.activations) for each in known.checkpoints}
        assert (found.experts, found.rest, found.activations) in shapes


@pytest.mark.parametrize("name", ["../../etc/passwd", "Über", "a b", "", "\ud800", "x" * 100, 'a"\nb = 1'])
def test_an_id_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        read_config(json.dumps(toy("mixtral")), model_id=name)


def test_the_record_says_where_it_is_from() -> None:
    text = read_config(
        json.dumps(toy("arctic")), model_id="mine", vendor='A "B" \\ C', date="2026-01-02"
    ).record
    record = parse_record(text.encode(), file="mine.toml")
    assert record.text("vendor") == 'A "B" \\ C'
    assert record.quantities["hidden_size"].kind == "datasheet"
    assert record.quantities["shared_expert_intermediate"].kind == "reported"
    assert record.quantities["attention.full.head_dim"].kind == "derived"
    assert record.sources["config"].date == "2026-01-02"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@given(family=st.sampled_from(sorted(TOYS)), data=st.data())
def test_no_value_anywhere_breaks_the_import(family: str, data: st.DataObject) -> None:
    config = toy(family)
    key = data.draw(st.sampled_from(sorted(config)))
    config[key] = data.draw(JSON)
    try:
        text = read_config(json.dumps(config), model_id="toy").record
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert model_of(parse_record(text.encode(), file="toy.toml")).total_params > 0


@given(text=st.text() | st.binary())
def test_no_text_breaks_the_import(text: str | bytes) -> None:
    with pytest.raises(InputError):
        read_config(text)
