"""The page of what rests on what: how much of a step was measured on the part, and whose kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roofline_afd.catalogue.store import Catalogue

SYSTEMS = ("gb200-nvl72", "gb300-nvl72", "b200", "b300", "h200", "h100", "h800", "h20", "mi300x", "tpu-v7")
MODELS = ("deepseek-v3", "qwen3-235b-a22b")
TPOT_MS = 50
MOST = 512
NODE = 8
"""Devices of the largest scale-up domain that is no more than a node."""
KERNELS = (
    ("gemm", "fp8"),
    ("gemm", "bf16"),
    ("gemm", "fp4"),
    ("grouped_gemm", "fp8"),
    ("experts", "fp8"),
    ("experts", "fp4"),
    ("gqa_decode", "bf16"),
    ("mla_decode", "bf16"),
    ("prefill_attention", ""),
    ("index", ""),
    ("convolution", ""),
    ("state", ""),
)
"""Kernels of the second table, and the number format they are asked in."""
SIGNS = {"measured": "", "sibling": " (sibling)", "estimated": "\u2020"}


def page() -> str:
    """Return the page."""
    from roofline_afd.catalogue.store import Catalogue

    catalogue = Catalogue()
    return "\n".join(
        [
            "# What rests on what\n",
            (
                "A prediction is as good as what it rests on. The first table tells, for the best "
                f"expert-parallel deployment at {TPOT_MS} ms per token (within one scale-up domain where "
                "that holds more than a node), which share of the operator time of a step rests on kernels "
                "and links timed on that very part, on those of a sibling (a part of the same make, or the "
                "same part in another number format), and on estimates. Small kernels between them (norms, "
                "rotary embedding, quantisation) are one constant taken from whole modules: a class of its "
                "own.\n"
            ),
            _shares(catalogue),
            "\n## Whose kernels\n",
            (
                "Which library's kernel stands behind each time where no engine is named, and its error on "
                "rows held out of the fit. `--engine` takes the order of another engine. A dagger: nothing "
                "of the kind was measured on the part or a sibling; medians of all parts are taken.\n"
            ),
            _libraries(catalogue),
        ]
    )


def _shares(catalogue: Catalogue) -> str:
    from roofline_afd.analysis.decode.rows import kind_shares
    from roofline_afd.catalogue.hardware import load_system
    from roofline_afd.catalogue.models import load_model
    from roofline_afd.serving.deployment import EP, Deployments
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.search import search

    lines = [
        "| system | model | devices | measured | sibling | estimated | small kernels |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in SYSTEMS:
        for model in MODELS:
            system = load_system(name, catalogue=catalogue)
            domain = system.scale_up_domain_devices
            scenario = Scenario(
                system=system,
                model=load_model(model, catalogue=catalogue),
                tpot_ms=TPOT_MS,
                max_devices=min(domain, MOST) if domain > NODE else MOST,
            )
            deployments = Deployments(scenario, EP)
            best = search(deployments).best
            if best is None:
                lines.append(f"| `{name}` | `{model}` | none | | | | |")
                continue
            shares = kind_shares(deployments, best)
            sibling, estimated, small = (shares.pop(kind, 0.0) for kind in ("sibling", "estimated", ""))
            figures = (sum(shares.values()), sibling, estimated, small)
            told = " | ".join(f"{figure:.0%}" for figure in figures)
            lines.append(f"| `{name}` | `{model}` | {best.devices} | {told} |")
    return "\n".join(lines)


def _libraries(catalogue: Catalogue) -> str:
    from roofline_afd.catalogue.calibration import choose
    from roofline_afd.catalogue.engines import load_engine
    from roofline_afd.catalogue.hardware import load_system

    families = load_engine(catalogue=catalogue).families
    parts = list(dict.fromkeys(load_system(name, catalogue=catalogue).accelerator.id for name in SYSTEMS))
    lines = [
        "| kernel | " + " | ".join(f"`{part}`" for part in parts) + " |",
        "|---" * (len(parts) + 1) + "|",
    ]
    for kernel, form in KERNELS:
        cells = []
        for part in parts:
            found = choose(kernel, form, part, catalogue=catalogue, families=families)
            data = found.record.data[found.table]
            error = f" {data['held_out_error']:.0%}" if "held_out_error" in data else ""
            cells.append(f"{found.family or found.record.id}{error}{SIGNS[found.kind]}")
        title = f"`{kernel}` {form}".strip()
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
