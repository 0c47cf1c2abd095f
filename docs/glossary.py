"""The page of words: of the field, of columns and of formulas, as `explain` knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXT = """# Glossary

## Words
"""
COLUMNS_TEXT = """## Columns of answers

Files and JSON carry the key, tables and charts the label with its unit. Where a formula computes it,
`roofline-afd explain KEY` prints that with numbers put in.
"""
QUANTITIES_TEXT = """## Quantities

What `roofline-afd explain` knows by name; symbols, units and references are with the [formulas](formulas.md).
"""


def page() -> str:
    """Return the page.

    Returns
    -------
    str
        Markdown.
    """
    from roofline_afd.analysis.listing.terms import TERMS
    from roofline_afd.analysis.listing.words import WORDS
    from roofline_afd.docstrings import documentation
    from roofline_afd.errors import InputError
    from roofline_afd.nomenclature import NOMENCLATURE
    from roofline_afd.view.columns import COLUMNS

    def formula(key: str) -> str:
        from roofline_afd.analysis.listing.terms import find_term

        try:
            name = TERMS[find_term(key)].function.__name__
        except InputError:
            return ""
        return f"[`{name}`](formulas.md#{name})" if name in documented else ""

    documented = {
        term.function.__name__
        for term in TERMS.values()
        if term.function.__module__.startswith("roofline_afd.physics")
    }
    quantities = {name: documentation(term.function) for name, term in TERMS.items()}
    words = {name: text for names, text in WORDS.items() for name in names.split(", ")}
    parts = [
        TEXT,
        _table(
            "| word | meaning |",
            (f"| `{word}` | {text} |" for word, text in sorted(words.items()) if word not in COLUMNS),
        ),
        COLUMNS_TEXT,
        _table(
            "| key | label | unit | meaning | formula |",
            (
                f"| `{key}` | {column.label} | {column.unit} | {words.get(key, '')} | {formula(key)} |"
                for key, column in sorted(COLUMNS.items())
            ),
        ),
        QUANTITIES_TEXT,
        _table(
            "| term | what it is | unit | formula |",
            (
                f"| `{name}` | {document.summary.removeprefix('Return ').replace('|', '/')} | "
                f"{document.returns.unit} | {formula(name)} |"
                for name, document in sorted(quantities.items())
            ),
        ),
        "## Symbols\n\nArguments that formulas share.\n",
        _table(
            "| symbol | meaning |", (f"| `{name}` | {text} |" for name, text in sorted(NOMENCLATURE.items()))
        ),
    ]
    return "\n".join(parts)


def _table(head: str, rows: Iterable[str]) -> str:
    return "\n".join([head, f"|{'---|' * (head.count('|') - 1)}", *rows]) + "\n"
