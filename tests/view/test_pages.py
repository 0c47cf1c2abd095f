"""Files of pictures: every format, the same every time, without a network."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from roofline_afd import Scenario, plot
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.view.pages import chart_bytes, script_literal
from tests.conftest import command

H800 = Scenario(system="h800", model="deepseek-v3", tpot_ms=50, accept_length=1.7, gap_ms=15)
QUESTION = ("--system", "h800", "--model", "deepseek-v3")
MAGIC = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "html": b"<!doctype html>", "json": b"{"}


@pytest.mark.parametrize("form", MAGIC)
@pytest.mark.parametrize("kind", ["roofline", "dead-zone"])
def test_files(form: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{form}"
    assert command("plot", kind, *QUESTION, "--output", str(path)).status == 0
    content = path.read_bytes()
    assert content.startswith(MAGIC[form])
    again = command("plot", kind, *QUESTION, "--output", str(path))
    assert "exists; --force replaces it" in again.complaint
    assert path.read_bytes() == content


@pytest.mark.parametrize("suffix", [".html", ".svg", ".png", ".pdf"])
def test_without_what_draws_a_picture_is_refused_before_the_work(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    question = ("--system", "h800", "--model", "step-3")
    file = tmp_path / f"zone{suffix}"
    outcome = command("plot", "dead-zone", *question, "--output", str(file))
    assert outcome.status == 2
    assert "needs the extra plots: pip install 'roofline-afd[plots]'" in outcome.complaint
    assert command("plot", "dead-zone", *question, "--output", str(file.with_suffix(".json"))).status == 0
    report = ("report", "--systems", "h800", "--model", "step-3", "--demand", "1e5")
    assert "needs the extra plots" in command(*report, "--output", str(tmp_path / "r.html")).complaint


def test_default_output_is_vega_lite() -> None:
    specification = json.loads(command("plot", "dead-zone", *QUESTION).out)
    assert specification["$schema"].startswith("https://vega.github.io/schema/vega-lite/")


def test_pictures_are_the_same_every_time() -> None:
    """But for the numbers of clip paths, which count on within a process."""
    first, second = (
        re.sub(rb"clip\d+", b"clip", chart_bytes(plot.dead_zone(H800, ffn_nodes=range(1, 41)), "svg"))
        for _ in range(2)
    )
    assert first == second


def test_pages_need_no_network() -> None:
    page = chart_bytes(plot.roofline(H800, ffn_nodes=[2, 8]), "html").decode()
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page.partition("<script>")[0])
    assert "<script src" not in page
    assert "cdn." not in page.rpartition("<script>")[2]


def test_hostile_names_stay_text() -> None:
    """A name that closes the script element must not."""
    literal = script_literal({"name": "</script><script>alert(1)</script>\u2028"})
    assert "<" not in literal
    assert json.loads(literal)["name"].startswith("</script>")
    system = load_system("h800")
    import dataclasses

    import attrs

    evil = dataclasses.replace(system, name="</script><script>document.title='owned'</script>")
    page = chart_bytes(plot.roofline(attrs.evolve(H800, system=evil), ffn_nodes=[2]), "html").decode()
    assert "<script>document.title" not in page
