"""What every answer must hold, whatever was asked: the contract of the command line, and what figures obey.

One object collects what was looked at and what did not hold; the campaign and the tests use the same.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.view.columns import column
from tests.fuzz.values import MARKUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.fuzz.asking import Outcome

ROUNDING = 1e-9
"""Relative error of what sums and products of the program may leave [1]."""
SHARE = re.compile(
    r"hfu\w*|best_hfu|ofu|\w*_busy|\w*_idle|\w*_utilization|\w*_share|probability_\w+|within_limits"
)
"""Keys of shares: from 0 to 1."""
AMOUNT = re.compile(
    r"\w*_(?:ms|us|gb|kw|usd|devices|replicas|nodes|domains)|n_\w+|batch_\w+|microbatches|step_ms|tokens_per_\w+"
    r"|usd_per_\w+|requests_per_s|concurrent_requests|watts_per_\w+|memory_gb|throughput_per_instance"
)
"""Keys of what cannot be below 0."""
SIGNED = ("validate", "what-if", "sensitivity", "calibrate")
"""Commands whose answers hold differences under such keys."""
ERROR = "roofline-afd: error: "
BESIDE = re.compile(r"note: |wrote |\d+ (?:more )?notes?: --why")
"""What lines on standard error begin with, beside that of an error."""
IDLE = "idle ones too"
"""What a note says where tokens are counted over devices that stand idle, and are not among those named."""
WITHHELD = ("tpot_ms", "tokens_per_s_per_device", "tokens_per_s_per_user", "hfu_all_devices")


class Fault(NamedTuple):
    """Something that did not hold."""

    check: str
    text: str


class Findings:
    """What was looked at, and what did not hold."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.checks: Counter[str] = Counter()

    def expect(self, check: str, holds: object, text: str = "") -> None:
        """Take note of a check, and of what did not hold."""
        self.checks[check] += 1
        if not holds:
            self.faults.append(Fault(check, text[:400]))


def contract(found: Findings, outcome: Outcome) -> None:
    """Check how a command ended and what it said: status, standard error, nothing that controls terminals."""
    found.expect("within the time limit", not outcome.hung, f"no answer after {outcome.seconds:.0f} s")
    found.expect(
        "within the memory limit", outcome.grown_mb < outcome.most_mb, f"{outcome.grown_mb:.0f} MB more"
    )
    if outcome.hung:
        return
    found.expect("exit status 0, 1 or 2", outcome.status in {0, 1, 2}, outcome.raised or outcome.err)
    errors = [line for line in outcome.err.splitlines() if not BESIDE.match(line)]
    unsafe = [char for char in outcome.err if not (char.isprintable() or char == "\n")]
    found.expect("no control characters on stderr", not unsafe, repr(outcome.err))
    if outcome.status == 2:
        one = len(errors) == 1 and errors[0].startswith(ERROR) and len(errors[0]) > len(ERROR)
        found.expect("one line on stderr for exit 2", one, outcome.err)
        found.expect("no answer beside exit 2", not outcome.out, outcome.out[:200])
    if outcome.status == 1:
        found.expect("the binding constraint is named for exit 1", _why_not(errors, outcome), outcome.err)
    if outcome.status == 0:
        found.expect("no error beside exit 0", not errors, outcome.err)


def _why_not(errors: Sequence[str], outcome: Outcome) -> bool:
    """Return whether a "no" says why: in one line, or in an answer that names what is faulty."""
    if outcome.out:
        return "fault" in outcome.out or "binding" in outcome.out
    if outcome.err.startswith("wrote "):  # the answer, which says it
        return True
    return len(errors) == 1 and bool(re.match(ERROR + r".{20}", errors[0]))


def strict_json(found: Findings, text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return what JSON holds; a fault where it is none, or has numbers that JSON has not."""

    def refuse(word: str) -> object:
        raise ValueError(f"{word} is no JSON")

    def pairs(given: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in given}) != len(given):
            raise ValueError("a key stands twice")
        return dict(given)

    try:
        held = json.loads(text, parse_constant=refuse, object_pairs_hook=pairs)
        text.encode()
    except ValueError as error:
        found.expect("strict JSON", holds=False, text=f"{error}: {text[:200]}")
        return None
    found.expect("strict JSON", holds=True)
    return held


def _figures(value: object, key: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of a document under its key."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _figures(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _figures(inner, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value


def invariants(found: Findings, answer: Mapping[str, Any], *, tpot_given: bool = True) -> None:
    """Check what the figures of an answer obey.

    Parameters
    ----------
    found : Findings
        Takes note.
    answer : mapping
        An answer as JSON holds it.
    tpot_given : bool
        Whether a time per output token was asked for: one deployment and serving modes have no limit without.
    """
    command, rows, inputs = answer["command"], answer["results"], answer["inputs"]
    serving = command in {"compare", "predict"}
    idle = any(IDLE in note for note in answer["notes"])
    for row in rows:
        if row.get("feasible") is False:
            _refused(found, row, serving=serving)
            continue
        _ranges(found, command, row)
        if serving:
            _one_deployment(found, row, inputs, limited=command == "compare" or tpot_given, idle=idle)
        elif command == "explore":
            _one_mode(found, row, inputs)
        elif command == "procure" and tpot_given:
            _within(found, row, inputs, limited=True)
    _ranges(found, command, answer["summary"])
    if command == "explore" and answer["summary"].get("best_under_slo"):
        _within(found, answer["summary"]["best_under_slo"], inputs, limited=tpot_given)


def _refused(found: Findings, row: Mapping[str, Any], *, serving: bool) -> None:
    found.expect("a no names what binds", row.get("binding") or row.get("regime"), str(row)[:200])
    if serving:
        shown = [key for key in WITHHELD if row.get(key) is not None]
        found.expect("no figures of what cannot be", not shown, str(shown))


def _ranges(found: Findings, command: str, held: Mapping[str, Any]) -> None:
    for key, value in _figures(held):
        if SHARE.fullmatch(key):
            found.expect("shares and HFU from 0 to 1", -ROUNDING <= value <= 1 + ROUNDING, f"{key} = {value}")
        elif AMOUNT.fullmatch(key) and command not in SIGNED:
            found.expect("no amount below 0", value >= -ROUNDING, f"{key} = {value}")


def _within(found: Findings, row: Mapping[str, Any], inputs: Mapping[str, Any], *, limited: bool) -> None:
    tpot, limit = row.get("tpot_ms"), inputs.get("tpot_ms")
    if limited and tpot is not None and limit is not None:
        found.expect("TPOT within what was asked", tpot <= limit * (1 + ROUNDING), f"{tpot} ms of {limit}")
    ttft, limit = row.get("ttft_ms"), inputs.get("ttft_ms")
    if ttft is not None and limit is not None:
        found.expect("TTFT within what was asked", ttft <= limit * (1 + ROUNDING), f"{ttft} ms of {limit}")


def _one_deployment(
    found: Findings, row: Mapping[str, Any], inputs: Mapping[str, Any], *, limited: bool, idle: bool
) -> None:
    _within(found, row, inputs, limited=limited)
    tokens, tpot, devices = (row[key] for key in ("tokens_per_s_per_device", "tpot_ms", "n_devices"))
    if tokens is None or tpot is None or devices is None:
        return
    in_flight = row["batch_per_device"] * (row.get("n_attention_devices") or devices)
    in_flight *= inputs.get("sigma_dp", 1.0)  # of the fullest device, at most
    said = f"{tokens} tokens/s x {devices} x {tpot} ms, of {in_flight} sequences"
    held = tokens * devices * tpot * 1e-3
    found.expect("Little's law", held <= in_flight * (1 + 1e-6) if idle else _same(held, in_flight), said)
    found.expect("a user sees 1 / TPOT", _same(row["tokens_per_s_per_user"] * tpot, 1e3), said)
    for side in ("memory", "ffn_memory"):
        parts = row.get(side)
        if parts:
            room = parts["driver_gb"] - parts["reserve_gb"]
            held = row[f"{side}_gb"]
            said = f"{side}: {held} GB of {room}, {parts['free_gb']} free"
            fits = held <= room * (1 + 1e-6) and parts["free_gb"] >= -1e-6 * parts["driver_gb"]
            found.expect("memory held within memory", fits, said)
            found.expect("parts of memory add up", _same(sum(parts.values()), 2 * parts["driver_gb"]), said)


def _one_mode(found: Findings, row: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    whole, each, devices = row.get("tokens_per_s"), row.get("tokens_per_s_per_device"), inputs.get("devices")
    if whole is None or each is None:
        return
    said = f"{row['mode']}: {whole} tokens/s, {each} a device, {row.get('concurrent_requests')} at once"
    if devices:  # those bought, idle ones too
        found.expect("devices add up", _same(whole, each * devices), said)
    if row.get("requests_per_s") is not None and inputs.get("osl"):
        found.expect("requests times their tokens", _same(row["requests_per_s"] * inputs["osl"], whole), said)
    if row.get("concurrent_requests") is not None and row.get("tpot_ms"):
        found.expect("Little's law", _same(row["concurrent_requests"], whole * row["tpot_ms"] * 1e-3), said)


def _same(one: float, other: float, rounding: float = 1e-6) -> bool:
    return math.isclose(one, other, rel_tol=rounding, abs_tol=rounding)


def formats(found: Findings, answer: Mapping[str, Any], texts: Mapping[str, str]) -> None:
    """Check that csv, markdown and table carry the figures of the JSON.

    Parameters
    ----------
    found : Findings
        Takes note.
    answer : mapping
        The answer as JSON holds it.
    texts : mapping of str to str
        The same answer by format.
    """
    if answer["command"].endswith(" show"):
        return  # a record's keys run downwards, with their provenance
    rows = [dict(_flat(row)) for row in answer["results"]]
    held = list(csv.reader(io.StringIO(texts["csv"])))
    keys, body = held[0], held[1:]
    found.expect("csv has a line per row", len(body) == len(rows), f"{len(body)} of {len(rows)}")
    for row, line in zip(rows, body, strict=False):
        wrong = [key for key, cell in zip(keys, line, strict=True) if not _cell_is(cell, row.get(key))]
        found.expect("csv carries the figures of JSON", not wrong, f"{wrong}: {line}"[:300])
    shown = [[_shown(row, key) for key in keys] for row in rows]
    plain = [[_bare(cell) for cell in line] for line in shown]
    lines = [line for line in texts["markdown"].splitlines() if line.startswith("| ")][1:]
    cells = [[_bare(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    if answer["command"] == "what-if":  # a metric a row, in words
        cells = [["", *line[1:]] for line in cells]
        plain = [["", *line[1:]] for line in plain]
    strange = [line for line in cells if line not in plain]
    found.expect("markdown carries the figures of JSON", not strange, str(strange[:1]))
    table = _bare(texts["table"])
    absent = [cell for line in cells for cell in line if cell and cell not in table]
    found.expect("the table carries the figures of markdown", not absent, str(absent[:3]))


def _shown(row: Mapping[str, Any], key: str) -> str:
    """Return a cell as it is shown: numbers of a metric that stands in the row as those of the metric."""
    metric = str(row["metric"]).partition(".")[2] or str(row["metric"]) if "metric" in row else ""
    named = metric if metric and key in {"before", "after", "change"} else key
    return str(column(named).show(row.get(key)))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        inner = value
        if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
            inner = {str(index): each for index, each in enumerate(value)}
        if isinstance(inner, dict) and inner:
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _bare(text: str) -> str:
    """Return a text without what formats do to it: escapes, breaks, marks of estimates."""
    for escaped, plain in (("&lt;", "<"), ("\\|", "|"), ("\u2020", "")):
        text = text.replace(escaped, plain)
    return re.sub(r"\W+", "", text)


def _cell_is(cell: str, value: object) -> bool:
    if value is None or value in ({}, []):
        return cell == ""
    if isinstance(value, bool):
        return cell in {str(value), str(value).lower()}
    if isinstance(value, int | float):
        try:
            return float(cell) == value
        except ValueError:
            return False
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return cell.lstrip("'") == text.lstrip("'")


def escaped(found: Findings, form: str, text: str) -> None:
    """Check that names and texts of others are escaped: on terminals, in markdown, csv and pages."""
    if form == "terminal":
        unsafe = sorted({char for char in text if not (char.isprintable() or char in "\n\t")})
        found.expect("nothing controls a terminal", not unsafe, repr(unsafe))
    elif form == "markdown":
        prose = re.sub(r"(?ms)^```.*?^```$", "", text)
        found.expect("no element in markdown", not re.search(r"<[A-Za-z/!?]", prose), prose[:300])
    elif form == "html":
        found.expect("no markup of others in a page", MARKUP not in text, "the name of a file or record")
    elif form == "csv":
        runs = [cell for line in csv.reader(io.StringIO(text)) for cell in line if _runs(cell)]
        found.expect("no formula in csv", not runs, str(runs[:3]))


def _runs(cell: str) -> bool:
    """Return whether a spreadsheet would run a cell."""
    if cell[:1] not in {"=", "+", "-", "@", "\t", "\r"}:
        return False
    return not re.fullmatch(r"[+-]?(\d[\d.,_:/ e+-]*|inf|nan)?[%\w ]*", cell)


def best(answer: Mapping[str, Any]) -> dict[str, float]:
    """Return the largest throughput of a device, by mode."""
    found: dict[str, float] = {}
    for row in answer["results"]:
        value = row.get("tokens_per_s_per_device")
        if row.get("feasible", True) and value is not None:
            found[row["mode"]] = max(found.get(row["mode"], 0.0), value)
    return found


def no_worse(
    found: Findings, check: str, before: Mapping[str, Any], after: Mapping[str, Any] | None, said: str
) -> None:
    """Check that looser limits, or more of a resource, left no mode with less throughput of a device."""
    were, are = best(before), {} if after is None else best(after)
    worse = [
        f"{mode}: {value} -> {are.get(mode)}"
        for mode, value in were.items()
        if are.get(mode, 0.0) < value * (1 - ROUNDING)
    ]
    found.expect(check, not worse, f"{said}: {'; '.join(worse)}")
