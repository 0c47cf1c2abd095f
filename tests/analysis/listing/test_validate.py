"""Checks of an overlay, on the worked example of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT, ask


def test_the_how_to_works_as_written(tmp_path: Path) -> None:
    """Add your accelerator in five minutes: the records of the page, in a folder, and a question."""
    text = (ROOT / "hardware_db" / "README.md").read_text("utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    for block in blocks:
        name = re.search(r'^id = "(.*)"$', block, flags=re.MULTILINE)
        assert name is not None
        (tmp_path / f"{name[1]}.toml").write_text(block, "utf-8")
    overlay = ("--hardware-db", str(tmp_path))
    assert ask("hardware", "validate", *overlay)["summary"]["faulty"] == 0
    answer = ask("roofline", *overlay, "--system", "x1-node", "--model", "deepseek-v3")
    # closed form by hand: 6 * 2048 * 50e9 / (3 * 1e15)
    assert answer["summary"]["hfu_floor"] == pytest.approx(0.2048)
    assert any("one pair of devices reaches 50 of its 350 GB/s" in note for note in answer["notes"])
