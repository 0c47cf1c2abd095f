"""Texts of the command line and of scenario files, read as what options hold."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from roofline_afd.errors import InputError, shown
from roofline_afd.units import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWERED = "roofline_afd.answered"
"""Key of a context in which nothing must be given, since an answer is."""


def number(text: str | float) -> float:
    """Read a number, as 1e6 or 1M; whether it is finite and in bounds, the question says."""
    try:
        return scaled(text)
    except ValueError as error:
        raise typer.BadParameter(f"{shown(text)} is not a number") from error


def whole_number(text: str | int) -> int:
    """Read a whole number, as 8192, 8k, 8Ki or 1e6; whether it is in bounds, the question says."""
    try:
        return whole_of(text)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{shown(text)} is not a whole number") from error


def whole_of(text: str | float) -> int:
    """Return a whole number, exact however many digits it has; raises ValueError or OverflowError."""
    if isinstance(text, int) or (isinstance(text, str) and re.fullmatch(r"\s*[+-]?[0-9]+\s*", text)):
        return int(text)
    value = scaled(text)
    if not value.is_integer():
        raise ValueError(text)
    return int(value)


def scaled(text: str | float) -> float:
    """Return a number with its suffix; raises ValueError."""
    if not isinstance(text, str):
        return float(text)
    digits = text.strip()
    factor = 1.0
    if digits[-1:].isalpha() and digits[:1].isdigit():
        stem = digits.rstrip("kKmMgGbBtTi")
        factor = SUFFIXES.get(digits[len(stem) :].lower(), 0.0)
        digits = stem if factor else digits
    if "_" in digits or not digits.isascii():  # numbers to Python, not to people
        raise ValueError(text)
    return float(digits) * (factor or 1.0)


def listed(text: str, option: str) -> list[str]:
    """Return the parts of a list a,b,c, each once."""
    parts = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if "" in parts:
        raise InputError(f"{option} {shown(text)} is not a list a,b,c")
    return parts


def read_quickly(parameters: list[Any]) -> list[Any]:
    """Have options read by `reader_of`.

    Parameters
    ----------
    parameters : list of typer.core.TyperOption or TyperArgument
        The options; what reads them is replaced.

    Returns
    -------
    list of typer.core.TyperOption or TyperArgument
        The same.
    """
    for parameter in parameters:
        if "process_value" not in vars(parameter):
            parameter.process_value = reader_of(parameter)
    return parameters


def reader_of(parameter: Any) -> Callable[[Any, Any], Any]:  # noqa: ANN401 - an option of typer
    """Return what reads the value of an option, in place of its method `process_value`.

    Typer has a validator of pydantic read each option, given or not: building them takes longer than most
    answers. Options are texts, numbers, paths and lists of these, which are read here; whatever else an
    option may hold, typer reads.

    Parameters
    ----------
    parameter : typer.core.TyperOption or TyperArgument
        The option.

    Returns
    -------
    callable
        Takes context and value, None where it is not given; returns what the command gets.
    """
    by_typer = parameter.process_value
    several = parameter.multiple or parameter.nargs == -1
    one = _reader_of_one(parameter)

    def read(context: Any, value: Any) -> Any:  # noqa: ANN401 - as typer calls it
        missing = parameter.required and value in (None, (), []) and ANSWERED not in context.meta
        if one is None or missing:
            return by_typer(context, value)
        if value is None:
            held = () if several else None
        elif several:
            held = tuple(_read(one, each, context, parameter) for each in value)
        else:
            held = _read(one, value, context, parameter)
        return held if parameter.callback is None else parameter.callback(context, parameter, held)

    return read


def _reader_of_one(parameter: Any) -> Callable[[Any], Any] | None:  # noqa: ANN401 - an option of typer
    """Return what reads one value of an option; None where typer is to do it."""
    descriptor = getattr(parameter, "type_descriptor", None)  # of typer 0.29; others build no validators
    if descriptor is None:
        return None
    if descriptor.parameter_info.parser is not None:
        reader: Callable[[Any], Any] = descriptor.parameter_info.parser
        return reader
    hint = descriptor.annotation
    hint = typing.get_args(hint)[0] if typing.get_origin(hint) is list else hint
    plain: dict[Any, Callable[[Any], Any]] = {str: str, Path: Path, bool: bool}
    return plain.get(hint)


def _read(one: Callable[[Any], Any], value: Any, context: Any, parameter: Any) -> Any:  # noqa: ANN401
    try:
        return one(value)
    except typer.BadParameter as error:
        error.ctx, error.param = context, parameter
        raise
