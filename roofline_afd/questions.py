"""Questions as objects: their fields are options of the command line and arguments of the Python API.

A question is a frozen dataclass. Name, type, default and docstring of each field stand there once:
`options_of` tells them to the command line, `asks` makes a function of the API take them one by one.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from roofline_afd.docstrings import docstring_of, documentation
from roofline_afd.errors import InputError, naming_arguments, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

P = ParamSpec("P")
Q = TypeVar("Q")
A = TypeVar("A")
SUBJECT = "Scenario"
"""Type of what most questions are about: files at the top know it by its name."""


def option(
    default: Any,  # noqa: ANN401 - whatever a field holds
    *,
    words: Sequence[str] = (),
    metavar: str = "",
    flag: str = "",
    also: Sequence[str] = (),
    hardware: bool = False,
    shown: bool = True,
) -> Any:  # noqa: ANN401 - what dataclasses make of a field
    """Return a field of a question that is an option too.

    Parameters
    ----------
    default : object
        Its value where it is not given. A field that must be given is declared without `option`.
    words : sequence of str
        Valid words of a field that takes one of a few.
    metavar : str
        What stands for a value in help texts, where type and unit do not say it.
    flag : str
        Name of the option, where it is not that of the field: `--price`.
    also : sequence of str
        Other names of it.
    hardware : bool
        Whether it says what is asked about, as system and model do.
    shown : bool
        Whether the command line has it.

    Returns
    -------
    dataclasses.Field
        The field, typed as what it holds.
    """
    told = {
        "words": tuple(words),
        "metavar": metavar,
        "flag": flag,
        "also": tuple(also),
        "hardware": hardware,
        "shown": shown,
    }
    return dataclasses.field(default=default, metadata=told)


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """What is known of a field of a question."""

    name: str
    types: frozenset[str]
    """Names in its annotation: `float`, `None`, `Path` ..."""
    default: object
    """`dataclasses.MISSING` where it must be given."""
    text: str
    unit: str
    words: tuple[str, ...] = ()
    metavar: str = ""
    flag: str = ""
    also: tuple[str, ...] = ()
    hardware: bool = False
    shown: bool = True

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is dataclasses.MISSING


def options_of(question: type) -> Iterator[Option]:
    """Yield the fields of a question, each with its docstring, in the order of their declaration.

    Parameters
    ----------
    question : type
        A dataclass whose docstring, or that of a class it extends, describes every field.

    Yields
    ------
    Option
        A field.
    """
    texts = {name: text for base in reversed(question.__mro__) for name, text in _texts(base).items()}
    for field in dataclasses.fields(question):
        text = texts[field.name]
        yield Option(
            name=field.name,
            types=frozenset(re.findall(r"\w+", str(field.type))),
            default=field.default,
            text=text.text,
            unit=text.unit,
            **{key: told for key, told in field.metadata.items() if key in Option.__slots__},
        )


@functools.cache
def _texts(base: type) -> dict[str, Any]:
    return documentation(base).parameters


def asks(question: Callable[P, Q]) -> Callable[[Callable[[Q], A]], Callable[P, A]]:
    """Return a decorator: a function of a question takes the fields of the question instead.

    Parameters
    ----------
    question : type
        The dataclass of the question.

    Returns
    -------
    callable
        The decorator. What it returns has the signature of the question and a docstring that lists it;
        an unknown name raises `TypeError`.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Square:
    ...     '''A square.
    ...
    ...     Parameters
    ...     ----------
    ...     side : float
    ...         Length of a side [m].
    ...     '''
    ...
    ...     side: float = 1.0
    >>> @asks(Square)
    ... def area(square):
    ...     '''Return the area of a square.'''
    ...     return square.side**2
    >>> area(side=3)
    9
    >>> inspect.signature(area)
    <Signature (side: 'float' = 1.0)>
    """

    def decorate(function: Callable[[Q], A]) -> Callable[P, A]:
        @functools.wraps(function)
        def asked(*given: P.args, **named: P.kwargs) -> A:
            try:
                signature.bind(*given, **named)
            except TypeError as error:
                raise TypeError(f"{function.__name__}(): {error}") from None
            with naming_arguments(spelled):
                asked_for = question(*given, **named)
                for name in subjects:
                    if type(getattr(asked_for, name)).__name__ != SUBJECT:
                        raise InputError(f"{name} {shown(getattr(asked_for, name))} is no {SUBJECT}")
                return function(asked_for)

        fields = dataclasses.fields(question) if dataclasses.is_dataclass(question) else ()
        subjects = [field.name for field in fields if field.type == SUBJECT]
        spelled = {
            option: field.name
            for field in fields
            for option in (
                field.metadata.get("flag") or "--" + field.name.replace("_", "-"),
                *field.metadata.get("also", ()),
            )
        }
        returned = inspect.get_annotations(function).get("return", inspect.Signature.empty)
        signature = inspect.signature(question).replace(return_annotation=returned)
        asked.__signature__ = signature  # type: ignore[attr-defined]  # what inspect reads of a callable
        asked.__annotations__ = {
            name: parameter.annotation for name, parameter in signature.parameters.items()
        } | {"return": returned}
        asked.__doc__ = _with_parameters(function, question)
        return asked

    return decorate


def _with_parameters(function: Callable[..., object], question: Callable[..., object]) -> str:
    """Return the docstring of a function with the parameters of a question before its first section."""
    own = docstring_of(function)
    entries = []
    for base in reversed(getattr(question, "__mro__", ())):
        section = re.search(
            r"^Parameters\n-{3,}\n(.*?)(?=^\w[\w ]*\n-{3,}\n|\Z)",
            docstring_of(base),
            flags=re.MULTILINE | re.DOTALL,
        )
        if section:
            entries.append(section[1].rstrip())
    if not entries:
        return own
    parameters = "Parameters\n----------\n" + "\n".join(entries) + "\n"
    first = re.search(r"^\w[\w ]*\n-{3,}\n", own, flags=re.MULTILINE)
    at = first.start() if first else len(own)
    return f"{own[:at].rstrip()}\n\n{parameters}\n{own[at:]}".rstrip() + "\n"
