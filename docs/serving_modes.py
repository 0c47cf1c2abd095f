"""The page on serving modes: what the model says where a paper has printed what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.serving.deployment import AFD, EP, Deployment, Deployments
from roofline_afd.serving.modes.pools import ways_to_prefill
from roofline_afd.serving.modes.question import SERVING_MODES, Question
from roofline_afd.serving.modes.search import explore_modes
from roofline_afd.serving.modes.workers import Workers
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.sizes import Prompt
from roofline_afd.serving.workload import WORKLOADS, Workload

if TYPE_CHECKING:
    from roofline_afd.serving.modes.search import ModeFound

SYSTEM, DEVICES = "b200", 128
MODELS = ("qwen3-235b-a22b", "deepseek-v3.2", "gpt-oss-120b", "nemotron-3-super-120b-a12b")
STRICT_TTFT_MS = {"chat": 50.0, "coding": 100.0, "agentic": 150.0}
STRICT_TPOT_MS = 15.0
PUBLISHED = {"chat": (3970, 763), "coding": (3815, 1564), "agentic": (3881, 3309)}
"""Tokens/s of agg+afd and pd+afd on the cluster under the strict limits, arXiv 2605.28302."""
SHARES = {
    "gpt-oss-120b": (40, 41, 42, 62),
    "qwen3-235b-a22b": (51, 59, 66, 87),
    "deepseek-v3.2": (22, 51, 73, 96),
    "nemotron-3-super-120b-a12b": (15, 15, 15, 19),
}
"""Attention's share of the runtime at `CONTEXTS`, per cent, arXiv 2605.28302."""
CONTEXTS = (4096, 65_536, 131_072, 524_288)
GIB = 2.0**30
MILLION = 1 << 20
TEXT = """# Serving modes

`roofline-afd explore` searches four ways to serve a model on a cluster, for requests of a cached prefix, an
input to prefill (ISL) and an output to decode (OSL):

| mode | prefill and decode | attention and experts |
|---|---|---|
| `agg` | on the same devices, prompts in chunks among the decode steps | together (expert parallelism) |
| `pd` | in two pools; the cache of each prompt moves once | together |
| `agg+afd` | on the same devices | in two groups (AFD) |
| `pd+afd` | in two pools | in two groups, in both pools |

What is searched, for each: replicas of every size up to a node and of whole nodes beyond (`--granularity
device`: every size), every split into attention and FFN devices, heads of attention shared by 1, 2, 4 ...
devices of a node, experts whole or cut over them, 1 to 4 micro-batches, chunks of equal parts of a prompt
or of whole prompts, and every batch, by bisection where a limit cuts; for two pools every pair of replicas
and every number of each. A replica no larger than a scale-up domain stays within one; what is left over is
idle and counted.

How the times come about:

- **Step.** The operators of the decoded sequences and of the prompt's chunk, products of both as one, core
  attention of each by itself (causal: half the square, linear in the prefix). Micro-batches overlap as in
  `predict`. A batch rounds up to whole micro-batches.
- **Aggregated.** An attention group carries a chunk in a share f of its steps, so that as many prompts are
  prefilled as requests finish (`explain mixed_share`). Groups of a replica step together and carry theirs
  each for itself, so that most steps of many groups would wait for somebody's prompt (`explain
  mean_step_time`); prompts therefore wait for every n-th step, as engines let them, n as large as all are
  prefilled and the first token is in time. TPOT is the mean step over the accepted length, TTFT the wait for
  such a step and all chunks, without queueing. `load` follows requests one by one.
- **Two pools.** Requests per second are those of the slower pool (`explain matched_rate`); TTFT is the
  prefill of the prompt's batch and the transfer of its cache (`--kv-moved`, `--kv-overlap`, `--kv-link`), one
  decode step more with `--first-token decode`. No pool gets more requests than its links carry caches.
- **Memory.** Weights, caches at their longest, and the working memory of a chunk, on each side by itself.
  Shared heads split weights and, where heads are cached, the cache; a latent is held whole by every device.
- **Queueing** only with `--request-rate`: the wait of an M/G/1 queue before each attention group.

Left out: the time prompts take from each other at their arrival (without a rate), prefix caches that are
evicted, and replicas no larger than a domain that lie across two.
"""


def page() -> str:
    """Return the text of the page."""
    return _lines(TEXT, _strict(), _loose(), _fast_end(), _memory(), _shares(), _prefill_pair())


def _text(text: str) -> str:
    """Return a paragraph, so that its pieces are not taken for items of a list."""
    return text


def _lines(*parts: str) -> str:
    return "\n".join(parts)


def _scenario(model: str, **options: Any) -> Scenario:  # noqa: ANN401 - fields of the scenario
    return Scenario(system=SYSTEM, model=model, kv_precision="fp8", **options)


def _explored(
    model: str,
    workload: str,
    heads: int | None = None,
    **options: Any,  # noqa: ANN401
) -> dict[str, ModeFound]:
    scenario = _scenario(model, tensor_parallel=heads)
    return explore_modes(
        Question(
            scenario=scenario, prefill=scenario, workload=WORKLOADS[workload], devices=DEVICES, **options
        )
    )


def _shape(found: ModeFound) -> str:
    """Return the best of a mode in a few words."""
    best = found.best
    if best is None:
        return f"- ({found.refusal})"
    return f"{best['rate'] * DEVICES:,.0f} ({_replicas(best, '')})"


def _replicas(best: dict[str, float], prefix: str) -> str:
    """Return replicas in a few words."""
    attention, ffn = (round(best[f"{prefix}{key}"]) for key in ("attention", "ffn"))
    what = f"({attention}A+{ffn}F)" if ffn else f"{attention}"
    heads = round(best[f"{prefix}tp"])
    own = f"{best[f'{prefix}replicas']:.0f} x {what}" + (f" TP{heads}" if heads > 1 else "")
    if prefix or "p_attention" not in best:
        return own
    return f"P {_replicas(best, 'p_')}, D {own}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _strict() -> str:
    parts = [
        "## Strict limits: does only AFD meet them?\n",
        _text(
            "arXiv 2605.28302 serves DeepSeek-V3.2 in fp8 on 128 B200 with 50, 100 and 150 ms TTFT for "
            "chat, coding and agentic requests and 15 ms TPOT, and finds both modes without AFD infeasible "
            "and AFD at about 4,000 tokens/s. Tokens/s of the cluster here, with fp8 caches:\n"
        ),
    ]
    verdicts = []
    for title, heads in (
        ("every way to share heads searched", None),
        ("heads never shared (`--tensor-parallel 1`)", 1),
    ):
        rows, least = [], []
        for workload, ttft in STRICT_TTFT_MS.items():
            limited = _explored("deepseek-v3.2", workload, heads, ttft_ms=ttft, tpot_ms=STRICT_TPOT_MS)
            free = _explored("deepseek-v3.2", workload, heads)
            rows.append([workload, *(_shape(limited[mode]) for mode in SERVING_MODES)])
            least.append(
                [
                    workload,
                    *(
                        f"{each.least_ttft * 1e3:.0f}, {each.least_tpot * 1e3:.1f}, "
                        f"{each.least_product * 1e6:,.0f}"
                        for each in (free[mode] for mode in SERVING_MODES)
                    ),
                ]
            )
            product = {mode: free[mode].least_product for mode in SERVING_MODES}
            verdicts.append((title, workload, product))
        parts += [
            f"With {title}:\n",
            _table(["tokens/s under the limits", *SERVING_MODES], rows),
            "Least TTFT [ms], least TPOT [ms], and least product of both [ms^2] without limits:\n",
            _table(["", *SERVING_MODES], least),
        ]
    lines = []
    lower = dict.fromkeys((title for title, _, _ in verdicts), 0)
    for title, workload, product in verdicts:
        with_afd = min(product["agg+afd"], product["pd+afd"])
        without = min(product["agg"], product["pd"])
        lower[title] += with_afd < without
        lines.append(
            f"- {workload}, {title}: AFD reaches {with_afd * 1e6:,.0f} ms^2, the modes without it "
            f"{without * 1e6:,.0f} ({'AFD lower' if with_afd < without else 'AFD not lower'})."
        )
    told = "; ".join(
        f"with {title}, AFD has the lower product for {count} of {len(STRICT_TTFT_MS)}"
        for title, count in lower.items()
    )
    parts += [
        "TTFT times TPOT, the best of either kind:\n",
        "\n".join(lines) + "\n",
        _text(
            f"So it turns on **whether devices may share the heads of attention**: {told}. Where heads are "
            "never shared, a prompt's attention runs on one device in the modes without AFD, next to all of "
            "that device's experts, while AFD gives attention devices of its own. Heads shared by up to 8 "
            "devices of a node shorten both, and AFD's transfers and fixed times then cost more than its "
            "separation saves. Limits that no mode meets here (the first table) are missed by steps of "
            "measured kernels with their fixed times; the paper's are bounds. Its AFD figures: "
            + "; ".join(
                f"{name} {agg:,} (agg+afd) and {pd:,} (pd+afd)" for name, (agg, pd) in PUBLISHED.items()
            )
            + " tokens/s.\n"
        ),
    ]
    return "\n".join(parts)


def sample() -> tuple[str, ...]:
    """Return parts of the page that are quickly made: what shows whether it is current."""
    panel = _panel("gpt-oss-120b", "chat", _explored("gpt-oss-120b", "chat"))
    return ("| " + " | ".join(panel) + " |", _memory(), _shares())


def _most(found: dict[str, ModeFound]) -> str:
    """Return the mode that serves most."""
    feasible = {mode: each.best["rate"] for mode, each in found.items() if each.best}
    return max(feasible, key=lambda mode: feasible[mode])


def _panel(model: str, workload: str, found: dict[str, ModeFound]) -> list[str]:
    return [model, workload, f"**{_most(found)}**", *(_shape(found[mode]) for mode in SERVING_MODES)]


def _loose() -> str:
    rows, wins = [], dict.fromkeys(SERVING_MODES, 0)
    eights = 0
    for model in MODELS:
        for workload in WORKLOADS:
            found = _explored(model, workload)
            rows.append(_panel(model, workload, found))
            wins[_most(found)] += 1
            agg = found["agg"].best
            eights += agg is not None and agg["attention"] == 8  # noqa: PLR2004 - a node
    total = sum(wins.values())
    return _lines(
        "## Without limits: what gives most\n",
        "Tokens/s of the cluster of 128 B200, fp8 caches, no limit on either time:\n",
        _table(["model", "workload", "most", *SERVING_MODES], rows),
        f"Aggregated serving gives most in {wins['agg']} of {total} panels, P/D in {wins['pd']}, AFD in "
        f"{wins['agg+afd'] + wins['pd+afd']}; in {eights} of {total} the best aggregated replica has 8 "
        "devices, as in arXiv 2605.28302, whose P/D wins (Qwen3 chat, DeepSeek coding) and AFD wins "
        "(Nemotron coding, GPT-OSS chat) differ in part. Where memory binds, as for half a "
        "million cached tokens of each agentic request of DeepSeek, larger replicas win, whose experts "
        "take less memory from the caches, or heads shared by a node.\n",
    )


def _fast_end() -> str:
    found = _explored("deepseek-v3.2", "agentic")["agg+afd"]
    every = {key: np.concatenate([found.points[key], found.others[key]]) for key in found.points}
    whole = np.flatnonzero(every["attention"] + every["ffn"] == DEVICES)
    fastest = whole[np.argmin(every["tpot"][whole])]
    most = whole[np.argmax(every["rate"][whole])]

    def told(row: np.intp) -> str:
        attention, ffn = (round(float(every[key][row])) for key in ("attention", "ffn"))
        return (
            f"{attention}A+{ffn}F, {ffn / DEVICES:.0%} of the devices for the experts "
            f"(TPOT {every['tpot'][row] * 1e3:.1f} ms, {every['rate'][row] * DEVICES:,.0f} tokens/s)"
        )

    return _lines(
        "## Attention to FFN: where most devices hold experts\n",
        "DeepSeek-V3.2, agentic, one replica of all 128 devices, `agg+afd`:\n",
        f"- quickest next token: {told(fastest)};",
        f"- most tokens: {told(most)}.\n",
        "The paper's quickest deployment is 2A+126F: attention over a latent cache with 2,048 chosen "
        "entries is cheap there. Here each request holds the cache of half a million tokens, which only "
        "attention devices hold, and its index is scanned whole for every token, so even the quickest "
        "deployment keeps more of the devices for attention, and the one that serves most keeps nearly "
        "all.\n",
    )


def _memory() -> str:
    rows = []
    for kv in ("bf16", "fp8"):
        scenario = Scenario(system=SYSTEM, model="qwen3-235b-a22b", kv_precision=kv)
        together, apart = (Deployments(scenario, mode, held_tokens=float(MILLION)) for mode in (EP, AFD))
        rows += [
            [f"EP, {devices} devices", kv, *_held(together, devices, None)]
            for devices in (2, 4, 8, 16, DEVICES)
        ]
        rows += [[f"AFD, 8A+{ffn}F", kv, *_held(apart, 8, ffn)] for ffn in (2, 4, 8, DEVICES - 8)]
    room = _scenario("qwen3-235b-a22b").system.accelerator.memory_bytes * 0.9 / GIB
    return _lines(
        "## A million cached tokens: who runs out of memory\n",
        "GiB on the fullest device, Qwen3-235B with fp8 weights and one request of 2^20 tokens, by the "
        "devices that share heads; an attention and an FFN device under AFD:\n",
        _table(["replica", "cache", "TP1", "TP2", "TP4", "TP8"], rows),
        f"A B200 has 180 GB, of which {room:.0f} GiB are used here. arXiv 2605.28302 prints 298 "
        "GiB without "
        "AFD and 165 GiB with it. The first is a replica of two devices with a bf16 cache (302 GiB here, "
        "+1.5 %; 294 for a round million of tokens). No shape here gives the second within 1.5 "
        "%: under AFD "
        "an attention device holds the whole cache of a request (188 GiB in bf16, 94 in fp8) or, "
        "with heads "
        "shared, a part of it. Larger replicas alone do not lift the wall with a bf16 cache, as "
        "the cache "
        "of one request stays on one device; sharing heads does, with AFD and without: two devices bring "
        "an EP replica of eight to 126 GiB.\n",
    )


def _prefill_pair() -> str:
    """Return the one published pair of prefill with AFD and without, beside what is predicted."""
    work = Workload(prefix=0, isl=32_768, osl=1)
    rates = {}
    halves: dict[str, Any] = {"attention_devices": 16, "ffn_devices": 16}
    for mode, groups in ((EP, {}), (AFD, halves)):
        scenario = Scenario(
            system="cloudmatrix384",
            model="deepseek-v3.2",
            devices=32,
            max_devices=32,
            tensor_parallel=1,
            **groups,
        )
        question = Question(scenario=scenario, prefill=scenario, workload=work, devices=32)
        ways = ways_to_prefill(question, Workers(question, scenario, mode, held=work.prompt))
        own = ways["p_size"] == 32  # noqa: PLR2004 - all devices of the pair
        if mode == AFD:
            own &= ways["p_attention"] == 16  # noqa: PLR2004 - half of them
        rates[mode] = float(np.max(ways["p_rate"][own])) * work.isl / 32
    return _lines(
        "\n## Prefill with AFD\n",
        _text(
            "One pair is published (vllm-project/afd-plugin, pull request 170: DeepSeek-V3.2 on Ascend "
            "A3, prompts of 32K, 16 attention and 16 FFN devices against EP of 32): a capacity of 4,400 "
            "tokens/s instead of 2,600, a batch in 7.06 s instead of 10.01. It says neither the batch "
            "nor the formats, nor what the capacity is of. Predicted for 32 of the 910C of "
            f"CloudMatrix384, heads not shared, are {rates[EP]:,.0f} tokens/s per device with EP and "
            f"{rates[AFD]:,.0f} with AFD: {rates[AFD] / rates[EP]:.2f} of EP, where the pair has 1.69 by "
            "capacity and 1.42 by time. The gain is not reproduced: at such prompts attention is most "
            "of the work, and half of the devices do it. Nothing is fitted to the pair.\n"
        ),
    )


def _held(deployments: Deployments, attention: int, ffn: int | None) -> list[str]:
    cells = []
    for heads in (1, 2, 4, 8):
        if attention % heads:
            cells.append("")
            continue
        sides = deployments.memory(
            Deployment(
                mode=deployments.mode,
                attention_devices=attention,
                ffn_devices=ffn,
                batch=1,
                microbatches=1,
                tensor_parallel=heads,
            )
        )
        values = [f"{float(np.asarray(side)) / GIB:.0f}" for side in sides]
        cells.append(values[0] if ffn is None else ", ".join(values))
    return cells


class Setup(NamedTuple):
    """A step whose shares are taken."""

    text: str
    tokens: int
    heads: int = 1
    devices: int = 8
    prompt: bool = False
    products: bool = True


def _shares() -> str:
    decoding = {
        "gpt-oss-120b": Setup("2 sequences a device", tokens=2),
        "qwen3-235b-a22b": Setup("16 sequences a group of 8", tokens=16, heads=8),
        "deepseek-v3.2": Setup("128 sequences a group of 8", tokens=128, heads=8),
        "nemotron-3-super-120b-a12b": Setup("4 sequences a device", tokens=4, products=False),
    }
    rows, worst = [], [0.0, 0.0]
    for model, decode in decoding.items():
        prompt = Setup("", tokens=256, heads=8, prompt=True, products=decode.products)
        cells = []
        for index, setup in enumerate((prompt, decode)):
            found = [_share(model, context, setup) for context in CONTEXTS]
            off = (abs(one - other) for one, other in zip(found, SHARES[model], strict=True))
            worst[index] = max(worst[index], *off)
            cells.append(", ".join(f"{each:.0f}" for each in found))
        published = ", ".join(str(each) for each in SHARES[model])
        rows.append([model, published, cells[0], cells[1], decode.text])
    return _lines(
        "## Attention's share of a step\n",
        "Per cent at 4K, 64K, 128K and 512K tokens of context, on 8 B200 with fp8 caches and balanced "
        "routing; attention with its projections, transfers counted to the rest:\n",
        _table(
            [
                "model",
                "arXiv 2605.28302",
                "a chunk of 256 prompt tokens, heads shared by 8",
                "decoding",
                "of",
            ],
            rows,
        ),
        f"The largest difference is {worst[0]:.0f} points for the chunk and {worst[1]:.0f} for decoding. The "
        "paper does not say at which batch or in which phase it measured; these set-ups were chosen to be "
        "near. The growth with context is the same in both phases. For Nemotron, most of whose layers keep a "
        "constant state, only reading and updating caches and states is counted as attention.\n",
    )


def _share(model: str, context: int, setup: Setup) -> float:
    """Return attention's share of the layers of one step [%]."""
    deployments = Deployments(_scenario(model, context=context, routing="balanced"), EP)
    deployment = Deployment(
        mode=EP,
        attention_devices=setup.devices,
        batch=0 if setup.prompt else setup.tokens,
        microbatches=1,
        redundant_experts=int(deployments.fill(np.array([setup.devices]))[0]),
        tensor_parallel=setup.heads,
    )
    chunk = Prompt(1.0, float(setup.tokens), float(context - setup.tokens)) if setup.prompt else None
    kinds = {kind.name for kind in deployments.scenario.model.attention}
    attention = rest = 0.0
    for item in deployments.operators(deployment, prompt=chunk):
        time = float(np.max(item.time)) * item.layers
        mixing = item.part in kinds and (setup.products or item.name == "core_attention")
        if item.part != "head":
            attention, rest = attention + time * mixing, rest + time * (not mixing)
    return 100.0 * attention / (attention + rest)
