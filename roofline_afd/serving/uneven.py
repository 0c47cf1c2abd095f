"""How unevenly live routing loads the devices with experts, and how many are held twice for it."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.physics import uneven
from roofline_afd.physics.normal import expected_maximum
from roofline_afd.physics.popularity import zipf_popularity
from roofline_afd.serving.limits import SAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from roofline_afd.physics.arrays import FloatArray, FloatLike
    from roofline_afd.serving.scenario import Scenario

PLAIN, LEVELLED = PLACEMENTS = ("plain", "levelled")
WORTH = 0.5
"""Gain in evenness that is worth a share of weights [1]."""


@dataclasses.dataclass(frozen=True, slots=True)
class ExpertLoad:
    """Popularity of the experts of a layer, and how they are placed.

    Parameters
    ----------
    experts, top_k : int
        Experts of a layer, and of a token [1].
    counts : tuple of float
        Popularity of each expert, any scale; empty where it falls with rank by `exponent` [1].
    exponent : float
        Exponent s of the law of popularity [1].
    placement : str
        `plain`: whatever their load; `levelled`: replicated and placed by it.
    by_chance : bool
        Whether chance alone makes devices uneven: no more than they are, and quicker to tell.
    """

    experts: int
    top_k: int
    counts: tuple[float, ...] = ()
    exponent: float = 0.0
    placement: str = LEVELLED
    by_chance: bool = False

    def imbalance(self, places: FloatLike, redundant_experts: FloatLike) -> FloatArray:
        """Return what the fullest device gets over the mean by popularity and placement, elementwise [1]."""
        return _elementwise(functools.partial(_imbalance, self), places, redundant_experts)

    def uneven(self, places: FloatLike, fill: FloatLike) -> NDArray[np.bool_]:
        """Return where one more expert on each device may level loads further.

        Not where there are so many devices that each expert has several to itself.
        """
        if self.placement != LEVELLED:
            return np.zeros(np.shape(places), dtype=bool)
        return np.asarray(_elementwise(functools.partial(_uneven, self), places, fill), dtype=bool)

    def redundant(self, places: FloatLike, fill: FloatLike) -> FloatArray:
        """Return the experts to hold twice where the question does not say.

        As many as fill the devices evenly, and where experts are levelled one more on each device if loads
        are uneven by more than half of what that adds to weights: reading these is but a part of a stage.
        """
        if self.placement != LEVELLED:
            return np.multiply(fill, 1.0)
        return _elementwise(functools.partial(_redundant, self), places, fill)

    def factor(self, places: FloatLike, redundant_experts: FloatLike, tokens: FloatLike) -> FloatArray:
        """Return what the fullest device gets over the mean: by popularity, or by chance where that is more.

        Parameters
        ----------
        places : float or array
            Devices that hold experts, those that share each counted once [1].
        redundant_experts : float or array
            Experts held twice [1].
        tokens : float or array
            Tokens of a micro-batch, of all devices together [1].

        Returns
        -------
        float or array
            Imbalance, at least 1 [1].
        """
        known: FloatArray
        if self.by_chance:
            known, kappa = 1.0, _elementwise(lambda number, _: _kappa(number), places, 0.0)
        else:
            known, kappa = _both(self, places, redundant_experts)
        by_chance = uneven.chance_imbalance(devices=places, tokens=tokens, top_k=self.top_k, kappa=kappa)
        return np.maximum(known, by_chance)


def expert_load(scenario: Scenario, exponent: float) -> ExpertLoad | None:
    """Return how experts of a question are loaded; None where routing is even, or its balance given.

    Parameters
    ----------
    scenario : Scenario
        The question.
    exponent : float
        Exponent of popularity where the question names none [1].

    Returns
    -------
    ExpertLoad or None
        Popularity and placement.
    """
    model = scenario.model
    if scenario.routing == "balanced" or scenario.sigma_ep < 1.0 or not model.moe_layers:
        return None
    counts = () if scenario.expert_counts is None else scenario.expert_counts
    return ExpertLoad(
        experts=model.routed_experts,
        top_k=model.top_k,
        counts=counts,
        exponent=exponent if scenario.zipf is None else scenario.zipf,
        placement=scenario.expert_placement or LEVELLED,
    )


def _pairs(first: FloatLike, second: FloatLike) -> tuple[list[tuple[int, int]], NDArray[np.intp]]:
    """Return the different pairs of whole numbers there are, and which of them each element is."""
    one, other = np.broadcast_arrays(np.asarray(first, dtype=float), np.asarray(second, dtype=float))
    if one.ndim == 0:
        return [(int(one), int(other))], np.zeros((), dtype=np.intp)
    keys = np.rint(one) * _FAR + np.rint(other)
    unique, inverse = np.unique(keys, return_inverse=True)
    return [(int(key // _FAR), int(key % _FAR)) for key in unique.tolist()], inverse.reshape(one.shape)


def _elementwise(of_one: Callable[[int, int], float], first: FloatLike, second: FloatLike) -> FloatArray:
    """Return a function of two whole numbers, each pair of them computed once."""
    pairs, place = _pairs(first, second)
    return np.array([of_one(*pair) for pair in pairs])[place]


def _both(load: ExpertLoad, places: FloatLike, redundant_experts: FloatLike) -> tuple[FloatArray, FloatArray]:
    """Return imbalance by popularity, and the expected maximum of as many normal numbers as devices."""
    pairs, place = _pairs(places, redundant_experts)
    held = _held(load)
    for pair in pairs:
        if pair not in held:
            held[pair] = _imbalance(load, *pair), _kappa(pair[0])
    found = np.array([held[pair] for pair in pairs])
    known = found.reshape(-1, 2)[place]  # also of no element at all
    return known[..., 0], known[..., 1]


@functools.lru_cache(maxsize=64)
def _held(load: ExpertLoad) -> dict[tuple[int, int], tuple[float, float]]:
    """Return what was found of a load by devices and redundant experts: it is looked up by these alone."""
    del load
    return {}


_FAR = float(1 << 24)


@functools.lru_cache(maxsize=64)
def _inclusion(load: ExpertLoad) -> NDArray[np.float64]:
    popularity = load.counts or zipf_popularity(experts=load.experts, exponent=load.exponent)
    return uneven.successive_inclusion(popularity=popularity, top_k=load.top_k)


@functools.lru_cache(maxsize=1 << 17)
def _imbalance(load: ExpertLoad, places: int, redundant_experts: int) -> float:
    if places <= 1:
        return 1.0
    measure = uneven.plain_imbalance if load.placement == PLAIN else uneven.levelled_imbalance
    return measure(loads=_inclusion(load), devices=places, redundant_experts=redundant_experts)


@functools.lru_cache(maxsize=1 << 17)
def _redundant(load: ExpertLoad, places: int, fill: int) -> float:
    held = -(-(load.experts + fill) // places)
    if places <= 1 or _apart(load, places, held) or _imbalance(load, places, fill) <= 1.0 + WORTH / held:
        return float(fill)
    return float(fill + places)


@functools.lru_cache(maxsize=1 << 17)
def _uneven(load: ExpertLoad, places: int, fill: int) -> float:
    held = -(-(load.experts + fill) // places)
    return float(not _apart(load, places, held) and _imbalance(load, places, fill) > 1.0 + SAME)


def _apart(load: ExpertLoad, places: int, held: int) -> bool:
    """Return whether each expert has several devices to itself: no load is above 1 + `WORTH` then."""
    return held == 1 and load.experts / places <= WORTH / (1.0 + WORTH)


@functools.lru_cache(maxsize=1 << 17)
def _kappa(places: int) -> float:
    return float(expected_maximum(workers=float(max(places, 1))))
