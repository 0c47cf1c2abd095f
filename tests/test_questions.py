"""Questions as dataclasses: the one place where options stand, for the command line and for Python."""

from __future__ import annotations

import dataclasses
import inspect
from types import ModuleType

import pytest

import roofline_afd
from roofline_afd import api, plot
from roofline_afd.questions import asks, option, options_of


@dataclasses.dataclass(frozen=True)
class Plain:
    """A question.

    Parameters
    ----------
    subject : str
        What is asked about.
    limit_ms : float, optional
        Time allowed; any where absent [ms].
    """

    subject: str
    _: dataclasses.KW_ONLY
    limit_ms: float | None = option(None)


@dataclasses.dataclass(frozen=True)
class Longer(Plain):
    """A question that asks for more.

    Parameters
    ----------
    form : str
        One of two words.
    """

    _: dataclasses.KW_ONLY
    form: str = option("short", words=("short", "long"), flag="--shape", shown=False)


@asks(Longer)
def told(question: Longer) -> str:
    """Tell a question.

    Returns
    -------
    str
        What was asked.
    """
    return f"{question.subject} {question.limit_ms} {question.form}"


def test_fields_are_options_with_their_docstrings() -> None:
    subject, limit, form = options_of(Longer)
    assert (subject.name, subject.required, subject.text) == ("subject", True, "What is asked about")
    assert (limit.unit, limit.default) == ("ms", None)
    assert limit.types == {"float", "None"}
    assert (form.words, form.flag, form.shown, form.default) == (("short", "long"), "--shape", False, "short")


def test_functions_take_fields_one_by_one() -> None:
    assert told("a") == "a None short"
    assert told("a", limit_ms=2, form="long") == "a 2 long"
    assert str(inspect.signature(told)) == (
        "(subject: 'str', *, limit_ms: 'float | None' = None, form: 'str' = 'short') -> 'str'"
    )


def test_wrong_names_are_type_errors_that_name_the_function() -> None:
    with pytest.raises(TypeError, match=r"told\(\): got an unexpected keyword argument 'limit'"):
        told("a", limit=2)  # type: ignore[call-arg]  # what mypy refuses is refused at run time too
    with pytest.raises(TypeError, match=r"told\(\): missing a required argument: 'subject'"):
        told()  # type: ignore[call-arg]  # as above


def test_docstrings_list_the_fields_of_all_classes_before_what_is_returned() -> None:
    text = inspect.getdoc(told) or ""
    order = [text.index(part) for part in ("Tell a question", "subject : str", "form : str", "Returns")]
    assert order == sorted(order)


@pytest.mark.parametrize("home", [api, plot])
def test_only_what_is_asked_about_goes_without_its_name(home: ModuleType) -> None:
    functions = [each for name, each in vars(home).items() if name in {*roofline_afd.__all__, *plot.__all__}]
    asking = [
        each
        for each in functions
        if "question" in inspect.signature(getattr(each, "__wrapped__", each)).parameters
    ]
    assert len(asking) >= 8
    for function in asking:
        for parameter in inspect.signature(function).parameters.values():
            free = parameter.name in {"scenario", "scenarios", "changes", "workloads"}
            assert free or parameter.kind is parameter.KEYWORD_ONLY, (function.__name__, parameter)
