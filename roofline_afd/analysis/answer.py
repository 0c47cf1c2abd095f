"""What every analysis returns: columns of results, a summary, the inputs, and notes on what it rests on."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.catalogue.engines import IDEAL
from roofline_afd.catalogue.records import GIVEN, KINDS, Quantity, weakest_kind
from roofline_afd.documents import json_of
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.limits import LATENCY, MEMORY
from roofline_afd.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.serving.scenario import Scenario

SCHEMA = 1
"""Version of the form of answers as JSON."""
PARTS: dict[str, type] = {"inputs": dict, "results": list, "summary": dict, "notes": list, "picture": dict}
INFINITE = "infinite"
"""What JSON, which has no such number, holds for infinity."""
LARGEST_WHOLE = 2**63
"""Whole numbers from here on do not fit a column of them."""


def _plain(value: object) -> object:
    """Return a NumPy scalar as the Python value that JSON and CSV write."""
    return value.item() if isinstance(value, np.generic) else value


def object_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """Return rows as columns of plain values: the union of their keys, in order of first appearance.

    Parameters
    ----------
    rows : sequence of mapping
        Rows, not all with the same keys.

    Returns
    -------
    dict of str to array
        A column per key; None where a row lacks it.
    """
    columns = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        column = np.empty(len(rows), dtype=object)
        column[:] = [row.get(key) for row in rows]
        columns[key] = column
    return columns


class Decisive(str):
    """A note that can change what one decides: what was not counted, left out, estimated or set by hand.

    Terminals show these alone, the first few of them; files and `--why` have every note. Whoever makes a note
    says so, since nobody else knows.
    """

    __slots__ = ()


class Asked(Decisive):
    """A note that an option asked for: it is told whatever the others are."""

    __slots__ = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """A column of words, few of them different: an index into `words` per row."""

    codes: NDArray[np.int8]
    words: tuple[str, ...]

    def __iter__(self) -> Iterator[str]:
        """Give the word of each row."""
        return (self.words[code] for code in self.codes.tolist())


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer to one question, in the units the keys name; no number in it is rounded."""

    command: str
    inputs: dict[str, Any]
    columns: Mapping[str, NDArray[Any] | Words]
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    table_keys: tuple[str, ...] = ()
    """Keys a table shows, where all of them would be too many; files carry all."""
    table_rows: tuple[int, ...] | None = None
    """Rows a table shows, likewise."""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Files that are part of it, shown whole above the table; JSON has them in the summary."""
    picture: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What only a picture of it needs: names, thresholds, curves beside the rows; JSON can hold it."""

    def __post_init__(self) -> None:
        """Keep each note once: parts of an answer often say the same."""
        self.notes[:] = dict.fromkeys(self.notes)

    def rows(self) -> list[dict[str, Any]]:
        """Return the results row by row, as plain Python values."""
        names = list(self.columns)
        return [
            dict(zip(names, map(_plain, row), strict=True))
            for row in zip(*self.columns.values(), strict=True)
        ]

    def document(self, *, picture: bool = False) -> dict[str, Any]:
        """Return the answer as JSON holds it; with what its picture needs where asked for."""
        whole = {
            "schema": SCHEMA,
            "command": self.command,
            "version": __version__,
            "inputs": self.inputs,
            "results": self.rows(),
            "summary": self.summary,
            "notes": self.notes,
        }
        return whole | {"picture": self.picture} if picture else whole

    def json(self, *, picture: bool = False) -> str:
        """Return the answer as JSON, numbers unrounded; `read_answer` reads it back."""
        document = self.document(picture=picture)
        return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    def frame(self) -> pd.DataFrame:
        """Return the results as a table, numbers in numeric columns; `attrs` holds the rest.

        A column of tables in JSON, as `breakdown`, is a column for each of their keys: `breakdown.ffn_us`.
        """
        import pandas as pd  # 250 ms, only for those who want a table

        columns = {
            name: pd.Categorical.from_codes(value.codes, pd.Index(value.words))
            if isinstance(value, Words)
            else _typed(value)
            for key, column in self.columns.items()
            for name, value in _flat(key, column)
        }
        frame = pd.DataFrame(columns, copy=False)
        frame.attrs = {"summary": self.summary, "inputs": self.inputs, "notes": self.notes}
        return frame


def _flat(key: str, column: NDArray[Any] | Words) -> Iterator[tuple[str, NDArray[Any] | Words]]:
    """Yield a column, or one for each key of the tables in it, whatever their depth."""
    held = [] if isinstance(column, Words) or column.dtype != object else column.tolist()
    if not any(isinstance(value, dict) for value in held):
        yield key, column
        return
    for name, inner in object_columns([value or {} for value in held]).items():
        yield from _flat(f"{key}.{name}", inner)


def _typed(column: NDArray[Any]) -> Any:  # noqa: ANN401 - an array of NumPy or of pandas
    """Return a column of plain values as one of numbers or truth values, where it holds nothing else.

    Where a value is absent, numbers are NaN; whole numbers and truth values stay what they are, in the
    columns of pandas that know of absence. A column in which every value is absent is one of NaN.
    """
    if column.dtype != object:
        return column
    plain = [math.inf if value == INFINITE else _plain(value) for value in column.tolist()]
    present: list[Any] = [value for value in plain if value is not None]
    kinds = {type(value) for value in present}
    whole = len(present) == len(column)
    if kinds == {bool}:
        return column.astype(bool) if whole else _absent(column, "boolean")
    if kinds == {int} and max(map(abs, present)) < LARGEST_WHOLE:
        return column.astype(np.int64) if whole else _absent(column, "Int64")
    return np.array(plain, dtype=np.float64) if kinds <= {int, float} else column


def _absent(column: NDArray[Any], dtype: str) -> Any:  # noqa: ANN401 - an array of pandas
    import pandas as pd  # the caller has it loaded

    return pd.array(column.tolist(), dtype=dtype)


def read_answer(text: str | bytes, *, name: str) -> Answer:
    """Return the answer that JSON of this program holds.

    Parameters
    ----------
    text : str or bytes
        What `--format json` or `--save-answer` wrote.
    name : str
        How messages call where it comes from.

    Returns
    -------
    Answer
        The answer: what tables show of it is not kept.

    Raises
    ------
    InputError
        If it is no JSON, or no answer of a form this version knows.
    """
    held = json_of(text, name=name)
    if not isinstance(held, dict) or not isinstance(held.get("command"), str) or "schema" not in held:
        raise InputError(f"{name} is no answer of this program: write one with --format json")
    if held["schema"] != SCHEMA:
        raise InputError(f"{name} has schema {held['schema']!r:.20}; this version reads {SCHEMA}")
    parts = {part: held.get(part, kind()) for part, kind in PARTS.items()}
    faulty = [part for part, kind in PARTS.items() if not isinstance(parts[part], kind)]
    faulty = faulty or [
        part for part, kind in (("results", dict), ("notes", str)) if not _all(parts[part], kind)
    ]
    if faulty:
        raise InputError(f"{name}: {faulty[0]} of the answer is not what it should be")
    return Answer(
        command=held["command"],
        inputs=parts["inputs"],
        columns=object_columns(parts["results"]),
        summary=parts["summary"],
        notes=parts["notes"],
        picture=parts["picture"],
    )


def _all(values: Iterable[object], kind: type) -> bool:
    return all(isinstance(value, kind) for value in values)


def describe_inputs(scenario: Scenario, quantities: Iterable[Quantity]) -> dict[str, Any]:
    """Return the inputs of an answer: the question as understood, and each catalogue value with its source.

    Parameters
    ----------
    scenario : Scenario
        The question.
    quantities : iterable of Quantity
        Catalogue values the answer rests on.

    Returns
    -------
    dict
        Options by name, and `values`: key to value, unit, kind, source; of a key that several records have,
        those after the first under `id.key`.
    """
    named: dict[str, Quantity] = {}
    for value in quantities:
        owner = value.record.rpartition(" ")[2]
        named[f"{owner}.{value.key}" if value.key in named else value.key] = value
    return {
        "system": scenario.system.id,
        "model": scenario.model.id,
        **({"model_asked_as": scenario.model.asked_as} if scenario.model.asked_as else {}),
        "tpot_ms": scenario.latency_ms,
        "accept_length": scenario.accept_length,
        "gap_ms": scenario.gap_ms,
        "microbatches": scenario.microbatches,
        "attention_devices": scenario.attention_devices,
        "expert_precision": scenario.weights.id,
        "expert_operand_precision": scenario.operand,
        "dispatch_precision": scenario.dispatched.id,
        "combine_precision": scenario.combined.id,
        "fan_out": scenario.fan_out,
        "duplex": scenario.duplex,
        "links": scenario.links,
        "memory_reserve": scenario.reserve,
        "values": {
            name: {
                "value": value.value,
                "unit": value.unit,
                "kind": value.kind,
                "record": value.record,
                "source": value.source,
                "note": value.note,
            }
            for name, value in named.items()
        },
    }


def _together(experts: str, rest: str | None) -> str:
    """Return formats of experts and of the rest in words; `rest` is None where nothing asks for it."""
    if rest is None:
        return f"experts in {experts}"
    return f"weights in {experts}" if experts == rest else f"experts in {experts}, the rest in {rest}"


def formats_said(scenario: Scenario, *, stage: bool = False) -> str:
    """Return which formats of weights were taken by default, and whose they are; empty where all were given.

    Parameters
    ----------
    scenario : Scenario
        The question.
    stage : bool
        Whether it asks about routed experts alone.

    Returns
    -------
    str
        A clause.
    """
    ffn, mine = (attrs.evolve(scenario, system=scenario.side(side)) for side in ("ffn", "attention"))
    experts = None if scenario.expert_precision else ffn.weights.id
    rest = None if stage or scenario.attention_precision else mine.others.id
    if experts is None and rest is None:
        return ""
    said = _together(experts, rest) if experts else f"weights beside experts in {rest}"
    published = (ffn if experts else mine).checkpoint
    if published is None:
        return f"{said} by default"
    whose = scenario.model.vendor or "its maker"
    own = {published.experts if experts else None, published.rest if rest else None} - {None}
    if own == {experts, rest} - {None}:
        return f"{said} by default, as {whose} publishes them"
    return f"{said} by default, the nearest to what {whose} publishes"


def with_formats(sentence: str, *scenarios: Scenario, stage: bool = False) -> str:
    """Return an answer followed by what was taken by default: formats, engine, placement, in a sentence.

    Parameters
    ----------
    sentence : str
        An answer.
    *scenarios : Scenario
        The questions it answers.
    stage : bool
        As in `formats_said`.

    Returns
    -------
    str
        The answer.
    """
    text = _each(
        (
            *(formats_said(scenario, stage=stage) for scenario in scenarios),
            *(_engine_said(scenario) for scenario in (() if stage else scenarios)),
        )
    )
    return f"{sentence} {text[0].upper()}{text[1:]}." if text else sentence


def _engine_said(scenario: Scenario) -> str:
    """Return the engine, where it is none of those that exist, and how experts lie where nobody said."""
    even = scenario.routing == "balanced" or scenario.sigma_ep < 1.0 or not scenario.model.moe_layers
    taken = (
        "ideal engine" if scenario.engine.id == IDEAL else "",
        "experts levelled" if scenario.expert_placement is None and not even else "",
    )
    return ", ".join(filter(None, taken))


def refusal(reason: str, *scenarios: Scenario) -> InfeasibleError:
    """Return a "no" that names what was taken for granted where another choice could make it a "yes".

    Parameters
    ----------
    reason : str
        What binds, and the nearest value that does not.
    *scenarios : Scenario
        The questions it refuses.

    Returns
    -------
    InfeasibleError
        To be raised.
    """
    parts = (
        _each(formats_said(scenario) for scenario in scenarios),
        _each(_memory_said(scenario) for scenario in scenarios) if MEMORY in reason else "",
        _each(_pace_said(scenario) for scenario in scenarios) if LATENCY in reason else "",
    )
    said = "; ".join(filter(None, parts))
    return InfeasibleError(f"no: {reason}" + (f" ({said})" if said else ""))


def _each(clauses: Iterable[str]) -> str:
    """Return clauses one after the other, each once."""
    return "; ".join(filter(None, dict.fromkeys(clauses)))


def _memory_said(scenario: Scenario) -> str:
    """Return what fills memory beside weights, or is kept free, as it was taken by default."""
    cache = "--kv-precision bf16" if scenario.kv_precision == "bf16" else ""
    whose = "" if scenario.engine.id == IDEAL else f" as {scenario.engine.id} plans"
    kept = "" if scenario.memory_reserve is not None else f"--memory-reserve {scenario.reserve:g}{whose}"
    return ", ".join(filter(None, (cache, kept)))


def _pace_said(scenario: Scenario) -> str:
    """Return what sets the pace of a step, as it was taken by default."""
    ideal = scenario.engine.id == IDEAL
    engine = "--engine ideal, the best kernels that were measured" if ideal else ""
    tokens = "--accept-length 1" if scenario.accept_length == 1 else ""
    return ", ".join(filter(None, (tokens, engine)))


def _published(scenario: Scenario) -> str:
    """Return which checkpoint the formats taken by default go back to, and what else its maker publishes."""
    model, taken = scenario.model, scenario.checkpoint
    if taken is None:
        return f"; the record of {model.id} does not say in which formats its weights are published"
    whose = model.vendor or "its maker"
    others = (_together(each.experts, each.rest) for each in model.checkpoints if each != taken)
    also = "; ".join(dict.fromkeys(others))
    return (
        f"; {whose} publishes {_together(taken.experts, taken.rest)} ({taken.repository or model.id})"
        f"{f', and {also}' if also else ''}"
    )


def left_out(catalogue: Catalogue) -> list[str]:
    """Return the note on the faulty records that a catalogue is without, if there are any."""
    return [Decisive(catalogue.left_out)] if catalogue.left_out else []


def provenance_notes(scenario: Scenario, quantities: Iterable[Quantity]) -> list[str]:
    """Return the notes every answer owes its reader: defaults taken, values set, estimates, weakest kind.

    Parameters
    ----------
    scenario : Scenario
        The question.
    quantities : iterable of Quantity
        Catalogue values the answer rests on.

    Returns
    -------
    list of str
        One sentence each.
    """
    used = list(quantities)
    notes: list[str] = left_out(scenario.system.parts.catalogue)
    unset = [
        f"{name.replace('_', ' ')} {chosen.id}"
        for name, chosen in (
            ("expert_precision", scenario.weights),
            ("dispatch_precision", scenario.dispatched),
            ("combine_precision", scenario.combined),
        )
        if getattr(scenario, name) is None
    ]
    if scenario.model.asked_as:
        notes.append(f"{scenario.model.asked_as} is the record {scenario.model.id} (models show)")
    if unset:
        published = "" if scenario.expert_precision else _published(scenario)
        notes.append(f"taken by default: {', '.join(unset)}{published}")
    weights, peaks = scenario.weights, scenario.system.accelerator.peak_flop_per_s
    if weights.peak not in peaks:
        notes.append(
            f"{scenario.system.accelerator.id} does not multiply in {weights.id}: "
            f"weights are widened, and the product runs at the {scenario.operand} peak"
        )
    elif weights.peak != scenario.operand:
        notes.append(
            f"weights in {weights.id} are multiplied with vectors in {scenario.operand}: the product runs at "
            "the peak of those"
        )
    given = [value for value in used if value.kind == GIVEN]
    notes += [Decisive(f"set by the user: {value.key} = {value.value:g} ({value.note})") for value in given]
    notes += [
        Decisive(
            f"estimated: {value.key} = {value.value:g} of {value.record}"
            + (f" ({value.note})" if value.note else "")
        )
        for value in used
        if value.kind == "estimated"
    ]
    weakest = weakest_kind(used)
    if weakest in KINDS:
        keys = sorted({value.key for value in used if value.kind == weakest})
        notes.append(f"the weakest inputs are of kind {weakest}: {', '.join(keys)}")
    return notes
