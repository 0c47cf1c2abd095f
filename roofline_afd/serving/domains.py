"""Where the devices of a deployment lie: in which scale-up domains, and how many in each."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.physics.traffic import domain_parts, domains_used
from roofline_afd.serving.exchange import APART, EVEN, FULL, crossing_of, layouts_of, network_operators
from roofline_afd.serving.sizes import Sizes

if TYPE_CHECKING:
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.sizes import Deployment, Layers

FEW = 4
"""Parts up to which each is named."""


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
    layout = _quickest(layers, deployment)
    crossing = crossing_of(layout, senders, receivers, theirs.scale_up_domain_devices)
    if theirs.id == system.id and not float(crossing.share):
        return LaidOut(EVEN, 1, f"1 {system.domain_name}")
    if layout == EVEN:
        used = _used(senders + receivers, system)
        each = f"{_each(senders, used)} attention + {_each(receivers, used)} FFN devices"
        return LaidOut(EVEN, used, f"{used} {system.domain_name}s, {each} in each")
    beside = int(float(crossing.near_devices))
    if layout == FULL and beside:
        rest = senders - beside
        words = (
            f"1 {system.domain_name} of {receivers} FFN + {beside} attention devices, "
            f"{rest} attention devices in {_words(rest, system, filled=True)}"
        )
        return LaidOut(FULL, 1 + _used(rest, system), words)
    words = f"attention in {_words(senders, system)}, FFN in {_words(receivers, theirs)}"
    return LaidOut(APART, _used(senders, system) + _used(receivers, theirs), words)


def _quickest(layers: Layers, deployment: Deployment) -> str:
    """Return the layout of two groups whose dispatch is quickest; the first where several are."""
    names = layouts_of(layers)
    if len(names) == 1:
        return names[0]
    sizes = Sizes(
        sequences=deployment.sequences,
        tokens=np.multiply(deployment.sequences, 1.0),
        context=1,
        query_tokens=1,
        attention_devices=deployment.attention_devices,
        ffn_devices=np.asarray(deployment.ffn_devices),
        prefill=False,
    )

    def time(name: str) -> float:
        first = next(network_operators(dataclasses.replace(layers, domain_layout=name), sizes))
        return float(np.asarray(first.time))

    return min(names, key=time)


def _used(devices: int, system: System) -> int:
    return int(domains_used(devices=devices, domain_devices=system.scale_up_domain_devices))


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
        for part in domain_parts(
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
