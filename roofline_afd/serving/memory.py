"""What devices hold: weights, cache, what an engine keeps besides; how many sequences that has room for."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.catalogue.engines import ALL, CACHE, DEEPEP, ONE_SIDED, WEIGHTS_AND_CACHE
from roofline_afd.catalogue.models import EMBEDDING_BYTES
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.products import products_of, turns_latent
from roofline_afd.physics import memory, serving_modes
from roofline_afd.serving.sizes import (
    ACTIVATION_BYTES,
    CORE_CUT,
    REPLICATED,
    SCALE_BYTES,
    Deployment,
    Side,
    for_each,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from roofline_afd.catalogue.engines import Engine
    from roofline_afd.catalogue.hardware import System
    from roofline_afd.catalogue.models import Model
    from roofline_afd.physics.arrays import Count, FloatArray
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.sizes import Formats

WEIGHTS = ("experts", "shared_experts", "dense", "attention", "embeddings")
"""Parts of the weights: `attention` with routers and what else is beside it, `embeddings` with the head."""
PER_SEQUENCE = ("cache", "state")
BESIDE = ("activations", "graphs", "libraries", "buffers")
PARTS = (*WEIGHTS, *PER_SEQUENCE, *BESIDE)
"""Everything that a device holds."""
NARROW_BYTES = 1.0
"""Formats of fewer bytes an element are held in columns that are filled up."""
HALVED = 4
"""Of so many trials of a number of sequences one halves what is left of them [1]."""
ROUNDS = 64 * HALVED
"""More of these than a number of sequences has binary digits."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceMemory:
    """What the devices of a scenario's deployments hold, in one mode.

    Parameters
    ----------
    scenario : Scenario
        The question, with its engine.
    formats : Formats
        Number formats of both sides.
    attention, ffn : System
        Systems of both sides, the same where one device does both.
    apart : bool
        Whether the sides are two groups of devices.
    held_tokens : float
        Tokens that memory is kept for, of each sequence [1].
    shared_side, dense_side : str
        Side of shared experts, and of dense layers.
    """

    scenario: Scenario
    formats: Formats
    attention: System
    ffn: System
    apart: bool
    held_tokens: float
    shared_side: Side
    dense_side: str

    @property
    def engine(self) -> Engine:
        """The engine that plans with the memory."""
        return self.scenario.engine

    @property
    def holds(self) -> str:
        """What the engine's share of memory holds: all, where a reserve is given."""
        return ALL if self.scenario.memory_reserve is not None else self.engine.fraction_holds

    def capacity(self, side: str) -> float:
        """Return the memory of a device of one side, as its driver reports it [B]."""
        system = self.attention if side == "attention" else self.ffn
        return system.accelerator.memory_bytes

    def usable(self, side: str) -> float:
        """Return the memory of a device that `planned` may fill [B]."""
        capacity = self.capacity(side)
        if self.holds == CACHE:
            return capacity
        share = capacity * (1.0 - self.scenario.reserve)
        if self.holds == WEIGHTS_AND_CACHE:
            return min(share, capacity - self._outside[side])
        return share

    @property
    def _per_cached_byte(self) -> float:
        """Memory that a byte of cache asks for: more than one where the engine's share is for the cache."""
        return 1.0 / (1.0 - self.scenario.reserve) if self.holds == CACHE else 1.0

    @property
    def beside(self) -> bool:
        """Whether the engine holds more than weights and cache."""
        return self.engine.step_tokens > 0 or self.engine.libraries_bytes > 0

    @property
    def grows(self) -> bool:
        """Whether more than the cache grows with the batch."""
        return self.engine.exchange != "none" or (self.apart and self.engine.step_tokens > 0)

    @functools.cached_property
    def _drafting(self) -> float:
        """Factor on layers for the one of its own that drafting takes, where tokens are drafted."""
        return 1.0 + (1.0 / self.scenario.model.layers if self.scenario.query_tokens > 1 else 0.0)

    def _split(self, tensor_parallel: int) -> Model:
        """Return the model with the heads that one of the devices holds that share them."""
        model = self.scenario.model
        if tensor_parallel == 1:
            return model
        found = (kind.split(tensor_parallel) for kind in model.attention)
        return dataclasses.replace(model, attention=tuple(kind for kind in found if kind is not None))

    @functools.cached_property
    def expert_bytes(self) -> float:
        """Bytes of one expert of every layer, as the engine holds it [B]."""
        model, held = self.scenario.model, precision(self.formats.experts).bytes
        width, columns = model.expert_intermediate, self.engine.padded_columns
        filled = -(-width // columns) * columns / width if held < NARROW_BYTES else 1.0
        return model.expert_params * filled * model.moe_layers * held * self._drafting

    def _weights(self, tensor_parallel: Count, *, shared_out: bool = False) -> dict[str, FloatArray]:
        """Return the bytes of each part of the weights but routed experts, on one device [B].

        Devices that share heads share dense layers beside them, and shared experts where all have all tokens.
        """
        parts = self.scenario.model.params_by_part
        others = precision(self.formats.others).bytes * self._drafting
        wide = sum(parts[name] for name in ("router", "latent", "residual_streams"))
        words = (parts["embedding"] + parts["output_head"]) / tensor_parallel
        attention = for_each(self._attention_parameters, tensor_parallel)
        own = tensor_parallel if shared_out else 1
        beside = 1 if self.apart and self.dense_side == "ffn" else tensor_parallel
        return {
            "attention": (attention + wide) * others,
            "embeddings": words * EMBEDDING_BYTES,
            "shared_experts": parts["shared_experts"] * others / own,
            "dense": parts["dense"] * others / beside,
        }

    @functools.cached_property
    def _attention_parameters(self) -> Callable[[int], int]:
        """Elements of attention that one of so many devices holds that share heads, counted once."""
        return functools.cache(lambda tp: self._split(tp).params_by_part["attention"])

    def _turning(self, tensor_parallel: int) -> float:
        """Return the bytes of what turns vectors into latents and back, on one that shares heads [B]."""
        model = self._split(tensor_parallel)
        elements = sum(
            kind.layers * item.parameters
            for kind in model.attention
            for item in products_of(kind, model.hidden_size)
            if turns_latent(kind, item)
        )
        return elements * precision(self.formats.others).bytes * self._drafting

    def _per_sequence(
        self, tokens: float, tensor_parallel: Count = 1, context_parallel: Count = 1
    ) -> tuple[FloatArray, FloatArray]:
        """Return the bytes of cache and of state of a sequence on one of the devices that share heads [B].

        Of these some may share the cache too: each holds more heads of fewer tokens.
        """
        cache = functools.partial(self._cache_bytes, tokens)
        return for_each(cache, tensor_parallel, context_parallel), for_each(self._state, tensor_parallel)

    @functools.cached_property
    def _cache_bytes(self) -> Callable[[float, int, int], float]:
        """Bytes of cache of a sequence of so many tokens where devices share heads, and it, counted once."""
        size = precision(self.formats.cache).bytes

        def count(tokens: float, tp: int, cp: int) -> float:
            return float(np.asarray(self._split(tp // cp).kv_bytes(tokens, size))) / cp * self._drafting

        return functools.cache(count)

    @functools.cached_property
    def _state(self) -> Callable[[int], float]:
        """Bytes of state of a sequence where devices share heads, counted once."""
        return functools.cache(lambda tp: self._split(tp).state_bytes() * self._drafting)

    def cache_of(self, tokens: float, tensor_parallel: Count = 1, context_parallel: Count = 1) -> FloatArray:
        """Return the bytes of cache and state of a sequence, on one of the devices that share heads [B]."""
        cache, state = self._per_sequence(tokens, tensor_parallel, context_parallel)
        return cache + state

    def working(self, deployment: Deployment, tokens: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what so many tokens of a step need while a layer computes them, on either side [B].

        Tokens are those of the devices that share heads; under `ep` both sides are one device.
        """
        model, tp = self.scenario.model, deployment.tensor_parallel
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
            np.multiply(np.divide(tokens, tp) * model.mean_top_k, deployment.attention_devices),
            deployment.expert_devices,
        )
        mine = serving_modes.working_bytes(tokens=tokens, pairs=0.0, **common)
        theirs = serving_modes.working_bytes(tokens=0.0, pairs=pairs, **common)
        return (mine, theirs) if self.apart else (mine + theirs, mine + theirs)

    def _activations(self, deployment: Deployment) -> tuple[FloatArray, FloatArray]:
        """Return what the engine keeps for activations and logits on a device of either side [B].

        Of a device that attends, for the most tokens it computes in a step, or for sampling, which comes
        after them; of an FFN device apart, for the tokens it is sent.
        """
        engine = self.engine
        if not engine.step_tokens:
            return 0.0, 0.0
        mine, theirs = self.working(deployment, engine.step_tokens)
        if self.apart:
            theirs = self.working(deployment, self._exchanged(deployment))[1]
        sampling = memory.sampling_bytes(
            sequences=engine.sampled_sequences,
            vocabulary=self.scenario.model.vocab_size,
            bytes_per_logit=engine.bytes_per_logit,
        )
        mine = np.maximum(mine, sampling)
        return mine, theirs if self.apart else mine

    def _exchanged(self, deployment: Deployment) -> FloatArray:
        """Return the most tokens that an attention device sends at once."""
        tokens = np.multiply(deployment.sequences, self.scenario.query_tokens)
        return np.maximum(tokens, self.engine.exchange_tokens)

    def _buffers(self, deployment: Deployment) -> FloatArray:
        """Return the buffers that a device exchanges tokens with experts through [B].

        There are none where all devices share the heads of the same sequences: each has all tokens then.
        """
        model, tokens = self.scenario.model, self._exchanged(deployment)
        if self.engine.exchange == DEEPEP:
            routed = np.add(model.routed_experts, deployment.redundant_experts)
            slots = np.ceil(np.divide(routed, deployment.expert_places))  # it wants as many on each rank
            experts = slots * deployment.expert_places
            buffers = memory.low_latency_buffer_bytes(
                tokens=tokens, experts=experts, width=model.dispatch_width
            )
        elif self.engine.exchange == ONE_SIDED:
            dispatched, combined = self.formats.dispatch, self.formats.combine
            buffers = memory.one_sided_buffer_bytes(
                tokens=tokens,
                ranks=np.multiply(deployment.devices, 1.0),
                width=model.dispatch_width,
                top_k=model.mean_top_k,
                dispatch_bytes=precision(dispatched).bytes + SCALE_BYTES.get(dispatched, 0.0),
                combine_bytes=precision(combined).bytes,
            )
        else:
            return 0.0
        if deployment.transport == REPLICATED:
            return 0.0
        return np.where(np.greater(deployment.devices, deployment.tensor_parallel), buffers, 0.0)

    @functools.cached_property
    def _outside(self) -> dict[str, float]:
        """What lies outside a share of memory that is for weights and cache, on one device [B]."""
        one = Deployment(
            mode="afd" if self.apart else "ep",
            attention_devices=1,
            ffn_devices=1 if self.apart else None,
            batch=0,
            microbatches=1,
        )
        both = (float(np.asarray(each)) + self.engine.graphs_bytes for each in self._activations(one))
        return dict(zip(("attention", "ffn"), both, strict=True))

    def parts(self, deployment: Deployment) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Return the bytes of each part on an attention device and on an FFN device.

        Parameters
        ----------
        deployment : Deployment
            One, or many, elementwise.

        Returns
        -------
        tuple of dict
            `PARTS` that a device of each side holds; the same twice under `ep` [B].
        """
        engine, tp = self.engine, deployment.tensor_parallel
        model = self.scenario.model
        mine: dict[str, FloatArray] = {}
        theirs = {} if self.apart else mine
        sides: Mapping[str, dict[str, FloatArray]] = {"attention": mine, "ffn": theirs}
        routed = np.add(model.routed_experts, deployment.redundant_experts)
        experts = np.ceil(np.divide(routed, deployment.expert_places))
        theirs["experts"] = experts * (self.expert_bytes / deployment.expert_tensor_parallel)
        places = {"shared_experts": self.shared_side, "dense": self.dense_side}
        if self.apart and deployment.afd_cut == CORE_CUT:  # whatever has weights
            places = dict.fromkeys(WEIGHTS, "ffn")
            tp = 1
        for name, size in self._weights(tp, shared_out=deployment.transport == REPLICATED).items():
            sides[places.get(name, "attention")][name] = size
        if self.apart and deployment.afd_cut == CORE_CUT and self._turning(1):  # but what turns latents
            mine["attention"] = for_each(self._turning, deployment.tensor_parallel)
            theirs["attention"] = theirs["attention"] - self._turning(1)
        split = deployment.tensor_parallel, deployment.context_parallel
        kept = self._per_sequence(self.held_tokens, *split)
        for name, size in zip(PER_SEQUENCE, kept, strict=True):
            mine[name] = np.multiply(deployment.batch, size)
        several = np.where(np.greater(deployment.devices, 1), engine.collectives_bytes, 0.0)
        buffers = self._buffers(deployment)
        for held, working in zip((mine, theirs), self._activations(deployment), strict=True):
            held["activations"] = working
            held["graphs"] = engine.graphs_bytes
            held["libraries"] = engine.libraries_bytes + several
            held["buffers"] = buffers
        return mine, theirs

    def planned(self, deployment: Deployment) -> tuple[FloatArray, FloatArray]:
        """Return the bytes that must fit what `usable` says, of an attention and of an FFN device [B].

        All that a device holds, but for what lies outside the engine's share; where that is for the cache
        alone, with what is kept free for it.
        """
        outside = ("activations", "graphs") if self.holds == WEIGHTS_AND_CACHE else ()
        found = []
        for parts in self.parts(deployment):
            total: FloatArray = 0.0
            for name, size in parts.items():
                if name not in outside:
                    total = total + (size * self._per_cached_byte if name in PER_SEQUENCE else size)
            found.append(total)
        return found[0], found[1]

    def breakdown(self, deployment: Deployment) -> tuple[dict[str, float], dict[str, float]]:
        """Return where the memory of a device of either side goes: parts, what is kept free, what is left.

        Parameters
        ----------
        deployment : Deployment
            One deployment, of plain numbers.

        Returns
        -------
        tuple of dict
            Of an attention and an FFN device `driver`, all that the driver reports, the `PARTS` it holds,
            `reserve`, which the engine does not plan with, and `free`, the rest [B].
        """
        found = []
        for side, parts in zip(("attention", "ffn"), self.parts(deployment), strict=True):
            plain = {name: float(np.asarray(parts.get(name, 0.0))) for name in PARTS}
            capacity = self.capacity(side)
            reserve = capacity - self.usable(side)
            if self.holds == CACHE:
                reserve = sum(plain[name] for name in PER_SEQUENCE) * (self._per_cached_byte - 1.0)
            if self.holds == WEIGHTS_AND_CACHE:
                reserve = max(reserve - plain["activations"] - plain["graphs"], 0.0)
            free = capacity - sum(plain.values()) - reserve
            found.append({"driver": capacity, **plain, "reserve": reserve, "free": free})
        return found[0], found[1]

    def largest_batch(
        self,
        deployment: Deployment,
        *,
        working: tuple[FloatArray, FloatArray] = (0.0, 0.0),
        shared_tokens: float | None = None,
    ) -> FloatArray:
        """Return the most sequences an attention device has memory for; negative where weights do not fit.

        Parameters
        ----------
        deployment : Deployment
            One, or many, elementwise; its batch is not read.
        working : tuple of float or array
            What a step needs on an attention and an FFN device besides, where that is more than the engine
            keeps for it anyway [B].
        shared_tokens : float, optional
            Tokens cached once for all sequences, where they share them [1].

        Returns
        -------
        float or array
            Sequences [1].
        """
        each = self._per_cached_byte
        tokens = shared_tokens or 0.0
        split = deployment.tensor_parallel, deployment.context_parallel
        shared = self.cache_of(tokens, *split) * each if tokens else 0.0
        whole = self.cache_of(self.held_tokens, *split) * each
        own = self.cache_of(self.held_tokens - tokens, *split) * each
        room = self.usable("attention"), self.usable("ffn")

        def left(batch: FloatArray) -> tuple[FloatArray, FloatArray]:
            """Return what so many sequences leave of the memory of both sides [B]."""
            trial = dataclasses.replace(deployment, batch=batch)
            kept = self._activations(trial)
            more = [np.maximum(np.subtract(*pair), 0.0) for pair in zip(working, kept, strict=True)]
            mine, theirs = self.planned(trial)
            once = shared + np.multiply(batch, own - whole)
            return room[0] - (mine + more[0] + once), room[1] - (theirs + more[1])

        mine, theirs = left(0)
        most = np.floor(mine / np.maximum(own, 1.0))
        if self.apart:
            most = np.where(np.less(theirs, 0.0), -1.0, most)
        if not self.grows:
            return most * 1.0
        low, high = np.minimum(most, 0.0), most * 1.0
        left_below = left_above = np.minimum(mine, theirs)
        for turn in range(ROUNDS):
            if not np.any(high > low):
                break
            if turn == 0:
                middle = high
            elif turn % HALVED:  # what is held grows in lines, or nearly
                share = left_below / np.maximum(left_below - left_above, 1.0)
                middle = np.floor(low + (high + 1.0 - low) * share)
                middle = np.clip(middle, np.minimum(low + 1.0, high), high)
            else:
                middle = np.ceil((low + high) / 2.0)
            found = np.minimum(*left(np.maximum(middle, 0.0)))
            fits = found >= 0.0
            low, left_below = np.where(fits, middle, low), np.where(fits, found, left_below)
            high, left_above = np.where(fits, high, middle - 1.0), np.where(fits, left_above, found)
        return low * 1.0
