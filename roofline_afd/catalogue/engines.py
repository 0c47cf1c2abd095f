"""Serving software: the kernel families it takes, and what it makes of device memory."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.catalogue.store import Catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.catalogue.records import Quantity

IDEAL = "ideal"
"""The engine where none is named: the best kernels, and nothing in memory but weights and cache."""
ALL, WEIGHTS_AND_CACHE, CACHE = "all", "weights-and-cache", "cache"
"""What the memory fraction of an engine holds."""
DEEPEP, ONE_SIDED = "deepep-v1", "nvlink-one-sided"
"""Libraries of exchanges whose buffers are known."""


@dataclasses.dataclass(frozen=True, slots=True)
class Engine:
    """An engine: its kernel families by table of operators, its libraries of exchanges, and its memory.

    `memory_fraction` is a share of the memory that the driver reports [1], and `fraction_holds` what lies in
    it. Beside weights and cache a device holds libraries and, where several serve together, communicators
    [B], graphs [B], activations of a step's tokens [1], logits of the sequences sampled [1] and the buffers
    of the library that sends tokens to experts, for so many tokens of a rank [1]. `host_pause_s` is what the
    host adds to a step of several attention groups [s], 0 where that is not known; `other_s` what small
    kernels of a layer take beyond their passes [s], None where that is as of any engine.
    """

    id: str
    name: str
    families: Mapping[str, tuple[str, ...]]
    exchanges: tuple[str, ...]
    memory_fraction: float
    fraction_holds: str
    libraries_bytes: float
    collectives_bytes: float
    graphs_bytes: float
    step_tokens: int
    sampled_sequences: int
    bytes_per_logit: float
    exchange: str
    exchange_tokens: int
    padded_columns: int
    host_pause_s: float
    other_s: float | None
    quantities: Mapping[str, Quantity] = dataclasses.field(repr=False, compare=False)

    def __hash__(self) -> int:
        """Tell engines apart by id."""
        return hash(self.id)


def load_engine(name: str = IDEAL, *, catalogue: Catalogue | None = None) -> Engine:
    """Return an engine.

    Parameters
    ----------
    name : str
        Id of an engine, for example `"vllm"`.
    catalogue : Catalogue, optional
        Where to look; the shipped one with the user's overlays by default.

    Returns
    -------
    Engine
        Its kernel families and ids of its libraries, first the one taken first, and its memory in SI.

    Raises
    ------
    InputError
        If the id is unknown; names the nearest ones.

    Examples
    --------
    >>> load_engine("vllm").families["gqa_decode"]
    ('fa3', 'flashinfer')
    """
    record = (catalogue or Catalogue()).record("engine", name)
    si = {key: quantity.si for key, quantity in record.quantities.items()}
    return Engine(
        id=record.id,
        name=record.text("name"),
        families={table: tuple(families) for table, families in record.data["families"].items()},
        exchanges=tuple(record.data.get("exchanges", ())),
        memory_fraction=si["memory_fraction"],
        fraction_holds=record.text("fraction_holds"),
        libraries_bytes=si["libraries_gib"],
        collectives_bytes=si["collectives_gib"],
        graphs_bytes=si["graphs_gib"],
        step_tokens=int(si["step_tokens"]),
        sampled_sequences=int(si["sampled_sequences"]),
        bytes_per_logit=si["bytes_per_logit"],
        exchange=record.text("exchange"),
        exchange_tokens=int(si["exchange_tokens"]),
        padded_columns=int(si["padded_columns"]),
        host_pause_s=si.get("host_pause_ms", 0.0),
        other_s=si.get("other_us"),
        quantities=record.quantities,
    )
