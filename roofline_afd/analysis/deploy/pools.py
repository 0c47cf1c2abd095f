"""What is launched: groups of devices with one role each, and what a replica of them runs."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from roofline_afd.serving.modes.question import PD
from roofline_afd.serving.uneven import LEVELLED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.workload import Workload

SERVE, PREFILL, DECODE = "serve", "prefill", "decode"
"""Roles: both phases, or one of them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pool:
    """Replicas alike: their devices and how they are used, in counts."""

    role: str
    system: System
    ffn_system: System
    replicas: int
    attention_devices: int
    ffn_devices: int
    tensor_parallel: int
    context_parallel: int
    expert_tensor_parallel: int
    microbatches: int
    sequences: int
    """Of one attention group, the devices that share heads, over all micro-batches; 0 of prefill."""
    step_tokens: int | None
    """Prompt tokens of a step and attention group; None where prompts are not asked about."""
    every: int
    """Steps of which one carries prompts, where the same replicas decode."""
    redundant_experts: int
    balanced: bool
    """Whether experts are replicated or placed by load."""
    library: str
    """Kernels that exchange tokens with experts; empty where none does."""

    @property
    def devices(self) -> int:
        """Devices of a replica; of its attention side where there are two."""
        return self.attention_devices

    @property
    def groups(self) -> int:
        """Attention groups of a replica: ranks of data parallelism."""
        return self.attention_devices // self.tensor_parallel

    @property
    def expert_devices(self) -> int:
        """Devices of a replica that hold experts."""
        return self.ffn_devices or self.attention_devices

    @property
    def expert_parallel(self) -> int:
        """Devices that divide the experts among them."""
        return self.expert_devices // self.expert_tensor_parallel

    def nodes(self, devices: int) -> int:
        """Return the nodes that so many devices fill."""
        return math.ceil(devices / self.system.devices_per_node)

    def per_node(self, devices: int) -> int:
        """Return how many of so many devices lie in a node."""
        return min(devices, self.system.devices_per_node)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    """What is launched: the question, its pools, the weights, and what requests look like where known."""

    scenario: Scenario
    pools: tuple[Pool, ...]
    weights: str
    workload: Workload | None

    @property
    def drafted(self) -> int:
        """Tokens drafted in each step."""
        return self.scenario.query_tokens - 1

    @property
    def longest(self) -> int | None:
        """Tokens of the longest request, where lengths are known."""
        return None if self.workload is None else self.workload.held

    def pool(self, role: str) -> Pool:
        """Return the pool of a role."""
        return next(each for each in self.pools if each.role == role)


def pools_of(
    scenario: Scenario, row: Mapping[str, Any], decoded: Mapping[str, Any], *, prefill_library: str
) -> tuple[Pool, ...]:
    """Return the pools of a deployment.

    Parameters
    ----------
    scenario : Scenario
        The question.
    row : mapping
        The deployment, as `predict`, `compare` or `explore` tell it.
    decoded : mapping
        The same as `predict` tells what decodes of it.
    prefill_library : str
        Kernels that exchange the tokens of prompts.

    Returns
    -------
    tuple of Pool
        One, or those of prefill and of decode.
    """
    apart = row["mode"] == PD
    chunk = row.get("chunk_tokens")
    load = scenario.sigma_ep == 1 and scenario.routing == "natural"
    redundant = int(decoded["redundant_experts"])
    decode = Pool(
        role=DECODE if apart else SERVE,
        system=scenario.side("attention"),
        ffn_system=scenario.side("ffn"),
        replicas=int(row.get("n_replicas") or 1),
        attention_devices=int(decoded["n_attention_devices"] or decoded["n_devices"]),
        ffn_devices=int(decoded["n_ffn_devices"] or 0),
        tensor_parallel=int(decoded["tensor_parallel"]),
        context_parallel=int(decoded["context_parallel"]),
        expert_tensor_parallel=int(decoded["expert_tensor_parallel"]),
        microbatches=int(decoded["microbatches"]),
        sequences=int(decoded["batch_per_group"]),
        step_tokens=None if apart or chunk is None else int(chunk),
        every=int(row.get("prefill_every") or 1),
        redundant_experts=redundant,
        balanced=redundant > 0 or (load and scenario.expert_placement in {None, LEVELLED}),
        library=decoded["exchange_library"] or "",
    )
    if not apart:
        return (decode,)
    devices, held = int(row["n_prefill_attention_devices"]), scenario.model.routed_experts
    before = dataclasses.replace(
        decode,
        role=PREFILL,
        replicas=int(row["n_prefill_replicas"]),
        attention_devices=devices,
        tensor_parallel=int(row["prefill_tensor_parallel"]),
        context_parallel=1,
        expert_tensor_parallel=1,
        microbatches=int(row["prefill_microbatches"]),
        sequences=0,
        step_tokens=int(chunk or 0),
        redundant_experts=-held % devices,
        library=prefill_library,
    )
    return before, decode
