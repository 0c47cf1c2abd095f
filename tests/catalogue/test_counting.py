"""Counting formulas: against layers written out matrix by matrix, their examples, and scaling laws."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.attention import Attention
from roofline_afd.physics import counting, mixing

WIDTH = st.integers(1, 512)


def _sizes(*matrices: tuple[int, int]) -> int:
    return sum(rows * columns for rows, columns in matrices)


def test_latent_attention_matrix_by_matrix() -> None:
    """DeepSeek-V3, names of the checkpoint: q_a, q_b, kv_a, kv_b, o."""
    assert mixing.mla_parameters(
        hidden_size=7168,
        heads=128,
        head_dim=128,
        value_head_dim=128,
        rope_head_dim=64,
        kv_lora_rank=512,
        q_lora_rank=1536,
    ) == _sizes((1536, 7168), (24576, 1536), (576, 7168), (32768, 512), (7168, 16384))


def test_gated_delta_matrix_by_matrix() -> None:
    """Qwen3-Next, names of the checkpoint: in_proj_qkvz, in_proj_ba, conv1d, out_proj."""
    assert mixing.gated_delta_parameters(
        hidden_size=2048, heads=32, key_heads=16, head_dim=128, value_head_dim=128, conv_kernel=4
    ) == _sizes((12288, 2048), (64, 2048), (8192, 4), (2048, 4096))


def test_kimi_delta_matrix_by_matrix() -> None:
    """Kimi-K3: q, k, v, g, o; f_a, f_b; b; three convolutions."""
    wide = 96 * 128
    full = [(wide, 7168)] * 5
    assert mixing.kda_parameters(hidden_size=7168, heads=96, head_dim=128, conv_kernel=4) == _sizes(
        *full, (128, 7168), (wide, 128), (96, 7168), (3 * wide, 4)
    )
    low_rank = mixing.kda_parameters(hidden_size=7168, heads=96, head_dim=128, conv_kernel=4, gate_rank=128)
    assert low_rank == _sizes(*full[:4], *[(128, 7168), (wide, 128)] * 2, (96, 7168), (3 * wide, 4))


def test_mamba_matrix_by_matrix() -> None:
    """Jamba v0.1: in_proj, conv1d, x_proj, dt_proj, A_log, out_proj; Nemotron-3-Nano: in, conv1d, out."""
    assert mixing.mamba1_parameters(
        hidden_size=4096, inner_width=8192, state_width=16, conv_kernel=4, dt_rank=256
    ) == _sizes((16384, 4096), (8192, 4), (288, 8192), (8192, 256), (8192, 16), (4096, 8192))
    assert mixing.mamba2_parameters(
        hidden_size=2688, heads=64, head_dim=64, state_width=128, state_groups=8, conv_kernel=4
    ) == _sizes((2 * 4096 + 2 * 1024 + 64, 2688), (4096 + 2048, 4), (2688, 4096))


def test_compressed_attention_matrix_by_matrix() -> None:
    """DeepSeek-V4-Flash: wq_a, wq_b, wkv, wo_a, wo_b; compressor; index wq_b, weights, compressor."""
    shape = Attention(
        *("compressed-4", "compressed", 1),
        heads=64,
        head_dim=512,
        q_lora_rank=1024,
        o_lora_rank=1024,
        o_groups=8,
        window_tokens=128,
        compress_ratio=4,
        index_heads=64,
        index_head_dim=128,
        index_top_k=512,
    )
    core = _sizes((1024, 4096), (32768, 1024), (512, 4096), (32768, 1024), (4096, 8192))
    compressor = 2 * _sizes((1024, 4096))
    index = _sizes((8192, 1024), (64, 4096)) + 2 * _sizes((256, 4096))
    assert shape.parameters(4096) == core + compressor + index


def test_output_gates_and_wide_values() -> None:
    plain = mixing.gqa_parameters(hidden_size=4096, heads=64, kv_heads=4, head_dim=192, value_head_dim=128)
    assert plain == _sizes((64 * 192, 4096), (4 * 192, 4096), (4 * 128, 4096), (4096, 64 * 128))
    gated = mixing.gqa_parameters(hidden_size=2048, heads=16, kv_heads=2, head_dim=256, output_gate=True)
    assert gated == _sizes((2 * 16 * 256, 2048), (512, 2048), (512, 2048), (2048, 4096))


def test_one_stream_needs_no_mixing() -> None:
    assert counting.hyper_connection_parameters(hidden_size=4096, streams=1) == 0


@given(hidden=WIDTH, heads=WIDTH, groups=st.integers(1, 16), width=WIDTH)
def test_multi_head_is_four_square_projections(hidden: int, heads: int, groups: int, width: int) -> None:
    same = mixing.gqa_parameters(hidden_size=hidden, heads=heads, kv_heads=heads, head_dim=width)
    assert same == 4 * hidden * heads * width
    fewer = mixing.gqa_parameters(hidden_size=hidden, heads=heads * groups, kv_heads=heads, head_dim=width)
    assert fewer <= groups * same


@given(width=WIDTH, size=WIDTH, matrices=st.integers(2, 3), times=st.integers(1, 9))
def test_feed_forward_scales(width: int, size: int, matrices: int, times: int) -> None:
    once = counting.ffn_parameters(width=width, intermediate=size, matrices=matrices)
    assert counting.ffn_parameters(width=width, intermediate=size * times, matrices=matrices) == times * once


@given(context=st.floats(0, 1e7), window=st.integers(1, 10_000), chosen=st.integers(1, 10_000))
def test_attended_entries_never_exceed_what_is_there(context: float, window: int, chosen: int) -> None:
    full = Attention("a", "gqa", 1, heads=8, head_dim=64, kv_heads=2)
    sliding = Attention("a", "gqa", 1, heads=8, head_dim=64, kv_heads=2, window_tokens=window)
    sparse = Attention("a", "gqa", 1, heads=8, head_dim=64, kv_heads=2, index_top_k=chosen)
    assert sliding.attended_entries(context) == min(context, window)
    assert sparse.attended_entries(context) == min(context, chosen)
    assert sparse.cached_elements(context) == full.cached_elements(context)
    for kind in (full, sliding, sparse):
        assert kind.attended_entries(context) <= context
        assert kind.read_elements(context) <= full.read_elements(context)
        assert kind.core_flops(context) == pytest.approx(2 * 8 * (64 + 64) * kind.attended_entries(context))


@given(context=st.integers(0, 100_000), chunk=st.integers(1, 20_000), new=st.integers(1, 20_000))
def test_chunks_never_exceed_windows(context: int, chunk: int, new: int) -> None:
    """A chunk that holds the context is full attention; beyond, it costs no more than a window as long."""
    full = Attention("a", "gqa", 1, heads=8, head_dim=64, kv_heads=2)
    sliding = dataclasses.replace(full, window_tokens=chunk)
    chunked = dataclasses.replace(full, chunk_tokens=chunk)
    for count in ("attended_entries", "kept_entries", "cached_elements", "read_elements", "core_flops"):
        found, window, whole = (getattr(kind, count)(context) for kind in (chunked, sliding, full))
        assert found <= window
        assert (found == whole) == (chunk >= context)
    one, two, every = (kind.prefill_entries(new, context)[0] for kind in (chunked, sliding, full))
    assert one <= two <= every
    assert (one == every) == (chunk >= context + new)
    assert chunked.parameters(512) == full.parameters(512)
    assert chunked.cached_elements_per_token == full.cached_elements_per_token


@given(low=st.floats(0, 1e6), more=st.floats(0, 1e6), ratio=st.sampled_from([4, 128, None]))
def test_compressed_cache_grows_with_context(low: float, more: float, ratio: int | None) -> None:
    shape = Attention(
        "a", "compressed", 1, heads=64, head_dim=512, window_tokens=128, compress_ratio=ratio, index_top_k=512
    )
    assert shape.cached_elements(low) <= shape.cached_elements(low + more)
    assert shape.attended_entries(low) <= 128 + (512 if ratio else 0)


@pytest.mark.parametrize("kind", ["gated-delta", "kda", "lightning", "mamba1", "mamba2"])
def test_constant_state_layers_cost_the_same_at_any_context(kind: str) -> None:
    shape = Attention(
        *("a", kind, 1, 8, 64),
        value_head_dim=64,
        key_heads=4,
        conv_kernel=4,
        state_width=16,
        state_groups=1,
        inner_width=512,
        dt_rank=4,
    )
    assert shape.constant_state
    assert shape.cached_elements(1e6) == shape.cached_elements_per_token == 0
    assert shape.core_flops(1) == shape.core_flops(1e6) > 0
    assert shape.read_elements(1e6) == shape.state_elements > 0


def test_attention_tables_compare_by_value() -> None:
    assert Attention("a", "gqa", 1) == Attention("a", "gqa", 1)
