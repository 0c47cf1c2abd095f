"""Hugging Face `config.json` to a model record: every field known by name, nothing guessed, no code run."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.huggingface.families import (
    FAMILIES,
    IGNORED,
    IGNORED_ENDINGS,
    OUTER,
    Family,
    Shape,
    Tables,
)
from roofline_afd.catalogue.huggingface.fields import MAX_COUNT, Fields, Noted, refuse
from roofline_afd.catalogue.models import model_of
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.errors import InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_CONFIG_BYTES = 1_000_000
MAX_LAYERS = 2_000
MAX_DIGITS = 20
SHOWN_KEYS = 12

# --- reading ---------------------------------------------------------------------------------------------


def _constant(text: str) -> float:
    """Let infinities pass, which shipped files hold in fields that nobody reads; never NaN."""
    if text == "NaN":
        refuse("holds NaN, which is no JSON number")
    return float(text)


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        refuse(f"holds an integer of {len(text)} digits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
    if twice:
        refuse(f"field {shown(twice[0])} is given twice")
    return dict(pairs)


def _parse(text: str | bytes) -> dict[str, Any]:
    """Parse JSON strictly; every way in which a file can be broken is one line."""
    size = len(text)
    if size > MAX_CONFIG_BYTES:
        refuse(f"{size:,} bytes; a configuration has at most {MAX_CONFIG_BYTES:,}")
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        data = json.loads(decoded, parse_constant=_constant, parse_int=_whole, object_pairs_hook=_object)
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError("config.json: is not UTF-8 text") from error
    except RecursionError as error:
        raise InputError("config.json: is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"config.json: is not valid JSON: {str(error)[:120]}") from error
    if not isinstance(data, dict):
        refuse(f"is a JSON {type(data).__name__}, not an object")
    return data


def _family(data: Mapping[str, Any], inner: Mapping[str, Any]) -> Family:
    """Find the family by model_type and architectures, inner and outer; all that are known must agree."""
    given = [
        name
        for holder in (inner, data)
        for name in (holder.get("model_type"), *_names(holder.get("architectures")))
        if isinstance(name, str)
    ]
    found = {id(family): family for family in FAMILIES for name in given if name in family.names.split()}
    if len(found) > 1:
        refuse(f"{' and '.join(map(shown, dict.fromkeys(given)))} name different families of models")
    if not found:
        refuse(_unknown_family(given[0] if given else "", inner))
    return next(iter(found.values()))


def _unknown_family(name: str, inner: Mapping[str, Any]) -> str:
    """Say that a file is of no known family, whether it looks dense, and which fields it has."""
    keys = sorted(inner)
    seen = ", ".join(shown(key).strip("'") for key in keys[:SHOWN_KEYS])
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    dense = not any(re.search("expert|moe", key) for key in keys)
    what = "no field speaks of experts, and" if dense else "it has experts, but"
    known = {known for family in FAMILIES for known in family.names.split() if known.islower()}
    hint = nearest(name[:80], known) if name else f"; valid: {', '.join(sorted(known)[:SHOWN_KEYS])}, ..."
    return (
        f"{what} {shown(name) if name else 'a file without model_type'} is no known family of "
        f"mixture-of-experts models{hint}; fields seen: {seen or 'none'}{more}"
    )


def _names(value: object) -> list[object]:
    return value if isinstance(value, list) else []


# --- precision of the weights ----------------------------------------------------------------------------


def _leaves_attention(modules: object) -> bool:
    """Say whether a list of modules left unquantised holds whole attention blocks."""
    return any(
        isinstance(one, str) and re.search(r"(^|[.*])(self_)?attn[.*]*\$?$", one) for one in _names(modules)
    )


def _packed(bits: object, kind: object, group: object) -> str | None:
    table = {(8, "float"): "fp8", (8, "int"): "int8", (4, "int"): "int4"}
    if not isinstance(bits, int) or not isinstance(kind, str):
        return None
    if (bits, kind) == (4, "float"):
        return {32: "mxfp4", 16: "nvfp4"}.get(group) if isinstance(group, int) else None
    return table.get((bits, kind))


def _compressed_tensors(block: Mapping[str, Any]) -> tuple[str | None, str]:
    groups = block.get("config_groups")
    weights = [
        group.get("weights")
        for group in (groups.values() if isinstance(groups, dict) else ())
        if isinstance(group, dict)
    ]
    formats = {
        _packed(one.get("num_bits"), one.get("type"), one.get("group_size"))
        for one in weights
        if isinstance(one, dict)
    }
    only = formats.pop() if len(formats) == 1 else None
    size = weights[0].get("group_size") if weights and isinstance(weights[0], dict) else None
    return only, f"{only}, groups of {size}" if isinstance(size, int) else str(only)


def _weights(block: object, dtype: object, expert_dtype: object) -> dict[str, str]:
    """Read the precision of the weights: text, of the experts, of the rest."""
    if block is None:
        if dtype is None:
            return {}
        if dtype not in ("bfloat16", "float16"):
            refuse(f"torch_dtype: {shown(dtype)} is no precision known here; valid: bfloat16, float16")
        return {"weights": "bf16", "expert_weights": "bf16", "attention_weights": "bf16"}
    if not isinstance(block, dict):
        refuse(f"quantization_config: {shown(block)} is not an object")
    method = block.get("quant_method")
    if not isinstance(method, str) or method not in _METHODS:
        hint = nearest(str(method)[:80], _METHODS) if isinstance(method, str) else nearest("", _METHODS)
        refuse(f"quantization_config: quant_method {shown(method)} is not known{hint}")
    experts, text = _METHODS[method](block)
    if experts is None:
        refuse(f"quantization_config: no known format in a block of quant_method {shown(method)}")
    kept = block.get("modules_to_not_convert") or block.get("ignore") or block.get("exclude_modules")
    rest = "bf16" if _leaves_attention(kept) else experts
    if expert_dtype is not None:
        if expert_dtype not in ("fp4", "fp8"):
            refuse(f"expert_dtype: {shown(expert_dtype)} is not known; valid: fp4, fp8")
        experts, text = str(expert_dtype), f"experts {expert_dtype}, the rest {text}"
    elif rest != experts:
        text = f"experts {text}; attention bf16"
    return {"weights": text, "expert_weights": experts, "attention_weights": rest}


def _fp8(block: Mapping[str, Any]) -> tuple[str | None, str]:
    size = block.get("weight_block_size")
    whole = isinstance(size, list) and all(isinstance(one, int) and 0 < one < MAX_COUNT for one in size)
    blocks = (
        f", {'x'.join(map(str, size))} blocks"
        if isinstance(size, list) and whole and size[:3] == size
        else ""
    )
    number = block.get("fmt", "e4m3")
    named = {"e4m3": "E4M3", "float8_e4m3fn": "E4M3", "e5m2": "E5M2"}
    known = named.get(number) if isinstance(number, str) else None
    return ("fp8", f"fp8 {known}{blocks}") if known else (None, "")


def _modelopt(block: Mapping[str, Any]) -> tuple[str | None, str]:
    algorithm = block.get("quant_algo")
    only = {"FP8": "fp8", "NVFP4": "nvfp4"}.get(algorithm) if isinstance(algorithm, str) else None
    return only, f"{only}, by modelopt"


def _integers(block: Mapping[str, Any]) -> tuple[str | None, str]:
    only = _packed(block.get("bits"), "int", None)
    return only, f"{only}, by {block['quant_method']}"


_METHODS: dict[str, Callable[[Mapping[str, Any]], tuple[str | None, str]]] = {
    "fp8": _fp8,
    "mxfp4": lambda _: ("mxfp4", "mxfp4, groups of 32"),
    "compressed-tensors": _compressed_tensors,
    "modelopt": _modelopt,
    "gptq": _integers,
    "awq": _integers,
}
"""Readers of a quantization block by its quant_method: format of the experts (None: not known), and text."""


# --- the record ------------------------------------------------------------------------------------------


def _shape(fields: Fields, family: Family) -> Shape:
    """Read the numbers a family spells one to one."""
    shape: Shape = {}
    for pair in family.spelling.split():
        ours, _, theirs = pair.partition("=")
        limit = MAX_LAYERS if ours == "layers" else MAX_COUNT
        key, mark, absent = re.fullmatch(r"(\w+)([!?]?)(\d*)", theirs).groups()  # type: ignore[union-attr]
        shape[ours] = fields.number(
            key,
            null=int(absent) if mark else None,
            missing=int(absent) if mark == "?" else None,
            minimum=0 if absent == "0" or ours == "hash_routed_layers" else 1,
            maximum=limit,
        )
    if shape.get("mtp_layers") == 0 and not any("mtp" in key or "nextn" in key for key in fields.data):
        del shape["mtp_layers"]  # a file that does not speak of them does not say that there are none
    activation = fields.value(family.activation)
    if activation is None or activation in family.gated:
        shape["expert_matrices"] = 2 if family.plain and not family.gated else 3
    elif activation in family.plain:
        shape["expert_matrices"] = 2
    else:
        valid = ", ".join((*family.gated, *family.plain))
        fields.fault(f"{family.activation}: {shown(activation)} is not known of this family; valid: {valid}")
    return shape


_ORDER = (
    *("hidden_size", "dispatch_width", "layers", "moe_layers", "dense_layers", "dense_intermediate"),
    *("routed_experts", "zero_experts", "shared_experts", "shared_expert_intermediate", "top_k"),
    *("expert_groups", "groups_per_token", "hash_routed_layers", "expert_intermediate", "expert_matrices"),
    *("vocab_size", "residual_streams", "mtp_layers", "max_context_tokens"),
)
_ZERO_COUNTS = {"shared_experts", "mtp_layers", "dense_layers"}
"""Counts that a record states even where they are zero."""
_NEUTRAL = {"expert_groups": 1, "groups_per_token": 1, "residual_streams": 1}


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


def _toml(value: object) -> str:
    if isinstance(value, Noted):
        inner = {"value": value.value, "kind": value.kind, "source": "config", "note": value.note}
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in inner.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def _lines(table: Mapping[str, object]) -> list[str]:
    """Write the entries of a TOML table; absent ones and false flags are left out."""
    return [
        f"{key} = {_toml(value)}" for key, value in table.items() if value is not None and value is not False
    ]


def import_config(
    text: str | bytes,
    *,
    model_id: str | None = None,
    vendor: str = "unknown",
    date: str | None = None,
) -> str:
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

    Returns
    -------
    str
        TOML that `roofline_afd.catalogue.reading.parse_record` accepts.

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
    >>> import_config(text, model_id="mixtral-8x7b").splitlines()[2]
    'id = "mixtral-8x7b"'
    """
    data = _parse(text)
    inner = data.get("text_config", data)
    if not isinstance(inner, dict):
        refuse(f"text_config: {shown(inner)} is not an object")
    family = _family(data, inner)
    shape, tables, tied = _read(data, inner, family)
    holders = (inner, data)
    dtypes = (holder.get(key) for holder in holders for key in ("dtype", "torch_dtype"))
    weights = _weights(
        inner.get("quantization_config", data.get("quantization_config")),
        next((dtype for dtype in dtypes if dtype is not None), None),
        inner.get("expert_dtype"),
    )
    given = (holder.get("model_type") for holder in holders)
    spoken = next((name for name in given if isinstance(name, str)), family.names.split()[0])
    name = re.sub(r"[^a-z0-9.]+", "-", spoken.lower()).strip("-.") if model_id is None else model_id
    head = {
        "schema": 1,
        "record": "model",
        "id": name,
        "name": name,
        "vendor": vendor,
        **weights,
        "tied_embeddings": tied,
        "default_kind": "datasheet",
        "default_source": "config",
    }
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    lines = [*_lines(head), "", *_lines(_complete(shape))]
    for kind, table in tables.items():
        lines += ["", f"[attention.{kind}]", *_lines(table)]
    lines += ["", "[sources.config]", *_lines({"title": f"config.json of {name}", "date": date or today})]
    record = "\n".join(lines) + "\n"
    read = parse_record(record.encode(errors="replace"), file=f"{name}.toml")
    try:
        model_of(read)
    except InputError as error:
        raise InputError(f"config.json: {error}") from error
    return record


def _read(data: Mapping[str, Any], inner: Mapping[str, Any], family: Family) -> tuple[Shape, Tables, bool]:
    """Read shape, attention tables and whether embeddings are tied; every field must be accounted for."""
    fields = Fields(inner)
    outer = fields if inner is data else Fields(data)
    shape = _shape(fields, family)
    tables = family.layers(fields, shape)
    key = "tie_word_embeddings"
    tied = {one.flag(key) for one in (fields, outer) if one.data.get(key) is not None}
    if len(tied) > 1:
        fields.fault(f"{key} differs inside and outside text_config")
    if not tied and family.tied is None:
        fields.fault(f"missing {key}")
    fields.unknown(IGNORED | frozenset(family.ignored.split()), IGNORED_ENDINGS)
    if outer is not fields:
        outer.unknown(OUTER, IGNORED_ENDINGS)
        fields.faults += outer.faults
    if not fields.faults and not 0 < shape["moe_layers"] <= shape["layers"]:
        fields.fault("no layer has routed experts")
    faults = list(dict.fromkeys(fields.faults))
    if faults:
        more = f"; and {len(faults) - SHOWN_KEYS} more faults" if len(faults) > SHOWN_KEYS else ""
        refuse("; ".join(faults[:SHOWN_KEYS]) + more)
    return shape, tables, True in tied
