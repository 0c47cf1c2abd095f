"""The report on paper, whether a browser prints it or it is written as pdf."""

from __future__ import annotations

import pypdfium2
import pytest


def holds_the_page(content: bytes) -> str:
    """Return the words of a pdf, which is the report on sheets of A4, and has nothing to move."""
    paper = pypdfium2.PdfDocument(content)
    assert 5 <= len(paper) <= 20
    assert all(sheet.get_size() == pytest.approx((595, 842), abs=2) for sheet in paper)
    text = "\n".join(sheet.get_textpage().get_text_bounded() for sheet in paper)
    assert "What each system costs" in text
    assert "FFN nodes [1]" in text  # the roofline where its sliders begin
    assert "Back to" not in text
    assert "needs JavaScript" not in text
    assert "touch the picture" not in text
    return " ".join(text.split())
