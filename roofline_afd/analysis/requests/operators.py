"""The operator model of a system and a model, at any ratio of attention to FFN devices."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np

from roofline_afd.errors import InfeasibleError
from roofline_afd.serving.deployment import AFD, Deployment, Deployments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.physics.linear import Coefficients
    from roofline_afd.physics.slots import Load
    from roofline_afd.serving.scenario import Scenario

MOST_RATIOS = 512
SPREADS = 3.0
"""Standard deviations above the mean cache that an attention device must have room for."""


class _Measured(NamedTuple):
    """Times of a mean layer and a micro-batch [s]."""

    attention: NDArray[np.float64]
    ffn: NDArray[np.float64]
    transfer: NDArray[np.float64]
    head: NDArray[np.float64]


class Operators:
    """The operator model of one system and model, at any batch, context and ratio.

    Parameters
    ----------
    scenario : Scenario
        System, model and how they are used.
    load : Load
        Cached tokens of a slot.
    batch : int
        Slots of an attention device and micro-batch [1].
    microbatches : int
        Micro-batches in flight [1].

    Raises
    ------
    InfeasibleError
        If memory or devices do not suffice.
    """

    def __init__(self, scenario: Scenario, load: Load, batch: int, microbatches: int) -> None:
        self.context = max(round(load.theta), 1)
        self.scenario = attrs.evolve(scenario, context=self.context, batch=None)
        self.deployments = Deployments(self.scenario, AFD)
        self.batch, self.microbatches = batch, microbatches
        nodes = self.deployments.attention.devices_per_node, self.deployments.ffn.devices_per_node
        single = scenario.granularity == "device"
        self.attention_node, self.ffn_node = (1, 1) if single else nodes
        self.ffn_devices = scenario.ffn_devices or self._fewest()
        self._check_memory(load)

    def deployment(self, ratios: NDArray[np.float64], batch: NDArray[np.float64] | None = None) -> Deployment:
        """Return deployments with these ratios."""
        receivers = np.full(np.shape(ratios), float(self.ffn_devices))
        return Deployment(
            mode=AFD,
            attention_devices=ratios * self.ffn_devices,
            ffn_devices=receivers,
            batch=self.batch if batch is None else batch,
            microbatches=1,
            transport=self.deployments.transport,
            redundant_experts=self.deployments.fill(receivers),
        )

    def _fewest(self) -> int:
        """Return the devices of the fewest whole nodes that hold the experts."""
        counts = np.arange(self.ffn_node, self.scenario.max_devices, self.ffn_node, dtype=float)
        counts = counts[counts <= self.scenario.model.routed_experts + (self.scenario.redundant_experts or 0)]
        if not counts.size:
            counts = np.array([float(min(self.ffn_node, self.scenario.model.routed_experts))])
        trial = Deployment(
            mode=AFD,
            attention_devices=counts,
            ffn_devices=counts,
            batch=0,
            microbatches=1,
            redundant_experts=self.deployments.fill(counts),
        )
        fits = counts[np.asarray(self.deployments.memory(trial)[1]) <= self.deployments.usable_memory()[1]]
        if not fits.size:
            raise InfeasibleError(
                f"no: binding is HBM capacity: the experts of {self.scenario.model.id} do not fit "
                f"{counts[-1]:.0f} devices of {self.deployments.ffn.id}"
            )
        return int(fits[0])

    def _check_memory(self, load: Load) -> None:
        """Refuse more sequences than the attention side has memory for, and experts that do not fit."""
        slots = self.batch * self.microbatches
        long = math.ceil(load.theta + SPREADS * load.nu / math.sqrt(slots))
        roomy = Deployments(attrs.evolve(self.scenario, context=max(long, 1)), AFD)
        one = dataclasses.replace(self.deployment(np.ones(1)), batch=slots)
        experts, room = float(np.ravel(roomy.memory(one)[1])[0]), roomy.usable_memory()[1]
        if experts > room:
            raise InfeasibleError(
                f"no: binding is HBM capacity: experts take {experts / 1e9:.4g} of {room / 1e9:.4g} GB a "
                f"device with --ffn-devices {self.ffn_devices}; more devices hold fewer each"
            )
        most = float(np.ravel(roomy.largest_batch(one))[0])
        if most < slots:
            nearest = int(most) // self.microbatches
            raise InfeasibleError(
                f"no: binding is HBM capacity: {self.microbatches} micro-batches of --batch {self.batch} "
                f"sequences of {long:,} tokens do not fit an attention device; "
                + (f"--batch {nearest} does" if nearest >= 1 else "not even --batch 1 does")
            )

    def times(
        self,
        ratios: NDArray[np.float64],
        *,
        batch: NDArray[np.float64] | None = None,
        context: int | None = None,
    ) -> _Measured:
        """Return the times of a mean layer, in service, at whole attention devices."""
        deployments = self.deployments
        if context is not None:
            deployments = Deployments(attrs.evolve(self.scenario, context=context), AFD)
        found = self.deployment(ratios, batch)
        step = deployments.step(found)
        shape = np.shape(np.multiply(ratios, found.batch))
        sums = [np.zeros(shape) for _ in range(3)]
        for block in step.blocks:
            parts = (block.attention, block.ffn, np.add(block.dispatch, block.combine))
            sums = [total + block.layers * part for total, part in zip(sums, parts, strict=True)]
        layers = self.scenario.model.layers
        head = np.broadcast_to(np.subtract(step.once, deployments.gap), shape)
        attention, ffn, transfer = (total / layers for total in sums)
        return _Measured(attention, ffn, transfer, head)

    def at(self, ratio: Any, lines: Coefficients, *, batch: float | None = None) -> Coefficients:  # noqa: ANN401
        """Return coefficients of some ratios: FFN and transfers as they are there, attention as the line."""
        ratios = np.atleast_1d(np.asarray(ratio, dtype=float))
        found = self.times(ratios, batch=np.full(ratios.shape, float(self.batch if batch is None else batch)))
        return lines._replace(
            ffn_slope=0.0,
            ffn_fixed=found.ffn.reshape(np.shape(ratio)),
            transfer_slope=0.0,
            transfer_fixed=found.transfer.reshape(np.shape(ratio)),
        )

    def whole(self, ratios: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ratios of whole attention devices, each once."""
        devices = np.unique(np.maximum(np.rint(ratios * self.ffn_devices), 1.0))
        return np.asarray(devices / self.ffn_devices)

    @cached_property
    def most_ratio(self) -> float:
        """The largest ratio that devices and fabric allow [1]."""
        spare = self.scenario.max_devices - self.ffn_devices
        usable = spare // self.attention_node * self.attention_node
        if usable < 1:
            raise InfeasibleError(
                f"no: binding is ratio granularity: {self.ffn_devices} FFN devices leave no attention node "
                f"within --max-devices {self.scenario.max_devices}; nearest: --max-devices "
                f"{self.ffn_devices + self.attention_node}"
            )
        connected = self.every[np.isfinite(self.times(self.every).transfer)]
        if not connected.size:
            raise InfeasibleError(
                f"no: no fabric of {self.deployments.attention.id} connects {self.ffn_devices} FFN devices "
                "with attention devices"
            )
        return float(min(connected[-1], usable / self.ffn_devices))

    @cached_property
    def every(self) -> NDArray[np.float64]:
        """The ratios of whole attention devices, a few hundred of them [1]."""
        spare = max(self.scenario.max_devices - self.ffn_devices, 1)
        return self.whole(np.linspace(1, spare, min(spare, MOST_RATIOS)) / self.ffn_devices)
