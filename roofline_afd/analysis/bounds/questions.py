"""What is asked of bounds: each question with its options."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.questions import option

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

    from roofline_afd.catalogue.models import Model
    from roofline_afd.serving.scenario import Scenario

PLACEMENTS = ("contiguous", "greedy")
TOKENS = tuple(2**power for power in range(11))
"""Tokens of a device at which exchanges are timed where none are asked for: 1 to 1024."""


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Where adding FFN nodes stops helping.

    Parameters
    ----------
    scenario : Scenario
        The question.
    ffn_nodes : array-like of int
        FFN node counts, one row each: a range first:last[:step] or a list a,b,c; 1 to 40 where absent [1].
    """

    scenario: Scenario = dataclasses.field(metadata={"serving": False})
    _: dataclasses.KW_ONLY
    ffn_nodes: ArrayLike = option(range(1, 41), metavar="RANGE")


@dataclasses.dataclass(frozen=True)
class Rooflines(Roofline):
    """Where adding FFN nodes stops helping, for one question or at each element of arrays.

    Parameters
    ----------
    arrays : mapping of str to array-like of float, optional
        Inputs by name, options or catalogue keys, in their units: they broadcast against each other and
        `ffn_nodes`, and rows are the metrics of a sweep.
    """

    _: dataclasses.KW_ONLY
    arrays: Mapping[str, ArrayLike] | None = option(None, shown=False)


@dataclasses.dataclass(frozen=True)
class RooflinePicture(Roofline):
    """The roofs of the FFN stage, and where it operates.

    Parameters
    ----------
    ffn_nodes : array-like of int
        FFN node counts, a marker each: a range first:last[:step] or a list a,b,c; 1 to 8, 16 and 32 where
        absent [1].
    """

    _: dataclasses.KW_ONLY
    ffn_nodes: ArrayLike = option((*range(1, 9), 16, 32), metavar="RANGE")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Imbalance:
    """What load imbalance of experts costs expert parallelism and disaggregation.

    Exactly one of `sigma`, `expert_counts` and `zipf` says how uneven the load is.

    Parameters
    ----------
    attention_nodes : int
        Attention nodes of AFD that a balanced load keeps busy, N_A [1].
    ffn_nodes : int
        FFN nodes of AFD, N_F [1].
    sigma : float or sequence of float, optional
        Mean load over maximum load of the devices with experts, above 0 and at most 1: a number, or a list
        a,b,c, one row each [1].
    lambda_ep : float, optional
        Attention time over FFN time with EP; attention nodes over FFN nodes where absent [1].
    expert_counts : path or iterable of float, optional
        Tokens each expert received, instead of sigma: a CSV file of columns expert and count, or of one
        column; in Python the counts themselves, too.
    zipf : float, optional
        Exponent of expert popularity over rank, instead of sigma; 0 makes all experts equal [1].
    placement : str, optional
        Experts on devices in order, or by load with redundant experts; contiguous where absent.
    devices : int, optional
        Devices that hold the experts; eight per FFN node where absent [1].
    model : Model or str, optional
        Model whose routed experts and experts per token to take: see `models list`.
    routed_experts : int, optional
        Routed experts of a layer; the model's where absent [1].
    top_k : int, optional
        Distinct experts of a token; the model's where absent [1].
    redundant_experts : int, optional
        Replicas beyond one of each expert, with greedy placement; none where absent [1].
    tokens : int, optional
        Tokens that the routers of all devices see in one batch; 4096 where absent [1].
    batches : int, optional
        Random batches drawn; 200 where absent [1].
    seed : int, optional
        Seed of the random batches; 0 where absent [1].
    """

    attention_nodes: int
    ffn_nodes: int
    sigma: float | Sequence[float] | None = option(None, metavar="LIST")
    lambda_ep: float | None = option(None)
    expert_counts: str | Path | Iterable[float] | None = option(None)
    zipf: float | None = option(None)
    placement: str | None = option(None, words=PLACEMENTS)
    devices: int | None = option(None)
    model: Model | str | None = option(None, hardware=True)
    routed_experts: int | None = option(None)
    top_k: int | None = option(None)
    redundant_experts: int | None = option(None)
    tokens: int | None = option(None, flag="--batch-tokens")
    batches: int | None = option(None)
    seed: int | None = option(None)


@dataclasses.dataclass(frozen=True)
class Fabric:
    """What the exchange of a layer takes over tokens and devices, and where a rack or node ends.

    Parameters
    ----------
    scenarios : sequence of Scenario
        One question per system, alike but for that; at most four.
    group_sizes : sequence of int, optional
        Devices that exchange, a line each: a list a,b,c or a range first:last[:step]; where absent 8, 16,
        32, 64, those of a scale-up domain where it is larger, and twice as many, as far as the experts can be
        spread over them [1].
    tokens : sequence of int
        Tokens that a device sends: a list or a range; 1, 2, 4 and so on to 1024 where absent [1].
    operators : sequence of path, optional
        CSV files with exchanges you measured, as `validate --operators` reads them; drawn besides the
        published ones.
    """

    scenarios: Sequence[Scenario]
    _: dataclasses.KW_ONLY
    group_sizes: Sequence[int] | None = option(None, metavar="LIST")
    tokens: Sequence[int] = option(TOKENS, metavar="LIST")
    operators: Sequence[str | Path] | None = option(None, metavar="FILE")
