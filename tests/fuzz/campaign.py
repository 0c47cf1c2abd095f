"""Questions drawn in blocks, each asked and checked; what does not hold is brought down to a short one."""

from __future__ import annotations

import dataclasses
import math
import os
import random
import re
import shlex
import shutil
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz import checker, samples
from tests.fuzz.asking import LIMIT_S, Outcome, asked, place, surroundings
from tests.fuzz.checker import Findings
from tests.fuzz.hostile import hostile_files
from tests.fuzz.questions import HERE, Case, questions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hypothesis.strategies import SearchStrategy

AGAIN, EVERY_FORMAT = 1 / 10, 1 / 10
"""Shares of questions with an answer that are asked again, and in every format."""
LOOSER = {"compare": 1 / 5, "predict": 1.0}
"""Commands whose questions are asked with looser limits, or more of a resource, and the share of those."""
SIZE = 50
"""Questions of a block."""
TOGETHER = 5
"""Cases drawn as one list."""
ESCAPED = ("terminal", "markdown", "csv")
"""Formats in which names are escaped; pages are looked at wherever they are written."""
TRIES = 40
"""Questions asked to bring one down that does not hold."""
MORE = 1.5
"""How much looser a limit is made, or more of a resource is given."""
LONGEST_MS, MOST_DEVICES = 1e6, 32
"""Looser limits than these are not asked for."""
RESOURCES = ("memory_gb", "memory_gb_per_s", "scale_out_gb_per_s", "scale_up_gb_per_s")
"""Catalogue values of which more is never worse."""


@dataclasses.dataclass(frozen=True)
class Block:
    """Questions drawn together: of a command, or that read hostile files of a kind."""

    about: str
    files: bool
    seed: int
    count: int


@dataclasses.dataclass
class Violation:
    """Something that did not hold, with a short command line that shows it."""

    check: str
    text: str
    line: str
    files: dict[str, str]
    block: Block
    number: int
    """Which question of the block."""


@dataclasses.dataclass
class Report:
    """What a block came to."""

    about: str
    files: bool
    exits: Counter[int] = dataclasses.field(default_factory=Counter)
    checks: Counter[str] = dataclasses.field(default_factory=Counter)
    violations: list[Violation] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0
    slowest_line: str = ""


def drawn(strategy: SearchStrategy[Case], number: int, count: int) -> list[Case]:
    """Return cases of a strategy: the same for the same seed.

    They come in short lists, of which only the second is taken: the first that Hypothesis draws is the
    simplest, and those after the second are mutations of it, which ask nearly the same.
    """
    cases: list[Case] = []
    while len(cases) < count:
        lists: list[list[Case]] = []

        @seed(number * 1000 + len(cases))
        @settings(
            max_examples=2,
            database=None,
            phases=[Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(strategy, min_size=TOGETHER, max_size=TOGETHER))
        def collect(drawn_: list[Case]) -> None:
            lists.append(drawn_)  # noqa: B023 - called before the next turn

        collect()
        cases += lists[-1]
    return cases[:count]


class Asker:
    """A folder with samples, in which questions are asked and checked."""

    def __init__(self, folder: Path, *, limit_s: float = LIMIT_S, kept: bool = True) -> None:
        self.root = folder
        self.limit_s = limit_s
        self.samples = folder / "samples"
        samples.write(self.samples, kept=kept)

    def ask(self, case: Case, *more: str, terminal: bool = False) -> tuple[Outcome, Path]:
        """Ask a question in a folder of its own; the folder is left for what is looked at in it."""
        here = self.root / "a" / "b" / "here"  # so deep that no ../.. leaves it
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(self.samples, here, copy_function=os.link)
        for name, data in case.files.items():
            path = here / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(data)
        os.chdir(here)
        return asked([*case.words(str(here)), *more], terminal=terminal, limit_s=self.limit_s), here

    def check(self, case: Case, chance: random.Random) -> tuple[Findings, Outcome]:
        """Ask and check a question, and what follows from it."""
        found = Findings()
        form = self.form(case, chance)
        outcome, here = self.ask(case, *_format(form), terminal=form == "terminal")
        checker.contract(found, outcome)
        if outcome.hung or outcome.status not in {0, 1}:
            return found, outcome
        if form in {"terminal", "csv", "markdown"}:
            checker.escaped(found, form, outcome.out)
        for other in ESCAPED if case.every_form else ():
            text = self.ask(case, *_format(other), terminal=other == "terminal")[0].out
            checker.escaped(found, other, text)
        for page in (*here.glob("a.htm*"), *here.glob("a.md")):
            checker.escaped(found, "html" if page.suffix == ".html" else "markdown", page.read_text("utf-8"))
        if outcome.out and (form == "json" or (not form and outcome.out.startswith("{"))):
            answer = checker.strict_json(found, outcome.out)
            if form == "json" and answer is not None:
                self._answered(found, case, answer, outcome, chance)
        return found, outcome

    def understood(self, case: Case, number: int) -> tuple[Findings, Outcome]:
        """Ask and check a question; an answer that the checker stumbles over is a fault, of either."""
        try:
            return self.check(case, random.Random(number))
        except Exception as error:  # noqa: BLE001 - whatever it is
            found = Findings()
            outcome, _ = self.ask(case)
            found.expect("the checker understands the answer", holds=False, text=place(error))
            return found, outcome

    def form(self, case: Case, chance: random.Random) -> str:
        """Return the format that a question is asked in; empty where it has none, or a suffix says it."""
        flags = {unit[0] for unit in case.units}
        if case.command.startswith("plot ") or case.command == "report" or "--output" in flags:
            return ""
        if flags & {"--columns", "--all-columns"}:
            return chance.choice(("csv", "markdown", "terminal"))
        return chance.choice(("json", "csv", "markdown", "terminal")) if case.files else "json"

    def _answered(
        self, found: Findings, case: Case, answer: dict[str, Any], outcome: Outcome, chance: random.Random
    ) -> None:
        given = {unit[0] for unit in case.units}
        scenario = "--scenario" in given
        if "--from" not in given:  # what a file says is not this program's
            checker.invariants(found, answer, tpot_given="--tpot-ms" in given or scenario)
        if chance.random() < AGAIN:
            again, _ = self.ask(case, "--format", "json")
            found.expect(
                "asked twice, the same answer", again.out == outcome.out, _differing(outcome.out, again.out)
            )
        if chance.random() < EVERY_FORMAT and "--frontier" not in given:
            texts = {form: self.ask(case, "--format", form)[0].out for form in ("csv", "markdown", "table")}
            checker.formats(found, answer, texts)
        if outcome.status == 0 and chance.random() < LOOSER.get(case.command, 0.0):
            for check, changed, said in loosened(case, answer, chance):
                after, _ = self.ask(changed, "--format", "json")
                found_after = checker.strict_json(Findings(), after.out) if after.out else None
                checker.no_worse(found, check, answer, found_after, said)

    def brought_down(self, case: Case, check: str, seed_: int) -> Case:
        """Return a shorter question with the same fault: options are left out one by one."""
        tries = iter(range(TRIES))

        def still(other: Case) -> bool:
            if next(tries, None) is None:
                return False
            try:
                found, _ = self.check(other, random.Random(seed_))
            except Exception:  # noqa: BLE001 - a question that this can no longer check
                return False
            return any(fault.check == check for fault in found.faults)

        for unit in reversed(case.units):
            other = dataclasses.replace(case, units=tuple(each for each in case.units if each is not unit))
            if still(other):
                case = other
        return case


def loosened(case: Case, answer: dict[str, Any], chance: random.Random) -> Iterator[tuple[str, Case, str]]:
    """Yield a question with a looser limit, or more of a resource: what is checked, the question, in words.

    Only what the model guarantees: a search over the same deployments and more of them, or one in which no
    term takes longer.
    """
    inputs = answer["inputs"]
    flags = {unit[0] for unit in case.units}
    if flags & {"--scenario", "--largest-batch", "--largest-context"}:
        return  # a file may say more; the largest of either is another one
    ways: list[tuple[str, str, str]] = []
    if case.command == "compare":
        tpot, devices = inputs["tpot_ms"] * MORE, 2 * inputs["max_devices"]
        if tpot < LONGEST_MS:
            ways.append(("a longer TPOT is never worse", "--tpot-ms", f"{tpot}"))
        if "--devices" not in flags and devices <= MOST_DEVICES:
            ways.append(("more devices are never worse", "--max-devices", f"{devices}"))
    sides = {inputs.get("attention_system"), inputs.get("ffn_system"), inputs["system"]}
    if not flags & {"--set", "--base-set"} and len(sides - {None}) == 1:
        for key in RESOURCES:
            value = inputs["values"].get(key, {}).get("value")
            if value is not None:
                ways.append((f"more {key} is never worse", "--set", f"{key}={value * MORE}"))
    for check, flag, value in chance.sample(ways, min(len(ways), 1)):
        units = tuple(unit for unit in case.units if unit[0] != flag)
        yield check, dataclasses.replace(case, units=(*units, (flag, value))), f"{flag} {value}"


def _differing(one: str, other: str) -> str:
    at = next((index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    return f"{one[max(at - 60, 0) : at + 60]!r} and {other[max(at - 60, 0) : at + 60]!r}"


def _format(form: str) -> tuple[str, ...]:
    """Return the option that asks for a format; a terminal takes its own."""
    return () if form in {"", "terminal"} else ("--format", form)


def line_of(case: Case) -> str:
    """Return the command line of a question, to copy."""
    return f"roofline-afd {shlex.join(case.words(HERE))}".replace(f"{HERE}/", "")


def worked(block: Block, folder: str) -> Report:
    """Ask and check the questions of a block.

    Parameters
    ----------
    block : Block
        What is asked.
    folder : str
        Where the process that asks has its samples, and says what it asks.

    Returns
    -------
    Report
        What came of it.
    """
    asker = _asker(Path(folder))
    strategy = hostile_files(block.about) if block.files else questions(block.about)
    report = Report(block.about, block.files)
    seen: set[tuple[str, str]] = set()
    with surroundings(), warnings.catch_warnings():
        warnings.simplefilter("always", RuntimeWarning)
        for number, case in enumerate(drawn(strategy, block.seed, block.count)):
            own = block.seed * 1000 + number
            asker.note(case)
            found, outcome = asker.understood(case, own)
            report.exits[outcome.status] += 1
            report.checks += found.checks
            report.seconds += outcome.cpu_s
            if outcome.cpu_s > report.slowest:
                report.slowest, report.slowest_line = outcome.cpu_s, line_of(case)
            for fault in found.faults:
                alike = (fault.check, re.sub(r"[\d.]+", "1", fault.text)[:60])
                if alike in seen:
                    continue
                seen.add(alike)
                small = asker.brought_down(case, fault.check, own) if len(seen) < 6 else case
                files = {name: data.decode("utf-8", "replace")[:20_000] for name, data in small.files.items()}
                report.violations.append(
                    Violation(fault.check, fault.text, line_of(small), files, block, number)
                )
    return report


_ASKERS: dict[int, NotingAsker] = {}


class NotingAsker(Asker):
    """An asker that leaves word of what it asks: if the process dies, it is known of what."""

    def note(self, case: Case) -> None:
        """Leave word."""
        (self.root / "asked").write_text(line_of(case), "utf-8", "replace")


def _asker(folder: Path) -> NotingAsker:
    if os.getpid() not in _ASKERS:
        own = Path(tempfile.mkdtemp(dir=folder, prefix="asker-"))
        with surroundings():
            _ASKERS[os.getpid()] = NotingAsker(own)
    return _ASKERS[os.getpid()]


def blocks(shares: Sequence[tuple[str, float]], count: int, *, files: bool, begin: int) -> list[Block]:
    """Return blocks that ask so many questions, by shares."""
    made = []
    for index, (about, share) in enumerate(shares):
        left = math.ceil(count * share)
        part = 0
        while left > 0:
            number = begin * 100_003 + index * 1009 + part * 7 + (500_000 if files else 0)
            made.append(Block(about, files, number, min(SIZE, left)))
            left -= SIZE
            part += 1
    return made
