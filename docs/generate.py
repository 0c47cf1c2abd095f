"""Write the generated pages of the documentation: what the program itself knows, printed.

Run `make docs` after changing a formula, an option, the catalogue or a measurement: it fits anew what
published services fit, counts what pages written by hand count, and writes the others. The tests fail while
a page is stale.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import os
import pkgutil
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import ModuleType
    from typing import Any

    from roofline_afd.catalogue.records import Record

DOCS = Path(__file__).parent
SERVICE = DOCS.parent / "hardware_db" / "calibration" / "service.toml"
"""What published services fit."""
COUNTED = (DOCS.parent / "README.md", DOCS.parent / "hardware_db" / "README.md")
"""Pages written by hand that say how many records there are."""
AGAIN = "--fitted"
"""Said to itself where the constants of services are fitted already."""
NOTICE = "<!-- Written by docs/generate.py; do not edit. -->\n\n"


def pages() -> dict[Path, Callable[[], str]]:
    """Return what makes the text of every generated page."""
    return {
        DOCS / "serving-modes.md": lambda: NOTICE + serving_modes(),
        DOCS / "verdicts.md": lambda: NOTICE + str(_page("verdicts").page()),
        DOCS / "sweep.md": lambda: NOTICE + str(_page("sweep").page()) + "\n",
        DOCS / "calibration.md": calibration,
        DOCS / "commands.md": lambda: NOTICE + str(_page("commands").page()),
        DOCS / "glossary.md": lambda: NOTICE + str(_page("glossary").page()),
        DOCS / "reproduce.md": lambda: NOTICE + str(_page("reproducing").page()),
        DOCS / "formulas.md": formulas,
        DOCS / "hardware.md": hardware,
        DOCS / "models.md": models,
        DOCS / "resting.md": lambda: NOTICE + str(_page("resting").page()) + "\n",
        DOCS / "fabrics.md": lambda: NOTICE + str(_page("fabrics").page()),
        DOCS / "validation.md": validation,
        DOCS / "deploy.md": lambda: NOTICE + str(_page("deploying").page()),
    }


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
    from roofline_afd.analysis.listing.list import list_hardware
    from roofline_afd.analysis.listing.rows import HARDWARE_KINDS
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
    from roofline_afd.catalogue.calibration import OPERATOR_TABLES
    from roofline_afd.catalogue.collectives import TABLES
    from roofline_afd.catalogue.schema import properties
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
    tables = (*OPERATOR_TABLES, "link", *TABLES, "fused_stage", "quantize")
    laws = {properties("calibration")[table]["description"]: table for table in reversed(tables)}
    named = {table: law for law, table in laws.items()}
    parts += [
        f"| `{table}`{' and all other kernels' * (table == tables[0])} | {named[table]} |"
        for table in tables
        if table in named
    ]
    parts += [
        "\n## Errors at a glance\n",
        (
            "Every table of kernels and collectives that was fitted: the library, the parts and number "
            "formats it was timed on, and the median absolute error on rows held out: a fifth of the rows at "
            "a time, and every whole shape once (where all rows have one shape: every context, or batch).\n"
        ),
        _errors(Catalogue().records("calibration")),
    ]
    parts += [
        "\n## Which rows stand where\n",
        (
            "Rows of the measured systems that each kernel's parameters were fitted to, number formats and "
            "libraries together, and the error held out (medians of tables, averaged by rows). A dash: "
            "nothing was measured there, and what is predicted rests on a part of the same make, else on the "
            "record `default`.\n"
        ),
        _page("standing").table(Catalogue().records("calibration")),
    ]
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


def _errors(records: Iterable[Record]) -> str:
    """Return the fitted tables of all records with their held-out errors."""
    from roofline_afd.catalogue.calibration import OPERATOR_TABLES
    from roofline_afd.catalogue.collectives import TABLES

    tables = (*OPERATOR_TABLES, *TABLES)

    lines = [
        "| kernel | library | record | measured on | formats | rows | rows held out | shapes held out |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found = [(table, record) for record in records for table in tables if table in record.data]
    for table, record in sorted(found, key=lambda pair: (tables.index(pair[0]), pair[1].id)):
        data = record.data[table]
        if "points" not in data:
            continue
        shapes = data.get("held_out_shape_error")
        cells = (
            f"`{table}`",
            data.get("family", ""),
            f"`{record.id}`",
            ", ".join(data.get("measured_on", record.data["scale_up"] if table in TABLES else ())),
            ", ".join(data.get("formats", ())),
            str(data["points"]),
            f"{data['held_out_error']:.1%}",
            "" if shapes is None else f"{shapes:.1%}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


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
    from roofline_afd.analysis.listing.list import list_models
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


def serving_modes() -> str:
    """Return the page on serving modes."""
    return str(_page("serving_modes").page())


def samples() -> dict[Path, Callable[[], Iterable[str]]]:
    """Return what makes texts that the pages that take minutes must hold, instead of all of each."""
    return {
        DOCS / "serving-modes.md": lambda: _page("serving_modes").sample(),
        DOCS / "deploy.md": lambda: _page("deploying").sample(),
        DOCS / "sweep.md": lambda: _page("sweep").lines_of(
            "a100", "b200", "h20", "trn2-ultraserver", "tpu-v7", "cloudmatrix384"
        ),
    }


def _page(name: str) -> ModuleType:
    """Return a module of the folder of the docs."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DOCS))


def validation() -> str:
    """Return the page of published services against predictions: every row, the medians, the misses."""
    from roofline_afd.analysis.evidence.services.rows import shipped_services
    from roofline_afd.analysis.evidence.services.validate import is_miss, validate_services
    from roofline_afd.catalogue.store import Catalogue

    catalogue = Catalogue()
    answer = validate_services(shipped_services(catalogue), catalogue=catalogue)
    rows, summary = answer.rows(), answer.summary
    signs = summary["sign_test"]
    missed = [row for row in rows if is_miss(row)]
    relatives = [row["error"] for row in rows if row["use"] == "relative" and row["error"] is not None]
    parts = [
        "# Validation\n",
        (
            "How far are predictions from services that somebody ran and published? This page is what "
            "`roofline-afd validate` answers on the rows that ship with the program "
            "([hardware_db/measurements](../hardware_db/measurements/README.md)). The data sheets of the "
            "parts, [efficiencies fitted to timings of single operators](calibration.md) and the two "
            "constants below go in; no other published throughput does.\n"
        ),
        (
            f"**{summary['answer']}** The error is predicted over measured throughput, less one. The counted "
            "services are few, and most were measured by one author on one system: take the errors as what "
            "to expect near these services, not as a bound. Rows that name an engine stand apart: they are "
            "one deployment at many batches and contexts, which would outweigh all others, and wait for "
            "what that engine adds.\n"
        ),
        _medians("mode", summary["median_abs_error_by_mode"]),
        _medians("source", summary["median_abs_error_by_source"]),
        "## Errors by mode, timing and engine\n",
        (
            "All rows of use `absolute`. `wall` is what a client sees; `kernel` the sum of kernels and "
            "`profile` the span on the device, both without the pauses of the host. The basis is what is "
            "predicted: where a row of timing `wall` is predicted on the basis `device`, the host pause of "
            "its engine is not modelled, and its error includes that pause. Rows of role `calibration` may "
            "set constants; those of a named engine set none yet.\n"
        ),
        _groups(summary["by_basis"]),
        _constants(catalogue.record("calibration", "service")),
        "## Where the prediction is off by more than 25 %\n",
        *(_missed(missed) or ["None."]),
        "\n## Is AFD predicted ahead where it is ahead?\n",
        (
            "A pair is an AFD row and the best measured EP row of the same system, model, context, number "
            "formats, accepted length and routing, both timed by the wall clock or both on the device. There "
            f"are {signs['n']}; the prediction is on the measured side of 1 in {signs['same_sign']}, and "
            f"within 15 points of the measured ratio in {signs['within_band']}. Two runs of one "
            f"configuration by one author lie {signs['noise']:.0%} apart: of the {signs['n_beyond_noise']} "
            f"pairs whose margin exceeds that, {signs['same_sign_beyond_noise']} have the sign predicted.\n"
        ),
        _pairs(signs["pairs"]),
        _page("sureness").section(signs),
        (
            "The next pairs are published as such, but were timed in different ways, or one side is "
            "predicted without the pause of a host that was timed; they are not counted. That is no excuse "
            "for the prediction where the difference understates AFD and the prediction is lower still. "
            "Part of it is software: these EP rows ran one engine and these AFD rows another with leaner "
            "kernels; the prediction gives both the same.\n"
        ),
        _pairs(signs["timed_differently"]),
        "\n## Every row\n",
        (
            "Throughput in tokens/s/device, over attention and FFN devices together. Rows of use "
            "`lower-bound` are what a service reached at least, a mean over a day or a run with stalled "
            "steps: a prediction above them is as it should be, by how much says nothing. Rows of use "
            "`relative` are only compared with each other (their levels are predicted "
            f"{min(relatives):.0%} to {max(relatives):.0%} too high). A "
            "star marks services that ran although the memory model, which keeps a tenth free, would refuse "
            "them.\n"
        ),
        (
            "| row | mode | system | model | use | role | timing | basis | engine | measured | predicted "
            "| error |"
        ),
        f"|{'---|' * 12}",
        *map(_validated, rows),
        "",
        *(f"- `{row['id']}` is not predicted: {row['why']}." for row in rows if row["error"] is None),
        *_page("points").section(catalogue),
    ]
    return NOTICE + "\n".join(parts).rstrip() + "\n"


def _medians(title: str, medians: Mapping[str, float]) -> str:
    rows = (f"| {name} | {error:.1%} |" for name, error in medians.items())
    return "\n".join([f"| {title} | median error |", "|---|---|", *rows]) + "\n"


def _missed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the reasons of large errors, each with the rows it is of."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(row["why"], []).append(f"`{row['id']}` {row['error']:+.1%}")
    return [f"- {', '.join(named)}: {why}." for why, named in reasons.items()]


def _groups(groups: Sequence[Mapping[str, Any]]) -> str:
    """Return the errors of each group of rows, as a table."""
    labels = ("mode", "timing", "basis", "engine", "role")
    lines = [
        (
            "| mode | timing | basis | engine | role | rows | skipped | median error | in the median "
            "| 90 % within |"
        ),
        f"|{'---|' * 10}",
    ]
    for group in groups:
        figures = ["-"] * 3
        if group["n"]:
            figures = [
                f"{group['median_abs_error']:.1%}",
                f"{group['median_signed_error']:+.1%}",
                f"{group['p90_abs_error']:.1%}",
            ]
        cells = [*(group[label] for label in labels), str(group["n"]), str(group["skipped"]), *figures]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _constants(record: Record) -> str:
    """Return what set the constants of a service, and how firmly."""
    data = record.data["service"]
    rows = (
        f"| `{key.partition('.')[2]}` | {value.value:g} | {value.note} |"
        for key, value in record.quantities.items()
    )
    return "\n".join(
        [
            "## What set the constants\n",
            (
                f"{_sentence(record.text('note'))} Median error on the {data['points']} rows that set them "
                f"{data['training_error']:.1%}.\n"
            ),
            "| constant | value | meaning |",
            "|---|---|---|",
            *rows,
            "",
            (
                f"{_sentence(data['note'])} Four rows barely fix two constants: what they would be without "
                "one row says how far each leans on it.\n"
            ),
        ]
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _pairs(pairs: Sequence[Mapping[str, Any]]) -> str:
    rows = (
        f"| `{pair['afd']}` | `{pair['ep']}` | {pair['measured_ratio']:.2f} | {pair['predicted_ratio']:.2f} "
        f"| {'yes' if pair['same_sign'] else 'no'} | {pair.get('difference', '')} |"
        for pair in pairs
    )
    head = (
        "| AFD | EP | measured AFD over EP | predicted | same side of 1 | timing |\n|---|---|---|---|---|---|"
    )
    return "\n".join([head, *rows]) + "\n"


def _validated(row: Mapping[str, Any]) -> str:
    from roofline_afd.view.columns import column

    star = "*" if row["fits_memory"] is False else ""
    words = ("mode", "system", "model", "use", "role", "timing", "basis", "engine")
    shown = (column(key).show(row[key]) for key in words)
    figures = (column(key).show(row[key]) for key in ("measured", "predicted", "error"))
    return f"| `{row['id']}`{star} | {' | '.join((*shown, *figures))} |"


def counted(text: str) -> str:
    """Return a text with the records counted anew that it says the catalogues hold."""
    from roofline_afd.catalogue.schema import FOLDERS
    from roofline_afd.catalogue.store import Catalogue

    catalogue = Catalogue()
    count = {kind: len(catalogue.ids(kind)) for kind in (*FOLDERS, "model")}
    parts = "{accelerator} accelerators, {interconnect} fabrics and {system} systems".format(**count)
    text = re.sub(r"\d+ accelerators, \d+ fabrics and \d+ systems", parts, text)
    text = re.sub(r"\d+ model shapes", f"{count['model']} model shapes", text)
    for kind, folder in FOLDERS.items():
        text = re.sub(rf"`{folder}/` \(\d+\)", f"`{folder}/` ({count[kind]})", text)
    return text


def refitted() -> str | None:
    """Return the record of what services add, fitted to the shipped rows; None where it stands so."""
    from roofline_afd.analysis.evidence.points.rows import shipped_points
    from roofline_afd.analysis.evidence.points.validate import prefill_errors
    from roofline_afd.analysis.evidence.services.fit import fit_service_constants
    from roofline_afd.analysis.evidence.services.record import service_record_text
    from roofline_afd.analysis.evidence.services.rows import shipped_services
    from roofline_afd.catalogue.calibration import load_service_constants
    from roofline_afd.catalogue.store import Catalogue

    catalogue = Catalogue()
    fit = fit_service_constants(shipped_services(catalogue))
    constants = dataclasses.replace(
        load_service_constants(catalogue),
        gap_s=fit.values["gap_ms"] * 1e-3,
        communication_slowdown=fit.values["communication_slowdown"],
    )
    prefill = prefill_errors(shipped_points(catalogue), constants=constants)
    fitted = str(catalogue.record("calibration", "service").data["fitted"])
    if service_record_text(fit, date=fitted, prefill=prefill) == SERVICE.read_text("utf-8"):
        return None
    return service_record_text(fit, prefill=prefill)


def answered() -> dict[Path, Callable[[], str]]:
    """Return what makes the text of every page written by hand: its own, with the answers of commands."""
    answers = _page("answers")

    def text(path: Path) -> str:
        return "".join(map(answers.answered, answers.parts(path.read_text("utf-8"))))

    return {path: functools.partial(text, path) for path in answers.pages()}


if __name__ == "__main__":
    record = None if AGAIN in sys.argv else refitted()
    if record is not None:
        SERVICE.write_text(record, encoding="utf-8")
        print(f"wrote {SERVICE.relative_to(DOCS.parent)}", file=sys.stderr)  # noqa: T201
        os.execv(sys.executable, [sys.executable, *sys.argv, AGAIN])  # noqa: S606 - itself, with new constants
    for path in COUNTED:
        path.write_text(counted(path.read_text("utf-8")), encoding="utf-8")
    for path, made in {**pages(), **answered()}.items():
        path.write_text(made(), encoding="utf-8")
        print(f"wrote {path.relative_to(DOCS.parent)}", file=sys.stderr)  # noqa: T201
