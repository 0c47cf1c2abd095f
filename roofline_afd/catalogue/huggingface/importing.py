"""Hugging Face `config.json` to a model record: every field known by name, nothing guessed, no code run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.catalogue.huggingface.families import Family, family_of, shape_of
from roofline_afd.catalogue.huggingface.fields import Fields, Noted, Shape, Tables, refuse
from roofline_afd.catalogue.huggingface.ignored import IGNORED, IGNORED_ENDINGS, OUTER
from roofline_afd.catalogue.huggingface.parsing import parse
from roofline_afd.catalogue.huggingface.quantization import weights
from roofline_afd.catalogue.huggingface.recognised import other_file, other_kind
from roofline_afd.catalogue.models import model_of
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.catalogue.writing import block, entries, today
from roofline_afd.errors import InputError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

WRAPPERS = ("thinker_config", "text_config")
"""Fields that hold the language model of a multimodal one, the outermost first."""
SHOWN_FAULTS = 12
"""Faults that a message names."""
_ORDER = (
    *("hidden_size", "dispatch_width", "layers", "moe_layers", "dense_layers", "dense_intermediate"),
    *("routed_experts", "zero_experts", "shared_experts", "shared_expert_intermediate", "top_k"),
    *("expert_groups", "groups_per_token", "hash_routed_layers", "expert_intermediate", "expert_matrices"),
    *("vocab_size", "residual_streams", "mtp_layers", "max_context_tokens"),
)
_ZERO_COUNTS = {"shared_experts", "mtp_layers", "dense_layers"}
"""Counts that a record states even where they are zero."""
_NEUTRAL = {"expert_groups": 1, "groups_per_token": 1, "residual_streams": 1}


class Imported(NamedTuple):
    """A record, as text, and what was passed over or not stated of its file."""

    record: str
    notes: list[str]


def read_config(
    text: str | bytes,
    *,
    model_id: str | None = None,
    vendor: str = "unknown",
    date: str | None = None,
    beside: str | bytes | None = None,
    assumed: str | None = None,
) -> Imported:
    """Turn a Hugging Face `config.json` into a model record.

    Parameters
    ----------
    text : str or bytes
        The file; only parsed, never run.
    model_id : str, optional
        Id and name of the record; by default its model_type in kebab-case.
    vendor : str
        Who made the model, which the file does not say.
    date : str, optional
        Date of reading, ISO 8601; today by default.
    beside : str or bytes, optional
        An `hf_quant_config.json` that stands beside the file: how weights are quantised, where the file
        does not say.
    assumed : str, optional
        Format to take for weights whose own is not known, or not stated.

    Returns
    -------
    Imported
        TOML that `roofline_afd.catalogue.reading.parse_record` accepts, and notes on what was passed over.

    Raises
    ------
    InputError
        If the file is broken, dense, of an unknown family, or has fields that are unknown, missing, wrong or
        contradictory: one line with every fault found.

    Examples
    --------
    >>> text = '''{"model_type": "mixtral", "hidden_size": 4096, "num_hidden_layers": 32,
    ...     "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8,
    ...     "num_experts_per_tok": 2, "intermediate_size": 14336, "vocab_size": 32000,
    ...     "max_position_embeddings": 32768}'''
    >>> read_config(text, model_id="mixtral-8x7b").record.splitlines()[2]
    'id = "mixtral-8x7b"'
    """
    other = other_file(text)
    if other:
        refuse(other)
    data = parse(text)
    inner = _language_model(data)
    other = other_kind(data, inner)
    if other:
        refuse(other)
    family = family_of(data, inner)
    shape, tables, tied, passed = _read(data, inner, family)
    quantised = None if beside is None else parse(beside)
    formats, notes = weights(data, inner, beside=quantised, assumed=assumed)
    if passed:
        several = "fields that change" if len(passed) > 1 else "a field that changes"
        notes.append(f"passed over, {several} neither shape nor precision nor cache: {', '.join(passed)}")
    given = (holder.get("model_type") for holder in (inner, data))
    spoken = next((name for name in given if isinstance(name, str)), family.names.split()[0])
    name = re.sub(r"[^a-z0-9.]+", "-", spoken.lower()).strip("-.") if model_id is None else model_id
    head = {
        "schema": 1,
        "record": "model",
        "id": name,
        "name": name,
        "vendor": vendor,
        **formats,
        "tied_embeddings": tied,
        "default_kind": "datasheet",
        "default_source": "config",
    }
    blocks = [
        "\n".join(entries(_stated(head))),
        "\n".join(entries(_stated(_complete(shape)))),
        *(block(f"attention.{kind}", _stated(layers)) for kind, layers in tables.items()),
        block("sources.config", {"title": f"config.json of {name}", "date": date or today()}),
    ]
    record = "\n\n".join(blocks) + "\n"
    read = parse_record(record.encode(errors="replace"), file=f"{name}.toml")
    try:
        model_of(read)
    except InputError as error:
        raise InputError(f"config.json: {error}") from error
    return Imported(record, notes)


def _language_model(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the language model: those of the file, or of the part that wraps it."""
    inner: Any = data
    for key in WRAPPERS:
        if isinstance(inner.get(key), dict):
            inner = inner[key]
        elif key in inner and inner[key] is not None and key == "text_config":
            refuse(f"text_config: {shown(inner[key])} is not an object")
    found: dict[str, Any] = dict(inner) if inner is data else inner
    return found


def _read(
    data: Mapping[str, Any], inner: Mapping[str, Any], family: Family
) -> tuple[Shape, Tables, bool, list[str]]:
    """Read shape, attention tables, whether embeddings are tied, and the fields that were passed over."""
    fields = Fields(inner)
    outer = fields if inner == data else Fields(data)
    shape = shape_of(fields, family)
    tables = family.layers(fields, shape)
    key = "tie_word_embeddings"
    outer.used.add(key)
    tied = [one.flag(key) for one in (fields, outer) if one.data.get(key) is not None][:1]
    if not tied and family.tied is None:
        fields.fault(f"missing {key}")
    if "layer_types" not in fields.used:  # kinds that the family has anyway
        fields.series(
            "layer_types",
            shape["layers"],
            ("full_attention", "indexed_attention", "deepseek_sparse_attention"),
        )
    fields.unknown(IGNORED | frozenset(family.ignored.split()), IGNORED_ENDINGS)
    if outer is not fields:
        outer.unknown(OUTER, IGNORED_ENDINGS)
        fields.faults += outer.faults
        fields.passed += outer.passed
    if not fields.faults and not 0 < shape["moe_layers"] <= shape["layers"]:
        fields.fault("no layer has routed experts")
    faults = list(dict.fromkeys(fields.faults))
    if faults:
        more = f"; and {len(faults) - SHOWN_FAULTS} more faults" if len(faults) > SHOWN_FAULTS else ""
        refuse("; ".join(faults[:SHOWN_FAULTS]) + more)
    return shape, tables, True in tied, list(dict.fromkeys(fields.passed))


def _complete(shape: Shape) -> Shape:
    """Put a shape into the form of a record: no neutral values, no widths of what is not there."""
    shape.setdefault("shared_experts", 0)
    shape["dispatch_width"] = shape.get("dispatch_width") or shape["hidden_size"]
    if not shape["shared_experts"]:
        shape.pop("shared_expert_intermediate", None)
    if "dense_layers" not in shape and shape["moe_layers"] == shape["layers"]:
        shape.pop("dense_intermediate", None)
    if shape.get("expert_groups") == 1:
        shape.pop("groups_per_token", None)
    return {
        key: shape[key]
        for key in _ORDER
        if key in shape and (shape[key] != 0 or key in _ZERO_COUNTS) and shape[key] != _NEUTRAL.get(key)
    }


def _stated(values: Mapping[str, object]) -> dict[str, object]:
    """Return what a record states of a table: absent values and false flags are left out."""
    return {
        key: {"value": value.value, "kind": value.kind, "source": "config", "note": value.note}
        if isinstance(value, Noted)
        else value
        for key, value in values.items()
        if value is not None and value is not False
    }
