"""Each check of the campaign finds what it is for: answers are doctored, and it must say so."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import command
from tests.fuzz import checker
from tests.fuzz.asking import Outcome, asked
from tests.fuzz.checker import ERROR, Findings
from tests.fuzz.values import MARKUP

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = ("--system", "h800", "--model", "mixtral-8x7b", "--tensor-parallel", "1")
COMPARED = ("compare", *SMALL, "--max-devices", "8")
EXPLORED = ("explore", *SMALL, "--workload", "chat", "--devices", "8", "--modes", "agg,pd")
ENDED = Outcome(0, "{}", "", 0.1, 0.1, 1.0)


@functools.cache
def _shared(*words: str) -> Any:  # noqa: ANN401 - an answer
    return checker.strict_json(Findings(), command(*words, "--format", "json").out)


def _answer(*words: str) -> Any:  # noqa: ANN401 - an answer
    return copy.deepcopy(_shared(*words))


def _faults(found: Findings) -> set[str]:
    return {fault.check for fault in found.faults}


def test_answers_hold() -> None:
    """Before they are doctored."""
    found = Findings()
    for words in (COMPARED, EXPLORED):
        checker.invariants(found, _answer(*words))
    assert not found.faults
    assert {"Little's law", "memory held within memory", "TPOT within what was asked"} <= set(found.checks)


@pytest.mark.parametrize(
    ("doctor", "check"),
    [
        (lambda row: row.update(tpot_ms=row["tpot_ms"] * 2), "TPOT within what was asked"),
        (lambda row: row.update(hfu_all_devices=1.01), "shares and HFU from 0 to 1"),
        (lambda row: row.update(hfu_ffn_devices_stage=-0.1), "shares and HFU from 0 to 1"),
        (lambda row: row.update(step_ms=-1.0), "no amount below 0"),
        (lambda row: row["breakdown"].update(ffn_us=-1.0), "no amount below 0"),
        (
            lambda row: row.update(tokens_per_s_per_device=1.001 * row["tokens_per_s_per_device"]),
            "Little's law",
        ),
        (lambda row: row.update(tokens_per_s_per_user=1.0), "a user sees 1 / TPOT"),
        (lambda row: row.update(memory_gb=1.01 * row["memory"]["driver_gb"]), "memory held within memory"),
        (lambda row: row["memory"].update(free_gb=-1.0), "memory held within memory"),
        (lambda row: row["memory"].update(cache_gb=0.1), "parts of memory add up"),
        (lambda row: row.update(feasible=False), "no figures of what cannot be"),
        (lambda row: row.update(feasible=False, binding=None), "a no names what binds"),
    ],
)
def test_figures_that_cannot_be(doctor: Callable[[dict[str, Any]], None], check: str) -> None:
    answer = _answer(*COMPARED)
    doctor(answer["results"][0])
    found = Findings()
    checker.invariants(found, answer)
    assert check in _faults(found)


@pytest.mark.parametrize(
    ("doctor", "check"),
    [
        (lambda row: row.update(concurrent_requests=2 * row["concurrent_requests"]), "Little's law"),
        (lambda row: row.update(requests_per_s=2 * row["requests_per_s"]), "requests times their tokens"),
        (lambda row: row.update(tokens_per_s=2 * row["tokens_per_s"]), "devices add up"),
    ],
)
def test_modes_that_cannot_be(doctor: Callable[[dict[str, Any]], None], check: str) -> None:
    answer = _answer(*EXPLORED)
    doctor(answer["results"][0])
    found = Findings()
    checker.invariants(found, answer)
    assert check in _faults(found)


def test_a_limit_that_was_passed() -> None:
    answer = _answer(*EXPLORED)
    answer["inputs"]["ttft_ms"] = answer["summary"]["best_under_slo"]["ttft_ms"] / 2
    found = Findings()
    checker.invariants(found, answer)
    assert "TTFT within what was asked" in _faults(found)


@pytest.mark.parametrize(
    ("ended", "check"),
    [
        (ENDED._replace(status=70, err=f"{ERROR}a fault of this program\n"), "exit status 0, 1 or 2"),
        (ENDED._replace(status=2, out="", err="Traceback\n  File\n"), "one line on stderr for exit 2"),
        (ENDED._replace(status=2, out="", err=f"{ERROR}x\n{ERROR}y\n"), "one line on stderr for exit 2"),
        (ENDED._replace(status=2, err=f"{ERROR}x\n"), "no answer beside exit 2"),
        (ENDED._replace(status=1, out="", err=f"{ERROR}no\n"), "the binding constraint is named for exit 1"),
        (ENDED._replace(err="RuntimeWarning: divide by zero\n"), "no error beside exit 0"),
        (ENDED._replace(err="note: \x1b[31m\n"), "no control characters on stderr"),
        (ENDED._replace(hung=True), "within the time limit"),
        (ENDED._replace(grown_mb=1e5), "within the memory limit"),
    ],
)
def test_ends_that_break_the_contract(ended: Outcome, check: str) -> None:
    found = Findings()
    checker.contract(found, ended)
    assert check in _faults(found)


@pytest.mark.parametrize("text", ["NaN", '{"a": Infinity}', '{"a": 1, "a": 2}', "{", '"\\ud800"'])
def test_what_is_no_strict_json(text: str) -> None:
    found = Findings()
    if text.startswith('"'):
        text = "\ud800"
    checker.strict_json(found, text)
    assert _faults(found) == {"strict JSON"}


@pytest.mark.parametrize("form", ["csv", "markdown", "table"])
def test_another_figure_in_another_format(form: str) -> None:
    answer = _answer(*COMPARED)
    texts = {each: command(*COMPARED, "--format", each).out for each in ("csv", "markdown", "table")}
    found = Findings()
    checker.formats(found, answer, texts)
    assert not found.faults
    figure = f"{answer['results'][0]['tpot_ms']:.2f}"
    bare = texts[form].replace(str(answer["results"][0]["tpot_ms"]), "9.99").replace(figure, "9.99")
    checker.formats(found, answer, {**texts, form: bare})
    assert found.faults


@pytest.mark.parametrize(
    ("form", "text", "check"),
    [
        ("terminal", "a \x1b[31m", "nothing controls a terminal"),
        ("terminal", "a \u202e b", "nothing controls a terminal"),
        ("markdown", f"| {MARKUP} |", "no element in markdown"),
        ("html", f"<p>{MARKUP}</p>", "no markup of others in a page"),
        ("csv", "a,=1+1\n", "no formula in csv"),
        ("csv", "a,@SUM(1)\n", "no formula in csv"),
    ],
)
def test_names_that_are_not_escaped(form: str, text: str, check: str) -> None:
    found = Findings()
    checker.escaped(found, form, text)
    assert _faults(found) == {check}
    checker.escaped(found, form, "a,-1.5e3,+8.2%\n")
    assert len(found.faults) == 1


def test_more_that_is_worse() -> None:
    before, after = _answer(*COMPARED), _answer(*COMPARED)
    after["results"][0]["tokens_per_s_per_device"] *= 0.999
    found = Findings()
    checker.no_worse(found, "never worse", before, before, "")
    assert not found.faults
    checker.no_worse(found, "never worse", before, after, "")
    checker.no_worse(found, "never worse", before, None, "")
    assert len(found.faults) == 2


def test_a_question_that_does_not_end() -> None:
    outcome = asked(
        ("predict", "--system", "h800", "--model", "deepseek-v3", "--devices", "64"), limit_s=1e-5
    )
    assert outcome.hung
