"""Rates that published exchanges state, and the times they imply: what they count depends on the kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.operators.libraries import EXCHANGES, transport_of
from roofline_afd.analysis.evidence.operators.transfers import hit, nodes_of, vector_of
from roofline_afd.analysis.evidence.operators.work import measured_us
from roofline_afd.physics import traffic

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.operators.rows import Measurement

FIRST = re.compile(r"deepep-v1\b")
"""Engines whose benchmark prints the rate of the leg between nodes first, where there is one."""
OUT = re.compile(r"RDMA leg|InfiniBand bandwidth|logical bandwidth")
"""How notes say that a rate counts the leg between nodes, with the copy that stays in the node."""
UP = re.compile(r"NVLink leg|one NVLink domain|logical bandwidth|xGMI(?! leg)")
"""How notes say that it counts the leg within a node, with the copy that stays with the device."""


def implied_us(row: Measurement) -> float:
    """Return the measured time of a row: as it states it, else what the rate of one leg implies [us].

    Parameters
    ----------
    row : Measurement
        A complete row.

    Returns
    -------
    float
        Time [us]. Where kernels that send a copy per node state a rate alone, it is that of all copies over
        one leg, that which stays included, under even routing: between nodes a copy per node reached, within
        a node one per device reached. The prediction counts the same copies, so that the routing assumed
        matters little to its error.

    Raises
    ------
    InputError
        If the row states a rate, and neither its note nor its kernel tells what that counts.
    """
    values = row.numbers
    alone = not {"latency_us", "tflops"} & values.keys() and row.operator != "exchange"
    if not (alone and row.operator in EXCHANGES and transport_of(row) == "node"):
        return measured_us(row)
    note, across = row.texts["note"], nodes_of(row) > 1
    stated = (OUT if across else UP).search(note) or "algorithm bandwidth" in note
    if not stated and not (across and FIRST.match(row.texts["engine"]) and "NVLink" not in note):
        return measured_us(row)
    reached = hit(row, nodes_of(row) if across else values["n_devices"])
    copies = values["tokens"] * reached * traffic.vector_bytes(**vector_of(row))
    return float(copies / (values["gb_per_s"] * 1e3))
