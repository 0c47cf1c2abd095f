"""Html of a report: tables, and links in texts that are otherwise only texts."""

from __future__ import annotations

from roofline_afd.reporting.markup import linked, table


def test_linked_escapes_all_but_addresses() -> None:
    """Markup is text; an address is a link without the full stop behind it."""
    assert linked("<b> at https://a.example/x?y=1&z=2.") == (
        '&lt;b&gt; at <a href="https://a.example/x?y=1&amp;z=2" rel="noreferrer">'
        "https://a.example/x?y=1&amp;z=2</a>."
    )
    assert "<script" not in linked("https://a.example/<script>alert(1)</script>")
    assert "javascript" not in linked("javascript:alert(1)").replace("javascript:alert(1)", "", 1)


def test_table_leaves_out_empty_columns_and_escapes() -> None:
    """Numbers to the right, absent ones a dash."""
    rows: list[dict[str, object]] = [
        {"a": "<i>", "n_devices": 3, "none": None},
        {"a": "x", "n_devices": None, "none": None},
    ]
    text = table(rows, ("a", "n_devices", "none"))
    assert "&lt;i&gt;" in text
    assert text.count('class="number"') == 3
    assert "none" not in text
    assert ">-<" in text
