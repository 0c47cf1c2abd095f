"""Serving modes over the first token and every next one: all replicas and pools of a cluster, searched."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.errors import InputError
from roofline_afd.physics import network, serving_modes
from roofline_afd.serving.batches import AFD_MICROBATCHES, EP_MICROBATCHES, LARGEST_BATCH, PLUGIN_MICROBATCHES
from roofline_afd.serving.deployment import AFD, EP, Deployment, Deployments
from roofline_afd.serving.limits import FABRIC, LATENCY, MEMORY
from roofline_afd.serving.sizes import ACTIVATION_BYTES, MEASURED_TRANSPORT, Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.deployment import Block
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.workload import Workload

    Numbers = NDArray[np.float64]
    Points = dict[str, NDArray[np.float64]]

AGG, PD, AGG_AFD, PD_AFD = "agg", "pd", "agg+afd", "pd+afd"
SERVING_MODES = (AGG, PD, AGG_AFD, PD_AFD)
FIRST_TOKEN, PREFILL_SHARE, PREFILL = "first-token target", "prefill share of steps", "prefill pool"
SLOTS = "slots for the prompts of a chunk"
CLUSTER, REQUEST_RATE, THROUGHPUT = "cluster size", "request rate", "throughput"
DECODE = "decode"
PER_OCTAVE = 6
"""Batches tried between one and twice as many; the best is then found exactly."""
CHUNKS_PER_OCTAVE = 2
SMALLEST_CHUNK, LARGEST_CHUNK = 64, 32_768
SAME = 1e-9


@attrs.frozen(kw_only=True)
class Question:
    """What is asked of a cluster: requests, limits, and what may be varied.

    Parameters
    ----------
    scenario : Scenario
        Model and system of all devices, or of those that decode; its `devices` are the cluster.
    prefill : Scenario
        The same for devices that prefill apart.
    workload : Workload
        Requests.
    devices : int
        Devices of the cluster [1].
    ttft_ms : float, optional
        Time to the first token allowed [ms].
    tpot_ms : float, optional
        Time per output token allowed [ms].
    chunk_tokens : int, optional
        Prompt tokens of a step and attention group; searched where absent [1].
    tensor_parallel : int, optional
        Devices that share attention heads; searched where absent [1].
    request_rate : float, optional
        Requests a second of the whole cluster; saturated where absent [1/s].
    prompt_variation : float
        Standard deviation over mean of the input tokens [1].
    kv_link : str
        Fabric between the pools: `scale-up`, `scale-out`, or `auto`, scale-up where one domain holds all.
    kv_overlap : bool
        Whether the cache moves layer by layer during prefill.
    kv_moved : str
        What moves: `all` cached tokens of a prompt, or only the `new` ones.
    first_token : str
        Pool that gives out the first token: `prefill` or `decode`.
    shared_prefix : bool
        Whether sequences of an attention group share one prefix.
    """

    scenario: Scenario
    prefill: Scenario
    workload: Workload
    devices: int
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    chunk_tokens: int | None = None
    tensor_parallel: int | None = None
    request_rate: float | None = None
    prompt_variation: float = 0.0
    kv_link: str = "auto"
    kv_overlap: bool = False
    kv_moved: str = "all"
    first_token: str = "prefill"  # noqa: S105 - no password
    shared_prefix: bool = False

    @property
    def ttft_limit(self) -> float:
        """Time to the first token allowed [s]."""
        return math.inf if self.ttft_ms is None else self.ttft_ms * 1e-3

    @property
    def tpot_limit(self) -> float:
        """Time per output token allowed [s]."""
        return math.inf if self.tpot_ms is None else self.tpot_ms * 1e-3


@dataclasses.dataclass(frozen=True, slots=True)
class ModeFound:
    """What a search over one mode found: its points not dominated, those that are, the best; or why none is.

    `points` has a row per deployment on the mode's frontier, `others` some of those below it.
    """

    mode: str
    points: Points
    others: Points
    best: dict[str, float] | None
    binding: str
    examined: int
    refusal: str = ""
    least_ttft: float = math.inf
    least_tpot: float = math.inf
    least_product: float = math.inf
    """Least product of both times, whatever the limits [s^2]."""


def batch_grid(most: float) -> Numbers:
    """Return batches of a micro-batch to try, `PER_OCTAVE` to a doubling [1]."""
    octaves = max(math.log2(max(most, 1.0)), 0.0)
    return np.unique(np.round(2.0 ** (np.arange(math.floor(octaves * PER_OCTAVE) + 1) / PER_OCTAVE)))


def chunk_sizes(prompt: int, given: int | None) -> list[float]:
    """Return the prompt tokens a step may carry: equal parts of a prompt, or whole prompts [1]."""
    if given is not None:
        return [prompt / math.ceil(prompt / given)] if given < prompt else [float(given // prompt * prompt)]
    octaves = math.ceil(math.log2(max(prompt, LARGEST_CHUNK)))
    counts = np.unique(np.round(2.0 ** (np.arange(octaves * CHUNKS_PER_OCTAVE + 1) / CHUNKS_PER_OCTAVE)))
    parts = prompt / counts
    whole = prompt * counts
    parts = parts[(parts >= min(SMALLEST_CHUNK, prompt)) & (parts <= max(LARGEST_CHUNK, SMALLEST_CHUNK))]
    whole = whole[whole <= LARGEST_CHUNK]
    found = np.unique(np.concatenate([parts, whole]))
    return [float(each) for each in found] or [prompt / math.ceil(prompt / LARGEST_CHUNK)]


class Workers:
    """Replicas of one kind on one system, and the time of their steps, whatever these carry.

    Parameters
    ----------
    question : Question
        What is asked.
    scenario : Scenario
        Model and system of these devices.
    mode : str
        `ep` or `afd`.
    held : int
        Tokens of a sequence that memory is kept for [1].
    """

    def __init__(self, question: Question, scenario: Scenario, mode: str, *, held: int) -> None:
        work = question.workload
        self.question = question
        self.mode = mode
        self.deployments = Deployments(
            attrs.evolve(scenario, context=max(work.mean_context, 1)), mode, held_tokens=held
        )
        self.transport = scenario.transport or MEASURED_TRANSPORT
        self.microbatches: Sequence[int] = self._microbatches()

    @property
    def scenario(self) -> Scenario:
        """Model and system of these devices."""
        return self.deployments.scenario

    def _microbatches(self) -> Sequence[int]:
        given = self.scenario.microbatches
        allowed: Sequence[int] = EP_MICROBATCHES
        if self.mode == AFD:
            allowed = PLUGIN_MICROBATCHES if self.scenario.deployable_with else AFD_MICROBATCHES
        if given is None:
            return allowed
        return (given,) if self.mode == AFD or given in allowed else allowed

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Devices a replica may have: any up to one node or scale-up domain, then whole nodes."""
        scenario = self.scenario
        most = min(self.question.devices, scenario.max_devices)
        if scenario.granularity == "device":
            return np.arange(1, most + 1)
        sides = (self.deployments.attention, self.deployments.ffn)
        unit = math.lcm(*(side.devices_per_node for side in sides))
        inside = max(side.devices_per_node for side in sides)
        return np.unique([*range(1, min(inside, most) + 1), *range(unit, most + 1, unit)])

    @cached_property
    def shapes(self) -> tuple[Numbers, Numbers]:
        """Attention and FFN devices of every replica; under `ep` the second is empty."""
        scenario = self.scenario
        if self.mode == EP:
            return self.sizes.astype(float), np.zeros(0)
        left = np.concatenate([np.arange(1, size) for size in self.sizes])
        right = np.concatenate([size - np.arange(1, size) for size in self.sizes])
        fits = np.ones(left.shape, dtype=bool)
        if scenario.attention_devices:
            fits &= left == scenario.attention_devices
        if scenario.ffn_devices:
            fits &= right == scenario.ffn_devices
        if scenario.deployable_with:
            fits &= left % np.maximum(right, 1) == 0
        return left[fits].astype(float), right[fits].astype(float)

    @cached_property
    def tensor_parallels(self) -> list[int]:
        """Devices that may share heads: powers of two within a node that divide them."""
        most = min(self.deployments.attention.devices_per_node, self.question.devices)
        given = self.question.tensor_parallel
        tried = [given] if given else [1 << power for power in range(most.bit_length())]
        model = self.scenario.model
        found = [
            each
            for each in tried
            if each <= most and all(kind.split(each) is not None for kind in model.attention)
        ]
        if not found:
            raise InputError(
                f"--tensor-parallel {given} is not valid: it must divide the attention heads of {model.id} "
                f"and be at most {most}, the devices of a node of {self.deployments.attention.id}, or all"
            )
        return found

    def rows(self, tensor_parallel: int) -> NDArray[np.intp]:
        """Return the shapes whose attention devices make whole groups."""
        return np.flatnonzero(self.shapes[0] % tensor_parallel == 0)

    def columns(self, rows: NDArray[np.intp]) -> tuple[Numbers, Numbers]:
        """Return attention and FFN devices of some shapes as columns, no FFN devices under `ep`."""
        attention, ffn = self.shapes
        return attention[rows][:, None], (ffn[rows] if ffn.size else np.zeros(rows.size))[:, None]

    def deployment(
        self,
        attention: FloatArray,
        ffn: FloatArray,
        *,
        tensor_parallel: int,
        batch: FloatArray,
        microbatches: FloatArray = 1,
    ) -> Deployment:
        """Return deployments of these shapes, `batch` of all micro-batches of a group."""
        apart = self.mode == AFD
        return Deployment(
            mode=self.mode,
            attention_devices=attention,
            ffn_devices=ffn if apart else None,
            batch=batch,
            microbatches=microbatches,
            transport=self.transport,
            redundant_experts=self.deployments.fill(np.asarray(ffn if apart else attention)),
            tensor_parallel=tensor_parallel,
        )

    def prompt(self, tokens: FloatArray) -> Prompt:
        """Return the prompts, or the part of one, that a micro-batch carries."""
        work = self.question.workload
        new = np.minimum(tokens, work.isl)
        return Prompt(np.divide(tokens, new), new, work.prefix + (work.isl - new) / 2.0)

    def micro(self, deployment: Deployment, tokens: FloatArray | None) -> tuple[list[Block], FloatArray]:
        """Return the times of a micro-batch with so many prompt tokens, or none."""
        prompt = None if tokens is None else self.prompt(tokens)
        return self.deployments.micro_batch(deployment, prompt=prompt)

    def memory_left(
        self, attention: FloatArray, ffn: FloatArray, *, tensor_parallel: int, tokens: float
    ) -> Numbers:
        """Return the sequences of a group that memory holds besides weights and a step's prompt tokens."""
        empty = self.deployment(attention, ffn, tensor_parallel=tensor_parallel, batch=0)
        held = self.deployments.memory(empty)
        room = self.deployments.usable_memory()
        working = self.working_bytes(empty, tokens)
        work = self.question.workload
        cache = self.deployments.cache_of(self.deployments.held_tokens, tensor_parallel)
        used = held[0] + working[0]
        if self.question.shared_prefix:
            used = used + self.deployments.cache_of(work.prefix, tensor_parallel)
            cache = self.deployments.cache_of(self.deployments.held_tokens - work.prefix, tensor_parallel)
        most = np.floor((room[0] - used) / max(cache, 1.0))
        fits = np.less_equal(held[1] + working[1], room[1])
        found: Numbers = np.minimum(np.where(fits, most, -1.0), LARGEST_BATCH)
        return found

    def working_bytes(self, deployment: Deployment, tokens: float) -> tuple[FloatArray, FloatArray]:
        """Return the working memory of a step's prompt tokens on a device of either side [B]."""
        model = self.scenario.model
        tp = deployment.tensor_parallel
        width = max(
            kind.heads * sum(kind.core_widths(absorbed=False)) + kind.entry_elements
            for kind in model.attention
        )
        common: dict[str, Any] = {
            "hidden_size": model.hidden_size,
            "attention_width": width / tp,
            "dispatch_width": model.dispatch_width,
            "intermediate": model.expert_intermediate,
            "expert_matrices": model.expert_matrices,
            "activation_bytes": ACTIVATION_BYTES,
        }
        pairs = np.divide(
            tokens / tp * model.mean_top_k * np.asarray(deployment.attention_devices),
            deployment.expert_devices,
        )
        mine = serving_modes.working_bytes(tokens=tokens, pairs=0.0, **common)
        theirs = serving_modes.working_bytes(tokens=0.0, pairs=pairs, **common)
        if self.mode == EP:
            return mine + theirs, mine + theirs
        return mine, theirs

    def replicas(self, attention: FloatArray, ffn: FloatArray) -> Numbers:
        """Return the whole replicas of a shape that the cluster has room for."""
        size = attention + ffn if self.mode == AFD else attention
        domain, devices = self.domain, self.question.devices
        inside = devices // domain * np.floor_divide(domain, size) + np.floor_divide(devices % domain, size)
        found: Numbers = np.where(size <= domain, inside, np.floor_divide(devices, size)) * 1.0
        return found

    @property
    def domain(self) -> int:
        """Devices that a replica which is no larger stays within: a scale-up domain."""
        sides = (self.deployments.attention, self.deployments.ffn)
        return max(side.scale_up_domain_devices for side in sides)

    def room(self, size: FloatArray) -> FloatArray:
        """Return the devices that a replica takes up, with its share of those left over in its domain."""
        if self.question.devices <= self.domain:
            return np.multiply(size, 1.0)
        shared = np.divide(self.domain, np.maximum(np.floor_divide(self.domain, size), 1))
        found: FloatArray = np.where(np.less_equal(size, self.domain), shared, size)
        return found


class Aggregated:
    """Prefill and decode on the same devices: steps that decode, some with a chunk of a prompt."""

    def __init__(self, question: Question, mode: str) -> None:
        self.question = question
        self.workers = Workers(question, question.scenario, mode, held=question.workload.held)
        self.name = AGG if mode == EP else AGG_AFD
        self.least = [math.inf, math.inf, math.inf]
        self.fitted = False
        self.prefilled = False
        self.served = False
        self.examined = 0

    def search(self) -> ModeFound:
        """Search every replica, micro-batches, chunk and batch."""
        collected: list[Points] = []
        spaces: list[Points] = []
        for tp in self.workers.tensor_parallels:
            for points, space in self._blocks(tp):
                collected.append(points)
                spaces.append(space)
        every = joined(collected)
        bounds = joined(spaces)
        best = float(np.max(every["rate"], initial=0.0)) if every else 0.0
        if bounds:
            rows = np.flatnonzero(bounds["bound"] >= best * (1.0 - SAME))
            exact = self._settle(take(bounds, rows))
            every = joined([every, exact]) if every else exact
        return _finished(self, every)

    def _blocks(self, tp: int) -> Iterator[tuple[Points, Points]]:
        """Yield the frontier of every chunk and micro-batches, and the shapes with batches to go on from."""
        workers, work = self.workers, self.question.workload
        rows = workers.rows(tp)
        if not rows.size:
            return
        attention, ffn = workers.columns(rows)
        chunks = chunk_sizes(work.isl, self.question.chunk_tokens)
        room = workers.memory_left(attention, ffn, tensor_parallel=tp, tokens=min(chunks))
        keep = room[:, 0] >= 1
        self.fitted |= bool(np.any(keep))
        if not np.any(keep):
            return
        attention, ffn = attention[keep], ffn[keep]
        largest = float(np.max(room))
        needed = {
            math.ceil(chunk / work.isl / m * (1.0 - SAME)) for chunk in chunks for m in workers.microbatches
        }
        slots = [
            float(each) for each in needed if each <= largest
        ]  # the least batches that admit the prompts
        grid = np.unique(np.concatenate([batch_grid(largest), slots]))[None, :]
        decoding = workers.deployment(attention, ffn, tensor_parallel=tp, batch=grid)
        pure = workers.micro(decoding, None)
        known: dict[float, tuple[list[Block], FloatArray]] = {}
        for chunk in chunks:
            most = workers.memory_left(attention, ffn, tensor_parallel=tp, tokens=chunk)
            for m in workers.microbatches:
                if chunk / m not in known:
                    known[chunk / m] = workers.micro(decoding, np.asarray(chunk / m))
                case = {"attention": attention, "ffn": ffn, "m": float(m), "chunk": chunk, "tp": float(tp)}
                yield self._case(case, grid, most, pure, known[chunk / m])

    def _case(
        self,
        case: dict[str, Any],
        grid: Numbers,
        most: Numbers,
        pure: tuple[list[Block], FloatArray],
        mixed: tuple[list[Block], FloatArray],
    ) -> tuple[Points, Points]:
        deployments = self.workers.deployments
        shape = np.broadcast_shapes(case["attention"].shape, grid.shape)
        times = [np.broadcast_to(deployments.step_of(*each, case["m"]).time, shape) for each in (mixed, pure)]
        found = self._outcome(case, grid, most, *times)
        self.examined += int(np.sum(np.maximum(np.floor(most / case["m"]), 0.0)))
        steady = found.pop("memory") & found.pop("within_share")
        enough = found.pop("enough")
        self.prefilled |= bool(np.any(steady))
        steady &= enough & np.isfinite(found["ttft"])
        self.served |= bool(np.any(steady))
        if np.any(steady):
            self.least[0] = min(self.least[0], float(np.min(found["ttft"][steady])))
            self.least[1] = min(self.least[1], float(np.min(found["tpot"][steady])))
            self.least[2] = min(self.least[2], float(np.min((found["ttft"] * found["tpot"])[steady])))
        feasible = found.pop("feasible")
        columns = {key: np.broadcast_to(value, shape) for key, value in found.items()}
        points = frontier(take(columns, np.flatnonzero((feasible & enough).ravel())))
        last = np.where(feasible, grid, 0.0).max(axis=1)
        rate = np.where(feasible, columns["rate"], 0.0)
        at = np.argmax(rate * (grid == last[:, None]), axis=1)
        lines = np.arange(last.size)
        above = np.where(grid > last[:, None], grid, np.inf).min(axis=1)
        cap = self._cap(most[:, 0], case)
        high = np.minimum(above, cap + 1.0)
        open_ = (last >= 1) & (high > last + 1.0)
        bound = np.where(open_, rate[lines, at] * (high - 1.0) / np.maximum(last, 1.0), 0.0)
        pick = np.flatnonzero(bound > 0)
        space = {
            "attention": case["attention"][:, 0][pick],
            "ffn": case["ffn"][:, 0][pick],
            **{key: np.full(pick.size, case[key]) for key in ("m", "chunk", "tp")},
            "low": last[pick],
            "high": high[pick],
            "most": most[:, 0][pick],
            "bound": bound[pick],
        }
        return points, space

    def _cap(self, most: FloatArray, case: Mapping[str, Any]) -> Numbers:
        """Return the sequences of a micro-batch that memory and the balance of tokens allow."""
        work = self.question.workload
        share = case["chunk"] * work.osl / (self.workers.scenario.accept_length * work.isl)
        found: Numbers = np.floor(np.minimum(most, share * (1.0 + SAME)) / case["m"])
        return found

    def _outcome(
        self,
        case: Mapping[str, Any],
        micro: FloatArray,
        most: FloatArray,
        mixed: FloatArray,
        pure: FloatArray,
    ) -> dict[str, Any]:
        """Return what the users and the operator see of each deployment, and which limits it meets."""
        question, work = self.question, self.question.workload
        accept = self.workers.scenario.accept_length
        batch = micro * case["m"]
        share = serving_modes.mixed_share(
            batch=batch,
            accept_length=accept,
            prompt_tokens=work.isl,
            output_tokens=work.osl,
            chunk_tokens=case["chunk"],
        )
        linked = np.isfinite(mixed) & np.isfinite(pure)  # not over a fabric that is absent
        known = {"mixed": np.where(linked, mixed, 0.0), "pure": np.where(linked, pure, 0.0)}
        step = np.where(linked, serving_modes.mean_step_time(**known, share=share), np.inf)
        steps = np.ceil(work.isl / case["chunk"] * (1.0 - SAME))
        groups = case["attention"] / case["tp"]
        replicas = self.workers.replicas(case["attention"], case["ffn"])
        tokens = replicas * groups * accept * batch / step
        ttft = steps * mixed
        if question.request_rate is not None:
            ttft = ttft + serving_modes.waiting_time(
                rate=question.request_rate / np.maximum(replicas * groups, 1.0),
                service=mixed * (work.isl / case["chunk"]),
                variation=question.prompt_variation,
            )
        memory = batch <= most
        admitted = batch * (1.0 + SAME) >= case["chunk"] / work.isl  # each prompt takes a slot of the batch
        within = share <= 1.0 + SAME
        tpot = step / accept
        feasible = memory & within & (ttft <= question.ttft_limit) & (tpot <= question.tpot_limit)
        feasible &= np.isfinite(ttft)
        return {
            "attention": case["attention"],
            "ffn": case["ffn"],
            "tp": np.asarray(case["tp"]),
            "m": np.asarray(case["m"]),
            "chunk": np.asarray(case["chunk"]),
            "batch": batch,
            "replicas": replicas,
            "share": share,
            "mixed": mixed,
            "pure": pure,
            "ttft": ttft,
            "tpot": tpot,
            "rate": tokens / question.devices,
            "memory": memory & np.isfinite(step),
            "within_share": within,
            "feasible": feasible & np.isfinite(step) & (replicas >= 1),
            "enough": (tokens / work.osl >= (question.request_rate or 0.0)) & admitted,
        }

    def quickest(self, points: Points) -> Points:
        """Return the points: each has a time to the first token of its own."""
        return points

    def at(self, case: Points, micro: Numbers) -> dict[str, Any]:
        """Return the outcome of deployments, one an element, at some batches of a micro-batch."""
        workers = self.workers
        size = micro.size
        mixed, pure = np.empty(size), np.empty(size)
        dense = [kind.unfolding_pays_from() for kind in workers.scenario.model.attention]
        carried = case["chunk"] / case["m"]
        work = self.question.workload
        after = np.less(carried, work.isl) | (work.prefix > 0)  # whether tokens of the prompt are cached
        long = 2 * sum(np.greater_equal(carried, each) * 1 for each in dense) + after
        for tp, kind in sorted(set(zip(case["tp"].tolist(), long.tolist(), strict=True))):
            rows = np.flatnonzero((case["tp"] == tp) & (long == kind))
            attention, ffn = case["attention"][rows], case["ffn"][rows]
            m = case["m"][rows]
            decoding = workers.deployment(attention, ffn, tensor_parallel=int(tp), batch=micro[rows])
            pure[rows] = workers.deployments.step_of(*workers.micro(decoding, None), m).time
            tokens = case["chunk"][rows] / m
            mixed[rows] = workers.deployments.step_of(*workers.micro(decoding, tokens), m).time
        return self._outcome(case, micro, case["most"], mixed, pure)

    def _settle(self, space: Points) -> Points:
        """Return deployments with the largest batch that every limit allows, by bisection."""
        if not space["low"].size:
            return {}
        low, high = space["low"].copy(), space["high"].copy()
        while True:
            active = np.flatnonzero(high - low > 1)
            if not active.size:
                break
            middle = np.floor((low[active] + high[active]) / 2.0)
            good = self.at(take(space, active), middle)["feasible"]
            low[active] = np.where(good, middle, low[active])
            high[active] = np.where(good, high[active], middle)
        found = self.at(space, low)
        feasible = np.flatnonzero(found.pop("feasible") & found.pop("enough"))
        for key in ("memory", "within_share"):
            found.pop(key)
        return take({key: np.broadcast_to(value, low.shape) for key, value in found.items()}, feasible)

    def refusal(self) -> str:
        """Return the constraint that rules every deployment out."""
        if not self.fitted:
            return MEMORY if self.workers.shapes[0].size else CLUSTER
        if not self.prefilled:
            return PREFILL_SHARE
        if not self.served:
            return SLOTS if self.question.request_rate is None else REQUEST_RATE
        if self.least[0] > self.question.ttft_limit:
            return FIRST_TOKEN
        if self.least[1] > self.question.tpot_limit:
            return LATENCY
        return f"{FIRST_TOKEN} with {LATENCY}"

    def binding(self, best: Mapping[str, float]) -> str:
        """Return what forbids one more sequence in each micro-batch of the best."""
        case = {key: np.array([best[key]]) for key in ("attention", "ffn", "tp", "m", "chunk")}
        case["most"] = self.workers.memory_left(
            case["attention"], case["ffn"], tensor_parallel=int(best["tp"]), tokens=best["chunk"]
        )
        more = self.at(case, np.array([best["batch"] / best["m"] + 1.0]))
        limits = (
            (MEMORY, more["memory"]),
            (PREFILL_SHARE, more["within_share"]),
            (FIRST_TOKEN, more["ttft"] <= self.question.ttft_limit),
            (LATENCY, more["tpot"] <= self.question.tpot_limit),
        )
        return next((name for name, holds in limits if not np.all(holds)), THROUGHPUT)


class Disaggregated:
    """Prefill and decode on devices of their own, the cache of each prompt sent from one to the other."""

    def __init__(self, question: Question, mode: str) -> None:
        work = question.workload
        self.question = question
        self.prefill = Workers(question, question.prefill, mode, held=work.prompt)
        self.decode = Workers(question, question.scenario, mode, held=work.held)
        self.name = PD if mode == EP else PD_AFD
        self.examined = 0
        self.together = False
        self.least = [math.inf, math.inf, math.inf]

    @cached_property
    def _link(self) -> tuple[float, float, float]:
        """Effective bandwidth of a sending and of a receiving device [B/s], and the fixed time [s]."""
        sides = [
            (
                each.deployments.attention,
                each.deployments.layers(each.transport).calibration("attention").link,
            )
            for each in (self.prefill, self.decode)
        ]
        together = sides[0][0].id == sides[1][0].id and (
            self.question.devices <= sides[0][0].scale_up_domain_devices
        )
        if self.question.kv_link == "scale-up" or (self.question.kv_link == "auto" and together):
            up = [system.scale_up.bytes_per_s * link.efficiency_up for system, link in sides]
            return up[0], up[1], max(link.latency_up_s for _, link in sides)
        out = [
            system.scale_out.bytes_per_s * link.efficiency_out if system.scale_out else 0.0
            for system, link in sides
        ]
        return out[0], out[1], max(link.latency_out_s for _, link in sides)

    def cache_bytes(self, tensor_parallel: int) -> float:
        """Return the bytes that move for one request to devices that share heads so many ways [B]."""
        work, deployments = self.question.workload, self.decode.deployments
        moved = work.isl if self.question.kv_moved == "new" else work.prompt
        return tensor_parallel * deployments.cache_of(moved, tensor_parallel)

    def transfer(self, sending: FloatArray, receiving: int) -> FloatArray:
        """Return the time to move the cache of one request between groups that share heads [s]."""
        sender, receiver, latency = self._link
        if not (sender and receiver):
            return np.inf
        return network.cache_transfer_time(
            cache_bytes=self.cache_bytes(receiving),
            sending_devices=sending,
            receiving_devices=receiving,
            sending_bandwidth=sender,
            receiving_bandwidth=receiver,
            latency=latency,
        )

    def _link_rate(self, attention: FloatArray, bandwidth: float, receiving: FloatArray) -> FloatArray:
        """Return the requests a second whose cache the links of a replica carry [1/s]."""
        kinds, which = np.unique(receiving, return_inverse=True)
        moved = np.array([max(self.cache_bytes(int(kind)), 1.0) for kind in kinds])[which]
        return np.multiply(attention, bandwidth) / moved.reshape(np.shape(receiving))

    def search(self) -> ModeFound:
        """Search every pair of pools: their replicas, micro-batches, chunk and batch."""
        prefill = self._prefill = self._prefilling()
        decode = self._decoding()
        if not (prefill and decode):
            return _finished(self, {})
        every = joined(self._matched(prefill, each) for each in (decode, self._settle(decode)) if each)
        return _finished(self, every)

    def _prefilling(self) -> Points:
        """Return every way to prefill, one an element."""
        workers, work = self.prefill, self.question.workload
        found: list[Points] = []
        self.prefill_fits = False
        for tp in workers.tensor_parallels:
            rows = workers.rows(tp)
            attention, ffn = (side[:, 0] for side in workers.columns(rows))
            empty = workers.deployment(attention, ffn, tensor_parallel=tp, batch=0)
            for chunk in chunk_sizes(work.isl, self.question.chunk_tokens):
                wanted = math.ceil(chunk / work.isl * (1.0 - SAME))
                most = workers.memory_left(attention, ffn, tensor_parallel=tp, tokens=chunk)
                for m in workers.microbatches:
                    micro = workers.micro(empty, np.asarray(chunk / m))
                    step = np.broadcast_to(workers.deployments.step_of(*micro, m).time, attention.shape)
                    fits = np.flatnonzero((most >= wanted) & np.isfinite(step))
                    if not fits.size:
                        continue
                    one = np.ones(fits.size)
                    rate = serving_modes.prefill_rate(
                        chunk_tokens=chunk, prompt_tokens=work.isl, step=step[fits]
                    )
                    found.append(
                        {
                            "p_attention": attention[fits],
                            "p_ffn": ffn[fits],
                            "p_tp": tp * one,
                            "p_m": m * one,
                            "chunk": chunk * one,
                            "p_step": step[fits],
                            "p_size": attention[fits] + ffn[fits],
                            "p_room": workers.room(attention[fits] + ffn[fits]),
                            "p_ttft": step[fits] * math.ceil(work.isl / chunk * (1.0 - SAME)),
                            "p_rate": rate * attention[fits] / tp,
                        }
                    )
        every = joined(found)
        self.prefill_fits = bool(every)
        self.least_room = float(np.min(every["p_room"])) if every else math.inf
        self.examined += every["chunk"].size if every else 0
        return every

    def _decoding(self) -> Points:
        """Return decoding replicas on a grid of batches, those kept that others of their size do not beat."""
        self.decode_fits = False
        workers = self.decode
        found: list[Points] = []
        spaces: list[Points] = []
        for tp in workers.tensor_parallels:
            attention, ffn = workers.columns(workers.rows(tp))
            most = workers.memory_left(attention, ffn, tensor_parallel=tp, tokens=0.0)
            keep = most[:, 0] >= 1
            if not np.any(keep):
                continue
            self.decode_fits = True
            keep &= workers.room(attention + ffn)[:, 0] <= self.question.devices - self.least_room + SAME
            if not np.any(keep):
                continue
            self.together = True
            attention, ffn, most = attention[keep], ffn[keep], most[keep]
            grid = batch_grid(float(np.max(most)))[None, :]
            micro = workers.micro(workers.deployment(attention, ffn, tensor_parallel=tp, batch=grid), None)
            shape = (attention.shape[0], grid.shape[1])
            for m in workers.microbatches:
                step = np.broadcast_to(workers.deployments.step_of(*micro, m).time, shape)
                self.examined += int(np.sum(np.maximum(np.floor(most / m), 0.0)))
                case = {"attention": attention, "ffn": ffn, "tp": float(tp), "m": float(m)}
                columns = self._decoded(case, grid * m, step)
                held = (grid * m <= most) & np.isfinite(step)
                if np.any(held):
                    self.least[1] = min(self.least[1], float(np.min(columns["tpot"][held])))
                fits = held & (columns["tpot"] <= self.question.tpot_limit)
                found.append(take(columns, np.flatnonzero(fits)))
                last = np.where(fits, grid, 0.0).max(axis=1)
                above = np.where(grid > last[:, None], grid, np.inf).min(axis=1)
                high = np.minimum(above, np.floor(most[:, 0] / m) + 1.0)
                lines = np.flatnonzero((last >= 1) & np.isfinite(high))
                spaces.append(
                    {
                        "attention": attention[lines, 0],
                        "ffn": ffn[lines, 0],
                        "tp": np.full(lines.size, float(tp)),
                        "m": np.full(lines.size, float(m)),
                        "low": last[lines],
                        "high": high[lines],
                        "most": most[lines, 0],
                    }
                )
        self.spaces = joined(spaces)
        every = joined(found)
        return _best_of_sizes(every) if every and every["tpot"].size else {}

    def _decoded(self, case: Mapping[str, Any], batch: Numbers, step: Numbers) -> Points:
        """Return what decoding replicas deliver: tokens' time, requests a second."""
        accept, work = self.decode.scenario.accept_length, self.question.workload
        size = np.asarray(case["attention"]) + np.asarray(case["ffn"])
        columns = {
            **{key: np.asarray(case[key]) for key in ("attention", "ffn", "tp", "m")},
            "batch": batch,
            "pure": step,
            "size": size,
            "room": self.decode.room(size),
            "tpot": step / accept,
            "d_rate": np.minimum(
                batch * accept / step / work.osl * np.asarray(case["attention"]) / case["tp"],
                self._link_rate(case["attention"], self._link[1], case["tp"]),
            ),
        }
        return {key: np.broadcast_to(column, np.shape(step)) for key, column in columns.items()}

    def _steps(self, space: Points, micro: Numbers) -> Numbers:
        """Return the time of decode steps, one an element."""
        workers, steps = self.decode, np.empty(micro.shape)
        for tp in np.unique(space["tp"]):
            rows = np.flatnonzero(space["tp"] == tp)
            deployment = workers.deployment(
                space["attention"][rows], space["ffn"][rows], tensor_parallel=int(tp), batch=micro[rows]
            )
            steps[rows] = workers.deployments.step_of(*workers.micro(deployment, None), space["m"][rows]).time
        return steps

    def _settle(self, decode: Points) -> Points:
        """Return decoding replicas with the largest batch that memory and the target allow, by bisection."""
        space = self.spaces
        rate = self._decoded(space, space["low"] * space["m"], self._steps(space, space["low"]))["d_rate"]
        bound = rate * np.maximum(space["high"] - 1.0, space["low"]) / space["low"]
        room = self.decode.room(space["attention"] + space["ffn"])
        alike = list(zip(room.tolist(), space["tp"].tolist(), strict=True))
        best = dict.fromkeys(alike, 0.0)
        known = (decode[key].tolist() for key in ("room", "tp", "d_rate"))
        for held, tp, reached in zip(*known, strict=True):
            best[held, tp] = max(best.get((held, tp), 0.0), reached)
        least = np.array([best[key] for key in alike])
        space = take(space, np.flatnonzero(bound >= least * (1.0 - SAME)))
        low, high = space["low"].copy(), space["high"].copy()
        limit = self.question.tpot_limit * self.decode.scenario.accept_length
        while True:
            active = np.flatnonzero(high - low > 1)
            if not active.size:
                break
            middle = np.floor((low[active] + high[active]) / 2.0)
            good = self._steps(take(space, active), middle) <= limit
            low[active] = np.where(good, middle, low[active])
            high[active] = np.where(good, high[active], middle)
        return _best_of_sizes(self._decoded(space, low * space["m"], self._steps(space, low)))

    def _matched(self, prefill: Points, decode: Points) -> Points:
        """Return, for each decoding replica, the pools that serve most requests within all limits."""
        found = [
            self._matched_to(prefill, take(decode, np.flatnonzero(decode["tp"] == tp)), int(tp))
            for tp in np.unique(decode["tp"])
        ]
        return joined(found)

    def _ways(self, prefill: Points, tp: int) -> Points:
        """Return the ways to prefill with their time to the first token, the cache moved to such groups."""
        moving = np.asarray(self.transfer(prefill["p_tp"], tp)) + np.zeros(prefill["p_tp"].shape)
        exposed = moving
        if self.question.kv_overlap:
            exposed = np.maximum(moving - prefill["p_step"], 0.0) + moving / self.decode.scenario.model.layers
        p_rate = np.minimum(prefill["p_rate"], self._link_rate(prefill["p_attention"], self._link[0], tp))
        return {**prefill, "p_rate": p_rate, "ttft": prefill["p_ttft"] + exposed, "kv": moving}

    def _matched_to(self, prefill: Points, decode: Points, tp: int) -> Points:
        """Return the same for decoding groups that share heads alike, as the cache moves alike to all."""
        question, work = self.question, self.question.workload
        late = question.first_token == DECODE
        d_rate = decode["d_rate"]
        ways = self._ways(prefill, tp)
        self._note_least(ways["p_room"], ways["ttft"], decode)
        ways = take(ways, np.flatnonzero(ways["ttft"] <= question.ttft_limit))
        if not ways["ttft"].size:
            return {}
        ways = take(ways, self._worth(ways))
        counts = np.floor((question.devices - float(np.min(decode["room"]))) / ways["p_room"]).astype(int)
        way = np.repeat(np.arange(counts.size), np.maximum(counts, 0))
        if not way.size:
            return {}
        starts = np.repeat(np.cumsum(np.maximum(counts, 0)) - np.maximum(counts, 0), np.maximum(counts, 0))
        number = np.arange(way.size) - starts + 1.0
        left = question.devices - number * ways["p_room"][way] + SAME
        ttft = ways["ttft"][way]
        if question.request_rate is not None:
            groups = number * (ways["p_attention"] / ways["p_tp"])[way]
            ttft = ttft + serving_modes.waiting_time(
                rate=question.request_rate / groups,
                service=(ways["p_step"] * work.isl / ways["chunk"])[way],
                variation=question.prompt_variation,
            )
        chosen = np.zeros(decode["size"].size, dtype=int)
        best = np.zeros(decode["size"].size)
        for start in range(0, decode["size"].size, 64):
            part = slice(start, start + 64)
            replicas = np.floor(left[:, None] / decode["room"][None, part])
            rate = serving_modes.matched_rate(
                prefill_replicas=number[:, None],
                prefill_rate=ways["p_rate"][way][:, None],
                decode_replicas=replicas,
                decode_rate=d_rate[None, part],
            )
            waited = ttft[:, None] + (decode["pure"][None, part] if late else 0.0)
            rate = np.where((waited <= question.ttft_limit) & np.isfinite(waited), rate, 0.0)
            self.examined += rate.size
            chosen[part] = np.argmax(rate, axis=0)
            best[part] = np.max(rate, axis=0)
        enough = best > 0 if question.request_rate is None else best >= question.request_rate
        rows = np.flatnonzero(enough)
        chosen = chosen[rows]
        pick = way[chosen]
        columns = {key: column[pick] for key, column in ways.items()}
        columns |= take(decode, rows)
        columns["ttft"] = ttft[chosen] + (columns["pure"] if late else 0.0)
        columns["p_replicas"] = number[chosen]
        columns["replicas"] = np.floor(left[chosen] / columns["room"])
        columns["d_rate"] = d_rate[rows]
        columns["rate"] = best[rows] * work.osl / question.devices
        return columns

    def quickest(self, points: Points) -> Points:
        """Return the same deployments with prefill pools that are quicker at the same rate."""
        if self.question.request_rate is not None:  # waits depend on the pool as a whole
            return points
        found = {key: column.copy() for key, column in points.items()}
        for tp in np.unique(points["tp"]):
            rows = np.flatnonzero(points["tp"] == tp)
            ways = self._ways(self._prefill, int(tp))
            ways = take(ways, _frontier_of_rooms(ways))
            wanted = points["rate"][rows] * self.question.devices / self.question.workload.osl
            number = np.ceil(wanted / ways["p_rate"][:, None] * (1.0 - SAME))
            left = self.question.devices - points["replicas"][rows] * points["room"][rows] + SAME
            fits = number * ways["p_room"][:, None] <= left
            first = np.where(fits, ways["ttft"][:, None], np.inf)
            best = np.argmin(first, axis=0)
            lines = np.arange(rows.size)
            late = points["pure"][rows] if self.question.first_token == DECODE else 0.0
            sooner = np.flatnonzero(first[best, lines] + late < points["ttft"][rows] * (1.0 - SAME))
            for key, column in ways.items():
                found[key][rows[sooner]] = column[best[sooner]]
            found["ttft"][rows[sooner]] = (first[best, lines] + late)[sooner]
            found["p_replicas"][rows[sooner]] = number[best, lines][sooner]
        return found

    def _note_least(self, room: Numbers, first: Numbers, decode: Points) -> None:
        """Note the least time to the first token, and times time per output token, of two pools that fit."""
        order = np.argsort(room)
        quickest = np.minimum.accumulate(first[order])
        last = np.searchsorted(room[order], self.question.devices - decode["room"] + SAME, side="right")
        fits = np.flatnonzero(last)
        if not fits.size:
            return
        late = decode["pure"][fits] if self.question.first_token == DECODE else 0.0
        ttft = quickest[last[fits] - 1] + late
        self.least[0] = min(self.least[0], float(np.min(ttft)))
        self.least[2] = min(self.least[2], float(np.min(ttft * decode["tpot"][fits])))

    def _worth(self, ways: Points) -> NDArray[np.intp]:
        """Return the ways to prefill that can be best: the fastest of each room, or all not dominated."""
        question, work = self.question, self.question.workload
        keep: list[int] = []
        for room in np.unique(ways["p_room"]):
            rows = np.flatnonzero(ways["p_room"] == room)
            if question.request_rate is not None:  # a wait grows with one's own service, and with the load
                service = ways["p_step"][rows] * work.isl / ways["chunk"][rows]
                own = ways["p_attention"][rows] / ways["p_tp"][rows] / service
                costs = np.stack([ways["ttft"][rows], -ways["p_rate"][rows], -own, service], axis=1)
                keep += rows[_undominated(costs)].tolist()
            elif question.first_token == DECODE:
                keep += rows[frontier_rows(ways["ttft"][rows], ways["p_rate"][rows])].tolist()
            else:
                keep.append(int(rows[np.argmax(ways["p_rate"][rows])]))
        return np.array(keep, dtype=np.intp)

    def refusal(self) -> str:
        """Return the constraint that rules every deployment out."""
        if not (self.prefill_fits and self.decode_fits):
            return MEMORY if self.prefill.shapes[0].size and self.decode.shapes[0].size else CLUSTER
        if not all(self._link[:2]):
            return FABRIC
        if not self.together:
            return CLUSTER
        if self.least[1] > self.question.tpot_limit:
            return LATENCY
        if self.least[0] > self.question.ttft_limit:
            return FIRST_TOKEN
        return CLUSTER if self.question.request_rate is None else REQUEST_RATE

    def binding(self, best: Mapping[str, float]) -> str:
        """Return the pool that limits the best, and what forbids that pool more."""
        if best["p_replicas"] * best["p_rate"] < best["replicas"] * best["d_rate"] * (1.0 - SAME):
            return PREFILL
        case = {key: np.array([best[key]]) for key in ("attention", "ffn", "tp", "m")}
        more = np.array([best["batch"] / best["m"] + 1.0])
        most = self.decode.memory_left(
            case["attention"], case["ffn"], tensor_parallel=int(best["tp"]), tokens=0.0
        )
        if np.any(more * case["m"] > most):
            return MEMORY
        limit = self.question.tpot_limit * self.decode.scenario.accept_length
        return LATENCY if np.any(self._steps(case, more) > limit) else THROUGHPUT


def _frontier_of_rooms(ways: Points) -> NDArray[np.intp]:
    """Return the ways to prefill that no other of their room beats in both time and rate."""
    keep = []
    for room in np.unique(ways["p_room"]):
        rows = np.flatnonzero(ways["p_room"] == room)
        keep.append(rows[frontier_rows(ways["ttft"][rows], ways["p_rate"][rows])])
    return np.concatenate(keep)


def _best_of_sizes(points: Points) -> Points:
    """Return the decoding replicas that no other of their room, sharing heads alike, beats in both."""
    keep: list[NDArray[np.intp]] = []
    for tp in np.unique(points["tp"]):
        for room in np.unique(points["room"]):
            rows = np.flatnonzero((points["room"] == room) & (points["tp"] == tp))
            if rows.size:
                keep.append(rows[frontier_rows(points["tpot"][rows], points["d_rate"][rows])])
    return take(points, np.concatenate(keep)) if keep else {}


def explore_modes(question: Question, modes: Sequence[str] = SERVING_MODES) -> dict[str, ModeFound]:
    """Search serving modes.

    Parameters
    ----------
    question : Question
        What is asked.
    modes : sequence of str
        Modes to search.

    Returns
    -------
    dict of str to ModeFound
        By mode.
    """
    found = {}
    for mode in modes:
        inner = AFD if mode in {AGG_AFD, PD_AFD} else EP
        search = Disaggregated if mode in {PD, PD_AFD} else Aggregated
        found[mode] = search(question, inner).search()
    return found


def take(points: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> Points:
    """Return some rows of points, whose columns may have more than one axis."""
    return {key: np.asarray(column).ravel()[rows] for key, column in points.items()}


def joined(parts: Iterable[Points]) -> Points:
    """Return points one after another."""
    kept = [part for part in parts if part]
    return {key: np.concatenate([part[key] for part in kept]) for key in kept[0]} if kept else {}


def frontier_rows(tpot: Numbers, rate: Numbers) -> NDArray[np.intp]:
    """Return the rows that no other beats in both, fastest first."""
    order = np.lexsort((-rate, tpot))
    best = np.maximum.accumulate(rate[order])
    first = np.ones(order.size, dtype=bool)
    first[1:] = rate[order][1:] > best[:-1] * (1.0 + SAME)
    return order[first]


def _undominated(costs: Numbers) -> NDArray[np.intp]:
    """Return the rows of costs that no other is below, or equal to, in every column."""
    kept: list[int] = []
    for row in np.lexsort(costs.T[::-1]).tolist():
        if not kept or not np.any(np.all(costs[kept] <= costs[row], axis=1)):
            kept.append(row)
    return np.array(kept, dtype=np.intp)


def frontier(points: Points) -> Points:
    """Return the points that no other beats in both time per output token and rate."""
    return take(points, frontier_rows(points["tpot"], points["rate"])) if points else {}


def _finished(search: Aggregated | Disaggregated, every: Points) -> ModeFound:
    """Return what was found: frontier, the rest, the best and what binds it."""
    if not every or not every["rate"].size:
        return ModeFound(search.name, {}, {}, None, "", search.examined, search.refusal(), *search.least)
    rows = frontier_rows(every["tpot"], every["rate"])
    rest = np.setdiff1d(np.arange(every["rate"].size), rows)
    points = search.quickest(take(every, rows))
    row = int(np.argmax(points["rate"]))
    best = {key: float(column[row]) for key, column in points.items()}
    others = take(every, rest)
    return ModeFound(
        *(search.name, points, others, best, search.binding(best), search.examined, ""), *search.least
    )
