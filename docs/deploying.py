"""The page of launch files: two deployments for each software, as `deploy` writes them."""

from __future__ import annotations

from roofline_afd.analysis.deploy.deploy import deploy
from roofline_afd.analysis.deploy.questions import Launch
from roofline_afd.analysis.deploy.targets import TARGETS
from roofline_afd.serving.scenario import Scenario
from roofline_afd.view.columns import column
from roofline_afd.view.tables import file_blocks

QUESTIONS = (
    ("DeepSeek-V3 on H200", {"system": "h200", "model": "deepseek-v3", "tpot_ms": 50.0}),
    ("Qwen3-235B on GB200 NVL72", {"system": "gb200-nvl72", "model": "qwen3-235b-a22b", "tpot_ms": 30.0}),
)
REQUESTS = {"isl": 4096, "osl": 1024, "ttft_ms": 2000.0}
APART = {"dynamo", "llm-d"}
"""Software whose deployments are shown with prefill and decode apart."""
DEVICES = {"h200": 64, "gb200-nvl72": 36}


def page() -> str:
    """Return the page."""
    parts = [
        "# From the answer to a running deployment\n",
        (
            "`deploy` turns a deployment into launch files: that of a kept answer (`--from answer.json` "
            "of predict, compare or explore), the one that options describe, or the best that the "
            "software can be told to run. Kernels, memory and limits are then those of the software, so "
            "the answer may be another than that of the best kernels measured. With lengths of requests "
            "(`--isl`, `--osl`, `--workload`, `--trace`) prefill and decode are searched together, and "
            "written as pools where they lie apart. `--folder` writes the files.\n"
        ),
        (
            "Flags are those that each software documents, and no others: a test reads them back from the "
            "files below and holds them against the names in "
            "[tests/analysis/deploy/documented](../tests/analysis/deploy/documented/README.md). What has "
            "no flag is said, not left out in silence. The table under the files is what to watch: each "
            "quantity as predicted, the value from which the latency target breaks while all others stay, "
            "and what the software counts it as.\n"
        ),
        "| software | version | flags from |",
        "|---|---|---|",
        *(f"| `{name}`: {each.name} | {each.version} | {each.source} |" for name, each in TARGETS.items()),
        "",
    ]
    for target, known in TARGETS.items():
        parts.append(f"## {known.name}\n")
        for title, question in QUESTIONS:
            parts += _shown(target, title, dict(question))
    return "\n".join(parts)


def sample() -> tuple[str, ...]:
    """Return a deployment of the page: for SGLang, on H200."""
    title, question = QUESTIONS[0]
    return ("\n".join(_shown("sglang", title, dict(question))).rstrip("\n"),)


def _shown(target: str, title: str, question: dict[str, object]) -> list[str]:
    """Return a deployment: the command, the answer, its files and what to watch."""
    apart = target in APART
    if apart:
        question["devices"] = DEVICES[str(question["system"])]
    requests = REQUESTS if apart else {}
    answer = deploy(Launch(Scenario(**question), target=target, **requests))  # type: ignore[arg-type]  # as told
    options = {"for": target, **question, **requests}
    told = " ".join(
        f"--{name.replace('_', '-')} {value:g}" if isinstance(value, float) else f"--{name} {value}"
        for name, value in options.items()
    )
    keys = ("quantity", "unit", "expected", "limit", "alert", "then", "metric")
    rows = [
        "| " + " | ".join(column(key).show(row[key]) or "-" for key in keys) + " |" for row in answer.rows()
    ]
    unsaid = [f"- cannot be expressed: {each}" for each in answer.summary["unexpressed"]]
    left = [f"- left to you: {each}" for each in answer.summary["left_to_you"]]
    return [
        f"### {title} with {TARGETS[target].name}\n",
        f"```console\n$ roofline-afd deploy {told}\n```\n",
        f"> {answer.summary['answer']}\n",
        *file_blocks(answer.files),
        "| " + " | ".join(column(key).title for key in keys) + " |",
        "|" + "---|" * len(keys),
        *rows,
        "",
        *unsaid,
        *left,
        "",
    ]
