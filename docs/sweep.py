"""The page of the sweep: AFD over EP on every system for six models, and what each outlier rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.serving.deployment import Deployment, Deployments

MODELS = (
    "deepseek-v3",
    "kimi-k2",
    "qwen3-235b-a22b",
    "gpt-oss-120b",
    "llama-4-maverick",
    "jamba-1.5-large",
)
TPOT_MS = 50
MAX_DEVICES = 128
FACTOR = 2.0
"""A verdict beyond this factor, either way, is looked at."""
SHARED = ("attention", "dense", "shared_experts", "embeddings")
"""Parts of memory that every device of EP holds whole."""
FEW = 16
"""Sequences of a device that are few."""
DENSE = 1 / 8
"""Dense layers, as a share of those with experts, that are many."""
NEAR = 0.7
"""Share of the time allowed that one sequence takes where the target is near the least latency."""
HOLDS, UNSHARED, UNEXPLAINED = "holds", "dense layers whole", "unexplained"


class Verdict(NamedTuple):
    """Both modes of one question: deployments found, tokens/s per device, and why there is none."""

    deployments: tuple[Deployments, Deployments]
    best: tuple[Deployment | None, Deployment | None]
    rates: tuple[float, float]
    refusals: tuple[str, str]
    nearest: float | None
    """Least time per token of AFD, where it has no deployment [s]."""

    @property
    def ratio(self) -> float | None:
        """AFD over EP; None where neither is feasible."""
        ep, afd = self.rates
        if ep:
            return afd / ep
        return float("inf") if afd else None


def page() -> str:
    """Return the page."""
    from roofline_afd.catalogue.store import Catalogue

    catalogue = Catalogue()
    asked = {record.id: _row(record.id, catalogue) for record in catalogue.records("system")}
    asked = dict(sorted(asked.items()))
    far = [
        (system, model, verdict)
        for system, row in asked.items()
        for model, verdict in row.items()
        if isinstance(verdict, Verdict) and _far(verdict)
    ]
    told = [(system, model, verdict, *_cause(verdict)) for system, model, verdict in far]
    counted = sum(isinstance(verdict, Verdict) for row in asked.values() for verdict in row.values())
    return "\n".join(
        [
            "# Every system\n",
            (
                "Tokens/s per device of the best AFD deployment over those of the best EP deployment at "
                f"{TPOT_MS} ms per token on up to {MAX_DEVICES} devices, all else by default: {counted} "
                f"questions, of which {len(far)} come out beyond a factor of {FACTOR:g} either way. Those "
                "are in bold, and the second table says what each rests on. `AFD`: EP has no deployment; "
                "`none`: neither has; `-`: the catalogue lacks a value. Most figures of parts other than "
                "NVIDIA's rest on estimates (see [what rests on what](resting.md)).\n"
            ),
            *_matrix(asked),
            "\n## Beyond a factor of two\n",
            (
                f"`{HOLDS}`: memory bandwidth, network and the time allowed make it so. `{UNSHARED}`: under "
                "AFD every FFN device holds and reads all dense layers, which EP shares among the devices "
                "that share heads; `--shared-experts attention` puts them beside attention, and is not "
                "searched: AFD may then be less far behind.\n"
            ),
            "| system | model | AFD / EP | EP | AFD | rests on | why |",
            "|---|---|---|---|---|---|---|",
            *(
                f"| `{system}` | `{model}` | {_figure(verdict.ratio)} | {_shape(verdict.best[0])} | "
                f"{_shape(verdict.best[1])} | {kind} | {why} |"
                for system, model, verdict, kind, why in told
            ),
        ]
    )


def lines_of(*systems: str) -> list[str]:
    """Return the lines of the page's first table for some systems: what shows whether it is current."""
    from roofline_afd.catalogue.store import Catalogue

    catalogue = Catalogue()
    _, _, *lines = _matrix({system: _row(system, catalogue) for system in systems})
    return lines


def _row(system: str, catalogue: Catalogue) -> dict[str, Verdict | None]:
    """Return the verdicts of one system by model, None where the catalogue lacks a value."""
    from roofline_afd.catalogue.hardware import load_system
    from roofline_afd.catalogue.models import load_model
    from roofline_afd.errors import InputError
    from roofline_afd.serving.deployment import MODES, Deployments
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.search import search

    found: dict[str, Verdict | None] = dict.fromkeys(MODELS)
    for model in MODELS:
        try:
            scenario = Scenario(
                system=load_system(system, catalogue=catalogue),
                model=load_model(model, catalogue=catalogue),
                tpot_ms=TPOT_MS,
                max_devices=MAX_DEVICES,
            )
            ep, afd = (Deployments(scenario, mode) for mode in MODES)
            results = search(ep), search(afd)
        except InputError:
            continue
        rates = [
            float(each.tokens_per_s_per_device(result.best, each.step(result.best).time))
            if result.best
            else 0.0
            for each, result in zip((ep, afd), results, strict=True)
        ]
        found[model] = Verdict(
            (ep, afd),
            (results[0].best, results[1].best),
            (rates[0], rates[1]),
            (results[0].refusal, results[1].refusal),
            results[1].nearest,
        )
    return found


def _far(verdict: Verdict) -> bool:
    ratio = verdict.ratio
    return ratio is not None and not 1.0 / FACTOR <= ratio <= FACTOR


def _cause(verdict: Verdict) -> tuple[str, str]:
    """Return what an outlier rests on, and why in a sentence."""
    ep, afd = verdict.best
    whole, experts, driver = _held(verdict.deployments[0], ep)
    held = f"{whole:.3g} GB that are no experts and {experts:.3g} GB of experts"
    if ep is None or afd is None:
        return _none(verdict, held, driver)
    few = ep.batch / ep.tensor_parallel
    batches = f"{few:.3g} a device under EP, {afd.batch / afd.tensor_parallel:.3g} on an attention device"
    if verdict.rates[1] > verdict.rates[0]:
        if not few < FEW < afd.batch:
            return UNEXPLAINED, "to be looked at"
        room = f"of {driver:.3g} GB: room for few sequences ({batches})"
        return HOLDS, f"a device of EP holds {held}, {room}; AFD parts them"
    return _behind(verdict, ep, afd, batches)


def _behind(verdict: Verdict, ep: Deployment, afd: Deployment, batches: str) -> tuple[str, str]:
    """Return why AFD is behind."""
    system = verdict.deployments[0].attention
    dense = _dense(verdict.deployments[1], afd)
    if dense:
        return UNSHARED, dense
    least = _least_ms(verdict.deployments[1], afd)
    if least >= NEAR * TPOT_MS:
        told = f"near the least latency: with one sequence a device AFD takes {least:.0f} ms"
        return HOLDS, f"{told}, so that few more fit ({batches}), and its FFN devices come on top"
    if afd.devices <= system.devices_per_node:
        mine, theirs = (_experts_held(verdict.deployments[0], each) for each in (ep, afd))
        out = system.scale_out.bytes_per_s / 1e9 if system.scale_out else 0.0
        told = (
            f"AFD within a node: its {afd.ffn_devices} FFN devices read {theirs:.0f} experts each, for every "
            f"one of {afd.microbatches} micro-batches, EP's {ep.devices} devices {mine:.0f}; across nodes "
            f"all of AFD's copies of a token would leave over the {out:.3g} GB/s of a device"
        )
        return HOLDS, told
    moving, computing = _layer_us(verdict.deployments[1], afd)
    if moving > computing:
        own, _ = _layer_us(verdict.deployments[0], ep)
        told = f"both transfers of a layer take {moving:.0f} us under AFD, attention and experts"
        return HOLDS, f"{told} {computing:.0f}; EP's, over {ep.devices} devices, take {own:.0f}"
    return UNEXPLAINED, "to be looked at"


def _none(verdict: Verdict, held: str, driver: float) -> tuple[str, str]:
    """Return why one of both modes has no deployment."""
    from roofline_afd.serving.limits import LATENCY, MEMORY

    if verdict.best[0] is None and verdict.refusals[0] == MEMORY:
        return HOLDS, f"a device of EP would hold {held}, of {driver:.3g} GB; AFD parts them"
    if verdict.best[1] is None and verdict.refusals[1] == MEMORY:
        dense = _dense(verdict.deployments[1], None)
        return (UNSHARED, dense) if dense else (UNEXPLAINED, "to be looked at")
    if verdict.refusals[1] == LATENCY and verdict.nearest is not None:
        inside, outside = _exchanges_us(verdict.deployments[1])
        told = f"AFD takes {verdict.nearest * 1e3:.1f} ms at least: of its two transfers a layer each costs"
        return HOLDS, f"{told} {outside:.0f} us between nodes before a byte moves ({inside:.0f} within one)"
    return UNEXPLAINED, "to be looked at"


def _dense(deployments: Deployments, best: Deployment | None) -> str:
    """Return what dense layers take of an FFN device of AFD; empty where few layers are dense."""
    from roofline_afd.analysis.decode.memory import memory_of

    model = deployments.scenario.model
    if model.dense_layers <= DENSE * model.moe_layers:
        return ""
    half = deployments.scenario.max_devices // 2
    one = best or deployments.deployment_of(half, half, batch=1)
    parts = memory_of(deployments, one)["ffn_memory"]
    told = f"{model.dense_layers} dense layers take {parts['dense_gb']:.3g} of {parts['driver_gb']:.3g} GB"
    return f"{told} of every FFN device of AFD, and as much reading for every micro-batch"


def _exchanges_us(deployments: Deployments) -> tuple[float, float]:
    """Return the fixed time of a transfer within a domain and between domains, in service [us]."""
    link = deployments.layers(deployments.transport).calibration("attention").link
    up, out = (leg.latency_s * deployments.slowdown * 1e6 for leg in (link.up, link.out))
    return up, out


def _layer_us(deployments: Deployments, best: Deployment) -> tuple[float, float]:
    """Return the time of both transfers of a layer of experts, and of all that it computes [us]."""
    block = next(each for each in deployments.step(best).blocks if not each.dense)
    moving = float(block.dispatch) + float(block.combine)
    return moving * 1e6, (float(block.attention) + float(block.ffn)) * 1e6


def _experts_held(deployments: Deployments, one: Deployment) -> float:
    """Return the experts of a layer that a device holds, those held twice included."""
    held = deployments.scenario.model.routed_experts + float(one.redundant_experts)
    return held / int(one.expert_devices)


def _least_ms(deployments: Deployments, best: Deployment) -> float:
    """Return the time per token of a shape with one sequence a device [ms]."""
    import dataclasses

    one = dataclasses.replace(best, batch=1, microbatches=1)
    return float(deployments.step(one).time) / deployments.scenario.accept_length * 1e3


def _held(deployments: Deployments, best: Deployment | None) -> tuple[float, float, float]:
    """Return what a device of EP holds besides experts, its experts, and its memory [GB]."""
    from roofline_afd.analysis.decode.memory import memory_of

    scenario = deployments.scenario
    one = best or deployments.deployment_of(scenario.max_devices, 0, batch=1)
    parts = memory_of(deployments, one)["memory"]
    whole = sum(parts.get(f"{part}_gb", 0.0) for part in SHARED)
    return whole, parts["experts_gb"], parts["driver_gb"]


def _matrix(asked: dict[str, dict[str, Verdict | None]]) -> Iterator[str]:
    yield "| system | " + " | ".join(f"`{model}`" for model in MODELS) + " |"
    yield "|---" * (len(MODELS) + 1) + "|"
    for system, row in asked.items():
        cells = []
        for verdict in row.values():
            text = "-" if verdict is None else _figure(verdict.ratio)
            cells.append(f"**{text}**" if verdict is not None and _far(verdict) else text)
        yield f"| `{system}` | " + " | ".join(cells) + " |"


def _figure(ratio: float | None) -> str:
    if ratio is None:
        return "none"
    return "AFD" if ratio == float("inf") else f"{ratio:.2f}"


def _shape(one: Deployment | None) -> str:
    """Return devices, batch and micro-batches of a deployment in short."""
    if one is None:
        return "none"
    devices = f"{one.devices}" if one.ffn_devices is None else f"{one.attention_devices} + {one.ffn_devices}"
    return f"{devices}, batch {one.batch} in {one.microbatches}"
