"""What several pictures say of their question below the headline, and the FFN node counts they draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.bounds.roofline import check_ffn_nodes
from roofline_afd.errors import InputError
from roofline_afd.units import format_si

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.serving.ffn_stage import FfnStageInputs
    from roofline_afd.serving.scenario import Scenario

MOST_COUNTS = 2000
"""FFN node counts that a picture holds."""


def drawn_counts(ffn_nodes: object) -> NDArray[np.int64]:
    """Return the FFN node counts to draw: in order, each once, and no more than a picture can hold."""
    counts = np.unique(check_ffn_nodes(ffn_nodes))
    if counts.size > MOST_COUNTS:
        raise InputError(f"--ffn-nodes asks for {counts.size:,} counts; a picture holds {MOST_COUNTS:,}")
    return counts


def stage_question(inputs: FfnStageInputs) -> str:
    """Return the question of an FFN stage in a line."""
    scenario = inputs.scenario
    parts = [
        f"{scenario.system.name} x {scenario.model.name}",
        f"TPOT {scenario.latency_ms:g} ms",
        f"accept length {scenario.accept_length:g}" if scenario.accept_length != 1 else "",
        f"gap {scenario.gap_ms:g} ms" if scenario.gap_ms else "",
        f"{scenario.microbatches} micro-batches",
        f"stage budget {format_si(inputs.stage_budget, 's')}",
        f"experts {scenario.weights.id}, dispatch {scenario.dispatched.id}, combine {scenario.combined.id}",
        f"{scenario.attention_devices} attention devices" if scenario.attention_devices else "",
        f"{scenario.links} links, fan-out {scenario.fan_out}, {scenario.duplex} duplex",
    ]
    return " · ".join(filter(None, parts))


def search_question(scenario: Scenario, varied: Sequence[str] = ()) -> str:
    """Return the question of a search in a line, without the inputs that a map varies."""
    devices = f"{scenario.devices} devices" if scenario.devices else f"up to {scenario.max_devices} devices"
    sides = (scenario.side("attention"), scenario.side("ffn"))
    pair = f" (AFD: {sides[0].name} + {sides[1].name})" if sides != (scenario.system,) * 2 else ""
    parts = [
        f"{scenario.system.name}{pair} x {scenario.model.name}",
        f"context {scenario.context:,} tokens" if "context" not in varied else "",
        f"accept length {scenario.accept_length:g}" if scenario.accept_length != 1 else "",
        devices if not {"devices", "max_devices"} & {*varied} else "",
        f"{scenario.links} links" if scenario.links else "",
        f"{scenario.routing} routing" if scenario.routing != "natural" else "",
        f"transport {scenario.transport}" if scenario.transport else "",
    ]
    return " · ".join(filter(None, parts))


def estimate_line(answer: Answer, what: str) -> str:
    """Return the line that marks an estimate; empty where all was measured."""
    return (
        f"{what}: rests on estimates, never measured on these parts." if answer.summary["estimated"] else ""
    )
