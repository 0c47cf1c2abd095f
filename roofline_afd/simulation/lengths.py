"""What requests look like: the lengths of prompts and outputs, and how they are drawn."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from roofline_afd.serving.checks import choice
from roofline_afd.simulation.words import DISTRIBUTIONS, FIXED, GEOMETRIC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from roofline_afd.simulation.arrays import Floats, Ints


QUANTILES = 1 << 14
"""Equally likely lengths that stand for a continuous law."""


class Lengths(Protocol):
    """What requests look like: prompt and decode length of each."""

    def stream(self, rng: np.random.Generator) -> Iterator[tuple[float, int]] | None:
        """Return requests one by one where their order matters; None where they are independent."""
        ...

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints]:
        """Return prompt [tokens] and decode length [tokens] of independent requests."""
        ...

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints, Ints]:
        """Return the same of requests met in a busy slot, and the tokens each has decoded [tokens]."""
        ...

    @property
    def mean_decode(self) -> float:
        """The mean decode length [tokens]."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class IndependentLengths:
    """Prompts and decode lengths that do not hang together.

    Parameters
    ----------
    prompt, decode : Law
        How each is distributed.
    """

    prompt: Law
    decode: Law

    def stream(self, rng: np.random.Generator) -> None:
        """Return None: requests are independent."""

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints]:
        """Return prompt [tokens] and decode length [tokens] of independent requests."""
        return self.prompt.draw(rng, count).astype(float), self.decode.draw(rng, count)

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints, Ints]:
        """Return the same of requests met in a busy slot, and the tokens each has decoded [tokens]."""
        decode, age = self.decode.draw_running(rng, count)
        return self.prompt.draw(rng, count).astype(float), decode, age

    @property
    def mean_decode(self) -> float:
        """The mean decode length [tokens]."""
        return self.decode.mean


@dataclasses.dataclass(frozen=True, slots=True)
class TracedLengths:
    """Requests of a trace: drawn with replacement, or replayed in order.

    Parameters
    ----------
    prompts, decodes : array
        Prompt, at least 0, and decode length, at least 1, of each request [tokens].
    in_order : bool
        Whether each attention instance replays the trace, from a random place on and over again.
    """

    prompts: NDArray[Any]
    decodes: Ints
    in_order: bool = False

    def stream(self, rng: np.random.Generator) -> Iterator[tuple[float, int]] | None:
        """Return requests one by one in the order of the trace; None where they are drawn."""
        return self._replay(int(rng.integers(self.decodes.size))) if self.in_order else None

    def _replay(self, at: int) -> Iterator[tuple[float, int]]:
        while True:
            yield float(self.prompts[at]), int(self.decodes[at])
            at = (at + 1) % self.decodes.size

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints]:
        """Return prompt [tokens] and decode length [tokens] of independent requests."""
        chosen = rng.integers(self.decodes.size, size=count)
        return self.prompts[chosen].astype(float), self.decodes[chosen]

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[Floats, Ints, Ints]:
        """Return the same of requests met in a busy slot, and the tokens each has decoded [tokens]."""
        chosen, age = _met(self.decodes, rng, count)
        return self.prompts[chosen].astype(float), self.decodes[chosen], age

    @property
    def mean_decode(self) -> float:
        """The mean decode length [tokens]."""
        return float(self.decodes.mean())


class Law(Protocol):
    """How one length is distributed."""

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[Any]:
        """Return independent lengths [tokens]."""
        ...

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[NDArray[Any], Ints]:
        """Return lengths met at a random token, and the tokens before it [tokens]."""
        ...

    @property
    def mean(self) -> float:
        """The mean length [tokens]."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class GeometricLaw:
    """A length that ends with the same chance at each token.

    Parameters
    ----------
    mean : float
        Mean length, at least 1 [tokens].
    """

    mean: float

    def draw(self, rng: np.random.Generator, count: int) -> Ints:
        """Return independent lengths [tokens]."""
        return rng.geometric(1 / self.mean, count)

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[Ints, Ints]:
        """Return lengths met at a random token, and the tokens before it [tokens].

        The law has no memory: what lies before and what is left are independent.
        """
        before = rng.geometric(1 / self.mean, count) - 1
        return before + self.draw(rng, count), before


@dataclasses.dataclass(frozen=True, slots=True)
class ListedLaw:
    """Equally likely lengths.

    Parameters
    ----------
    lengths : array
        The lengths [tokens].
    """

    lengths: NDArray[Any]

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[Any]:
        """Return independent lengths [tokens]."""
        return self.lengths[rng.integers(self.lengths.size, size=count)]

    def draw_running(self, rng: np.random.Generator, count: int) -> tuple[NDArray[Any], Ints]:
        """Return lengths met at a random token, and the tokens before it [tokens]."""
        chosen, before = _met(self.lengths, rng, count)
        return self.lengths[chosen], before

    @property
    def mean(self) -> float:
        """The mean length [tokens]."""
        return float(self.lengths.mean())


def _met(lengths: NDArray[Any], rng: np.random.Generator, count: int) -> tuple[Ints, Ints]:
    """Return which lengths are met at a random token, each as often as it is long, and the tokens before."""
    ends = np.cumsum(lengths)
    token = rng.integers(ends[-1], size=count)
    chosen = np.searchsorted(ends, token, side="right")
    return chosen, token - (ends[chosen] - lengths[chosen])


def law(*, distribution: str, mean: float, variation: float | None = None) -> Law:
    """Return the law of a length.

    Parameters
    ----------
    distribution : str
        `fixed`, `geometric`, or `lognormal`: rounded to whole tokens, at least one.
    mean : float
        Mean length; of log-normal ones before rounding [tokens].
    variation : float, optional
        Standard deviation over mean of log-normal lengths; 1 where absent [1].

    Returns
    -------
    Law
        How it is drawn; log-normal as the means of equally likely slices.

    Raises
    ------
    InputError
        If no distribution has that name.
    """
    if distribution == FIXED:
        return ListedLaw(np.array([int(mean) if float(mean).is_integer() else mean]))
    if distribution == GEOMETRIC:
        return GeometricLaw(mean)
    choice("distribution", distribution, DISTRIBUTIONS)
    spread = math.sqrt(math.log1p((1.0 if variation is None else variation) ** 2))
    normal = statistics.NormalDist()
    bounds = (normal.inv_cdf(step / QUANTILES) for step in range(1, QUANTILES))
    below = np.array([0.0, *(normal.cdf(bound - spread) for bound in bounds), 1.0])
    return ListedLaw(np.maximum(np.rint(mean * QUANTILES * np.diff(below)), 1).astype(np.int64))
