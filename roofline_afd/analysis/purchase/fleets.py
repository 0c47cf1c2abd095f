"""The fleet that serves the demand: replicas of one deployment, and what they cost and draw."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.analysis.bounds.questions import Roofline
from roofline_afd.analysis.bounds.roofline import roofline
from roofline_afd.analysis.decode.rows import SHARED, row_of
from roofline_afd.analysis.purchase.candidates import candidate_name, is_pair
from roofline_afd.analysis.purchase.costs import cost_of, monthly, power_basis, watts_of
from roofline_afd.errors import InputError
from roofline_afd.physics import economics
from roofline_afd.serving.deployment import EP, Deployments
from roofline_afd.serving.modes.sold import unit_of, units_alike
from roofline_afd.serving.search import deployment_at, every_shape, search

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.analysis.purchase.costs import Buyer, Device
    from roofline_afd.analysis.purchase.demand import Demand
    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.candidates import Candidates
    from roofline_afd.serving.deployment import Deployment
    from roofline_afd.serving.scenario import Scenario


class Fleet(NamedTuple):
    """Replicas of one deployment that serve the demand with fewest devices, or at least cost."""

    deployments: Deployments
    deployment: Deployment
    replicas: int
    tokens_per_s: float
    """Output tokens a second of one replica [tokens/s]."""
    sequences: float
    """Sequences that one replica serves at once [1]."""

    @property
    def sold(self) -> dict[str, int]:
        """Devices sold by side, in whole nodes or racks [1]: those of one system count as attention's."""
        own = self.deployment.attention_devices, self.deployment.ffn_devices or 0
        each = sold_of(self.deployments.scenario, *own, self.replicas)
        return {side: int(count) for side, count in zip(("attention", "ffn"), each, strict=True)}

    def grown(self, wanted: Demand) -> Fleet:
        """Return replicas of the same deployment for another demand."""
        capacity = float(self.tokens_per_s), float(self.sequences)
        return self._replace(replicas=int(_replicas(*capacity, wanted)))


def fleet_of(
    deployments: Deployments,
    wanted: Demand,
    weights: tuple[float, float] | None = None,
    *,
    at_least: float = 0.0,
) -> Fleet | None:
    """Return the replicas of one deployment that serve the demand; None where no deployment can.

    Parameters
    ----------
    deployments : Deployments
        One mode of a question.
    wanted : Demand
        What the fleet is built for.
    weights : tuple of float, optional
        What a device of each side costs; all the same where absent.
    at_least : float
        Shapes that have less are left out [tokens/s per device].

    Returns
    -------
    Fleet or None
        Those that cost least: of devices that all cost the same, the fewest.
    """
    known: Candidates | None = None
    if not at_least:
        first = search(deployments)
        if first.best is None:
            return None
        known, at_least = first.candidates, _least_rate(deployments, first.best, wanted, weights)
    found = every_shape(deployments, at_least=at_least, known=known)
    if not found.rate.size or not np.any(found.rate > 0):
        return None
    devices = found.attention_devices + found.ffn_devices
    tokens = np.where(found.rate > 0, found.rate * devices, np.nan)
    sequences = tokens * found.step / deployments.scenario.accept_length  # Little's law
    shapes = found.attention_devices, found.ffn_devices
    replicas, total = _priced(deployments.scenario, *shapes, tokens, sequences, wanted, weights)
    row = int(np.lexsort((devices, -np.nan_to_num(found.rate), total))[0])
    best = deployment_at(deployments, found, row)
    return Fleet(deployments, best, int(replicas[row]), float(tokens[row]), float(sequences[row]))


def sold_of(
    scenario: Scenario, attention: FloatArray, ffn: FloatArray, replicas: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the devices sold for both sides of replicas, in whole nodes or racks.

    Parameters
    ----------
    scenario : Scenario
        The question about a candidate.
    attention, ffn : array
        Devices of a replica [1].
    replicas : array
        How many there are [1].

    Returns
    -------
    tuple of array
        Of attention and of the FFN; sides of one system share what is sold, all of it the first [1].
    """
    if not is_pair(scenario):
        unit = unit_of(scenario.side("ffn"))
        return unit * units_alike(size=np.add(attention, ffn), replicas=replicas, unit=unit), np.float64(0)
    units = unit_of(scenario.side("attention")), unit_of(scenario.side("ffn"))
    one, other = (
        unit * units_alike(size=size, replicas=replicas, unit=unit)
        for unit, size in zip(units, (attention, ffn), strict=True)
    )
    return one, other


def _replicas(tokens: FloatArray, sequences: FloatArray, wanted: Demand) -> FloatArray:
    """Return how many replicas of such capacity [tokens/s] [1] serve the demand."""
    replicas = economics.fleet_replicas(demand=wanted.tokens_per_s, replica_capacity=tokens)
    if wanted.users is None:
        return replicas
    return np.maximum(
        replicas, economics.fleet_replicas(demand=float(wanted.users), replica_capacity=sequences)
    )


def _priced(  # noqa: PLR0917 - in the order of a shape
    scenario: Scenario,
    attention: FloatArray,
    ffn: FloatArray,
    tokens: FloatArray,
    sequences: FloatArray,
    wanted: Demand,
    weights: tuple[float, float] | None,
) -> tuple[FloatArray, FloatArray]:
    """Return how many replicas serve the demand, and what all devices sold cost, infinite where none do.

    `tokens` [tokens/s] and `sequences` [1] are those of one replica of so many devices.
    """
    replicas = _replicas(tokens, sequences, wanted)
    one, other = sold_of(scenario, attention, ffn, replicas)
    each, another = (1.0, 1.0) if weights is None else weights
    total = np.multiply(one, each) + np.multiply(other, another)
    return replicas, np.where(np.isfinite(replicas), total, np.inf)


def _least_rate(
    deployments: Deployments, best: Deployment, wanted: Demand, weights: tuple[float, float] | None
) -> float:
    """Return the tokens/s per device below which no shape makes a cheaper fleet than the best one.

    A fleet of shapes that have r per device has demand / r devices at least.
    """
    step = deployments.step(best).time
    attention, ffn = float(np.asarray(best.attention_devices)), float(np.asarray(best.ffn_devices or 0))
    tokens = deployments.tokens_per_s_per_device(best, step) * (attention + ffn)
    sequences = tokens * step / deployments.scenario.accept_length
    found = _priced(deployments.scenario, attention, ffn, tokens, sequences, wanted, weights)
    total = float(np.asarray(found[1]))
    cheapest = 1.0 if weights is None else min(weights)
    return wanted.tokens_per_s * cheapest / total


def fleet_row(fleet: Fleet, devices: Mapping[str, Device], buyer: Buyer, wanted: Demand) -> dict[str, Any]:
    """Return what a fleet is made of, costs and draws.

    Parameters
    ----------
    fleet : Fleet
        What serves the demand.
    devices : mapping of str to Device
        What one costs and draws, by side.
    buyer : Buyer
        What is assumed.
    wanted : Demand
        What the fleet is built for.

    Returns
    -------
    dict
        Its row; rank and break-even price are those of the ranking.
    """
    scenario = fleet.deployments.scenario
    own = row_of(fleet.deployments, fleet.deployment)
    attention = int(fleet.deployment.attention_devices) * fleet.replicas
    ffn = int(fleet.deployment.ffn_devices or 0) * fleet.replicas
    counts = fleet.sold
    sold = sum(counts.values())
    cost = cost_of(counts, devices, buyer)
    watts = watts_of(counts, devices, buyer)
    replica = {"attention": attention // fleet.replicas, "ffn": ffn // fleet.replicas}
    served = wanted.tokens_per_s * buyer.utilization
    return {
        "rank": None,
        "system": candidate_name(scenario),
        "mode": own["mode"],
        "n_devices": attention + ffn,
        "n_attention_devices": attention if ffn else None,
        "n_ffn_devices": ffn or None,
        "n_devices_sold": sold,
        "n_attention_devices_sold": counts["attention"] if is_pair(scenario) else None,
        "n_ffn_devices_sold": counts["ffn"] if is_pair(scenario) else None,
        "n_idle_devices": sold - attention - ffn,
        "units": _units(scenario, counts),
        "n_nodes": _nodes(scenario, replica) * fleet.replicas,
        "n_scale_up_domains": _domains(scenario, replica, fleet.replicas),
        "n_replicas": fleet.replicas,
        "deployment": _shape(fleet),
        "batch_per_device": own["batch_per_device"],
        "batch_per_group": own["batch_per_group"],
        "microbatches": own["microbatches"],
        **{key: own[key] for key in (*SHARED, "afd_cut", "kernels", "transport")},
        "tpot_ms": own["tpot_ms"],
        "tokens_per_s_per_user": own["tokens_per_s_per_user"],
        "tokens_per_s_per_device": own["tokens_per_s_per_device"],
        "capacity_tokens_per_s": fleet.tokens_per_s * fleet.replicas,
        "capacity_sequences": round(fleet.sequences * fleet.replicas),
        "load": wanted.tokens_per_s / (fleet.tokens_per_s * fleet.replicas),
        "usd_per_hour": cost["usd_per_hour"],
        "usd_per_month": monthly(cost["usd_per_hour"]),
        "usd_per_million_tokens": None
        if cost["usd_per_hour"] is None
        else float(economics.usd_per_million_tokens(usd_per_hour=cost["usd_per_hour"], tokens_per_s=served)),
        "capex_usd": cost["capex_usd"],
        "power_kw": None if watts is None else watts * 1e-3,
        "power_basis": power_basis(counts, devices),
        "watts_per_token_per_s": None if watts is None else watts / served,
        "tokens_per_joule": None
        if watts is None
        else float(economics.tokens_per_joule(tokens_per_s=served, power=watts)),
        "break_even_price": None,
        "ffn_nodes_before_dead_zone": _headroom(scenario, fleet),
        "feasible": True,
        "binding": own["binding"],
        "estimated_share": own["estimated_share"],
    }


def _units(scenario: Scenario, counts: Mapping[str, int]) -> str:
    """Return nodes or racks sold in a few words: 2 x 72, or 3 x 8 h20 and 2 x 8 h800."""
    sold = {
        side: (count // unit_of(scenario.side(side)), scenario.side(side)) for side, count in counts.items()
    }
    told = [(f"{many} x {unit_of(system)}", system.id) for many, system in sold.values() if many]
    return " and ".join(f"{text} {name}" if len(told) > 1 else text for text, name in told)


def _nodes(scenario: Scenario, replica: Mapping[str, int]) -> int:
    """Return the nodes of one replica; the sides of a pair share none."""
    if is_pair(scenario):
        return sum(math.ceil(count / scenario.side(side).devices_per_node) for side, count in replica.items())
    return math.ceil(sum(replica.values()) / scenario.side("ffn").devices_per_node)


def _domains(scenario: Scenario, replica: Mapping[str, int], replicas: int) -> int | None:
    """Return the scale-up domains that replicas take: whole ones in each; None where none spans nodes."""
    superpods = [scenario.side(side) for side in replica if replica[side] and scenario.side(side).superpod]
    if not superpods or is_pair(scenario):
        return None
    size = superpods[0].scale_up_domain_devices
    devices = sum(replica.values())
    together = size // devices  # whole replicas of a domain
    shared = math.ceil(replicas / together) if together else 0
    return shared or replicas * math.ceil(devices / size)


def _shape(fleet: Fleet) -> str:
    """Return replicas and devices of each in short, and how many of these share heads."""
    attention, ffn = fleet.deployment.attention_devices, fleet.deployment.ffn_devices
    shared = fleet.deployment.tensor_parallel
    heads = f" TP{shared}" if shared > 1 else ""
    return f"{fleet.replicas} x {f'({attention}A+{ffn}F)' if ffn else attention}{heads}"


def _headroom(scenario: Scenario, fleet: Fleet) -> float | None:
    """Return the FFN nodes that can be added before the dead zone; None under EP and without a dead zone."""
    if fleet.deployments.mode == EP or is_pair(scenario):
        return None
    try:
        summary = roofline(Roofline(scenario.for_stage(), ffn_nodes=np.arange(1, 2))).summary
    except InputError:  # no fabric to a second node: nothing to add
        return None
    start = summary["dead_zone_from"]
    if start is None:
        return None
    nodes = int(fleet.deployment.ffn_devices or 0) / scenario.side("ffn").devices_per_node
    return max(float(start) - nodes, 0.0)
