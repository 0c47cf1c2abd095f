"""Chunks: the prompt tokens that one step may carry."""

from __future__ import annotations

import math

import numpy as np

CHUNKS_PER_OCTAVE = 2
"""Chunks tried between one and twice as long."""
SMALLEST_CHUNK, LARGEST_CHUNK = 64, 32_768


def chunk_sizes(prompt: int, given: int | None, *, per_octave: int = CHUNKS_PER_OCTAVE) -> list[float]:
    """Return the prompt tokens a step may carry: equal parts of a prompt, or whole prompts.

    Parameters
    ----------
    prompt : int
        Tokens of a prompt to prefill [1].
    given : int, optional
        The most a step may carry; tried from `SMALLEST_CHUNK` to `LARGEST_CHUNK` where absent [1].
    per_octave : int
        Chunks tried between one and twice as long [1].

    Returns
    -------
    list of float
        Tokens of all prompts of a step [1].
    """
    if given is not None:
        return [prompt / math.ceil(prompt / given)] if given < prompt else [float(given // prompt * prompt)]
    octaves = math.ceil(math.log2(max(prompt, LARGEST_CHUNK)))
    counts = np.unique(np.round(2.0 ** (np.arange(octaves * per_octave + 1) / per_octave)))
    parts = prompt / counts
    whole = prompt * counts
    parts = parts[(parts >= min(SMALLEST_CHUNK, prompt)) & (parts <= max(LARGEST_CHUNK, SMALLEST_CHUNK))]
    whole = whole[whole <= LARGEST_CHUNK]
    found = np.unique(np.concatenate([parts, whole]))
    return [float(each) for each in found] or [prompt / math.ceil(prompt / LARGEST_CHUNK)]
