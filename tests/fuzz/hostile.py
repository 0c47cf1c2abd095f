"""Strategies for hostile files: mutations of valid ones, and the questions that read them."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
import re
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.fuzz import samples
from tests.fuzz.questions import HERE, Case
from tests.fuzz.values import HOSTILE_NUMBERS, MARKUP

if TYPE_CHECKING:
    from collections.abc import Mapping

TOML = (
    *(
        "nan",
        "inf",
        "-inf",
        "-1",
        "0",
        "-0.0",
        "1e308",
        "1e-308",
        "1e309",
        "9" * 25,
        "9" * 5000,
        "1_0",
        "0x1F",
    ),
    *("true", '""', '" "', "[]", "{}", "[[]]", "1979-05-27", '"\\u0000"', '"\\u001b[31m"', f'"{MARKUP}"'),
    *(
        '"a|b"',
        '"=1+1"',
        "{ value = 1 }",
        '{ value = nan, kind = "reported" }',
        '["a", 1]',
        '"\\n"',
        '"h800"',
    ),
    *(
        '{ value = 0, kind = "estimated", source = "x" }',
        "1e-320",
        '"2 GB/s"',
        '"../x"',
        "[1e308, 1e308]",
        "-5",
    ),
)
JSON = (
    *("NaN", "Infinity", "-Infinity", "-1", "0", "-0.0", "1e308", "1e-308", "1e309", "9" * 25, "9" * 5000),
    *("true", "null", '""', "[]", "{}", "[[]]", '"\\u0000"', '"\\u001b[31m"', f'"{MARKUP}"', '"</script>"'),
    *(
        '"a|b"',
        '"=1+1"',
        '{"a": {"a": {}}}',
        '["a", 1]',
        '"\\ud800"',
        "0.5",
        "1",
        '"1"',
        "[" * 2000 + "]" * 2000,
    ),
)
CELLS = (
    *HOSTILE_NUMBERS,
    '"a,b"',
    '"',
    f'"{MARKUP}"',
    "=1+1",
    "@SUM(1)",
    "\x1b[31m",
    "a|b",
    "null",
    "h800",
    '"a\nb"',
)
LINES: Mapping[str, tuple[str, ...]] = {
    "toml": (
        *(
            "[a.b.c]",
            "x = 1",
            "[" * 500,
            "a" + ".a" * 500 + " = 1",
            "[sources.x]",
            "[[prices]]",
            "= 1",
            "x =",
            "\\",
        ),
        *('title = """', "schema = 2", 'record = "model"', 'id = "other"', "]", "# \u202e", "\x00", "x = {"),
    ),
    "json": ('"x": 1,', "}", "{", ",", "[", '"x": NaN,', "//", '"quantization_config": {"quant_method": 1},'),
    "csv": (
        "",
        ",",
        ",,,,,,,,,,,,,,,,,,,,,,,,,,",
        "#",
        '"',
        "1",
        "1,1",
        "nan,nan",
        "a" * 2000,
        "\t",
        "x,y,z",
        "1;1",
    ),
}
TOKENS = {"toml": TOML, "json": JSON, "csv": CELLS}
SCALARS = {
    "toml": r'(?<![\w"])-?\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w"])|"[^"\n]*"|\btrue\b|\bfalse\b',
    "json": r'-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w"])|"[^"\n]*"(?!\s*:)|\btrue\b|\bfalse\b|\bnull\b',
    "csv": r"(?<=[,\n])[^,\n]*(?=[,\n])",
}
KEYS = {"toml": r"(?m)^[\w.-]+(?= =)|(?<=[{,] )\w+(?= =)", "json": r'"[^"\n]*"(?=\s*:)', "csv": r"[^,\n]+"}


NAMES = {"toml": r'(?<=")[^"\n]+(?=")', "json": r'(?<=: ")[^"\n]*(?=")', "csv": r"(?<=\n)[^,\n]+(?=,)"}
"""Where files call things: strings, and the first column."""
_PLAIN = (
    MARKUP,
    "a|b",
    "</script>",
    "`x`",
    "[x](javascript:alert(1))",
    "=1+1",
    "@SUM(1)",
    "-1+1",
    "../x",
    "a" * 300,
)
CALLED = {
    "toml": (*_PLAIN, "\\u001b[31m", "\\u202e", "\\u0000", "\\n"),
    "json": (*_PLAIN, "\\u001b[31m", "\\u202e", "\\u0000", "\\n"),
    "csv": (*_PLAIN, "\x1b[31m", "\u202e", '"a\nb"', "\x9b31m"),
}
"""What nobody calls things."""


@st.composite
def mutated(draw: st.DrawFn, text: str, form: str, *, raw: bool = True) -> bytes:
    """Draw a mutation of a text.

    Parameters
    ----------
    draw : callable
        Hypothesis's own.
    text : str
        A valid file.
    form : str
        `toml`, `json` or `csv`.
    raw : bool
        Whether bytes may be damaged too.

    Returns
    -------
    bytes
        The file.
    """
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        how = draw(st.integers(0, 9))
        if how <= 3:
            text = _nearby(draw, text)
        elif how == 4:
            text = _replaced(draw, text, NAMES[form], st.sampled_from(CALLED[form]))
        elif how == 5:
            text = _replaced(draw, text, SCALARS[form], _token(form))
        elif how == 6:
            text = _replaced(
                draw, text, KEYS[form], st.sampled_from(("x", "", '"x"', "id", "value", "constructor"))
            )
        else:
            text = _line(draw, text, form, how)
    data = text.encode("utf-8", "surrogatepass")
    return _damaged(draw, data) if raw and draw(st.integers(0, 9)) == 0 else data


def _token(form: str) -> st.SearchStrategy[str]:
    extreme = st.one_of(
        st.integers(-5, 10**6).map(str), st.floats(1e-6, 1e12).map(lambda value: f"{value:.6g}")
    )
    return st.one_of(st.sampled_from(TOKENS[form]), extreme)


def _replaced(draw: st.DrawFn, text: str, pattern: str, token: st.SearchStrategy[str]) -> str:
    found = list(re.finditer(pattern, text))
    if not found:
        return text
    where = found[draw(st.integers(0, len(found) - 1))]
    return text[: where.start()] + draw(token) + text[where.end() :]


def _nearby(draw: st.DrawFn, text: str) -> str:
    """Return a text with one of its numbers another, such as it might be."""
    found = list(re.finditer(r"(?<![\w.\"-])\d+(?:\.\d+)?(?![\w.\"-])", text))
    if not found:
        return text
    where = found[draw(st.integers(0, len(found) - 1))]
    value = float(where[0])
    factors = (0.5, 2.0, 3.0, 0.1, 10.0, 1e3, 1e-3, 1e6)
    other = draw(st.one_of(st.sampled_from(factors).map(lambda by: value * by), st.just(value + 1)))
    token = f"{other:.0f}" if where[0].isdigit() and other >= 1 else f"{other:.6g}"
    return text[: where.start()] + token + text[where.end() :]


def _line(draw: st.DrawFn, text: str, form: str, how: int) -> str:
    lines = text.split("\n")
    at = draw(st.integers(0, len(lines) - 1))
    if how == 7:
        del lines[at]
    elif how == 8:
        lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
    else:
        lines.insert(at, draw(st.sampled_from(LINES[form])))
    return "\n".join(lines)


def _damaged(draw: st.DrawFn, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    return draw(
        st.sampled_from(
            (
                data[:at],
                data[:at] + b"\xff\xfe" + data[at:],
                data[:at] + b"\x00" + data[at:],
                b"\xef\xbb\xbf" + data,
                data.replace(b"\n", b"\r\n"),
                data.replace(b"\n", b"\r"),
                data.decode("utf-8", "replace").encode("utf-16"),
                gzip.compress(data, 1),
                gzip.compress(data, 1)[: max(at // 4, 12)],
                b"",
                b"\n" * 3000,
                data * 20,
            )
        )
    )


JSON_VALUES: tuple[Any, ...] = (
    *(-1, 0, 1, 2, 3, 0.5, 1e308, 5e-324, 10**19, 10**400, float("nan"), float("inf"), True, False, None, ""),
    *(
        " ",
        "a",
        MARKUP,
        "\x1b[31m",
        "\x00",
        "\u202e",
        "</script>",
        "=1+1",
        "a|b",
        "nan",
        "infinite",
        [],
        {},
        [[]],
    ),
    *([None], [1], ["a"], {"a": 1}, {"": {}}, "h800", "deepseek-v3", "ep", "afd", "a" * 3000, [0] * 300),
)


@st.composite
def mutated_json(draw: st.DrawFn, text: str) -> bytes:
    """Draw a mutation of JSON: mostly of values and keys within it, so that it is JSON still."""
    if draw(st.integers(0, 5)) == 5:
        return draw(mutated(text, "json"))
    held = json.loads(text)
    for _ in range(draw(st.sampled_from((1, 1, 2, 3)))):
        inner, key = held, None
        for _ in range(draw(st.integers(1, 4))):
            if not isinstance(inner, dict | list) or not inner:
                break
            parent, keys = inner, list(inner) if isinstance(inner, dict) else range(len(inner))
            key = draw(st.sampled_from(keys))
            inner = parent[key]
        if key is None:
            break
        how = draw(st.integers(0, 7))
        if how == 0:
            del parent[key]
        elif how == 1 and isinstance(parent, dict):
            parent[draw(st.sampled_from(("", "x", "a.b", MARKUP, "id", "mode", "feasible")))] = inner
        elif how <= 4 and isinstance(inner, int | float) and not isinstance(inner, bool):
            parent[key] = inner * draw(st.sampled_from((0, 2, 0.5, -1, 1000, 1e-3)))
        else:
            parent[key] = draw(st.sampled_from(JSON_VALUES))
    return json.dumps(held, indent=draw(st.sampled_from((None, 1)))).encode("utf-8", "surrogatepass")


KINDS = (
    "record",
    "model",
    "config",
    "trace",
    "operators",
    "services",
    "points",
    "scenario",
    "counts",
    "answer",
    "grid",
    "names",
)
"""Kinds of files."""
WEIGHTS = {"record": 4, "model": 3, "config": 4, "trace": 3, "scenario": 3, "answer": 3}
"""How often each comes; once where it is not named."""
HARDWARE, MODELS = ("--hardware-db", f"{HERE}/mine.toml"), ("--model-db", f"{HERE}/mine.toml")
SMALL_SEARCH = ("--max-devices", "16")
ONE = (("--system", "h800"), ("--model", "qwen3-235b-a22b"))


@functools.cache
def _using(part: str) -> tuple[str, str]:
    """Return a system that has a part, and one model."""
    texts = samples.records()
    quoted = f'"{part}"'
    own = (key for key, (kind, text) in texts.items() if kind == "system" and quoted in text)
    return next(own, "system h800").partition(" ")[2], "qwen3-235b-a22b"


def _asked(
    path: str, option: str, system: str, model: str
) -> tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]:
    base = (("--system", system), ("--model", model), (option, path))
    return (
        ("roofline", (*base, ("--ffn-nodes", "1:12"))),
        ("compare", (*base, SMALL_SEARCH)),
        ("predict", (*base, ("--devices", "64"), ("--batch", "16"))),
        (
            "predict",
            (
                *base,
                ("--mode", "afd"),
                ("--attention-devices", "16"),
                ("--ffn-devices", "32"),
                ("--batch", "8"),
            ),
        ),
        ("explore", (*base, ("--devices", "16"), ("--isl", "512"), ("--osl", "64"))),
        ("procure", (("--systems", system), *base[1:], ("--demand", "1e5"), SMALL_SEARCH)),
        ("what-if", (*base, SMALL_SEARCH, ("--change", "scale_out_gb_per_s=100"))),
        ("plot roofline", base),
    )


@st.composite
def hostile_files(draw: st.DrawFn, kind: str) -> Case:
    """Draw a hostile file of a kind and a question that reads it.

    Parameters
    ----------
    draw : callable
        Hypothesis's own.
    kind : str
        One of `KINDS`.

    Returns
    -------
    Case
        The question, with its file.
    """
    made = {
        "record": _record,
        "model": _record,
        "config": _config,
        "trace": _trace,
        "scenario": _scenario,
        "answer": _answer,
        "names": _named,
    }
    if kind in made:
        return draw(made[kind]() if kind != "model" else _record(models=True))
    return draw(_table(kind))


def _case(command: str, units: tuple[tuple[str, ...], ...], name: str, data: bytes) -> Case:
    return Case(command, units, {name: data})


@st.composite
def _record(draw: st.DrawFn, *, models: bool = False) -> Case:
    known = sorted(key for key, (kind, _) in samples.records().items() if (kind == "model") == models)
    key = draw(st.sampled_from(known))
    kind, text = samples.records()[key]
    text = f"replaces = true\n{text}"
    own = key.partition(" ")[2]
    option, shelf = ("--model-db", "models") if models else ("--hardware-db", "hardware")
    name = f"{own}.toml" if draw(st.integers(0, 3)) else f"db/{kind}s/{own}.toml"
    path = f"{HERE}/{name.partition('/')[0]}"
    system, model = ("h800", own) if models else _using(own)
    if kind == "engine":
        asked = tuple(
            (words, (*units, ("--engine", own))) for words, units in _asked(path, option, "h800", model)[1:5]
        )
    else:
        asked = _asked(path, option, own if kind == "system" else system, model)
    shown: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
        (f"{shelf} validate", ((option, path),)),
        (f"{shelf} show", ((own,), *(() if models else (("--kind", kind),)), (option, path))),
        (f"{shelf} list", ((option, path),)),
    )
    command, units = draw(st.one_of(st.sampled_from(asked), st.sampled_from(shown)))
    return _case(command, units, name, draw(mutated(text, "toml")))


@st.composite
def _config(draw: st.DrawFn) -> Case:
    data = draw(mutated_json(draw(st.sampled_from(samples.configs()))))
    more = draw(
        st.sampled_from(((), (("--id", "mine"),), (("--assume-format", "fp8"),), (("--id", MARKUP),)))
    )
    return _case("models import", ((f"{HERE}/config.json",), *more), "config.json", data)


@st.composite
def _trace(draw: st.DrawFn) -> Case:
    form = draw(st.sampled_from(("csv", "json")))
    text = samples.TRACE if form == "csv" else samples.LINES
    name = "trace.csv" if form == "csv" else "trace.jsonl"
    read = ("--trace", f"{HERE}/{name}")
    straight = ("--coefficients", "0.00165,50,0.083,100,0.022,20")
    short = (("--r", "1:2"), ("--requests", "200"), ("--replications", "1"))
    command, units = draw(
        st.sampled_from(
            (
                ("provision", (straight, read)),
                ("provision", (straight, read, ("--horizon", "100"))),
                ("simulate", (straight, read, *short)),
                ("simulate", (straight, read, *short, ("--replay", "in-order"))),
                ("explore", (*ONE, read, ("--devices", "8"), ("--modes", "agg"))),
                ("explore", (*ONE, read, ("--devices", "8"), ("--modes", "pd"), ("--request-rate", "trace"))),
                (
                    "procure",
                    (("--systems", "h800"), ONE[1], read, ("--requests-per-s", "trace"), SMALL_SEARCH),
                ),
            )
        )
    )
    return _case(command, units, name, draw(mutated(text, form)))


@st.composite
def _scenario(draw: st.DrawFn) -> Case:
    name = "scenario.toml"
    read = ("--scenario", f"{HERE}/{name}")
    command, units = draw(
        st.sampled_from(
            (
                ("compare", (read,)),
                ("roofline", (read, ("--ffn-nodes", "1:8"))),
                ("predict", (read, ("--devices", "64"), ("--batch", "8"))),
                ("explain", (("hfu",), read)),
                ("sweep", (read, ("--axis", "context=1k,2k"), ("--runner", "serial"))),
            )
        )
    )
    return _case(command, units, name, draw(mutated(samples.SCENARIO, "toml")))


@st.composite
def _answer(draw: st.DrawFn) -> Case:
    read = ("--from", f"{HERE}/kept.json")
    page = (("--output", f"{HERE}/a.html"), ("--force",))
    predicted, compared, _, explored, _, roofline, breakdown, procured = samples.answers()
    text, command, units = draw(
        st.sampled_from(
            (
                (explored, "load", (read, ("--requests", "200"))),
                (explored, "deploy", (("--for", "sglang"), read)),
                (predicted, "deploy", (("--for", "vllm"), read)),
                (compared, "deploy", (("--for", "vllm"), read, ("--folder", f"{HERE}/launch"))),
                (compared, "deploy", (("--for", "afd-plugin"), read)),
                (roofline, "plot roofline", (read,)),
                (roofline, "plot roofline", (read, *page)),
                (breakdown, "plot breakdown", (read, *page)),
                (procured, "plot procurement", (read, *page)),
                (procured, "plot procurement", (read,)),
            )
        )
    )
    return _case(command, units, "kept.json", draw(mutated_json(text)))


@st.composite
def _named(draw: st.DrawFn) -> Case:
    """Draw a valid file that calls one thing as nobody does."""
    records = samples.records()
    services, points = samples.rows_of("systems.csv", 2), samples.rows_of("serving_points.csv", 2)
    system, model = (records[key][1] for key in ("system h800", "model mixtral-8x7b"))
    mine, big = '"h800"', '"mixtral-8x7b"'
    shown = ("--system", "mine"), ("--model", "mixtral-8x7b"), ("--ffn-nodes", "1:2")
    name, form, text, command, units = draw(
        st.sampled_from(
            (
                ("a.csv", "csv", services, "validate", ((f"{HERE}/a.csv",),)),
                ("a.csv", "csv", points, "validate", (("--serving-points", f"{HERE}/a.csv"),)),
                ("mine.toml", "toml", system.replace(mine, '"mine"', 1), "roofline", (*shown, HARDWARE)),
                (
                    "mine.toml",
                    "toml",
                    system.replace(mine, '"mine"', 1),
                    "hardware show",
                    (("mine",), HARDWARE),
                ),
                ("mine.toml", "toml", system.replace(mine, '"mine"', 1), "hardware list", (HARDWARE,)),
                ("mine.toml", "toml", model.replace(big, '"mine"', 1), "models show", (("mine",), MODELS)),
                ("mine.toml", "toml", model.replace(big, '"mine"', 1), "models list", (MODELS,)),
            )
        )
    )
    data = _replaced(draw, text, NAMES[form], st.sampled_from(CALLED[form])).encode("utf-8", "surrogatepass")
    return dataclasses.replace(_case(command, units, name, data), every_form=True)


@st.composite
def _table(draw: st.DrawFn, kind: str) -> Case:
    name = f"{kind}.csv"
    path = f"{HERE}/{name}"
    texts = {
        "operators": samples.OPERATORS,
        "services": samples.rows_of("systems.csv"),
        "points": samples.rows_of("serving_points.csv"),
        "counts": samples.COUNTS,
        "grid": "context,tokens_per_s_per_device\n1024,900\n2048,800\n4096,700\n",
    }
    asked: Mapping[str, tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]] = {
        "operators": (
            ("calibrate", ((path,),)),
            ("calibrate", ((path,), ("--output", f"{HERE}/records"))),
            ("validate", (("--operators", path),)),
        ),
        "services": (("validate", ((path,),)),),
        "points": (("validate", (("--serving-points", path),)),),
        "counts": (
            (
                "predict",
                (
                    ("--system", "h800"),
                    ("--model", "deepseek-v3"),
                    ("--expert-counts", path),
                    ("--devices", "64"),
                ),
            ),
            ("imbalance", (("--attention-nodes", "2"), ("--ffn-nodes", "2"), ("--expert-counts", path))),
        ),
        "grid": (
            ("plot sweep", (("--file", path), ("--metric", "tokens_per_s_per_device"))),
            ("plot sweep", (("--file", path), ("--metric", "tokens_per_s_per_device"), ("--x", "context"))),
        ),
    }
    command, units = draw(st.sampled_from(asked[kind]))
    return _case(command, units, name, draw(mutated(texts[kind], "csv")))


def weighted() -> tuple[tuple[str, float], ...]:
    """Return every kind of file and its share."""
    whole = sum(WEIGHTS.get(kind, 1) for kind in KINDS)
    return tuple((kind, WEIGHTS.get(kind, 1) / whole) for kind in KINDS)
