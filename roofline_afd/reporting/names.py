"""Ids and keys in a reader's words: names of candidates, of serving modes, and of uncertain inputs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from roofline_afd.analysis.purchase.candidates import candidate_name, is_pair
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.view.columns import column

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.scenario import Scenario

MODE_WORDS = {
    EP: "EP (expert parallelism: every device has attention and some experts)",
    AFD: "AFD (attention-FFN disaggregation: some devices have attention, others the experts)",
}
QUANTITIES = {
    "memory_gb_per_s": "memory bandwidth",
    "memory_gb": "memory",
    "scale_up_gb_per_s": "scale-up bandwidth",
    "scale_out_gb_per_s": "scale-out bandwidth",
    "context": "context",
    "gap_ms": "pause between steps",
    "sigma_dp": "balance of attention devices",
    "sigma_ep": "balance of experts",
    "accept_length": "tokens accepted a step",
    "memory_reserve": "memory kept free",
    "tpot_ms": "latency target",
    "launch_us": "time to start",
    "depth_ns": "time per step of a product's depth",
    "latency_out_us": "delay across nodes",
    "latency_up_us": "delay within a domain",
    "efficiency_out": "share of the scale-out rate reached",
    "efficiency_up": "share of the scale-up rate reached",
    "memory_efficiency": "share of memory bandwidth reached",
    "compute_efficiency": "share of the peak rate reached",
    "half_saturation_tokens": "tokens for half the peak rate",
    "communication_slowdown": "slowdown of transfers in live service",
    "router_us": "time of the router",
    "other_us": "time of small kernels",
    "latency_growth": "growth of the delay with devices",
    "scale_penalty": "loss of rate with devices",
    "popularity_exponent": "evenness of expert popularity",
    "exponent": "evenness of routing",
}
"""What the last part of an input's key means."""
PARTS = {
    "gemm": "matrix products",
    "grouped_gemm": "products of experts",
    "mla_decode": "attention over the cache",
    "gqa_decode": "attention over the cache",
    "link": "links",
}
"""What the part before it means: a kernel, or the links."""
DEFAULT = "default"
"""Record of estimates for whatever was not timed."""


def input_name(key: str) -> str:
    """Return an uncertain input in words.

    Parameters
    ----------
    key : str
        As the column `input` of `sensitivity` has it.

    Returns
    -------
    str
        What it is; its record in brackets where that is not plain from it.

    Examples
    --------
    >>> input_name("memory_gb_per_s")
    'memory bandwidth'
    >>> input_name("default.grouped_gemm.memory_efficiency")
    'products of experts: share of memory bandwidth reached (estimate)'
    """
    *before, last = key.split(".")
    told = QUANTITIES.get(last) or column(last).label
    parts = [PARTS.get(part, part.replace("_", " ")) for part in before[1:]]
    name = ": ".join([*parts, told])
    if not before or before[0] in {"service", "routing"}:
        return name
    return f"{name} ({'estimate' if before[0] == DEFAULT else before[0]})"


def in_words(text: str, keys: Iterable[str]) -> str:
    """Return a sentence with the keys of inputs in words.

    Parameters
    ----------
    text : str
        A sentence of `sensitivity`.
    keys : iterable of str
        Keys that may stand in it.

    Returns
    -------
    str
        The same, for readers.
    """
    known = sorted(set(keys), key=len, reverse=True)
    if not known:
        return text
    pattern = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, known))})(?![\w])")
    return pattern.sub(lambda found: input_name(found.group()), text)


def system_name(system: System) -> str:
    """Return the name of a system without its nodes and fabric."""
    return re.split(r"[,(]", system.name)[0].strip() or system.id


def names_of(scenarios: Sequence[Scenario]) -> Mapping[str, str]:
    """Return what candidates are called: short where that tells them apart, with node and fabric where not.

    Parameters
    ----------
    scenarios : sequence of Scenario
        One question per candidate.

    Returns
    -------
    mapping of str to str
        By the name of the candidate in rows; of a pair, attention + FFN. Systems are in it by their ids.
    """
    systems = {system.id: system for each in scenarios for system in map(each.side, ("attention", "ffn"))}
    short = {key: system_name(system) for key, system in systems.items()}
    told = list(short.values())
    names = {key: systems[key].name if told.count(name) > 1 else name for key, name in short.items()}
    pairs = {
        candidate_name(each): " + ".join(names[each.side(side).id] for side in ("attention", "ffn"))
        for each in scenarios
        if is_pair(each)
    }
    return names | pairs


def named(candidate: str, names: Mapping[str, str]) -> str:
    """Return the name of a candidate; of one that prefills on another system, both."""
    return ", prefill on ".join(reversed([names.get(part, part) for part in candidate.split(":")]))
