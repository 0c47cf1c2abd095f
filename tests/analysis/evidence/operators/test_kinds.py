"""Every kind of measured operator on a small row: what it computes and moves, counted by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from roofline_afd.catalogue.calibration import load_calibration
from roofline_afd.catalogue.hardware import load_system
from tests.analysis.evidence.operators.times import CATALOGUE, one_answer

if TYPE_CHECKING:
    from roofline_afd.catalogue.calibration import OperatorEfficiency

SYSTEM = load_system("h800", catalogue=CATALOGUE)
CALIBRATION = load_calibration(SYSTEM, catalogue=CATALOGUE)
BF16, FP8 = (SYSTEM.accelerator.peak_flop_per_s[name] for name in ("bf16", "fp8"))


def _kernel(kernel: str, form: str = "", *, family: str = "") -> OperatorEfficiency:
    """Return the efficiencies of a kernel of one library, the H800's."""
    return dataclasses.replace(CALIBRATION, families={kernel: [family]}).of(kernel, form)


def _us(
    efficiency: OperatorEfficiency,
    flops: float,
    moved: float,
    *,
    peak: float = BF16,
    depth: float = 0,
    growth: float = 0,
    vectors: float = 0,
) -> float:
    """Return t_0 + t_k k + t_g g + V / (W e_v) + max(flops / (F e_c), (bytes - V) / (W e_m)) in microseconds.

    At least the time of the loop that its host paces; no row here fills up tiles or waves.
    """
    memory = SYSTEM.accelerator.memory_bytes_per_s
    apart = vectors if efficiency.vector_efficiency else 0
    fixed = efficiency.launch_s + efficiency.depth_time_s * depth + efficiency.few_items_s * growth
    fixed += apart / (memory * (efficiency.vector_efficiency or 1))
    computing = flops / (peak * efficiency.compute_efficiency)
    moving = (moved - apart) / (memory * efficiency.memory_efficiency)
    return max(fixed + max(computing, moving), efficiency.pacing_s) * 1e6


HEADS_64 = {"query_heads": 64, "kv_heads": 4, "head_dim": 128}
V32 = {"model": "deepseek-v3.2", "query_heads": 128, "head_dim": 576}
INDEX = {"model": "deepseek-v3.2", "query_heads": 64, "head_dim": 128, "precision": "fp8"}
DELTA: dict[str, object] = {"query_heads": 16, "kv_heads": 32, "head_dim": 128, "batch": 64}
CAUSAL_4096 = 4096 * 4097 / 2
CORES: dict[str, tuple[dict[str, object], float, float]] = {
    "gqa_decode": (  # 16 heads share a cached one and fill its tile of 16 rows
        {"precision": "bf16", "kv_precision": "bf16", "batch": 32, "context_tokens": 4096, **HEADS_64},
        2 * 32 * 64 * 256 * 4096,
        32 * (4097 * 2 * 4 * 128 * 2 + 2 * 64 * 128 * 2),
    ),
    "gqa_decode, fp8 cache": (
        {"precision": "bf16", "kv_precision": "fp8", "batch": 32, "context_tokens": 4096, **HEADS_64},
        2 * 32 * 64 * 256 * 4096,
        32 * (4097 * 2 * 4 * 128 * 1 + 2 * 64 * 128 * 2),
    ),
    "mla_decode": (  # 64 heads, which the column says; the core in bf16 although the row says fp8
        {"precision": "fp8", "kv_precision": "fp8", "batch": 8, "context_tokens": 1024, "query_heads": 64},
        2 * 8 * 64 * (576 + 512) * 1024,
        8 * (1025 * 576 * 1 + 64 * (576 + 512) * 2),
    ),
    "dsa_decode_attention": (  # 2,048 of 16,384 entries
        {"precision": "bf16", "kv_precision": "fp8", "batch": 64, "context_tokens": 16384, **V32},
        2 * 64 * 128 * (576 + 512) * 2048,
        64 * (2049 * 576 * 1 + 128 * (576 + 512) * 2),
    ),
    "dsa_decode_index": (  # keys of 128 fp8 elements and a scale of 4 B; logits of 4 B
        {"batch": 64, "context_tokens": 1024, "query_tokens": 2, **INDEX},
        2 * 64 * 64 * 128 * 2 * 1024,
        64 * ((1024 + 2) * 132 + 4 * 2 * 1024),
    ),
    "gqa_prefill": (
        {"precision": "bf16", "tokens": 4096, **HEADS_64},
        2 * 64 * 256 * CAUSAL_4096,
        4096 * 2 * 4 * 128 * 2 + 4096 * 2 * 64 * 128 * 2,
    ),
    "mla_prefill": (  # unfolded: 192 wide keys, 128 wide values
        {"precision": "bf16", "tokens": 4096, "query_heads": 128, "head_dim": 192},
        2 * 128 * (192 + 128) * CAUSAL_4096,
        4096 * 576 * 2 + 4096 * 128 * (192 + 128) * 2,
    ),
    "dsa_prefill_attention": (  # 1,024 new tokens after 7,168: each attends to 2,048
        {"precision": "bf16", "tokens": 1024, "context_tokens": 8192, **V32},
        2 * 128 * (576 + 512) * 1024 * 2048,
        8192 * 576 * 2 + 1024 * 128 * (576 + 512) * 2,
    ),
    "dsa_prefill_index": (
        {"tokens": 4096, "context_tokens": 4096, **INDEX},
        2 * 64 * 128 * CAUSAL_4096,
        (4096 + 4096) * 132 + 4 * CAUSAL_4096,
    ),
    "linear_decode_convolution": (  # 4 taps on 64 heads' channels: 3 kept ones read and written, in and out
        DELTA,
        2 * 4 * 64 * 128 * 64,
        64 * (2 * 3 + 2) * 64 * 128 * 2 + 4 * 64 * 128 * 2,
    ),
    "linear_decode_update": (  # the matrix in fp32, read and written; queries, keys, values, result
        DELTA,
        7 * 32 * 128 * 128 * 64,
        64 * (2 * 32 * 128 * 128 * 4 + (16 + 16 + 32 + 32) * 128 * 2),
    ),
}

VECTORS = {"mla_decode": 8 * 64 * (576 + 512) * 2, "dsa_decode_attention": 64 * 128 * (576 + 512) * 2}
"""Bytes of queries and results of latent cores, which pass by themselves."""
GROWTH = {"mla_decode": 1024 / 32768}
"""8 sequences of a block of 64 heads: half of 16 pieces, 1,024 entries; 64 sequences of two are enough."""
TABLES = {
    "gqa_decode": ("gqa_decode", "bf16", "flashinfer", BF16),
    "gqa_decode, fp8 cache": ("gqa_decode", "fp8", "flashinfer", BF16),
    "mla_decode": ("mla_decode", "fp8", "flashmla", BF16),
    "dsa_decode_attention": ("mla_decode", "fp8", "flashmla", BF16),
    "gqa_prefill": ("prefill_attention", "", "", BF16),
    "mla_prefill": ("prefill_attention", "", "", BF16),
    "dsa_prefill_attention": ("prefill_attention", "", "", BF16),
    "dsa_decode_index": ("index", "", "", FP8),
    "dsa_prefill_index": ("index", "", "", FP8),
    "linear_decode_convolution": ("convolution", "", "", BF16),
    "linear_decode_update": ("state", "", "", BF16),
}
"""Row to kernel, format, library and peak."""


@pytest.mark.parametrize("name", CORES)
def test_cores_take_the_time_of_what_they_compute_and_move(name: str, tmp_path: Path) -> None:
    columns, flops, moved = CORES[name]
    found = one_answer(tmp_path, operator=name.partition(",")[0], **columns)
    kernel, form, family, peak = TABLES[name]
    assert found["predicted"] == pytest.approx(
        _us(
            _kernel(kernel, form, family=family),
            flops,
            moved,
            peak=peak,
            growth=GROWTH.get(name, 0),
            vectors=VECTORS.get(name, 0),
        ),
        rel=1e-9,
    )
    assert found["error"] == pytest.approx(found["predicted"] / 100 - 1)


MODULES: dict[str, object] = {
    "operator": "moe_experts",
    "precision": "fp8",
    "n_devices": 16,
    "model": "qwen3-235b-a22b",
    "hidden": 4096,
    "intermediate": 1536,
    "top_k": 8,
    "experts": 128,
    "groups": 8,
}


@pytest.mark.parametrize(
    ("routing", "tokens_per_expert", "touched"),
    [("balanced", 2, 8), ("balanced", 0.25, 2), ("random", 2, 8 * (1 - (1 - 8 / 128) ** 32))],
)
def test_experts_are_two_grouped_products_and_handling(
    routing: str, tokens_per_expert: float, touched: float, tmp_path: Path
) -> None:
    """8 of 128 experts on each of 16 devices, 2 tokens each: 32 tokens of the group, 16 pairs on a device.

    Balanced pairs spread over the experts of a device, at most one each where there are fewer; else a token
    hits an expert with p = 1/16. Half of the fixed time of a module belongs to each product; handling takes
    time per element of the pairs and of all tokens of the group, which every device is handed.
    """
    found = one_answer(tmp_path, **MODULES, tokens_per_expert=tokens_per_expert, routing=routing)
    pairs, tokens = tokens_per_expert * 8, tokens_per_expert * 16
    whole = _kernel("experts", "fp8")
    assert whole.module
    half = dataclasses.replace(whole, launch_s=whole.launch_s / 2)
    up = _us(half, 2 * pairs * 3072 * 4096, pairs * 4096 + touched * 3072 * 4096 + pairs * 3072 * 2, peak=FP8)
    down = _us(
        half, 2 * pairs * 4096 * 1536, pairs * 1536 + touched * 4096 * 1536 + pairs * 4096 * 2, peak=FP8
    )
    handling = 4096 * (whole.pair_time_s * pairs + whole.token_time_s * tokens) * 1e6
    assert handling > 0
    assert found["predicted"] == pytest.approx(up + down + handling, rel=1e-9)
    assert found["kind"] == "sibling"  # modules were timed on the H200


def test_modules_rest_on_what_takes_their_time(tmp_path: Path) -> None:
    """Few tokens stream weights, a measured share; many multiply, a share that rows do not tell."""
    few, many = (
        one_answer(tmp_path, **MODULES | {"system": "h200"}, tokens_per_expert=tokens, routing="balanced")
        for tokens in (4, 16384)
    )
    assert (few["kind"], many["kind"]) == ("measured", "derived")


def test_experts_need_columns_that_agree(tmp_path: Path) -> None:
    columns = {"hidden": 4096, "intermediate": 1536, "top_k": 8, "experts": 128, "precision": "fp8"}
    row = {**columns, "operator": "moe_experts", "tokens_per_expert": 2, "n_devices": 16}
    wrong = one_answer(tmp_path, **row, groups=9, model="qwen3-235b-a22b")
    assert wrong["why"] == "9 groups on each of 16 devices are not the 128 experts"
    unknown = one_answer(tmp_path, **row, groups=8, model="qwen4-235b-a22b")
    assert unknown["why"].startswith("unknown model 'qwen4-235b-a22b'; did you mean 'qwen3-235b-a22b'")


def test_grouped_rows_follow_from_the_tokens_of_a_device(tmp_path: Path) -> None:
    """21 tokens on each of 4 devices, top 8 of 128 experts: 5.25 rows an expert."""
    row: dict[str, object] = {
        "operator": "grouped_gemm_down",
        "precision": "fp8",
        "hidden": 4096,
        "intermediate": 1536,
    }
    row |= {"groups": 32, "top_k": 8, "experts": 128}
    stated = one_answer(tmp_path, **row, tokens_per_expert=5.25)
    derived = one_answer(tmp_path, **row, tokens_per_expert="", tokens=21, n_devices=4)
    assert derived["predicted"] == stated["predicted"] is not None


def test_narrow_products_read_their_scales(tmp_path: Path) -> None:
    """An nvfp4 weight takes 9/16 of a byte; B200 multiplies it at its fp4 rate."""
    system = load_system("b200", catalogue=CATALOGUE)
    found = one_answer(tmp_path, operator="gemm", system="b200", precision="nvfp4", m=1, n=65536, k=7168)
    deepgemm = load_calibration(system, catalogue=CATALOGUE, families={"gemm": ["deepgemm"]})
    gemm = deepgemm.of("gemm", "fp4")
    moved = 7168 * 0.5 + 65536 * 7168 * 9 / 16 + 65536 * 2
    time = gemm.launch_s + gemm.depth_time_s * 7168
    time += moved / (system.accelerator.memory_bytes_per_s * gemm.memory_efficiency)
    assert found["predicted"] == pytest.approx(time * 1e6, rel=1e-9)


def test_modules_take_less_where_heads_are_fewer(tmp_path: Path) -> None:
    row: dict[str, object] = {
        "operator": "mla_module",
        "precision": "fp8",
        "kv_precision": "fp8",
        "model": "deepseek-v3",
    }
    row |= {"batch": 64, "context_tokens": 8192}
    layer = one_answer(tmp_path, **row | {"operator": "attention_layer", "note": "deepseek-v3"})
    whole, half = (one_answer(tmp_path, **row, query_heads=heads) for heads in (128, 64))
    assert whole["predicted"] == layer["predicted"]
    assert half["predicted"] < whole["predicted"]
    core = _us(
        CALIBRATION.of("mla_decode", "fp8"),
        2 * 64 * 128 * (576 + 512) * 8192,
        64 * (8193 * 576 + 128 * (576 + 512) * 2),
    )
    assert whole["predicted"] > core
    assert one_answer(tmp_path, **row, query_heads=96)["why"] == (
        "96 query heads are no share of the 128 of deepseek-v3"
    )


def test_sparse_modules_have_an_index(tmp_path: Path) -> None:
    row = {"operator": "dsa_module", "precision": "fp8", "kv_precision": "fp8", "batch": 64}
    row |= {"query_heads": 128, "model": "deepseek-v3.2"}
    short, long = (one_answer(tmp_path, **row, context_tokens=tokens) for tokens in (4096, 131072))

    def index(tokens: int) -> float:
        """Keys of 132 B and logits of 4 B at the fp8 peak, and the choice among the logits."""
        moved = 64 * ((tokens + 1) * 132 + 4 * tokens)
        logits = _us(_kernel("index"), 2 * 64 * 64 * 128 * tokens, moved, peak=FP8)
        return logits + _us(_kernel("top_k"), 0, 64 * 4 * tokens, depth=tokens)

    assert long["predicted"] - short["predicted"] == pytest.approx(index(131072) - index(4096), rel=1e-6)


def test_exchanges_are_a_dispatch_and_a_combine(tmp_path: Path) -> None:
    row = {"n_devices": 8, "tokens": 128, "hidden": 7168, "top_k": 8}
    link = CALIBRATION.link
    rate = SYSTEM.scale_up.bytes_per_s * link.efficiency_up
    copies = 128 * 8 * 7168 * 7 / 8
    times = {  # fp8 with a 4-byte scale for each 128 elements there, bf16 back
        "dispatch": (link.latency_up_s + copies * (1 + 4 / 128) / rate) * 1e6,
        "combine": (link.latency_up_s + copies * 2 / rate) * 1e6,
    }
    for operator, time in times.items():  # rows that state no format send in the default one
        assert one_answer(tmp_path, operator=operator, **row)["predicted"] == pytest.approx(time, rel=1e-9)
    whole = one_answer(tmp_path, operator="exchange", precision="fp8", **row)
    assert whole["predicted"] == pytest.approx(sum(times.values()), rel=1e-9)
    across = one_answer(tmp_path, operator="combine", **row | {"n_devices": 16})
    swapped = one_answer(tmp_path, operator="alltoall", n_devices=16, message_bytes=128 * 8 * 7168 * 2)
    assert swapped["predicted"] == pytest.approx(across["predicted"], rel=1e-9)


def test_rates_say_nothing_where_what_they_count_is_open(tmp_path: Path) -> None:
    row = {"operator": "combine", "n_devices": 8, "tokens": 128, "hidden": 7168, "top_k": 8}
    row |= {"precision": "bf16", "latency_us": "", "gb_per_s": 100, "engine": "deepep-v1 abc"}
    counted = one_answer(tmp_path, **row, kernel="low-latency")
    assert counted["measured"] == pytest.approx(128 * 8 * 7168 * 2 / 100e3)
    assert "counts a copy per expert or per place" in one_answer(tmp_path, **row, kernel="normal")["why"]
    row = {"operator": "allreduce", "n_devices": 8, "message_bytes": 64, "latency_us": "", "gb_per_s": 100}
    bus = one_answer(tmp_path, **row)
    assert bus["why"] == "a rate says nothing of the time of allreduce: give latency_us"


def test_uses_kernels_and_unknown_systems_are_told(tmp_path: Path) -> None:
    product = {"operator": "gemm", "precision": "fp8", "m": 64, "n": 4096, "k": 7168}
    named = {"kernel": "deepgemm", "engine": "trtllm 1.3.0", "use": "check: cache-warm"}
    found = one_answer(tmp_path, **product, **named)
    assert {key: found[key] for key in named} == named
    assert found["family"] == "trtllm deepgemm"
    assert found["error"] is not None
    left = one_answer(tmp_path, **product, use="exclude: above peak")
    assert (left["why"], left["error"]) == ("exclude: above peak", None)
    away = one_answer(tmp_path, **product | {"system": "h8000"})
    assert away["why"].startswith("unknown system 'h8000'; did you mean 'h800'")
