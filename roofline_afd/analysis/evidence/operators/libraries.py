"""Which library's kernels a measured exchange timed, as far as its engine, kernel and source tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from roofline_afd.catalogue.libraries import load_library
from roofline_afd.catalogue.links import PAIR

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.operators.rows import Measurement

EXCHANGES = ("dispatch", "combine", "exchange")
LOW_LATENCY_TOKENS = 511
"""Most tokens of a rank that DeepEP's low-latency kernels take at the default depth of its queues."""
LIBRARIES = (
    ("deepep-hybrid", r"hybrid-ep", ""),
    ("deepep-v2", r"^deepep-v2|deepep_v2", ""),
    ("uccl-low-latency", r"^uccl", r"low-latency"),
    ("uccl-normal", r"^uccl", ""),
    ("mori", r"^mori", ""),
    ("mori", "", r"^(EP\d+(-V[01])?(-LL)?|v1|v1_ll)$"),
    ("trtllm-one-sided", r"NVLinkOneSided", ""),
    ("trtllm-two-sided", r"NVLinkTwoSided", ""),
    ("pplx-garden", r"^pplx", ""),
    ("nccl-all-to-all", r"^nccl", ""),
    ("deepep-v1-low-latency", "", r"low-latency"),
    ("deepep-v1-normal", "", r"\b(normal|internode)\b"),
)
"""Library, a pattern in the engine or kernel of a row, and one in its kernel; the first that fits counts."""
SOURCES = (
    ("trtllm-one-sided", r"NVLink one-sided"),
    ("deepep-v1-low-latency", r"DeepEP/.*legacy\.md|wideep_deepep_ll"),
    ("hccl", r"arXiv 2506\.12708|arXiv 2508\.02520"),
)
"""Library, and a pattern in the source of rows that name neither engine nor kernel."""
V1 = re.compile(r"^deepep-v1\b")
KERNEL_TIMINGS = ("", "kernel", "isolated")
"""Timings that tell what kernels take; others hold waits and calls of the host as well."""
FAULTS = (
    (
        r"issue 493\b",
        "a cluster whose rate falls to a quarter at four nodes, for a cause that was not found",
    ),
    (r"untypical", "kernels that fell back to the host's path"),
    (r"placeholder", "hardware of the row is a guess of its readers"),
    (r"ECMP routing, before tuning", "a network whose routes collide, before it was tuned"),
    (
        r"attention dies to",
        "three groups of attention devices take turns at these experts: no exchange of one",
    ),
)
"""Pattern in the note or source of a row, and why it says less of its fabric than it claims."""
PROCESSORS = re.compile(r"\b(\d{1,3}) SMs\b")
PROCESSORS_NEEDED = {"deepep-v1-normal": 20, "deepep-hybrid": 8}
"""Processors that the normal kernels take by default, and from which on Hybrid-EP's rows grow no quicker."""
SUPERSEDED = "EP16-V0"


def library_of(row: Measurement) -> str:
    """Return the library whose kernels a row timed; empty where nothing tells."""
    engine, kernel = row.texts["engine"], row.texts["kernel"]
    for name, both, alone in LIBRARIES:
        words = f"{engine} {kernel}" if not both.startswith("^") else engine or kernel
        if re.search(both, words) and re.search(alone, kernel):
            return name
    if V1.match(engine):
        many = row.numbers.get("tokens", 0) > LOW_LATENCY_TOKENS
        return "deepep-v1-normal" if many else "deepep-v1-low-latency"
    return next((name for name, where in SOURCES if re.search(where, row.texts["source"])), "")


def transport_of(row: Measurement) -> str:
    """Return how a row's kernels send: `pair`, `rank` or `node`; a copy per expert where nothing tells."""
    library = library_of(row)
    catalogue = row.system.parts.catalogue
    known = library and catalogue.find("library", library) is not None
    return load_library(library, catalogue=catalogue).transport if known else PAIR


def why_unfit_exchange(row: Measurement) -> str:
    """Return why a row says less of its library on its fabric than it claims; empty where it does not."""
    if row.texts["timing"] not in KERNEL_TIMINGS:
        return f"timed {row.texts['timing']}: waits and calls of the host are in it, links are of kernels"
    told = f"{row.texts['note']} {row.texts['source']}"
    for pattern, why in FAULTS:
        if re.search(pattern, told):
            return why
    if row.texts["kernel"] == SUPERSEDED:
        return "kernels of an earlier design, which later ones of the library replace"
    given = PROCESSORS.search(row.texts["engine"])
    needed = PROCESSORS_NEEDED.get(library_of(row), 0)
    if given and int(given[1]) < needed:
        return f"kernels with fewer processors than the {needed} they need to fill the links"
    return ""
