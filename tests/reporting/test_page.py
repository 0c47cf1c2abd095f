"""The report: what the demand sets, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from roofline_afd import Scenario, report
from roofline_afd.errors import InputError
from roofline_afd.view.pages import script_bundle
from tests.conftest import ONE_PLAN, command
from tests.reporting.papers import holds_the_page


@pytest.fixture(scope="module", autouse=True)
def _scripts_are_made() -> None:
    """Put the scripts of pages together once for all: each report would by itself."""
    script_bundle()


def test_the_demand_sets_the_question() -> None:
    """Users at a speed limit the time per token of every section; the page comes as bytes from Python too.

    The batch of a deployment that shares heads is that of a group, which need not be whole for each device.
    """
    asked = Scenario(system="h200", model="glm-4.5", max_devices=16, tensor_parallel=4)
    page = report([asked], users=500, user_tokens_per_s=25.0, osl=256, samples=20, title="a & b").decode()
    assert "<h1>a &amp; b</h1>" in page
    assert "TPOT at most 40 ms, context 4,096 tokens" in page
    assert "tpot_ms = 40.0" in page
    assert "3,968 input and 256 output tokens" in page
    assert "TPOT 50 ms" not in page
    assert "No picture" not in page
    assert "--attention-groups 2" in page


def test_whole_requests_come_first() -> None:
    """Their cost, fleets and waits head the page; decoding alone follows for the same demand."""
    asked = Scenario(system="b200", model="gpt-oss-120b", max_devices=8, tpot_ms=20, **ONE_PLAN)
    requests: dict[str, Any] = {
        "request_rate": 40.0,
        "isl": 1024,
        "osl": 256,
        "prefix_hit": 0.5,
        "ttft_p95_ms": 1000.0,
    }
    page = report([asked], **requests, modes=("agg",), samples=20).decode()
    assert "which system for 40 requests/s" in page
    first = page.index('<section id="requests">')
    assert first < page.index('<section id="load">') < page.index('<section id="procurement">')
    assert "USD per thousand" in page[:first]
    assert "Decoding alone: b200 with" in page
    assert "decodes 10,240 tokens/s" in page  # 40 requests of 256 tokens a second
    assert "context 1,152 tokens" in page
    last = page.index('<section id="procurement">')
    assert page[first:last].count("<img") == 2
    with pytest.raises(InputError, match="isl belongs to request_rate"):
        report([asked], demand=1e5, isl=100)


def test_a_pdf_is_refused_before_any_work_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to install; other forms are no forms."""
    asked = Scenario(system="h800", model="deepseek-v3")
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(InputError, match=r"pip install 'roofline-afd\[pdf\]'"):
        report([asked], demand=1e5, form="pdf")
    with pytest.raises(InputError, match="form 'docx'"):
        report([asked], demand=1e5, form="docx")


def test_limits_and_growth_stand_in_the_answer() -> None:
    """The page is asked with the limits of a purchase, and answers them in names; also as pdf."""
    asked = Scenario(system="h20", model="qwen3-235b-a22b", max_devices=32, **ONE_PLAN)
    given: dict[str, Any] = {"demand": 1e4, "power_limit_kw": 1e4, "growth": 50.0, "samples": 20}
    text = holds_the_page(report([asked], prices={"h20": 1.0}, form="pdf", **given))
    assert "NVIDIA H20 96GB costs" in text
    assert "fits 10,000 kW; at +50% demand" in text
    assert "which still fits" in text
    assert "(expert parallelism: every device has attention and some experts)" in text


@pytest.mark.parametrize(("osl", "says"), [(0, "osl 0 must be a whole number"), (9000, "leaves no input")])
def test_report_refuses_outputs_without_input(osl: int, says: str) -> None:
    asked = Scenario(system="h800", model="deepseek-v3")
    with pytest.raises(InputError, match=says):
        report([asked], demand=1e5, osl=osl)


def test_report_refuses_what_is_no_page(tmp_path: Path) -> None:
    """A bad suffix and an existing file are refused before any work."""
    question = ("report", "--systems", "h800", "--model", "deepseek-v3", "--demand", "1e5")
    done = command(*question, "--output", str(tmp_path / "report.docx"))
    assert (done.status, done.out) == (2, "")
    assert "is no page; valid: .html, .pdf" in done.err
    page = tmp_path / "report.html"
    page.write_text("mine")
    done = command(*question, "--output", str(page))
    assert done.status == 2
    assert "--force" in done.err
    assert page.read_text() == "mine"
