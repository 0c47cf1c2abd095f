"""What a sweep evaluates: metrics of a command, for many designs at once where its physics allows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import attrs
import numpy as np

from roofline_afd.analysis.bounds.regimes import largest_in_domain
from roofline_afd.analysis.bounds.roofline import check_ffn_nodes
from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.decode.one import OVERLAPPED, counts_asked, plans_asked
from roofline_afd.analysis.decode.sides import Successive
from roofline_afd.analysis.requests.explore import explore
from roofline_afd.analysis.requests.provisioning import provision
from roofline_afd.analysis.requests.questions import Exploration, Provisioning
from roofline_afd.analysis.sweep.questions import OF
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.physics import roofline as physics
from roofline_afd.physics.confidence import probability_ahead
from roofline_afd.serving.candidates import admitted
from roofline_afd.serving.deployable import most_sequences
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.serving.modes.question import SERVING_MODES
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.sizes import REPLICATED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.sweep.axes import Axis
    from roofline_afd.serving.ffn_stage import FfnStageInputs

    Columns = dict[str, NDArray[Any]]
    Places = NDArray[np.int64]

COMPARE, PREDICT, ROOFLINE, PROVISION, EXPLORE = OF
HIGH, LOW, PLAIN = "high", "low", ""
WINNERS = ("neither", "ep", "afd")
MODES = ("none", *SERVING_MODES)


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


STAGE_FIELDS = (
    *("devices_per_node", "routed_experts", "top_k", "moe_layers", "flops_per_pair", "link_bytes_per_pair"),
    *("weight_bytes", "stage_budget", "peak", "memory_bandwidth", "usable_memory", "scale_up", "scale_out"),
    "attention_devices",
)
"""Numbers of the FFN stage that may be arrays."""
WHOLE_DESIGN = {"devices_per_node", "scale_up_domain_devices", "expert_groups", "groups_per_token"}
"""Inputs that change more of the stage than its numbers."""
FFN_NODES = "ffn_nodes"


class Rooflines:
    """The roofline of the FFN stage: every number on an axis of its own."""

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return the axes whose numbers of the stage no other axis sets, the longest first."""
        if all(axis.key != FFN_NODES for axis in axes):
            raise InputError("a sweep of the roofline needs --axis ffn_nodes=RANGE")
        found, taken = [FFN_NODES], set[str]()
        whole = WHOLE_DESIGN | ({"attention_devices"} if scenario.system.superpod else set())
        for axis in sorted(axes, key=lambda axis: -axis.size):
            if axis.key == FFN_NODES or axis.numbers is None or axis.key in whole:
                continue
            moved = _moved(scenario, axis)
            if moved is not None and not moved & taken:
                found.append(axis.key)
                taken |= moved
        return found

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return the stage of one combination, its numbers known by the values of each open axis."""
        base = changed(scenario, outer) if outer else scenario
        inputs = ffn_stage_inputs(base)
        nodes = next(axis.numbers for axis in axes if axis.key == FFN_NODES)
        tables = [{} if axis.key == FFN_NODES else _table(base, inputs, axis) for axis in axes]
        at_nodes = [axis.key for axis in axes].index(FFN_NODES)
        domain = largest_in_domain(inputs)
        assert nodes is not None  # noqa: S101 - of numbers alone
        counts = check_ffn_nodes(nodes)

        def evaluate(places: Sequence[Places]) -> Columns:
            fields: dict[str, Any] = {
                name: column[place]
                for table, place in zip(tables, places, strict=True)
                for name, column in table.items()
            }
            held = dataclasses.replace(inputs, **fields) if fields else inputs
            return _stage_columns(held, counts[places[at_nodes]], domain, metrics)

        return evaluate


def _moved(scenario: Scenario, axis: Axis) -> set[str] | None:
    """Return the numbers of the stage that an axis sets; None where it changes more than numbers."""
    places = sorted({0, axis.size // 2, axis.size - 1})
    every = [ffn_stage_inputs(scenario), *(_inputs_at(scenario, axis, place) for place in places)]
    if len({each.superpod for each in every}) > 1:
        return None
    return {name for name in STAGE_FIELDS if len({getattr(each, name) for each in every}) > 1}


def _inputs_at(scenario: Scenario, axis: Axis, place: int) -> FfnStageInputs:
    return ffn_stage_inputs(changed(scenario, {axis.key: axis.value(place)}))


def _table(scenario: Scenario, base: FfnStageInputs, axis: Axis) -> dict[str, NDArray[np.float64]]:
    """Return the numbers of the stage that an axis sets, by its values."""
    every = [_inputs_at(scenario, axis, place) for place in range(axis.size)]
    columns = {name: np.array([float(getattr(each, name)) for each in every]) for name in STAGE_FIELDS}
    return {name: column for name, column in columns.items() if np.any(column != getattr(base, name))}


STAGE_METRICS: Mapping[str, tuple[str, float]] = {
    "hfu": ("hfu", 1.0),
    "ofu": ("ofu", 1.0),
    "temporal_sparsity": ("temporal_sparsity", 1.0),
    "pairs_per_device": ("pairs_per_device", 1.0),
    "experts_per_device": ("experts_per_device", 1.0),
    "intensity": ("intensity", 1.0),
    "link_gb_per_s": ("link_bandwidth", 1e-9),
    "weight_time_us": ("weight_time", 1e6),
    "compute_time_us": ("compute_time", 1e6),
    "active_time_us": ("active_time", 1e6),
    "expert_memory_gb": ("expert_memory", 1e-9),
}
"""Term of the stage that a metric is, and what it is multiplied by for its unit."""


def _stage_columns(
    inputs: FfnStageInputs, nodes: NDArray[np.int64], domain: float, metrics: Sequence[str]
) -> Columns:
    """Return metrics of the stage, those asked for."""
    asked = {name: STAGE_METRICS[name] for name in metrics if name in STAGE_METRICS}
    stage = physics.ffn_stage(**inputs.arguments(nodes), wanted={term for term, _ in asked.values()})
    found: Columns = {
        name: np.asarray(getattr(stage, term) if factor == 1 else getattr(stage, term) * factor)
        for name, (term, factor) in asked.items()
    }
    if "feasible" in metrics:
        feasible = (stage.weight_time <= inputs.stage_budget) & (stage.expert_memory <= inputs.usable_memory)
        found["feasible"] = feasible & (nodes <= domain)
    return found


DEPLOYED = ("devices", "attention_devices", "ffn_devices", "batch", "microbatches")
"""Inputs of one deployment, over which many are timed at once."""


class Predictions:
    """One deployment: devices, batch and micro-batches on open axes, heads shared as the question says."""

    def __init__(self, mode: str | None) -> None:
        self.mode = mode

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return the axes of the deployment itself."""
        del scenario
        return [axis.key for axis in axes if axis.key in DEPLOYED and axis.numbers is not None]

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return the times of deployments of one question."""
        del metrics  # a step has them all
        base = changed(scenario, outer) if outer else scenario
        open_ = {axis.key: axis.numbers for axis in axes}
        fixed = {name: getattr(base, name) for name in DEPLOYED if name not in open_}
        given = {name for name in DEPLOYED if name in open_ or fixed[name] is not None}
        apart = bool({"ffn_devices"} & given)
        mode = self.mode or (AFD if apart else EP)
        wanted = {"attention_devices", "ffn_devices"} if mode == AFD else {"devices"}
        missing = sorted((wanted | {"batch"}) - given)
        if missing:
            names = " and ".join(missing)
            raise InputError(f"a sweep of predict with mode {mode} lacks {names}: give an axis or the option")
        bare: dict[str, Any] = {name: None for name in DEPLOYED if name != "microbatches"}
        deployments = Deployments(attrs.evolve(base, **bare), mode)
        _, plans = plans_asked(deployments)
        swept = "microbatches" in open_
        counts = (0,) if swept else counts_asked(attrs.evolve(base, batch=OVERLAPPED), mode)
        keys = [axis.key for axis in axes]

        def evaluate(places: Sequence[Places]) -> Columns:
            at: dict[str, Any] = dict(fixed)
            for key, place in zip(keys, places, strict=True):
                column = open_[key]
                assert column is not None  # noqa: S101 - of numbers alone
                at[key] = column[place].astype(np.int64)
            senders = at["attention_devices"] if mode == AFD else at["devices"]
            receivers = at["ffn_devices"] if mode == AFD else np.zeros(0)
            best: Columns | None = None
            for plan in plans:
                runs = admitted(plan, np.asarray(senders) * 1.0, np.asarray(receivers) * 1.0)
                for count in counts:
                    if count != counts[0] and plan.transport == REPLICATED:
                        continue  # a sum over all devices leaves nothing to overlap
                    halves = True if len(counts) == 1 else np.asarray(at["batch"]) >= count
                    deployment = deployments.deployment_of(
                        senders,
                        receivers if mode == AFD else 0,
                        batch=at["batch"],
                        microbatches=at["microbatches"] if swept else count,
                        plan=plan,
                    )
                    found = _predicted(deployments, deployment, at["batch"], runs & halves)
                    best = found if best is None else _better(best, found)
            assert best is not None  # noqa: S101 - there is a plan
            return best

        return evaluate


def _predicted(deployments: Deployments, deployment: Any, batch: Any, runs: Any) -> Columns:  # noqa: ANN401 - arrays
    """Return the metrics of deployments; NaN where memory or the target rules one out."""
    scenario = deployments.scenario
    step = deployments.step(deployment)
    most = np.asarray(deployments.largest_batch(deployment))
    held = np.minimum(most, most_sequences(deployments, deployment))  # memory, and the kernels' library
    feasible = runs & np.isfinite(step.time) & (held >= batch)
    tpot = step.time / scenario.accept_length
    if scenario.tpot_ms is not None:
        feasible = feasible & (tpot * 1e3 <= scenario.tpot_ms)
    layers = sum(float(block.layers) for block in step.blocks)
    means = {
        f"{side}_us": sum(block.layers * np.asarray(getattr(block, side)) for block in step.blocks)
        / layers
        * 1e6
        for side in ("attention", "dispatch", "ffn", "combine")
    }
    found = {
        "tokens_per_s_per_device": deployments.tokens_per_s_per_device(deployment, step.time),
        "tokens_per_s_per_user": 1.0 / tpot,
        "tpot_ms": tpot * 1e3,
        "step_ms": step.time * 1e3,
        **means,
        "largest_batch": np.maximum(np.floor(most), 0.0),
    }
    blank = {
        name: np.where(feasible, column, np.nan) for name, column in found.items() if name != "largest_batch"
    }
    return {**found, **blank, "feasible": feasible}


def _better(one: Columns, other: Columns) -> Columns:
    """Return the quicker of two, point by point; what is feasible before what is not."""
    second = ~(one["step_ms"] <= other["step_ms"]) & other["feasible"]
    return {name: np.where(second, other[name], one[name]) for name in one}


class Comparisons:
    """EP and AFD, each at its best: questions one after the other, those before a start for the next."""

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return none: every question is searched."""
        del scenario, axes
        return []

    def __init__(self) -> None:
        self.successive = Successive()

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return what both modes serve."""
        del axes, metrics
        ep, afd = self.successive.rates(changed(scenario, outer) if outer else scenario)
        both = ep > 0 and afd > 0
        ratio = afd / ep if both else np.nan
        error = load_ratio_error(scenario.system.parts.catalogue)
        sure = 1.0 if afd else 0.0 if ep else np.nan
        found = {
            "afd_over_ep": ratio,
            "ep_tokens_per_s_per_device": ep or np.nan,
            "afd_tokens_per_s_per_device": afd or np.nan,
            "best_tokens_per_s_per_device": max(ep, afd) or np.nan,
            "probability_afd_wins": float(
                probability_ahead(ratio=ratio, bias=error.bias, spread=error.spread, degrees=error.degrees)
            )
            if both
            else sure,
            "winner": float(2 if afd > ep else 1 if ep else 0),
        }
        return _constant(found)


class Provisions:
    """The ratio of attention to FFN instances."""

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return none."""
        del scenario, axes
        return []

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return the ratio recommended for one question."""
        del axes, metrics
        own = _own(Provisioning) | {"batch"}
        asked, rest = _split(outer, own)
        try:
            found = provision(Provisioning(scenario=changed(scenario, rest), **asked)).summary
        except InfeasibleError:
            return _constant(dict.fromkeys(METRICS[PROVISION], np.nan))
        values = {name: found.get(name) for name in METRICS[PROVISION]}
        return _constant({name: np.nan if value is None else float(value) for name, value in values.items()})


class Explorations:
    """The best serving mode under the limits."""

    def open_axes(self, scenario: Scenario, axes: Sequence[Axis]) -> list[str]:
        """Return none."""
        del scenario, axes
        return []

    def evaluator(
        self,
        scenario: Scenario,
        outer: Mapping[str, float | str],
        axes: Sequence[Axis],
        metrics: Sequence[str],
    ) -> Evaluator:
        """Return the best mode of one question."""
        del axes, metrics
        own = _own(Exploration)
        asked, rest = _split(outer, own)
        try:
            best = explore(Exploration(changed(scenario, rest), **asked)).summary["best_under_slo"]
        except InfeasibleError:
            return _constant({**dict.fromkeys(METRICS[EXPLORE], np.nan), "mode": 0.0})
        found = {name: best[name] for name in METRICS[EXPLORE] if name != "mode"}
        return _constant({**found, "mode": float(MODES.index(best["mode"]))})


def _own(question: type) -> set[str]:
    """Return the fields of a question that its scenario does not have."""
    return {field.name for field in dataclasses.fields(question)} - {
        field.name for field in attrs.fields(Scenario)
    }


def _split(outer: Mapping[str, float | str], own: set[str]) -> tuple[dict[str, Any], dict[str, float | str]]:
    """Return what a question asks itself, and what its scenario says."""
    return {key: value for key, value in outer.items() if key in own}, {
        key: value for key, value in outer.items() if key not in own
    }


def _constant(found: Mapping[str, float]) -> Evaluator:
    """Return metrics that no open axis moves."""

    def evaluate(places: Sequence[Places]) -> Columns:
        del places
        return {name: np.asarray(value) for name, value in found.items()}

    return evaluate


def kind_of(name: str, mode: str | None) -> Kind:
    """Return what sweeps a command; `mode` is that of `predict`."""
    made: dict[str, Callable[[], Kind]] = {
        ROOFLINE: Rooflines,
        PREDICT: lambda: Predictions(mode),
        COMPARE: Comparisons,
        PROVISION: Provisions,
        EXPLORE: Explorations,
    }
    return made[name]()
