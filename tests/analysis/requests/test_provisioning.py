"""The answer to how many attention instances an FFN instance needs: sources, rounding, limits, honesty."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from roofline_afd.analysis.requests.plan import Plan
from roofline_afd.analysis.requests.provisioning import provision
from roofline_afd.analysis.requests.questions import Provisioning
from roofline_afd.analysis.requests.traces import Trace
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.physics.linear import Coefficients
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

PAPER = ".00165,50,.083,100,.022,20"
CHAT: dict[str, Any] = {"prompt_mean": 100, "decode_mean": 500}
BASE: dict[str, Any] = {"coefficients": PAPER, "batch": 256, "layers": 61, **CHAT}
KEYS = (
    "theta",
    "nu",
    "r_star",
    "regime",
    "r_star_barrier",
    "r_star_microbatches",
    "recommended_ratio",
    "tokens_per_s_per_instance",
)


def ask(**question: Any) -> Answer:  # noqa: ANN401 - fields of a question
    """Return the answer to a question by its fields."""
    return provision(Provisioning(**question))


def _row(answer: Answer, granularity: str) -> dict[str, Any]:
    return next(row for row in answer.rows() if row["granularity"] == granularity)


def test_keys_are_in_rows_and_summary() -> None:
    answer = ask(**BASE)
    for row in answer.rows():
        assert set(KEYS) <= set(row)
    assert {key: answer.rows()[0][key] for key in KEYS} == {key: answer.summary[key] for key in KEYS}
    assert answer.summary["answer"].startswith("Run 8A1F: 11,7")
    assert answer.inputs["coefficients"] == [0.00165, 50, 0.083, 100, 0.022, 20]


def test_coefficients_in_every_form() -> None:
    seconds = Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6)
    forms = (PAPER, [0.00165, 50, 0.083, 100, 0.022, 20], seconds)
    found = {ask(**{**BASE, "coefficients": form}).summary["r_star"] for form in forms}
    assert max(found) - min(found) < 1e-12


def test_the_recommendation_is_the_best_of_its_kind() -> None:
    answer = ask(**BASE)
    plan = Plan(
        coefficients=Coefficients(1.65e-9, 50e-6, 83e-9, 100e-6, 22e-9, 20e-6),
        theta=answer.summary["theta"],
        nu=answer.summary["nu"],
        skewness=answer.summary["skewness"],
        batch=256,
        microbatches=2,
        full_duplex=True,
        layers=61,
        accept_length=1,
        gap=0,
    )
    whole = plan.rates(np.arange(1.0, 200))
    assert int(np.argmax(whole)) + 1 == answer.rows()[0]["attention_instances"]
    assert whole.max() == pytest.approx(answer.summary["tokens_per_s_per_instance"])
    nodes = max(plan.rate(a / f) for f in range(1, 5) for a in range(1, 100))
    assert _row(answer, "whole nodes")["tokens_per_s_per_instance"] == pytest.approx(nodes)
    real = plan.rates(np.linspace(8, 9, 4001)).max()
    assert answer.summary["rounding_loss"] == pytest.approx(1 - whole.max() / real, abs=1e-7)


def test_tokens_and_time_hang_together() -> None:
    """Every sequence gets a token in the time per token: m*r*B of them, over r + 1 instances."""
    for settings in ({}, {"microbatches": 3}, {"gap_ms": 2.0}, {"accept_length": 1.7}):
        for row in ask(**BASE, **settings).rows():
            ratio, m = row["ratio"], row["microbatches"]
            rate = m * ratio * 256 / (ratio + 1) / (row["tpot_ms"] * 1e-3)
            assert row["tokens_per_s_per_instance"] == pytest.approx(rate)


def test_time_outside_the_layers_asks_for_more_attention() -> None:
    assert (
        ask(**BASE, gap_ms=20).summary["r_star_microbatches_barrier"]
        > ask(**BASE).summary["r_star_microbatches_barrier"]
    )


def test_the_plugin_has_two_micro_batches_and_no_fewer_attention_instances() -> None:
    answer = ask(**BASE, deployable_with="vllm-afd-plugin")
    first = answer.rows()[0]
    assert first["granularity"] == "vllm-afd-plugin"
    assert first["attention_instances"] >= first["ffn_instances"]
    assert first["tokens_per_s_per_instance"] >= _row(ask(**BASE), "whole ratio")["tokens_per_s_per_instance"]
    assert first["microbatches"] == 2
    assert _row(ask(**BASE, microbatches=4), "vllm-afd-plugin")["microbatches"] == 2
    with pytest.raises(InputError, match="--microbatches 3 cannot run with vllm-afd-plugin: it has two"):
        ask(**BASE, microbatches=3, deployable_with="vllm-afd-plugin")


def test_a_latency_target_that_binds() -> None:
    free = ask(**BASE)
    bound = ask(**BASE, tpot_ms=38)
    assert bound.summary["tpot_ms"] <= 38 < free.summary["tpot_ms"]
    assert bound.summary["ratio"] < free.summary["ratio"]
    assert any("the latency target binds" in note for note in bound.notes)
    with pytest.raises(
        InfeasibleError, match=r"no: binding is the latency target: .* or --batch (\d+)"
    ) as caught:
        ask(**BASE, tpot_ms=20)
    batch = int(str(caught.value).rpartition("--batch ")[2])
    assert ask(**{**BASE, "batch": batch}, tpot_ms=20).summary["tpot_ms"] <= 20
    with pytest.raises(InfeasibleError):
        ask(**{**BASE, "batch": batch + 1}, tpot_ms=20)
    with pytest.raises(InfeasibleError, match="--tpot-ms 1e-06 allows less"):
        ask(**BASE, tpot_ms=1e-6)


def test_less_than_one_attention_instance() -> None:
    answer = ask(coefficients="1e-5,0,1,100,0,0", batch=1000, **CHAT)
    assert answer.summary["recommended_ratio"] == "1A3F"
    assert _row(answer, "whole nodes")["recommended_ratio"] == "1A3F"
    assert _row(answer, "vllm-afd-plugin")["recommended_ratio"] == "1A1F"


def test_a_ratio_beyond_reason_is_a_no() -> None:
    with pytest.raises(InfeasibleError, match="aF of --coefficients is too small"):
        ask(**{**BASE, "coefficients": "1,50,1e-9,100,0,20"})


def test_sensitivity_is_that_of_another_question() -> None:
    answer = ask(**BASE)
    longer = next(
        row for row in answer.summary["sensitivity"] if row["input"] == "theta" and row["change"] > 0
    )
    again = ask(**{**BASE, "prompt_mean": 100 + 0.1 * 599})
    assert longer["r_star"] == pytest.approx(again.summary["r_star"])
    assert longer["recommended_ratio"] == again.summary["recommended_ratio"] == "9A1F"
    assert 0 < longer["loss_if_kept"] < 0.05
    spread = [row["r_star"] for row in answer.summary["sensitivity"] if row["input"] == "nu"]
    assert spread == [answer.summary["r_star"]] * 2


def test_a_trace_has_errors_and_says_what_it_leaves_out() -> None:
    generator = np.random.default_rng(2)
    outputs, prompts = generator.geometric(0.01, 5000), generator.integers(1, 5000, 5000)
    answer = ask(coefficients=PAPER, trace=Trace("mine", prompts, outputs, 3), batch=64)
    assert 0 < answer.summary["theta_error"] < 100
    assert answer.summary["r_star_error"] == pytest.approx(answer.summary["theta_error"] * 0.00165 / 0.083)
    assert answer.inputs["requests_without_output"] == 3
    assert any("3 of 5,003 requests have no output" in note for note in answer.notes)
    assert any("a model of one layer" in note for note in answer.notes)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no lengths": ({"prompt_mean": None, "decode_mean": None}, "--prompt-mean is missing"),
    "no output": ({"decode_mean": None}, "--decode-mean is missing: give --trace, or"),
    "two sources of lengths": ({"trace": "x.csv"}, "--trace and --prompt-mean exclude each other"),
    "no times": ({"coefficients": None}, "give --coefficients, or --system and --model"),
    "five coefficients": ({"coefficients": "1,2,3,4,5"}, "has 5 numbers; it needs six: aA,bA,aF,bF,aC,bC"),
    "text": ({"coefficients": "1,2,x,4,5,6"}, "'x' is not a number"),
    "negative": ({"coefficients": "1,-2,3,4,5,6"}, "--coefficients bA -2 must be at least 0"),
    "no slope": ({"coefficients": "1,2,0,4,5,6"}, "--coefficients aF 0 must be at least 1e-09"),
    "not a number": ({"coefficients": "1,2,nan,4,5,6"}, "--coefficients aF nan is not a finite number"),
    "one coefficient": ({"coefficients": 3}, "has 1 numbers"),
    "batch 0": ({"batch": 0}, "--batch 0 must be a whole number from 1"),
    "half a layer": ({"layers": 0.5}, "--layers 0.5 must be a whole number"),
    "outputs below one token": ({"decode_mean": 0.5}, "--decode-mean 0.5 must be at least 1"),
    "negative prompt": ({"prompt_mean": -1}, "--prompt-mean -1 must be at least 0"),
    "no prompt, geometric": (
        {"prompt_mean": 0, "prompt_distribution": "geometric"},
        "--prompt-mean 0 must be at least 1",
    ),
    "half a token": (
        {"decode_mean": 2.5, "decode_distribution": "fixed"},
        "--decode-mean 2.5 must be a whole number",
    ),
    "a distribution nobody knows": (
        {"decode_distribution": "normal"},
        "--decode-distribution 'normal' is not",
    ),
    "spread of geometric": ({"decode_cv": 2}, "--decode-cv belongs to --decode-distribution lognormal"),
    "no spread": (
        {"decode_cv": 0, "decode_distribution": "lognormal"},
        "--decode-cv 0 must be above 0",
    ),
    "columns of nothing": ({"prompt_column": "a"}, "--prompt-column belongs to --trace, which is missing"),
    "a horizon of nothing": ({"horizon": 0}, "--horizon 0 must be at least 1"),
    "less than a step": (
        {"horizon": 1, "decode_mean": 2, "batch": 300},
        "do not last one step of --batch 300 slots; give at least 150",
    ),
    "no micro-batch": ({"microbatches": 0}, "--microbatches 0 must be a whole number from 1"),
    "duplex": ({"duplex": "half"}, "--duplex 'half' is not valid"),
    "accepted": ({"accept_length": 0.5}, "--accept-length 0.5 must be at least 1"),
    "no time": ({"tpot_ms": 0}, "--tpot-ms 0 must be above 0"),
    "software": ({"deployable_with": "vllm"}, "--deployable-with 'vllm' is not valid; did you mean"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_values_are_named(what: str) -> None:
    settings, says = BAD[what]
    with pytest.raises(InputError) as caught:
        ask(**{**BASE, **settings})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_trace_that_is_not_there() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        ask(coefficients=PAPER, trace=Path("/nowhere.csv"))


@pytest.fixture(scope="module")
def catalogued() -> Answer:
    scenario = Scenario(system="gb200-nvl72", model="kimi-k2")
    return ask(scenario=scenario, prompt_mean=1000, decode_mean=500, batch=128)


def test_a_system_of_the_catalogue(catalogued: Answer) -> None:
    summary = catalogued.summary
    first = catalogued.rows()[0]
    assert first["ratio"] == round(first["ratio"])
    assert first["attention_instances"] == first["ratio"] * first["ffn_instances"]
    nodes = _row(catalogued, "whole nodes")
    assert nodes["attention_instances"] % 4 == nodes["ffn_instances"] % 4 == 0
    assert summary["fit"]["max_residual"]["attention"] < 0.1
    assert summary["fit"]["rms_residual"]["ffn"] <= summary["fit"]["max_residual"]["ffn"]
    assert summary["coefficients_us"]["aF"] > 0
    assert (
        f"({first['attention_instances']} attention and {first['ffn_instances']} FFN devices)"
        in summary["answer"]
    )
    assert any("largest residuals: attention" in note for note in catalogued.notes)


def test_a_poor_fit_is_said(catalogued: Answer) -> None:
    """Transfers grow with the ratio, which the straight lines do not know."""
    poor = {name for name, value in catalogued.summary["fit"]["max_residual"].items() if value > 0.1}
    note = next(note for note in catalogued.notes if "the fit is poor" in note)
    assert poor
    assert all(name in note for name in poor)


def test_recommendations_for_a_system_are_those_of_predict() -> None:
    """Without spread the pipeline is the one that predictions are made of."""
    from roofline_afd.analysis.decode.predict import predict_afd

    first = ask(
        scenario=Scenario(system="gb200-nvl72", model="kimi-k2"),
        prompt_mean=4000,
        decode_mean=1,
        decode_distribution="fixed",
        batch=64,
    ).rows()[0]
    scenario = Scenario(
        system="gb200-nvl72",
        model="kimi-k2",
        context=4000,
        batch=128,
        microbatches=2,
        attention_devices=first["attention_instances"],
        ffn_devices=first["ffn_instances"],
    )
    row = predict_afd(scenario).rows()[0]
    assert first["tpot_ms"] == pytest.approx(row["tpot_ms"], rel=0.03)
    assert first["tokens_per_s_per_instance"] == pytest.approx(row["tokens_per_s_per_device"], rel=0.03)


def test_what_a_system_cannot_do() -> None:
    h800: dict[str, Any] = {"system": "h800", "model": "deepseek-v3"}
    with pytest.raises(
        InfeasibleError, match=r"HBM capacity: .* do not fit an attention device; --batch \d+ does"
    ):
        ask(scenario=Scenario(**h800), prompt_mean=100_000, decode_mean=500)
    with pytest.raises(InfeasibleError, match=r"ratio granularity: .* nearest: --max-devices 24"):
        ask(scenario=Scenario(**h800, max_devices=20), prompt_mean=1000, decode_mean=500, batch=64)
    with pytest.raises(InfeasibleError, match=r"ratio granularity with vllm-afd-plugin: .* --max-devices 32"):
        ask(
            scenario=Scenario(**h800, max_devices=31, deployable_with="vllm-afd-plugin"),
            prompt_mean=1000,
            decode_mean=500,
            batch=64,
        )
    with pytest.raises(InfeasibleError, match="HBM capacity: experts take"):
        ask(scenario=Scenario(**h800, ffn_devices=4), prompt_mean=1000, decode_mean=500, batch=64)
    with pytest.raises(InputError, match="--layers belongs to --coefficients"):
        ask(scenario=Scenario(**h800), **CHAT, layers=61)
    with pytest.raises(InputError, match="--coefficients and --system exclude each other"):
        ask(scenario=Scenario(**h800), **CHAT, coefficients=PAPER)
