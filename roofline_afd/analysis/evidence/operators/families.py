"""Which kernel a measured row timed: the table of a record that it belongs to, and the library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.operators.formats import operand_format
from roofline_afd.catalogue.calibration import OPERATOR_TABLES

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.operators.rows import Measurement

KERNELS = {
    "gemm": "gemm",
    "grouped_gemm": "grouped_gemm",
    "grouped_gemm_up": "grouped_gemm",
    "grouped_gemm_down": "grouped_gemm",
    "moe_experts": "experts",
    "gqa_decode": "gqa_decode",
    "mla_decode": "mla_decode",
    "dsa_decode_attention": "mla_decode",
    "gqa_prefill": "prefill_attention",
    "mla_prefill": "prefill_attention",
    "dsa_prefill_attention": "prefill_attention",
    "dsa_decode_index": "index",
    "dsa_prefill_index": "index",
    "linear_decode_convolution": "convolution",
    "linear_decode_update": "state",
    "dispatch": "link",
    "combine": "link",
}
"""Operator of a measured row to the kernel whose efficiencies its time depends on, or `link`."""
PRODUCTS = ("gemm", "grouped_gemm", "experts")
CORES = ("gqa_decode", "mla_decode")
NAMES = (
    ("experts", "deepgemm", "deepgemm"),
    ("experts", "min_latency", "min-latency"),
    ("experts", "cutlass", "cutlass"),
    ("experts", "trtllm", "trtllm-gen"),
    ("experts", "vllm", "trtllm-gen"),
    ("gemm", "deepgemm", "deepgemm"),
    ("gemm", "torch_flow", "torch-flow"),
    ("gemm", "sglang", "cutedsl-sglang"),
    ("gemm", "vllm", "cutedsl-vllm"),
    ("grouped_gemm", "fastafd", "deepgemm"),
    ("gqa_decode", "fa3", "fa3"),
    ("gqa_decode", "flashinfer", "flashinfer"),
    ("gqa_decode", "fastafd", "flashinfer"),
    ("mla_decode", "flash_attention", "fa3"),
    *((core, engine, engine) for core in CORES for engine in ("sglang", "trtllm")),
)
"""Kernel, a word among the engine and the kernel of a row, and the library it tells; the first counts."""
UNNAMED = {
    "gemm": "deepgemm",
    "grouped_gemm": "deepgemm",
    "gqa_decode": "flashinfer",
    "mla_decode": "flashmla",
}
"""Library of rows that name neither engine nor kernel, as the notes of their source do."""
TIES = (
    "balanced rows of DeepSeek-V3 in kernels that route inside: forced logits tie all groups of experts, so "
    "that the timed device gets about four pairs more of every token than the row says"
)
SPARSE = ("dsa_decode_attention",)
LINEAR = ("linear_decode_convolution", "linear_decode_update")
COPIED_HEADS = 64
COPIED = (
    "rows of 64 value heads repeat those of 32 to the digit, though they move twice the bytes: one of both "
    "sets is false"
)
UNREPRESENTATIVE = (
    "balanced rows of the min-latency kernels take twice what their power-law rows do at the same load, for "
    "a cause not known"
)


def family_of(row: Measurement) -> str:
    """Return the library whose kernel a row timed; empty where its kernel has only one."""
    kernel = KERNELS[row.operator]
    words = row.family.lower()
    for of, word, name in NAMES:
        if of == kernel and word in words:
            return name
    if kernel not in UNNAMED and kernel not in PRODUCTS:
        return ""
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:40] or UNNAMED.get(kernel, "")


def form_of(row: Measurement) -> str:
    """Return the format that tells a row's table: of operands of a product, of the cache of a core."""
    kernel = KERNELS[row.operator]
    if kernel in PRODUCTS:
        return operand_format(row).id
    return row.texts["kv_precision"] or "bf16" if kernel in CORES else ""


def table_of(row: Measurement, known: tuple[str, ...] = ()) -> str:
    """Return the table of a record that a row belongs to.

    Parameters
    ----------
    row : Measurement
        A row whose operator is in `KERNELS`.
    known : tuple of str
        Tables that the record has: caches of 8 bits have one of their own only where it does.

    Returns
    -------
    str
        A member of `OPERATOR_TABLES`, or `link`.
    """
    kernel = KERNELS[row.operator]
    own = f"{kernel}_{form_of(row)}" if kernel != "link" else kernel
    apart = own in OPERATOR_TABLES and (kernel not in CORES or own in known)
    return own if apart else kernel


def why_unfit(row: Measurement) -> str:
    """Return why a row says less of its kernel than its use claims; empty where nothing is known."""
    if row.operator in SPARSE:
        return f"{row.operator} is predicted with what whole caches show: its few rows are of one batch"
    if row.operator in LINEAR and row.numbers.get("kv_heads") == COPIED_HEADS:
        return COPIED
    if KERNELS.get(row.operator) != "experts":
        return ""
    family = family_of(row)
    if family == "min-latency":
        return UNREPRESENTATIVE
    balanced = row.texts.get("routing", "") in {"", "balanced"}
    return TIES if family == "trtllm-gen" and row.texts["model"] == "deepseek-v3" and balanced else ""
