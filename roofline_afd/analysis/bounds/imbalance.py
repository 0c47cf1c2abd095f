"""What load imbalance of experts costs: expert parallelism against disaggregation in whole nodes."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, Words
from roofline_afd.analysis.files import file_text
from roofline_afd.catalogue.models import LARGEST, Model, load_model
from roofline_afd.catalogue.records import weakest_kind
from roofline_afd.errors import InputError, shown, shown_path
from roofline_afd.physics import imbalance as physics
from roofline_afd.physics.placement import (
    contiguous_placement,
    device_loads,
    greedy_placement,
    load_balance,
    sampled_sigma,
    spread,
)
from roofline_afd.physics.popularity import TOKENS_PER_ORDER, inclusion_probability, zipf_popularity
from roofline_afd.serving.scenario import choice, finite, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.physics.placement import Placement

PLACEMENTS = ("contiguous", "greedy")
GIVEN, EXPECTED, LOW, MEAN, HIGH = "given", "expected", "batch p10", "batch mean", "batch p90"
LOADS = (GIVEN, EXPECTED, LOW, MEAN, HIGH)
"""What the sigma of a row is: given, that of endless batches, or that of random batches."""
ROUNDINGS = ("exact", "floor", "ceil")
TABLE_KEYS = (
    "sigma",
    "alpha_ep",
    "alpha_afd_continuous",
    "alpha_afd",
    "afd_rounding_penalty",
    "attention_nodes_used",
    "rounding",
)
NEGLIGIBLE_PENALTY = 0.01
"""Rounding to whole nodes that costs no more than this share of throughput is not worth more nodes."""
NOTHING = 5e-4
"""Shares below this are shown as 0.0%."""
DEFAULT_MODEL = "deepseek-v3"
DEVICES_PER_NODE = 8
DEFAULT_TOKENS = 4096
DEFAULT_BATCHES = 200
MAX_SIGMAS = 10_000
ROUNDING_OF_SHARES = 1e-9
"""Counts that an expert may have beyond what distinct choices allow, since counts may be rounded shares."""
MAX_BATCHES = 10_000
MAX_DRAWS = 200_000_000
"""Random numbers and choices of experts drawn at most: some ten seconds' worth."""
SMALLEST_SIGMA = 1e-6
"""A million devices, of which one does all the work."""
MAX_EXPERTS = int(LARGEST["routed_experts"])
MAX_BYTES = 1_000_000
LARGEST_EXPONENT = 20.0
"""Beyond it the popularity of late experts is lost in rounding, and the first ones have it all."""
LONGEST_NUMBER = 9
"""Digits of an expert number; longer ones are names."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Routing:
    """Where sigma comes from if it is not given: what a token chooses, who holds it, and batches."""

    inclusion: NDArray[np.float64]
    devices: int
    placement: str
    redundant_experts: int
    tokens: int
    batches: int
    seed: int
    inputs: dict[str, Any]
    weakest_kind: str
    notes: list[str]

    def sigmas(self) -> NDArray[np.float64]:
        """Return sigma of the expected load, and the lower decile, mean and upper decile of batches."""
        placed = self._placed(self.inclusion)
        expected = load_balance(loads=device_loads(loads=self.inclusion, placement=placed))
        sample = sampled_sigma(
            inclusion=self.inclusion,
            placement=placed,
            tokens=self.tokens,
            batches=self.batches,
            seed=self.seed,
        )
        return np.array([expected, *spread(sample=sample)])

    def _placed(self, loads: NDArray[np.float64]) -> Placement:
        if self.placement == "contiguous":
            return contiguous_placement(experts=loads.size, devices=self.devices)
        return greedy_placement(loads=loads, devices=self.devices, redundant_experts=self.redundant_experts)


def imbalance(
    *,
    attention_nodes: int,
    ffn_nodes: int,
    sigma: float | Sequence[float] | None = None,
    lambda_ep: float | None = None,
    expert_counts: str | Path | Iterable[float] | None = None,
    zipf: float | None = None,
    placement: str | None = None,
    devices: int | None = None,
    model: Model | str | None = None,
    routed_experts: int | None = None,
    top_k: int | None = None,
    redundant_experts: int | None = None,
    tokens: int | None = None,
    batches: int | None = None,
    seed: int | None = None,
) -> Answer:
    """Answer what load imbalance of experts costs expert parallelism and disaggregation.

    Exactly one of `sigma`, `expert_counts` and `zipf` says how uneven the load is.

    Parameters
    ----------
    attention_nodes, ffn_nodes : int
        Nodes of the disaggregated deployment that a balanced load keeps busy, N_A and N_F [1].
    sigma : float or sequence of float, optional
        Mean load over maximum load of the devices that hold experts, one row each [1].
    lambda_ep : float, optional
        Attention time over FFN time with expert parallelism; attention_nodes / ffn_nodes where absent [1].
    expert_counts : path or iterable of float, optional
        Tokens each expert received: a CSV file of columns expert and count, or the counts [1].
    zipf : float, optional
        Exponent of expert popularity over rank; 0 makes all experts equal [1].
    placement : str, optional
        `contiguous` (experts in order; the default) or `greedy` (by load, with redundant experts).
    devices : int, optional
        Devices that hold experts; eight per FFN node where absent [1].
    model : Model or str, optional
        Whose routed experts and experts per token to take.
    routed_experts, top_k : int, optional
        Routed experts of a layer and distinct experts of a token; those of the model where absent [1].
    redundant_experts : int, optional
        Replicas beyond one of each expert, for greedy placement; none where absent [1].
    tokens : int, optional
        Tokens that the routers of all devices see in one batch; 4096 where absent [1].
    batches : int, optional
        Random batches drawn; 200 where absent [1].
    seed : int, optional
        Seed of the random batches; 0 where absent [1].

    Returns
    -------
    Answer
        A row per sigma: the throughput left, as a share of that of a balanced load.

    Raises
    ------
    InputError
        If a value is out of bounds, a file is faulty, or not exactly one of the three is given.
    """
    attention, ffn = whole("--attention-nodes", attention_nodes), whole("--ffn-nodes", ffn_nodes)
    ratio = attention / ffn if lambda_ep is None else finite("--lambda-ep", lambda_ep, above=0)
    sources = {"--sigma": sigma, "--expert-counts": expert_counts, "--zipf": zipf}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        what = f"{' and '.join(given)} exclude each other" if given else "how uneven the load is, is missing"
        raise InputError(f"{what}: give exactly one of {', '.join(sources)}")
    options = {
        "placement": placement,
        "devices": devices,
        "model": model,
        "routed_experts": routed_experts,
        "top_k": top_k,
        "redundant_experts": redundant_experts,
        "batch_tokens": tokens,
        "batches": batches,
        "seed": seed,
    }
    inputs: dict[str, Any] = {"attention_nodes": attention, "ffn_nodes": ffn, "lambda_ep": ratio}
    notes = []
    if lambda_ep is None:
        notes.append(
            f"--lambda-ep is taken as {attention} / {ffn} = {ratio:g}: attention and FFN times of expert "
            "parallelism in the ratio of the nodes of disaggregation"
        )
    if sigma is not None:
        routing, sigmas = None, check_sigma(sigma)
        loads = np.zeros(sigmas.size, np.int8)
        inputs |= {"sigma": sigmas.tolist(), "values": {}}
        unused = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
        if unused:
            notes.append(
                f"set by the user, but with --sigma this answer does not depend on it: {', '.join(unused)}"
            )
    else:
        routing = _routing(zipf=zipf, expert_counts=expert_counts, ffn_nodes=ffn, options=options)
        sigmas = routing.sigmas()
        loads = np.arange(1, len(LOADS), dtype=np.int8)
        inputs |= routing.inputs
        notes += routing.notes
    columns = _columns(sigmas, ratio, attention, ffn)
    summary = _summary(columns, ratio, attention, ffn, routing)
    return Answer(
        command="imbalance",
        inputs=inputs,
        columns={"load": Words(loads, LOADS), **columns},
        summary=summary,
        notes=[
            *notes,
            (
                "expert parallelism adapts its batch in any small step; disaggregation runs whole attention "
                "nodes and gives the others back: all shares are throughput per node or device in use"
            ),
        ],
        table_keys=TABLE_KEYS if routing is None else ("load", *TABLE_KEYS),
    )


def _routing(
    *,
    zipf: float | None,
    expert_counts: str | Path | Iterable[float] | None,
    ffn_nodes: int,
    options: Mapping[str, Any],
) -> _Routing:
    """Check what sigma is to be found from, and take by default what is not given."""
    notes: list[str] = []
    popularity, shape, origin = _popularity(zipf, expert_counts, options, notes)
    top_k = _top_k(options["top_k"], shape, popularity, notes)
    inclusion = inclusion_probability(popularity=popularity, top_k=top_k)
    share = float(popularity.max() / popularity.sum())
    if zipf is None and share * top_k > 1 + ROUNDING_OF_SHARES:
        raise InputError(
            f"--expert-counts: the busiest expert has {share:.1%} of all counts, but with --top-k {top_k} "
            f"distinct experts a token gives one expert {1 / top_k:.1%} at most"
        )
    placed = choice("--placement", options["placement"] or PLACEMENTS[0], PLACEMENTS)
    redundant = _redundant(options["redundant_experts"], placed)
    devices = _devices(options["devices"], popularity.size, redundant, ffn_nodes, notes)
    tokens = whole("--batch-tokens", _or(options["batch_tokens"], DEFAULT_TOKENS))
    batches = whole("--batches", _or(options["batches"], DEFAULT_BATCHES), most=MAX_BATCHES)
    seed = _whole_from_0("--seed", _or(options["seed"], 0))
    if batches * (tokens * top_k + (tokens / TOKENS_PER_ORDER + 1) * popularity.size) > MAX_DRAWS:
        raise InputError(
            f"--batches {batches} of --batch-tokens {tokens} need more than {MAX_DRAWS:,} random numbers for "
            f"top-{top_k} of {popularity.size} experts: take fewer"
        )
    used = {"routed_experts": options["routed_experts"], "top_k": options["top_k"]}
    quantities = [
        shape.quantities[key]
        for key, own in used.items()
        if own is None and shape and key in shape.quantities
    ]
    routing = _Routing(
        inclusion=inclusion,
        devices=devices,
        placement=placed,
        redundant_experts=redundant,
        tokens=tokens,
        batches=batches,
        seed=seed,
        weakest_kind=weakest_kind(quantities),
        notes=[*notes, *_routing_notes(shape, zipf, placed, devices)],
        inputs={
            **origin,
            "model": shape.id if shape else None,
            "routed_experts": popularity.size,
            "top_k": top_k,
            "devices": devices,
            "placement": placed,
            "redundant_experts": redundant,
            "batch_tokens": tokens,
            "batches": batches,
            "seed": seed,
            "values": {
                value.key: {
                    key: getattr(value, key) for key in ("value", "unit", "kind", "record", "source", "note")
                }
                for value in quantities
            },
        },
    )
    certain = int((inclusion == 1).sum())
    if certain and top_k < popularity.size:
        which = "the most popular expert" if certain == 1 else f"each of the {certain} most popular experts"
        routing.notes.append(
            f"every token chooses {which}: popularity alone asks for it more often than once a token, but "
            "the experts of a token are distinct"
        )
    return routing


def _popularity(
    zipf: float | None,
    expert_counts: str | Path | Iterable[float] | None,
    options: Mapping[str, Any],
    notes: list[str],
) -> tuple[NDArray[np.float64], Model | None, dict[str, Any]]:
    """Return the popularity of each expert, the model they are of if any, and what the inputs say of them."""
    model, experts = options["model"], options["routed_experts"]
    own = experts is not None
    if own:
        experts = whole("--routed-experts", experts, most=MAX_EXPERTS)
    elif model is None and zipf is not None:
        model = DEFAULT_MODEL
        notes.append(
            f"the shape of {DEFAULT_MODEL} is taken by default: --model, or --routed-experts and --top-k, "
            "choose another"
        )
    shape = load_model(model) if isinstance(model, str) else model
    if shape is not None and not own:
        experts = shape.routed_experts
    if zipf is not None:
        exponent = finite("--zipf", zipf, least=0, below=LARGEST_EXPONENT)
        return zipf_popularity(experts=experts, exponent=exponent), shape, {"zipf": exponent}
    popularity, origin = _counts(expert_counts)
    if experts not in {None, popularity.size}:
        says = "--routed-experts" if own else f"model {shape.id}" if shape else ""
        raise InputError(
            f"--expert-counts has counts of {popularity.size} experts, but {says} has {experts}: give one "
            "count for each"
        )
    return popularity, shape, {"expert_counts": origin}


def _or(value: object, default: int) -> object:
    return default if value is None else value


def _whole_from_0(name: str, value: object) -> int:
    number = finite(name, value, least=0)
    if not number.is_integer():
        raise InputError(f"{name} {number:g} must be a whole number from 0")
    return int(number)


def _top_k(given: object, shape: Model | None, popularity: NDArray[np.float64], notes: list[str]) -> int:
    """Return the distinct experts of a token, which the popularity must allow."""
    if given is None and shape is None:
        notes.append("a token is taken to choose one expert: --top-k or --model says how many it does")
    top_k = whole("--top-k", _or(given, shape.top_k if shape else 1), most=int(LARGEST["top_k"]))
    wanted = int((popularity > 0).sum())
    if top_k > wanted:
        what = "routed experts" if wanted == popularity.size else "experts with a count above 0"
        raise InputError(f"--top-k {top_k} exceeds the {wanted} {what}: the experts of a token are distinct")
    return top_k


def _redundant(given: object, placed: str) -> int:
    redundant = _whole_from_0("--redundant-experts", _or(given, 0))
    if redundant > MAX_EXPERTS:
        raise InputError(f"--redundant-experts {redundant} must be at most {MAX_EXPERTS:,}")
    if redundant and placed != "greedy":
        raise InputError(
            f"--redundant-experts {redundant} needs --placement greedy: {placed} has no replicas"
        )
    return redundant


def _devices(given: object, experts: int, redundant: int, ffn_nodes: int, notes: list[str]) -> int:
    """Return the devices that hold experts, each at least one."""
    most = experts + redundant
    if given is None:
        devices = min(DEVICES_PER_NODE * ffn_nodes, most)
        notes.append(
            f"--devices is taken as {devices}: "
            + (
                f"{DEVICES_PER_NODE} for each FFN node"
                if devices == DEVICES_PER_NODE * ffn_nodes
                else "one for each expert"
            )
        )
        return devices
    devices = whole("--devices", given)
    if devices > most:
        raise InputError(
            f"--devices {devices} exceeds the {most} experts and replicas there are: some would hold none; "
            f"--placement greedy with --redundant-experts {devices - experts} fills them"
        )
    return devices


def _routing_notes(shape: Model | None, zipf: float | None, placed: str, devices: int) -> list[str]:
    """Say what the load of devices rests on that the deployment may not have."""
    notes = [
        (
            f"sigma is that of {devices} devices with experts, for EP and AFD alike; where EP spreads the "
            "experts over more devices than AFD, its sigma is mostly lower: ask with --devices for each"
        ),
        (
            "tokens of a batch are independent of each other; in real traffic they are alike, and sigma "
            "spreads more"
        ),
    ]
    if zipf and placed == "contiguous":
        notes.append(
            "experts lie in order of their popularity, so that contiguous placement puts the most popular on "
            "one device: the worst case"
        )
    if shape is not None and shape.groups_per_token < shape.expert_groups:
        notes.append(
            f"that a token of {shape.id} chooses within {shape.groups_per_token} of {shape.expert_groups} "
            "groups of experts is not counted: it leaves the expected load as it is, but may spread batches "
            "more"
        )
    if shape is not None and shape.zero_experts:
        notes.append(
            f"{shape.zero_experts} experts of {shape.id} compute nothing: of top-{shape.top_k}, "
            f"{shape.mean_top_k:g} are real on average; all are counted as real"
        )
    return notes


def _counts(given: object) -> tuple[NDArray[np.float64], object]:
    """Return checked counts, and what the inputs say of them."""
    if isinstance(given, str | Path):
        counts = read_counts(Path(given))
        origin: object = str(given)
    elif isinstance(given, Iterable):
        counts = [_count(f"--expert-counts, expert {index}", value) for index, value in enumerate(given)]
        _check_counts("--expert-counts", counts)
        origin = counts
    else:
        raise InputError(f"--expert-counts {shown(given)} is neither a file nor a list of counts")
    return np.array(counts), origin


def _count(place: str, value: object) -> float:
    return finite(f"{place}: count", value, least=0)


def _check_counts(place: str, counts: Sequence[float]) -> None:
    """Refuse counts that are no distribution: none, all zero, or of too many experts."""
    if not counts:
        raise InputError(f"{place} holds no counts; give one for each expert")
    if len(counts) > MAX_EXPERTS:
        raise InputError(f"{place} has counts of more than {MAX_EXPERTS:,} experts")
    if not any(counts):
        raise InputError(f"{place}: all counts are 0; at least one must be above")


def read_counts(file: Path) -> list[float]:
    """Read how many tokens each expert received.

    Parameters
    ----------
    file : Path
        CSV file with a column `count` and perhaps a column `expert`, or one column of counts without header;
        whole-numbered experts may come in any order, others stay as they are.

    Returns
    -------
    list of float
        Counts in order of the experts [1].

    Raises
    ------
    InputError
        If the file cannot be read, lacks the column, or a row is faulty: names it, the first row being 1.
    """
    name = shown_path(file)
    rows = list(_csv_rows(file))
    if not rows:
        raise InputError(f"{name} is empty; it needs columns expert, count, or one column of counts")
    header = [cell.lower() for cell in rows[0][1]]
    if "count" in header:
        rows = rows[1:]
    elif len(header) == 1:
        header = ["count"]  # no header: the first row is a count like the others, or refused as one
    else:
        raise InputError(f"{name} lacks the column count; it needs columns expert, count, or one of counts")
    at = header.index("count")
    expert_at = header.index("expert") if "expert" in header else None
    counts: dict[str, float] = {}
    for number, cells in rows:
        place = f"{name}, row {number}"
        if len(cells) != len(header):
            raise InputError(f"{place}: {len(cells)} cells, but {len(header)} columns")
        expert = str(len(counts)) if expert_at is None else cells[expert_at]
        if not expert:
            raise InputError(f"{place}: expert is empty")
        if expert in counts:
            raise InputError(f"{place}: expert {shown(expert)} is there twice")
        try:
            value: object = float(cells[at])
        except ValueError:
            value = cells[at]
        counts[expert] = _count(place, value)
    _check_counts(name, list(counts.values()))
    return _in_order(name, counts)


def _in_order(name: str, counts: Mapping[str, float]) -> list[float]:
    """Return counts by expert number where experts have numbers, which must leave none out."""
    if not all(expert.isdecimal() and len(expert) <= LONGEST_NUMBER for expert in counts):
        return list(counts.values())
    numbered = {int(expert): count for expert, count in counts.items()}
    first = min(numbered)
    missing = next((expert for expert in range(first, first + len(numbered)) if expert not in numbered), None)
    if missing is not None or len(numbered) < len(counts):
        which = "are numbered twice" if missing is None else f"skip {missing}; an idle one has a count of 0"
        raise InputError(f"{name}: experts {which}")
    return [numbered[expert] for expert in sorted(numbered)]


def _csv_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, numbered from 1, their cells stripped."""
    name = shown_path(file)
    reader = csv.reader(io.StringIO(file_text(file, most=MAX_BYTES), newline=""), strict=True)
    try:
        for number, row in enumerate(reader, start=1):
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield number, cells
    except csv.Error as error:
        raise InputError(f"{name}, row {reader.line_num}: is no CSV: {error}") from error


def check_sigma(sigma: object) -> NDArray[np.float64]:
    """Check balances: numbers above 0 and at most 1, at least one.

    Parameters
    ----------
    sigma : float or iterable of float
        What was given.

    Returns
    -------
    ndarray of float
        The balances, one-dimensional.

    Raises
    ------
    InputError
        If there is none, or one is no number or out of bounds.
    """
    given = sigma.ravel() if isinstance(sigma, np.ndarray) else sigma
    values = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if not values:
        raise InputError("--sigma is empty; give at least one number above 0 and at most 1, as in .95,.9,.8")
    if len(values) > MAX_SIGMAS:
        raise InputError(f"--sigma has {len(values):,} values; at most {MAX_SIGMAS:,} are answered at once")
    for value in values:
        number = finite("--sigma", value)
        if not 0 < number <= 1:
            raise InputError(
                f"--sigma {number!r} must be above 0 and at most 1: it is mean over maximum load"
            )
        finite("--sigma", number, least=SMALLEST_SIGMA)
    return np.array(values, dtype=float)


def _columns(
    sigmas: NDArray[np.float64], ratio: float, attention: int, ffn: int
) -> dict[str, NDArray[Any] | Words]:
    """Return the columns of all rows but the label of the load."""
    nodes = {"attention_nodes": attention, "ffn_nodes": ffn}
    below = physics.attention_nodes_floor(sigma=sigmas, attention_nodes=attention)
    above = physics.attention_nodes_ceil(sigma=sigmas, attention_nodes=attention)
    used = physics.attention_nodes_used(sigma=sigmas, **nodes)
    scale = physics.scale_without_rounding(sigma=sigmas, **nodes, tolerance=NEGLIGIBLE_PENALTY)
    rounding = np.where(below == above, 0, np.where(used == below, 1, 2)).astype(np.int8)
    return {
        "sigma": sigmas,
        "alpha_ep": physics.alpha_continuous(sigma=sigmas, attention_over_ffn=ratio),
        "alpha_afd_continuous": physics.alpha_continuous(sigma=sigmas, attention_over_ffn=attention / ffn),
        "alpha_afd": physics.alpha_afd(sigma=sigmas, **nodes),
        "afd_rounding_penalty": physics.afd_rounding_penalty(sigma=sigmas, **nodes),
        "attention_nodes_used": used.astype(np.int64),
        "rounding": Words(rounding, ROUNDINGS),
        "attention_nodes_for_small_penalty": (scale * attention).astype(np.int64),
        "ffn_nodes_for_small_penalty": (scale * ffn).astype(np.int64),
    }


def _summary(
    columns: dict[str, NDArray[Any] | Words],
    ratio: float,
    attention: int,
    ffn: int,
    routing: _Routing | None,
) -> dict[str, Any]:
    """Return the answer in a sentence, and the numbers it is made of."""
    numbers = {key: value for key, value in columns.items() if not isinstance(value, Words)}
    rows = slice(None) if routing is None else slice(LOADS.index(MEAN) - 1, LOADS.index(MEAN))
    sigmas, penalty = numbers["sigma"][rows], float(numbers["afd_rounding_penalty"][rows].max())
    small = int(numbers["attention_nodes_for_small_penalty"][rows].max())
    small_ffn = int(numbers["ffn_nodes_for_small_penalty"][rows].max())
    lost = {key: 1.0 - numbers[key][rows] for key in ("alpha_ep", "alpha_afd")}
    used = numbers["attention_nodes_used"][rows]
    run = ""
    if used.size == 1 and used[0] != attention:
        run = f", {used[0]} attention node{'s' if used[0] > 1 else ''} run"
    if routing is None:
        where = f"At sigma {_range(sigmas, '.4g')}"
    else:
        expected, low, mean, high = numbers["sigma"].tolist()
        where = (
            f"Batches of {routing.tokens:,} tokens have sigma {mean:.3g} on average, {low:.3g} to {high:.3g} "
            f"in eight of ten, {expected:.3g} if they were endless; at the average"
        )
    text = (
        f"{where}, imbalance costs EP {_range(lost['alpha_ep'], '.1%')} and AFD ({attention}A{ffn}F{run}) "
        f"{_range(lost['alpha_afd'], '.1%')} of throughput"
    )
    if penalty < NOTHING:
        text += ", nothing of it by rounding to whole attention nodes."
    else:
        most = f"{penalty:.1%}" if sigmas.size == 1 else f"at most {penalty:.1%},"
        extra = "AFD's extra" if math.isclose(ratio, attention / ffn) else "of AFD's loss"
        if sigmas.size > 1:
            extra += ","
        fades = (
            "less with more nodes"
            if small == attention
            else f"below {NEGLIGIBLE_PENALTY:.0%} from {small}A{small_ffn}F on"
        )
        text += f"; {extra} {most} is rounding to whole attention nodes, {fades}."
    return {
        "lambda_ep": ratio,
        "lambda_afd": attention / ffn,
        "largest_rounding_penalty": penalty,
        "attention_nodes_for_small_penalty": small,
        "ffn_nodes_for_small_penalty": small_ffn,
        **({"weakest_kind": routing.weakest_kind} if routing else {}),
        "answer": text,
    }


def _range(values: NDArray[Any], form: str) -> str:
    """Return the least and the largest of some values, or the one they all show as."""
    low, high = (format(float(value), form) for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"
