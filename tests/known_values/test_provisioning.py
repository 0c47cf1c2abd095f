"""Ratios by the rules and the calibration of arXiv 2601.21351, DeepSeek-V3 on Ascend 910C, and beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from roofline_afd.analysis.requests.provisioning import provision
from roofline_afd.analysis.requests.questions import Provisioning
from roofline_afd.analysis.requests.traces import read_trace
from roofline_afd.physics import lengths, normal, slots
from tests.conftest import SHARED

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

PAPER = ".00165,50,.083,100,.022,20"
"""Slopes and fixed times of attention, FFN and transfers per layer [us], arXiv 2601.21351."""
HORIZON = 10_000
RATIOS = {
    (128, 100, 500): (7.0745, 7.2015),
    (256, 100, 500): (9.3007, 9.5547),
    (256, 100, 100): (2.1694, 2.1694),
    (256, 500, 500): (17.2525, 17.5065),
}
"""Slots, mean prompt and output to r* over 10,000 requests per instance, and without end."""
TWO_MICROBATCHES = {(100, 500): (8.3483, 8), (100, 100): (2.8092, 3), (500, 500): (16.3002, 16)}
"""Mean prompt and output, 256 slots, to the ratio with two micro-batches and where a simulation peaks."""
TRACES = {"azure_llm_2023_conv.csv": (1226.479, 712.879), "azure_llm_2023_code.csv": (2130.426, 1951.623)}


def ask(**question: Any) -> Answer:  # noqa: ANN401 - fields of a question
    """Return the answer to a question by its fields."""
    return provision(Provisioning(**question))


@pytest.mark.parametrize("shape", RATIOS)
def test_ratio_of_mean_times(shape: tuple[int, int, int]) -> None:
    batch, prompt, output = shape
    finite, endless = RATIOS[shape]
    given: dict[str, Any] = {
        "coefficients": PAPER,
        "batch": batch,
        "prompt_mean": prompt,
        "decode_mean": output,
    }
    assert ask(**given).summary["r_star"] == pytest.approx(endless, abs=5e-5)
    assert ask(**given, horizon=HORIZON).summary["r_star"] == pytest.approx(finite, abs=5e-5)


def test_regimes() -> None:
    regimes = {
        (100, 500, PAPER): "attention-bound",
        (100, 100, PAPER): "FFN-bound",
        (100, 100, ".00165,50,.083,100,2,20"): "communication-bound",
    }
    for (prompt, output, coefficients), regime in regimes.items():
        answer = ask(coefficients=coefficients, batch=256, prompt_mean=prompt, decode_mean=output)
        assert answer.summary["regime"] == regime


def test_maximum_of_normal_numbers() -> None:
    """Tabulated order statistics; two and three have closed forms."""
    counts = np.array([1, 2, 4, 8, 16, 32])
    known = [0, 0.5642, 1.0294, 1.4236, 1.7660, 2.0697]
    assert normal.expected_maximum(workers=counts) == pytest.approx(known, abs=5e-5)
    assert normal.expected_maximum(workers=2) == pytest.approx(np.pi**-0.5, abs=1e-10)
    assert normal.expected_maximum(workers=3) == pytest.approx(1.5 * np.pi**-0.5, abs=1e-10)
    many = normal.expected_maximum(workers=np.array([100, 1000]))  # Harter (1961)
    assert many == pytest.approx([2.50759, 3.24144], abs=5e-6)
    squares = normal.expected_squared_maximum(workers=np.array([1, 2, 3]))
    assert squares == pytest.approx([1, 1, 1 + 3**0.5 / (2 * np.pi)], abs=1e-9)


def test_ratio_with_a_barrier() -> None:
    """B = 256, prompts of 100 tokens, geometric outputs of 500."""
    summary = ask(coefficients=PAPER, batch=256, prompt_mean=100, decode_mean=500).summary
    assert summary["r_star_barrier"] == pytest.approx(10.085, abs=5e-4 + 1e-5)


@pytest.mark.parametrize("shape", TWO_MICROBATCHES)
def test_two_micro_batches(shape: tuple[int, int]) -> None:
    """The closed form, and the whole ratio at which a simulation with two micro-batches peaks."""
    ratio, peak = TWO_MICROBATCHES[shape]
    prompt, output = shape
    answer = ask(coefficients=PAPER, batch=256, prompt_mean=prompt, decode_mean=output)
    assert answer.summary["r_star_microbatches"] == pytest.approx(ratio, abs=5e-5)
    assert answer.summary["recommended_ratio"] == f"{peak}A1F"


@pytest.mark.parametrize("name", TRACES)
def test_real_traces(name: str) -> None:
    """Azure LLM inference 2023 (Patel et al., Splitwise, ISCA 2024)."""
    file = SHARED / "data" / "traces" / name
    if not file.exists():
        pytest.skip(f"the trace {name} is not beside the repository")
    trace = read_trace(file)
    load = slots.stationary_load(prompt=trace.prompt_tokens, decode=trace.decode_tokens)
    assert (load.theta, load.nu) == pytest.approx(TRACES[name], abs=5e-4)


def test_fixed_lengths() -> None:
    """Outputs of 500 tokens and no prompt: ages 0 to 499 alike."""
    moments = lengths.fixed_moments(mean=500.0)
    load = slots.load_from_moments(prompt=lengths.fixed_moments(mean=0.0), decode=moments)
    assert load.theta == 249.5
    assert load.nu == pytest.approx(np.arange(500).std())
    assert load.skewness == pytest.approx(0, abs=1e-9)
