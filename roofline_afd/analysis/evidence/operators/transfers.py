"""Measured transfers as what they send, and the times that link efficiencies give them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.evidence.operators.formats import row_format
from roofline_afd.errors import InputError
from roofline_afd.physics import network, traffic
from roofline_afd.serving.sizes import SCALE_BYTES, Formats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.calibration import LinkEfficiency

    Array = NDArray[np.float64]

PER_EXPERT = "low-latency"
"""Kernels whose published rate counts a copy per expert; others count places, or do not say."""
DEFAULTS = {"dispatch": Formats().dispatch, "combine": Formats().combine, "exchange": Formats().dispatch}
"""Formats that a service sends in by default, for rows that state none."""
LOW_PRECISION = {"low-precision": "nvfp4"}
"""What TensorRT-LLM calls a combine that it sends in nvfp4, a scale for 16 elements with it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Exchange:
    """What dispatch or combine sends, an element per row, and the peaks of the fabrics it crosses."""

    copies_bytes: Array
    scale_up_bytes: Array
    scale_out_bytes: Array
    devices: Array
    scale_up: Array
    scale_out: Array

    @property
    def grows(self) -> bool:
        """Whether any group within one scale-up domain is large enough for its fixed time to grow."""
        return bool(np.any(self.devices[~self.crosses] > network.GROUP_DEVICES))

    @property
    def crosses(self) -> NDArray[np.bool_]:
        """Whether a row's group reaches beyond one scale-up domain."""
        return self.scale_out_bytes > 0

    def times(self, efficiency: LinkEfficiency) -> Array:
        """Return the time of each row [s]."""
        return np.asarray(
            network.transfer_time(
                latency=np.where(
                    self.crosses,
                    efficiency.latency_out_s,
                    network.group_latency(
                        latency=efficiency.latency_up_s,
                        devices=self.devices,
                        latency_growth=efficiency.latency_growth,
                    ),
                ),
                scale_up_bytes=self.scale_up_bytes,
                scale_out_bytes=self.scale_out_bytes,
                scale_up=self.scale_up * efficiency.efficiency_up,
                scale_out=self.scale_out * efficiency.efficiency_out,
                slowdown=network.scale_out_slowdown(
                    devices=self.devices, scale_penalty=efficiency.scale_penalty
                ),
            )
        )


def _exchange(row: Measurement, *, precision: str = "") -> tuple[float, ...]:
    """Return what one row sends, in a format other than its own if asked."""
    values, system = row.numbers, row.system
    width, devices = values["hidden"], values["n_devices"]
    name = precision or row.texts["precision"] or DEFAULTS[row.operator]
    size = row_format(row, "precision", name).bytes
    scales = SCALE_BYTES.get(name, 0.0)
    sent = traffic.pair_traffic(
        tokens=values["tokens"],
        top_k=values["top_k"],
        width=width,
        bytes_per_element=size,
        scale_bytes_per_element=scales,
        devices=devices,
        devices_per_node=system.scale_up_domain_devices,
    )
    copies = values["tokens"] * values["top_k"] * width * (size + scales)
    return copies, *_over(row, sent)


def _over(row: Measurement, sent: traffic.Traffic) -> tuple[float, ...]:
    """Return volumes, devices and peaks of the fabrics of a row's transfer."""
    system, devices = row.system, row.numbers["n_devices"]
    if devices > system.scale_up_domain_devices and system.scale_out is None:
        raise InputError(f"{row.place}: {system.id} has no scale-out fabric, and its domain is smaller")
    out = system.scale_out.bytes_per_s if system.scale_out else 1.0
    up = system.scale_up.bytes_per_s
    return float(sent.scale_up_bytes), float(sent.scale_out_bytes), devices, up, out


def as_sent(row: Measurement) -> Measurement:
    """Return a row with the format that it sends in by the name the catalogue has for it."""
    name = LOW_PRECISION.get(row.texts["precision"]) if row.operator == "combine" else None
    return dataclasses.replace(row, texts={**row.texts, "precision": name}) if name else row


def exchange_of(rows: Sequence[Measurement]) -> Exchange:
    """Return what the transfers of rows send; InputError where a format or fabric is unknown.

    Rows that state no format send in the one that a service takes by default.
    """
    return Exchange(*np.array([_exchange(row) for row in rows], dtype=float).T)


def copies_bytes(row: Measurement) -> float:
    """Return the bytes of all copies of a dispatch or combine row, those that stay included [B]."""
    if row.family and PER_EXPERT not in row.texts["kernel"].lower():
        raise InputError(
            f"{row.place}: whether gb_per_s counts a copy per expert or per place depends on the kernel: "
            "give latency_us"
        )
    return _exchange(row)[0]


def exchange_time(row: Measurement, efficiency: LinkEfficiency) -> tuple[float, bool]:
    """Return the time of a whole exchange, or of an all-to-all, and whether it leaves a domain.

    Parameters
    ----------
    row : Measurement
        An `exchange`: a dispatch in the row's precision, and a combine as a service sends it by default; or
        an `alltoall` of `message_bytes` from each device.
    efficiency : LinkEfficiency
        What the system's links reach.

    Returns
    -------
    float
        Time [s].
    bool
        Whether the group reaches beyond one scale-up domain.
    """
    if row.operator == "exchange":
        sent = [_exchange(row), _exchange(row, precision=Formats().combine)]
    else:
        volume = traffic.pair_traffic(
            tokens=row.numbers["message_bytes"],
            top_k=1,
            width=1,
            bytes_per_element=1,
            devices=row.numbers["n_devices"],
            devices_per_node=row.system.scale_up_domain_devices,
        )
        sent = [(row.numbers["message_bytes"], *_over(row, volume))]
    every = Exchange(*np.array(sent, dtype=float).T)
    return float(np.sum(every.times(efficiency))), bool(every.crosses[0])
