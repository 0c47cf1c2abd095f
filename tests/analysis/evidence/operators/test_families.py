"""Which table and library a measured row belongs to, and which rows say less than they claim."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from roofline_afd.analysis.evidence.operators.families import (
    COPIED,
    KERNELS,
    TIES,
    UNREPRESENTATIVE,
    family_of,
    form_of,
    table_of,
    why_unfit,
)
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.catalogue.calibration import KERNELS as KNOWN
from roofline_afd.catalogue.calibration import OPERATOR_TABLES, choose
from tests.analysis.evidence.operators.times import CATALOGUE

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.operators.rows import Measurement

PRODUCT = {"operator": "gemm", "precision": "fp8", "m": 1, "n": 2, "k": 3}
CORE = {"operator": "gqa_decode", "batch": 1, "context_tokens": 8, "query_heads": 8, "kv_heads": 1}
CORE |= {"head_dim": 128, "precision": "bf16"}
MODULE = {"operator": "moe_experts", "precision": "fp8", "hidden": 7168, "intermediate": 2048, "top_k": 8}
MODULE |= {"experts": 256, "groups": 32, "n_devices": 8, "tokens_per_expert": 4, "model": "deepseek-v3"}


def _row(tmp_path: Path, **columns: object) -> Measurement:
    cells: dict[str, object] = {"id": "a", "system": "gb200-nvl72", "latency_us": 10, "use": "fit"}
    cells |= {"kv_precision": "", **columns}
    path = tmp_path / "one.csv"
    with path.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([cells.keys(), cells.values()])
    (row,) = read_measurements([path], catalogue=CATALOGUE)
    return row


@pytest.mark.parametrize(
    ("columns", "family", "form", "table"),
    [
        (PRODUCT, "deepgemm", "fp8", "gemm"),
        (PRODUCT | {"engine": "trtllm 1.3.0", "kernel": "torch_flow"}, "torch-flow", "fp8", "gemm"),
        (PRODUCT | {"precision": "nvfp4", "engine": "vllm 0.24"}, "cutedsl-vllm", "fp4", "gemm_fp4"),
        (PRODUCT | {"precision": "bf16", "kernel": "my own"}, "my-own", "bf16", "gemm_bf16"),
        (CORE | {"kv_precision": "fp8"}, "flashinfer", "fp8", "gqa_decode"),
        (CORE | {"engine": "sglang 0.5", "kernel": "fa3"}, "fa3", "bf16", "gqa_decode"),
        (CORE | {"engine": "sglang 0.5"}, "sglang", "bf16", "gqa_decode"),
        (CORE | {"operator": "mla_decode", "kv_precision": "fp8"}, "flashmla", "fp8", "mla_decode"),
        (MODULE | {"kernel": "deepgemm"}, "deepgemm", "fp8", "experts"),
        (MODULE | {"engine": "vllm 0.24"}, "trtllm-gen", "fp8", "experts"),
        (
            MODULE | {"precision": "nvfp4", "kernel": "cutlass"},
            "cutlass",
            "fp4",
            "experts_fp4",
        ),
        (CORE | {"operator": "gqa_prefill", "tokens": 8, "engine": "sglang"}, "", "", "prefill_attention"),
    ],
)
def test_rows_tell_library_format_and_table(
    columns: dict[str, object], family: str, form: str, table: str, tmp_path: Path
) -> None:
    row = _row(tmp_path, **columns)
    assert (family_of(row), form_of(row), table_of(row)) == (family, form, table)


def test_caches_of_8_bits_have_a_table_of_their_own_where_the_record_has_one(tmp_path: Path) -> None:
    row = _row(tmp_path, **CORE, kv_precision="fp8")
    assert table_of(row, ("gqa_decode",)) == "gqa_decode"
    assert table_of(row, ("gqa_decode", "gqa_decode_fp8")) == "gqa_decode_fp8"


def test_rows_that_say_less_than_they_claim(tmp_path: Path) -> None:
    layer = {"operator": "linear_decode_update", "batch": 4, "query_heads": 16, "head_dim": 128}
    assert why_unfit(_row(tmp_path, **layer, kv_heads=64)) == COPIED
    assert not why_unfit(_row(tmp_path, **layer, kv_heads=32))
    gen = MODULE | {"engine": "sglang 0.5", "kernel": "trtllm"}
    assert why_unfit(_row(tmp_path, **gen, routing="balanced")) == TIES
    assert not why_unfit(_row(tmp_path, **gen, routing="power_law_1.2"))
    assert not why_unfit(_row(tmp_path, **gen | {"model": "qwen3-235b-a22b"}, routing="balanced"))
    assert why_unfit(_row(tmp_path, **MODULE, kernel="min_latency")) == UNREPRESENTATIVE
    assert not why_unfit(_row(tmp_path, **MODULE, kernel="deepgemm"))
    assert not why_unfit(_row(tmp_path, **PRODUCT))


def test_every_kernel_that_rows_time_has_tables() -> None:
    assert {*KERNELS.values()} - {"link"} <= {*KNOWN}
    assert {*KNOWN} <= {*OPERATOR_TABLES}


def test_engines_take_a_library_they_ask_for_though_another_has_the_format_alone() -> None:
    """FlashInfer was timed with caches of both widths, which are one table; SGLang's have one each."""
    own = choose("gqa_decode", "fp8", "gb200", catalogue=CATALOGUE, families={"gqa_decode": ["flashinfer"]})
    assert (own.record.id, own.table, own.kind) == ("blackwell-flashinfer", "gqa_decode", "measured")
    other = choose("gqa_decode", "fp8", "gb200", catalogue=CATALOGUE, families={"gqa_decode": ["sglang"]})
    assert (other.record.id, other.table) == ("blackwell-sglang", "gqa_decode_fp8")


def test_formats_go_before_libraries_where_no_table_of_the_library_has_them() -> None:
    """FlashAttention 3 was not timed on Blackwell: what was, in the format asked for, serves."""
    found = choose("gqa_decode", "fp8", "gb200", catalogue=CATALOGUE, families={"gqa_decode": ["fa3"]})
    assert found.in_format("fp8")
    assert found.family != "fa3"
