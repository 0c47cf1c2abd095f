"""Precision of the weights, from the `quantization_config` and the types a `config.json` states."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.huggingface.fields import MAX_COUNT, as_list, refuse
from roofline_afd.errors import nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def weights(data: Mapping[str, Any], inner: Mapping[str, Any]) -> dict[str, str]:
    """Read the precision of the weights.

    Parameters
    ----------
    data : mapping
        Fields of the file.
    inner : mapping
        Those of the language model within it, which count first.

    Returns
    -------
    dict of str to str
        `weights` in words, `expert_weights` and `attention_weights` as formats known here, and
        `expert_activations` where it states that of experts narrower than the rest; empty where the file
        states none.

    Raises
    ------
    InputError
        If a format is not known.
    """
    stated = (holder.get(key) for holder in (inner, data) for key in ("dtype", "torch_dtype"))
    dtype = next((one for one in stated if one is not None), None)
    block = inner.get("quantization_config", data.get("quantization_config"))
    expert_dtype = inner.get("expert_dtype")
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
        return _experts_apart(expert_dtype, block, (experts, text)) | {"attention_weights": rest}
    if rest != experts:
        text = f"experts {text}; attention bf16"
    return {"weights": text, "expert_weights": experts, "attention_weights": rest}


def _experts_apart(stated: object, block: Mapping[str, Any], common: tuple[str, str]) -> dict[str, str]:
    """Read experts whose format is stated apart from that of the rest, which quantises activations too."""
    if stated not in ("fp4", "fp8"):
        refuse(f"expert_dtype: {shown(stated)} is not known; valid: fp4, fp8")
    experts = "mxfp4" if stated == "fp4" else "fp8"  # one E8M0 scale for 32 elements
    form, text = common
    found = {"weights": f"experts {experts}, the rest {text}", "expert_weights": experts}
    if experts != form and block.get("activation_scheme") == "dynamic":
        found["expert_activations"] = form
    return found


def _leaves_attention(modules: object) -> bool:
    """Say whether a list of modules left unquantised holds whole attention blocks."""
    return any(
        isinstance(one, str) and re.search(r"(^|[.*])(self_)?attn[.*]*\$?$", one) for one in as_list(modules)
    )


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


def _modelopt(block: Mapping[str, Any]) -> tuple[str | None, str]:
    algorithm = block.get("quant_algo")
    only = {"FP8": "fp8", "NVFP4": "nvfp4"}.get(algorithm) if isinstance(algorithm, str) else None
    return only, f"{only}, by modelopt"


def _integers(block: Mapping[str, Any]) -> tuple[str | None, str]:
    only = _packed(block.get("bits"), "int", None)
    return only, f"{only}, by {block['quant_method']}"


def _packed(bits: object, kind: object, group: object) -> str | None:
    table = {(8, "float"): "fp8", (8, "int"): "int8", (4, "int"): "int4"}
    if not isinstance(bits, int) or not isinstance(kind, str):
        return None
    if (bits, kind) == (4, "float"):
        return {32: "mxfp4", 16: "nvfp4"}.get(group) if isinstance(group, int) else None
    return table.get((bits, kind))


_METHODS: dict[str, Callable[[Mapping[str, Any]], tuple[str | None, str]]] = {
    "fp8": _fp8,
    "mxfp4": lambda _: ("mxfp4", "mxfp4, groups of 32"),
    "compressed-tensors": _compressed_tensors,
    "modelopt": _modelopt,
    "gptq": _integers,
    "awq": _integers,
}
"""Readers of a quantization block by its quant_method: format of the experts (None: not known), and text."""
