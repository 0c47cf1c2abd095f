"""The report: what the demand sets, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline_afd import Scenario, report
from roofline_afd.errors import InputError
from tests.conftest import ONE_PLAN, command


def test_the_demand_sets_the_question() -> None:
    """Users at a speed limit the time per token of every section; the page comes as bytes from Python too."""
    asked = Scenario(system="h20", model="qwen3-235b-a22b", max_devices=32, **ONE_PLAN)
    page = report([asked], users=500, user_tokens_per_s=25.0, osl=256, samples=20, title="a & b").decode()
    assert "<h1>a &amp; b</h1>" in page
    assert "TPOT at most 40 ms, context 4,096 tokens" in page
    assert "tpot_ms = 40.0" in page
    assert "3,968 input and 256 output tokens" in page
    assert "TPOT 50 ms" not in page
    assert "No picture" not in page


def test_a_deployment_with_shared_heads_is_broken_down() -> None:
    """Its batch is that of a group, which need not be whole for each device."""
    asked = Scenario(system="h200", model="glm-4.5", max_devices=16, tensor_parallel=4)
    page = report([asked], demand=1e5, samples=20).decode()
    assert "No picture" not in page
    assert "--attention-groups 2" in page


@pytest.mark.parametrize(("osl", "says"), [(0, "--osl 0 must be a whole number"), (9000, "leaves no input")])
def test_report_refuses_outputs_without_input(osl: int, says: str) -> None:
    asked = Scenario(system="h800", model="deepseek-v3")
    with pytest.raises(InputError, match=says):
        report([asked], demand=1e5, osl=osl)


def test_report_refuses_what_is_no_page(tmp_path: Path) -> None:
    """A bad suffix and an existing file are refused before any work."""
    question = ("report", "--systems", "h800", "--model", "deepseek-v3", "--demand", "1e5")
    done = command(*question, "--output", str(tmp_path / "report.pdf"))
    assert (done.status, done.out) == (2, "")
    assert "is no page; valid: .html" in done.err
    page = tmp_path / "report.html"
    page.write_text("mine")
    done = command(*question, "--output", str(page))
    assert done.status == 2
    assert "--force" in done.err
    assert page.read_text() == "mine"
