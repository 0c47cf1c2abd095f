"""The page of pictures: each drawn by the code beside it, and the command that draws the same."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent


class Picture(NamedTuple):
    """A picture of the gallery."""

    title: str
    says: str
    command: str
    code: str


PICTURES = (
    Picture(
        "EP or AFD over the latency target",
        "The best deployment of each mode under every limit on the time per token.",
        "plot afd-vs-ep --system h800 --model deepseek-v3 --tpot-ms 50 --max-devices 64 --tensor-parallel 1 "
        "--context-parallel 1 --expert-tensor-parallel 1",
        "plot.afd_vs_ep(\n"
        "    Scenario(\n"
        '        system="h800", model="deepseek-v3", tpot_ms=50, max_devices=64, tensor_parallel=1,\n'
        "        context_parallel=1, expert_tensor_parallel=1,\n"
        "    )\n"
        ")",
    ),
    Picture(
        "Where AFD breaks even",
        "AFD over EP for other networks and other experts; every cell is a search of both.",
        "plot hfu-map --system h800 --model deepseek-v3 --tpot-ms 50 --max-devices 32 --tensor-parallel 1 "
        "--x scale_out_gb_per_s=25,50,100 --y expert_intermediate=1024,2048,4096",
        "plot.hfu_map(\n"
        '    Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=32, tensor_parallel=1),\n'
        '    x=("scale_out_gb_per_s", [25, 50, 100]),\n'
        '    y=("expert_intermediate", [1024, 2048, 4096]),\n'
        ")",
    ),
    Picture(
        "The dead zone",
        "FFN nodes over which more devices do not help: scale-out fixes what each receives.",
        "plot dead-zone --system h800 --model deepseek-v3 --tpot-ms 50 --accept-length 1.7 --gap-ms 15",
        (
            'plot.dead_zone(Scenario(system="h800", model="deepseek-v3", tpot_ms=50, '
            "accept_length=1.7, gap_ms=15))"
        ),
    ),
    Picture(
        "The roofline of communication",
        "A roof for each level of bytes; the level whose marker lies on its roof binds.",
        "plot roofline --system h800 --model deepseek-v3 --tpot-ms 50 --accept-length 1.7 --gap-ms 15",
        (
            'plot.roofline(Scenario(system="h800", model="deepseek-v3", tpot_ms=50, '
            "accept_length=1.7, gap_ms=15))"
        ),
    ),
    Picture(
        "Where the time of a step goes",
        "The operators of a decode step, the largest first.",
        "plot breakdown --system h800 --model deepseek-v3 --tpot-ms 50 --max-devices 64",
        'plot.breakdown(Scenario(system="h800", model="deepseek-v3", tpot_ms=50, max_devices=64))',
    ),
    Picture(
        "Where a rack ends",
        "Dispatch and combine of a layer over tokens; the first group beyond the domain lies apart.",
        "plot fabric --systems gb200-nvl72,h100 --model deepseek-v3",
        'plot.fabric([Scenario(system=system, model="deepseek-v3") for system in ("gb200-nvl72", "h100")])',
    ),
    Picture(
        "Which ratio of attention to FFN",
        "Tokens per second and instance: formulas as lines, the simulation as markers.",
        "plot ratio --coefficients .00165,50,.083,100,.022,20 --layers 61 --batch 256 --prompt-mean 100 "
        "--decode-mean 500 --requests 2000",
        "plot.ratio(\n"
        "    coefficients=(0.00165, 50, 0.083, 100, 0.022, 20), layers=61, batch=256,\n"
        "    prompt_mean=100, decode_mean=500, requests=2000,\n"
        ")",
    ),
    Picture(
        "Prefill and decode, together or apart",
        "The frontier of each serving mode: throughput over the speed that a user sees.",
        "plot pareto --system b200 --model gpt-oss-120b --devices 16 --tensor-parallel 1 --workload chat",
        "plot.pareto(\n"
        '    Scenario(system="b200", model="gpt-oss-120b", devices=16, tensor_parallel=1), workload="chat"\n'
        ")",
    ),
    Picture(
        "What to buy",
        "The cost of a demand by part on each system.",
        "plot procurement --systems h200,b200,gb200-nvl72 --model deepseek-v3 --demand 1e6 --tpot-ms 50 "
        "--max-devices 64",
        "plot.procurement(\n"
        '    [Scenario(system=system, model="deepseek-v3", tpot_ms=50, max_devices=64)\n'
        '     for system in ("h200", "b200", "gb200-nvl72")],\n'
        "    demand=1e6,\n"
        ")",
    ),
    Picture(
        "What requests see under load",
        "Percentiles of latency over requests per second, followed one by one.",
        "plot load --system b200 --model gpt-oss-120b --devices 8 --tensor-parallel 1 "
        "--expert-tensor-parallel 1 --mode agg --isl 2048 --osl 512 --ttft-ms 2000 --tpot-ms 50 "
        "--requests-per-s 10,30,45",
        "plot.load(\n"
        "    Scenario(\n"
        '        system="b200", model="gpt-oss-120b", tpot_ms=50, devices=8, tensor_parallel=1,\n'
        "        expert_tensor_parallel=1,\n"
        "    ),\n"
        '    mode="agg", isl=2048, osl=512, ttft_ms=2000, rates=[10, 30, 45],\n'
        ")",
    ),
    Picture(
        "How sure the verdict is",
        "AFD over EP with each input at the ends of its own uncertainty.",
        "plot tornado --system b200 --model gpt-oss-120b --tpot-ms 50 --max-devices 4 --tensor-parallel 1 "
        "--context-parallel 1 --expert-tensor-parallel 1 --afd-cut attention --samples 20",
        "plot.tornado(\n"
        "    Scenario(\n"
        '        system="b200", model="gpt-oss-120b", tpot_ms=50, max_devices=4, tensor_parallel=1,\n'
        '        context_parallel=1, expert_tensor_parallel=1, afd_cut="attention",\n'
        "    ),\n"
        "    samples=20,\n"
        ")",
    ),
)
TEXT = """# Gallery

Every picture is a command and a line of Python, and speaks when pointed at. `roofline-afd plot KIND --output
FILE` writes html, svg, png, pdf or Vega-Lite json by the suffix; Python returns an Altair chart, to change
and save as any other. Some of these search less than they would by default, so that this page is made
quickly.
"""


def page() -> str:
    """Return the page, every picture drawn by the code shown.

    Returns
    -------
    str
        Markdown.
    """
    return "\n".join([TEXT, *map(_section, PICTURES)])


def _section(picture: Picture) -> str:
    from roofline_afd import Scenario, plot

    sys.path.insert(0, str(FOLDER))
    try:
        element = importlib.import_module("notebooks").chart
    finally:
        sys.path.remove(str(FOLDER))
    drawn = eval(picture.code, {"plot": plot, "Scenario": Scenario})  # noqa: S307 - the texts above
    return (
        f"## {picture.title}\n\n{picture.says}\n\n{element(drawn.to_dict())}\n\n"
        f"```sh\nroofline-afd {picture.command} --output "
        f"picture.html\n```\n\n```python\n{picture.code}\n```\n"
    )
