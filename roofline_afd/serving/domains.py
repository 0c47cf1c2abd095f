"""Where the devices of a deployment lie: in which scale-up domains, how many in each, and what that sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.catalogue.precision import precision
from roofline_afd.physics import network, traffic
from roofline_afd.serving.fan_out import places_hit
from roofline_afd.serving.sizes import DOMAIN_LAYOUTS

if TYPE_CHECKING:
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.arrays import BoolLike, FloatArray, FloatLike
    from roofline_afd.serving.sizes import Deployment, Layers

EVEN, FULL, APART = DOMAIN_LAYOUTS
NODES = "nodes"
"""How groups lie over domains that are single nodes: together in one, else each in nodes of its own."""
FEW = 4
"""Parts up to which each is named."""


class Lying(NamedTuple):
    """How two groups lie: what crosses domains, and whether one domain holds all FFN devices.

    `copies` are those of a token (`group_copies`).
    """

    crossing: traffic.Crossing
    around: BoolLike
    copies: tuple[FloatLike, FloatLike, FloatLike]


def lying_of(layers: Layers, attention: FloatLike, ffn: FloatLike) -> Lying:
    """Return how two groups lie over domains: as asked for, else in the quickest way there is.

    Groups that fit into one domain share it. Domains larger than a node hold equal parts of both groups, or
    one holds all FFN devices with attention devices beside them; nodes belong to one group.

    Parameters
    ----------
    layers : Layers
        The layers, with the layout asked for.
    attention, ffn : float or array
        Devices of both groups [1].

    Returns
    -------
    Lying
        Elementwise.
    """
    system = layers.system("ffn")
    groups = {
        "attention_devices": attention,
        "ffn_devices": ffn,
        "domain_devices": system.scale_up_domain_devices,
    }
    even = traffic.even_crossing(**groups)
    copies = group_copies(layers, np.asarray(ffn))
    alike = system.id == layers.attention.id
    asked = layers.domain_layout if alike else APART
    if not asked and system.scale_up_domain_devices <= system.devices_per_node:
        asked = NODES
    alone_in_it = layers.attention.scale_out is None or not np.any(even.share)
    if asked == EVEN or (not asked and alone_in_it):
        return Lying(even, around=False, copies=copies)
    if asked in {APART, NODES}:
        alone: FloatArray = np.where((even.share > 0) | (asked == APART), 1.0, 0.0)
        return Lying(even._replace(share=alone[()]), around=False, copies=copies)
    full = traffic.around_crossing(**groups)
    if asked == FULL:
        return Lying(full, around=True, copies=copies)
    slowdown = network.scale_out_slowdown(
        devices=np.add(attention, ffn), scale_penalty=layers.calibration("attention").link.out.growth
    )
    quicker = np.less(*(_busiest(layers, each, copies, ffn, slowdown) for each in (full, even)))
    both = zip(full, even, strict=True)
    chosen = traffic.Crossing(*(np.where(quicker, one, other)[()] for one, other in both))
    return Lying(chosen, around=quicker, copies=copies)


def _busiest(
    layers: Layers,
    crossing: traffic.Crossing,
    copies: tuple[FloatLike, FloatLike, FloatLike],
    ffn: FloatLike,
    slowdown: FloatArray,
) -> FloatArray:
    """Return the time of the busiest link of a dispatch, or the messages over it, fixed times aside.

    For one token of all attention devices together [s].
    """
    link = layers.calibration("attention").link
    up, out = layers.bandwidths("attention")
    inside, outside, forwarded = copies
    near = (1.0 - crossing.share) * inside + crossing.share * forwarded
    width = layers.model.dispatch_width * precision(layers.formats.dispatch).bytes
    ends = [
        np.minimum(np.maximum(each, 1.0), ffn) for each in (crossing.near_devices, crossing.sending_devices)
    ]
    messages = near / ends[0], crossing.share * outside / ends[1]
    return network.transfer_time(
        latency=0.0,
        scale_up_bytes=messages[0] * width,
        scale_out_bytes=messages[1] * width,
        scale_up=up,
        scale_out=out,
        slowdown=slowdown,
        scale_up_messages=messages[0],
        scale_out_messages=messages[1],
        scale_up_message_time=link.up.message_s,
        scale_out_message_time=link.out.message_s,
    )


def group_copies(layers: Layers, receivers: FloatArray) -> tuple[FloatLike, FloatLike, FloatLike]:
    """Return the copies of a token that one group sends to another.

    Parameters
    ----------
    layers : Layers
        The layers, with their way of sending tokens.
    receivers : int or array
        FFN devices [1].

    Returns
    -------
    tuple of float or array
        Within one domain, over scale-out, and forwarded within a domain after that [1].
    """
    model, ffn = layers.model, layers.system("ffn")
    pairs = model.mean_top_k

    if layers.transport == "pair":
        return pairs, pairs, 0.0
    if layers.transport == "rank":
        hit = places_hit(layers, layers.expert_places(receivers))
        return hit, hit, 0.0
    nodes = np.maximum(np.ceil(np.divide(receivers, ffn.scale_up_domain_devices)).astype(int), 1)
    return pairs, places_hit(layers, nodes), pairs


class LaidOut(NamedTuple):
    """How a deployment lies over domains: a member of `DOMAIN_LAYOUTS`, how many domains, and in words."""

    layout: str
    domains: int
    words: str


def laid_out(layers: Layers, deployment: Deployment) -> LaidOut:
    """Return where the devices of a deployment lie.

    Parameters
    ----------
    layers : Layers
        The layers it serves, with its way of sending tokens.
    deployment : Deployment
        One deployment, of plain numbers.

    Returns
    -------
    LaidOut
        Under AFD the layout whose dispatch is quickest, where none is asked for.
    """
    system = layers.attention
    senders = int(deployment.attention_devices)
    if deployment.ffn_devices is None:
        filled = layers.domain_layout == FULL
        return LaidOut(
            FULL if filled else EVEN, _used(senders, system), _words(senders, system, filled=filled)
        )
    receivers = int(deployment.ffn_devices)
    theirs = layers.system("ffn")
    lying = lying_of(layers, senders, receivers)
    crossing = lying.crossing
    if theirs.id == system.id and not float(crossing.share):
        return LaidOut(EVEN, 1, f"1 {system.domain_name}")
    if float(crossing.share) < 1.0 and not lying.around:
        used = _used(senders + receivers, system)
        each = f"{_each(senders, used)} attention + {_each(receivers, used)} FFN devices"
        return LaidOut(EVEN, used, f"{used} {system.domain_name}s, {each} in each")
    beside = int(float(crossing.near_devices))
    if lying.around and beside:
        rest = senders - beside
        words = (
            f"1 {system.domain_name} of {receivers} FFN + {beside} attention devices, "
            f"{rest} attention devices in {_words(rest, system, filled=True)}"
        )
        return LaidOut(FULL, 1 + _used(rest, system), words)
    words = f"attention in {_words(senders, system)}, FFN in {_words(receivers, theirs)}"
    return LaidOut(APART, _used(senders, system) + _used(receivers, theirs), words)


def _used(devices: int, system: System) -> int:
    return int(traffic.domains_used(devices=devices, domain_devices=system.scale_up_domain_devices))


def _each(devices: int, domains: int) -> str:
    low, high = devices // domains, -(-devices // domains)
    return f"{low}" if low == high else f"{low} or {high}"


def _words(devices: int, system: System, *, filled: bool = False) -> str:
    """Return the domains of a group alone, and what each holds: 2 racks, 38+38."""
    used = _used(devices, system)
    if used == 1:
        return f"1 {system.domain_name}"
    smallest, largest = (
        int(part)
        for part in traffic.domain_parts(
            devices=devices, domain_devices=system.scale_up_domain_devices, filled=filled
        )
    )
    if smallest == largest and used > FEW:
        return f"{used} {system.domain_name}s of {largest}"
    larger = (devices - smallest) // largest if filled else devices - used * smallest
    parts = [largest] * larger + [smallest] * (used - larger)
    if used <= FEW:
        return f"{used} {system.domain_name}s, {'+'.join(map(str, parts))}"
    return f"{used} {system.domain_name}s of {smallest} or {largest}"
