"""Caches of prompts: what traces and sessions leave in them, tier by tier, and how fast it is read back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from roofline_afd.analysis.requests.prefixes import read_reuse
from roofline_afd.analysis.requests.sessions import Sessions
from roofline_afd.analysis.requests.traces import BLOCKS
from roofline_afd.catalogue.precision import precision
from roofline_afd.errors import InputError, nearest, shown
from roofline_afd.serving.checks import choice, finite, whole
from roofline_afd.serving.modes.question import Loading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from roofline_afd.analysis.purchase.questions import Purchase

HBM, HOST, REMOTE = "hbm", "host", "remote"
TIERS = (HBM, HOST, REMOTE)
SESSION_KEYS = ("turns", "shared", "first", "input", "gap_s", "answers")
ANSWERS = ("cached", "computed")
GIGA = 1e9


class Reused(Protocol):
    """Prompts that begin as earlier ones did, and what a cache of so many tokens holds of them."""

    def hit(self, cache_tokens: float = math.inf) -> float:
        """Return the share of all input tokens that it holds [1]."""

    def computed(self, cache_tokens: float = math.inf) -> tuple[float, float]:
        """Return mean and standard deviation of the tokens of a prompt that it does not hold [1]."""

    def cache_for(self, share: float) -> float:
        """Return the least cache that holds a share of the tokens that recur [1]."""


class Tier(NamedTuple):
    """A cache that holds what those before it gave up."""

    name: str
    gb: float
    gb_per_s: float | None
    """How fast a device reads it; None in place, or over the scale-out fabric."""


class Hit(NamedTuple):
    """What tiers hold of the mean prompt."""

    share: float
    """Of its tokens [1]."""
    variation: float
    """Standard deviation over mean of the tokens that are not held [1]."""
    loading: tuple[Loading, ...]
    """What is read back."""


class Caching(NamedTuple):
    """Prompts that recur, and the tiers that keep them."""

    reused: Reused
    tiers: tuple[Tier, ...]
    token_gb: float
    """Cache of a token [GB]."""

    def hit(self, prompt_tokens: float, tiers: int | None = None) -> Hit:
        """Return what the first so many tiers hold, all of them where absent."""
        most = self.tiers[:tiers]
        size, before = 0.0, 0.0
        loading = []
        for tier in most:
            size += tier.gb / self.token_gb
            share = self.reused.hit(size)
            if tier.name != HBM and share > before:
                loading.append(
                    Loading((share - before) * prompt_tokens, tier.gb_per_s and tier.gb_per_s * GIGA)
                )
            before = share
        mean, deviation = self.reused.computed(size)
        return Hit(before, deviation / max(mean, 1.0), tuple(loading))

    def words(self, kv_precision: str) -> str:
        """Return what is kept, of what recurs, and which sizes would hold how much of it."""
        size = sum(tier.gb for tier in self.tiers)
        kept = "a cache that keeps all would hold"
        if math.isfinite(size):
            kept = f"a cache of {gb_told(size)} GB keeps"
        half, nearly = (gb_told(self.reused.cache_for(share) * self.token_gb) for share in (0.5, 0.9))
        return (
            f"{kept} {self.reused.hit(size / self.token_gb):.1%} of the tokens of prompts, of at most "
            f"{self.reused.hit():.1%} that recur; half of these need {half} GB, nine tenths {nearly} "
            f"GB, shared by all replicas and kept in {kv_precision} by what is longest unused"
        )


def gb_told(size: float) -> str:
    """Return a size in GB, in three digits or whole."""
    return f"{size:,.0f}" if size >= 100 else f"{size:.3g}"  # noqa: PLR2004 - three digits


def caching_of(purchase: Purchase, requests_per_s: float, osl: int) -> Caching | None:
    """Return the prompts that recur, and the tiers that keep them.

    Parameters
    ----------
    purchase : Purchase
        What is asked.
    requests_per_s : float
        Turns of all sessions [1/s].
    osl : int
        Tokens of an answer [1].

    Returns
    -------
    Caching or None
        None where nothing is known to recur, or the share that does is given.

    Raises
    ------
    InputError
        If the question contradicts itself, or a value is out of bounds.
    """
    sized = [name for name in ("prefix_cache_gb", "prefix_cache") if getattr(purchase, name) is not None]
    named = ["--" + name.replace("_", "-") for name in sized]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} exclude each other: give one of them")
    if purchase.prefix_hit is not None:
        if named:
            raise InputError(f"--prefix-hit and {named[0]} exclude each other: give one of them")
        return None
    reused: Reused | None = None
    if purchase.session is not None:
        reused = sessions_of(purchase, requests_per_s, osl)
    elif purchase.trace is not None:
        reused = read_reuse(purchase.trace, prompt_column=purchase.prompt_column)
    if reused is None:
        if named:
            raise InputError(
                f"{named[0]} needs --session, or a trace whose requests name blocks (`{BLOCKS}`): give "
                "--prefix-hit"
            )
        return None
    scenario = purchase.scenarios[0]
    each = scenario.model.kv_bytes_per_token(precision(scenario.kv_precision).bytes) / GIGA
    return Caching(reused, _tiers(purchase), each)


def _tiers(purchase: Purchase) -> tuple[Tier, ...]:
    """Return the tiers of a cache, the nearest first; one that holds all where none is given."""
    if purchase.prefix_cache_gb is not None:
        return (Tier(HBM, finite("--prefix-cache-gb", purchase.prefix_cache_gb, above=0, below=1e9), None),)
    if purchase.prefix_cache is None:
        return (Tier(HBM, math.inf, None),)
    found: list[Tier] = []
    for text in purchase.prefix_cache.split(","):
        name, equals, size = (part.strip().lower() for part in text.partition("="))
        gb, at, speed = (part.strip() for part in size.partition("@"))
        choice("--prefix-cache", name, TIERS)
        if not equals:
            raise InputError(f"--prefix-cache {shown(text)} is not TIER=GB, or TIER=GB@GB/s")
        if name == HBM and at:
            raise InputError("--prefix-cache hbm is read in place: leave out @GB/s")
        if name == HOST and not at:
            raise InputError(
                "--prefix-cache host needs the speed at which a device reads it: host=GB@GB/s, as "
                "host=2000@50"
            )
        if found and TIERS.index(name) <= TIERS.index(found[-1].name):
            raise InputError(f"--prefix-cache names {name} after {found[-1].name}: the nearest first")
        found.append(Tier(name, _number(gb, text), _number(speed, text) if at else None))
    return tuple(found)


def _number(text: str, of: str) -> float:
    try:
        value: Any = float(text)
    except ValueError as error:
        raise InputError(f"--prefix-cache {shown(of)} is not TIER=GB, or TIER=GB@GB/s") from error
    return finite("--prefix-cache", value, above=0, below=1e9)


def session_values(text: str) -> Mapping[str, str]:
    """Return the values of a session by name: turns=20,first=8000 and so on; raises InputError for others."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (each.strip().lower() for each in part.partition("="))
        name = name.replace("-", "_")
        if not equals or name not in SESSION_KEYS:
            keys = ", ".join(SESSION_KEYS)
            raise InputError(
                f"--session {shown(part)}{nearest(name, SESSION_KEYS)}; valid: {keys}, as turns=20"
            )
        if name in found:
            raise InputError(f"--session names {name} twice")
        found[name] = value
    return found


def sessions_of(purchase: Purchase, requests_per_s: float, osl: int) -> Sessions:
    """Return sessions as a text tells them; raises InputError for what it cannot mean."""
    given = session_values(purchase.session or "")
    turns = _whole(given, "turns")
    gap = given.get("gap_s")
    if gap is None and purchase.think_time_s is None:
        raise InputError("--session needs gap_s: the mean pause between an answer and the next turn [s]")
    try:
        pause = float(purchase.think_time_s or 0.0) if gap is None else float(gap)
    except ValueError as error:
        raise InputError(f"--session gap_s={shown(gap)} is no number") from error
    return Sessions(
        turns=turns,
        first=_whole(given, "first", given.get("input")),
        input=_whole(given, "input"),
        output=osl,
        shared=_whole(given, "shared") if given.get("shared", "0") != "0" else 0,
        gap_s=finite("--session gap_s", pause, least=0, below=1e9),
        sessions_per_s=requests_per_s / turns,
        answers_cached=choice("--session answers", given.get("answers", ANSWERS[0]), ANSWERS) == ANSWERS[0],
    )


def _whole(given: Mapping[str, str], name: str, otherwise: str | None = None) -> int:
    text = given.get(name, otherwise)
    if text is None:
        raise InputError(f"--session needs {name}: as turns=20,shared=2000,first=8000,input=1500,gap_s=30")
    try:
        value: Any = int(text)
    except ValueError as error:
        raise InputError(f"--session {name}={shown(text)} is no whole number") from error
    return whole(f"--session {name}", value, most=10_000_000)


def told(tiers: Sequence[Tier]) -> str:
    """Return tiers in a few words: hbm + host."""
    return " + ".join(tier.name for tier in tiers) or "none"
