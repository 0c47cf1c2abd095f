"""How traces spell prompt, output and time of a request: columns, paths into objects, lists of whole runs."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.errors import InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

CHARACTERS_PER_TOKEN = 4
"""Of texts without counts of tokens: about so many in English (OpenAI help centre, "What are tokens"), an
estimate [1]."""
NESTED = "."
"""Between the names of a path into objects."""


class Columns(NamedTuple):
    """Where a request says how long prompt and output are, and when it came; paths, joined by points."""

    prompt: str | None = None
    decode: str | None = None
    time: str | None = None


class Form(NamedTuple):
    """One way of writing: columns, and how many units of time a second has; None where times are dates."""

    columns: Columns
    per_second: float | None = None


FORMS = (
    Form(Columns("ContextTokens", "GeneratedTokens", "TIMESTAMP")),
    Form(Columns("input_length", "output_length", "timestamp"), 1e3),
    Form(Columns("Request tokens", "Response tokens", "Timestamp"), 1.0),
    Form(Columns("usage.prompt_tokens", "usage.completion_tokens", "created"), 1.0),
    Form(Columns("usage.input_tokens", "usage.output_tokens", "created_at"), 1.0),
    Form(
        Columns(
            "metrics.input_sequence_length.value",
            "metrics.output_sequence_length.value",
            "metadata.request_start_ns",
        ),
        1e9,
    ),
    Form(Columns("prompt_tokens", "completion_tokens", "created"), 1.0),
    Form(Columns("prompt_tokens", "output_tokens", "start_time"), 1.0),
    Form(Columns("input_tokens", "output_tokens", "created_at"), 1.0),
    Form(Columns("prompt_len", "output_len", "start_time"), 1.0),
)
"""Azure, Mooncake, BurstGPT, usage as OpenAI's interfaces tell it, AIPerf, GuideLLM, and their like."""
RUN = ("input_lens", "output_lens")
"""Lists of a whole run, as `vllm bench serve` and SGLang's benchmark save it."""
STARTS = ("start_times", "timestamps")
"""Lists of its times, where there are any [s]."""
LISTS = ("requests", "data", "records", "results", "successful")
"""Fields of an object that hold its requests."""
OPTIONS = Columns("--prompt-column", "--decode-column", "--time-column")


def wanted() -> str:
    """Return what a trace may be like, in words."""
    first, second = (form.columns for form in FORMS[:2])
    return f"columns {first.prompt} and {first.decode}, or {second.prompt} and {second.decode}"


def form_of(held: Collection[str] | dict[str, Any], name: str, columns: Columns, *, timed: bool) -> Form:
    """Return the form of a file by the columns it has, those that the question names first.

    Parameters
    ----------
    held : collection of str or dict
        Names of columns, or the first object.
    name : str
        Name of the file.
    columns : Columns
        What the question names.
    timed : bool
        Whether times are needed.

    Returns
    -------
    Form
        Where to look: lengths, or where times are needed these alone.

    Raises
    ------
    InputError
        If a column is not there, or none is known.
    """

    def has(path: str | None) -> bool:
        return path is not None and (at(held, path) is not None if isinstance(held, dict) else path in held)

    for given, named in zip(columns, OPTIONS, strict=True):
        if given is not None and not has(given):
            raise InputError(f"{named} {shown(given)} is no column of {name}{nearest(given, list(held))}")
    known = [form for form in FORMS if has(form.columns.prompt) and has(form.columns.decode)]
    if timed:
        found = next((form for form in (*known, *FORMS) if has(form.columns.time)), Form(Columns()))
        if columns.time is not None:
            return Form(Columns(time=columns.time))
        if found.columns.time is None:
            raise InputError(
                f"{name} has no column of times, as {FORMS[0].columns.time} or timestamp, to tell a rate "
                f"from: name one with {OPTIONS.time}, or give a number"
            )
        return Form(Columns(time=found.columns.time), found.per_second)
    own = known[0].columns if known else Columns()
    prompt, decode = columns.prompt or own.prompt, columns.decode or own.decode
    if prompt is None or decode is None:
        raise InputError(
            f"{name} lacks {wanted()}, or another known pair; or name yours with {OPTIONS.prompt} and "
            f"{OPTIONS.decode}"
        )
    return Form(Columns(prompt, decode))


def at(held: Any, path: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return what an object holds at a path, as a name of its own or through objects; None where nothing."""
    if isinstance(held, dict) and path in held:
        return held[path]
    for name in path.split(NESTED):
        if not isinstance(held, dict):
            return None
        held = held.get(name)
    return held


def seconds(value: object, per_second: float | None) -> float:
    """Return a time in seconds: a date, or a number in known units, or in those that its size tells.

    Parameters
    ----------
    value : object
        As a cell or a field holds it.
    per_second : float, optional
        Units that a second has; where absent numbers beyond 1e17, 1e14 and 1e11 are of ns, us and ms since
        1970, others seconds.

    Returns
    -------
    float
        Time from any origin [s].

    Raises
    ------
    ValueError
        If it is neither.
    """
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return _date(text)
    if not math.isfinite(number):
        raise ValueError(text)
    if per_second is None:
        per_second = next((unit for unit in (1e9, 1e6, 1e3) if abs(number) > unit * 1e8), 1.0)
    return number / per_second


def _date(text: str) -> float:
    """Return the time of a date, with an offset or in UTC, whose second may have any number of digits [s]."""
    found = re.fullmatch(r"(.*?)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?", text, re.DOTALL)
    assert found is not None  # noqa: S101 - every text matches
    whole, part, offset = found.groups()
    zone = offset.replace("Z", "+00:00") if offset else ""
    date = datetime.fromisoformat(whole + zone)
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() + float(part or 0)


def whole_runs(held: Any) -> Iterator[dict[str, Any]] | None:  # noqa: ANN401 - whatever JSON holds
    """Return the requests of a JSON document that holds many, an object each; None where it is one request.

    Parameters
    ----------
    held : object
        A list of requests or conversations, a run with lists of lengths, or an object around a list.

    Returns
    -------
    iterator of dict or None
        Requests.
    """
    if isinstance(held, list):
        return (each for one in held for each in _requests(one))
    if not isinstance(held, dict):
        return None
    if all(isinstance(held.get(key), list) for key in RUN):
        return _of_run(held)
    if isinstance(held.get("benchmarks"), list):  # GuideLLM: several rates, one after another
        return (each for one in held["benchmarks"] for each in whole_runs(one) or ())
    for key in LISTS:
        inner = held.get(key)
        if isinstance(inner, dict | list):
            found = whole_runs(inner)
            if found is not None:
                return found
    return None


def _of_run(held: dict[str, Any]) -> Iterator[dict[str, Any]]:
    prompts, outputs = (held[key] for key in RUN)
    starts: list[Any] = next((held[key] for key in STARTS if isinstance(held.get(key), list)), [])
    for place, (prompt, output) in enumerate(zip(prompts, outputs, strict=False)):
        found = {"prompt_len": prompt, "output_len": output}
        yield found | ({"start_time": starts[place]} if place < len(starts) else {})


def _requests(held: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - whatever JSON holds
    """Yield one request as it is, or those of a conversation: each answer, with all the text before it."""
    turns = held.get("conversations") if isinstance(held, dict) else None
    if not isinstance(turns, list):
        yield held
        return
    before = 0
    for turn in turns:
        text = turn.get("value", turn.get("content")) if isinstance(turn, dict) else None
        speaker = turn.get("from", turn.get("role")) if isinstance(turn, dict) else None
        length = -(-len(text) // CHARACTERS_PER_TOKEN) if isinstance(text, str) else 0
        if speaker in ("gpt", "assistant", "model", "chatgpt", "bing", "bard") and before:
            yield {"prompt_len": before, "output_len": length}
        before += length


def is_texts(held: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
    """Return whether a document holds conversations, whose tokens are only estimated."""
    return isinstance(held, list) and any(
        isinstance(one, dict) and "conversations" in one for one in held[:9]
    )


def parsed(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return a JSON document, None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
