"""Collectives of a group of devices on a system: the quickest of the libraries that may run, at each size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.catalogue.calibration import ESTIMATED, weakest
from roofline_afd.catalogue.collectives import (
    ALL_GATHER,
    ALL_REDUCE,
    ALL_TO_ALL,
    CollectiveEfficiency,
    collectives_of,
)
from roofline_afd.physics import collectives, traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from roofline_afd.catalogue.calibration import Calibration
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.arrays import FloatArray, FloatLike

NOMINAL = "nominal convention"
"""Source of links that are taken at a share of the peak, without fixed times."""
FAMILIES = "all_reduce"
"""Table of an engine that lists the libraries of its collectives."""


class Collective(NamedTuple):
    """A collective: its time [s], the kind of what that rests on, and what its formula was called with."""

    time: FloatArray
    kind: str
    arguments: dict[str, Any]


def group_bandwidth(system: System, devices: FloatLike) -> FloatArray:
    """Return the peak of a device's links to the others of a group within one scale-up domain [B/s]."""
    peak = system.scale_up.bytes_per_s
    if system.scale_up.topology != "full-mesh":
        return peak
    return collectives.mesh_group_bandwidth(
        bandwidth=peak, devices=devices, domain_devices=system.scale_up_domain_devices
    )


def all_reduce(
    system: System, calibration: Calibration, *, message_bytes: FloatLike, devices: FloatLike
) -> Collective:
    """Return the all-reduce of a vector over devices, of one scale-up domain or of several.

    Parameters
    ----------
    system : System
        Where it runs.
    calibration : Calibration
        Which libraries may run, and what links reach beyond a domain.
    message_bytes : float or array
        Bytes of the whole vector [B].
    devices : float
        Devices that sum it [1]; beyond a domain in equal parts of as few domains as hold them.

    Returns
    -------
    Collective
        Time by the quickest library and way at each size.
    """
    found = _libraries(ALL_REDUCE, system, calibration)
    domains = traffic.domains_used(devices=devices, domain_devices=system.scale_up_domain_devices)
    if np.any(np.greater(domains, 1)):
        return _across(system, calibration, found, message_bytes, np.divide(devices, domains), domains)
    called = [all_reduce_arguments(each, system, message_bytes, devices) for each in found]
    return _quickest(collectives.all_reduce_time, called, found)


def all_reduce_arguments(
    found: CollectiveEfficiency, system: System, message_bytes: FloatLike, devices: FloatLike
) -> dict[str, Any]:
    """Return what `all_reduce_time` is called with for one library."""
    peak = group_bandwidth(system, devices)
    return {
        "message_bytes": np.multiply(message_bytes, found.sent_share),
        "devices": devices,
        "bandwidth": np.multiply(peak, found.efficiency),
        "one_shot_latency": found.one_shot_s,
        "two_shot_latency": found.two_shot_s,
        "in_switch_bandwidth": np.multiply(peak, found.in_switch_efficiency),
        "in_switch_latency": found.in_switch_s,
    }


def moved(
    formula: Callable[..., FloatArray],
    system: System,
    calibration: Calibration,
    *,
    message_bytes: FloatLike,
    devices: FloatLike,
) -> Collective:
    """Return a collective that moves a vector once, within one scale-up domain.

    Parameters
    ----------
    formula : callable
        `all_gather_time`, `reduce_scatter_time` or `all_to_all_time` of `physics.collectives`.
    system : System
        Where it runs.
    calibration : Calibration
        Which libraries may run.
    message_bytes : float or array
        Bytes of the whole vector, or of what a device has to send [B].
    devices : float
        Devices that take part [1].

    Returns
    -------
    Collective
        Time by the quickest library at each size.
    """
    table = ALL_TO_ALL if formula is collectives.all_to_all_time else ALL_GATHER
    found = _libraries(table, system, calibration)
    called = [moved_arguments(each, system, message_bytes, devices) for each in found]
    return _quickest(formula, called, found)


def moved_arguments(
    found: CollectiveEfficiency, system: System, message_bytes: FloatLike, devices: FloatLike
) -> dict[str, Any]:
    """Return what formulas of collectives that move a vector once are called with for one library."""
    return {
        "message_bytes": np.multiply(message_bytes, found.sent_share),
        "devices": devices,
        "bandwidth": np.multiply(group_bandwidth(system, devices), found.efficiency),
        "latency": found.fixed_s,
    }


def _libraries(table: str, system: System, calibration: Calibration) -> tuple[CollectiveEfficiency, ...]:
    """Return what may run; links of the nominal convention alone where those were asked for."""
    link = calibration.link
    if link.source == NOMINAL:
        return (CollectiveEfficiency(efficiency=link.efficiency_up, kind=link.kind, source=link.source),)
    return collectives_of(
        table,
        system.scale_up.id,
        catalogue=calibration.catalogue,
        families=calibration.families.get(FAMILIES, ()),
    )


def _across(
    system: System,
    calibration: Calibration,
    found: Sequence[CollectiveEfficiency],
    message_bytes: FloatLike,
    devices: FloatLike,
    domains: FloatLike,
) -> Collective:
    """Return an all-reduce within domains, across them, and within again."""
    link = calibration.link
    out = system.scale_out.bytes_per_s * link.efficiency_out if system.scale_out else 0.0
    called = [
        {
            "message_bytes": np.multiply(message_bytes, each.sent_share),
            "devices": devices,
            "domains": domains,
            "bandwidth": np.multiply(group_bandwidth(system, devices), each.efficiency),
            "two_shot_latency": each.two_shot_s,
            "scale_out": out,
            "scale_out_latency": link.latency_out_s,
        }
        for each in found
    ]
    quickest = _quickest(collectives.domains_all_reduce_time, called, found)
    return quickest._replace(kind=ESTIMATED)  # the fixed time across is that of a dispatch


def _quickest(
    formula: Callable[..., FloatArray],
    called: Sequence[dict[str, Any]],
    found: Sequence[CollectiveEfficiency],
) -> Collective:
    """Return the quickest of some libraries, element by element, and what the formula was called with there."""
    times = [formula(**arguments) for arguments in called]
    if len(times) == 1:
        return Collective(times[0], found[0].kind, called[0])
    index = np.argmin(np.stack(np.broadcast_arrays(*times)), axis=0)
    arguments = {
        key: np.choose(index, [np.broadcast_to(each[key], index.shape) for each in called])[()]
        for key in called[0]
    }
    kind = weakest(found[place].kind for place in np.unique(index))
    return Collective(np.minimum.reduce(times), kind, arguments)
