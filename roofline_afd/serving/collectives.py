"""Collectives of a group of devices on a system: the quickest of the libraries that may run, at each size."""

from __future__ import annotations

import dataclasses
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
from roofline_afd.catalogue.links import Leg
from roofline_afd.physics import collectives, traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.catalogue.calibration import Calibration
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.arrays import FloatArray, FloatLike

NOMINAL = "nominal convention"
"""Source of links that are taken at a share of the peak, without fixed times."""
FAMILIES = "all_reduce"
"""Table of an engine that lists the libraries of its collectives."""


def nominal(calibration: Calibration, system: System) -> Calibration:
    """Return the efficiencies with links at the nominal convention: a share of the peak and no fixed time."""
    up = Leg(latency_s=0.0, efficiency=system.scale_up.efficiency, source=NOMINAL)
    out = Leg(0.0, system.scale_out.efficiency if system.scale_out else 1.0, source=NOMINAL)
    return dataclasses.replace(calibration, link=dataclasses.replace(calibration.link, up=up, out=out))


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
    system: System, calibration: Calibration, *, message_bytes: FloatLike, devices: FloatArray
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
        group = {
            "message_bytes": message_bytes,
            "devices": np.divide(devices, domains),
            "domains": domains,
        }
        return _across(system, calibration, found, group)
    return _quickest(
        collectives.all_reduce_time,
        {"message_bytes": message_bytes, "devices": devices},
        group_bandwidth(system, devices),
        {
            "bandwidth": "efficiency",
            "one_shot_latency": "one_shot_s",
            "two_shot_latency": "two_shot_s",
            "in_switch_bandwidth": "in_switch_efficiency",
            "in_switch_latency": "in_switch_s",
        },
        found,
    )


def moved(
    formula: Callable[..., FloatArray],
    system: System,
    calibration: Calibration,
    *,
    message_bytes: FloatLike,
    devices: FloatArray,
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
    return _quickest(
        formula,
        {"message_bytes": message_bytes, "devices": devices},
        group_bandwidth(system, devices),
        {"bandwidth": "efficiency", "latency": "fixed_s"},
        found,
    )


def _libraries(table: str, system: System, calibration: Calibration) -> tuple[CollectiveEfficiency, ...]:
    """Return what may run; links of the nominal convention alone where those were asked for."""
    leg = calibration.link.up
    if leg.source == NOMINAL:
        return (CollectiveEfficiency(efficiency=leg.efficiency, kind=leg.kind, source=leg.source),)
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
    group: Mapping[str, FloatLike],
) -> Collective:
    """Return an all-reduce within domains, across them, and within again."""
    link = calibration.link
    out = system.scale_out.bytes_per_s * link.efficiency_out if system.scale_out else 0.0
    quickest = _quickest(
        collectives.domains_all_reduce_time,
        {**group, "scale_out": out, "scale_out_latency": link.latency_out_s},
        group_bandwidth(system, group["devices"]),
        {"bandwidth": "efficiency", "two_shot_latency": "two_shot_s"},
        found,
    )
    return quickest._replace(kind=ESTIMATED)  # the fixed time across is that of a dispatch


def _quickest(
    formula: Callable[..., FloatArray],
    group: Mapping[str, FloatLike],
    peak: FloatLike,
    fields: Mapping[str, str],
    found: Sequence[CollectiveEfficiency],
) -> Collective:
    """Return the quickest of some libraries, element by element, and what the formula was called with there.

    `fields` are those of a library by the parameter that each is for; bandwidths are shares of the peak.
    """
    axes = max(np.ndim(value) for value in (*group.values(), peak))
    laws = {key: np.array([getattr(each, field) for each in found]) for key, field in fields.items()}
    sent = np.array([each.sent_share for each in found])

    def called(pick: Callable[[NDArray[np.float64]], FloatArray]) -> dict[str, Any]:
        law = {
            key: pick(value) * peak if key.endswith("bandwidth") else pick(value)
            for key, value in laws.items()
        }
        return {**group, "message_bytes": np.multiply(group["message_bytes"], pick(sent)), **law}

    if len(found) == 1:
        alone = called(lambda value: value[0])
        return Collective(formula(**alone), found[0].kind, alone)
    times = formula(**called(lambda value: value.reshape(-1, *[1] * axes)))
    index = np.argmin(times, axis=0)
    kind = weakest(found[place].kind for place in np.unique(index))
    return Collective(np.min(times, axis=0), kind, called(lambda value: value[index]))
