"""Published throughput of whole services: read, predicted, compared; and the constants four of them set."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
import re
import tomllib
from importlib.resources import files as package_files
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.analysis.answer import Answer, object_columns
from roofline_afd.analysis.evidence.fitting import Bounds, best
from roofline_afd.analysis.evidence.measurements import (
    MAX_BYTES,
    TableRow,
    number,
    require_filled,
    table_rows,
)
from roofline_afd.analysis.files import file_text
from roofline_afd.catalogue.calibration import ESTIMATED, SERVICE, ServiceConstants, load_service_constants
from roofline_afd.catalogue.hardware import System, load_system
from roofline_afd.catalogue.models import Model, load_model
from roofline_afd.catalogue.precision import precision
from roofline_afd.errors import InputError, shown, shown_path
from roofline_afd.serving.batches import EP_MICROBATCHES
from roofline_afd.serving.deployment import AFD, EP, MODES, Block, Deployment, Deployments
from roofline_afd.serving.scenario import CHOICES, Scenario, choice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.sizes import Prompt

FOLDER = "hardware_db/measurements"
"""Where the shipped rows lie, and the sentences on those that are missed."""
THROUGHPUT, BATCH, ACCEPTED = "tokens_per_s_per_device", "batch_per_device", "accept_length"
FILLED = ("id", "mode", "system", "model", "n_devices", "context_tokens")
"""Columns that every row fills."""
REQUIRED = (*FILLED[:5], BATCH, FILLED[5], THROUGHPUT)
"""Columns that every file has; a row may leave the batch and the throughput empty, and is then skipped."""
ABSOLUTE, SHAPE, RELATIVE, LOWER_BOUND = "absolute", "shape", "relative", "lower-bound"
CALIBRATION, CHECK = "calibration", "check"
WALL, KERNEL = "wall", "kernel"
WORDS: Mapping[str, tuple[str, ...]] = {
    "use": (ABSOLUTE, SHAPE, RELATIVE, LOWER_BOUND),
    "role": (CHECK, CALIBRATION),
    "timing": (WALL, KERNEL, "profile"),
    "routing": CHOICES["routing"],
}
"""Columns of words, each with the valid ones; the first is that of a row that says nothing."""
FORMATS = {
    "attention_gemm_precision": "attention_precision",
    "attention_core_precision": "attention_core_precision",
    "kv_precision": "kv_precision",
    "expert_precision": "expert_precision",
    "dispatch_precision": "dispatch_precision",
    "combine_precision": "combine_precision",
}
"""Columns of number formats, and the field of a scenario each sets."""
COUNTED = (
    "n_devices",
    "n_attention_devices",
    "n_ffn_devices",
    "microbatches",
    "context_tokens",
    "draft_tokens",
    "redundant_experts",
)
FROM_ZERO = ("draft_tokens", "redundant_experts")
NUMBERS = (*COUNTED, BATCH, ACCEPTED, "tpot_ms", THROUGHPUT)
TEXTS = ("origin", "source")
REACHED = "experts_per_ffn_device"
"""The one override that is no value of the system, but a field of the scenario."""
LARGE_ERROR = 0.25
"""Share of the measured throughput from which a miss of a shipped row needs a reason [1]."""
RATIO_BAND = 0.15
"""Difference from a published ratio of AFD to EP that still counts as that ratio [1]."""
TABLE_KEYS = ("id", "mode", "use", "role", "timing", "measured", "predicted", "error", "fits_memory", "why")
CONSTANTS = {
    "gap_ms": Bounds(0.0, 15.0, 1.0),
    "communication_slowdown": Bounds(1.0, 2.0, 1.3),
    "other_us": Bounds(0.0, 40.0, 5.0),
}
"""Range of each constant, in the unit of its key."""
NOTES = {
    "gap_ms": "launch, synchronisation and sampling, from rows timed by the wall clock",
    "communication_slowdown": "applies to natural routing alone: transfers of live services against kernels "
    "timed by themselves, from uneven loads and from devices that wait for each other; with forced balance "
    "there is none",
    "other_us": "per layer and side: norms, rotary, quantisation, routing and the like, for which no timing "
    "is published",
}
"""What each fitted constant stands for."""
NO_GAP = (
    "at its bound: kernels, transfers and small kernels explain the steps timed by the wall clock without a "
    "gap; rows timed by kernel cannot show one"
)
RECORD_NOTE = (
    "three constants that no timing of single operators gives, fitted to four published services and to "
    "nothing else; all other published services are predicted with them"
)
DIGITS = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceMeasurement:
    """One row of a file: a service, how it was deployed, and what it reached.

    Devices and micro-batches are counts [1]; `batch` is sequences of one (attention) device over all
    micro-batches, `accept_length` tokens per step [1], both None where nobody stated them; `throughput` is
    output tokens over all devices [tokens/s/device], `tpot_ms` the time per output token [ms].
    """

    place: str
    id: str
    mode: str
    use: str
    role: str
    timing: str
    scenario: Scenario
    changed: tuple[tuple[str, str], ...]
    devices: int
    attention_devices: int
    ffn_devices: int | None
    microbatches: int
    batch: float | None
    accept_length: float | None
    throughput: float | None
    tpot_ms: float | None
    origin: str
    source: str
    reason: str = ""
    """Why the prediction is far off, where somebody looked into it."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Columns this row leaves empty although its prediction depends on them."""
        needed = {BATCH: self.batch, ACCEPTED: self.accept_length}
        return tuple(name for name, value in needed.items() if value is None)

    @property
    def level(self) -> bool:
        """Whether the row counts in the summary: its level is to be met, and it set no constant."""
        return self.use == ABSOLUTE and self.role == CHECK

    @property
    def split(self) -> str:
        """Attention and FFN devices."""
        return f"{self.attention_devices}:{self.ffn_devices}"

    @property
    def conditions(self) -> tuple[object, ...]:
        """What two figures must share to be compared, but for how they were timed."""
        asked = self.scenario
        formats = (getattr(asked, field) for field in FORMATS.values())
        spoken = (asked.accept_length, asked.query_tokens, asked.routing)
        return (asked.system.id, self.changed, asked.model.id, asked.context, *spoken, *formats)


def read_services(files: Iterable[Path], *, catalogue: Catalogue) -> list[ServiceMeasurement]:
    """Read measured services, in the order of the files.

    Parameters
    ----------
    files : iterable of Path
        CSV files with a header; columns beyond those known are ignored.
    catalogue : Catalogue
        Where systems and models are looked up.

    Returns
    -------
    list of ServiceMeasurement
        At least one.

    Raises
    ------
    InputError
        If a file cannot be read or is empty, a column is missing, or a row holds text for a number, a number
        out of bounds, an unknown word, system, model or format, a repeated id, or devices that do not add up:
        names the file and the row, the header being row 1.
    """
    return _services([(shown_path(file), file_text(file, most=MAX_BYTES)) for file in files], catalogue)


def shipped_services(catalogue: Catalogue) -> list[ServiceMeasurement]:
    """Return the published services that ship with this package, with the reasons of large errors."""
    folder = package_files("hardware_db") / "measurements"
    rows = _services(
        [(f"{FOLDER}/systems.csv", (folder / "systems.csv").read_text(encoding="utf-8"))], catalogue
    )
    reasons = shipped_reasons()
    return [dataclasses.replace(row, reason=reasons.get(row.id, "")) for row in rows]


def shipped_reasons() -> dict[str, str]:
    """Return the sentence on each shipped row that is missed by far, by its id."""
    text = (package_files("hardware_db") / "measurements" / "misses.toml").read_text(encoding="utf-8")
    return {str(key): str(value) for key, value in tomllib.loads(text)["misses"].items()}


def _services(texts: Iterable[tuple[str, str]], catalogue: Catalogue) -> list[ServiceMeasurement]:
    @functools.cache
    def system(name: str, changed: tuple[tuple[str, str], ...]) -> System:
        return load_system(name, overrides=dict(changed) or None, catalogue=catalogue)

    @functools.cache
    def model(name: str) -> Model:
        return load_model(name, catalogue=catalogue)

    found: dict[str, ServiceMeasurement] = {}
    for name, text in texts:
        for row in table_rows(text, name=name, required=REQUIRED):
            service = _service(row, system, model)
            if service.id in found:
                raise InputError(f"{row.place}: id {shown(service.id)} is taken by {found[service.id].place}")
            found[service.id] = service
    return list(found.values())


def _service(
    row: TableRow, system: Callable[[str, tuple[tuple[str, str], ...]], System], model: Callable[[str], Model]
) -> ServiceMeasurement:
    require_filled(row, FILLED)
    place, filled, _ = row
    mode = choice(f"{place}: mode", filled["mode"], MODES)
    words = {key: choice(f"{place}: {key}", filled.get(key, valid[0]), valid) for key, valid in WORDS.items()}
    numbers = {
        key: number(f"{place}: {key}", filled[key], whole=key in COUNTED, zero=key in FROM_ZERO)
        for key in NUMBERS
        if key in filled
    }
    counts = {key: int(value) for key, value in numbers.items() if key in COUNTED}
    changed = _changed(place, filled.get("overrides", ""))
    reached = changed.pop(REACHED, None)
    accepted = numbers.get(ACCEPTED)
    if accepted is None and (ACCEPTED not in row.header or words["use"] == RELATIVE):
        accepted = 1.0
    formats = {}
    for key, field in FORMATS.items():
        if key in filled:
            formats[field] = precision(filled[key], option=f"{place}: {key}").id
    overrides = tuple(sorted(changed.items()))
    try:
        scenario = Scenario(
            system=system(filled["system"], overrides),
            model=model(filled["model"]),
            accept_length=1.0 if accepted is None else accepted,
            draft_tokens=counts.get("draft_tokens"),
            context=counts["context_tokens"],
            redundant_experts=counts.get("redundant_experts"),
            experts_per_ffn_device=None
            if reached is None
            else int(number(f"overrides: {REACHED}", reached, whole=True)),
            routing=words["routing"],
            gap_ms=0.0 if words["timing"] == KERNEL else None,
            **formats,  # type: ignore[arg-type]  # fields of formats, by name
        )
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    attention, ffn = _split(place, mode, counts)
    return ServiceMeasurement(
        place=place,
        id=filled["id"],
        mode=mode,
        use=words["use"],
        role=words["role"],
        timing=words["timing"],
        scenario=scenario,
        changed=overrides,
        devices=counts["n_devices"],
        attention_devices=attention,
        ffn_devices=ffn,
        microbatches=_microbatches(place, mode, counts),
        batch=numbers.get(BATCH),
        accept_length=accepted,
        throughput=numbers.get(THROUGHPUT),
        tpot_ms=numbers.get("tpot_ms"),
        **{key: filled.get(key, "") for key in TEXTS},
    )


def _changed(place: str, text: str) -> dict[str, str]:
    """Return the values a deployment changes, by key."""
    changed: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise InputError(f"{place}: overrides {shown(part)} is not KEY=VALUE")
        if key in changed:
            raise InputError(f"{place}: overrides set {shown(key)} twice")
        changed[key] = value
    return changed


def _split(place: str, mode: str, counts: Mapping[str, int]) -> tuple[int, int | None]:
    """Return attention and FFN devices; under expert parallelism all and None."""
    whole = counts["n_devices"]
    attention, ffn = counts.get("n_attention_devices"), counts.get("n_ffn_devices")
    if mode == EP:
        if ffn is not None or attention not in {None, whole}:
            raise InputError(f"{place}: ep has no groups: leave n_attention_devices and n_ffn_devices empty")
        return whole, None
    if attention is None or ffn is None:
        raise InputError(f"{place}: afd needs n_attention_devices and n_ffn_devices")
    if attention + ffn != whole:
        raise InputError(f"{place}: {attention} attention and {ffn} FFN devices are not n_devices {whole}")
    return attention, ffn


def _microbatches(place: str, mode: str, counts: Mapping[str, int]) -> int:
    """Return the micro-batches; where nothing is said none overlap under EP, and two take turns under AFD."""
    found = counts.get("microbatches", 1 if mode == EP else 2)
    if mode == EP and found not in EP_MICROBATCHES:
        raise InputError(f"{place}: microbatches {found} is not valid under ep; valid: 1, 2")
    return found


# ---------------------------------------------------------------------------------------------- predictions


@dataclasses.dataclass(frozen=True, slots=True)
class ServicePrediction:
    """What the model expects of one row: throughput [tokens/s/device], time per output token [ms]."""

    tokens_per_s_per_device: float
    tpot_ms: float
    fits_memory: bool
    kind: str


def predict_service(
    row: ServiceMeasurement, *, constants: ServiceConstants | None = None
) -> ServicePrediction:
    """Predict a measured service as it was deployed, even where the memory model would not have it.

    Parameters
    ----------
    row : ServiceMeasurement
        A row with batch and accepted length.
    constants : ServiceConstants, optional
        What running a service adds; by default as in the catalogue of its system.

    Returns
    -------
    ServicePrediction
        Its `kind` is `estimated` where any efficiency of its parts was never measured.

    Raises
    ------
    InputError
        If the row lacks an input, or the system a peak rate for a format.
    """
    if row.missing:
        raise InputError(f"the row lacks {', '.join(row.missing)}")
    deployments = Deployments(row.scenario, row.mode)
    if constants is not None:
        deployments.constants = constants
    deployment = _deployment(row, deployments)
    step = deployments.step(deployment).time
    needed = zip(deployments.memory(deployment), deployments.usable_memory(), strict=True)
    return ServicePrediction(
        tokens_per_s_per_device=float(deployments.tokens_per_s_per_device(deployment, step)),
        tpot_ms=float(step) / row.scenario.accept_length * 1e3,
        fits_memory=all(float(bytes_held) <= room for bytes_held, room in needed),
        kind=ESTIMATED if deployments.estimated else "measured",
    )


def _deployment(row: ServiceMeasurement, deployments: Deployments) -> Deployment:
    return Deployment(
        mode=row.mode,
        attention_devices=row.attention_devices,
        ffn_devices=row.ffn_devices,
        batch=row.batch or 0.0,
        microbatches=row.microbatches,
        redundant_experts=deployments.fill(row.ffn_devices or row.attention_devices),
    )


# ----------------------------------------------------------------------------------------------- comparison


@dataclasses.dataclass(frozen=True, slots=True)
class _Compared:
    """A row that has both figures [tokens/s/device]."""

    row: ServiceMeasurement
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1


def validate_services(rows: Sequence[ServiceMeasurement], *, catalogue: Catalogue) -> Answer:
    """Predict each measured service with the calibration of the catalogue.

    Parameters
    ----------
    rows : sequence of ServiceMeasurement
        What was measured.
    catalogue : Catalogue
        Where what a service adds to its operators is looked up.

    Returns
    -------
    Answer
        A row per service: measured and predicted throughput [tokens/s/device], signed error as a fraction of
        the measured one, null with the reason where the row lacks an input. The summary counts rows of use
        `absolute` and role `check`; beside it what AFD gains over EP, and which ratio of groups is best.
    """
    constants = load_service_constants(catalogue)
    answers, compared = [], []
    for row in rows:
        answer = _answer(row, constants)
        answers.append(answer)
        if answer["error"] is not None:
            compared.append(_Compared(row, answer["measured"], answer["predicted"]))
    counted = [each for each in compared if each.row.level]
    errors = np.abs([each.error for each in counted])
    summary: dict[str, Any] = {
        "n": len(counted),
        "median_abs_error": float(np.median(errors)) if counted else None,
        "p90_abs_error": float(np.quantile(errors, 0.9)) if counted else None,
        "max_abs_error": float(np.max(errors)) if counted else None,
        "skipped": sum(row.level for row in rows) - len(counted),
        "median_abs_error_by_mode": _medians(counted, lambda row: row.mode),
        "median_abs_error_by_source": _medians(counted, lambda row: row.origin or row.source or "unnamed"),
        "calibration_rows": {each.row.id: each.error for each in compared if each.row.role == CALIBRATION},
        "lower_bounds": [
            {key: answer[key] for key in ("id", "measured", "predicted", "why")}
            | {"satisfied": _satisfied(answer)}
            for answer in answers
            if answer["use"] == LOWER_BOUND
        ],
        "sign_test": _sign_test(compared),
        "ratio_test": _ratio_test(compared),
    }
    if counted:
        summary["answer"] = (
            f"{len(counted)} services predicted (tokens/s/device), median error "
            f"{summary['median_abs_error']:.1%}, 90 % of them within {summary['p90_abs_error']:.1%}; "
            f"{summary['skipped']} skipped."
        )
    return Answer(
        "validate",
        {"services": sorted({row.place.partition(", row")[0] for row in rows})},
        object_columns(answers),
        summary,
        _notes(answers, summary),
        TABLE_KEYS,
    )


def _answer(row: ServiceMeasurement, constants: ServiceConstants) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": row.id,
        "mode": row.mode,
        "system": row.scenario.system.id,
        "model": row.scenario.model.id,
        "use": row.use,
        "role": row.role,
        "timing": row.timing,
        "measured": row.throughput,
        "predicted": None,
        "error": None,
        "tpot_measured_ms": row.tpot_ms,
        "tpot_predicted_ms": None,
        "kind": None,
        "fits_memory": None,
        "why": None,
        "origin": row.origin or None,
        "source": row.source or None,
    }
    absent = (*row.missing, *((THROUGHPUT,) if row.throughput is None else ()))
    why = f"the row lacks {', '.join(absent)}" if absent else None
    if row.missing:
        return answer | {"why": why}
    try:
        predicted = predict_service(row, constants=constants)
    except InputError as error:
        return answer | {"why": str(error)}
    answer |= {
        "predicted": predicted.tokens_per_s_per_device,
        "tpot_predicted_ms": predicted.tpot_ms,
        "kind": predicted.kind,
        "fits_memory": predicted.fits_memory,
        "why": why,
    }
    if row.throughput is None:
        return answer
    off = predicted.tokens_per_s_per_device / row.throughput - 1
    return answer | {"error": off, "why": row.reason if row.reason and is_miss(row.use, off) else None}


def is_miss(use: str, error: float) -> bool:
    """Return whether an error is so large that a shipped row owes a reason.

    Parameters
    ----------
    use : str
        What the row is for; a lower bound is missed from below only.
    error : float
        Signed, as a fraction of the measured figure [1].

    Returns
    -------
    bool
        Whether it is.
    """
    return error < -LARGE_ERROR if use == LOWER_BOUND else use == ABSOLUTE and abs(error) > LARGE_ERROR


def _medians(counted: Iterable[_Compared], key: Callable[[ServiceMeasurement], str]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for each in counted:
        groups.setdefault(key(each.row), []).append(abs(each.error))
    return {name: float(np.median(errors)) for name, errors in sorted(groups.items())}


def _satisfied(answer: Mapping[str, Any]) -> bool | None:
    return None if answer["error"] is None else bool(answer["predicted"] >= answer["measured"])


def _sign_test(compared: Sequence[_Compared]) -> dict[str, Any]:
    """Return whether AFD is ahead of EP in prediction where it is in measurement, pair by pair.

    A pair is an AFD row and the best measured EP row of the same system, model, context, formats, accepted
    length and routing. Pairs timed in different ways are listed apart.
    """
    alike, unlike = [], []
    for afd in compared:
        if afd.row.mode != AFD or afd.row.use == LOWER_BOUND:
            continue
        rivals = [
            each
            for each in compared
            if each.row.mode == EP
            and each.row.use != LOWER_BOUND
            and each.row.conditions == afd.row.conditions
        ]
        same = [each for each in rivals if each.row.timing == afd.row.timing]
        other = [each for each in rivals if each.row.timing != afd.row.timing]
        if same:
            alike.append(_pair(afd, max(same, key=lambda each: each.measured)))
        if other:
            ep = max(other, key=lambda each: each.measured)
            timed = f"AFD timed as {afd.row.timing}, EP as {ep.row.timing}"
            if (afd.row.timing, ep.row.timing) == (WALL, KERNEL):
                timed += ", which leaves out what the host adds to EP alone and so understates AFD"
            unlike.append(_pair(afd, ep) | {"difference": timed})
    return {
        "n": len(alike),
        "same_sign": sum(pair["same_sign"] for pair in alike),
        "within_band": sum(abs(pair["ratio_error"]) <= RATIO_BAND for pair in alike),
        "pairs": alike,
        "timed_differently": unlike,
    }


def _pair(afd: _Compared, ep: _Compared) -> dict[str, Any]:
    measured, predicted = afd.measured / ep.measured, afd.predicted / ep.predicted
    return {
        "afd": afd.row.id,
        "ep": ep.row.id,
        "measured_ratio": measured,
        "predicted_ratio": predicted,
        "ratio_error": predicted - measured,
        "same_sign": (measured > 1) == (predicted > 1),
    }


def _ratio_test(compared: Sequence[_Compared]) -> dict[str, Any]:
    """Return what is lost, in measured throughput, where the ratio of groups predicted best is chosen."""
    sweeps: dict[tuple[str, str, int], list[_Compared]] = {}
    for each in compared:
        if each.row.use == SHAPE and each.row.mode == AFD:
            asked = each.row.scenario
            sweeps.setdefault((asked.system.id, asked.model.id, asked.context), []).append(each)
    found: list[dict[str, Any]] = []
    for (system, model, context), points in sorted(sweeps.items()):
        reached = max(points, key=lambda each: each.measured)
        chosen = max(points, key=lambda each: each.predicted)
        found.append(
            {
                "system": system,
                "model": model,
                "context_tokens": context,
                "points": len(points),
                "measured_best": reached.row.split,
                "predicted_best": chosen.row.split,
                "loss": 1 - chosen.measured / reached.measured,
            }
        )
    losses = [sweep["loss"] for sweep in found]
    return {
        "mean_loss": float(np.mean(losses)) if found else None,
        "worst_loss": max(losses) if found else None,
        "sweeps": found,
    }


def _notes(answers: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> list[str]:
    notes = [
        f"median error, {name}: {error:.1%}"
        for key in ("median_abs_error_by_mode", "median_abs_error_by_source")
        for name, error in summary[key].items()
    ]
    for bound in summary["lower_bounds"]:
        if bound["satisfied"] is not None:
            word = "is met" if bound["satisfied"] else "is not met"
            notes.append(
                f"lower bound {bound['id']} {word}: predicted {bound['predicted']:.4g}, "
                f"measured {bound['measured']:.4g}"
            )
    signs = summary["sign_test"]
    for pair in signs["pairs"]:
        word = "the same side of 1" if pair["same_sign"] else "the other side of 1"
        notes.append(
            f"AFD over EP, {pair['afd']} over {pair['ep']}: measured {pair['measured_ratio']:.2f}, "
            f"predicted {pair['predicted_ratio']:.2f}: {word}"
        )
    notes += [
        f"AFD over EP, {pair['afd']} over {pair['ep']}: published {pair['measured_ratio']:.2f}, predicted "
        f"{pair['predicted_ratio']:.2f}; not counted: {pair['difference']}"
        for pair in signs["timed_differently"]
    ]
    notes += [
        f"attention to FFN devices, {sweep['model']} at {sweep['context_tokens']} tokens on "
        f"{sweep['system']}: best measured {sweep['measured_best']}, best predicted "
        f"{sweep['predicted_best']}, which loses {sweep['loss']:.1%}"
        for sweep in summary["ratio_test"]["sweeps"]
    ]
    full = [str(answer["id"]) for answer in answers if answer["fits_memory"] is False]
    if full:
        notes.append(f"ran, though the memory model with its reserve would refuse it: {', '.join(full)}")
    estimated = sum(answer["kind"] == ESTIMATED for answer in answers)
    if estimated:
        notes.append(f"{estimated} predictions rest on an efficiency of kind estimated")
    if summary["calibration_rows"]:
        errors = ", ".join(f"{name} {error:+.1%}" for name, error in summary["calibration_rows"].items())
        notes.append(f"rows of role calibration are not counted; their errors: {errors}")
    return notes


# ------------------------------------------------------------------------------------------------ constants


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceFit:
    """Constants by key in their units, errors of the rows they were fitted to, and without each of these."""

    rows: tuple[ServiceMeasurement, ...]
    values: Mapping[str, float]
    errors: tuple[float, ...]
    without: Mapping[str, Mapping[str, float]]
    """Constants when the row of this id is left out."""
    validated_error: float | None
    """Median absolute relative error on the rows that set nothing, None where there are none [1]."""
    validated_by_mode: Mapping[str, tuple[float, float]]
    """The same by mode, and the median signed error: below 0 where services are faster than predicted [1]."""

    @property
    def training_error(self) -> float:
        """Median absolute relative error of the step on the rows fitted [1]."""
        return float(np.median(np.abs(self.errors)))


class _Varied(Deployments):
    """A deployment whose layers under any constants come from those under three: they depend linearly."""

    def __init__(self, row: ServiceMeasurement) -> None:
        super().__init__(row.scenario, row.mode)
        self._row = row
        self._known: dict[int, list[tuple[list[Block], FloatArray]]] = {}
        self.deployment = _deployment(row, self)

    def _blocks(
        self, deployment: Deployment, query_tokens: int, prompt: Prompt | None = None
    ) -> tuple[list[Block], FloatArray]:
        assert prompt is None  # noqa: S101 - published rows decode
        wanted = self.constants
        if query_tokens not in self._known:
            self._known[query_tokens] = [
                self._computed(ServiceConstants(0.0, slowdown, other), deployment, query_tokens)
                for slowdown, other in ((1.0, 0.0), (2.0, 0.0), (1.0, 1e-6))
            ]
            self.constants = wanted
        (base, once), (slow, _), (more, _) = self._known[query_tokens]
        slower, other = wanted.communication_slowdown - 1.0, wanted.other_s * 1e6

        def mixed(one: FloatArray, two: FloatArray, three: FloatArray) -> FloatArray:
            return one + slower * (two - one) + other * (three - one)

        blocks = [
            Block(
                alike[0].layers, *(mixed(*times) for times in zip(*(each[1:] for each in alike), strict=True))
            )
            for alike in zip(base, slow, more, strict=True)
        ]
        return blocks, once

    def _computed(
        self, constants: ServiceConstants, deployment: Deployment, query_tokens: int
    ) -> tuple[list[Block], FloatArray]:
        self.constants = constants
        self._layers.clear()
        return super()._blocks(deployment, query_tokens)

    def seconds_per_token(self, values: Mapping[str, float]) -> float:
        """Return the time of a device per output token under some constants [s]."""
        self.constants = _constants(values)
        step = self.step(self.deployment).time
        return 1.0 / float(self.tokens_per_s_per_device(self.deployment, step))


def _constants(values: Mapping[str, float]) -> ServiceConstants:
    return ServiceConstants(
        gap_s=values["gap_ms"] * 1e-3,
        communication_slowdown=values["communication_slowdown"],
        other_s=values["other_us"] * 1e-6,
    )


def fit_service_constants(rows: Sequence[ServiceMeasurement]) -> ServiceFit:
    """Fit what running a service adds to its operators, on rows of role `calibration` alone.

    Parameters
    ----------
    rows : sequence of ServiceMeasurement
        Measured services; those of role `check` set nothing, and are predicted afterwards.

    Returns
    -------
    ServiceFit
        Constants, and what they would be without each row; the same rows always give the same.

    Raises
    ------
    InputError
        If fewer rows than constants set them, or one lacks an input.
    """
    used = tuple(row for row in rows if row.role == CALIBRATION)
    if len(used) <= len(CONSTANTS):
        raise InputError(
            f"{len(used)} rows of role calibration are too few to fit {len(CONSTANTS)} constants"
        )
    for row in used:
        absent = (*row.missing, *((THROUGHPUT,) if row.throughput is None else ()))
        if absent:
            raise InputError(f"{row.place}: lacks {', '.join(absent)}")
    varied = [_Varied(row) for row in used]
    measured = np.array([1.0 / (row.throughput or np.nan) for row in used])

    def times(parameters: NDArray[np.float64], chosen: NDArray[np.intp]) -> NDArray[np.float64]:
        values = dict(zip(CONSTANTS, parameters.tolist(), strict=True))
        return np.array([varied[index].seconds_per_token(values) for index in chosen])

    def found(chosen: NDArray[np.intp]) -> dict[str, float]:
        parameters = best(times, measured, tuple(CONSTANTS.values()), chosen)
        return dict(zip(CONSTANTS, parameters.tolist(), strict=True))

    every = np.arange(len(used))
    values = found(every)
    errors = times(np.array(list(values.values())), every) / measured - 1
    without = {row.id: found(np.delete(every, index)) for index, row in enumerate(used)}
    answers = [_answer(row, _constants(values)) for row in rows if row.level]
    unseen = [answer["error"] for answer in answers if answer["error"] is not None]
    by_mode = {
        mode: [
            answer["error"] for answer in answers if answer["error"] is not None and answer["mode"] == mode
        ]
        for mode in MODES
    }
    return ServiceFit(
        used,
        values,
        tuple(errors.tolist()),
        without,
        float(np.median(np.abs(unseen))) if unseen else None,
        {
            mode: (float(np.median(np.abs(found_errors))), float(np.median(found_errors)))
            for mode, found_errors in by_mode.items()
            if found_errors
        },
    )


def service_record_text(fit: ServiceFit, *, date: str | None = None) -> str:
    """Return the calibration record of fitted constants as TOML.

    Parameters
    ----------
    fit : ServiceFit
        What `fit_service_constants` found.
    date : str, optional
        Date of the fit; today by default.

    Returns
    -------
    str
        The record `service`.
    """
    date = date or dt.datetime.now(tz=dt.UTC).date().isoformat()
    keys = {row.id: _source_key(row, index) for index, row in enumerate(fit.rows)}
    sources = ", ".join(map(_quoted, keys.values()))
    errors = ", ".join(f"{row.id} {error:+.1%}" for row, error in zip(fit.rows, fit.errors, strict=True))
    spread = "; ".join(f"without {name}: {_listed(values)}" for name, values in fit.without.items())
    lines = [
        "schema = 1",
        'record = "calibration"',
        f"id = {_quoted(SERVICE)}",
        'name = "What running a service adds to its operators"',
        f"note = {_quoted(RECORD_NOTE)}",
        f"fitted = {_quoted(date)}",
        "",
        f"[{SERVICE}]",
        f"note = {_quoted(f'errors of the step: {errors}; constants where one row is left out: {spread}')}",
        f"points = {len(fit.rows)}",
        f"training_error = {_rounded(fit.training_error)}",
    ]
    if fit.validated_error is not None:
        lines.append(f"validated_error = {_rounded(fit.validated_error)}")
    for mode, (error, bias) in fit.validated_by_mode.items():
        lines += [
            f"validated_error_{mode} = {_rounded(error)}",
            f"validated_bias_{mode} = {_rounded(bias)}",
        ]
    for key, value in fit.values.items():
        note = _quoted(NO_GAP if key == "gap_ms" and not value else NOTES[key])
        entry = f'value = {_rounded(value)}, kind = "measured", source = [{sources}], note = {note}'
        lines.append(f"{key} = {{ {entry} }}")
    for row in fit.rows:
        title = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", ": ".join(filter(None, (row.origin, row.source))))
        address = re.search(r"https://[^\s<>\"()]+", row.source)
        lines += ["", f"[sources.{keys[row.id]}]", f"title = {_quoted(title.strip()[:500] or row.id)}"]
        lines += [f"url = {_quoted(address[0])}"] if address else []
        lines.append(f"date = {_quoted(date)}")
    return "\n".join(lines) + "\n"


def _source_key(row: ServiceMeasurement, index: int) -> str:
    return row.id if re.fullmatch(r"[a-z][a-z0-9-]{0,40}", row.id) else f"row-{index + 1}"


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{key} {value:.3g}" for key, value in values.items())


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
