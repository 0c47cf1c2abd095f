"""EP against AFD: what arXiv 2602.09721 concludes, as this model gives it; verdicts and refusals.

The paper's conclusions are directions; no number of it is asked for here, and each comparison of two ratios
changes one thing at a time.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roofline_afd.analysis.decode.compare import compare
from roofline_afd.analysis.decode.predict import predict
from roofline_afd.analysis.decode.questions import Prediction
from roofline_afd.analysis.decode.rows import TABLE_KEYS
from roofline_afd.analysis.decode.sides import rates
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import Model, load_model
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InfeasibleError
from roofline_afd.physics.confidence import student_quantile
from roofline_afd.serving.scenario import Scenario

H800: dict[str, Any] = {"system": "h800", "model": "deepseek-v3", "tpot_ms": 50}
ERROR = load_service_constants(Catalogue()).validated_error
UNGROUPED = {"expert_groups": 1, "groups_per_token": 1}


def _ratio(**question: Any) -> float:  # noqa: ANN401 - any field
    ep, afd = rates(Scenario(**H800 | question))
    assert ep > 0
    assert afd > 0
    return afd / ep


def _experts(count: int, intermediate: int, top_k: int) -> Model:
    """Return DeepSeek-V3 with other experts."""
    shape = {"routed_experts": count, "expert_intermediate": intermediate, "top_k": top_k}
    return load_model("deepseek-v3", overrides={**shape, **UNGROUPED})


def test_expert_parallelism_wins_on_a_standard_cluster() -> None:
    """Of fine-grained experts over InfiniBand AFD's network stage is too long (arXiv 2602.09721)."""
    answer = compare(Scenario(**H800))
    assert answer.summary["winner"] == "ep"
    assert answer.summary["afd_over_ep"] < 1 - ERROR
    assert answer.summary["probability_afd_wins"] < 0.5
    close = answer.summary["too_close_to_call"]
    assert answer.summary["reason"].startswith("Too close to call: EP is ahead" if close else "EP wins by ")


def test_a_superpod_favours_disaggregation() -> None:
    """The same chip in a domain of 72 rather than 8: AFD gains on EP (arXiv 2602.09721)."""
    domain_of_8, domain_of_72 = load_system("b200"), load_system("gb200-nvl72")
    assert domain_of_8.scale_up_domain_devices == 8
    assert domain_of_72.scale_up_domain_devices == 72
    assert _ratio(system=domain_of_72) > _ratio(system=domain_of_8) + ERROR


def test_coarser_experts_favour_disaggregation() -> None:
    """Fewer, wider experts of the same size together: fewer copies cross the network (arXiv 2602.09721).

    Of fine-grained experts EP wins by more than the error of predictions; the coarsest are undecided.
    """
    shapes = [(256, 2048, 8), (128, 4096, 4), (64, 8192, 2)]
    models = [_experts(*shape) for shape in shapes]
    sizes = [model.params_by_part["routed_experts"] for model in models]
    assert sizes == [sizes[0]] * 3
    assert len({model.mean_top_k * model.expert_params for model in models}) == 1
    fine, medium, coarse = (_ratio(model=model) for model in models)
    assert fine < medium < coarse
    assert fine < 1 - ERROR < coarse


def test_coarse_experts_of_a_published_model() -> None:
    """Step-3's experts (48 of 5,120, 3 each) were shaped for AFD (arXiv 2507.19427): DeepSeek-V3 with them.

    Only the experts change: Step-3 as a whole has another attention too, whose cache fills the memory of
    AFD's attention devices on an H800 before its latency binds.
    """
    published = load_model("step-3")
    shape = (published.routed_experts, published.expert_intermediate, published.top_k)
    assert shape == (48, 5120, 3)
    assert _ratio(model=_experts(*shape)) > _ratio(model=_experts(256, 2048, 8))


@pytest.mark.parametrize(
    ("system", "favours"), [("gb200-nvl72", "afd"), ("cloudmatrix384", "afd"), ("h800", "ep")]
)
def test_lower_sparsity_favours_disaggregation_on_a_superpod(system: str, favours: str) -> None:
    """More experts per token: more work for the FFN side, which links of a superpod feed, InfiniBand not.

    From 4 experts to 32: from 8 to 16 the ratio of an NVL72 is flat, within what whole devices change.
    """
    few, many = (_ratio(system=system, model=_experts(256, 2048, top_k)) for top_k in (4, 32))
    assert ("afd" if many > few else "ep") == favours


def test_more_ffn_devices_stop_helping() -> None:
    """The dead zone (arXiv 2602.09721) under 50 ms: 64 attention devices, FFN devices from 16 to 256."""
    found = []
    for count in (16, 32, 64, 128, 256):
        _, afd = rates(Scenario(**H800, attention_devices=64, ffn_devices=count))
        found.append(afd)
    peak = found.index(max(found))
    assert 0 < peak < len(found) - 1
    assert found[: peak + 1] == sorted(found[: peak + 1])
    assert found[peak:] == sorted(found[peak:], reverse=True)
    assert found[-1] < found[peak] / 2  # four times the FFN devices, the same tokens


def test_rows_and_summary() -> None:
    """A row per mode with every fixed key; each row is what predicting its deployment says."""
    answer = compare(Scenario(**H800))
    ep, afd = answer.rows()
    assert (ep["mode"], afd["mode"]) == ("ep", "afd")
    for row in (ep, afd):
        assert set(row) >= {*TABLE_KEYS, "hfu_all_devices", "breakdown", "feasible"}
        assert row["feasible"] is True
        assert row["tpot_ms"] <= 50
        assert row["binding"] == "latency target"
    assert ep["n_attention_devices"] is ep["n_ffn_devices"] is None
    assert afd["n_devices"] == afd["n_attention_devices"] + afd["n_ffn_devices"]
    summary = answer.summary
    ratio = afd["tokens_per_s_per_device"] / ep["tokens_per_s_per_device"]
    assert summary["afd_over_ep"] == pytest.approx(ratio)
    assert set(summary) >= {"winner", "afd_over_ep", "reason", "too_close_to_call", "runner_up", "answer"}
    assert summary["deployments_examined"] > 100_000
    asked: dict[str, dict[str, Any]] = {
        "ep": {"devices": ep["n_devices"]},
        "afd": {"attention_devices": afd["n_attention_devices"], "ffn_devices": afd["n_ffn_devices"]},
    }
    for row in (ep, afd):
        question = asked[row["mode"]] | {
            "batch": row["batch_per_device"],
            "microbatches": row["microbatches"],
        }
        (alone,) = predict(Prediction(Scenario(**H800, **question))).rows()
        assert alone == row
        for key in ("runner_up", "smallest_nearly_as_good"):
            other = summary[key][row["mode"]]
            assert other["tokens_per_s_per_device"] <= row["tokens_per_s_per_device"] * (1 + 1e-9)
        assert summary["smallest_nearly_as_good"][row["mode"]]["n_devices"] <= row["n_devices"]


@given(
    st.sampled_from(["h800", "h200", "h20", "b200", "gb200-nvl72", "cloudmatrix384"]),
    st.sampled_from(["deepseek-v3", "step-3", "qwen3-235b-a22b", "kimi-k2"]),
    st.sampled_from([25.0, 50.0, 100.0]),
)
@settings(max_examples=10, deadline=None)
def test_verdict_follows_from_the_ratio(system: str, model: str, tpot: float) -> None:
    """AFD wins above one; where either may be ahead it is too close to call, and the answer says so."""
    question = Scenario(system=system, model=model, tpot_ms=tpot, max_devices=64)
    try:
        summary = compare(question).summary
    except InfeasibleError:
        assert rates(question) == (0, 0)
        return
    ep, afd = rates(question)
    assert summary["validated_error"] == ERROR > 0
    if not (ep and afd):
        assert summary["afd_over_ep"] is None
        assert not summary["too_close_to_call"]
        assert summary["winner"] == ("afd" if afd else "ep")
        assert summary["probability_afd_wins"] in {None, 1.0 if afd else 0.0}
        assert summary["afd_over_ep_low"] is summary["afd_over_ep_high"] is None
        return
    assert summary["winner"] == ("afd" if afd > ep else "ep")
    probability = summary["probability_afd_wins"]
    assert (probability > 0.5) == (afd > ep)
    assert summary["too_close_to_call"] == (0.2 < probability < 0.8)
    assert summary["afd_over_ep_low"] < afd / ep < summary["afd_over_ep_high"]
    error = load_ratio_error(Catalogue())
    half = math.log(summary["afd_over_ep_high"] / summary["afd_over_ep_low"]) / 2
    spread = math.hypot(error.spread, error.estimated_error * summary["estimated_share"])
    assert half == pytest.approx(spread * student_quantile(probability=0.9, degrees=error.degrees))
    close = "too close to call" in summary["reason"].lower()
    assert close == summary["too_close_to_call"]


def test_levers_are_questions_of_their_own() -> None:
    """Each row is what the question gives with that option; what cannot be set says why."""
    scenario = Scenario(**H800, max_devices=64)
    assert compare(scenario).summary["levers"] is None
    answer = compare(scenario, levers=True)
    rows = {row["option"]: row for row in answer.summary["levers"]}
    assert "no fused kernel of experts was timed on h800" in rows["--kernels fused"]["why"]
    for name, field, value in (
        ("--afd-cut core", "afd_cut", "core"),
        ("--expert-placement plain", "expert_placement", "plain"),
        ("--transport rank", "transport", "rank"),
    ):
        ep, afd = rates(Scenario(**H800 | {"max_devices": 64, field: value}))
        assert rows[name]["ep_tokens_per_s_per_device"] == pytest.approx(ep)
        assert rows[name]["afd_tokens_per_s_per_device"] == pytest.approx(afd)
        assert rows[name]["afd_over_ep"] == pytest.approx(afd / ep)
    assert sum(note.startswith("lever, ") for note in answer.notes) == len(rows)


@pytest.mark.parametrize(
    ("change", "left_out", "binding"),
    [
        ({"max_devices": 16}, "afd", "HBM capacity"),
        ({"devices": 12, "model": "qwen3-30b-a3b"}, "afd", "ratio granularity"),
        ({"tpot_ms": 11.4}, "afd", "latency target"),
    ],
)
def test_numbers_of_an_infeasible_mode_are_withheld(
    change: dict[str, Any], left_out: str, binding: str
) -> None:
    """The other mode answers; of this one nothing but what rules it out."""
    answer = compare(Scenario(**H800 | change))
    rows = {row["mode"]: row for row in answer.rows()}
    refused = rows.pop(left_out)
    assert (refused["feasible"], refused["binding"]) == (False, binding)
    assert {key for key, value in refused.items() if value is not None} == {"mode", "feasible", "binding"}
    (other,) = rows.values()
    assert other["feasible"] is True
    assert other["tokens_per_s_per_device"] > 0
    assert answer.summary["winner"] == other["mode"]
    assert answer.summary["afd_over_ep"] is None
    assert f"{left_out.upper()} has no feasible deployment" in answer.summary["reason"]
    assert binding in answer.summary["reason"]
