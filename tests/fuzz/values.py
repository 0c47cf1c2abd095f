"""Strategies for values of options: as the option table and pages have them, and as nobody means them.

The last are numbers at and beyond bounds, texts that control terminals, and markup.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import attrs
from hypothesis import strategies as st

from roofline_afd.catalogue.precision import PRECISIONS
from roofline_afd.catalogue.schema import quantity_keys
from roofline_afd.serving.scenario import Scenario
from roofline_afd.view.columns import COLUMNS
from tests.fuzz.table import SMALL, harvested

if TYPE_CHECKING:
    from tests.fuzz.table import Option

HOSTILE_NUMBERS = (
    *("0", "-0", "-1", "1e-320", "1e308", "1e309", "-1e308", "nan", "-inf", "inf", "1__0", "1_0", "0x10"),
    *("", " ", "1e", "+5", ".5", "5.", "9" * 40, "9" * 5000, "1e400000", "١٢", "½", "1,5", "1 000", "2**3"),
    *("4.9e-324", "2147483648", "9223372036854775807", "9223372036854775808", "18446744073709551616"),
    *("1k", "1M", "1Ki", "1T", "1kk", "-1k", "1e3k", "100%", "50 GB/s", "50 ms", "1:2", "1:", ":", "true"),
)
MARKUP = "<img src=fuzz onerror=alert(1)>"
"""What must not stand in a page as it is."""
HOSTILE_TEXTS = (
    *("", " ", "\t", "\n", "a\nb", "\r\n", "\x00", "\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\u202eabc"),
    *(MARKUP, "</script><script>alert(1)</script>", "a|b", "`x`", "[x](javascript:alert(1))", "&lt;", "'\""),
    *("=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "../../etc/passwd", "/dev/zero", "/dev/stdin", "-", "--"),
    *(
        "é",
        "ﬀ",
        "İ",
        "\U0001f600",
        "\ud800",
        "a" * 5000,
        ",",
        ",,",
        "a,,b",
        "=",
        "a=",
        "=b",
        "a=b=c",
        ":",
        "::",
    ),
    *(
        "%s%n",
        "{0}",
        "$HOME",
        "null",
        "None",
        "NaN",
        "[]",
        "{}",
        "*",
        "?",
        "h800,",
        "h800+",
        "+h800",
        "h800+h20+h20",
    ),
)
UNIT_WORDS = (
    "",
    "",
    "",
    "",
    " GB/s",
    " Gb/s",
    " TB/s",
    " GB",
    "GiB",
    " ms",
    " us",
    " TFLOP/s",
    "%",
    " kW",
    " W",
)


@functools.cache
def hostile_texts() -> st.SearchStrategy[str]:
    """Return texts that nobody means well with."""
    return st.one_of(st.sampled_from(HOSTILE_TEXTS), st.text(max_size=12))


@functools.cache
def hostile_numbers() -> st.SearchStrategy[str]:
    """Return texts of numbers at and beyond their bounds."""
    return st.one_of(st.sampled_from(HOSTILE_NUMBERS), st.integers().map(str), st.floats().map(repr))


@functools.cache
def numbers() -> st.SearchStrategy[str]:
    """Return numbers as people give them, over many scales."""
    return st.one_of(
        st.sampled_from(("0", "0.1", "0.5", "0.9", "1", "1.5", "2", "10", "50", "100", "1000")),
        st.floats(0, 1).map(lambda value: f"{value:.3g}"),
        st.floats(-2, 5).map(lambda power: f"{10**power:.4g}"),
    )


@functools.cache
def wholes() -> st.SearchStrategy[str]:
    """Return whole numbers as people give them."""
    return st.one_of(
        st.sampled_from(("1", "2", "3", "4", "8", "16", "32", "64", "128", "1k", "4k", "0")),
        st.integers(1, 64).map(str),
        st.floats(0, 5.5).map(lambda power: f"{10**power:.0f}"),
    )


@functools.cache
def keys() -> tuple[str, ...]:
    """Return what may be set or changed: catalogue values, and options of a question."""
    catalogue = (
        key
        for record in ("accelerator", "interconnect", "system", "model", "attention")
        for key in quantity_keys(record)
    )
    return tuple(dict.fromkeys((*catalogue, *(field.name for field in attrs.fields(Scenario)))))


@st.composite
def ranges(draw: st.DrawFn, number: st.SearchStrategy[str]) -> str:
    """Draw a range or a list."""
    form = draw(st.sampled_from(("{0},{1}", "{0}", "{0}:{1}", "{0}:{1}:{2}", "{0},{1},{2}", "{0}:{1}*{2}")))
    return form.format(draw(number), draw(number), draw(st.sampled_from(("1", "2", "3"))))


def _renumbered(text: str, draw: st.DrawFn) -> str:
    """Return a text with one of its numbers another."""
    found = list(re.finditer(r"(?<![A-Za-z\d.])\d+(?:\.\d+)?(?![A-Za-z\d])", text))
    if not found:
        return text
    where = draw(st.sampled_from(found))
    number = draw(wholes() if where[0].isdigit() else numbers())
    return text[: where.start()] + number + text[where.end() :]


@st.composite
def grammatical(draw: st.DrawFn, option: Option) -> str:
    """Draw a value of an option of texts: one that a page gives it, its numbers others, or by its metavar."""
    kept = harvested().get(option.flag, ())
    metavar = option.metavar
    number = draw(st.sampled_from((numbers(), wholes())))
    forms: list[st.SearchStrategy[str]] = []
    if kept:
        forms += [st.sampled_from(kept), st.sampled_from(kept).map(lambda text: _renumbered(text, draw))]
    if metavar.startswith("KEY=") and "..." not in metavar:
        value = ranges(number) if "RANGE" in metavar or "VALUES" in metavar else number
        unit = st.sampled_from(UNIT_WORDS)
        forms.append(st.tuples(st.sampled_from(keys()), value, unit).map(lambda t: f"{t[0]}={t[1]}{t[2]}"))
    elif metavar in {"RANGE", "LIST", "LOW:HIGH"} or "LIST" in metavar:
        forms.append(ranges(number))
    elif metavar == "FORMAT":
        forms.append(st.sampled_from(tuple(PRECISIONS)))
    elif metavar in {"KEY", "a,b,c", "NAME"}:
        forms.append(st.sampled_from(tuple(COLUMNS)))
    elif not forms:
        forms += [number, st.sampled_from(("mine", "a,b", "a=1"))]
    if option.words:  # of a range whose keys complete
        forms.append(
            st.tuples(st.sampled_from(option.words), ranges(number)).map(
                lambda t: f"{t[0].rstrip('=')}={t[1]}"
            )
            if option.words[0].endswith("=")
            else st.lists(st.sampled_from(option.words), min_size=1, max_size=3).map(",".join)
        )
    return draw(st.one_of(forms))


@st.composite
def values(draw: st.DrawFn, option: Option, *, hostile: bool) -> str:
    """Draw a value of an option that is no file.

    Parameters
    ----------
    draw : callable
        Hypothesis's own.
    option : Option
        The option.
    hostile : bool
        Whether it may be what nobody means.

    Returns
    -------
    str
        A word of the command line.
    """
    if hostile and draw(st.integers(0, 1)):
        return draw(hostile_texts() if draw(st.booleans()) else hostile_numbers())
    if option.name in SMALL and draw(st.integers(0, 19)):
        return draw(st.sampled_from(SMALL[option.name]))
    if option.kind == "word":
        word = draw(st.sampled_from(option.words))
        return word if draw(st.integers(0, 19)) else word.upper()
    if option.kind in {"number", "whole"}:
        kept = harvested().get(option.flag, ())
        by_kind = wholes() if option.kind == "whole" else numbers()
        known = draw(st.integers(0, 2)) > 0
        return draw(st.sampled_from(kept) if kept and known else by_kind)
    return draw(grammatical(option))
