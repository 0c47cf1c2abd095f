"""What may be asked of the points of a sweep, and who answers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from roofline_afd.analysis.sweep.questions import OF
from roofline_afd.serving.modes.question import SERVING_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from roofline_afd.analysis.sweep.axes import Axis
    from roofline_afd.serving.scenario import Scenario

    Columns = dict[str, NDArray[Any]]
    Places = NDArray[np.int64]

COMPARE, PREDICT, ROOFLINE, PROVISION, EXPLORE = OF
HIGH, LOW, PLAIN = "high", "low", ""
REFUSED = "refused"
"""Word for a combination that is no question: a system without a number that it needs, say."""
WINNERS = ("neither", "ep", "afd", REFUSED)
MODES = ("none", *SERVING_MODES, REFUSED)


class Metric(NamedTuple):
    """A result: whether more or less of it is better, and the words that its numbers stand for."""

    better: str = HIGH
    words: tuple[str, ...] = ()


METRICS: Mapping[str, Mapping[str, Metric]] = {
    ROOFLINE: {
        "hfu": Metric(),
        "ofu": Metric(),
        "temporal_sparsity": Metric(LOW),
        "pairs_per_device": Metric(),
        "experts_per_device": Metric(PLAIN),
        "intensity": Metric(),
        "link_gb_per_s": Metric(),
        "weight_time_us": Metric(LOW),
        "compute_time_us": Metric(LOW),
        "active_time_us": Metric(LOW),
        "expert_memory_gb": Metric(LOW),
        "feasible": Metric(),
    },
    PREDICT: {
        "tokens_per_s_per_device": Metric(),
        "tokens_per_s_per_user": Metric(),
        "tpot_ms": Metric(LOW),
        "step_ms": Metric(LOW),
        "attention_us": Metric(LOW),
        "dispatch_us": Metric(LOW),
        "ffn_us": Metric(LOW),
        "combine_us": Metric(LOW),
        "largest_batch": Metric(),
        "feasible": Metric(),
    },
    COMPARE: {
        "afd_over_ep": Metric(),
        "ep_tokens_per_s_per_device": Metric(),
        "afd_tokens_per_s_per_device": Metric(),
        "best_tokens_per_s_per_device": Metric(),
        "probability_afd_wins": Metric(),
        "winner": Metric(PLAIN, WINNERS),
    },
    PROVISION: {
        "ratio": Metric(PLAIN),
        "r_star": Metric(PLAIN),
        "r_star_barrier": Metric(PLAIN),
        "tokens_per_s_per_instance": Metric(),
        "tpot_ms": Metric(LOW),
        "rounding_loss": Metric(LOW),
    },
    EXPLORE: {
        "tokens_per_s_per_device": Metric(),
        "ttft_ms": Metric(LOW),
        "tpot_ms": Metric(LOW),
        "mode": Metric(PLAIN, MODES),
    },
}
"""What may be asked of each command, the first where nothing else is."""


class Evaluator(Protocol):
    """Metrics of one combination of the outer axes."""

    def __call__(self, places: Sequence[Places]) -> Columns:
        """Return metrics at places of the open axes, which broadcast against each other."""


class Kind(Protocol):
    """A command that is swept."""

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return the axes over which it computes many points at once."""

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return what evaluates one combination of the outer axes over the open ones."""


_ROOMS = {ROOFLINE: "stages", PREDICT: "deployments"}


def kind_of(name: str, mode: str | None) -> Kind:
    """Return what sweeps a command; `mode` is that of `predict`.

    What other commands compute with is not loaded.
    """
    room = import_module(f"roofline_afd.analysis.sweep.kinds.{_ROOMS.get(name, 'searches')}")
    found: Kind = room.kind_of(name, mode)
    return found
