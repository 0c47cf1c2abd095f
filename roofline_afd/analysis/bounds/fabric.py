"""What the exchange of a layer takes over tokens and devices: where a rack or node ends."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from roofline_afd.analysis.answer import Answer, Decisive, describe_inputs, provenance_notes
from roofline_afd.catalogue.calibration import ESTIMATED
from roofline_afd.errors import InputError, shown
from roofline_afd.physics.network import transfer_time
from roofline_afd.serving.checks import MAX_COUNT
from roofline_afd.serving.deployment import EP, Deployments
from roofline_afd.serving.domains import laid_out
from roofline_afd.serving.exchange import network_operators
from roofline_afd.serving.sizes import Sizes
from roofline_afd.serving.torus import whole_slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.bounds.questions import Fabric
    from roofline_afd.catalogue.records import Quantity
    from roofline_afd.serving.scenario import Scenario
    from roofline_afd.serving.timing import Operator

    Numbers = NDArray[np.float64]

MOST_SYSTEMS, MOST_SIZES, MOST_TOKENS = 4, 16, 2000
"""Systems, group sizes of each, and tokens of a line that a picture holds."""
USUAL_SIZES = (8, 16, 32, 64)
FEWEST_DEVICES = 2
AT_TOKENS = 128
"""Tokens of a device that a decode step is usually timed at."""
FIXED = "fixed time"
BINDINGS = (FIXED, "scale-up bandwidth", "scale-up messages", "scale-out bandwidth", "scale-out messages")
MOVED = (
    ("scale_up_bytes", "scale_up"),
    ("scale_up_messages", "scale_up_message_time"),
    ("scale_out_bytes", "scale_out", "slowdown"),
    ("scale_out_messages", "scale_out_message_time"),
)
"""Arguments of a transfer that make each binding but the first."""
NOTHING = dict.fromkeys(("latency", "scale_up_bytes", "scale_out_bytes"), 0.0) | dict.fromkeys(
    ("scale_up", "scale_out"), 1.0
)
NODES = re.compile(r", \d{1,4}-\w+( PCIe)? nodes( with [^,]*)?|, pod of \d{1,6}")
"""How names of systems tell the size of their nodes and domains."""
SYSTEM_KEYS = ("scale_up_gb_per_s", "scale_out_gb_per_s", "devices_per_node", "scale_up_domain_devices")
MODEL_KEYS = ("hidden_size", "dispatch_width", "routed_experts", "top_k")


class MeasuredExchange(NamedTuple):
    """A dispatch and a combine that were timed: on how many devices, with how many tokens, how long [us].

    `precision` is that of the dispatch; `kernels` whether the timing holds kernels alone, without waits and
    calls of the host.
    """

    id: str
    system: str
    n_devices: int
    tokens: float
    exchange_us: float
    precision: str
    library: str
    timing: str
    kernels: bool
    source: str


class Times(NamedTuple):
    """Exchanges, an element each: times of both halves [s], kind of what they rest on, what binds."""

    dispatch: Numbers
    combine: Numbers
    kind: NDArray[np.object_]
    binding: NDArray[np.object_]


def fabric(question: Fabric, measured: Sequence[MeasuredExchange] = ()) -> Answer:
    """Answer what dispatch and combine of a layer take over tokens of a device, for groups of devices.

    Parameters
    ----------
    question : Fabric
        What is asked.
    measured : sequence of MeasuredExchange
        Exchanges of this model's shape that were timed; those at other group sizes or tokens are left out.

    Returns
    -------
    Answer
        A row per system, group size and tokens; where a scale-up domain ends, and what leaving it costs. Its
        picture has the question in a line, names of systems, and measured points besides what is predicted
        there.

    Raises
    ------
    InputError
        If a number is out of bounds, there are more systems or lines than a picture holds, a system is named
        twice, or no group of a system can exchange.
    """
    scenarios = _checked(question.scenarios)
    tokens = _counts(question.tokens, "--tokens", most=MOST_TOKENS)
    every = [Deployments(scenario, EP) for scenario in scenarios]
    asked = question.group_sizes
    sizes = None if asked is None else _counts(asked, "--group-sizes", most=MOST_SIZES, least=FEWEST_DEVICES)
    notes: list[str] = []
    groups = [_sizes(each, sizes, notes) for each in every]
    columns = [
        _columns(each, devices, tokens.astype(float)) for each, devices in zip(every, groups, strict=True)
    ]
    at = float(min(tokens, key=lambda value: abs(math.log(value / AT_TOKENS))))
    names = _names(scenarios)
    edges = [_edge(each, name, found, at) for each, name, found in zip(every, names, columns, strict=True)]
    points, left = _points(measured, every, groups, tokens)
    quantities = _quantities(scenarios)
    return Answer(
        command="fabric",
        inputs={
            **describe_inputs(scenarios[0], quantities),
            "systems": [scenario.system.id for scenario in scenarios],
            "group_sizes": {
                each.attention.id: found.tolist() for each, found in zip(every, groups, strict=True)
            },
            "tokens": tokens.tolist(),
        },
        columns={key: np.concatenate([found[key] for found in columns]) for key in columns[0]},
        summary={
            "tokens": int(at),
            "edges": edges,
            "measured": len(points),
            "estimated": any(ESTIMATED in found["kind"] for found in columns),
            "answer": _sentence(edges, int(at)),
        },
        notes=[
            "kernels alone, tokens evenly routed: what live services add to transfers is not in these times",
            *notes,
            *(note for each, found in zip(every, groups, strict=True) for note in _link_notes(each, found)),
            *left,
            *provenance_notes(scenarios[0], quantities),
        ],
        picture={
            "question": _question_line(every),
            "names": {scenario.system.id: name for scenario, name in zip(scenarios, names, strict=True)},
            "points": points,
        },
    )


def _checked(scenarios: Sequence[Scenario]) -> Sequence[Scenario]:
    """Check systems: some, not too many, each once, none of them a pair, with one way of sending tokens."""
    if not scenarios:
        raise InputError("--systems names no system")
    if len(scenarios) > MOST_SYSTEMS:
        raise InputError(
            f"--systems names {len(scenarios)} systems: a picture of exchanges holds at most {MOST_SYSTEMS}"
        )
    seen: set[str] = set()
    for scenario in scenarios:
        sides = [scenario.side(side).id for side in ("attention", "ffn")]
        if sides[0] != sides[1]:
            raise InputError(f"--systems {sides[0]}+{sides[1]} is a pair: exchanges of EP are on one system")
        if scenario.system.id in seen:
            raise InputError(f"--systems names {scenario.system.id} twice")
        seen.add(scenario.system.id)
        if scenario.transport == "all":
            raise InputError("--transport all is for searches: exchanges are drawn of pair, rank or node")
    return scenarios


def _counts(given: object, name: str, *, most: int, least: int = 1) -> NDArray[np.int64]:
    """Check whole numbers; return each once, in order."""
    try:
        found = np.unique(np.asarray(given, dtype=float))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} {shown(given)} holds no whole numbers") from error
    if not found.size:
        raise InputError(f"{name} is empty; give at least one number, for example 8,16")
    valid = np.isfinite(found) & (found >= least) & (found <= MAX_COUNT) & (found == np.floor(found))
    if not valid.all():
        raise InputError(f"{name} {found[~valid][0]:g} must be a whole number from {least} to {MAX_COUNT:,}")
    if found.size > most:
        raise InputError(f"{name} asks for {found.size:,} numbers; a picture holds at most {most:,}")
    return found.astype(np.int64)


def _sizes(deployments: Deployments, asked: NDArray[np.int64] | None, notes: list[str]) -> NDArray[np.int64]:
    """Return the group sizes of a system; note which of those asked for cannot exchange, and why."""
    system, scenario = deployments.attention, deployments.scenario
    domain, experts = system.scale_up_domain_devices, scenario.model.routed_experts
    most = experts + (scenario.redundant_experts or 0)
    ends = [min(size, most) for size in (domain, 2 * domain) if size > min(USUAL_SIZES)]
    found = np.unique([*USUAL_SIZES, *ends]) if asked is None else asked
    reasons = (
        (found > most, f"the experts are {most}: a device holds one at least"),
        (
            (found > domain) & (system.scale_out is None),
            f"no fabric leads beyond the {domain} devices of a {system.domain_name}",
        ),
        (~whole_slices(found.astype(float), system), f"they are no whole {system.domain_name}s"),
    )
    left = np.zeros(found.shape, dtype=bool)
    words = []
    for out, why in reasons:
        if np.any(out & ~left):
            words.append(f"{', '.join(map(str, found[out & ~left]))} devices ({why})")
        left |= out
    if left.all():
        raise InputError(f"--group-sizes leaves nothing for {system.id}: {'; '.join(words)}")
    if asked is not None and words:
        notes.append(Decisive(f"{system.id}: left out {'; '.join(words)}"))
    return found[~left]


def _columns(
    deployments: Deployments, devices: NDArray[np.int64], tokens: Numbers
) -> dict[str, NDArray[Any]]:
    """Return the rows of a system: group by group, each over all tokens."""
    group, sent = np.repeat(devices, tokens.size), np.tile(tokens, devices.size)
    times = exchange_times(deployments, group, sent)
    layers = deployments.layers(deployments.transport)
    places = [laid_out(layers, deployments.deployment_of(int(count), 0, batch=1)) for count in devices]
    return {
        "system": np.full(group.shape, deployments.attention.id, dtype=object),
        "n_devices": group,
        "tokens": sent.astype(np.int64),
        "dispatch_us": times.dispatch * 1e6,
        "combine_us": times.combine * 1e6,
        "exchange_us": (times.dispatch + times.combine) * 1e6,
        "n_domains": np.repeat([place.domains for place in places], tokens.size),
        "domains": np.repeat(np.array([place.words for place in places], dtype=object), tokens.size),
        "library": np.full(group.shape, _library(deployments) or None, dtype=object),
        "kind": times.kind,
        "binding": times.binding,
    }


def exchange_times(deployments: Deployments, devices: NDArray[np.int64], tokens: Numbers) -> Times:
    """Return what dispatch and combine of a layer take under expert parallelism, elementwise.

    Parameters
    ----------
    deployments : Deployments
        The question, for expert parallelism.
    devices : array of int
        Devices that exchange [1].
    tokens : array
        Tokens that each sends [1].

    Returns
    -------
    Times
        Of kernels by themselves.
    """
    layers = deployments.layers(deployments.transport)
    leaves = devices > deployments.attention.scale_up_domain_devices
    dispatch, combine = np.zeros(devices.shape), np.zeros(devices.shape)
    kind, binding = np.empty(devices.shape, dtype=object), np.empty(devices.shape, dtype=object)
    for rows in (~leaves, leaves):  # groups that leave their domain rest on other measurements
        if not rows.any():
            continue
        sizes = Sizes(
            sequences=tokens[rows],
            tokens=tokens[rows],
            context=1,
            query_tokens=1,
            attention_devices=devices[rows],
            ffn_devices=devices[rows],
            prefill=False,
        )
        halves = list(network_operators(layers, sizes))
        dispatch[rows], combine[rows] = (half.time for half in halves)
        kind[rows] = halves[0].kind
        binding[rows] = np.array(BINDINGS, dtype=object)[_binding(halves)]
    return Times(dispatch, combine, kind, binding)


def _binding(halves: Iterable[Operator]) -> NDArray[np.intp]:
    """Return the place in `BINDINGS` of what most of both halves' time goes to."""
    total: Numbers = np.zeros(1)
    for half in halves:
        given = half.arguments
        moved = np.stack(
            np.broadcast_arrays(
                *(
                    transfer_time(**(NOTHING | {key: given[key] for key in keys if key in given}))
                    for keys in MOVED
                )
            )
        )
        largest = moved.argmax(axis=0)
        parts = np.where(np.arange(len(MOVED))[:, None] == largest, moved, 0.0)
        total = total + np.vstack([np.broadcast_to(given["latency"], largest.shape), parts])
    return np.asarray(total.argmax(axis=0))


def _names(scenarios: Sequence[Scenario]) -> list[str]:
    """Return names of systems, as short as tells them apart."""
    whole = [NODES.sub("", scenario.system.name).replace(", ", " with ", 1) for scenario in scenarios]
    short = [re.sub(r" \([^)]*\)", "", name) for name in whole]
    for names in (short, whole):
        if len({*names}) == len(names):
            return names
    return [scenario.system.id for scenario in scenarios]


def _edge(
    deployments: Deployments, name: str, columns: Mapping[str, NDArray[Any]], tokens: float
) -> dict[str, Any]:
    """Return the largest group within a domain and the smallest beyond, and their times at some tokens."""
    system = deployments.attention
    here = columns["tokens"] == tokens
    devices, times = columns["n_devices"][here], columns["exchange_us"][here]
    within = devices <= system.scale_up_domain_devices
    last = int(np.flatnonzero(within)[-1]) if within.any() else None
    first = int(np.flatnonzero(~within)[0]) if not within.all() else None
    both = last is not None and first is not None
    return {
        "system": system.id,
        "name": name,
        "domain": system.domain_name,
        "domain_devices": system.scale_up_domain_devices,
        "within_devices": None if last is None else int(devices[last]),
        "within_us": None if last is None else float(times[last]),
        "beyond_devices": None if first is None else int(devices[first]),
        "beyond_us": None if first is None else float(times[first]),
        "factor": float(times[first] / times[last]) if both else None,
    }


def _sentence(edges: Sequence[Mapping[str, Any]], tokens: int) -> str:
    """Return where domains end, in a sentence."""
    what = f"a layer's exchange of {tokens:,} token{'s' if tokens > 1 else ''}"
    if len(edges) == 1:
        return f"On {edges[0]['name']} {what} takes {_alone(edges[0])}."
    crossed = [edge for edge in edges if edge["factor"]]
    others = [f"on {edge['name']} it takes {_alone(edge)}" for edge in edges if not edge["factor"]]
    if not crossed:
        return f"{what[0].upper()}{what[1:]}: {'; '.join(others)}."
    places = " or ".join(dict.fromkeys(str(edge["domain"]) for edge in crossed))
    parts = [
        f"x{edge['factor']:.2g} on {edge['name']} ({_us(edge['within_us'])} us with "
        f"{edge['within_devices']} devices, {_us(edge['beyond_us'])} with {edge['beyond_devices']})"
        for edge in crossed
    ]
    return f"Leaving the {places} costs {what} {', '.join(parts)}{''.join(f'; {o}' for o in others)}."


def _alone(edge: Mapping[str, Any]) -> str:
    """Return the times of one system on both sides of the edge, as far as groups lie there."""
    name = edge["domain"]
    if edge["within_us"] is None:
        return f"{_us(edge['beyond_us'])} us with {edge['beyond_devices']} devices, in more than one {name}"
    within = f"{_us(edge['within_us'])} us within the {name} with {edge['within_devices']} devices"
    if edge["beyond_us"] is None:
        return within
    beyond = f"{_us(edge['beyond_us'])} us with {edge['beyond_devices']}"
    return f"{within} and {beyond}: leaving it costs x{edge['factor']:.2g}"


def _us(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"  # noqa: PLR2004 - two digits either way


def _points(
    measured: Sequence[MeasuredExchange],
    every: Sequence[Deployments],
    groups: Sequence[NDArray[np.int64]],
    tokens: NDArray[np.int64],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return measured points on the lines drawn, each with what is predicted there; say which are not."""
    points: list[dict[str, Any]] = []
    notes = []
    for each, sizes in zip(every, groups, strict=True):
        own = [row for row in measured if row.system == each.attention.id]
        sized = [row for row in own if row.n_devices in sizes]
        kept = [row for row in sized if tokens[0] <= row.tokens <= tokens[-1]]
        if len(own) > len(kept):
            others = sorted({row.n_devices for row in own} - {row.n_devices for row in sized})
            why = [f"{', '.join(map(str, others))} devices"] if others else []
            why += ["other numbers of tokens"] if len(sized) > len(kept) else []
            count = len(own) - len(kept)
            notes.append(
                f"{each.attention.id}: {count} measured exchange{'s' if count > 1 else ''} not drawn: "
                f"{' and '.join(why)}"
            )
        if not kept:
            continue
        times = exchange_times(
            each,
            np.array([row.n_devices for row in kept]),
            np.array([row.tokens for row in kept], dtype=float),
        )
        for row, predicted in zip(kept, times.dispatch + times.combine, strict=True):
            same = row.library == _library(each) and row.precision == each.formats.dispatch
            points.append(
                row._asdict() | {"predicted_us": float(predicted) * 1e6, "alike": same and row.kernels}
            )
    return points, notes


def _link_notes(deployments: Deployments, devices: NDArray[np.int64]) -> list[str]:
    """Return what stands for fabrics that some groups cross and that kernels were not measured on."""
    system, scenario = deployments.attention, deployments.scenario
    link = deployments.layers(deployments.transport).calibration("attention").link
    if scenario.links == "nominal":
        return []
    if link.transport != deployments.transport:
        return [f"{system.id}: kernels that send a copy per {deployments.transport} were never timed on it"]
    legs = [(link.up, system.scale_up)]
    if system.scale_out is not None and devices[-1] > system.scale_up_domain_devices:
        legs.append((link.out, system.scale_out))
    return [
        f"{system.id}: exchanges over {way.name} are estimated from {leg.basis}: up to {leg.widening:.0%} "
        "off for that"
        for leg, way in legs
        if leg.basis
    ]


def _quantities(scenarios: Sequence[Scenario]) -> list[Quantity]:
    """Return the catalogue values exchanges rest on: of every system, and of the model."""
    model = scenarios[0].model.quantities
    found = [
        scenario.system.quantities[key]
        for scenario in scenarios
        for key in SYSTEM_KEYS
        if key in scenario.system.quantities
    ]
    return [*found, *(model[key] for key in MODEL_KEYS if key in model)]


def _question_line(every: Sequence[Deployments]) -> str:
    """Return the model and what its tokens send, in a line, and whose kernels where they are the same."""
    first = every[0]
    model, formats = first.scenario.model, first.formats
    library = {_library(each) for each in every}
    kernels = f"kernels of {library.pop()}" if len(library) == 1 and library != {""} else "kernels"
    return (
        f"{model.name}: {model.dispatch_width:,} elements, {formats.dispatch} dispatch, {formats.combine} "
        f"combine, {model.top_k} of {model.routed_experts} experts · {kernels} alone"
    )


def _library(deployments: Deployments) -> str:
    """Return the library whose kernels send; empty where none is known that sends this way, or asked for."""
    if deployments.scenario.links == "nominal":
        return ""
    link = deployments.layers(deployments.transport).calibration("attention").link
    return link.library if link.transport == deployments.transport else ""
