"""Measured operator and transfer times as files hold them: rows read, checked, and named when faulty."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.table import MAX_BYTES, TableRow, number, require_filled, table_rows
from roofline_afd.analysis.files import file_text
from roofline_afd.catalogue.hardware import System, load_system
from roofline_afd.errors import InputError, nearest, shown, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from roofline_afd.catalogue.store import Catalogue

ID_COLUMNS = ("id", "operator", "system")
GROUPED = ("precision", "groups", "tokens_per_expert", "hidden", "intermediate")
TRANSFER = ("n_devices", "tokens", "hidden", "top_k")
COLLECTIVE = ("n_devices", "message_bytes")
HEADS = ("query_heads", "kv_heads", "head_dim")
MODULE = ("precision", "batch", "context_tokens", "model")
STAGE = ("precision", "n_devices", "hidden", "intermediate", "top_k", "experts")
INPUTS: Mapping[str, tuple[str, ...]] = {
    "gemm": ("precision", "m", "n", "k"),
    "grouped_gemm": ("precision", "n", "k", "groups", "tokens_per_expert"),
    "grouped_gemm_up": GROUPED,
    "grouped_gemm_down": GROUPED,
    "moe_experts": (*GROUPED, "n_devices", "experts", "top_k", "model"),
    "mla_decode": ("precision", "kv_precision", "batch", "context_tokens"),
    "gqa_decode": ("precision", "kv_precision", "batch", "context_tokens", *HEADS),
    "gqa_prefill": ("precision", "tokens", *HEADS),
    "mla_prefill": ("precision", "tokens", "query_heads"),
    "dsa_decode_attention": ("kv_precision", "batch", "context_tokens", "query_heads", "model"),
    "dsa_decode_index": ("batch", "context_tokens", "query_heads", "head_dim"),
    "dsa_prefill_attention": ("tokens", "context_tokens", "query_heads", "model"),
    "dsa_prefill_index": ("tokens", "context_tokens", "query_heads", "head_dim"),
    "linear_decode_convolution": ("batch", *HEADS),
    "linear_decode_update": ("batch", *HEADS),
    "attention_layer": ("precision", "batch", "context_tokens", "note"),
    "mla_module": MODULE,
    "dsa_module": MODULE,
    "dispatch": TRANSFER,
    "combine": TRANSFER,
    "exchange": TRANSFER,
    "allreduce": COLLECTIVE,
    "allgather": COLLECTIVE,
    "reducescatter": COLLECTIVE,
    "alltoall": COLLECTIVE,
    "moe_stage": STAGE,
    "afd_moe_stage": STAGE,
    "a2a_prepare": ("n_devices", "tokens"),
    "p2p": ("n_devices",),
    "quantize": ("precision", "m", "k"),
    "router": ("precision", "tokens", "hidden", "experts"),
}
"""Operator to the columns its time is computed from."""
OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "grouped_gemm": ("tokens", "top_k"),
    "grouped_gemm_up": ("tokens", "top_k"),
    "grouped_gemm_down": ("tokens", "top_k"),
    "mla_decode": ("query_heads",),
    "mla_module": ("query_heads",),
    "dsa_module": ("query_heads",),
    "gqa_prefill": ("context_tokens",),
    "mla_prefill": ("context_tokens",),
    "dsa_decode_attention": ("query_tokens",),
    "dsa_decode_index": ("query_tokens",),
    "moe_stage": ("tokens", "groups", "tokens_per_expert"),
    "afd_moe_stage": ("tokens", "groups", "tokens_per_expert"),
}
"""Operator to columns that say more where they are filled."""
MEASURES = ("latency_us", "tflops", "gb_per_s")
"""Columns with a measurement; the first that a row fills counts."""
TEXTS = (
    *("id", "operator", "system", "precision", "kv_precision", "note", "source"),
    *("model", "kernel", "engine", "timing", "routing"),
)
WHOLE = (
    *("n_devices", "m", "n", "k", "groups", "hidden", "top_k", "experts", "intermediate"),
    *("query_heads", "kv_heads", "head_dim", "query_tokens"),
)
MESSAGE = re.compile(r"message (\d{1,12}(?:\.\d{1,6})?) ?([KM]?i?B)\b")
"""How notes state the size of a message."""
MESSAGE_UNITS = {"B": 1, "KB": 2**10, "MB": 2**20}
"""Bytes of their units: benchmarks of collectives count in powers of two, whichever way they write them."""
RANK_ROWS = re.compile(r"\b(\d{1,6}) rows per rank\b")
"""How notes of stages state the tokens of a device."""
USES = ("fit", "check", "exclude")
"""First words of the column `use`: to be fitted, only to be predicted, or neither."""


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """One row of a file: what was timed on which system, and the figure."""

    place: str
    id: str
    operator: str
    part: System | str
    texts: Mapping[str, str]
    numbers: Mapping[str, float]
    use: str = "fit"
    """One of `USES`, and after a colon why."""

    @property
    def system(self) -> System:
        """The system it was timed on; InputError where the catalogue has none of that id."""
        if isinstance(self.part, str):
            raise InputError(f"{self.place}: {self.part}")
        return self.part

    @property
    def use_kind(self) -> str:
        """The first word of its use: a member of `USES`."""
        return self.use.partition(":")[0].strip()

    @property
    def family(self) -> str:
        """Which kernel ran: the engine's name without its version, and the kernel's."""
        words = (self.texts.get("engine", "").split(" ")[0].strip(","), self.texts.get("kernel", ""))
        return " ".join(dict.fromkeys(word for word in words if word))

    @property
    def missing(self) -> tuple[str, ...]:
        """Columns this row leaves empty although its time depends on them."""
        needed = INPUTS.get(self.operator, ())
        absent = [key for key in needed if key not in self.numbers and not self.texts.get(key)]
        if not any(key in self.numbers for key in MEASURES):
            absent.append(" or ".join(MEASURES))
        return tuple(absent)

    @property
    def why_not(self) -> str:
        """Why it cannot be predicted as far as the row alone tells; empty where it may be."""
        if self.use_kind == "exclude":
            return self.use
        if isinstance(self.part, str):
            return self.part
        return f"the row lacks {', '.join(self.missing)}" if self.missing else ""


def read_measurements(files: Iterable[Path], *, catalogue: Catalogue) -> list[Measurement]:
    """Read measured rows, in the order of the files.

    Parameters
    ----------
    files : iterable of Path
        CSV files with a header; columns beyond those needed are ignored.
    catalogue : Catalogue
        Where systems are looked up.

    Returns
    -------
    list of Measurement
        At least one.

    Raises
    ------
    InputError
        If a file cannot be read or is empty, a column is missing, or a row holds text for a number, a number
        not above 0, an unknown operator or use: names the file and the row, the header being row 1. A row of
        an unknown system is read, and says so.
    """
    systems: dict[str, System | str] = {}
    return [row for file in files for row in _rows(file, catalogue, systems)]


def _rows(file: Path, catalogue: Catalogue, systems: dict[str, System | str]) -> Iterator[Measurement]:
    text = file_text(file, most=MAX_BYTES)
    for row in table_rows(text, name=shown_path(file), required=ID_COLUMNS, one_of=MEASURES):
        yield _row(row, catalogue, systems)


def _row(row: TableRow, catalogue: Catalogue, systems: dict[str, System | str]) -> Measurement:
    place, filled, header = row
    require_filled(row, ID_COLUMNS)
    operator = filled["operator"]
    if operator not in INPUTS:
        raise InputError(f"{place}: operator {shown(operator)} is not known{nearest(operator, INPUTS)}")
    needed = INPUTS[operator]
    absent = [name for name in needed if name not in header]
    if absent:
        raise InputError(f"{place}: the file lacks the column {', '.join(absent)}, needed for {operator}")
    use = filled.get("use", "fit")
    if use.partition(":")[0].strip() not in USES:
        raise InputError(f"{place}: use {shown(use)} starts with none of {', '.join(USES)}")
    wanted = {*needed, *OPTIONAL.get(operator, ()), *MEASURES, "experts", "n_devices"} - {*TEXTS}
    numbers = {
        key: number(f"{place}: {key}", filled[key], whole=key in WHOLE)
        for key in sorted(wanted)
        if key in filled
    }
    _share_out(operator, numbers)
    _message(operator, filled.get("note", ""), numbers)
    _rank_rows(operator, filled.get("note", ""), numbers)
    texts = {key: filled.get(key, "") for key in TEXTS}
    part = _system(filled["system"], catalogue, systems)
    return Measurement(place, filled["id"], operator, part, texts, numbers, use)


def _system(name: str, catalogue: Catalogue, systems: dict[str, System | str]) -> System | str:
    """Return a system, or why there is none: rows of others can still be used."""
    if name not in systems:
        try:
            systems[name] = load_system(name, catalogue=catalogue)
        except InputError as error:
            systems[name] = str(error)
    return systems[name]


def _share_out(operator: str, numbers: dict[str, float]) -> None:
    """Fill in the rows of an expert where a row states the tokens of a device of a group instead."""
    keys = ("tokens", "n_devices", "top_k", "experts")
    wanted = "tokens_per_expert" in INPUTS.get(operator, ()) and "tokens_per_expert" not in numbers
    if wanted and all(key in numbers for key in keys):
        tokens, devices, top_k, experts = (numbers[key] for key in keys)
        numbers["tokens_per_expert"] = tokens * devices * top_k / experts


def _message(operator: str, note: str, numbers: dict[str, float]) -> None:
    """Fill in the size of a collective's message from the note, where no column has it."""
    stated = MESSAGE.match(note)
    if "message_bytes" in INPUTS.get(operator, ()) and "message_bytes" not in numbers and stated:
        numbers["message_bytes"] = float(stated[1]) * MESSAGE_UNITS[stated[2].upper().replace("I", "")]


def _rank_rows(operator: str, note: str, numbers: dict[str, float]) -> None:
    """Fill in the tokens of a device from the note of a stage, where no column has them."""
    stated = RANK_ROWS.search(note)
    if operator == "moe_stage" and "tokens" not in numbers and stated:
        numbers["tokens"] = float(stated[1])
