"""Every kind of measured operator on a small row: what it computes and moves, counted by hand."""

from __future__ import annotations

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


def _us(
    efficiency: OperatorEfficiency,
    flops: float,
    moved: float,
    *,
    peak: float = BF16,
    rows: float = 1e30,
    depth: float = 0,
) -> float:
    """Return t_0 + t_k k + max(flops (T + T_half) / (T F e_c), bytes / (W e_m)) in microseconds."""
    computing = (
        flops * (rows + efficiency.half_saturation_tokens) / (rows * peak * efficiency.compute_efficiency)
    )
    moving = moved / (SYSTEM.accelerator.memory_bytes_per_s * efficiency.memory_efficiency)
    return (efficiency.launch_s + efficiency.depth_time_s * depth + max(computing, moving)) * 1e6


HEADS_64 = {"query_heads": 64, "kv_heads": 4, "head_dim": 128}
V32 = {"model": "deepseek-v3.2", "query_heads": 128, "head_dim": 576}
INDEX = {"model": "deepseek-v3.2", "query_heads": 64, "head_dim": 128, "precision": "fp8"}
DELTA: dict[str, object] = {"query_heads": 16, "kv_heads": 32, "head_dim": 128, "batch": 64}
CAUSAL_4096 = 4096 * 4097 / 2
CORES: dict[str, tuple[dict[str, object], float, float]] = {
    "gqa_decode": (  # 16 heads share a cached one: tiles of 64 rows are a quarter full
        {"precision": "bf16", "kv_precision": "bf16", "batch": 32, "context_tokens": 4096, **HEADS_64},
        4 * 2 * 32 * 64 * 256 * 4096,
        32 * (4097 * 2 * 4 * 128 * 2 + 2 * 64 * 128 * 2),
    ),
    "gqa_decode, fp8 cache": (
        {"precision": "bf16", "kv_precision": "fp8", "batch": 32, "context_tokens": 4096, **HEADS_64},
        4 * 2 * 32 * 64 * 256 * 4096,
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

OTHER_TABLES = {
    "dsa_decode_index": (CALIBRATION.index, FP8),
    "dsa_prefill_index": (CALIBRATION.index, FP8),
    "linear_decode_convolution": (CALIBRATION.convolution, BF16),
    "linear_decode_update": (CALIBRATION.state, BF16),
}


@pytest.mark.parametrize("name", CORES)
def test_cores_take_the_time_of_what_they_compute_and_move(name: str, tmp_path: Path) -> None:
    columns, flops, moved = CORES[name]
    found = one_answer(tmp_path, operator=name.partition(",")[0], **columns)
    table, peak = OTHER_TABLES.get(name, (CALIBRATION.attention, BF16))
    assert found["predicted"] == pytest.approx(_us(table, flops, moved, peak=peak), rel=1e-9)
    assert found["error"] == pytest.approx(found["predicted"] / 100 - 1)


def test_experts_are_two_grouped_products_and_handling(tmp_path: Path) -> None:
    """8 of 128 experts on each of 16 devices, 2 tokens a device: 16 pairs, a token hits one with p = 1/16."""
    columns = {"hidden": 4096, "intermediate": 1536, "top_k": 8, "experts": 128, "groups": 8}
    found = one_answer(
        tmp_path,
        operator="moe_experts",
        precision="fp8",
        n_devices=16,
        tokens_per_expert=2,
        model="qwen3-235b-a22b",
        routing="balanced",
        **columns,
    )
    touched = 8 * (1 - (1 - 8 / 128) ** 32)
    shape = {"peak": FP8, "rows": 16 / touched}
    up = _us(
        CALIBRATION.grouped_gemm,
        2 * 16 * 3072 * 4096,
        16 * 4096 + touched * 3072 * 4096 + 16 * 3072 * 2,
        depth=4096,
        **shape,
    )
    down = _us(
        CALIBRATION.grouped_gemm,
        2 * 16 * 4096 * 1536,
        16 * 1536 + touched * 4096 * 1536 + 16 * 4096 * 2,
        depth=1536,
        **shape,
    )
    handling = _us(CALIBRATION.gemm, 0, 16 * (4096 * (1 + 1 + 2 + 2) + 1536 * (4 + 1)))
    assert found["predicted"] == pytest.approx(up + down + handling, rel=1e-9)


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
    gemm = load_calibration(system, catalogue=CATALOGUE).gemm
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
        CALIBRATION.attention,
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
        logits = _us(CALIBRATION.index, 2 * 64 * 64 * 128 * tokens, moved, peak=FP8)
        return logits + _us(CALIBRATION.top_k, 0, 64 * 4 * tokens, depth=tokens)

    assert long["predicted"] - short["predicted"] == pytest.approx(index(131072) - index(4096), rel=1e-6)


def test_collectives_are_exchanges_of_heads(tmp_path: Path) -> None:
    link, devices, size = CALIBRATION.link, 8, 2**20
    rate = SYSTEM.scale_up.bytes_per_s * link.efficiency_up
    half = (link.latency_up_s + size * 7 / 8 / rate) * 1e6
    row = {"n_devices": devices, "precision": "bf16"}
    for operator, halves in (("allreduce", 2), ("reducescatter", 1), ("allgather", 1)):
        found = one_answer(tmp_path, operator=operator, message_bytes=size, **row)
        assert found["predicted"] == pytest.approx(halves * half, rel=1e-9)
    noted = one_answer(tmp_path, operator="allgather", note="message 1MiB of it", message_bytes="", **row)
    assert noted["predicted"] == pytest.approx(half, rel=1e-9)
    across = one_answer(tmp_path, operator="allreduce", message_bytes=size, n_devices=16)
    assert across["why"] == "allreduce beyond one scale-up domain is not modelled"


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
    swapped = one_answer(tmp_path, operator="alltoall", n_devices=8, message_bytes=128 * 8 * 7168 * 2)
    assert swapped["predicted"] == pytest.approx(times["combine"], rel=1e-9)


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
