"""Published figures and cases worked by hand for the schedules of a step."""

from __future__ import annotations

from typing import Any

import pytest

from roofline_afd.physics import pipeline

LAYERS = 61
"""Of DeepSeek-V3."""


def test_communication_limit_of_expert_parallelism() -> None:
    """From arXiv 2505.09343, 4.3: transfers alone hold two micro-batches up for 14.76 ms on InfiniBand.

    One byte to dispatch and two to combine, 32 tokens, 9 copies, 7,000 elements, 50 GB/s: 120.96 us a layer
    and micro-batch; at 900 GB/s 6.72 us and 0.82 ms. Tolerance: half a unit of the last digit printed.
    """
    for bandwidth, printed_us, printed_ms in ((50e9, 120.96, 14.76), (900e9, 6.72, 0.82)):
        volume = 32 * 9 * 7000
        transfers: dict[str, Any] = {
            "dispatch": volume / bandwidth,
            "combine": 2 * volume / bandwidth,
            "attention": 0.0,
            "ffn": 0.0,
        }
        assert float(pipeline.serial_layer_time(**transfers)) * 1e6 == pytest.approx(printed_us, abs=5e-3)
        bound = float(pipeline.overlap_lower_bound(**transfers)) * LAYERS
        assert bound * 1e3 == pytest.approx(printed_ms, abs=5e-3)
        lockstep = float(pipeline.lockstep_layer_time(**transfers)) * LAYERS
        assert lockstep == pytest.approx(bound)  # with nothing to hide behind, overlap costs nothing


@pytest.mark.parametrize("microbatches", [3, 4, 5])
@pytest.mark.parametrize("transfer", [0.1, 0.3, 0.5])
def test_ping_pong_pipeline(transfer: float, microbatches: int) -> None:
    """From arXiv 2504.02263, 4.1: (T_a + T_e + 2 T_c) + T_f (m L - 1), where m T_f >= 2 (T_f + T_c)."""
    busiest, layers = 1.0, 40
    attention, experts = 1.0, 0.9
    loop = attention + experts + 2 * transfer
    assert microbatches * busiest >= 2 * (busiest + transfer)
    found = pipeline.pipeline_layers_time(
        busiest_sum=layers * busiest,
        loop_sum=layers * loop,
        busiest=busiest,
        loop=loop,
        microbatches=microbatches,
    )
    assert float(found) == pytest.approx(loop + busiest * (microbatches * layers - 1), rel=1e-12)


def test_micro_batches_that_hide_the_transfers() -> None:
    """From arXiv 2504.02263: at balance 3 micro-batches do below half the computing time, 4 up to all of it.

    Two never do, however short the transfers.
    """
    for transfer, least in ((0.0, 2), (0.01, 3), (0.49, 3), (0.5, 3), (0.51, 4), (1.0, 4)):
        loop = 2 + 2 * transfer
        cycles = [float(pipeline.cycle_time(busiest=1.0, loop=loop, microbatches=m)) for m in range(1, 6)]
        assert next(m for m, cycle in enumerate(cycles, 1) if cycle <= 1.0) == least
    assert float(pipeline.cycle_time(busiest=1.0, loop=2.02, microbatches=2)) == pytest.approx(1.01)


def test_by_hand() -> None:
    """A layer of 3, 1, 1 and 2: in turn 7, two halves at least 8, in lock-step max(3,1)+1+max(1,2)+3 = 9."""
    question: dict[str, Any] = {"attention": 3.0, "ffn": 1.0, "dispatch": 1.0, "combine": 2.0}
    assert pipeline.serial_layer_time(**question) == 7
    assert pipeline.overlap_lower_bound(**question) == 8
    assert pipeline.lockstep_layer_time(**question) == 9
    assert pipeline.link_time(dispatch=1.0, combine=2.0, full_duplex=True) == 2
    assert pipeline.link_time(dispatch=1.0, combine=2.0, full_duplex=False) == 3
    assert pipeline.busiest_stage_time(attention=3.0, ffn=1.0, link=2.0) == 3
    assert pipeline.cycle_time(busiest=3.0, loop=7.0, microbatches=2) == 3.5
    assert pipeline.cycle_time(busiest=3.0, loop=7.0, microbatches=3) == 3


@pytest.mark.parametrize(("microbatches", "expected"), [(1, 14.0), (2, 17.0), (3, 22.0), (4, 28.0)])
def test_two_layers_by_hand(microbatches: int, expected: float) -> None:
    """Two layers of 3, 1, 1 and 2 drawn as a chart: attention sets the pace from three micro-batches on.

    m = 1: 2*7; m = 2: the second starts 3 later, 14 + 3; m = 3: 6 turns of 3 and the rest of a layer, 18 + 4;
    m = 4: 24 + 4.
    """
    found = pipeline.pipeline_layers_time(
        busiest_sum=6.0, loop_sum=14.0, busiest=3.0, loop=7.0, microbatches=microbatches
    )
    assert found == expected


def test_tokens_per_second() -> None:
    """128 sequences, 1.7 tokens each in 85 ms: 2,560 tokens/s."""
    assert float(pipeline.token_rate(batch=128, accept_length=1.7, step=0.085)) == pytest.approx(2560)
