"""How much of a trace's prompts was computed for an earlier request, by the size of the cache that keeps it.

A trace may name the blocks of each prompt by hashes that hold all tokens before them (Qin et al., "Mooncake",
arXiv 2407.00079, section 4; its public traces): two prompts that begin alike name the same blocks.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roofline_afd.analysis.requests.traces import read_blocks
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK_TOKENS = tuple(1 << power for power in range(12, 3, -1))
"""Tokens that a block may have: 512 in Mooncake's traces, 16 where pages of an engine were hashed [1]."""
MAX_BLOCKS = 4_000_000
"""Blocks of a trace: those of all prompts [1]."""


class Reuse(NamedTuple):
    """Blocks of prompts that an earlier request had, and the least cache that still holds each.

    Sizes are of one cache that all requests share and that gives up the block longest unused, a prompt's
    last blocks first, as the engines do.
    """

    prompt_tokens: NDArray[np.int64]
    """Tokens of each prompt [1]."""
    request: NDArray[np.int64]
    """Which request a block that recurs belongs to [1]."""
    tokens: NDArray[np.int64]
    """Tokens of that block [1]."""
    cache_tokens: NDArray[np.int64]
    """Least cache that holds it and all before it when the request comes [1]."""

    def cached(self, cache_tokens: float = np.inf) -> NDArray[np.int64]:
        """Return the tokens of each prompt that a cache of a size holds; at least one token is computed.

        Parameters
        ----------
        cache_tokens : float
            Tokens of the cache; as many as ever come where absent [1].

        Returns
        -------
        array, shape (requests,)
            Tokens [1].
        """
        held = self.cache_tokens <= cache_tokens
        found = np.bincount(
            self.request[held], weights=self.tokens[held], minlength=self.prompt_tokens.size
        ).astype(np.int64)
        return np.minimum(found, np.maximum(self.prompt_tokens - 1, 0))

    def hit(self, cache_tokens: float = np.inf) -> float:
        """Return the share of all prompt tokens that a cache of a size holds [1]."""
        return float(self.cached(cache_tokens).sum()) / max(float(self.prompt_tokens.sum()), 1.0)

    def computed(self, cache_tokens: float = np.inf) -> tuple[float, float]:
        """Return mean and standard deviation of the tokens of a prompt that a cache does not hold [1].

        Parameters
        ----------
        cache_tokens : float
            As of `cached` [1].
        """
        left = self.prompt_tokens - self.cached(cache_tokens)
        return float(np.mean(left)), float(np.std(left))

    def cache_for(self, share: float) -> float:
        """Return the least cache that holds a share of the tokens that recur [1]."""
        order = np.argsort(self.cache_tokens, kind="stable")
        tokens = np.cumsum(self.tokens[order])
        if not tokens.size:
            return 0.0
        return float(self.cache_tokens[order][int(np.searchsorted(tokens, share * tokens[-1]))])


def read_reuse(file: Path, *, prompt_column: str | None = None) -> Reuse | None:
    """Read which blocks of prompts recur in a trace, whose requests are in the order of their arrival.

    Parameters
    ----------
    file : Path
        JSON objects with `hash_ids`, as in Mooncake's traces; the last block of a prompt may be short, or
        left out.
    prompt_column : str, optional
        Where the tokens of a prompt are.

    Returns
    -------
    Reuse or None
        None where requests name no blocks.

    Raises
    ------
    InputError
        If no size of blocks fits all prompts and the blocks they name, or there are more than 4 million.
    """
    rows = read_blocks(file, prompt_column=prompt_column)
    if rows is None:
        return None
    prompts, blocks, counts = array("q"), array("q"), array("q")
    names: dict[object, int] = {}
    sizes = BLOCK_TOKENS
    for where, prompt, held in rows:
        sizes = tuple(size for size in sizes if len(held) in {prompt // size, -(-prompt // size)})
        if not sizes:
            raise InputError(
                f"{where}: {len(held)} hash_ids for {prompt:,} tokens; blocks of one size, a power of two "
                f"from {BLOCK_TOKENS[-1]} to {BLOCK_TOKENS[0]:,} tokens, are known: give --prefix-hit"
            )
        prompts.append(prompt)
        counts.append(len(held))
        blocks.extend(names.setdefault(name, len(names)) for name in held)
        if len(blocks) > MAX_BLOCKS:
            raise InputError(f"{where}: more than {MAX_BLOCKS:,} blocks: give a part of the trace")
    if not blocks:
        return None
    arrays = (np.frombuffer(each, np.int64) for each in (prompts, blocks, counts))
    return reuse(*arrays, block_tokens=sizes[0])


def reuse(
    prompts: NDArray[np.int64],
    blocks: NDArray[np.int64],
    counts: NDArray[np.int64],
    *,
    block_tokens: int,
) -> Reuse:
    """Return which blocks recur, and the least cache that still holds each.

    The blocks used since a block was last used are those that had not been used since: counted by how many
    uses before this one have their own last use before that one (Mattson et al., "Evaluation techniques for
    storage hierarchies", IBM Systems Journal 9(2), 1970, stack distances).

    Parameters
    ----------
    prompts : array, shape (requests,)
        Tokens of each prompt [1].
    blocks : array, shape (blocks,)
        Which block each of all prompts is, one prompt after the other.
    counts : array, shape (requests,)
        Blocks of each prompt [1].
    block_tokens : int
        Tokens of a block [1].

    Returns
    -------
    Reuse
        Blocks that recur.
    """
    ends = np.cumsum(counts)
    request = np.repeat(np.arange(counts.size), counts)
    depth = np.arange(blocks.size) - np.repeat(ends - counts, counts)
    # a prompt's last block is used first, so that it is given up first
    use = np.repeat(ends, counts) - 1 - depth
    last = _last(blocks[use])
    since = _before(last) - last
    own = np.repeat(counts, counts) - 1 - depth  # used by this very request before it
    place = np.where(last[use] >= 0, np.maximum(since[use] - own, 1), blocks.size + 1)
    needed = _highest(place, counts)
    held = np.flatnonzero(needed <= blocks.size)
    left = np.repeat(prompts, counts) - depth * block_tokens
    return Reuse(prompts, request[held], np.minimum(left, block_tokens)[held], (needed * block_tokens)[held])


def _last(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each block was last before; -1 where nowhere."""
    order = np.argsort(blocks, kind="stable")
    found = np.full(blocks.size, -1, np.int64)
    same = blocks[order][1:] == blocks[order][:-1]
    found[order[1:][same]] = order[:-1][same]
    return found


def _before(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many values before each are less, or equal: runs of 1, 2, 4 ... are merged, all at once."""
    size = 1 << max(int(values.size - 1).bit_length(), 1)
    padded = np.full(size, values.size, np.int64)
    padded[: values.size] = values
    found = np.zeros(size, np.int64)
    width = 1
    while width < size:
        order = np.argsort(padded.reshape(-1, 2 * width), axis=1, kind="stable")
        left = order < width
        less = np.zeros_like(order)
        np.put_along_axis(less, order, np.where(left, 0, np.cumsum(left, axis=1)), axis=1)
        found += less.ravel()
        width *= 2
    return found[: values.size]


def _highest(place: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the highest place of each block and those before it in its prompt."""
    step = int(place.max(initial=0)) + 1
    base = np.repeat(np.arange(counts.size), counts) * step  # prompts apart, so that one pass serves all
    highest: NDArray[np.int64] = np.maximum.accumulate(place + base) - base
    return highest
