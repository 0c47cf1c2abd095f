"""How uneven the load of experts is: given as sigma, or found from counts or a popularity."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Decisive
from roofline_afd.analysis.bounds.counts import MAX_EXPERTS, counts_of
from roofline_afd.analysis.bounds.questions import PLACEMENTS, Imbalance
from roofline_afd.catalogue.models import LARGEST, Model, load_model
from roofline_afd.catalogue.records import weakest_kind
from roofline_afd.errors import InputError
from roofline_afd.physics.placement import (
    contiguous_placement,
    device_loads,
    greedy_placement,
    load_balance,
    sampled_sigma,
    spread,
)
from roofline_afd.physics.popularity import TOKENS_PER_ORDER, inclusion_probability, zipf_popularity
from roofline_afd.serving.checks import choice, finite, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from roofline_afd.physics.placement import Placement

DEFAULT_MODEL = "deepseek-v3"
DEVICES_PER_NODE = 8
DEFAULT_TOKENS = 4096
DEFAULT_BATCHES = 200
MAX_SIGMAS = 10_000
SMALLEST_SIGMA = 1e-6
"""A million devices, of which one does all the work."""
ROUNDING_OF_SHARES = 1e-9
"""Counts that an expert may have beyond what distinct choices allow, since counts may be rounded shares."""
MAX_BATCHES = 10_000
MAX_DRAWS = 200_000_000
"""Random numbers and choices of experts drawn at most: some ten seconds' worth."""
LARGEST_EXPONENT = 20.0
"""Beyond it the popularity of late experts is lost in rounding, and the first ones have it all."""


def check_sigma(sigma: object) -> NDArray[np.float64]:
    """Check balances: numbers above 0 and at most 1, at least one.

    Parameters
    ----------
    sigma : float or iterable of float
        What was given.

    Returns
    -------
    ndarray of float
        The balances, one-dimensional.

    Raises
    ------
    InputError
        If there is none, or one is no number or out of bounds.
    """
    given = sigma.ravel() if isinstance(sigma, np.ndarray) else sigma
    values = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if not values:
        raise InputError("--sigma is empty; give at least one number above 0 and at most 1, as in .95,.9,.8")
    if len(values) > MAX_SIGMAS:
        raise InputError(f"--sigma has {len(values):,} values; at most {MAX_SIGMAS:,} are answered at once")
    for value in values:
        number = finite("--sigma", value)
        if not 0 < number <= 1:
            raise InputError(
                f"--sigma {number!r} must be above 0 and at most 1: it is mean over maximum load"
            )
        finite("--sigma", number, least=SMALLEST_SIGMA)
    return np.array(values, dtype=float)


@dataclasses.dataclass(frozen=True, slots=True)
class Routing:
    """Where sigma comes from if it is not given: what a token chooses, who holds it, and batches."""

    inclusion: NDArray[np.float64]
    devices: int
    placement: str
    redundant_experts: int
    tokens: int
    batches: int
    seed: int
    inputs: dict[str, Any]
    weakest_kind: str
    notes: list[str]

    def sigmas(self) -> NDArray[np.float64]:
        """Return sigma of the expected load, and the lower decile, mean and upper decile of batches."""
        placed = self._placed(self.inclusion)
        expected = load_balance(loads=device_loads(loads=self.inclusion, placement=placed))
        sample = sampled_sigma(
            inclusion=self.inclusion,
            placement=placed,
            tokens=self.tokens,
            batches=self.batches,
            seed=self.seed,
        )
        return np.array([expected, *spread(sample=sample)])

    def _placed(self, loads: NDArray[np.float64]) -> Placement:
        if self.placement == "contiguous":
            return contiguous_placement(experts=loads.size, devices=self.devices)
        return greedy_placement(loads=loads, devices=self.devices, redundant_experts=self.redundant_experts)


def routing_of(question: Imbalance, ffn_nodes: int) -> Routing:
    """Check what sigma is to be found from, and take by default what is not given."""
    notes: list[str] = []
    zipf = question.zipf
    popularity, shape, origin = _popularity(question, notes)
    top_k = _top_k(question.top_k, shape, popularity, notes)
    inclusion = inclusion_probability(popularity=popularity, top_k=top_k)
    share = float(popularity.max() / popularity.sum())
    if zipf is None and share * top_k > 1 + ROUNDING_OF_SHARES:
        raise InputError(
            f"--expert-counts: the busiest expert has {share:.1%} of all counts, but with --top-k {top_k} "
            f"distinct experts a token gives one expert {1 / top_k:.1%} at most"
        )
    placed = choice("--placement", question.placement or PLACEMENTS[0], PLACEMENTS)
    redundant = _redundant(question.redundant_experts, placed)
    devices = _devices(question.devices, popularity.size, redundant, ffn_nodes, notes)
    tokens = whole("--batch-tokens", _or(question.tokens, DEFAULT_TOKENS))
    batches = whole("--batches", _or(question.batches, DEFAULT_BATCHES), most=MAX_BATCHES)
    seed = _whole_from_0("--seed", _or(question.seed, 0))
    if batches * (tokens * top_k + (tokens / TOKENS_PER_ORDER + 1) * popularity.size) > MAX_DRAWS:
        raise InputError(
            f"--batches {batches} of --batch-tokens {tokens} need more than {MAX_DRAWS:,} random numbers for "
            f"top-{top_k} of {popularity.size} experts: take fewer"
        )
    used = {"routed_experts": question.routed_experts, "top_k": question.top_k}
    quantities = [
        shape.quantities[key]
        for key, own in used.items()
        if own is None and shape and key in shape.quantities
    ]
    routing = Routing(
        inclusion=inclusion,
        devices=devices,
        placement=placed,
        redundant_experts=redundant,
        tokens=tokens,
        batches=batches,
        seed=seed,
        weakest_kind=weakest_kind(quantities),
        notes=[*notes, *_routing_notes(shape, zipf, placed, devices)],
        inputs={
            **origin,
            "model": shape.id if shape else None,
            "routed_experts": popularity.size,
            "top_k": top_k,
            "devices": devices,
            "placement": placed,
            "redundant_experts": redundant,
            "batch_tokens": tokens,
            "batches": batches,
            "seed": seed,
            "values": {
                value.key: {
                    key: getattr(value, key) for key in ("value", "unit", "kind", "record", "source", "note")
                }
                for value in quantities
            },
        },
    )
    certain = int((inclusion == 1).sum())
    if certain and top_k < popularity.size:
        which = "the most popular expert" if certain == 1 else f"each of the {certain} most popular experts"
        routing.notes.append(
            f"every token chooses {which}: popularity alone asks for it more often than once a token, but "
            "the experts of a token are distinct"
        )
    return routing


def _popularity(
    question: Imbalance, notes: list[str]
) -> tuple[NDArray[np.float64], Model | None, dict[str, Any]]:
    """Return the popularity of each expert, the model they are of if any, and what the inputs say of them."""
    model, given, zipf = question.model, question.routed_experts, question.zipf
    own = None if given is None else whole("--routed-experts", given, most=MAX_EXPERTS)
    if own is None and model is None and zipf is not None:
        model = DEFAULT_MODEL
        notes.append(
            Decisive(
                f"the shape of {DEFAULT_MODEL} is taken by default: --model, or --routed-experts and "
                "--top-k, choose another"
            )
        )
    shape = load_model(model) if isinstance(model, str) else model
    experts = own or (shape.routed_experts if shape else None)
    if zipf is not None and experts is not None:  # without counts there is a model
        exponent = finite("--zipf", zipf, least=0, below=LARGEST_EXPONENT)
        return zipf_popularity(experts=experts, exponent=exponent), shape, {"zipf": exponent}
    popularity, origin = counts_of(question.expert_counts)
    if experts not in {None, popularity.size}:
        says = "--routed-experts" if own else f"model {shape.id}" if shape else ""
        raise InputError(
            f"--expert-counts has counts of {popularity.size} experts, but {says} has {experts}: give one "
            "count for each"
        )
    return popularity, shape, {"expert_counts": origin}


def _top_k(given: object, shape: Model | None, popularity: NDArray[np.float64], notes: list[str]) -> int:
    """Return the distinct experts of a token, which the popularity must allow."""
    if given is None and shape is None:
        notes.append(
            Decisive("a token is taken to choose one expert: --top-k or --model says how many it does")
        )
    top_k = whole("--top-k", _or(given, shape.top_k if shape else 1), most=int(LARGEST["top_k"]))
    wanted = int((popularity > 0).sum())
    if top_k > wanted:
        what = "routed experts" if wanted == popularity.size else "experts with a count above 0"
        raise InputError(f"--top-k {top_k} exceeds the {wanted} {what}: the experts of a token are distinct")
    return top_k


def _redundant(given: object, placed: str) -> int:
    redundant = _whole_from_0("--redundant-experts", _or(given, 0))
    if redundant > MAX_EXPERTS:
        raise InputError(f"--redundant-experts {redundant} must be at most {MAX_EXPERTS:,}")
    if redundant and placed != "greedy":
        raise InputError(
            f"--redundant-experts {redundant} needs --placement greedy: {placed} has no replicas"
        )
    return redundant


def _devices(given: object, experts: int, redundant: int, ffn_nodes: int, notes: list[str]) -> int:
    """Return the devices that hold experts, each at least one."""
    most = experts + redundant
    if given is None:
        devices = min(DEVICES_PER_NODE * ffn_nodes, most)
        notes.append(
            f"--devices is taken as {devices}: "
            + (
                f"{DEVICES_PER_NODE} for each FFN node"
                if devices == DEVICES_PER_NODE * ffn_nodes
                else "one for each expert"
            )
        )
        return devices
    devices = whole("--devices", given)
    if devices > most:
        raise InputError(
            f"--devices {devices} exceeds the {most} experts and replicas there are: some would hold none; "
            f"--placement greedy with --redundant-experts {devices - experts} fills them"
        )
    return devices


def _or(value: object, default: int) -> object:
    return default if value is None else value


def _whole_from_0(name: str, value: object) -> int:
    number = finite(name, value, least=0)
    if not number.is_integer():
        raise InputError(f"{name} {number:g} must be a whole number from 0")
    return int(number)


def _routing_notes(shape: Model | None, zipf: float | None, placed: str, devices: int) -> list[str]:
    """Say what the load of devices rests on that the deployment may not have."""
    notes = [
        Decisive(
            f"sigma is that of {devices} devices with experts, for EP and AFD alike; where EP spreads the "
            "experts over more devices than AFD, its sigma is mostly lower: ask with --devices for each"
        ),
        (
            "tokens of a batch are independent of each other; in real traffic they are alike, and sigma "
            "spreads more"
        ),
    ]
    if zipf and placed == "contiguous":
        notes.append(
            Decisive(
                "experts lie in order of their popularity, so that contiguous placement puts the most "
                "popular on one device: the worst case"
            )
        )
    if shape is not None and shape.groups_per_token < shape.expert_groups:
        notes.append(
            f"that a token of {shape.id} chooses within {shape.groups_per_token} of {shape.expert_groups} "
            "groups of experts is not counted: it leaves the expected load as it is, but may spread batches "
            "more"
        )
    if shape is not None and shape.zero_experts:
        notes.append(
            f"{shape.zero_experts} experts of {shape.id} compute nothing: of top-{shape.top_k}, "
            f"{shape.mean_top_k:g} are real on average; all are counted as real"
        )
    return notes
