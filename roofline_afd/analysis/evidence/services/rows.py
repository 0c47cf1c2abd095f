"""Published services as files hold them: rows read, checked, and named when faulty."""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
from fnmatch import fnmatchcase
from importlib.resources import files as package_files
from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.table import MAX_BYTES, TableRow, distinct_rows, number, require_filled
from roofline_afd.analysis.files import file_text
from roofline_afd.catalogue.engines import IDEAL, Engine, load_engine
from roofline_afd.catalogue.hardware import System, load_system
from roofline_afd.catalogue.models import Model, load_model
from roofline_afd.catalogue.precision import precision
from roofline_afd.errors import InputError, shown, shown_path
from roofline_afd.serving.batches import EP_MICROBATCHES
from roofline_afd.serving.checks import choice
from roofline_afd.serving.deployment import EP, MODES
from roofline_afd.serving.scenario import CHOICES, Scenario
from roofline_afd.serving.sizes import FUSED, SEPARATE
from roofline_afd.serving.uneven import LEVELLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from roofline_afd.catalogue.store import Catalogue

FOLDER = "hardware_db/measurements"
"""Where the shipped rows lie, and the sentences on those that are missed."""
SHIPPED_FILES = ("systems.csv", "systems_2.csv")
THROUGHPUT, BATCH, ACCEPTED = "tokens_per_s_per_device", "batch_per_device", "accept_length"
SYSTEM = "system"
FILLED = ("id", "mode", "model", "n_devices", "context_tokens")
"""Columns that every row fills."""
REQUIRED = (*FILLED[:2], SYSTEM, *FILLED[2:4], BATCH, FILLED[4], THROUGHPUT)
"""Columns that every file has; a row may leave system, batch and throughput empty, and is then skipped."""
ABSOLUTE, SHAPE, RELATIVE, LOWER_BOUND = "absolute", "shape", "relative", "lower-bound"
CALIBRATION, CHECK = "calibration", "check"
WALL, KERNEL, PROFILE = "wall", "kernel", "profile"
DEVICE = "device"
"""What a prediction covers where the pauses of the host are left out."""
ATTENTION_PLACEMENT, CORE_PLACEMENT = "attention", "core"
PLACEMENT, ENGINE = "placement", "engine"
EXPERT_PLACEMENT = "expert_placement"
"""Column of how experts lie under live routing, which a file may have."""
WORDS: Mapping[str, tuple[str, ...]] = {
    "use": (ABSOLUTE, SHAPE, RELATIVE, LOWER_BOUND),
    "role": (CHECK, CALIBRATION),
    "timing": (WALL, KERNEL, PROFILE),
    "routing": CHOICES["routing"],
    PLACEMENT: (ATTENTION_PLACEMENT, CORE_PLACEMENT),
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
TEXTS = ("origin", "source", "reading")
ENGINE_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
"""How an engine is written: as the ids of the catalogue are."""
NATURAL = "natural"
REACHED = "experts_per_ffn_device"
"""The one override that is no value of the system, but a field of the scenario."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceMeasurement:
    """One row of a file: a service, how it was deployed, and what it reached.

    Devices and micro-batches are counts [1]; `batch` is sequences of one (attention) device over all
    micro-batches, `accept_length` tokens per step [1], both None where nobody stated them; `throughput` is
    output tokens over all devices [tokens/s/device], `tpot_ms` the time per output token [ms]. `system` is
    None where nobody stated it; `placement`, None under EP, says what an attention device holds.
    """

    place: str
    id: str
    mode: str
    use: str
    role: str
    timing: str
    engine: str
    basis: str
    """What the prediction covers: `wall`, with gap and pause of a step, or `device`, without."""
    placement: str | None
    system: str | None
    model: str
    asked: Scenario | None
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
    reading: str
    """Whether the source itself was read: `primary`, or `secondary`."""
    source: str
    reason: str = ""
    """Why the prediction is far off, where somebody looked into it."""

    @property
    def scenario(self) -> Scenario:
        """The question the row answers; InputError where the row lacks a system."""
        if self.asked is None:
            raise InputError(f"the row lacks {SYSTEM}")
        return self.asked

    @property
    def missing(self) -> tuple[str, ...]:
        """Columns this row leaves empty although its prediction depends on them."""
        needed = {SYSTEM: self.system, BATCH: self.batch, ACCEPTED: self.accept_length}
        return tuple(name for name, value in needed.items() if value is None)

    @property
    def incomparable(self) -> tuple[str, ...]:
        """Columns this row leaves empty without which no prediction can be held against it."""
        return (*self.missing, *((THROUGHPUT,) if self.throughput is None else ()))

    @property
    def unpredictable(self) -> str | None:
        """Why nothing is predicted for this row, None where something is."""
        return f"the row lacks {', '.join(self.missing)}" if self.missing else None

    @property
    def like_for_like(self) -> bool:
        """Whether the prediction covers what was timed: not so where the pause of an engine is unknown."""
        return (self.timing == WALL) == (self.basis == WALL)

    @property
    def general(self) -> bool:
        """Whether the row names no engine: only such rows set, and judge, what running any service adds."""
        return not self.engine

    @property
    def level(self) -> bool:
        """Whether the level of the row is to be met, and it may set no constant."""
        return self.use == ABSOLUTE and self.role == CHECK

    @property
    def headline(self) -> bool:
        """Whether the row judges the constants of services: its level is to be met, and it is general."""
        return self.level and self.general

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
    texts = [(f"{FOLDER}/{name}", (folder / name).read_text(encoding="utf-8")) for name in SHIPPED_FILES]
    reasons = shipped_reasons()
    return [
        dataclasses.replace(
            row, reason=next((why for ids, why in reasons.items() if fnmatchcase(row.id, ids)), "")
        )
        for row in _services(texts, catalogue)
    ]


@functools.cache
def shipped_conditions(table: str) -> dict[str, str]:
    """Return what a table of conditions, such as `kernels`, says of shipped rows, by id or pattern."""
    text = (package_files("hardware_db") / "measurements" / "conditions.toml").read_text(encoding="utf-8")
    return {str(key): str(value) for key, value in tomllib.loads(text)[table].items()}


def shipped_reasons() -> dict[str, str]:
    """Return the sentence on shipped rows that are missed by far, by their id, or a pattern of ids."""
    text = (package_files("hardware_db") / "measurements" / "misses.toml").read_text(encoding="utf-8")
    return {str(key): str(value) for key, value in tomllib.loads(text)["misses"].items()}


def _services(texts: Iterable[tuple[str, str]], catalogue: Catalogue) -> list[ServiceMeasurement]:
    @functools.cache
    def system(name: str, changed: tuple[tuple[str, str], ...]) -> System:
        return load_system(name, overrides=dict(changed) or None, catalogue=catalogue)

    @functools.cache
    def model(name: str) -> Model:
        return load_model(name, catalogue=catalogue)

    return distinct_rows(texts, required=REQUIRED, read=lambda row: _service(row, system, model, catalogue))


def _service(
    row: TableRow,
    system: Callable[[str, tuple[tuple[str, str], ...]], System],
    model: Callable[[str], Model],
    catalogue: Catalogue,
) -> ServiceMeasurement:
    require_filled(row, FILLED)
    place, filled, _ = row
    mode = choice(f"{place}: mode", filled["mode"], MODES)
    words = {key: choice(f"{place}: {key}", filled.get(key, valid[0]), valid) for key, valid in WORDS.items()}
    if mode == EP and PLACEMENT in filled:
        raise InputError(f"{place}: ep has no {PLACEMENT}: leave it empty")
    engine = filled.get(ENGINE, "")
    if engine and not ENGINE_NAME.fullmatch(engine):
        raise InputError(
            f"{place}: {ENGINE} {shown(engine)} is not written as an id is: lower case, digits, . and -"
        )
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
    if EXPERT_PLACEMENT in filled:
        choice(f"{place}: {EXPERT_PLACEMENT}", filled[EXPERT_PLACEMENT], CHOICES[EXPERT_PLACEMENT])
    formats = {}
    for key, field in FORMATS.items():
        if key in filled:
            formats[field] = precision(filled[key], option=f"{place}: {key}").id
    overrides = tuple(sorted(changed.items()))
    runner = _runner(engine, filled["id"], catalogue)
    basis = _basis(words["timing"], engine, paused=bool(runner) and paused(runner, catalogue))
    groups = int(_known("attention_groups", filled["id"]) or 1)
    try:
        served = model(filled["model"])
        asked = (
            None
            if SYSTEM not in filled
            else Scenario(
                system=system(filled[SYSTEM], overrides),
                model=served,
                accept_length=1.0 if accepted is None else accepted,
                draft_tokens=counts.get("draft_tokens"),
                context=counts["context_tokens"],
                redundant_experts=counts.get("redundant_experts"),
                experts_per_ffn_device=None
                if reached is None
                else int(number(f"overrides: {REACHED}", reached, whole=True)),
                routing=words["routing"],
                engine=_engine(runner, basis, catalogue),
                attention_groups=groups,
                kernels=FUSED if _known("kernels", filled["id"]) == FUSED else SEPARATE,
                afd_cut=words[PLACEMENT] if mode != EP else None,
                any_size=True,
                expert_placement=_placement(words["routing"], filled),
                gap_ms=0.0 if basis == DEVICE else None,
                **formats,  # type: ignore[arg-type]  # fields of formats, by name
            )
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
        engine=engine,
        basis=basis,
        placement=None if mode == EP else words[PLACEMENT],
        system=filled.get(SYSTEM),
        model=served.id,
        asked=asked,
        changed=overrides,
        devices=counts["n_devices"],
        attention_devices=attention,
        ffn_devices=ffn,
        microbatches=_microbatches(place, mode, counts, groups),
        batch=numbers.get(BATCH),
        accept_length=accepted,
        throughput=numbers.get(THROUGHPUT),
        tpot_ms=numbers.get("tpot_ms"),
        **{key: filled.get(key, "") for key in TEXTS},
    )


def _placement(routing: str, filled: Mapping[str, str]) -> str | None:
    """Return how experts lie where routing is live: as a row says, or as is known of shipped ones."""
    if routing != NATURAL:
        return None
    if EXPERT_PLACEMENT in filled:
        return filled[EXPERT_PLACEMENT]
    if filled.get("redundant_experts", "0") != "0":
        return LEVELLED
    return _known("placements", filled["id"]) or LEVELLED


def _basis(timing: str, engine: str, *, paused: bool) -> str:
    """Return what is predicted of a row: with the host's pause where it was timed and is known."""
    return WALL if timing == WALL and (paused or not engine) else DEVICE


def _runner(engine: str, name: str, catalogue: Catalogue) -> str:
    """Return the id of the engine that ran a row, whatever its release; empty where no record is of it."""
    named = engine or _known("engines", name)
    found = [each for each in catalogue.ids("engine") if named == each or named.startswith(f"{each}-")]
    return max(found, key=len, default="")


def _known(table: str, name: str) -> str:
    """Return what is known of a shipped row beyond its columns; empty where nothing is."""
    return next((word for ids, word in shipped_conditions(table).items() if fnmatchcase(name, ids)), "")


def _engine(runner: str, basis: str, catalogue: Catalogue) -> Engine:
    """Return the engine that a row is predicted with: without its host where that was not timed."""
    engine = load_engine(runner or IDEAL, catalogue=catalogue)
    return engine if basis == WALL else dataclasses.replace(engine, host_pause_s=0.0)


def paused(engine: str, catalogue: Catalogue) -> bool:
    """Return whether what the host of an engine adds to a step is known."""
    return load_engine(engine, catalogue=catalogue).host_pause_s > 0.0


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


def _microbatches(place: str, mode: str, counts: Mapping[str, int], groups: int) -> int:
    """Return the micro-batches; where nothing is said none overlap under EP, and two take turns under AFD.

    One of each attention group where groups take turns.
    """
    found = counts.get("microbatches", 1 if mode == EP or groups > 1 else 2)
    if mode == EP and found not in EP_MICROBATCHES:
        raise InputError(f"{place}: microbatches {found} is not valid under ep; valid: 1, 2")
    return found
