"""What is served, in numbers: formats, layers of a model on a system, sizes of a step."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from roofline_afd.catalogue.calibration import Calibration, load_calibration
from roofline_afd.errors import InputError
from roofline_afd.serving.checks import choice

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.models import Model
    from roofline_afd.physics.arrays import Count, FloatArray, FloatLike
    from roofline_afd.serving.uneven import ExpertLoad

Side = Literal["attention", "ffn", "network"]
DEPLOYMENTS = ("ep", "afd")
TRANSPORTS = ("pair", "rank", "node")
REPLICATED = "replicated"
"""How tokens reach experts where all devices share the heads of all sequences: each has every token, and the
results of experts are summed over all of them."""
DOMAIN_LAYOUTS = ("even", "full", "apart")
"""How devices lie over scale-up domains: in equal parts, of both groups; one domain filled after the other,
FFN devices first and attention devices beside them; each group in domains of its own."""
ATTENTION_CUT, CORE_CUT = AFD_CUTS = ("attention", "core")
"""What the attention side of two groups has: the whole attention block and the router; caches, states and the
attention core alone, while the other side has everything that has weights."""
SEPARATE, FUSED = KERNELS = ("separate", "fused")
"""Kernels of experts and their transfers: one after another, or one that does all."""
SORTED_TRANSPORT = "pair"
"""What delivers tokens sorted by expert."""
ACTIVATION_BYTES = 2.0
"""Bytes of an element between operators, which kernels leave in bf16 but for the products' inputs."""
SCALE_BYTES = {"fp8": 4 / 128}
"""Bytes per element of the block scales that travel with a format."""


class Plan(NamedTuple):
    """How devices are used, beyond their numbers, as in `Deployment`.

    What devices share may be arrays: of plans that are alike but for that, an element each.
    """

    transport: str = ""
    tensor_parallel: Count = 1
    context_parallel: Count = 1
    expert_tensor_parallel: Count = 1
    afd_cut: str = ATTENTION_CUT
    kernels: str = SEPARATE
    spare_experts: Count | None = None
    """Experts that each device with experts holds beyond those that fill it, as a search tries it; as loads
    ask for where absent."""

    @property
    def shared(self) -> tuple[Count, Count, Count]:
        """Devices that share heads, caches, experts [1]."""
        return self.tensor_parallel, self.context_parallel, self.expert_tensor_parallel

    @property
    def of_layers(self) -> dict[str, Any]:
        """What times of layers depend on by name, but for how many experts devices hold."""
        return {name: getattr(self, name) for name in self._fields if name != "spare_experts"}

    @property
    def alone(self) -> Plan:
        """The same plan where devices share nothing, and hold experts as loads ask for."""
        return self._replace(
            tensor_parallel=1, context_parallel=1, expert_tensor_parallel=1, spare_experts=None
        )


def for_each(of_one: Callable[..., float], *counts: Count) -> FloatArray:
    """Return a number for each of some counts of sharing devices, those alike computed once."""
    if all(isinstance(count, int) for count in counts):
        return of_one(*counts)
    columns = np.broadcast_arrays(*counts)
    rows = np.stack([column.ravel() for column in columns]).astype(int)
    if rows.size and np.array_equal(rows, np.broadcast_to(rows[:, :1], rows.shape)):
        return np.full(columns[0].shape, of_one(*(int(each) for each in rows[:, 0])), dtype=float)
    keys = np.ravel_multi_index(tuple(rows), tuple(rows.max(axis=1) + 1)) if rows.size else rows[0]
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    found = np.array([of_one(*(int(each) for each in rows[:, index])) for index in first], dtype=float)
    return found[place].reshape(columns[0].shape)


def any_shared(devices: Count) -> bool:
    """Return whether more than one device shares, anywhere in an array."""
    return devices > 1 if isinstance(devices, int) else bool(np.any(np.greater(devices, 1)))


def where_shared(devices: Count, time: FloatArray) -> FloatArray:
    """Return a time where more than one device shares, else none; devices share somewhere."""
    return time if isinstance(devices, int) else np.where(np.greater(devices, 1), time, 0.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Devices and how they are used; under `ep` the attention devices are all devices.

    `batch` counts the sequences of one (attention) device over all micro-batches, or of the
    `tensor_parallel` devices that share heads. Fields may be arrays that broadcast against each other, but
    for `mode` and names of its plan; tokens are sent as the library does where no way is named.
    """

    mode: str
    attention_devices: Count
    ffn_devices: Count | None = None
    batch: Count
    microbatches: Count
    transport: str = ""
    redundant_experts: Count = 0
    tensor_parallel: Count = 1
    context_parallel: Count = 1
    expert_tensor_parallel: Count = 1
    afd_cut: str = ATTENTION_CUT
    kernels: str = SEPARATE
    spare_experts: Count | None = None

    @property
    def plan(self) -> Plan:
        """How its devices are used."""
        return Plan(*(getattr(self, name) for name in Plan._fields))

    @property
    def devices(self) -> Count:
        """All devices [1]."""
        if self.ffn_devices is None:
            return self.attention_devices
        return np.add(self.attention_devices, self.ffn_devices)

    @property
    def expert_devices(self) -> Count:
        """Devices that hold experts [1]."""
        return self.attention_devices if self.ffn_devices is None else self.ffn_devices

    @property
    def expert_places(self) -> FloatArray:
        """Devices that hold experts, those that share each of them counted once [1]."""
        return np.divide(self.expert_devices, self.expert_tensor_parallel)

    @property
    def sequences(self) -> FloatArray:
        """Sequences of one micro-batch on one attention device, or on those that share heads [1]."""
        return np.ceil(np.divide(self.batch, self.microbatches))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """Number formats by what they hold (ids of `catalogue.precision`)."""

    experts: str = "fp8"
    others: str = "fp8"
    cache: str = "bf16"
    core: str = "bf16"
    dispatch: str = "fp8"
    combine: str = "bf16"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """A model on a system: what the times of its layers depend on besides sizes.

    Parameters
    ----------
    model : Model
        What is served.
    attention, ffn : System
        Where the attention side runs, and the FFN side; the same under `ep`, and where absent.
    attention_calibration, ffn_calibration : Calibration
        Efficiencies of each side; those of the system's records where absent.
    formats : Formats
        Number formats.
    deployment : str
        `ep`: every device does both; `afd`: two groups of devices.
    transport : str
        `pair`: a copy per expert; `rank`: per device hit; `node`: per node hit, forwarded inside; as the
        library of the attention side's links where absent. `replicated`: devices that share the heads of all
        sequences have every token, and sum the results.
    fan_out : str
        How the experts of a token spread over places: `uniform`, `grouped` or `paper`.
    dense_side : str
        Side of shared experts and dense layers, `attention` or `ffn`.
    experts_reached : int, optional
        Experts of a device that tokens reach at most, where routing is forced to fewer than it holds [1].
    other_us : float
        Small kernels of one layer of the attention side, and of a dense one, beyond their passes [us].
    router_us : float
        Choice of experts beyond the product of the router, a layer [us].
    routing_exponent : float
        How alike tokens choose experts (`physics.operators.experts_touched`); 1: apart from each other [1].
    load : ExpertLoad, optional
        Popularity and placement of experts; even where absent.
    domain_layout : str
        A member of `DOMAIN_LAYOUTS`; EP lies even and AFD in the quickest way where empty.
    tensor_parallel : int, or array of int
        Devices of a scale-up domain that share the heads of their sequences [1].
    context_parallel : int, or array of int
        Of these, devices that share the cache of each sequence, a part of its tokens each [1].
    expert_tensor_parallel : int, or array of int
        Devices of a scale-up domain that share each expert, a part of its columns each [1].
    afd_cut : str
        A member of `AFD_CUTS`, of two groups.
    kernels : str
        A member of `KERNELS`.

    Raises
    ------
    InputError
        If heads or columns do not divide among so many devices.
    """

    model: Model
    attention: System
    ffn: System | None = None
    attention_calibration: Calibration | None = None
    ffn_calibration: Calibration | None = None
    formats: Formats = Formats()
    deployment: str = "ep"
    transport: str = ""
    fan_out: str = "uniform"
    dense_side: str = "ffn"
    experts_reached: int | None = None
    other_us: float = 0.0
    router_us: float = 0.0
    routing_exponent: float = 1.0
    load: ExpertLoad | None = None
    domain_layout: str = ""
    tensor_parallel: Count = 1
    context_parallel: Count = 1
    expert_tensor_parallel: Count = 1
    afd_cut: str = ATTENTION_CUT
    kernels: str = SEPARATE
    together: Layers | None = dataclasses.field(default=None, init=False)
    """The FFN side of the core cut as a group that does all but the core."""

    def __post_init__(self) -> None:
        if self.attention_calibration is None:
            object.__setattr__(self, "attention_calibration", load_calibration(self.attention))
        if self.ffn_calibration is None:
            own = self.attention_calibration if self.ffn is None else load_calibration(self.ffn)
            object.__setattr__(self, "ffn_calibration", own)
        if not self.transport:
            object.__setattr__(self, "transport", self.calibration("attention").link.transport)
        choice("deployment", self.deployment, DEPLOYMENTS)
        choice("transport", self.transport, (*TRANSPORTS, REPLICATED))
        choice("dense_side", self.dense_side, ("attention", "ffn"))
        refusal = undivided(
            self.model,
            tensor_parallel=self.tensor_parallel,
            context_parallel=self.context_parallel,
            expert_tensor_parallel=self.expert_tensor_parallel,
        )
        if refusal:
            raise InputError(refusal)
        if self.deployment == "afd" and self.afd_cut == CORE_CUT:
            alone = dataclasses.replace(
                self,
                attention=self.system("ffn"),
                ffn=None,
                attention_calibration=self.ffn_calibration,
                deployment="ep",
                dense_side="ffn",
                tensor_parallel=1,
                context_parallel=1,
                afd_cut=ATTENTION_CUT,
            )
            object.__setattr__(self, "together", alone)

    def sharing(self, *devices: Count) -> Layers:
        """Return the same layers where so many devices share heads, caches, experts, which divide among them.

        Numbers may be arrays, an element per deployment.
        """
        found = copy.copy(self)
        names = ("tensor_parallel", "context_parallel", "expert_tensor_parallel")
        for name, number in zip(names, devices, strict=True):
            object.__setattr__(found, name, number)
        if self.together is not None:
            object.__setattr__(found, "together", self.together.sharing(1, 1, devices[-1]))
        return found

    def on(self, attention: System, ffn: System | None) -> Layers:
        """Return the same layers on systems that differ from theirs in rates, which may be arrays."""
        found = copy.copy(self)
        object.__setattr__(found, "attention", attention)
        object.__setattr__(found, "ffn", ffn)
        if self.together is not None:
            object.__setattr__(found, "together", self.together.on(found.system("ffn"), None))
        return found

    @property
    def shared_side(self) -> Side:
        """Side of shared experts: of the attention where only a narrower vector reaches the FFN side."""
        narrow = self.model.dispatch_width != self.model.hidden_size and self.deployment == "afd"
        return "attention" if narrow or self.dense_side == "attention" else "ffn"

    def system(self, side: str) -> System:
        """Return the system of a side."""
        return self.attention if side == "attention" or self.ffn is None else self.ffn

    def calibration(self, side: str) -> Calibration:
        """Return the efficiencies of a side."""
        found = self.attention_calibration if side == "attention" else self.ffn_calibration
        assert found is not None  # noqa: S101 - filled when made
        return found

    @property
    def replicated(self) -> bool:
        """Whether every device has all tokens, and sums what experts make of them."""
        return self.transport == REPLICATED

    @property
    def dense_parts(self) -> Count:
        """Devices that share each dense layer: beside attention those that share heads [1]."""
        beside = self.deployment == "ep" or self.dense_side == "attention"
        return self.tensor_parallel if beside else 1

    def expert_places(self, devices: FloatLike) -> FloatArray:
        """Return of devices that hold experts how many there are, those that share each counted once [1]."""
        return np.divide(devices, self.expert_tensor_parallel)

    @property
    def sorted(self) -> bool:
        """Whether tokens arrive sorted by expert, as a copy per expert does."""
        return self.transport == SORTED_TRANSPORT

    def bandwidths(self, side: str, operator: str = "dispatch") -> tuple[float, float]:
        """Return what `dispatch` or `combine` reaches of a device's links: scale-up, scale-out [B/s]."""
        system, link = self.system(side), self.calibration(side).link
        shares = [leg.of(operator)[1] for leg in (link.up, link.out)]
        out = system.scale_out.bytes_per_s * shares[1] if system.scale_out else 0.0
        return system.scale_up.bytes_per_s * shares[0], out


def undivided(
    model: Model,
    *,
    tensor_parallel: Count = 1,
    context_parallel: Count = 1,
    expert_tensor_parallel: Count = 1,
) -> str:
    """Return why a model does not divide among devices, in words; empty where it does.

    Parameters
    ----------
    model : Model
        What is served.
    tensor_parallel, context_parallel, expert_tensor_parallel : int
        As in `Layers` [1].

    Returns
    -------
    str
        Part of a sentence.
    """
    heads = tensor_parallel // context_parallel
    if tensor_parallel % context_parallel:
        return f"of {tensor_parallel} devices that share heads, {context_parallel} cannot share each cache"
    if any(kind.split(each) is None for kind in model.attention for each in {tensor_parallel, heads}):
        return f"the heads of {model.id} do not divide among {tensor_parallel} devices"
    if model.expert_intermediate % expert_tensor_parallel:
        return (
            f"the {model.expert_intermediate} columns of an expert of {model.id} do not divide among "
            f"{expert_tensor_parallel} devices"
        )
    return ""


class Sizes(NamedTuple):
    """What one call asks of a group that shares heads; every field a number or an array that broadcasts."""

    sequences: FloatArray
    tokens: FloatArray
    context: FloatArray
    query_tokens: FloatArray
    attention_devices: FloatArray
    ffn_devices: FloatArray
    prefill: bool
    redundant_experts: FloatArray = 0.0
    mean_tokens: FloatArray | None = None
    """Tokens of a mean device, where `tokens` are those of the fullest."""
    fullest: FloatArray = 1.0
    """What the fullest device with experts gets over the mean."""

    @property
    def all_sent(self) -> FloatArray:
        """Tokens that all devices of the attention side send to the experts together [1]."""
        return np.multiply(self.sent, self.attention_devices)

    @property
    def sent(self) -> FloatArray:
        """Tokens that a mean device of the attention side sends to the experts."""
        return self.tokens if self.mean_tokens is None else self.mean_tokens


class Prompt(NamedTuple):
    """Prompts, or chunks of them, that a step computes on one attention device, or those that share heads."""

    sequences: FloatLike
    new_tokens: FloatLike
    context: FloatLike
    """Tokens of each that are cached already."""
