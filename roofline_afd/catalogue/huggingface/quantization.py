"""Precision of the weights, from the blocks and the types a `config.json` states, or a file beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.huggingface.fields import MAX_COUNT, as_list, refuse
from roofline_afd.errors import nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

BLOCKS = ("quantization_config", "quantization", "compression_config")
"""Fields that may hold a block, the usual one first."""
FORMATS = ("bf16", "fp8", "mxfp4", "nvfp4", "int8", "int4")
"""Formats of weights that a question may assume where a file's are not known."""
BF16 = {"weights": "bf16, not stated", "expert_weights": "bf16", "attention_weights": "bf16"}
TAKES = "--assume-format takes one for it"
_PLAIN = {"bfloat16": "bf16", "float16": "bf16", "float32": "bf16"}
_EXPERTS = re.compile(r"expert")
_SHARED = re.compile(r"shared_expert")
_ATTENTION = re.compile(r"attn|attention")
_QUERIES = re.compile(r"(q|q_a|q_b|qkv|query|in)_proj|c_attn|Wqkv|qkv")
_OUTPUTS = re.compile(r"(o|out)_proj|dense|c_proj|wo\b")


def weights(
    data: Mapping[str, Any],
    inner: Mapping[str, Any],
    *,
    beside: Mapping[str, Any] | None = None,
    assumed: str | None = None,
) -> tuple[dict[str, str], list[str]]:
    """Read the precision of the weights.

    Parameters
    ----------
    data : mapping
        Fields of the file.
    inner : mapping
        Those of the language model within it, which count first.
    beside : mapping, optional
        Fields of an `hf_quant_config.json`, which counts where the file itself says nothing.
    assumed : str, optional
        A member of `FORMATS` to take for weights whose format is not known, or not stated.

    Returns
    -------
    tuple of dict and list
        `weights` in words, `expert_weights` and `attention_weights` as formats known here, and
        `expert_activations` where it states that of experts narrower than the rest, empty where the file
        states none; and notes on what was not stated, or says how caches are held.

    Raises
    ------
    InputError
        If a format is not known, and none is assumed.
    """
    stated = (holder.get(key) for holder in (inner, data) for key in ("dtype", "torch_dtype"))
    dtype = next((one for one in stated if one is not None), None)
    block = _block(data, inner, beside)
    if block is None:
        return _unquantised(dtype, assumed)
    if not isinstance(block, dict):
        refuse(f"quantization_config: {shown(block)} is not an object")
    notes = _of_caches(block)
    method = _method(block)
    reader = _METHODS.get(method) if isinstance(method, str) else None
    form, rest, text = reader(block) if reader else (None, None, "")
    if form is None:
        if assumed is not None:
            words = f"{assumed}, assumed: the file's quantisation is not known"
            return {"weights": words, "expert_weights": assumed, "attention_weights": assumed}, notes
        if reader is None:
            known = [name for name in _METHODS if name]
            hint = nearest(str(method)[:80], known) if isinstance(method, str) else nearest("", known)
            refuse(f"quantization_config: quant_method {shown(method)} is not known{hint}; {TAKES}")
        refuse(f"quantization_config: no known format of quant_method {shown(method)}; {TAKES}")
    kept = [*_listed(block)]
    rest = "bf16" if leaves_attention(kept) else rest or form
    expert_dtype = inner.get("expert_dtype")
    if expert_dtype is not None:
        return _experts_apart(expert_dtype, block, (form, text)) | {"attention_weights": rest}, notes
    if rest != form:
        text = f"experts {text}; attention {rest}"
    return {"weights": text, "expert_weights": form, "attention_weights": rest}, notes


def _block(data: Mapping[str, Any], inner: Mapping[str, Any], beside: Mapping[str, Any] | None) -> Any:  # noqa: ANN401
    """Return the block that says how weights are quantised: in the file, or in one beside it."""
    for holder in (inner, data):
        for key in BLOCKS:
            if holder.get(key) is not None:
                return holder[key]
    if beside is None:
        return None
    block = beside.get("quantization", beside)
    return {**block, "quant_method": "modelopt"} if isinstance(block, dict) else block


def _unquantised(dtype: object, assumed: str | None) -> tuple[dict[str, str], list[str]]:
    """Return the formats of a file without a block: those of its type, or assumed."""
    if assumed is not None:
        words = f"{assumed}, assumed"
        return {"weights": words, "expert_weights": assumed, "attention_weights": assumed}, []
    missing = (
        "no quantisation is stated in the file: an hf_quant_config.json beside it, where there is one, says "
        "which (it is read with the file), or --assume-format"
    )
    if dtype is None:
        return BF16, [f"weights in bf16, as is usual where a file does not say; {missing}"]
    form = _PLAIN.get(dtype) if isinstance(dtype, str) else None
    if form is None:
        refuse(f"torch_dtype: {shown(dtype)} is no precision known here; valid: {', '.join(_PLAIN)}")
    note = f"weights in {form}, as dtype {dtype} has it; {missing}"
    return {"weights": "bf16", "expert_weights": form, "attention_weights": form}, [note]


def _method(block: Mapping[str, Any]) -> object:
    """Return the method of a block; MLX writes none."""
    method = block.get("quant_method")
    if method is None and isinstance(block.get("bits"), int) and "group_size" in block:
        return "mlx"
    return method


def _of_caches(block: Mapping[str, Any]) -> list[str]:
    """Return a note where a block says how caches are held."""
    scheme = block.get("kv_cache_scheme")
    named = block.get("kv_cache_quant_algo")
    form = named.lower() if isinstance(named, str) else None
    if isinstance(scheme, dict):
        form = _packed(scheme.get("num_bits"), scheme.get("type"), scheme.get("group_size"))
    return [] if form is None else [f"caches are held in {form}: --kv-precision {form}"]


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


def _listed(block: Mapping[str, Any]) -> Iterable[str]:
    """Yield the modules that a block leaves unquantised."""
    for key in ("modules_to_not_convert", "ignore", "exclude_modules", "exclude", "ignored_layers"):
        yield from (one for one in as_list(block.get(key)) if isinstance(one, str))
    skipped = block.get("llm_int8_skip_modules")
    yield from (one for one in as_list(skipped) if isinstance(one, str))
    extra = block.get("extra_config") or block.get("dynamic")
    if isinstance(extra, dict):  # widths of single modules
        for name, own in extra.items():
            bits = own.get("bits") if isinstance(own, dict) else None
            if bits in (16, 32) or str(name).startswith("-:"):
                yield str(name)


def leaves_attention(modules: Iterable[str]) -> bool:
    """Return whether a list of modules left unquantised holds attention: whole blocks, or its projections.

    Parameters
    ----------
    modules : iterable of str
        Names or patterns, of one layer or all.

    Returns
    -------
    bool
        Whether queries and outputs are both among them.
    """
    names = [one.removeprefix("re:").replace("\\", "") for one in modules]
    attention = [one for one in names if _ATTENTION.search(one)]
    if any(re.search(r"(^|[.*])(self_)?(attn|attention)[.*]*\$?$", one) for one in attention):
        return True
    return any(_QUERIES.search(one) for one in attention) and any(_OUTPUTS.search(one) for one in attention)


Read = tuple[str | None, str | None, str]
"""Format of the experts, of attention where it differs, and both in words."""


def _fp8(block: Mapping[str, Any]) -> Read:
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
    return ("fp8", None, f"fp8 {known}{blocks}") if known else (None, None, "")


def _by_targets(groups: Iterable[tuple[object, Iterable[object]]]) -> tuple[str | None, str | None]:
    """Return the format of experts and of attention from formats and the modules each is for."""
    found: dict[str, set[str]] = {"experts": set(), "attention": set(), "": set()}
    for form, targets in groups:
        if not isinstance(form, str):
            return None, None
        for target in targets:
            name = str(target)
            routed = _EXPERTS.search(name) and not _SHARED.search(name)
            found["experts" if routed else "attention" if _ATTENTION.search(name) else ""].add(form)
    common = next(iter(found[""])) if len(found[""]) == 1 else None
    both = [
        next(iter(found[part])) if len(found[part]) == 1 else None if found[part] else common
        for part in ("experts", "attention")
    ]
    return both[0], both[1]


def _compressed_tensors(block: Mapping[str, Any]) -> Read:
    groups = block.get("config_groups")
    read: list[tuple[object, list[Any]]] = []
    sizes = []
    for group in groups.values() if isinstance(groups, dict) else ():
        one = group.get("weights") if isinstance(group, dict) else None
        if isinstance(one, dict):
            form = _packed(one.get("num_bits"), one.get("type"), one.get("group_size"))
            read.append((form, as_list(group.get("targets")) or ["Linear"]))
            sizes.append(one.get("group_size"))
    experts, attention = _by_targets(read)
    size = sizes[0] if len(sizes) == 1 else None
    text = f"{experts}, groups of {size}" if isinstance(size, int) else str(experts)
    return experts, attention, text


_ALGORITHMS = {
    "FP8": "fp8",
    "FP8_PB_WO": "fp8",
    "FP8_PER_CHANNEL_PER_TOKEN": "fp8",
    "NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4",
    "W4A16_NVFP4": "nvfp4",
    "W4A8_NVFP4_FP8": "nvfp4",
    "MXFP4": "mxfp4",
    "W4A8_MXFP4_FP8": "mxfp4",
    "W4A16_AWQ": "int4",
    "W4A8_AWQ": "int4",
    "INT8_SQ": "int8",
    "W8A8_SQ_PER_CHANNEL": "int8",
}
"""Formats by the algorithms of modelopt."""


def _modelopt(block: Mapping[str, Any]) -> Read:
    algorithm = block.get("quant_algo")
    layers = block.get("quantized_layers")
    if algorithm == "MIXED_PRECISION" or (algorithm is None and isinstance(layers, dict)):
        listed = layers.items() if isinstance(layers, dict) else ()
        experts, attention = _by_targets(
            (_ALGORITHMS.get(str(own.get("quant_algo")).upper()), [name])
            for name, own in listed
            if isinstance(own, dict)
        )
        return experts, attention, f"{experts}, by modelopt"
    only = _ALGORITHMS.get(algorithm.upper()) if isinstance(algorithm, str) else None
    return only, None, f"{only}, by modelopt"


def _integers(block: Mapping[str, Any]) -> Read:
    only = _packed(block.get("bits", block.get("w_bit")), "int", None)
    return only, None, f"{only}, by {block.get('quant_method')}"


def _mlx(block: Mapping[str, Any]) -> Read:
    """Read a block of MLX, where single modules may have widths of their own."""
    mode = block.get("mode", "affine")
    only = str(mode) if mode in ("mxfp4", "nvfp4") else _packed(block.get("bits"), "int", None)
    own = [(name, one.get("bits")) for name, one in block.items() if isinstance(one, dict)]
    experts, attention = _by_targets(
        [(only, ["Linear"]), *((_packed(bits, "int", None) or "bf16", [name]) for name, bits in own)]
    )
    return experts, attention, f"{experts}, groups of {block.get('group_size')}, by mlx"


def _quark(block: Mapping[str, Any]) -> Read:
    common = block.get("global_quant_config")
    weight = common.get("weight") if isinstance(common, dict) else None
    if isinstance(weight, list):
        weight = weight[0] if weight else None
    if not isinstance(weight, dict):
        return None, None, ""
    number = str(weight.get("dtype"))
    forms = {"fp8_e4m3": "fp8", "fp4": "mxfp4", "int4": "int4", "uint4": "int4", "int8": "int8"}
    only = forms.get(number)
    return only, None, f"{only}, by quark"


def _bitsandbytes(block: Mapping[str, Any]) -> Read:
    four = block.get("load_in_4bit") is True or block.get("_load_in_4bit") is True
    eight = block.get("load_in_8bit") is True or block.get("_load_in_8bit") is True
    only = "int4" if four else "int8" if eight else None
    return only, None, f"{only}, by bitsandbytes"


def _torchao(block: Mapping[str, Any]) -> Read:
    kind = block.get("quant_type")
    text = str(kind).lower()
    only = next(
        (form for word, form in (("float8", "fp8"), ("int4", "int4"), ("int8", "int8")) if word in text), None
    )
    return only, None, f"{only}, by torchao"


def _packed(bits: object, kind: object, group: object) -> str | None:
    table = {(8, "float"): "fp8", (8, "int"): "int8", (4, "int"): "int4"}
    if not isinstance(bits, int) or not isinstance(kind, str):
        return None
    if (bits, kind) == (4, "float"):
        return {32: "mxfp4", 16: "nvfp4"}.get(group) if isinstance(group, int) else None
    return table.get((bits, kind))


_METHODS: dict[str, Callable[[Mapping[str, Any]], Read]] = {
    "fp8": _fp8,
    "fbgemm_fp8": lambda _: ("fp8", None, "fp8, by fbgemm"),
    "mxfp4": lambda _: ("mxfp4", None, "mxfp4, groups of 32"),
    "compressed-tensors": _compressed_tensors,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "gptq": _integers,
    "gptq_marlin": _integers,
    "awq": _integers,
    "awq_marlin": _integers,
    "auto-round": _integers,
    "auto_round": _integers,
    "intel/auto-round": _integers,
    "quark": _quark,
    "bitsandbytes": _bitsandbytes,
    "torchao": _torchao,
    "mlx": _mlx,
}
"""Readers of a quantization block by its quant_method: formats (None: not known), and text."""
