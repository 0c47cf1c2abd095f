"""Libraries of exchange kernels: how each sends tokens to experts, and what it does not go beyond."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.catalogue.store import Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from roofline_afd.catalogue.records import Quantity, Record

    Check = tuple[NDArray[np.bool_], Callable[[], str]]

LIMITS = "limits"
"""Table of a record that holds them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the kernels of a library do not go beyond; what is absent is not known, and no limit.

    Parameters
    ----------
    hidden_sizes : tuple of int
        Widths of a vector that kernels are compiled for; any where empty [elements].
    hidden_multiple : int
        Elements that the width must be a multiple of [elements].
    max_top_k, max_devices, max_tokens : int, optional
        Most experts of a token, devices of an exchange, tokens of a device in one [1].
    node_devices : tuple of int
        Devices that an exchange within one node may have; of several nodes each brings the most of them; any
        where empty [1].
    nodes : tuple of int
        Nodes that an exchange over several may have; any where empty [1].
    experts_divide : bool
        Whether every device must hold as many experts.
    one_domain : bool
        Whether all devices must lie in one scale-up domain.
    """

    hidden_sizes: tuple[int, ...] = ()
    hidden_multiple: int = 1
    max_top_k: int | None = None
    max_devices: int | None = None
    max_tokens: int | None = None
    node_devices: tuple[int, ...] = ()
    nodes: tuple[int, ...] = ()
    experts_divide: bool = False
    one_domain: bool = False

    def allows(self, *, tokens: Any = 1, **exchange: Any) -> NDArray[np.bool_]:  # noqa: ANN401 - numbers or arrays
        """Return whether the kernels run exchanges; one of a single device needs none.

        Parameters
        ----------
        tokens : float or array
            Tokens of a device [1].
        **exchange
            `devices`: devices that exchange [1]; `devices_per_node`: devices that a scale-up fabric joins, a
            node or a rack [1]; `hidden_size`: width of a vector [elements]; `top_k`: experts of a token [1];
            `experts`: experts that devices hold together, redundant ones counted [1]; `expert_devices`:
            devices that hold them, all where absent [1]. Numbers, or arrays that broadcast.

        Returns
        -------
        array of bool
            Whether each of them runs.

        Examples
        --------
        >>> normal = load_library("deepep-v1-normal").limits
        >>> ask = {"devices_per_node": 8, "hidden_size": 7168, "top_k": 8, "experts": 480}
        >>> normal.allows(devices=np.array([6, 8, 12, 40, 160, 240]), **ask).tolist()
        [False, True, False, False, True, False]
        """
        devices = np.asarray(exchange["devices"])
        fits = np.ones(np.broadcast_shapes(devices.shape, np.shape(tokens)), dtype=bool)
        for fulfilled, _ in self._checks(tokens=tokens, **exchange):
            fits = fits & fulfilled
        return fits | (devices <= 1)

    def most_tokens(self, **exchange: Any) -> NDArray[np.float64]:  # noqa: ANN401 - numbers or arrays
        """Return the most tokens of a device that exchanges may carry, as `allows` takes them.

        Returns
        -------
        array of float
            Tokens; infinite without a limit, 0 where no number of them runs [1].
        """
        alone = np.asarray(exchange["devices"]) <= 1
        most = np.inf if self.max_tokens is None else float(self.max_tokens)
        found: NDArray[np.float64] = np.where(self.allows(**exchange), most, 0.0)
        return np.where(alone, np.inf, found)

    def binding(self, *, tokens: float = 1, **exchange: Any) -> str:  # noqa: ANN401 - numbers
        """Return which limit rules one exchange out, in words; empty where none does.

        Parameters
        ----------
        tokens : float
            Tokens of a device [1].
        **exchange
            As for `allows`, plain numbers.

        Returns
        -------
        str
            Part of a sentence.

        Examples
        --------
        >>> slim = {"devices": 8, "devices_per_node": 8, "hidden_size": 6000, "top_k": 8, "experts": 256}
        >>> load_library("deepep-hybrid").limits.binding(**slim)
        'hidden size 6000 is no multiple of 512'
        """
        if exchange["devices"] <= 1:
            return ""
        for fulfilled, words in self._checks(tokens=tokens, **exchange):
            if not np.all(fulfilled):
                return words()
        return ""

    def _checks(
        self,
        *,
        devices: Any,  # noqa: ANN401 - a number or an array, as all of them
        devices_per_node: Any,  # noqa: ANN401
        tokens: Any,  # noqa: ANN401
        hidden_size: int,
        top_k: int,
        experts: Any,  # noqa: ANN401
        expert_devices: Any = None,  # noqa: ANN401
    ) -> Iterator[Check]:
        """Yield each limit: whether exchanges keep it, and what to say of one that does not."""
        if self.hidden_sizes:
            known = np.asarray(hidden_size in self.hidden_sizes)
            yield known, lambda: f"hidden size {hidden_size} is none of {_listed(self.hidden_sizes)}"
        if self.hidden_multiple > 1:
            whole = np.asarray(hidden_size % self.hidden_multiple == 0)
            yield whole, lambda: f"hidden size {hidden_size} is no multiple of {self.hidden_multiple}"
        if self.max_top_k is not None:
            yield np.asarray(top_k <= self.max_top_k), lambda: f"top-k {top_k} exceeds {self.max_top_k}"
        if self.one_domain:
            inside = np.less_equal(devices, devices_per_node)
            yield (
                inside,
                lambda: f"{devices:,.0f} devices exceed the {devices_per_node:,.0f} of a scale-up domain",
            )
        if self.max_devices is not None:
            few = np.less_equal(devices, self.max_devices)
            yield few, lambda: f"{devices:,.0f} devices exceed {self.max_devices:,}"
        if self.node_devices:
            yield from self._node_checks(devices, devices_per_node)
        if self.experts_divide:
            holders = devices if expert_devices is None else expert_devices
            even = np.equal(np.mod(experts, holders), 0)
            yield even, lambda: f"{experts:,.0f} experts do not divide among {holders:,.0f} devices"
        if self.max_tokens is not None:
            short = np.less_equal(tokens, self.max_tokens)
            yield short, lambda: f"{tokens:,.0f} tokens a device exceed {self.max_tokens:,}"

    def _node_checks(self, devices: Any, devices_per_node: Any) -> Iterator[Check]:  # noqa: ANN401
        """Yield what an exchange keeps within a node, and over several of its largest nodes."""
        most = max(self.node_devices)
        within = np.less_equal(devices, most) & np.less_equal(devices, devices_per_node)
        fits = np.isin(devices, self.node_devices) | ~within
        yield fits, lambda: f"{devices:,.0f} devices of a node are none of {_listed(self.node_devices)}"
        filled = np.equal(np.mod(devices, most), 0) & np.equal(np.mod(devices_per_node, most), 0) | within
        yield (
            filled,
            lambda: f"{devices:,.0f} devices are no whole nodes of {most} that a scale-up fabric joins",
        )
        if self.nodes:
            several = np.isin(np.floor_divide(devices, most), self.nodes) | within
            yield several, lambda: f"{devices // most:,.0f} nodes of {most} are none of {_listed(self.nodes)}"


@dataclasses.dataclass(frozen=True, slots=True)
class Library:
    """A library of exchange kernels.

    `transport` says how many copies of a token it sends: `pair`, one per expert; `rank`, one per device hit;
    `node`, one per node hit, which forwards it. `vendors` are the makers whose accelerators it runs on, none
    where that is not known.
    """

    id: str
    name: str
    transport: str
    vendors: tuple[str, ...]
    limits: Limits
    quantities: Mapping[str, Quantity] = dataclasses.field(repr=False, compare=False)

    def runs_on(self, *vendors: str) -> bool:
        """Return whether it runs on the accelerators of all these makers, as far as is known."""
        return not self.vendors or set(vendors) <= set(self.vendors)


def load_library(name: str, *, catalogue: Catalogue | None = None) -> Library:
    """Return a library of exchange kernels.

    Parameters
    ----------
    name : str
        Id of a library, for example `"deepep-v1-normal"`.
    catalogue : Catalogue, optional
        Where to look; the shipped one with the user's overlays by default.

    Returns
    -------
    Library
        How it sends tokens, and its limits.

    Raises
    ------
    InputError
        If the id is unknown; names the nearest ones.

    Examples
    --------
    >>> load_library("deepep-v1-low-latency").transport
    'pair'
    >>> load_library("deepep-v1-normal").limits.nodes
    (2, 3, 4, 6, 8, 12, 16, 18, 20)
    """
    record = (catalogue or Catalogue()).record("library", name)
    return Library(
        id=record.id,
        name=record.text("name"),
        transport=record.text("transport"),
        vendors=tuple(record.data.get("vendors", ())),
        limits=_limits(record),
        quantities=record.quantities,
    )


def _limits(record: Record) -> Limits:
    """Return the limits that a record states."""
    stated: dict[str, Any] = {key: entry["value"] for key, entry in record.data.get(LIMITS, {}).items()}
    for key, value in stated.items():
        if isinstance(value, list):
            stated[key] = tuple(value)
    return Limits(**stated)


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(f"{value:,}" if value >= 10_000 else str(value) for value in values)  # noqa: PLR2004
