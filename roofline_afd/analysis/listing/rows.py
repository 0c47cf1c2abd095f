"""Records of the catalogues as rows: each value with its kind, in full with unit, source, note and file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.answer import Decisive
from roofline_afd.catalogue.hardware import load_system, system_parts
from roofline_afd.catalogue.libraries import LIMITS
from roofline_afd.catalogue.models import model_of
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.records import KINDS, Price, Quantity, Record, Source, weakest_kind
from roofline_afd.errors import InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from roofline_afd.catalogue.models import Model
    from roofline_afd.catalogue.store import Catalogue

HARDWARE_KINDS = ("system", "accelerator", "interconnect", "calibration", "engine", "library")
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
    "fraction_holds",
    "exchange",
    "exchanges",
    "transport",
    "vendors",
)
FITTED = ("points", "training_error", "held_out_error")
"""What a table of a calibration record says of its fit."""
FLAGS = ("tied_embeddings",)
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


def hardware_row(catalogue: Catalogue, record: Record, *, full: bool) -> dict[str, Any]:
    """Return a hardware record as a row; a system with the values of its parts.

    Parameters
    ----------
    catalogue : Catalogue
        Where the parts of a system are looked up.
    record : Record
        The record.
    full : bool
        Whether each value comes with its unit, source, note, record and file, and prices with it.

    Returns
    -------
    dict
        Record keys to values, the kind of each under its key and `_kind`.
    """
    if record.record == "calibration":
        return _calibration_row(record, full=full)
    if record.record == "engine":
        families = {f"families.{table}": names for table, names in record.data["families"].items()}
        return _row(record, record.quantities, full=full) | families
    if record.record == "library":
        return _library_row(record, full=full)
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


def _library_row(record: Record, *, full: bool) -> dict[str, Any]:
    """Return a library: how it sends tokens, and its limits, lists and yes or no among them."""
    row = _row(record, {}, full=full)
    if full:
        row["transport_source"] = "; ".join(str(record.sources[name]) for name in record.data["source"])
    for key, entry in record.data.get(LIMITS, {}).items():
        name = f"{LIMITS}.{key}"
        row |= {name: entry["value"], f"{name}_kind": entry["kind"]}
        if full:
            row |= {
                f"{name}_unit": "1",
                f"{name}_source": "; ".join(str(record.sources[each]) for each in entry["source"]),
                f"{name}_note": entry.get("note"),
                f"{name}_record": f"library {record.id}",
                f"{name}_file": record.file,
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


def model_row(record: Record, *, full: bool) -> dict[str, Any]:
    """Return a model record as a row, with what is counted from its shape; as `hardware_row` does."""
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
    return _row(record, {**model.quantities, **derived}, full=full) | _published(record, model, full=full)


def _published(record: Record, model: Model, *, full: bool) -> dict[str, Any]:
    """Return the formats a model is published in, experts/rest each, the kind of the weakest, and sources."""
    if not model.checkpoints:
        return {}
    listed = record.data.get("checkpoints", ())
    stated = [str(record.data.get("default_kind", "datasheet")), *(each["kind"] for each in listed)]
    formats = [f"{each.experts}/{each.rest}" for each in model.checkpoints]
    if not full:
        return {"published": ", ".join(formats)}
    named = [f"{form} {each.repository}" for form, each in zip(formats, model.checkpoints, strict=True)]
    sources = dict.fromkeys(str(record.sources[name]) for each in listed for name in each["source"])
    return {
        "published": ", ".join(named),
        "published_kind": max(stated, key=KINDS.index),
        "published_source": "; ".join(sources),
        "published_note": "; ".join(each["note"] for each in listed if "note" in each) or None,
        "published_record": f"model {record.id}",
        "published_file": record.file,
    }


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


def note_estimates(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the note that explains the dagger, where any value has one."""
    kinds = [value for row in rows for key, value in row.items() if key.endswith("_kind")]
    kinds += [price["kind"] for row in rows for price in row.get("prices") or ()]
    marked = (
        "marked \u2020: estimated, or counted from estimated values; nobody who stands behind it states it"
    )
    return [Decisive(marked)] if "estimated" in kinds else []


def check_kind(kind: str) -> None:
    """Refuse a kind that no hardware record is of."""
    if kind not in HARDWARE_KINDS:
        raise InputError(f"--kind {shown(kind)} is not valid{nearest(kind, HARDWARE_KINDS)}")
