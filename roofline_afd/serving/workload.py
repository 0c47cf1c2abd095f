"""What requests look like: tokens cached, tokens to prefill, tokens to decode."""

from __future__ import annotations

from typing import Any

import attrs

from roofline_afd.errors import InputError
from roofline_afd.serving.checks import choice, finite, whole

MOST_TOKENS = 100_000_000


@attrs.frozen(kw_only=True)
class Workload:
    """Requests alike, by their tokens; checked when made.

    Parameters
    ----------
    prefix : int
        Tokens of a request whose cache exists already [1].
    isl : int
        Input tokens to prefill [1].
    osl : int
        Output tokens to decode [1].
    name : str
        What it is called; empty for one given by its numbers.
    source : str
        Where the numbers come from.

    Raises
    ------
    InputError
        If a number is not a whole one within bounds, or all of them are too many.
    """

    prefix: int = 0
    isl: int
    osl: int
    name: str = ""
    source: str = ""

    def __attrs_post_init__(self) -> None:
        whole("--isl", self.isl, most=MOST_TOKENS)
        whole("--osl", self.osl, most=MOST_TOKENS)
        if finite("--prefix", self.prefix, least=0) != 0:
            whole("--prefix", self.prefix, most=MOST_TOKENS)
        if self.held > MOST_TOKENS:
            raise InputError(
                f"--prefix, --isl and --osl are {self.held:,} tokens together; the most is {MOST_TOKENS:,}"
            )

    @property
    def prompt(self) -> int:
        """Tokens cached when decoding begins [1]."""
        return self.prefix + self.isl

    @property
    def held(self) -> int:
        """Tokens cached when decoding ends [1]."""
        return self.prompt + self.osl

    @property
    def mean_context(self) -> int:
        """Tokens cached in the middle of decoding [1]."""
        return self.prompt + self.osl // 2


_SOURCE = "arXiv 2605.28302, workloads of its evaluation"
WORKLOADS = {
    "chat": Workload(name="chat", prefix=4096, isl=512, osl=256, source=_SOURCE),
    "coding": Workload(name="coding", prefix=2048, isl=4096, osl=1024, source=_SOURCE),
    "agentic": Workload(name="agentic", prefix=524_288, isl=256, osl=8192, source=_SOURCE),
}
"""Workloads by name."""


def workload_of(
    name: str | None = None, *, prefix: int | None = None, isl: int | None = None, osl: int | None = None
) -> Workload:
    """Return a workload by its name, with what is given instead, or by its numbers.

    Parameters
    ----------
    name : str, optional
        One of `WORKLOADS`.
    prefix, isl, osl : int, optional
        Tokens cached, to prefill, to decode [1].

    Returns
    -------
    Workload
        The workload.

    Raises
    ------
    InputError
        If the name is unknown, or neither a name nor both lengths are given.
    """
    lengths = {"prefix": prefix, "isl": isl, "osl": osl}
    given: dict[str, Any] = {key: value for key, value in lengths.items() if value is not None}
    if name is None:
        missing = [f"--{key}" for key in ("isl", "osl") if key not in given]
        if missing:
            raise InputError(
                f"{' and '.join(missing)} missing: tokens of a request, or --workload {'|'.join(WORKLOADS)}"
            )
        return Workload(**given)
    if name not in WORKLOADS:
        choice("--workload", name, tuple(WORKLOADS))
    found = WORKLOADS[name]
    return attrs.evolve(found, **given, name=f"{name}, changed", source="") if given else found
