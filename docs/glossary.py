"""The page of words: those of the field, the columns of answers, and the quantities that `explain` knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

WORDS = {
    "AFD": (
        "attention-FFN disaggregation: attention and experts on two groups of devices, tokens cross "
        "between them twice a layer"
    ),
    "aggregated": "prefill and decode on the same devices",
    "batch": (
        "sequences that share a step; of a device, of an attention group, or of one micro-batch, as "
        "the column says"
    ),
    "break-even": "value of an input at which two answers cost or serve the same",
    "combine": "the way of results from the experts back to their tokens; `dispatch` is the way there",
    "cut": "where a layer is split under AFD: after the attention block, or around the attention core",
    "cycle": "time between two micro-batches of one layer under AFD",
    "dead zone": (
        "FFN node counts over which scale-out fixes the pairs a device receives, so HFU is flat at its floor"
    ),
    "domain": "devices that reach each other at scale-up bandwidth: a node, or a rack",
    "EP": "expert parallelism: every device runs attention and holds some of the experts",
    "fan-out": "how the experts of a token spread over nodes",
    "goodput": "requests a second that are in time",
    "HFU": (
        "hardware FLOPS utilization: operations the model needs over those the device could do in "
        "the whole stage, each at the peak of its format"
    ),
    "ISL, OSL": "tokens of a request to prefill, and to decode",
    "lock-step": "two half batches of EP, one computing while the other communicates",
    "micro-batch": (
        "a part of the batch that is in flight by itself, so that transfers of one hide behind another"
    ),
    "nu": "standard deviation of the tokens that a slot of an attention instance holds",
    "OFU": "operational FLOPS utilization: HFU while the device is at work",
    "P/D": "prefill and decode in two pools of devices",
    "pair": "a token on its way to one of its experts",
    "prefix": "tokens of a request whose cache exists already",
    "r": "attention instances per FFN instance; 8A1F is eight to one",
    "redundant experts": "experts that a second device holds too, so that loads are more even",
    "S_t": "temporal sparsity: the share of the stage in which the device is at work; HFU = OFU x S_t",
    "scale-out": "the network between nodes or racks: InfiniBand, Ethernet",
    "scale-up": "the network inside a domain: NVLink, Unified Bus, xGMI",
    "sigma": "balance of the experts' load: mean over that of the fullest device",
    "stage budget": "the time one stage has per layer and micro-batch, from the latency target",
    "superpod": "a system whose scale-up domain holds both the attention and the FFN side",
    "theta": "mean of the tokens that a slot of an attention instance holds",
    "TPOT": "time per output token after the first",
    "transport": (
        "what is sent to experts: a copy of a token per expert, per device or per node that it meets"
    ),
    "TTFT": "time to the first token",
}
"""What the field calls things; symbols of formulas are in `roofline_afd.nomenclature`."""
TEXT = """# Glossary

## Words
"""
COLUMNS_TEXT = """## Columns of answers

Files and JSON carry the key, tables and charts the label with its unit. Where a formula computes it,
`roofline-afd explain KEY` prints that with numbers put in.
"""
QUANTITIES_TEXT = """## Quantities

What `roofline-afd explain` knows by name; symbols, units and references are with the [formulas](formulas.md).
"""


def page() -> str:
    """Return the page.

    Returns
    -------
    str
        Markdown.
    """
    from roofline_afd.analysis.listing.terms import TERMS
    from roofline_afd.docstrings import documentation
    from roofline_afd.errors import InputError
    from roofline_afd.nomenclature import NOMENCLATURE
    from roofline_afd.view.columns import COLUMNS

    def formula(key: str) -> str:
        from roofline_afd.analysis.listing.terms import find_term

        try:
            name = TERMS[find_term(key)].function.__name__
        except InputError:
            return ""
        return f"[`{name}`](formulas.md#{name})" if name in documented else ""

    documented = {
        term.function.__name__
        for term in TERMS.values()
        if term.function.__module__.startswith("roofline_afd.physics")
    }
    quantities = {name: documentation(term.function) for name, term in TERMS.items()}
    parts = [
        TEXT,
        _table("| word | meaning |", (f"| {word} | {meaning} |" for word, meaning in WORDS.items())),
        COLUMNS_TEXT,
        _table(
            "| key | label | unit | formula |",
            (
                f"| `{key}` | {column.label} | {column.unit} | {formula(key)} |"
                for key, column in sorted(COLUMNS.items())
            ),
        ),
        QUANTITIES_TEXT,
        _table(
            "| term | what it is | unit | formula |",
            (
                f"| `{name}` | {document.summary.removeprefix('Return ').replace('|', '/')} | "
                f"{document.returns.unit} | {formula(name)} |"
                for name, document in sorted(quantities.items())
            ),
        ),
        "## Symbols\n\nArguments that formulas share.\n",
        _table(
            "| symbol | meaning |", (f"| `{name}` | {text} |" for name, text in sorted(NOMENCLATURE.items()))
        ),
    ]
    return "\n".join(parts)


def _table(head: str, rows: Iterable[str]) -> str:
    return "\n".join([head, f"|{'---|' * (head.count('|') - 1)}", *rows]) + "\n"
