"""The page of published comparisons of AFD and EP: what each measured on which basis, and what we predict."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from roofline_afd.analysis.answer import Answer

FASTAFD = "https://github.com/linsj20/FastAFD"
PLUGIN = "https://github.com/vllm-project/afd-plugin"
MEGASCALE = "https://arxiv.org/abs/2504.02263"
STEP3 = "https://arxiv.org/abs/2507.19427"
XDEEPSERVE = "https://arxiv.org/abs/2508.02520"
ROOFLINE = "https://arxiv.org/abs/2602.09721"
MEGASCALE_CONTEXT = 650
"""Tokens: a median prompt of 571 and half of a median answer of 159 (arXiv 2504.02263, section 6)."""


def page() -> str:
    """Return the page."""
    checked = _checked()
    pairs = checked.summary["sign_test"]["pairs"]
    return "\n".join(
        [
            "# Published comparisons\n",
            (
                "Attention-FFN disaggregation (AFD) has been reported to serve 1.9 times as much as "
                "expert parallelism (EP), as much, and half as much. Every one of these can be right: "
                "they divide by different baselines. This page takes each published comparison, says what "
                "was divided by what, and puts beside it what this model predicts for the same two "
                "deployments, and for the best of both modes on the same system. No efficiency was fitted "
                "to an AFD row; the spread of the intervals comes from the pairs below, and "
                "[validation](validation.md) says what it covers with one source left out.\n"
            ),
            _overview(pairs),
            *_fastafd(pairs, checked.rows()),
            *_plugin(pairs),
            *_step3(checked.rows()),
            *_megascale(),
            *_xdeepserve(checked.rows()),
            *_roofline(),
            *_why(),
        ]
    )


@functools.cache
def _checked() -> Answer:
    from roofline_afd.analysis.evidence.services.rows import shipped_services
    from roofline_afd.analysis.evidence.services.validate import validate_services
    from roofline_afd.catalogue.store import Catalogue

    catalogue = Catalogue()
    return validate_services(shipped_services(catalogue), catalogue=catalogue)


def _asked(model: str, system: str, **options: Any) -> Answer:  # noqa: ANN401 - any field of a scenario
    from roofline_afd.analysis.decode.compare import compare
    from roofline_afd.serving.scenario import Scenario

    return compare(Scenario(model=model, system=system, max_devices=128, **options))


def _interval(pair: Mapping[str, Any]) -> str:
    """Return the 80 % interval of a predicted ratio."""
    from roofline_afd.analysis.decode.verdict import odds_of
    from roofline_afd.catalogue.ratio_error import load_ratio_error
    from roofline_afd.catalogue.store import Catalogue

    odds = odds_of(
        load_ratio_error(Catalogue()),
        ratio=pair["predicted_ratio"],
        estimated_share=pair["estimated_share"],
    )
    return f"{odds.low:.2f} to {odds.high:.2f}"


def _best(answer: Answer) -> str:
    """Return AFD over EP of a comparison, with its 80 % interval."""
    found = answer.summary
    return (
        f"{found['afd_over_ep']:.2f} ({found['afd_over_ep_low']:.2f} to {found['afd_over_ep_high']:.2f}, AFD "
        f"ahead with probability {found['probability_afd_wins']:.2f})"
    )


def _rates(answer: Answer) -> tuple[float, float]:
    """Return tokens/s per device of EP and of AFD."""
    found = {row["mode"]: row["tokens_per_s_per_device"] for row in answer.rows()}
    return found["ep"], found["afd"]


def _overview(pairs: list[dict[str, Any]]) -> str:
    plugin = [pair for pair in pairs if "-a3-" in pair["afd"]]
    fast = [pair for pair in pairs if "-a3-" not in pair["afd"]]
    long = [pair for pair in fast if "128k" in pair["afd"]]
    short = [pair for pair in fast if "128k" not in pair["afd"]]
    lines = [
        "| who | AFD over EP, measured | what the baseline is | like for like | predicted |",
        "|---|---|---|---|---|",
        _line("[FastAFD](#fastafd), 8K", short, "vLLM, 8 ranks, wall clock with its host pause"),
        _line("[FastAFD](#fastafd), 128K", long, "vLLM, 16 ranks, sums of kernels"),
        _line("[afd-plugin](#the-plugin-of-vllm), Atlas A3", plugin, "same plugin and system, EP64"),
        ("| [Step-3](#step-3) | 1.74 | another model: DeepSeek-V3 as its makers serve it | no | see there |"),
        (
            "| [MegaScale-Infer](#megascale-infer) | 1.28 to 1.90 | TensorRT-LLM without EP over many "
            "devices | no | see there |"
        ),
        "| [xDeepServe](#xdeepserve) | none published | - | - | see there |",
        "| [The roofline paper](#the-roofline-paper) | no throughput: shares of peak | - | - | see there |",
    ]
    return "\n".join(lines) + "\n"


def _line(who: str, pairs: list[dict[str, Any]], baseline: str) -> str:
    spans = (_span(pair[key] for pair in pairs) for key in ("measured_ratio", "predicted_ratio"))
    measured, predicted = spans
    counted = f"{len(pairs)} pair{'' if len(pairs) == 1 else 's'}"
    return f"| {who} | {measured} | {baseline} | {counted} | {predicted} |"


def _span(values: Iterable[float]) -> str:
    found = sorted(values)
    return f"{found[0]:.2f}" if len(found) == 1 else f"{found[0]:.2f} to {found[-1]:.2f}"


def _table(pairs: list[dict[str, Any]]) -> str:
    lines = [
        "| AFD | EP | measured | predicted | 80 % interval | inside |",
        "|---|---|---|---|---|---|",
    ]
    for pair in pairs:
        interval = _interval(pair)
        low, _, high = interval.partition(" to ")
        inside = float(low) <= round(pair["measured_ratio"], 2) <= float(high)
        lines.append(
            f"| `{pair['afd']}` | `{pair['ep']}` | {pair['measured_ratio']:.2f} | "
            f"{pair['predicted_ratio']:.2f} | {interval} | {'yes' if inside else 'no'} |"
        )
    return "\n".join(lines) + "\n"


def _levels(rows: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    lines = ["| row | measured | predicted | error |", "|---|---|---|---|"]
    lines += [
        f"| `{row['id']}` | {row['measured']:,.0f} | {row['predicted']:,.0f} | {row['error']:+.1%} |"
        for row in rows
        if row["id"].startswith(names) and row["error"] is not None
    ]
    return "\n".join(lines) + "\n"


def _fastafd(pairs: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    own = [pair for pair in pairs if "-a3-" not in pair["afd"]]
    eight, long = (
        _asked("qwen3-235b-a22b", "gb200-nvl72", tpot_ms=50, context=tokens) for tokens in (8192, 131072)
    )
    return [
        "## FastAFD\n",
        (
            f"[FastAFD]({FASTAFD}) runs Qwen3-235B on GB200 NVL72 with attention and experts on separate "
            "trays, and vLLM 0.19 with data-parallel attention and EP on the same rack. It is the only "
            "source that publishes both sides by the wall clock and by kernels, with two places to cut a "
            "layer and two kinds of expert kernels, so it is the one that can tell what a gain is made of.\n"
        ),
        _table(own),
        (
            "At 8K three things besides AFD are in the 1.35: EP pays vLLM's host pause of about 11 ms a "
            "step and AFD does not; AFD's experts run in one fused kernel (dispatch, both products, combine) "
            "and EP's in separate ones; and EP is the best of what fitted its memory on 8 ranks. At 128K, "
            "kernels against kernels, the cut decides: with the attention block and router on the attention "
            "devices (`fix`) AFD loses up to half; with only cache and attention core there (`fmha`, `mega` "
            "where the expert kernel is fused) it goes from .70 with as many FFN as attention devices to "
            "1.26 with seven attention devices for each. Rows with one attention device for each FFN device "
            "(`1a1f`) waste FFN devices: nobody would buy that ratio, and a search does not find it.\n"
        ),
        "What the levels are, tokens/s per device:\n",
        _levels(rows, ("afd-fastafd-qwen", "afd-fix-q235", "afd-fmha-q235")),
        (
            "The best of both modes at 50 ms on up to 128 devices, same kernels for both: "
            f"{_best(eight)} at 8K and {_best(long)} at 128K. Both are too close to call: what FastAFD "
            "gained over vLLM is mostly not the split.\n"
        ),
    ]


def _plugin(pairs: list[dict[str, Any]]) -> list[str]:
    own = [pair for pair in pairs if "-a3-" in pair["afd"]]
    return [
        "## The plugin of vLLM\n",
        (
            f"The [afd-plugin]({PLUGIN}) publishes DeepSeek-V3.2 at 16K on Atlas A3 dies: EP on 64 against "
            "48 + 16 and 64 + 16, all by the wall clock, the balance of experts forced. Forcing leaves every "
            "FFN die with four experts that are ever asked for, so that AFD reads far less than it would "
            "live; EP64, which has four experts a die anyway, gains nothing by it.\n"
        ),
        _table(own),
        (
            "Nearly all of these predictions rest on efficiencies that were never measured on this part "
            "(hence the wide intervals). The plugin's other comparison, Qwen3.5-122B on eight GPUs of one "
            "PCIe host, finds AFD 1.0 % ahead with a spread of .8 %: parity. It ran eagerly, bound by "
            "launches and far from saturation, on a GPU that is not named, so that there is nothing to "
            "predict.\n"
        ),
    ]


def _step3(rows: list[dict[str, Any]]) -> list[str]:
    step = _asked("step-3", "h800", tpot_ms=50, kv_precision="fp8")
    deepseek = _asked("deepseek-v3", "h800", tpot_ms=50)
    (ep, afd), (other, _) = _rates(step), _rates(deepseek)
    return [
        "## Step-3\n",
        (
            f"[Step-3]({STEP3}) serves itself with AFD at up to 4,039 tokens/s per Hopper GPU under 50 ms at "
            "4K, on 32 devices, and sets this against 2,324 of DeepSeek-V3 in the same setting as its makers "
            "serve it with EP: 1.74. The two sides are different models: Step-3 was shaped to be cheap to "
            "decode. The row itself is predicted from its own shape and batch:\n"
        ),
        _levels(rows, ("afd-step3",)),
        (
            f"With both modes free on H800 and the 8-bit cache of the paper, Step-3 reaches {ep:,.0f} "
            f"tokens/s per device with EP and {afd:,.0f} with AFD, and DeepSeek-V3, its cache in bf16, "
            f"{other:,.0f} with EP. So of the ratio between the two models {ep / other:.2f} is the model and "
            f"its cache, and {afd / ep:.2f} the split: AFD over EP of Step-3 is {_best(step)}.\n"
        ),
    ]


def _megascale() -> list[str]:
    options: dict[str, Any] = {"tpot_ms": 150, "context": MEGASCALE_CONTEXT}
    lines = ["| model | best EP | one node, EP or TP | best AFD | AFD / best EP | AFD / one node |"]
    lines.append("|---|---|---|---|---|---|")
    for model in ("mixtral-8x22b", "dbrx"):
        free, node = (_asked(model, "a100-roce-200", **options, **more) for more in ({}, {"devices": 8}))
        (ep, afd), (small, _) = _rates(free), _rates(node)
        lines.append(
            f"| `{model}` | {ep:,.0f} | {small:,.0f} | {afd:,.0f} | {_best(free)} | {afd / small:.2f} |"
        )
    return [
        "## MegaScale-Infer\n",
        (
            f"[MegaScale-Infer]({MEGASCALE}) reports per-GPU decoding throughput at 150 ms per token on "
            "A100 nodes with eight 200 Gbit/s links: up to 2.56 times vLLM and 1.28 times TensorRT-LLM for "
            "Mixtral 8x22B and DBRX, and up to 7.11 and 1.90 times for a model of 317B that is not public. "
            "Both baselines are engines of their time without EP over many devices. Predicted for the two "
            "public models, tokens/s per device:\n"
        ),
        "\n".join(lines) + "\n",
        (
            "Against one node, the baseline of the paper, AFD stands better than against EP over several "
            "nodes, which nobody ran. The gain that is left over the prediction is engine against engine. "
            "The paper's second result, unlike parts for the two sides (H20 for attention, L40S for "
            "experts), is about cost, which `procure` answers for systems of your own.\n"
        ),
    ]


def _xdeepserve(rows: list[dict[str, Any]]) -> list[str]:
    service = {"tpot_ms": 50, "context": 3000, "accept_length": 1.9}
    free, turns = (
        _asked("deepseek-v3", "cloudmatrix384", **service, attention_groups=groups) for groups in (1, 3)
    )
    ep, afd = _rates(free)
    return [
        "## xDeepServe\n",
        (
            f"[xDeepServe]({XDEEPSERVE}) reports 2,400 tokens/s per package, two dies, at about 50 ms on "
            "768 dies of CloudMatrix384: three attention domains of 160 dies take turns at 288 expert "
            "dies. No EP run of the same engine is published beside it. The EP rows of the same system "
            "come from another engine (CloudMatrix-Infer). Levels, per die:\n"
        ),
        _levels(rows, ("afd-xds", "ep-cm384")),
        (
            f"The best of both modes on up to 128 dies: EP {ep:,.0f}, AFD {afd:,.0f}, AFD over EP "
            f"{_best(free)}; with three attention groups that take turns (`--attention-groups 3`) "
            f"{_best(turns)}. The row is predicted as it ran, with three groups of 160 and, as a batch is "
            "sent whole in the timings of the same source, one micro-batch of each.\n"
        ),
    ]


def _roofline() -> list[str]:
    near, far = (_asked("deepseek-v3", system, tpot_ms=50) for system in ("gb200-nvl72", "h800"))
    return [
        "## The roofline paper\n",
        (
            f"[Revealing the challenges of AFD]({ROOFLINE}) compares no throughputs: it bounds the share "
            "of peak that FFN devices reach, and finds a dead zone on standard clusters, where scale-out "
            "bandwidth caps what more FFN devices are fed, and room for AFD on superpods with coarse "
            "experts. Its tables are reproduced by `roofline` (the tests hold them). This model's "
            f"throughputs say the same in order, not in sign: DeepSeek-V3 on H800 {_best(far)}, on GB200 "
            f"NVL72 {_best(near)}. AFD comes closer where the interconnect is wide, and at equal kernels "
            "gets no further than that.\n"
        ),
    ]


def _why() -> list[str]:
    return [
        "## Why they disagree\n",
        (
            "1. **The baseline.** Another model (Step-3), an EP of few devices (MegaScale-Infer), another "
            "engine (FastAFD against vLLM), the same engine (afd-plugin). The closer the baseline, the "
            "closer to 1 the ratio.\n"
            "2. **The clock.** A host pause is in wall-clock rows and not in sums of kernels; dividing one "
            "by the other gives 1.08 where like by like gives 1.35.\n"
            "3. **Kernels.** A fused expert kernel helps whoever has it; `--kernels fused` gives it to "
            "both.\n"
            "4. **Where a layer is cut**, and how many attention devices share an FFN device: at 128K these "
            "move the same rack from .52 to 1.26.\n"
            "5. **Routing.** Forced balance favours the side with fewer experts a device; live routing "
            "favours the side with fewer devices.\n\n"
            "`compare --levers` shows what each of these does to a verdict of your own.\n"
        ),
    ]
