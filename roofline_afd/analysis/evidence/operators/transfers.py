"""Measured transfers as what they send, and the times that link efficiencies give them."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.analysis.evidence.operators.formats import row_format
from roofline_afd.analysis.evidence.operators.libraries import transport_of
from roofline_afd.errors import InputError
from roofline_afd.physics import network, routing, traffic
from roofline_afd.serving.sizes import SCALE_BYTES, Formats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.links import LinkEfficiency

    Array = NDArray[np.float64]

PER_EXPERT = "low-latency"
"""Kernels whose published rate counts a copy per expert; others count places, or do not say."""
DEFAULTS = {"dispatch": Formats().dispatch, "combine": Formats().combine, "exchange": Formats().dispatch}
"""Formats that a service sends in by default, for rows that state none."""
GROUPS = re.compile(r"top-(\d{1,3}) groups")
"""How notes say that the experts of a token come from so many nodes."""
EXPERTS = 256
"""Experts of the layer that kernels are timed on, DeepSeek-V3's, where no column says."""
LOW_PRECISION = {"low-precision": "nvfp4"}
"""What TensorRT-LLM calls a combine that it sends in nvfp4, a scale for 16 elements with it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Exchange:
    """What rows send, a row each, and in it a dispatch or a combine, or one of both; nothing where only one.

    Volumes [B] and messages [1] of a device over each fabric, whether a part is a combine, and of each row
    its devices [1] and the peaks of the fabrics [B/s].
    """

    scale_up_bytes: Array
    scale_out_bytes: Array
    scale_up_messages: Array
    scale_out_messages: Array
    combines: NDArray[np.bool_]
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
        return np.asarray((self.scale_out_bytes > 0).any(axis=1))

    def times(self, link: LinkEfficiency) -> Array:
        """Return the time of each row [s]; of several links, values (sets, 1, 1) each, (sets, rows)."""
        (up_d, share_up_d), (out_d, share_out_d) = (leg.of("dispatch") for leg in (link.up, link.out))
        (up_c, share_up_c), (out_c, share_out_c) = (leg.of("combine") for leg in (link.up, link.out))
        devices = self.devices[:, None]
        parts = network.transfer_time(
            latency=network.exchange_latency(
                latency_up=np.where(self.combines, up_c, up_d),
                latency_out=np.where(self.combines, out_c, out_d),
                latency_growth=link.up.growth,
                devices=devices,
                crosses=self.crosses[:, None],
            ),
            scale_up_bytes=self.scale_up_bytes,
            scale_out_bytes=self.scale_out_bytes,
            scale_up=self.scale_up[:, None] * np.where(self.combines, share_up_c, share_up_d),
            scale_out=self.scale_out[:, None] * np.where(self.combines, share_out_c, share_out_d),
            slowdown=network.scale_out_slowdown(devices=devices, scale_penalty=link.out.growth),
            scale_up_messages=self.scale_up_messages,
            scale_out_messages=self.scale_out_messages,
            scale_up_message_time=link.up.message_s,
            scale_out_message_time=link.out.message_s,
        )
        return np.asarray(np.sum(parts, axis=-1))


class Part(NamedTuple):
    """A dispatch or a combine of one device: bytes and messages over each fabric."""

    scale_up_bytes: float
    scale_out_bytes: float
    scale_up_messages: float
    scale_out_messages: float
    combines: bool


NOTHING = Part(0.0, 0.0, 0.0, 0.0, combines=False)


def nodes_of(row: Measurement) -> float:
    """Return the scale-up domains that a row's devices fill, the last one in part [1]."""
    return float(np.ceil(row.numbers["n_devices"] / row.system.scale_up_domain_devices))


def hit(row: Measurement, places: float) -> float:
    """Return the nodes or devices that a token of a row reaches [1]."""
    experts, nodes = int(row.numbers.get("experts", EXPERTS)), int(nodes_of(row))
    for key in ("top_k", "n_devices"):
        if row.numbers[key] > experts:
            raise InputError(f"{row.place}: {key} {row.numbers[key]:g} is more than the {experts} experts")
    drawn: dict[str, Any] = {"top_k": int(row.numbers["top_k"]), "routed_experts": experts}
    stated = GROUPS.search(row.texts["note"])
    if stated and int(stated[1]) < nodes:
        limited = {"expert_groups": nodes, "groups_per_token": int(stated[1])}
        return float(routing.nodes_hit_grouped(ffn_nodes=int(places), **drawn, **limited))
    return float(routing.nodes_hit_uniform(ffn_nodes=int(places), **drawn))


def vector_of(row: Measurement, form: str = "") -> dict[str, Any]:
    """Return what a copy of a token is made of, in a format other than the row's own if asked."""
    name = form or row.texts["precision"] or DEFAULTS[row.operator]
    size = row_format(row, "precision", name).bytes
    return {
        "width": row.numbers["hidden"],
        "bytes_per_element": size,
        "scale_bytes_per_element": SCALE_BYTES.get(name, 0.0),
    }


def _part(row: Measurement, transport: str, form: str = "", *, combines: bool) -> Part:
    """Return what one device of a row sends one way."""
    devices, system = row.numbers["n_devices"], row.system
    vector: dict[str, Any] = vector_of(row, form)
    where: dict[str, Any] = {"devices": devices, "devices_per_node": system.scale_up_domain_devices}
    tokens = row.numbers["tokens"]
    if transport == "node":
        sent = traffic.node_traffic(
            tokens=tokens, nodes_hit=hit(row, nodes_of(row)), devices_hit=hit(row, devices), **vector, **where
        )
    elif transport == "rank":
        sent = traffic.rank_traffic(tokens=tokens, devices_hit=hit(row, devices), **vector, **where)
    else:
        sent = traffic.pair_traffic(tokens=tokens, top_k=row.numbers["top_k"], **vector, **where)
    size = float(traffic.vector_bytes(**vector))
    up, out = float(sent.scale_up_bytes), float(sent.scale_out_bytes)
    return Part(up, out, up / size, out / size, combines)


def _exchange(rows: Sequence[Measurement], parts: Sequence[tuple[Part, Part]]) -> Exchange:
    """Return rows with what they send; InputError where a group has no fabric to leave its domain over."""
    for row in rows:
        if nodes_of(row) > 1 and row.system.scale_out is None:
            raise InputError(
                f"{row.place}: {row.system.id} has no scale-out fabric, and its domain is smaller"
            )
    up, out, up_messages, out_messages, combines = (
        np.array([[part[key] for part in pair] for pair in parts]) for key in range(len(NOTHING))
    )
    return Exchange(
        scale_up_bytes=up,
        scale_out_bytes=out,
        scale_up_messages=up_messages,
        scale_out_messages=out_messages,
        combines=combines,
        devices=np.array([row.numbers["n_devices"] for row in rows]),
        scale_up=np.array([row.system.scale_up.bytes_per_s for row in rows]),
        scale_out=np.array(
            [row.system.scale_out.bytes_per_s if row.system.scale_out else 1.0 for row in rows]
        ),
    )


def as_sent(row: Measurement) -> Measurement:
    """Return a row with the format that it sends in by the name the catalogue has for it."""
    name = LOW_PRECISION.get(row.texts["precision"]) if row.operator == "combine" else None
    return dataclasses.replace(row, texts={**row.texts, "precision": name}) if name else row


def exchange_of(rows: Sequence[Measurement]) -> Exchange:
    """Return what the exchanges of rows send; InputError where a format or fabric is unknown.

    Rows that state no format send in the one that a service takes by default; an `exchange` is a dispatch in
    its format and a combine as a service sends it by default.
    """
    parts = []
    for row in rows:
        way = transport_of(row)
        first = _part(row, way, combines=row.operator == "combine")
        both = row.operator == "exchange"
        parts.append((first, _part(row, way, Formats().combine, combines=True) if both else NOTHING))
    return _exchange(rows, parts)


def alltoall_of(row: Measurement) -> Exchange:
    """Return what an all-to-all of `message_bytes` from each device sends."""
    volume = traffic.pair_traffic(
        tokens=row.numbers["message_bytes"],
        top_k=1,
        width=1,
        bytes_per_element=1,
        devices=row.numbers["n_devices"],
        devices_per_node=row.system.scale_up_domain_devices,
    )
    part = Part(float(volume.scale_up_bytes), float(volume.scale_out_bytes), 0.0, 0.0, combines=False)
    return _exchange([row], [(part, NOTHING)])


def copies_bytes(row: Measurement) -> float:
    """Return the bytes of all copies of a dispatch or combine row, those that stay included [B]."""
    if row.family and PER_EXPERT not in row.texts["kernel"].lower():
        raise InputError(
            f"{row.place}: whether gb_per_s counts a copy per expert or per place depends on the kernel: "
            "give latency_us"
        )
    values = row.numbers
    return float(values["tokens"] * values["top_k"] * traffic.vector_bytes(**vector_of(row)))
