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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roofline_afd.catalogue.records import Record

DOCS = Path(__file__).parent
NOTICE = "<!-- Written by docs/generate.py; do not edit. -->\n\n"


def pages() -> dict[Path, str]:
    """Return the text of every generated page."""
    return {
        DOCS / "calibration.md": calibration(),
        DOCS / "commands.md": commands(),
        DOCS / "formulas.md": formulas(),
        DOCS / "hardware.md": hardware(),
        DOCS / "models.md": models(),
    }


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


def hardware() -> str:
    """Return the page of the hardware catalogue: systems, accelerators, interconnects."""
    from roofline_afd.analysis.listing import HARDWARE_KINDS, list_hardware
    from roofline_afd.catalogue.hardware import system_parts
    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.view.tables import as_markdown

    catalogue = Catalogue()
    parts = [
        "# Hardware catalogue\n",
        (
            "Dense rates, decimal units, bandwidth per device and per direction. A dagger marks estimates. "
            "`roofline-afd hardware show ID --where` has the source of each value, "
            "[hardware_db/README.md](../hardware_db/README.md) the meaning of the fields.\n"
        ),
    ]
    parts += [
        f"## {kind.capitalize()}s\n\n{as_markdown(list_hardware(catalogue, kind=kind))}"
        for kind in HARDWARE_KINDS
        if kind != "calibration"
    ]
    missing = {name: system_parts(name, catalogue=catalogue).missing for name in catalogue.ids("system")}
    rows = "\n".join(f"| `{name}` | {', '.join(keys)} |" for name, keys in missing.items() if keys)
    parts.append(
        "## Known but incomplete\n\nNo source gives these values; a question that needs them is refused, "
        f"unless `--set` supplies them.\n\n| system | missing |\n|---|---|\n{rows}\n"
    )
    return NOTICE + "\n".join(parts)


def calibration() -> str:
    """Return the page of the fitted efficiencies: parameters, errors, and the reasons for large ones."""
    from roofline_afd.catalogue.records import properties
    from roofline_afd.catalogue.store import Catalogue

    parts = [
        "# Calibration\n",
        (
            "Operator and transfer times are rooflines with a few measured parameters. This page lists them "
            "per accelerator and fabric, and how far the predictions are off: the median absolute relative "
            "error on the rows fitted (training) and on rows the fit had not seen (held out: a fifth at "
            "a time, in four random splits). "
            "Small kernels, whole attention layers and deployments are predicted from these, not fitted. "
            "A dagger marks estimates. [hardware_db/README.md](../hardware_db/README.md) says how to "
            "calibrate on measurements of your own.\n"
        ),
        "| table | time |\n|---|---|",
    ]
    tables = ("gemm", "grouped_gemm", "attention", "link")
    parts += [f"| `{table}` | {properties('calibration')[table]['description']} |" for table in tables]
    for record in Catalogue().records("calibration"):
        lists = ", ".join(
            f"{key.replace('_', '-')}: {', '.join(record.data[key])}"
            for key in ("accelerators", "alike", "scale_up", "scale_out")
            if key in record.data
        )
        said = [
            lists,
            record.text("note"),
            f"Fitted {record.data['fitted']}." if "fitted" in record.data else "",
        ]
        parts.append(f"\n## {record.id}: {record.text('name')}\n")
        parts += [f"{text[0].upper()}{text[1:].rstrip('.')}.\n" for text in said if text]
        parts += [_calibration_table(record, table) for table in tables if table in record.data]
    return NOTICE + "\n".join(parts)


def _calibration_table(record: Record, table: str) -> str:
    """Return one table of a calibration record: parameters, errors by series, note."""
    quantities = {
        key.partition(".")[2]: value
        for key, value in record.quantities.items()
        if key.startswith(f"{table}.")
    }
    lines = [f"### {record.id} `[{table}]`\n", "| parameter | value | kind | note |", "|---|---|---|---|"]
    for key, value in quantities.items():
        dagger = "\u2020" if value.kind == "estimated" else ""
        lines.append(f"| `{key}` | {value.value:g}{dagger} | {value.kind} | {value.note} |")
    data = record.data[table]
    if "series" in data:
        lines += [
            "",
            "| measured | points | training error | held-out error | source |",
            "|---|---|---|---|---|",
        ]
        whole = {"operator": "all", "system": "", "source": [], **data}
        for row in (whole, *data["series"]):
            title = "; ".join(record.sources[name].title.replace("<", "&lt;") for name in row["source"])
            name = f"{row['operator']} on {row['system']}" if row["system"] else "all"
            lines.append(
                f"| {name} | {row['points']} | {row['training_error']:.1%} | {row['held_out_error']:.1%} "
                f"| {title} |"
            )
    if "note" in data:
        lines += ["", f"{data['note'][0].upper()}{data['note'][1:]}."]
    return "\n".join(lines) + "\n"


def models() -> str:
    """Return the page of the model catalogue."""
    from roofline_afd.analysis.listing import list_models
    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.view.tables import as_markdown

    catalogue = Catalogue()
    aliases = {record.id: record.data.get("aliases", ()) for record in catalogue.records("model")}
    rows = "\n".join(f"| `{name}` | {', '.join(others)} |" for name, others in aliases.items() if others)
    return NOTICE + (
        "# Model catalogue\n\nParameters and cache bytes (bf16, every window holding the token) are counted "
        "from the shape; a dagger marks estimates. `roofline-afd models show ID --where` has the source of "
        "each value, [model_db/README.md](../model_db/README.md) the meaning of the fields.\n\n"
        f"{as_markdown(list_models(catalogue))}\n"
        f"## Models of the very same shape\n\n| record | also |\n|---|---|\n{rows}\n"
    )


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(DOCS.parent)}", file=sys.stderr)  # noqa: T201
