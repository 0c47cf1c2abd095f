"""Where a decode step spends its time: every operator of every layer, by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, describe_inputs, provenance_notes
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.serving.layer import TRANSPORTS, decode_operators, layers_of
from roofline_afd.serving.scenario import choice, whole

if TYPE_CHECKING:
    from roofline_afd.serving.scenario import Scenario

DEPLOYMENTS = ("ep", "afd")
MAX_CONTEXT_TOKENS = 100_000_000


def breakdown(
    scenario: Scenario,
    *,
    deployment: str = "ep",
    transport: str = "pair",
    batch: int = 128,
    context: int = 4096,
    devices: int = 32,
    ffn_devices: int | None = None,
) -> Answer:
    """Answer where a decode step spends its time, without overlap of any kind.

    Parameters
    ----------
    scenario : Scenario
        Model, system and formats; its latency target plays no part.
    deployment : str
        `ep`: every device does both sides; `afd`: two groups of devices.
    transport : str
        How tokens travel: `pair`, a copy per expert; `rank`, per device hit; `node`, per node hit.
    batch : int
        Sequences of one attention device [1].
    context : int
        Tokens cached of each sequence [1].
    devices : int
        All devices under `ep`, attention devices under `afd` unless the scenario names them [1].
    ffn_devices : int, optional
        FFN devices under `afd`; as many as attention devices where absent [1].

    Returns
    -------
    Answer
        A row per operator: side, layers that have it, time of one layer and of all, share, kind.

    Raises
    ------
    InputError
        If a size is out of bounds or FFN devices are given under `ep`.
    InfeasibleError
        If no fabric of the system connects the devices.
    """
    choice("--deployment", deployment, DEPLOYMENTS)
    choice("--transport", transport, TRANSPORTS)
    if deployment == "ep" and ffn_devices is not None:
        raise InputError("--ffn-devices belongs to --deployment afd; under ep every device does both sides")
    senders = whole("--devices", scenario.attention_devices or devices)
    sizes: dict[str, Any] = {
        "sequences": whole("--batch", batch),
        "context": whole("--context", context, most=MAX_CONTEXT_TOKENS),
        "attention_devices": senders,
    }
    if deployment == "afd":
        sizes["ffn_devices"] = whole("--ffn-devices", ffn_devices or senders)
    layers = layers_of(scenario, deployment=deployment, transport=transport)
    rows: list[dict[str, Any]] = [
        {
            "operator": item.name,
            "side": item.side,
            "layers": item.layers,
            "time_us": float(np.asarray(item.time)) * 1e6,
            "step_time_us": float(np.asarray(item.time)) * 1e6 * item.layers,
            "flops": float(np.asarray(item.flops)),
            "bytes_moved": float(np.asarray(item.bytes_moved)),
            "kind": item.kind,
        }
        for item in decode_operators(layers, **sizes)
    ]
    total = sum(row["step_time_us"] for row in rows)
    if not np.isfinite(total):
        raise InfeasibleError(f"no fabric of {scenario.system.id} connects these devices")
    rows = [{**row, "share": row["step_time_us"] / total} for row in rows if row["time_us"] > 0]
    by_side: dict[str, float] = {}
    for row in rows:
        by_side[row["side"]] = by_side.get(row["side"], 0.0) + row["share"]
    shares = ", ".join(
        f"{side} {share:.0%}" for side, share in sorted(by_side.items(), key=lambda it: -it[1])
    )
    largest = max(rows, key=lambda row: row["step_time_us"])
    estimated = sum(row["share"] for row in rows if row["kind"] == "estimated")
    quantities = ffn_stage_inputs(scenario).quantities
    columns: dict[str, Any] = {}
    for key in rows[0]:
        columns[key] = np.array([row[key] for row in rows], dtype=object)
    return Answer(
        command="breakdown",
        inputs={
            **describe_inputs(scenario, quantities),
            "deployment": deployment,
            "transport": transport,
            "batch": batch,
            "context": context,
            "devices": senders,
            "ffn_devices": sizes.get("ffn_devices"),
        },
        columns=columns,
        summary={
            "step_time_us": total,
            "shares": by_side,
            "estimated_share": estimated,
            "answer": (
                f"One decode step takes {total / 1e3:.1f} ms without overlap: {shares}. "
                f"The largest operator is {largest['operator']}, {largest['share']:.0%}."
            ),
        },
        notes=[
            "times are of one device, one after the other: no overlap, no gap between steps",
            f"{estimated:.0%} of the time rests on efficiencies that were never measured on these parts",
            *provenance_notes(scenario, quantities),
        ],
    )
