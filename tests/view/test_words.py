"""Names of code in words: every operator, input and fitted parameter that a picture may show."""

from __future__ import annotations

import re

import pytest

from roofline_afd import Scenario
from roofline_afd.analysis.decode.one import deployment_of
from roofline_afd.analysis.purchase.uncertainty import uncertain_inputs
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.serving.deployment import MODES, Deployments
from roofline_afd.view.words import INPUTS, KERNELS, OPERATORS, PARAMETERS, in_words, worded

MODELS = ("deepseek-v3", "deepseek-v3.2", "jamba-1.5-large", "kimi-k3", "gpt-oss-120b", "deepseek-v4-flash")


@pytest.mark.parametrize("model", MODELS)
def test_every_operator_has_a_name(model: str) -> None:
    found = set()
    for mode in MODES:
        ffn = 8 if mode == "afd" else None
        scenario = Scenario(system="h800", model=model, devices=16, batch=8, ffn_devices=ffn)
        deployments = Deployments(scenario, mode)
        found |= {item.name for item in deployments.operators(deployment_of(deployments))}
    assert found <= OPERATORS.keys()


def test_every_fitted_parameter_has_a_name() -> None:
    """Of all calibration records that ship."""
    for record in Catalogue().records("calibration"):
        for key in record.quantities:
            table, _, parameter = key.partition(".")
            assert parameter in PARAMETERS or parameter in INPUTS, key
            name = re.sub(r"_(bf16|fp8|fp4|int8|int4)$", "", table)
            assert name in KERNELS or name in {"convolution", "routing", "service"}, key


@pytest.mark.parametrize("system", ["h800", "gb200-nvl72", "h20"])
def test_no_uncertain_input_is_shown_as_code(system: str) -> None:
    for item in uncertain_inputs(Scenario(system=system, model="deepseek-v3"))[0]:
        shown = in_words(item.key)
        assert "_" not in shown
        assert "." not in shown.partition(" (")[0]
        assert shown == shown.strip()
        assert worded(f"rests on {item.key} (1 to 2)") == f"rests on {shown} (1 to 2)"


def test_other_words_stay() -> None:
    for text in (
        "S_t above 100 %",
        "deepseek-v3.2 on gb200-nvl72 at 0.82.",
        "my_own_part with x.y",
        "</script><script>document.title='owned'</script>",
    ):
        assert worded(text) == text
