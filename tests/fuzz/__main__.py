"""The campaign: `python -m tests.fuzz --questions 20000 --files 5000`, as `make fuzz` runs it.

Prints the figures and what did not hold, with a command line to copy each; exit status 1 where anything did
not.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from roofline_afd.processes import cores
from tests.conftest import ROOT
from tests.fuzz.campaign import Block, Report, Violation, blocks, worked
from tests.fuzz.hostile import weighted
from tests.fuzz.page import FIGURES, write_page
from tests.fuzz.questions import commands

FOUND = ROOT / "build" / "fuzz"
"""Where files are kept that show what does not hold."""
SLOW = ("report", "explore", "load", "sensitivity", "plot", "procure", "simulate")
"""Beginnings of what takes longest: begun first, so that no process waits for one of them at the end."""


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--questions", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[1])
    parser.add_argument("--only", default="", help="commands or kinds of files that begin so")
    parser.add_argument("--processes", type=int, default=cores())
    parser.add_argument("--write", action="store_true", help="keep the figures, and write docs/robustness.md")
    given = parser.parse_args()
    seeds = given.seeds
    told = " and ".join(map(str, seeds))
    print(f"seeds {told}: {given.questions:,} questions, {given.files:,} files, {given.processes} processes")
    asked = [
        block
        for begin in seeds
        for block in (
            *blocks(_only(commands(), given.only), given.questions // len(seeds), files=False, begin=begin),
            *blocks(_only(weighted(), given.only), given.files // len(seeds), files=True, begin=begin),
        )
    ]
    random.Random(seeds[0]).shuffle(asked)
    asked.sort(key=lambda block: not block.about.startswith(SLOW))
    begun = time.perf_counter()
    reports, died = _reports(asked, given.processes)
    figures = _figures(given, reports, died, time.perf_counter() - begun)
    _tell(figures)
    FOUND.mkdir(parents=True, exist_ok=True)
    (FOUND / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    if given.write:
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
        write_page(figures)
    return 1 if figures["violations"] else 0


def _only(shares: tuple[tuple[str, float], ...], begin: str) -> tuple[tuple[str, float], ...]:
    """Return the shares of those that begin so, together one."""
    own = [(name, share) for name, share in shares if name.startswith(begin)]
    whole = sum(share for _, share in own)
    return tuple((name, share / whole) for name, share in own)


def _reports(asked: list[Block], processes: int) -> tuple[list[Report], list[str]]:
    """Return what came of each block, and what was asked when a process died."""
    reports: list[Report] = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            running = [pool.submit(worked, block, folder) for block in asked]
            try:
                for done in as_completed(running):
                    report = done.result()
                    reports.append(report)
                    for violation in report.violations:
                        _show(violation)
                    _progress(reports, len(asked))
            except BrokenProcessPool:
                died = [path.read_text("utf-8") for path in Path(folder).glob("asker-*/asked")]
                return reports, died
    return reports, []


def _progress(reports: list[Report], blocks_: int) -> None:
    if sys.stderr.isatty():
        faulty = sum(len(report.violations) for report in reports)
        print(f"\r{len(reports)} of {blocks_} blocks, {faulty} violations ", end="", file=sys.stderr)


def _figures(
    given: argparse.Namespace, reports: list[Report], died: list[str], wall_s: float
) -> dict[str, Any]:
    by: dict[str, dict[str, Any]] = {}
    checks: Counter[str] = Counter()
    for report in reports:
        checks += report.checks
        own = by.setdefault(
            f"files: {report.about}" if report.files else report.about,
            {"asked": 0, "answered": 0, "no": 0, "refused": 0, "other": 0, "seconds": 0.0, "slowest_s": 0.0},
        )
        own["asked"] += report.exits.total()
        for name, status in (("answered", 0), ("no", 1), ("refused", 2)):
            own[name] += report.exits[status]
        own["other"] += sum(count for status, count in report.exits.items() if status not in {0, 1, 2})
        own["seconds"] = round(own["seconds"] + report.seconds, 1)
        if report.slowest > own["slowest_s"]:
            own["slowest_s"], own["slowest"] = round(report.slowest, 2), report.slowest_line[:300]
    violations = [dataclasses.asdict(each) for report in reports for each in report.violations]
    violations += [
        {"check": "the process lives", "text": "it ended", "line": line, "files": {}, "block": None}
        for line in died
    ]
    used = [resource.getrusage(kind) for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "seeds": given.seeds,
        "questions": sum(report.exits.total() for report in reports if not report.files),
        "files": sum(report.exits.total() for report in reports if report.files),
        "processes": given.processes,
        "wall_s": round(wall_s, 1),
        "cpu_s": round(sum(each.ru_utime + each.ru_stime for each in used), 1),
        "memory_mb": round(max(each.ru_maxrss for each in used) / 1024),
        "by": dict(sorted(by.items())),
        "checks": dict(sorted(checks.items())),
        "violations": violations,
    }


def _tell(figures: dict[str, Any]) -> None:
    print(
        f"{'':24} {'asked':>7} {'yes':>7} {'no':>6} {'refused':>8} {'other':>6} {'s each':>7} {'slowest':>8}"
    )
    for name, own in figures["by"].items():
        each = own["seconds"] / max(own["asked"], 1)
        print(
            f"{name:24} {own['asked']:7,} {own['answered']:7,} {own['no']:6,} {own['refused']:8,} "
            f"{own['other']:6,} {each:7.3f} {own['slowest_s']:8.2f}"
        )
    print()
    for name, count in figures["checks"].items():
        print(f"{count:9,}  {name}")
    whole = figures["questions"] + figures["files"]
    print(
        f"\n{whole:,} asked in {figures['wall_s']:.0f} s, {whole / figures['wall_s']:.1f} a second, "
        f"{figures['cpu_s']:.0f} s of CPU, {figures['memory_mb']} MB; {len(figures['violations'])} violations"
    )


def _show(violation: Violation) -> None:
    """Print what did not hold, and keep the files that show it."""
    print(f"\nVIOLATION {violation.check}: {violation.text}\n  {violation.line}")
    for name, text in violation.files.items():
        path = FOUND / f"{violation.block.about}-{violation.block.seed}-{violation.number}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", "replace")
        print(f"  with {path}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
