"""Write the table of benchmarks/README.md from what pytest-benchmark measured."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- measured -->", "<!-- end -->"


def table(measured: list[dict[str, Any]]) -> str:
    """Return the table of some benchmarks in Markdown."""
    lines = ["| what | seconds | ratio | to | memory [MB] |", "|---|---:|---:|---|---:|"]
    for each in measured:
        told, seconds = each["extra_info"], each["stats"]["median"]
        memory = f"{told['memory_mb']:.0f}" if "memory_mb" in told else ""
        lines.append(
            f"| {told['what']} | {seconds:.3f} | {seconds / told['reference_s']:.1f} | "
            f"{told['to']}, {told['reference_s']:.3f} s | {memory} |"
        )
    return "\n".join(lines)


def main(file: Path) -> None:
    """Put the table and the machine into the page."""
    measured = json.loads(file.read_text("utf-8"))["benchmarks"]
    page = PAGE.read_text("utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    machine = (
        f"On {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"numpy {version('numpy')}:"
    )
    PAGE.write_text(f"{before}{BEGIN}\n{machine}\n\n{table(measured)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
