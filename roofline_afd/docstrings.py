"""Read our own docstrings: formulas, symbols and units are written once, where they are computed."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from typing import TYPE_CHECKING

from roofline_afd.nomenclature import NOMENCLATURE

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = "As in `nomenclature`."
"""Body of an entry whose names `roofline_afd.nomenclature` describes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """One documented parameter: what it is, and its unit."""

    text: str
    unit: str


@dataclasses.dataclass(frozen=True, slots=True)
class Documentation:
    """A docstring in the NumPy layout, taken apart."""

    summary: str
    parameters: dict[str, Parameter]
    returns: Parameter
    notes: str
    references: str


def documentation(thing: Callable[..., object] | type) -> Documentation:
    """Take the docstring of a function or class apart.

    Parameters
    ----------
    thing : callable
        What carries a docstring in the NumPy layout.

    Returns
    -------
    Documentation
        Its sections; empty ones where it has none. Several parameters may share one entry, and those that
        stand in `nomenclature` have its text.

    Examples
    --------
    >>> from roofline_afd.physics.budget import stage_budget
    >>> documentation(stage_budget).notes
    't_B = (TPOT * a - t_g) / (L * m)'
    """
    text = docstring_of(thing)
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    parameters = _parameters(sections.get("Parameters", ""), thing)
    returns = sections.get("Returns", "").partition("\n")[2]
    return Documentation(
        summary=_flow(parts[0].split("\n\n")[0].splitlines()),
        parameters=parameters,
        returns=_split_unit(_flow(returns.splitlines())),
        notes=_flow(sections.get("Notes", "").splitlines()),
        references=_flow(sections.get("References", "").splitlines()),
    )


def docstring_of(thing: Callable[..., object] | type) -> str:
    """Return a docstring, of a class its own; from the source where Python leaves it out (-OO)."""
    if sys.flags.optimize <= 1:
        found = thing.__dict__.get("__doc__") if isinstance(thing, type) else thing.__doc__
        return inspect.cleandoc(found or "")
    try:
        first = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    except (OSError, TypeError, SyntaxError):  # no source beside the program
        return ""
    return ast.get_docstring(first) or "" if isinstance(first, ast.FunctionDef | ast.ClassDef) else ""


def _parameters(section: str, thing: Callable[..., object] | type) -> dict[str, Parameter]:
    """Return what each parameter is; in the order of the signature where the nomenclature describes some."""
    parameters: dict[str, Parameter] = {}
    shared = False
    for entry in re.split(r"^(?=\S)", section, flags=re.MULTILINE):
        names, _, body = entry.partition("\n")
        text = _flow(body.splitlines())
        shared |= text == SHARED
        for name in filter(None, (part.strip() for part in names.partition(" : ")[0].split(","))):
            parameters[name] = _split_unit(NOMENCLATURE[name] if text == SHARED else text)
    return _as_called(parameters, thing) if shared else parameters


def _as_called(parameters: dict[str, Parameter], thing: Callable[..., object] | type) -> dict[str, Parameter]:
    """Return parameters in the order of the signature, those of one description together."""
    order = [name for name in inspect.signature(thing).parameters if name in parameters]
    together: dict[Parameter, list[str]] = {}
    for name in dict.fromkeys([*order, *parameters]):
        together.setdefault(parameters[name], []).append(name)
    return {name: entry for entry, names in together.items() for name in names}


def _flow(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())


def _split_unit(text: str) -> Parameter:
    match = re.search(r"^(.*?)\s*\[([^\[\]]+)\]\.?$", text)
    return Parameter(match[1], match[2]) if match else Parameter(text.rstrip("."), "")
