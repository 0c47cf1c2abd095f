"""The question: a system, a model, a latency target, and how the network and numbers are used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from roofline_afd.catalogue.engines import IDEAL, Engine, load_engine
from roofline_afd.catalogue.hardware import System, load_system
from roofline_afd.catalogue.models import Checkpoint, Model, load_model
from roofline_afd.catalogue.precision import Precision, native, nearest_format, operand, precision
from roofline_afd.errors import ARGUMENTS, InputError, naming_arguments, shown
from roofline_afd.serving.checks import MAX_COUNT, an_id, choice, finite, option, whole
from roofline_afd.serving.published import quickest, sent_to

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roofline_afd.catalogue.store import Catalogue

T = TypeVar("T")
SERVING = {"serving": True}
"""Marks the fields that only predictions of whole deployments read."""
FAN_OUTS = ("paper", "uniform", "grouped")
DUPLEXES = ("shared", "full")
LINKS = ("nominal", "calibrated")
CHOICES: dict[str, tuple[str, ...]] = {
    "fan_out": FAN_OUTS,
    "duplex": DUPLEXES,
    "links": LINKS,
    "granularity": ("node", "tray", "device"),
    "transport": ("pair", "rank", "node", "all"),
    "domain_layout": ("even", "full", "apart"),
    "shared_experts": ("ffn", "attention"),
    "expert_placement": ("plain", "levelled"),
    "afd_cut": ("attention", "core"),
    "kernels": ("separate", "fused"),
    "routing": ("natural", "balanced"),
}
"""Valid words of the fields that take one of a few."""
PLUGIN = "vllm-afd-plugin"
"""Software that is neither engine nor library, and limits the ratio of two groups."""
FORMATS = (
    "expert_precision",
    "dispatch_precision",
    "combine_precision",
    "attention_precision",
    "attention_core_precision",
    "kv_precision",
)
SHORTEST_TPOT_MS = 1e-6
DEFAULT_TPOT_MS = 50.0

POPULARITY = ("expert_placement", "zipf", "expert_counts")
"""Fields that say how popular experts are, and how they are placed."""
STEEPEST = 10.0
"""Exponents of popularity are below this [1]."""
COUNTS = {
    "microbatches": 1000,
    "attention_devices": MAX_COUNT,
    "ffn_devices": MAX_COUNT,
    "devices": MAX_COUNT,
    "max_devices": 4096,
    "batch": MAX_COUNT,
    "context": 100_000_000,
    "experts_per_ffn_device": 10_000,
    "tensor_parallel": 4096,
    "attention_groups": 64,
    "context_parallel": 4096,
    "expert_tensor_parallel": 4096,
}
"""Fields that are whole numbers from 1, and the most each may be."""


def _as_system(value: System | str) -> System:
    return value if isinstance(value, System) else load_system(an_id("system", value))


def _as_model(value: Model | str) -> Model:
    return value if isinstance(value, Model) else load_model(an_id("model", value))


def _as_engine(value: Engine | str) -> Engine:
    """Let a name pass: the catalogue of the system, where it is looked up, is known once all fields are."""
    return cast("Engine", value)


def _as_counts(value: Iterable[float]) -> tuple[float, ...]:
    counts = tuple(finite("--expert-counts", each, least=0) for each in value)
    if not any(counts):
        raise InputError("--expert-counts: all counts are 0; at least one must be above")
    return counts


def _id(value: System | Model | Engine | None) -> str:
    return repr(value and value.id)


def deployable_words(catalogue: Catalogue) -> tuple[str, ...]:
    """Return what a question may be deployable with: engines, libraries of exchange kernels, the plugin."""
    return (*catalogue.ids("engine"), *catalogue.ids("library"), PLUGIN)


def _told_in_python(kind: type[T]) -> type[T]:
    """Let errors of a class that is made in Python name its arguments."""
    kind.__init__ = naming_arguments()(vars(kind)["__init__"])  # type: ignore[method-assign]  # on purpose
    fields: tuple[Any, ...] = attrs.fields(kind)  # type: ignore[arg-type]  # attrs made it
    ARGUMENTS.update({option(field.name): field.name for field in fields})
    return kind


@_told_in_python
@attrs.frozen(kw_only=True)
class Scenario:
    """One question, in the units of the command line's options; checked when made.

    Parameters
    ----------
    system : System or str
        What is bought, or its id.
    model : Model or str
        What is served, or its id.
    tpot_ms : float, optional
        Time per output token allowed; where absent 50, and no limit for one deployment, for serving modes
        and for whole requests [ms].
    accept_length : float
        Mean tokens accepted per step with speculative decoding; 1 without [1].
    gap_ms : float, optional
        Time of a step outside its layers; where absent 0 for the roofline, and as fitted to published
        services for predictions [ms].
    microbatches : int, optional
        Micro-batches in flight: 1 for expert parallelism without overlap, 2 with; where absent 3 for the
        roofline, searched by `compare`, and for one deployment what suits it better of 1 and 2, under AFD 3
        [1].
    attention_devices : int, optional
        Attention devices; for the roofline those that send, where absent only the receiving end counts [1].
    expert_precision : str, optional
        Format of the expert weights; where absent the one published by the model's maker whose products run
        narrowest on the accelerator, the narrowest of those alike, or the nearest to it; where the record
        names none, the first of fp8, int8, bf16 the accelerator computes in.
    dispatch_precision : str, optional
        Format of the vectors sent to the experts; where absent as the checkpoint states, or else bf16 for
        weights in bf16 and for those that the accelerator widens, the first of fp8, int8, bf16 it computes
        in for others.
    combine_precision : str, optional
        Format of the vectors sent back; where absent bf16.
    fan_out : str, optional
        How the experts of a token spread over nodes: `paper`, `uniform` or `grouped`; where absent paper for
        the roofline, uniform for predictions.
    duplex : str, optional
        Whether dispatch and combine share the stage (`shared`) or overlap (`full`) under AFD; where absent
        shared for the roofline, full for predictions.
    links : str, optional
        Efficiency of the links: the `nominal` convention, or `calibrated`, as published measurements; where
        absent nominal for the roofline, calibrated for predictions.
    memory_reserve : float, optional
        Share of device memory kept free; where absent as the engine plans, 0.1 without one [1].
    context : int
        Mean tokens cached of a sequence [1].
    context_variation : float
        Standard deviation over mean of the tokens cached of a sequence: every step waits for the attention
        device whose caches are longest; 0 for sequences alike [1].
    draft_tokens : int, optional
        Tokens drafted and verified per step; where absent the fewest that the accept length needs [1].
    batch : int, optional
        Sequences of one device, under AFD of one attention device, over all micro-batches [1].
    devices : int, optional
        All devices [1].
    ffn_devices : int, optional
        FFN devices under AFD [1].
    max_devices : int
        Most devices a search may use [1].
    granularity : str
        What groups of devices are made of: whole `node`s (a `tray` is one) or a single one split in two, or
        any number of `device`s.
    deployable_with : str, optional
        Only shapes that this software runs: an engine or a library of exchange kernels, by its limits alone
        (`hardware list --kind library`), or `vllm-afd-plugin`: two micro-batches, and as many attention
        devices as FFN devices at least.
    any_size : bool
        Whether limits of `engine` and `deployable_with` on devices, sizes and tokens are lifted.
    attention_system, ffn_system : System or str, optional
        Systems of the two groups under AFD, where they differ from the system.
    attention_precision : str, optional
        Format of projections, shared experts and dense layers; where absent that of the same checkpoint.
    attention_core_precision : str
        Format of the products of core attention.
    kv_precision : str
        Format of the cache.
    transport : str, optional
        A copy of a token per expert (`pair`), per device hit (`rank`) or per node hit (`node`); `all`: the
        fastest of them; where absent as the kernels of the library do that is taken on the fabric.
    domain_layout : str, optional
        How devices lie over scale-up domains: in equal parts, of both groups (`even`), one domain filled
        after the other, FFN devices first and attention devices beside them (`full`), or each group in
        domains of its own (`apart`); where absent EP even, and AFD in the quickest way.
    redundant_experts : int, optional
        Experts held twice; where absent as many as fill the devices evenly, and where experts are levelled
        one more on each if that is better, or where nothing is searched if loads are uneven by more than
        half of what it adds to weights [1].
    experts_per_ffn_device : int, optional
        Experts of a device that tokens reach, where routing is forced to fewer than it holds [1].
    expert_placement : str, optional
        How experts lie on devices: `plain`, whatever their load, or `levelled`, replicated and placed by it;
        where absent levelled, for both modes.
    zipf : float, optional
        Exponent by which the popularity of experts falls with rank; where absent as read off published
        services [1].
    expert_counts : file, optional
        Tokens that each expert of a layer received, a CSV file or a list; excludes `zipf` [1].
    tensor_parallel : int, optional
        Devices that share the heads of their sequences, within a scale-up domain; where absent searched in
        powers of two [1].
    context_parallel : int, optional
        Of these, devices that share the cache of each sequence, a part of its tokens each; likewise [1].
    expert_tensor_parallel : int, optional
        Devices that share each expert, a part of its columns each; likewise, and 1 under AFD [1].
    attention_groups : int
        Attention groups of equal size that take turns at the FFN devices under AFD, each with micro-batches
        of its own [1].
    afd_cut : str, optional
        What attention devices have under AFD: the whole `attention` block and the router, or caches, states
        and the attention `core` alone; where absent searched.
    kernels : str
        Kernels of experts, the same for both modes: `separate` ones for dispatch, products and combine, or
        one `fused` kernel that does all within a scale-up domain, where one was timed.
    shared_experts : str
        Side of shared experts and dense layers under AFD: `ffn` or `attention`.
    transfer_share : float
        Share of a device's processors that transfers take from the kernels they overlap with: 20 of 132 in
        training of DeepSeek-V3 (arXiv 2412.19437), none with kernels that decode over RDMA [1].
    sigma_dp, sigma_ep : float
        Mean load over largest load, of attention devices and of expert devices; the second takes the place
        of popularity and placement [1].
    engine : Engine or str
        Serving software, an id of `hardware list --kind engine`: its kernels, the shapes that those of its
        exchanges run, and what it holds in memory; `ideal`: the best kernels that were measured, any shape.
    routing : str
        `natural`: experts are as popular as in live services, and the fullest device sets the pace;
        `balanced`: forced to be even.

    Raises
    ------
    InputError
        If any value is out of bounds, or the latency target leaves no time for the layers.
    """

    system: System = attrs.field(converter=_as_system, repr=_id)
    model: Model = attrs.field(converter=_as_model, repr=_id)
    tpot_ms: float | None = None
    accept_length: float = 1.0
    gap_ms: float | None = None
    microbatches: int | None = None
    attention_devices: int | None = None
    expert_precision: str | None = None
    dispatch_precision: str | None = None
    combine_precision: str | None = None
    fan_out: str | None = None
    duplex: str | None = None
    links: str | None = None
    memory_reserve: float | None = None
    context: int = attrs.field(default=4096, metadata=SERVING)
    context_variation: float = attrs.field(default=0.0, metadata=SERVING)
    draft_tokens: int | None = attrs.field(default=None, metadata=SERVING)
    batch: int | None = attrs.field(default=None, metadata=SERVING)
    devices: int | None = attrs.field(default=None, metadata=SERVING)
    ffn_devices: int | None = attrs.field(default=None, metadata=SERVING)
    max_devices: int = attrs.field(default=256, metadata=SERVING)
    granularity: str = attrs.field(default="node", metadata=SERVING)
    deployable_with: str | None = attrs.field(default=None, metadata=SERVING)
    any_size: bool = attrs.field(default=False, metadata=SERVING)
    attention_system: System | str | None = attrs.field(
        default=None, converter=attrs.converters.optional(_as_system), repr=_id, metadata=SERVING
    )
    ffn_system: System | str | None = attrs.field(
        default=None, converter=attrs.converters.optional(_as_system), repr=_id, metadata=SERVING
    )
    attention_precision: str | None = attrs.field(default=None, metadata=SERVING)
    attention_core_precision: str = attrs.field(default="bf16", metadata=SERVING)
    kv_precision: str = attrs.field(default="bf16", metadata=SERVING)
    transport: str | None = attrs.field(default=None, metadata=SERVING)
    domain_layout: str | None = attrs.field(default=None, metadata=SERVING)
    redundant_experts: int | None = attrs.field(default=None, metadata=SERVING)
    experts_per_ffn_device: int | None = attrs.field(default=None, metadata=SERVING)
    expert_placement: str | None = attrs.field(default=None, metadata=SERVING)
    zipf: float | None = attrs.field(default=None, metadata=SERVING)
    expert_counts: tuple[float, ...] | None = attrs.field(
        default=None, converter=attrs.converters.optional(_as_counts), metadata=SERVING
    )
    tensor_parallel: int | None = attrs.field(default=None, metadata=SERVING)
    context_parallel: int | None = attrs.field(default=None, metadata=SERVING)
    expert_tensor_parallel: int | None = attrs.field(default=None, metadata=SERVING)
    attention_groups: int = attrs.field(default=1, metadata=SERVING)
    afd_cut: str | None = attrs.field(default=None, metadata=SERVING)
    kernels: str = attrs.field(default="separate", metadata=SERVING)
    shared_experts: str = attrs.field(default="ffn", metadata=SERVING)
    transfer_share: float = attrs.field(default=0.0, metadata=SERVING)
    sigma_dp: float = attrs.field(default=1.0, metadata=SERVING)
    sigma_ep: float = attrs.field(default=1.0, metadata=SERVING)
    engine: Engine = attrs.field(
        default=cast("Engine", IDEAL), converter=_as_engine, repr=_id, metadata=SERVING
    )
    routing: str = attrs.field(default="natural", metadata=SERVING)

    def __attrs_post_init__(self) -> None:
        engine: object = self.engine
        if not isinstance(engine, Engine):
            found = load_engine(an_id("engine", engine), catalogue=self.system.parts.catalogue)
            object.__setattr__(self, "engine", found)
        self._check_numbers()
        self._check_words()
        if self.accept_length > self.query_tokens:
            raise InputError(
                f"--accept-length {self.accept_length:g} exceeds the {self.query_tokens} tokens of a step: "
                f"--draft-tokens {self.draft_tokens} and one"
            )
        least = (self.gap_ms or 0.0) / self.accept_length
        if self.latency_ms <= least:
            raise InputError(
                f"--tpot-ms {self.latency_ms:g} leaves no time for the layers: it must be above "
                f"--gap-ms {self.gap_ms:g} / --accept-length {self.accept_length:g} = {least:g} ms"
            )
        self._check_popularity()
        self._check_cut()
        if self.fan_out == "grouped" and self.model.expert_groups == 1:
            raise InputError(
                f"--fan-out grouped: {self.model.id} does not limit routing to groups; valid: paper, uniform"
            )

    def _check_cut(self) -> None:
        """Refuse the core cut beside what only the other cut has."""
        if self.afd_cut != "core":
            return
        if self.shared_experts == "attention":
            raise InputError(
                "--afd-cut core and --shared-experts attention exclude each other: the core cut leaves "
                "caches alone on the attention side"
            )
        if self.deployable_with == PLUGIN:
            raise InputError(f"--afd-cut core cannot run with {PLUGIN}; valid: attention")

    def _check_popularity(self) -> None:
        """Refuse two answers to how evenly experts are loaded."""
        named = [name for name in POPULARITY if getattr(self, name) is not None]
        for name, other in (("sigma_ep", self.sigma_ep < 1.0), ("routing", self.routing == "balanced")):
            if named and other:
                raise InputError(
                    f"{option(name)} {getattr(self, name)} and {option(named[0])} exclude each other: both "
                    "say how evenly experts are loaded"
                )
        if self.zipf is not None and self.expert_counts is not None:
            raise InputError("--zipf and --expert-counts exclude each other: give one of them")
        if self.expert_counts is not None and len(self.expert_counts) != self.model.routed_experts:
            raise InputError(
                f"--expert-counts has counts of {len(self.expert_counts)} experts, but model {self.model.id} "
                f"has {self.model.routed_experts}: give one count for each"
            )

    def _check_words(self) -> None:
        """Refuse words that are none of those valid."""
        for name, words in CHOICES.items():
            if getattr(self, name) is not None:
                choice(option(name), getattr(self, name), words)
        if self.deployable_with is not None:
            choice("--deployable-with", self.deployable_with, deployable_words(self.system.parts.catalogue))
        if not isinstance(self.any_size, bool):
            raise InputError(f"--any-size {shown(self.any_size)} must be true or false")
        for name in FORMATS:
            given = getattr(self, name)
            if given is not None:
                precision(given, option=option(name))

    def _check_numbers(self) -> None:
        """Refuse numbers that are none, or out of bounds."""
        if self.tpot_ms is not None:
            finite("--tpot-ms", self.tpot_ms, above=0, below=1e9)
            finite("--tpot-ms", self.tpot_ms, least=SHORTEST_TPOT_MS)
        finite("--accept-length", self.accept_length, least=1, below=1e3)
        if self.gap_ms is not None:
            finite("--gap-ms", self.gap_ms, least=0, below=1e9)
        for name, most in COUNTS.items():
            if getattr(self, name) is not None:
                whole(option(name), getattr(self, name), most=most)
        if self.memory_reserve is not None:
            finite("--memory-reserve", self.memory_reserve, least=0, below=1)
        if self.zipf is not None:
            finite("--zipf", self.zipf, least=0, below=STEEPEST)
        finite("--context-variation", self.context_variation, least=0, below=STEEPEST)
        finite("--transfer-share", self.transfer_share, least=0, below=1)
        for name in ("sigma_dp", "sigma_ep"):
            finite(option(name), getattr(self, name), least=1e-3)
            finite(option(name), getattr(self, name), most=1)
        for name in ("draft_tokens", "redundant_experts"):
            if getattr(self, name) is not None and getattr(self, name) != 0:
                whole(option(name), getattr(self, name), most=10_000)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ANN401, FBT001 - a notebook's protocol
        del cycle
        printer.text(repr(self))

    def for_stage(self) -> Scenario:
        """Return the scenario with the conventions of the FFN stage's roofline where nothing else is said."""
        absent: dict[str, Any] = {
            "tpot_ms": DEFAULT_TPOT_MS,
            "gap_ms": 0.0,
            "microbatches": 3,
            "duplex": "shared",
            "links": "nominal",
            "fan_out": "paper",
        }
        changes = {name: value for name, value in absent.items() if getattr(self, name) is None}
        return attrs.evolve(self, **changes) if changes else self

    def side(self, name: str) -> System:
        """Return the system of one group under AFD: `attention` or `ffn`."""
        given = self.attention_system if name == "attention" else self.ffn_system
        return _as_system(given) if given is not None else self.system

    @property
    def reserve(self) -> float:
        """Share of device memory that the engine does not plan with, or that is kept free where given [1]."""
        given = self.memory_reserve
        return round(1.0 - self.engine.memory_fraction, 12) if given is None else given

    @property
    def latency_ms(self) -> float:
        """Time per output token allowed, the default where none is given [ms]."""
        return DEFAULT_TPOT_MS if self.tpot_ms is None else self.tpot_ms

    @property
    def step_limit(self) -> float:
        """Longest step that the time per output token allows [s]."""
        return self.latency_ms * 1e-3 * self.accept_length

    @property
    def query_tokens(self) -> int:
        """Tokens of a sequence that one step computes: the drafted ones and one."""
        drafted = self.draft_tokens
        return 1 + (math.ceil(self.accept_length) - 1 if drafted is None else drafted)

    @property
    def native_precision(self) -> str:
        """The narrowest of fp8, int8 and bf16 that the accelerator has a peak for."""
        found = native(self.system.accelerator.peak_flop_per_s)
        if found is None:
            raise InputError(f"system {self.system.id} has no fp8, int8 or bf16 peak; supply one with --set")
        return found

    @property
    def _peaks(self) -> dict[str, float]:
        return dict(self.system.accelerator.peak_flop_per_s) if self.native_precision else {}

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint whose formats are taken where none are given; None where the record names none."""
        vendor = self.system.parts.accelerator.text("vendor")
        return quickest(self.model.checkpoints, self._peaks, vendor=vendor, experts=self.expert_precision)

    @property
    def weights(self) -> Precision:
        """Format of the expert weights."""
        found = self.checkpoint
        return precision(self._taken(self.expert_precision, found.experts if found else None))

    @property
    def others(self) -> Precision:
        """Format of projections, shared experts and dense layers."""
        found = self.checkpoint
        return precision(self._taken(self.attention_precision, found.rest if found else None))

    def _taken(self, given: str | None, published: str | None) -> str:
        """Return a format as given, else the one that stands for what is published."""
        if given:
            return given
        return nearest_format(published, self._peaks) if published else self.native_precision

    @property
    def others_operand(self) -> str | None:
        """Peak their products run at, applied to vectors of the same format; None where none serves."""
        return operand(self.others, self.others, self._peaks)

    @property
    def dispatched(self) -> Precision:
        """Format of the vectors sent to the experts."""
        taken = self.checkpoint
        if taken is not None and self.expert_precision not in {None, taken.experts}:
            taken = None
        found = self.dispatch_precision or sent_to(self.weights, self._peaks, taken)
        return precision(found or self.native_precision)

    @property
    def combined(self) -> Precision:
        """Format of the vectors sent back."""
        return precision(self.combine_precision or "bf16")

    @property
    def operand(self) -> str:
        """Peak the expert product runs at (`catalogue.precision.operand`)."""
        found = operand(self.weights, self.dispatched, self._peaks)
        if found is None:
            raise InputError(
                f"system {self.system.id} has no peak to multiply {self.weights.id} weights with"
            )
        return found
