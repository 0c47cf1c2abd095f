"""The catalogues as tables: what is known, each value with unit, kind and source, and what is wrong."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.answer import Answer, object_columns
from roofline_afd.catalogue.hardware import load_system, system_parts
from roofline_afd.catalogue.models import load_model, model_of
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.reading import RecordError
from roofline_afd.catalogue.records import Price, Quantity, Record, Source, weakest_kind
from roofline_afd.catalogue.schema import FOLDERS
from roofline_afd.errors import InfeasibleError, InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from roofline_afd.catalogue.store import Catalogue

HARDWARE_KINDS = ("system", "accelerator", "interconnect", "calibration")
TABLE_KEYS = {
    "system": (
        "id",
        "class",
        "bf16_tflops",
        "fp8_tflops",
        "int8_tops",
        "memory_gb",
        "memory_gb_per_s",
        "scale_up_gb_per_s",
        "scale_up_domain_devices",
        "scale_out_gb_per_s",
        "devices_per_node",
    ),
    "accelerator": (
        "id",
        "vendor",
        "device_unit",
        "bf16_tflops",
        "fp8_tflops",
        "int8_tops",
        "fp4_tflops",
        "memory_gb",
        "memory_gb_per_s",
        "tdp_w",
    ),
    "interconnect": (
        "id",
        "scope",
        "topology",
        "gb_per_s",
        "pair_gb_per_s",
        "efficiency",
        "measured_efficiency",
        "latency_us",
    ),
    "calibration": (
        "id",
        "name",
        "accelerators",
        "alike",
        "scale_up",
        "scale_out",
        "fitted",
    ),
    "model": (
        "id",
        "hidden_size",
        "layers",
        "moe_layers",
        "routed_experts",
        "shared_experts",
        "top_k",
        "expert_intermediate",
        "total_params",
        "active_params",
        "kv_bytes_per_token",
    ),
}
TEXTS = (
    "name",
    "vendor",
    "status",
    "launch",
    "release",
    "device_unit",
    "memory_type",
    "scope",
    "topology",
    "weights",
    "accelerators",
    "alike",
    "fitted",
)
FITTED = ("points", "training_error", "held_out_error")
"""What a table of a calibration record says of its fit."""
FLAGS = ("tied_embeddings",)


def _answer(
    command: str,
    rows: list[dict[str, Any]],
    *,
    summary: Mapping[str, Any] | None = None,
    notes: Iterable[str] = (),
    table_keys: tuple[str, ...] = (),
    inputs: Mapping[str, Any] | None = None,
) -> Answer:
    """Return rows with differing keys as an answer: the union of keys, in order of first appearance."""
    columns = object_columns(rows)
    shows = command.endswith(" show")  # whose table keys are kinds of provenance
    kept = table_keys if shows else tuple(key for key in table_keys if key in columns)
    return Answer(command, dict(inputs or {}), columns, dict(summary or {}), list(notes), kept)


def _row(record: Record, quantities: Mapping[str, Quantity], *, full: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": record.id, "record": record.record}
    row |= {key: record.data[key] for key in (*TEXTS, *FLAGS) if key in record.data}
    for key, value in quantities.items():
        row |= {key: value.value, f"{key}_kind": value.kind}
        if full:
            row |= {
                f"{key}_unit": value.unit,
                f"{key}_source": value.source,
                f"{key}_note": value.note or None,
                f"{key}_record": value.record,
                f"{key}_file": value.file,
            }
    return row


def _prices(prices: Iterable[Price]) -> list[dict[str, Any]]:
    """Return dated prices as plain entries, each with its basis: they are never added or mixed."""
    return [
        {
            "basis": price.basis,
            "terms": price.terms or None,
            "value": price.value,
            "unit": price.unit,
            "date": price.date,
            "kind": price.kind,
            "source": "; ".join(map(str, price.sources)),
            "note": price.note or None,
            "record": price.record,
            "file": price.file,
        }
        for price in prices
    ]


def _hardware_row(catalogue: Catalogue, record: Record, *, full: bool) -> dict[str, Any]:
    if record.record == "calibration":
        return _calibration_row(record, full=full)
    if record.record != "system":
        row = _row(record, record.quantities, full=full)
        return row | ({"prices": _prices(record.prices)} if full and record.prices else {})
    parts = system_parts(record.id, catalogue=catalogue)
    row = _row(record, parts.quantities, full=full)
    extra: dict[str, Any] = {
        "vendor": parts.accelerator.text("vendor"),
        "status": parts.accelerator.text("status"),
        "class": None,
        "accelerator": parts.accelerator.id,
        "scale_up": parts.scale_up.id if parts.scale_up else None,
        "scale_out": parts.scale_out.id if parts.scale_out else None,
        "missing": parts.missing or None,
    }
    if not parts.missing:
        system = load_system(record.id, catalogue=catalogue)
        extra["class"] = "superpod" if system.superpod else "scale-out"
    if full and (prices := record.prices or parts.accelerator.prices):
        row["prices"] = _prices(prices)
    head = {key: row.pop(key) for key in ("id", "record", "name")}
    return {**head, **extra, **row}


def _calibration_row(record: Record, *, full: bool) -> dict[str, Any]:
    """Return a calibration record: what it is for, its values, and how well each table fits."""
    row = _row(record, record.quantities, full=full)
    tables = dict.fromkeys(key.partition(".")[0] for key in record.quantities)
    fits = {
        f"{table}.{key}": record.data[table][key]
        for table in tables
        for key in FITTED
        if key in record.data[table]
    }
    fabrics = {key: record.data[key] for key in ("scale_up", "scale_out") if key in record.data}
    return {**row, **fabrics, **fits}


SHAPE = Source(title="counted from the shape", date="")
CONTEXT_TOKENS = 4096
"""Context at which `flops_per_token` is counted."""
COUNTED = {
    "total_params": ("1", "norms, biases and multi-token-prediction layers left out"),
    "active_params": ("1", "of one token: output head yes, input embedding no"),
    "weight_gb_bf16": ("GB", "all weights in bf16"),
    "weight_gb_fp8": ("GB", "all weights in fp8, embedding and output head in bf16"),
    "weight_gb_fp4": ("GB", "routed experts in fp4, the rest in fp8, embedding and output head in bf16"),
    "kv_bytes_per_token": ("B", "cache in bf16, while every sliding window holds the token"),
    "state_bytes": ("B", "of layers with a constant state, per sequence, in fp32"),
    "flops_per_token": ("1", f"of one decoded token at a context of {CONTEXT_TOKENS} tokens"),
}
"""What is counted from a model's shape: unit and note."""


def _model_row(record: Record, *, full: bool) -> dict[str, Any]:
    model = model_of(record)
    wide, narrow, least = (precision(name).bytes for name in ("bf16", "fp8", "fp4"))
    counted: dict[str, float] = {
        "total_params": model.total_params,
        "active_params": model.active_params,
        "weight_gb_bf16": model.weight_bytes(experts=wide) / 1e9,
        "weight_gb_fp8": model.weight_bytes(experts=narrow) / 1e9,
        "weight_gb_fp4": model.weight_bytes(experts=least, others=narrow) / 1e9,
        "kv_bytes_per_token": model.kv_bytes_per_token(wide),
        "state_bytes": model.state_bytes(),
        "flops_per_token": model.decode_flops_per_token(CONTEXT_TOKENS),
    }
    stated = ("_published_billion", "max_context_tokens", "mtp_layers")
    shape = [value for key, value in model.quantities.items() if not key.endswith(stated)]
    kind = "estimated" if weakest_kind(shape) == "estimated" else "derived"
    derived = {
        key: Quantity(
            key=key,
            value=value,
            unit=COUNTED[key][0],
            kind=kind,
            sources=(SHAPE,),
            note=COUNTED[key][1],
            record=f"model {record.id}",
            file=record.file,
        )
        for key, value in counted.items()
    }
    return _row(record, {**model.quantities, **derived}, full=full)


def _note_estimates(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the note that explains the dagger, where any value has one."""
    kinds = [value for row in rows for key, value in row.items() if key.endswith("_kind")]
    kinds += [price["kind"] for row in rows for price in row.get("prices") or ()]
    marked = (
        "marked \u2020: estimated, or counted from estimated values; nobody who stands behind it states it"
    )
    return [marked] if "estimated" in kinds else []


def list_hardware(catalogue: Catalogue, *, kind: str = "system", choose: Choose | None = None) -> Answer:
    """List the hardware records of a kind.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.
    kind : str
        `system`, `accelerator`, `interconnect` or `calibration`.
    choose : Choose, optional
        Which of them, and in which order; all by id where None.

    Returns
    -------
    Answer
        A row per record: id, record keys, and the kind of each value.

    Raises
    ------
    InputError
        If the kind or a filter is unknown, or a record is faulty.
    InfeasibleError
        If nothing passes the filters; names what comes nearest.
    """
    _check_kind(kind)
    rows = [_hardware_row(catalogue, record, full=False) for record in catalogue.records(kind)]
    return _listed("hardware list", kind, rows, choose or Choose())


def _listed(command: str, kind: str, rows: list[dict[str, Any]], choose: Choose) -> Answer:
    chosen = choose.among(rows, kind)
    return _answer(
        command,
        chosen,
        summary={"records": len(chosen), "of": len(rows)},
        notes=_note_estimates(chosen),
        table_keys=TABLE_KEYS[kind],
        inputs={"kind": kind, **dataclasses.asdict(choose)},
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Choose:
    """Which rows of a list, and in which order.

    Parameters
    ----------
    vendor : str, optional
        Only vendors whose name holds this; letter case does not matter.
    network : str, optional
        Only systems of this class: `superpod` or `scale-out`.
    least : mapping of str to float
        Only rows whose value of a key is known and at least so large, in the key's unit.
    sort : str, optional
        Key to sort by, a minus before it for the largest first; unknown values come last.
    """

    vendor: str | None = None
    network: str | None = None
    least: Mapping[str, float] = dataclasses.field(default_factory=dict)
    sort: str | None = None

    def among(self, rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
        """Return the chosen rows; InputError for an unknown filter, InfeasibleError if none is left."""
        chosen = rows
        if self.vendor is not None:
            known = {row["vendor"] for row in rows if row.get("vendor")}
            meant = {name for name in known if self.vendor.lower() in name.lower()}
            if not meant or not self.vendor.strip():
                near = nearest(self.vendor, map(str.lower, known))
                raise InputError(f"--vendor {shown(self.vendor)} is not known{near}")
            chosen = [row for row in chosen if row.get("vendor") in meant]
        if self.network is not None:
            if kind != "system":
                raise InputError(f"--class applies to systems, not to the kind {kind}")
            if self.network not in CLASSES:
                raise InputError(
                    f"--class {shown(self.network)} is not valid{nearest(self.network, CLASSES)}"
                )
            chosen = [row for row in chosen if row["class"] == self.network]
        before = chosen
        for key, least in self.least.items():
            chosen = [row for row in chosen if row.get(key) is not None and row[key] >= least]
        if not chosen:
            raise InfeasibleError(f"no {kind} passes the filters{self._nearest(before)}")
        return self._sorted(chosen)

    def _nearest(self, rows: list[dict[str, Any]]) -> str:
        """Say the largest value there is of each key that is filtered by."""
        largest = []
        for key in self.least:
            having = [row for row in rows if row.get(key) is not None]
            top = max(having, key=lambda row: row[key], default=None)
            largest.append(f"the largest {key} is {top[key]:g} ({top['id']})" if top else f"none has {key}")
        return "; " + ", ".join(largest) if largest else ""

    def _sorted(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.sort is None:
            return rows
        key = self.sort.removeprefix("-")
        known = {name for row in rows for name in row if not name.endswith("_kind")}
        if key not in known:
            raise InputError(f"--sort {shown(self.sort)} is no key of these records{nearest(key, known)}")
        known_rows = [row for row in rows if row.get(key) is not None]
        known_rows.sort(key=lambda row: row[key], reverse=self.sort.startswith("-"))
        return known_rows + [row for row in rows if row.get(key) is None]


CLASSES = ("superpod", "scale-out")


def _check_kind(kind: str) -> None:
    if kind not in HARDWARE_KINDS:
        raise InputError(f"--kind {shown(kind)} is not valid{nearest(kind, HARDWARE_KINDS)}")


def show_hardware(
    catalogue: Catalogue, names: Sequence[str], *, kind: str | None = None, where: bool = False
) -> Answer:
    """Show everything known under hardware ids; a system with the values of its parts.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.
    names : sequence of str
        Ids of systems, accelerators or interconnects; several are shown side by side. A calibration record is
        shown where nothing else has its id, or its kind is given.
    kind : str, optional
        Which of them, where several share an id.
    where : bool
        Whether tables show file and source of each value instead of record and note.

    Returns
    -------
    Answer
        A row per record: each value, and its unit, kind, source, note, record and file under the key with
        that ending; dated prices.

    Raises
    ------
    InputError
        If an id or the kind is unknown.
    """
    if kind is not None:
        _check_kind(kind)
    kinds = (kind,) if kind else HARDWARE_KINDS
    rows = []
    for name in dict.fromkeys(names):
        found = [record for each in kinds if (record := catalogue.find(each, name)) is not None]
        if not found:
            known = {other for each in kinds for other in catalogue.ids(each)}
            raise InputError(f"unknown {kind or 'hardware id'} {shown(name)}{nearest(name, known)}")
        parts = [record for record in found if record.record != "calibration"] or found
        whole = parts[:1] if parts[0].record == "system" else parts  # a system shows its parts already
        rows += [_hardware_row(catalogue, record, full=True) for record in whole]
    inputs = {"ids": list(names), "kind": kind}
    return _answer(
        "hardware show", rows, notes=_note_estimates(rows), inputs=inputs, table_keys=_shown_with(where=where)
    )


def _shown_with(*, where: bool) -> tuple[str, ...]:
    """Return the provenance a table shows of each value."""
    return ("file", "kind", "source") if where else ("record", "unit", "kind", "note")


def validate_hardware(catalogue: Catalogue) -> Answer:
    """Check every hardware record, shipped and overlaid, and that systems find their parts.

    Parameters
    ----------
    catalogue : Catalogue
        Made with `collect_faults=True`.

    Returns
    -------
    Answer
        A row per record: file, numbers, how many are estimated, what is missing, faults.
    """
    rows = []
    for kind in FOLDERS:
        for name in catalogue.ids(kind):
            row = _checked(catalogue, kind, name)
            if kind == "system" and not row["faults"]:
                try:
                    parts = system_parts(name, catalogue=catalogue)
                    row["missing"] = ", ".join(parts.missing) or None
                    if not parts.missing:
                        load_system(name, catalogue=catalogue)
                except InputError as error:
                    row["faults"] = [str(error)]
            rows.append(row)
    return _validated("hardware validate", rows, catalogue)


def _checked(catalogue: Catalogue, kind: str, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": name,
        "record": kind,
        "file": None,
        "numbers": 0,
        "estimated": 0,
        "missing": None,
    }
    try:
        record = catalogue.record(kind, name)
    except RecordError as error:
        return {**row, "file": error.file, "faults": list(error.faults)}
    values = record.quantities.values()
    estimated = sum(value.kind == "estimated" for value in values)
    return {**row, "file": record.file, "numbers": len(values), "estimated": estimated, "faults": []}


def _validated(command: str, rows: list[dict[str, Any]], catalogue: Catalogue) -> Answer:
    rows += [
        {"id": None, "record": None, "file": fault.file, "numbers": 0, "estimated": 0, "missing": None}
        | {"faults": list(fault.faults)}
        for fault in catalogue.faults
    ]
    faulty = sum(bool(row["faults"]) for row in rows)
    numbers, estimated = sum(row["numbers"] for row in rows), sum(row["estimated"] for row in rows)
    verdict = (
        f"{faulty} of {len(rows)} records are faulty." if faulty else f"All {len(rows)} records are valid."
    )
    return _answer(
        command,
        rows,
        summary={
            "records": len(rows),
            "numbers": numbers,
            "estimated": estimated,
            "faulty": faulty,
            "answer": f"{verdict} {numbers} numbers, each with a source; {estimated} of them estimated.",
        },
    )


def list_models(catalogue: Catalogue, *, choose: Choose | None = None) -> Answer:
    """List the models.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.
    choose : Choose, optional
        Which of them, and in which order; all by id where None.

    Returns
    -------
    Answer
        A row per model: id, record keys, the kind of each, and what is counted from the shape.

    Raises
    ------
    InputError
        If a filter is unknown or a record is faulty.
    InfeasibleError
        If nothing passes the filters; names what comes nearest.
    """
    rows = [_model_row(record, full=False) for record in catalogue.records("model")]
    return _listed("models list", "model", rows, choose or Choose())


def show_models(catalogue: Catalogue, names: Sequence[str], *, where: bool = False) -> Answer:
    """Show everything known of models.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.
    names : sequence of str
        Ids or aliases; several are shown side by side.
    where : bool
        Whether tables show file and source of each value instead of record and note.

    Returns
    -------
    Answer
        A row per model: each value, and its unit, kind, source, note, record and file under the key with
        that ending.

    Raises
    ------
    InputError
        If an id is unknown.
    """
    rows = [_model_row(catalogue.record("model", name), full=True) for name in dict.fromkeys(names)]
    inputs = {"ids": list(names)}
    return _answer(
        "models show", rows, notes=_note_estimates(rows), inputs=inputs, table_keys=_shown_with(where=where)
    )


IMPORTED_KEYS = (
    "id",
    "hidden_size",
    "dispatch_width",
    "layers",
    "moe_layers",
    "routed_experts",
    "shared_experts",
    "top_k",
    "expert_intermediate",
    "expert_matrices",
    "total_params",
    "active_params",
    "kv_bytes_per_token",
)


def imported_model(record: Record) -> Answer:
    """Show what an imported configuration says.

    Parameters
    ----------
    record : Record
        The record made from it.

    Returns
    -------
    Answer
        One row: shape, and parameters and cache bytes counted from it.
    """
    row = _model_row(record, full=False)
    first = {key: row[key] for key in IMPORTED_KEYS}
    rest = {key: value for key, value in row.items() if key not in first and key != "name"}
    notes = [
        f"{value.key} is derived: {value.note}"
        for value in record.quantities.values()
        if value.kind == "derived" and value.note
    ]
    return _answer("models import", [{**first, **rest}], notes=notes, table_keys=IMPORTED_KEYS)


def validate_models(catalogue: Catalogue) -> Answer:
    """Check every model record, shipped and overlaid, and that its shape holds together.

    Parameters
    ----------
    catalogue : Catalogue
        Made with `collect_faults=True`.

    Returns
    -------
    Answer
        A row per record: file, numbers, how many are estimated, faults.
    """
    rows = []
    for name in catalogue.ids("model"):
        row = _checked(catalogue, "model", name)
        if not row["faults"]:
            try:
                load_model(name, catalogue=catalogue)
            except InputError as error:
                row["faults"] = [str(error)]
        rows.append(row)
    return _validated("models validate", rows, catalogue)
