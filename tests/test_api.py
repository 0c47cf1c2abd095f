"""The Python API: the same answers as the command line, as tables and charts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import pytest

import roofline_afd
from roofline_afd import InputError, Scenario, load_model, load_system, roofline, validate
from tests.analysis.evidence.operators.times import synthetic
from tests.conftest import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike


def test_same_answer_as_the_command_line() -> None:
    answer = ask(
        "roofline", "--system", "h20", "--model", "kimi-k2", "--tpot-ms", "40", "--fan-out", "uniform"
    )
    table = roofline(Scenario(system="h20", model="kimi-k2", tpot_ms=40, fan_out="uniform"))
    assert list(table.columns) == list(answer["results"][0])
    for key in table.columns:
        assert table[key].tolist() == [row[key] for row in answer["results"]], key
    assert table.attrs["summary"] == answer["summary"]
    assert table.attrs["notes"] == answer["notes"]


def test_validation_is_that_of_the_command_line(tmp_path: Path) -> None:
    file = synthetic(tmp_path / "times.csv")
    answer = ask("validate", "--operators", str(file))
    table = validate(operators=[file])
    assert table["error"].tolist() == [row["error"] for row in answer["results"]]
    assert table.attrs["summary"] == answer["summary"]


def test_objects_and_overrides() -> None:
    system = load_system("gb200-nvl72", overrides={"fp8_tflops": 4500})
    table = roofline(Scenario(system=system, model=load_model("deepseek-v3")), ffn_nodes=np.array([1, 2]))
    assert table["hfu"].tolist() == pytest.approx([0.65536] * 2)


def test_charts_are_altair_charts() -> None:
    scenario = Scenario(system="h800", model="step-3")
    assert isinstance(roofline_afd.plot.roofline(scenario), alt.LayerChart)
    assert isinstance(roofline_afd.plot.dead_zone(scenario, ffn_nodes=range(1, 9)), alt.LayerChart)


@pytest.mark.parametrize("ffn_nodes", [[], [0], [1.5], [2_000_000], ["many"], [float("nan")], None])
def test_bad_node_counts(ffn_nodes: ArrayLike) -> None:
    with pytest.raises(InputError, match="ffn_nodes"):
        roofline(Scenario(system="h800", model="step-3"), ffn_nodes=ffn_nodes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tpot_ms": "50"}, "'50' is not a finite number"),
        ({"microbatches": True}, "True is not a finite number"),
    ],
)
def test_wrong_types_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Scenario(system="h800", model="step-3", **changes)  # type: ignore[arg-type]  # on purpose


def test_numbers_of_numpy_are_numbers() -> None:
    scenario = Scenario(
        system=load_system("h800", overrides={"fp8_tflops": np.int64(1979)}),  # type: ignore[dict-item]
        model="step-3",
        tpot_ms=np.float32(50),  # type: ignore[arg-type]
        microbatches=np.int64(3),  # type: ignore[arg-type]
    )
    plain = Scenario(system="h800", model="step-3", tpot_ms=50)
    assert roofline(scenario)["hfu"].tolist() == roofline(plain)["hfu"].tolist()


@pytest.mark.parametrize(
    ("system", "model", "fan_out", "says"),
    [
        (
            "h800",
            "ernie-4.5-300b",
            "paper",
            "HFU falls from 58.0% to its floor, 18.1%, at 8 FFN nodes, and stays",
        ),
        ("h800", "kimi-k2", "uniform", "No flat dead zone: HFU falls from 33.1% towards 10.3%"),
        (
            "trn2",
            "llama-4-scout",
            "paper",
            "No dead zone: scale-out binds at every FFN node count, HFU 46.1%.",
        ),
        ("h20", "step-3", "paper", "No dead zone: compute binds at every FFN node count, HFU 100.0%."),
        ("gb200-nvl72", "step-3", "paper", "No dead zone inside the scale-up domain: compute binds at every"),
    ],
)
def test_the_sentence_is_true(system: str, model: str, fan_out: str, says: str) -> None:
    table = roofline(Scenario(system=system, model=model, fan_out=fan_out), ffn_nodes=range(1, 200))
    assert says in table.attrs["summary"]["answer"]
    if "at every" in says:
        assert table["hfu"].nunique() == 1


def test_both_ends_of_the_link() -> None:
    """With fewer attention than FFN devices, pairs fall by n_A/n_F; with as many or more, by nothing."""
    free = roofline(Scenario(system="h800", model="deepseek-v3"), ffn_nodes=[8, 16])
    few = roofline(Scenario(system="h800", model="deepseek-v3", attention_devices=32), ffn_nodes=[8, 16])
    many = roofline(Scenario(system="h800", model="deepseek-v3", attention_devices=128), ffn_nodes=[8, 16])
    ratio = few["pairs_per_device"] / free["pairs_per_device"]
    assert ratio.tolist() == pytest.approx([32 / 64, 32 / 128])
    assert many["pairs_per_device"].tolist() == free["pairs_per_device"].tolist()
    assert few.attrs["summary"]["dead_zone_from"] is None
    assert set(few["regime"]) == {"attention links bound"}
    assert set(few["binding"]) == {"attention links"}
    assert "cannot fill the links, and HFU falls on" in few.attrs["summary"]["answer"]


def test_a_torus_is_said_to_be_an_upper_bound() -> None:
    table = roofline(Scenario(system="tpu-v5p", model="deepseek-v3"), ffn_nodes=[2, 8])
    assert "An upper bound: the cut of the torus" in table.attrs["summary"]["answer"]
    assert any(
        "is a torus: all traffic between the two groups crosses a cut" in note
        for note in table.attrs["notes"]
    )


def test_weights_narrower_than_the_accelerator_computes() -> None:
    """Formats that only store weights run at the peak of the vectors, and the notes say so."""
    table = roofline(Scenario(system="h800", model="deepseek-v3", expert_precision="int4"), ffn_nodes=[2])
    inputs, notes = table.attrs["inputs"], table.attrs["notes"]
    assert (inputs["expert_operand_precision"], inputs["dispatch_precision"]) == ("bf16", "bf16")
    asked = Scenario(system="h800", model="deepseek-v3", expert_precision="int4", dispatch_precision="fp8")
    assert roofline(asked, ffn_nodes=[2]).attrs["inputs"]["expert_operand_precision"] == "fp8"
    assert any("does not multiply in int4" in note for note in notes)
    native = roofline(Scenario(system="b200", model="deepseek-v3", expert_precision="nvfp4"), ffn_nodes=[2])
    assert native.attrs["inputs"]["expert_operand_precision"] == "fp4"
    ampere = roofline(Scenario(system="a100", model="deepseek-v3", expert_precision="fp8"), ffn_nodes=[4])
    assert ampere.attrs["inputs"]["expert_operand_precision"] == "bf16"


@pytest.mark.parametrize("wrong", ["h800", None, {"system": "h800"}])
def test_what_is_no_question_is_told(wrong: object) -> None:
    asked: tuple[Callable[..., object], ...] = (
        roofline_afd.compare,
        roofline_afd.roofline,
        roofline_afd.explore,
        roofline_afd.plot.afd_vs_ep,
    )
    for function in asked:
        with pytest.raises(InputError, match="is no Scenario"):
            function(wrong)
