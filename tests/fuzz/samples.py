"""Valid files of every kind that the program reads: what hostile ones are mutations of."""

from __future__ import annotations

import functools
import json
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from roofline_afd.catalogue.store import Catalogue
from tests.catalogue.huggingface.toys import TOYS
from tests.conftest import ROOT, command

if TYPE_CHECKING:
    from collections.abc import Mapping

TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:00:{second:02d}.0,{100 + 97 * second % 3000},{20 + 31 * second % 400}\n"
    for second in range(1, 60)
)
LINES = "".join(
    json.dumps(
        {"timestamp": 1000 * n, "input_length": 100 + 97 * n % 3000, "output_length": 20 + 31 * n % 400}
    )
    + "\n"
    for n in range(1, 40)
)
SCENARIO = """system = "h800"
model = "deepseek-v3"
tpot_ms = 50
context = "4k"
max_devices = 16
accept_length = 1.7
set = ["scale_out_gb_per_s=100", "memory_gb=96"]
"""
OPERATORS = (
    "id,operator,system,precision,m,n,k,groups,tokens_per_expert,batch,context_tokens,latency_us,note,source"
    """
a1,gemm,h800,bf16,64,4096,7168,,,,,21.5,,mine
a2,gemm,h800,bf16,128,4096,7168,,,,,23.1,,mine
a3,gemm,h800,bf16,4096,4096,7168,,,,,420,,mine
a4,gemm,h800,fp8,256,4096,7168,,,,,19,,mine
g1,grouped_gemm,h800,fp8,,4096,7168,8,64,,,95,,mine
g2,grouped_gemm,h800,fp8,,4096,7168,8,256,,,140,,mine
d1,mla_decode,h800,bf16,,,,,,64,4096,180,,mine
d2,mla_decode,h800,bf16,,,,,,128,4096,340,,mine
"""
)
COUNTS = "".join(f"{100 + 7 * expert % 50}\n" for expert in range(256))
ONE = ("--system", "h800", "--model", "mixtral-8x7b")
SMALL = (*ONE, "--max-devices", "8")
KEPT = (
    ("predict", "--system", "h800", "--model", "deepseek-v3", "--devices", "96", "--batch", "96"),
    ("compare", *SMALL, "--tpot-ms", "60", "--tensor-parallel", "1"),
    ("roofline", "--system", "h800", "--model", "deepseek-v3", "--ffn-nodes", "1:12"),
    ("explore", *ONE, "--workload", "chat", "--devices", "8", "--modes", "agg,pd", "--tensor-parallel", "1"),
    ("procure", "--systems", "h800,h200", *SMALL[2:], "--demand", "1e5", "--tensor-parallel", "1"),
)
PICTURES = (
    ("roofline", "--system", "h800", "--model", "deepseek-v3", "--ffn-nodes", "1:12"),
    ("breakdown", *SMALL, "--tensor-parallel", "1"),
    ("procurement", "--systems", "h800,h200", *SMALL[2:], "--demand", "1e5", "--tensor-parallel", "1"),
)


def rows_of(name: str, count: int = 6) -> str:
    """Return the first rows of a file of measurements."""
    text = files("hardware_db").joinpath("measurements", name).read_text("utf-8")
    return "".join(text.splitlines(keepends=True)[: count + 1])


@functools.cache
def records() -> Mapping[str, tuple[str, str]]:
    """Return the text of shipped records and their kind, by id and kind: at most a dozen of a kind."""
    catalogue = Catalogue()
    found: dict[str, tuple[str, str]] = {}
    for path in sorted((*(ROOT / "hardware_db").rglob("*.toml"), *(ROOT / "model_db").rglob("*.toml"))):
        text = path.read_text("utf-8")
        kind = next((line.split('"')[1] for line in text.splitlines() if line.startswith("record")), "")
        if kind and path.stem in catalogue.ids(kind):
            found[f"{kind} {path.stem}"] = (kind, text)
    return found


@functools.cache
def configs() -> tuple[str, ...]:
    """Return configurations of models, one of each family."""
    return tuple(
        json.dumps({"model_type": family, **given}, indent=1) for family, (given, *_) in TOYS.items()
    )


@functools.cache
def answer(number: int) -> str:
    """Return a kept answer: as JSON, and after those as pictures are drawn of them."""
    if number < len(KEPT):
        return command(*KEPT[number], "--format", "json").out
    with tempfile.TemporaryDirectory() as folder:
        kept, drawn = Path(folder) / "kept.json", Path(folder) / "drawn.json"
        asked = PICTURES[number - len(KEPT)]
        command("plot", *asked, "--save-answer", str(kept), "--output", str(drawn))
        return kept.read_text("utf-8")


def answers() -> tuple[str, ...]:
    """Return all kept answers."""
    return tuple(map(answer, range(len(KEPT) + len(PICTURES))))


def write(folder: Path, *, kept: bool = True) -> None:
    """Write one valid file of each kind; kept answers where wanted, which must be asked for."""
    mine = records()["system h800"][1].replace('"h800"', '"mine"', 1)
    model = records()["model deepseek-v3"][1].replace('"deepseek-v3"', '"mine-v3"', 1)
    for name, text in {
        "trace.csv": TRACE,
        "trace.jsonl": LINES,
        "scenario.toml": SCENARIO,
        "operators.csv": OPERATORS,
        "systems.csv": rows_of("systems.csv"),
        "points.csv": rows_of("serving_points.csv"),
        "counts.csv": COUNTS,
        "config.json": configs()[0],
        "grid.csv": "context,tokens_per_s_per_device\n1024,900\n2048,800\n4096,700\n",
        "hardware/mine.toml": mine,
        "models/mine-v3.toml": model,
        **{f"answer-{number}.json": text for number, text in enumerate(answers() if kept else ())},
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
