"""Write the generated pages of the documentation: what the program itself knows, printed.

Run `make docs` after changing a formula, an option or the catalogue; the tests fail while a page is stale.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import pkgutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
NOTICE = "<!-- Written by docs/generate.py; do not edit. -->\n\n"


def pages() -> dict[Path, str]:
    """Return the text of every generated page."""
    return {DOCS / "commands.md": commands(), DOCS / "formulas.md": formulas()}


def _help(*arguments: str) -> str:
    """Return the help of a command as a pipe of 100 columns shows it."""
    from roofline_afd.cli import run

    buffer = io.StringIO()
    before = {key: os.environ.get(key) for key in ("COLUMNS", "TERMINAL_WIDTH", "NO_COLOR")}
    os.environ.update({"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"})
    try:
        with contextlib.redirect_stdout(buffer):
            run([*arguments, "--help"])
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()).strip()


def _subcommands(text: str) -> list[str]:
    """Return the commands a help text lists."""
    lines = text.partition("\nCommands:\n")[2].splitlines()
    return [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")]


def commands() -> str:
    """Return the page of all commands: the help of each."""
    parts = ["# Commands\n"]

    def add(*arguments: str) -> None:
        text = _help(*arguments)
        name = " ".join(("roofline-afd", *arguments))
        parts.append(f"{'#' * min(2 + len(arguments), 4)} `{name}`\n\n```text\n{text}\n```\n")
        for sub in _subcommands(text):
            add(*arguments, sub)

    add()
    return NOTICE + "\n".join(parts)


def formulas() -> str:
    """Return the page of all formulas: what the docstrings of `roofline_afd.physics` say."""
    import roofline_afd.physics
    from roofline_afd.docstrings import documentation

    parts = [
        "# Formulas\n",
        (
            "Every number is computed by one of these functions of `roofline_afd.physics`. "
            "`roofline-afd explain TERM` prints one with the numbers of a scenario put in. "
            "All quantities are SI; FLOP/s are dense; bandwidths are per device and per direction.\n"
        ),
    ]
    for module in pkgutil.iter_modules(roofline_afd.physics.__path__):
        loaded = importlib.import_module(f"roofline_afd.physics.{module.name}")
        functions = [
            value
            for name, value in vars(loaded).items()
            if inspect.isfunction(value) and value.__module__ == loaded.__name__ and not name.startswith("_")
        ]
        if not functions:
            continue
        parts.append(f"## {module.name}\n\n{(inspect.getdoc(loaded) or '').splitlines()[0]}\n")
        for function in functions:
            document = documentation(function)
            rows = "\n".join(
                f"| `{key}` | {entry.text.replace('|', '/')} | {entry.unit} |"
                for key, entry in document.parameters.items()
            )
            unit = f" [{document.returns.unit}]" if document.returns.unit else ""
            parts.append(
                f"### {function.__name__}\n\n{document.summary}\n\n```text\n{document.notes}\n```\n\n"
                f"| symbol | meaning | unit |\n|---|---|---|\n{rows}\n\n"
                f"Returns: {document.returns.text}{unit}. Reference: {document.references}\n"
            )
    return NOTICE + "\n".join(parts)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(DOCS.parent)}", file=sys.stderr)  # noqa: T201
