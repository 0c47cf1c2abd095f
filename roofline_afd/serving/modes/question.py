"""What is asked of a cluster: requests, limits, and what may be varied."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import attrs

if TYPE_CHECKING:
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.workload import Workload

AGG, PD, AGG_AFD, PD_AFD = "agg", "pd", "agg+afd", "pd+afd"
SERVING_MODES = (AGG, PD, AGG_AFD, PD_AFD)


class Loading(NamedTuple):
    """Cached tokens of a request that lie elsewhere, and how fast a device reads them back."""

    tokens: float
    """In the mean [1]."""
    bandwidth: float | None
    """Of a device; that of the scale-out fabric where absent [B/s]."""


@attrs.frozen(kw_only=True)
class Question:
    """What is asked of a cluster: requests, limits, and what may be varied.

    Parameters
    ----------
    scenario : Scenario
        Model and system of all devices, or of those that decode; its `devices` are the cluster.
    prefill : Scenario
        The same for devices that prefill apart.
    workload : Workload
        Requests.
    devices : int
        Devices of the cluster [1].
    ttft_ms : float, optional
        Time to the first token allowed [ms].
    tpot_ms : float, optional
        Time per output token allowed [ms].
    chunk_tokens : int, optional
        Prompt tokens of a step and attention group; searched where absent [1].
    request_rate : float, optional
        Requests a second of the whole cluster; saturated where absent [1/s].
    prompt_variation : float
        Standard deviation over mean of the input tokens [1].
    kv_link : str
        Fabric between the pools: `scale-up`, `scale-out`, or `auto`, scale-up where one domain holds all.
    kv_overlap : bool
        Whether the cache moves layer by layer during prefill.
    kv_moved : str
        What moves: `all` cached tokens of a prompt, or only the `new` ones.
    first_token : str
        Pool that gives out the first token: `prefill` or `decode`.
    shared_prefix : bool
        Whether sequences of an attention group share one prefix.
    loading : tuple of Loading
        What of the cached tokens is read back before a prompt is computed.
    """

    scenario: Scenario
    prefill: Scenario
    workload: Workload
    devices: int
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    chunk_tokens: int | None = None
    request_rate: float | None = None
    prompt_variation: float = 0.0
    kv_link: str = "auto"
    kv_overlap: bool = False
    kv_moved: str = "all"
    first_token: str = "prefill"  # noqa: S105 - no password
    shared_prefix: bool = False
    loading: tuple[Loading, ...] = ()

    @property
    def ttft_limit(self) -> float:
        """Time to the first token allowed [s]."""
        return math.inf if self.ttft_ms is None else self.ttft_ms * 1e-3

    @property
    def tpot_limit(self) -> float:
        """Time per output token allowed [s]."""
        return math.inf if self.tpot_ms is None else self.tpot_ms * 1e-3
