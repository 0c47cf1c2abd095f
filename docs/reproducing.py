"""The page on papers: what each published, what this program answers, and the command that asks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
STAGE = "--tpot-ms 50 --accept-length 1.7 --gap-ms 15 --microbatches 3 --fan-out paper --duplex shared"
"""How arXiv 2602.09721 asks."""
PRINTED = {("h800", "deepseek-v3"), ("b200", "deepseek-v3"), ("gb200-nvl72", "deepseek-v3")}
"""Whose highest share that paper prints; the others follow from its equations."""
PLACES = {
    "afd-step3-2a2f": "[2507.19427](https://arxiv.org/abs/2507.19427), table 8",
    "ep-cm384-2": "[2506.12708](https://arxiv.org/abs/2506.12708), decode at 1,536 tokens, per die",
    "afd-xds-768": "[2508.02520](https://arxiv.org/abs/2508.02520), 768 dies, per die",
}
"""Rows of services that papers publish."""
TEXT = """# The papers, result by result

What papers on disaggregated serving print, what this program answers, and the command that asks. Published
values are those that the tests in `tests/known_values` hold the program to, to the digits printed; services
are held on the page of [validation](validation.md) instead. Places are sections, tables and subjects, since
figures are numbered anew from version to version of a paper.
"""


def page() -> str:
    """Return the page, every answer asked for now.

    Returns
    -------
    str
        Markdown.
    """
    sections = (_stage, _imbalance, _ratios, _exchange, _sparsity, _pipeline, _modes, _services)
    return "\n".join([TEXT, *(section() for section in sections)])


def _answer(command: str) -> dict[str, Any]:
    """Return the answer to a command."""
    answer: dict[str, Any] = json.loads(_answers().ran(*command.split(), "--format", "json"))
    return answer


def _answers() -> Any:  # noqa: ANN401 - a module
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import answers
    finally:
        sys.path.remove(str(ROOT / "docs"))
    return answers


def _table(head: str, rows: list[str]) -> str:
    columns = head.count("|") - 1
    return "\n".join([head, f"|{'---|' * columns}", *rows]) + "\n"


def _console(*commands: str) -> str:
    return "```sh\n" + "\n".join(f"roofline-afd {command}" for command in commands) + "\n```\n"


def _stage() -> str:
    """Return the section on the roofline of the FFN stage."""
    from tests.known_values import test_ffn_stage as known

    nodes = ",".join(map(str, known.NODES))
    rows = []
    for (system, model), published in known.HFU_PERCENT.items():
        told = " ".join(known.SYSTEMS[system])
        answer = _answer(f"roofline --system {system} --model {model} {STAGE} --ffn-nodes {nodes} {told}")
        mark = "its highest, printed; its equations" if (system, model) in PRINTED else "its equations"
        found = ", ".join(f"{row['hfu']:.1%}".rstrip("%") for row in answer["results"])
        rows.append(f"| {system} | {model} | {', '.join(map(str, published))} | {mark} | {found} |")
    head = f"| system | model | published, at {nodes.replace(',', ', ')} FFN nodes | of | here |"
    return "\n".join(
        [
            "## arXiv 2602.09721: the dead zone\n",
            (
                "Share of their peak that FFN devices reach (HFU, per cent), 50 ms per token, 1.7 "
                "tokens accepted, 15 ms "
                "outside the layers. The paper prints the highest of DeepSeek-V3, and takes 4500 "
                "TFLOP/s for GB200 where "
                "the data sheet says 5000.\n"
            ),
            _table(head, rows),
            _console(
                f"roofline --system h800 --model deepseek-v3 {STAGE} --ffn-nodes {nodes}",
                f"roofline --system gb200-nvl72 --model deepseek-v3 {STAGE} --set fp8_tflops=4500",
                (
                    "plot dead-zone --system h800 --model deepseek-v3 --tpot-ms 50 --accept-length "
                    "1.7 --gap-ms 15 --output zone.html"
                ),
                (
                    "plot roofline --system h800 --model deepseek-v3 --tpot-ms 50 --accept-length "
                    "1.7 --gap-ms 15 --output roofline.html"
                ),
            ),
        ]
    )


def _imbalance() -> str:
    """Return the section on what imbalance costs."""
    from tests.known_values import test_imbalance as known

    sigmas = ",".join(map(str, known.SIGMAS))
    rows = []
    for (attention, ffn), published in known.AFD.items():
        asked = f"imbalance --sigma {sigmas} --attention-nodes {attention} --ffn-nodes {ffn} --lambda-ep 3"
        found = _answer(asked)["results"]
        for name, key, values in (
            ("EP", "alpha_ep", known.EP),
            (f"AFD {attention}:{ffn}", "alpha_afd", published),
        ):
            here = ", ".join(f"{row[key]:.4f}" for row in found)
            row = f"| {name} | {', '.join(f'{value:.4f}' for value in values)} | {here} |"
            if row not in rows:
                rows.append(row)
    return "\n".join(
        [
            "## arXiv 2602.09721: what imbalance costs\n",
            (
                f"Throughput left where the FFN side is balanced to {sigmas.replace(',', ', ')}: EP "
                "changes its batch, AFD "
                "its nodes, which are whole. The paper's formulas of rounding down and up are "
                "corrected here.\n"
            ),
            _table("| mode and nodes | published | here |", rows),
            _console(f"imbalance --sigma {sigmas} --attention-nodes 3 --ffn-nodes 1 --lambda-ep 3"),
        ]
    )


def _ratios() -> str:
    """Return the section on the ratio of attention to FFN."""
    from tests.known_values import test_provisioning as known

    rows = []
    for (batch, prompt, output), (finite, _) in known.RATIOS.items():
        asked = (
            f"provision --coefficients {known.PAPER} --batch {batch} --prompt-mean {prompt} "
            f"--decode-mean {output} "
            f"--horizon {known.HORIZON}"
        )
        rows.append(
            f"| {batch} | {prompt} | {output} | {finite:.4f} | {_answer(asked)['summary']['r_star']:.4f} |"
        )
    return "\n".join(
        [
            "## arXiv 2601.21351: the ratio of attention to FFN\n",
            (
                "The rule of mean times with the paper's coefficients of DeepSeek-V3 on Ascend 910C, "
                "over 10,000 requests per "
                "instance; beside it what a barrier and two micro-batches make of it is this "
                "project's, and in the answer too.\n"
            ),
            _table("| slots | prompt | output | r* by its rule | here |", rows),
            _console(
                (
                    f"provision --coefficients {known.PAPER} --batch 256 --prompt-mean 100 "
                    "--decode-mean 500 --horizon 10000"
                ),
                f"plot ratio --coefficients {known.PAPER} --layers 61 --batch 256 --prompt-mean 100 "
                "--decode-mean 500 "
                "--output ratio.html",
            ),
        ]
    )


def _exchange() -> str:
    """Return the section on the limit that transfers set."""
    from roofline_afd.physics.network import exchange_step_limit, exchange_time_limit

    shape = {"tokens": 32, "copies": 9, "width": 7000, "dispatch_bytes": 1, "combine_bytes": 2}
    rows = []
    for name, bandwidth, printed_us, printed_ms in (
        ("InfiniBand, 50 GB/s", 50e9, "120.96", "14.76"),
        ("NVL72, 900 GB/s", 900e9, "6.72", "0.82"),
    ):
        layer = exchange_time_limit(**shape, bandwidth=bandwidth)
        step = exchange_step_limit(exchange_time=layer, layers=61, microbatches=2)
        rows.append(f"| {name} | {printed_us}, {printed_ms} | {layer * 1e6:.2f}, {step * 1e3:.2f} |")
    return "\n".join(
        [
            "## arXiv 2505.09343, section 2.3.2: the limit of expert parallelism\n",
            (
                "Microseconds of dispatch and combine of a layer, and milliseconds per token, where "
                "transfers alone set the "
                "pace: 32 tokens, 9 copies, 7,000 elements, one byte out and two back, 61 layers.\n"
            ),
            _table("| network | published | here |", rows),
            _console("explain exchange_time_limit", "explain exchange_step_limit"),
        ]
    )


def _sparsity() -> str:
    """Return the section on the sparsity that an accelerator allows."""
    from roofline_afd.physics.network import minimum_activated_share

    rows = []
    for name, peak, memory, network, printed in (
        ("H800", 1.98e15, 3.35e12, 400e9, "0.0582"),
        ("H20", 2.96e14, 4.0e12, 400e9, "0.0073"),
        ("A800", 3.12e14, 2.0e12, 200e9, "0.0307"),
        ("910B", 2.8e14, 1.6e12, 200e9, "0.0345"),
    ):
        found = minimum_activated_share(
            width=7168, layers=61, peak=peak, memory_bandwidth=memory, network=network, step_budget=11.1e-3
        )
        rows.append(f"| {name} | {printed} | {found:.4f} |")
    return "\n".join(
        [
            "## arXiv 2507.19427: the sparsity that an accelerator allows\n",
            (
                "Least share of its parameters that a model must activate for AFD to feed the FFN "
                "side in time.\n"
            ),
            _table("| accelerator | published | here |", rows),
            _console("explain minimum_activated_share"),
        ]
    )


def _pipeline() -> str:
    """Return the section on micro-batches."""
    from roofline_afd.physics.pipeline import cycle_time

    rows = []
    for transfer, printed in ((0.01, 3), (0.49, 3), (0.51, 4), (1.0, 4)):
        cycles = [float(cycle_time(busiest=1.0, loop=2 + 2 * transfer, microbatches=m)) for m in range(1, 6)]
        least = next(m for m, cycle in enumerate(cycles, 1) if cycle <= 1.0)
        rows.append(f"| {transfer:g} | {printed} | {least} |")
    return "\n".join(
        [
            "## arXiv 2504.02263, section 4.1: micro-batches that hide the transfers\n",
            "Both sides equally busy; the time of a transfer over that of a side.\n",
            _table("| transfer | micro-batches, published | here |", rows),
            _console("explain cycle_time"),
        ]
    )


def _modes() -> str:
    """Return the section on serving modes."""
    from roofline_afd.serving.deployment import EP
    from roofline_afd.serving.workload import WORKLOADS
    from tests.known_values import test_serving_modes as known

    held, _ = known._held(EP, attention_devices=2, batch=2)  # noqa: SLF001 - the test's question
    rows = [
        f"| workload {name} | {printed} | {work.prefix}, {work.isl}, {work.osl} |"
        for (name, work), printed in zip(
            WORKLOADS.items(), ("4096, 512, 256", "2048, 4096, 1024", "524288, 256, 8192"), strict=True
        )
    ]
    rows.append(f"| GiB of a device, a million cached tokens, without AFD | 298 | {held:.0f} |")
    return "\n".join(
        [
            "## arXiv 2605.28302: four serving modes\n",
            (
                "Tokens of prefix, input and output, and the memory of its long-context case (a "
                "replica of two devices with "
                "two such requests in fp8; the paper names no shape). Its other results, strict "
                "limits, throughput and "
                "attention's share of a step, are taken one by one on the page of [serving "
                "modes](serving-modes.md): where "
                "they differ, it says why.\n"
            ),
            _table("| what | published | here |", rows),
            _console(
                (
                    "explore --system b200 --model deepseek-v3.2 --workload coding --devices 128 "
                    "--ttft-ms 100 --tpot-ms 15"
                ),
                (
                    "plot pareto-panels --system b200 --models deepseek-v3.2,gpt-oss-120b "
                    "--workloads chat,coding --output panels.html"
                ),
            ),
        ]
    )


def _services() -> str:
    """Return the section on services that papers publish."""
    found = {row["id"]: row for row in _answer("validate")["results"]}
    rows = [
        f"| {place} | `{name}` | {found[name]['measured']:,.0f} | {found[name]['predicted']:,.0f} "
        f"| {found[name]['error']:+.1%} |"
        for name, place in PLACES.items()
    ]
    return (
        "\n".join(
            [
                "## Services: tokens/s per device\n",
                (
                    "Predicted from shape, batch and system, not fitted. All rows, those of blogs "
                    "and repositories too, are on the "
                    "page of [validation](validation.md); what each says of AFD against EP is told "
                    "under [published "
                    "comparisons](verdicts.md).\n"
                ),
                _table("| where | row | published | here | error |", rows),
                _console("validate"),
            ]
        ).rstrip("\n")
        + "\n"
    )
