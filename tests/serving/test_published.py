"""Formats taken by default: which of the published checkpoints, on which accelerator, and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline_afd.catalogue.models import Checkpoint, load_model
from roofline_afd.catalogue.precision import PRECISIONS, precision
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.serving.deployment import Deployments
from roofline_afd.serving.published import quickest
from roofline_afd.serving.scenario import Scenario
from tests.conftest import ask, command

HOPPER = {"bf16": 990.0, "fp8": 1979.0}
SIZE = ("--devices", "64", "--batch", "32")
MODELS = sorted(Catalogue().ids("model"))


@pytest.mark.parametrize(
    ("system", "model", "taken"),
    [
        ("h800", "deepseek-v3", ("fp8", "fp8", "fp8", "fp8")),
        ("cloudmatrix384", "deepseek-v3", ("int8", "int8", "int8", "int8")),
        ("h800", "gpt-oss-120b", ("mxfp4", "bf16", "bf16", "bf16")),
        ("gb200-nvl72", "gpt-oss-120b", ("mxfp4", "bf16", "fp8", "fp8")),
        ("gb200-nvl72", "kimi-k2.5", ("int4", "bf16", "bf16", "bf16")),
        ("h20", "kimi-k2", ("fp8", "fp8", "fp8", "fp8")),
        ("gb200-nvl72", "deepseek-v4-pro", ("mxfp4", "fp8", "fp8", "fp8")),
        ("h20", "deepseek-v4-pro", ("mxfp4", "fp8", "fp8", "fp8")),
        ("cloudmatrix384", "deepseek-v4-pro", ("mxfp4", "int8", "int8", "int8")),
        ("h20", "qwen3-235b-a22b", ("fp8", "fp8", "fp8", "fp8")),
        ("h20", "llama-4-maverick", ("fp8", "bf16", "fp8", "fp8")),
        ("h20", "mixtral-8x22b", ("bf16", "bf16", "bf16", "bf16")),
        ("h20", "qwen2-57b-a14b", ("int4", "int4", "bf16", "bf16")),
        ("gb200-nvl72", "nemotron-3-super-120b-a12b", ("nvfp4", "fp8", "fp4", "fp8")),
        ("h200", "nemotron-3-super-120b-a12b", ("fp8", "fp8", "fp8", "fp8")),
        ("mi355x", "nemotron-3-super-120b-a12b", ("fp8", "fp8", "fp8", "fp8")),
        ("h200", "nemotron-3-ultra-550b-a55b", ("nvfp4", "fp8", "bf16", "bf16")),
    ],
)
def test_formats_by_default(system: str, model: str, taken: tuple[str, str, str, str]) -> None:
    """Of experts, of the rest, of the experts' products, and of what is sent to them."""
    experts, rest, runs, sent = taken
    scenario = Scenario(system=system, model=model)
    assert (scenario.weights.id, scenario.others.id) == (experts, rest)
    assert (scenario.operand, scenario.dispatched.id) == (runs, sent)
    formats = Deployments(scenario, "ep").formats
    assert (formats.experts, formats.others, formats.dispatch) == (experts, rest, sent)


@pytest.mark.parametrize("model", MODELS)
def test_a_default_is_published_or_stands_for_it(model: str) -> None:
    """On every system: the formats of one checkpoint, but for eight bits of the other kind."""
    published = {(each.experts, each.rest) for each in load_model(model).checkpoints}
    assert published
    eight = {"int8": "fp8", "fp8": "int8"}
    for system in ("h20", "gb200-nvl72", "mi355x", "cloudmatrix384", "tpu-v5p", "b300"):
        scenario = Scenario(system=system, model=model)
        experts, rest = scenario.weights.id, scenario.others.id
        both = {(one, two) for one in (experts, eight.get(experts)) for two in (rest, eight.get(rest))}
        assert both & published, (system, experts, rest)


@pytest.mark.parametrize("model", MODELS)
def test_checkpoints_are_of_the_maker_of_the_model(model: str) -> None:
    """No checkpoint of a third party stands in a record, and none twice."""
    record = Catalogue().record("model", model)
    makers = {name.partition("/")[0] for name in record.data["hugging_face_ids"]}
    listed = load_model(model).checkpoints
    assert {each.repository.partition("/")[0] for each in listed} == makers
    assert len({(each.experts, each.rest) for each in listed}) == len(listed)
    for each in record.data.get("checkpoints", ()):
        assert each["experts"] in PRECISIONS
        assert each["rest"] in PRECISIONS
        assert precision(each["experts"]).bytes < 2, "bf16 is what the record itself describes"


def test_explicit_formats_rule() -> None:
    for experts, rest in (("fp8", "fp8"), ("int4", "bf16"), ("nvfp4", "fp8")):
        given = Scenario(
            system="gb200-nvl72", model="kimi-k2.5", expert_precision=experts, attention_precision=rest
        )
        assert (given.weights.id, given.others.id) == (experts, rest)
    one = Scenario(system="h20", model="qwen3-235b-a22b", expert_precision="bf16")
    assert one.others.id == "bf16"  # the rest of the checkpoint that is asked for
    odd = Scenario(system="h20", model="qwen3-235b-a22b", expert_precision="int8")
    assert odd.others.id == "fp8"  # nobody publishes int8: the rest as without it


def test_each_side_takes_what_its_accelerator_computes() -> None:
    pair = Scenario(
        system="gb200-nvl72",
        model="deepseek-v3",
        attention_system="cloudmatrix384",
        ffn_system="gb200-nvl72",
    )
    formats = Deployments(pair, "afd").formats
    assert (formats.others, formats.experts) == ("int8", "fp8")


def test_formats_of_other_makers_accelerators_are_passed_over() -> None:
    listed = [Checkpoint("a/b", "bf16", "bf16"), Checkpoint("a/b-NVFP4", "nvfp4", "bf16")]
    peaks = {**HOPPER, "fp4": 5000.0}
    assert quickest(listed, peaks, vendor="NVIDIA") == listed[1]
    assert quickest(listed, peaks, vendor="AMD") == listed[0]
    assert quickest(listed[1:], peaks, vendor="AMD") == listed[1]  # nothing else is published
    assert quickest([], peaks) is None


def test_a_record_that_names_no_format_keeps_the_first_of_eight_bits() -> None:
    model = load_model("kimi-k2.5")
    bare = type(model)(**{name: getattr(model, name) for name in type(model).__slots__} | {"checkpoints": ()})
    scenario = Scenario(system="h800", model=bare)
    assert (scenario.weights.id, scenario.others.id, scenario.dispatched.id) == ("fp8", "fp8", "fp8")


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (
            ("roofline", "--system", "h800", "--model", "gpt-oss-120b"),
            "Experts in mxfp4 by default, as OpenAI publishes them.",
        ),
        (
            ("predict", "--system", "h800", "--model", "kimi-k2.5", *SIZE),
            "Experts in int4, the rest in bf16 by default, as Moonshot AI publishes them.",
        ),
        (
            ("predict", "--system", "h800", "--model", "deepseek-v3", *SIZE),
            "Weights in fp8 by default, as DeepSeek publishes them.",
        ),
        (
            ("predict", "--system", "cloudmatrix384", "--model", "deepseek-v3", *SIZE),
            "Weights in int8 by default, the nearest to what DeepSeek publishes.",
        ),
    ],
)
def test_the_first_line_says_what_was_taken(question: tuple[str, ...], says: str) -> None:
    answer = ask(*question)
    assert says.removesuffix(".") in answer["summary"]["answer"]
    given = (
        "--expert-precision",
        "fp8",
        *(("--attention-precision", "fp8") if "predict" in question else ()),
    )
    assert "by default" not in ask(*question, *given)["summary"]["answer"]


def test_notes_name_the_checkpoint_and_what_else_is_published() -> None:
    question = (
        "predict",
        "--system",
        "h800",
        "--model",
        "qwen3-235b-a22b",
        "--devices",
        "16",
        "--batch",
        "8",
    )
    (taken,) = [note for note in ask(*question)["notes"] if note.startswith("taken by default")]
    assert "Alibaba Qwen publishes weights in fp8 (Qwen/Qwen3-235B-A22B-FP8)" in taken
    assert "weights in bf16; weights in int4" in taken
    mixed = ("roofline", "--system", "gb200-nvl72", "--model", "gpt-oss-120b")
    assert any("multiplied with vectors in fp8" in note for note in ask(*mixed)["notes"])


def test_a_refusal_says_what_was_taken() -> None:
    outcome = command("compare", "--system", "h800", "--model", "kimi-k2.5", "--tpot-ms", "1")
    assert outcome.status == 1
    assert "experts in int4, the rest in bf16 by default, as Moonshot AI publishes them" in outcome.err


def test_listings_show_what_is_published() -> None:
    rows = {row["id"]: row for row in ask("models", "list")["results"]}
    assert rows["gpt-oss-120b"]["published"] == "mxfp4/bf16"
    assert rows["qwen3-235b-a22b"]["published"] == "bf16/bf16, fp8/fp8, int4/int4"
    (row,) = ask("models", "show", "qwen3-235b-a22b")["results"]
    assert "fp8/fp8 Qwen/Qwen3-235B-A22B-FP8" in row["published"]
    assert "config.json of Qwen/Qwen3-235B-A22B-FP8" in row["published_source"]
    assert row["published_kind"] == "reported"  # of the int4 one, known by its name alone


def test_scenario_files_with_and_without_formats(tmp_path: Path) -> None:
    """Those that state formats are read as before; those that state none take the default, and say so."""
    file = tmp_path / "question.toml"
    text = 'system = "h800"\nmodel = "kimi-k2.5"\ndevices = 64\nbatch = 16\n'
    file.write_text(text, "utf-8")
    without = ask("predict", "--scenario", str(file))
    assert without["inputs"]["expert_precision"] == "int4"
    assert any(note.startswith("taken by default: expert precision int4") for note in without["notes"])
    file.write_text(text + 'expert-precision = "fp8"\nattention_precision = "fp8"\n', "utf-8")
    stated = ask("predict", "--scenario", str(file))
    assert (stated["inputs"]["expert_precision"], stated["inputs"]["attention_precision"]) == ("fp8", "fp8")
    assert "by default" not in stated["summary"]["answer"]
