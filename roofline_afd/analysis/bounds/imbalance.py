"""What load imbalance of experts costs: expert parallelism against disaggregation in whole nodes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, Decisive, Words
from roofline_afd.analysis.bounds.loads import Routing, check_sigma, routing_of
from roofline_afd.errors import InputError
from roofline_afd.physics import imbalance as physics
from roofline_afd.serving.checks import finite, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.analysis.bounds.questions import Imbalance

GIVEN, EXPECTED, LOW, MEAN, HIGH = "given", "expected", "batch p10", "batch mean", "batch p90"
LOADS = (GIVEN, EXPECTED, LOW, MEAN, HIGH)
"""What the sigma of a row is: given, that of endless batches, or that of random batches."""
ROUNDINGS = ("exact", "floor", "ceil")
TABLE_KEYS = (
    "sigma",
    "alpha_ep",
    "alpha_afd_continuous",
    "alpha_afd",
    "afd_rounding_penalty",
    "attention_nodes_used",
    "rounding",
)
OF_ROUTING = {
    "--placement": "placement",
    "--devices": "devices",
    "--model": "model",
    "--routed-experts": "routed_experts",
    "--top-k": "top_k",
    "--redundant-experts": "redundant_experts",
    "--batch-tokens": "tokens",
    "--batches": "batches",
    "--seed": "seed",
}
"""Options that say where sigma comes from, and the fields of the question that hold them."""
NEGLIGIBLE_PENALTY = 0.01
"""Rounding to whole nodes that costs no more than this share of throughput is not worth more nodes."""
NOTHING = 5e-4
"""Shares below this are shown as 0.0%."""


def imbalance(question: Imbalance) -> Answer:
    """Answer what load imbalance of experts costs expert parallelism and disaggregation.

    Parameters
    ----------
    question : Imbalance
        What is asked.

    Returns
    -------
    Answer
        A row per sigma: the throughput left, as a share of that of a balanced load.

    Raises
    ------
    InputError
        If a value is out of bounds, a file is faulty, or not exactly one of the three is given.
    """
    attention = whole("--attention-nodes", question.attention_nodes)
    ffn = whole("--ffn-nodes", question.ffn_nodes)
    lambda_ep = question.lambda_ep
    ratio = attention / ffn if lambda_ep is None else finite("--lambda-ep", lambda_ep, above=0)
    sources = {"--sigma": question.sigma, "--expert-counts": question.expert_counts, "--zipf": question.zipf}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        what = f"{' and '.join(given)} exclude each other" if given else "how uneven the load is, is missing"
        raise InputError(f"{what}: give exactly one of {', '.join(sources)}")
    inputs: dict[str, Any] = {"attention_nodes": attention, "ffn_nodes": ffn, "lambda_ep": ratio}
    notes: list[str] = []
    if lambda_ep is None:
        notes.append(
            Decisive(
                f"--lambda-ep is taken as {attention} / {ffn} = {ratio:g}: attention and FFN times of expert "
                "parallelism in the ratio of the nodes of disaggregation"
            )
        )
    if question.sigma is not None:
        routing, sigmas = None, check_sigma(question.sigma)
        loads = np.zeros(sigmas.size, np.int8)
        inputs |= {"sigma": sigmas.tolist(), "values": {}}
        unused = [option for option, name in OF_ROUTING.items() if getattr(question, name) is not None]
        if unused:
            notes.append(
                Decisive(
                    "set by the user, but with --sigma this answer does not depend on it: "
                    f"{', '.join(unused)}"
                )
            )
    else:
        routing = routing_of(question, ffn)
        sigmas = routing.sigmas()
        loads = np.arange(1, len(LOADS), dtype=np.int8)
        inputs |= routing.inputs
        notes += routing.notes
    columns = _columns(sigmas, ratio, attention, ffn)
    summary = _summary(columns, ratio, attention, ffn, routing)
    return Answer(
        command="imbalance",
        inputs=inputs,
        columns={"load": Words(loads, LOADS), **columns},
        summary=summary,
        notes=[
            *notes,
            (
                "expert parallelism adapts its batch in any small step; disaggregation runs whole attention "
                "nodes and gives the others back: all shares are throughput per node or device in use"
            ),
        ],
        table_keys=TABLE_KEYS if routing is None else ("load", *TABLE_KEYS),
    )


def _columns(
    sigmas: NDArray[np.float64], ratio: float, attention: int, ffn: int
) -> dict[str, NDArray[Any] | Words]:
    """Return the columns of all rows but the label of the load."""
    nodes = {"attention_nodes": attention, "ffn_nodes": ffn}
    below = physics.attention_nodes_floor(sigma=sigmas, attention_nodes=attention)
    above = physics.attention_nodes_ceil(sigma=sigmas, attention_nodes=attention)
    used = physics.attention_nodes_used(sigma=sigmas, **nodes)
    scale = physics.scale_without_rounding(sigma=sigmas, **nodes, tolerance=NEGLIGIBLE_PENALTY)
    rounding = np.where(below == above, 0, np.where(used == below, 1, 2)).astype(np.int8)
    return {
        "sigma": sigmas,
        "alpha_ep": physics.alpha_continuous(sigma=sigmas, attention_over_ffn=ratio),
        "alpha_afd_continuous": physics.alpha_continuous(sigma=sigmas, attention_over_ffn=attention / ffn),
        "alpha_afd": physics.alpha_afd(sigma=sigmas, **nodes),
        "afd_rounding_penalty": physics.afd_rounding_penalty(sigma=sigmas, **nodes),
        "attention_nodes_used": used.astype(np.int64),
        "rounding": Words(rounding, ROUNDINGS),
        "attention_nodes_for_small_penalty": (scale * attention).astype(np.int64),
        "ffn_nodes_for_small_penalty": (scale * ffn).astype(np.int64),
    }


def _summary(
    columns: dict[str, NDArray[Any] | Words],
    ratio: float,
    attention: int,
    ffn: int,
    routing: Routing | None,
) -> dict[str, Any]:
    """Return the answer in a sentence, and the numbers it is made of."""
    numbers = {key: value for key, value in columns.items() if not isinstance(value, Words)}
    rows = slice(None) if routing is None else slice(LOADS.index(MEAN) - 1, LOADS.index(MEAN))
    sigmas, penalty = numbers["sigma"][rows], float(numbers["afd_rounding_penalty"][rows].max())
    small = int(numbers["attention_nodes_for_small_penalty"][rows].max())
    small_ffn = int(numbers["ffn_nodes_for_small_penalty"][rows].max())
    lost = {key: 1.0 - numbers[key][rows] for key in ("alpha_ep", "alpha_afd")}
    used = numbers["attention_nodes_used"][rows]
    run = ""
    if used.size == 1 and used[0] != attention:
        run = f", {used[0]} attention node{'s' if used[0] > 1 else ''} run"
    if routing is None:
        where = f"At sigma {_range(sigmas, '.4g')}"
    else:
        expected, low, mean, high = numbers["sigma"].tolist()
        where = (
            f"Batches of {routing.tokens:,} tokens have sigma {mean:.3g} on average, {low:.3g} to {high:.3g} "
            f"in eight of ten, {expected:.3g} if they were endless; at the average"
        )
    text = (
        f"{where}, imbalance costs EP {_range(lost['alpha_ep'], '.1%')} and AFD ({attention}A{ffn}F{run}) "
        f"{_range(lost['alpha_afd'], '.1%')} of throughput"
    )
    if penalty < NOTHING:
        text += ", nothing of it by rounding to whole attention nodes."
    else:
        most = f"{penalty:.1%}" if sigmas.size == 1 else f"at most {penalty:.1%},"
        extra = "AFD's extra" if math.isclose(ratio, attention / ffn) else "of AFD's loss"
        if sigmas.size > 1:
            extra += ","
        fades = (
            "less with more nodes"
            if small == attention
            else f"below {NEGLIGIBLE_PENALTY:.0%} from {small}A{small_ffn}F on"
        )
        text += f"; {extra} {most} is rounding to whole attention nodes, {fades}."
    return {
        "lambda_ep": ratio,
        "lambda_afd": attention / ffn,
        "largest_rounding_penalty": penalty,
        "attention_nodes_for_small_penalty": small,
        "ffn_nodes_for_small_penalty": small_ffn,
        **({"weakest_kind": routing.weakest_kind} if routing else {}),
        "answer": text,
    }


def _range(values: NDArray[Any], form: str) -> str:
    """Return the least and the largest of some values, or the one they all show as."""
    low, high = (format(float(value), form) for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"
