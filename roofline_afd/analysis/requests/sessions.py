"""Sessions of agents and chats: turns that begin with all that was said, and what a cache keeps of it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALVINGS = 200
"""Of the time that unused tokens are kept, until it is known to rounding."""


@attrs.frozen(kw_only=True)
class Sessions:
    """Sessions alike, whose turns come after a pause of random length: exponential, without memory.

    What a cache keeps is what was used within a time of now, the same for all: Che, Tung, Wang, "Hierarchical
    web caching systems", IEEE JSAC 20(7), 2002, equation 6. Only sessions in a pause take its room, and those
    that are over until they are given up.

    Parameters
    ----------
    turns : int
        Requests of a session [1].
    first : int
        Input tokens of its first turn that no other session has [1].
    input : int
        Input tokens that each later turn adds [1].
    output : int
        Tokens of an answer, which later turns begin with [1].
    shared : int
        Tokens that all sessions begin with: instructions, tools [1].
    gap_s : float
        Mean pause between an answer and the next turn [s].
    sessions_per_s : float
        Sessions that begin a second [1/s].
    answers_cached : bool
        Whether the cache of an answer's tokens is kept with that of its prompt.
    """

    turns: int
    first: int
    input: int
    output: int
    shared: int = 0
    gap_s: float
    sessions_per_s: float
    answers_cached: bool = True

    @cached_property
    def prompts(self) -> NDArray[np.float64]:
        """Input tokens of each turn, all that was said before among them [1]."""
        turn = np.arange(self.turns, dtype=np.float64)
        return turn * float(self.input + self.output) + float(self.shared + self.first)

    @cached_property
    def own(self) -> NDArray[np.float64]:
        """Tokens of a session itself that may be kept after each turn [1]."""
        answer = float(self.output) if self.answers_cached else 0.0
        return self.prompts + (answer - self.shared)

    @property
    def prompt_tokens(self) -> float:
        """Input tokens of a turn in the mean [1]."""
        return float(np.mean(self.prompts))

    def kept(self, time: float) -> float:
        """Return the share of pauses that are no longer than a time [1]."""
        if not self.gap_s:
            return 1.0 if time > 0 else 0.0
        return float(-np.expm1(-time / self.gap_s))

    def held(self, time: float) -> float:
        """Return the tokens of a cache that gives up what was unused for so long [1].

        Parameters
        ----------
        time : float
            Time [s].
        """
        paused = self.gap_s * self.kept(time)  # the mean of the shorter of pause and time
        *between, last = self.own
        return self.shared + self.sessions_per_s * (float(np.sum(between)) * paused + float(last) * time)

    def time_kept(self, cache_tokens: float) -> float:
        """Return how long a cache keeps what is unused [s].

        Parameters
        ----------
        cache_tokens : float
            Its size [1].
        """
        if np.isinf(cache_tokens):
            return np.inf
        if cache_tokens <= self.shared:
            return 0.0
        low, high = 0.0, cache_tokens / (self.sessions_per_s * float(self.own[-1]))
        for _ in range(HALVINGS):
            middle = (low + high) / 2.0
            low, high = (middle, high) if self.held(middle) <= cache_tokens else (low, middle)
        return low

    def cached(self, cache_tokens: float = np.inf) -> float:
        """Return the tokens of a turn that a cache holds, in the mean [1].

        Parameters
        ----------
        cache_tokens : float
            Size of the cache; as many as ever come where absent [1].
        """
        return self.prompt_tokens - self.computed(cache_tokens)[0]

    def hit(self, cache_tokens: float = np.inf) -> float:
        """Return the share of all input tokens that a cache of a size holds [1]."""
        return self.cached(cache_tokens) / self.prompt_tokens

    def computed(self, cache_tokens: float = np.inf) -> tuple[float, float]:
        """Return mean and standard deviation of the tokens of a turn that a cache does not hold [1]."""
        kept = self.kept(self.time_kept(cache_tokens))
        alone = self.prompts - min(self.shared, cache_tokens)
        with_own = np.maximum(alone[1:] - self.own[:-1], 1.0)
        tokens = np.concatenate([alone, with_own])
        chances = np.concatenate([[1.0], np.full(self.turns - 1, 1.0 - kept), np.full(self.turns - 1, kept)])
        mean = float(np.sum(chances * tokens) / self.turns)
        square = float(np.sum(chances * tokens**2) / self.turns)
        return mean, float(np.sqrt(max(square - mean**2, 0.0)))

    def cache_for(self, share: float) -> float:
        """Return the least cache that holds a share of the tokens that recur [1].

        Parameters
        ----------
        share : float
            Of what a cache of any size holds, below 1 [1].
        """
        wanted = share * self.cached() * self.turns - self.shared * self.turns
        most = float(np.sum(self.own[:-1]))
        if wanted <= 0 or not most or not self.gap_s:
            return float(self.shared)
        return self.held(-self.gap_s * float(np.log1p(-wanted / most)))
