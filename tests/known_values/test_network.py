"""Published limits of networks, to the digits printed; the tolerance is half a unit of the last one."""

from __future__ import annotations

import pytest

from roofline_afd.physics.network import exchange_step_limit, exchange_time_limit, minimum_activated_share


def test_exchange_limit_of_deepseek() -> None:
    """Section 2.3.2 of arXiv 2505.09343: 120.96 us a layer on 50 GB/s, 14.76 ms a token; 6.72 us on 900."""
    shape = {"tokens": 32, "copies": 9, "width": 7000, "dispatch_bytes": 1, "combine_bytes": 2}
    layer = exchange_time_limit(**shape, bandwidth=50e9)
    assert layer * 1e6 == pytest.approx(120.96, abs=0.005)
    assert exchange_step_limit(exchange_time=layer, layers=61, microbatches=2) * 1e3 == pytest.approx(
        14.76, abs=0.005
    )
    assert exchange_time_limit(**shape, bandwidth=900e9) * 1e6 == pytest.approx(6.72, abs=0.005)


@pytest.mark.parametrize(
    ("peak", "memory_bandwidth", "network", "share"),
    [
        (1.98e15, 3.35e12, 400e9, 0.0582),
        (2.96e14, 4.0e12, 400e9, 0.0073),
        (3.12e14, 2.0e12, 200e9, 0.0307),
        (2.8e14, 1.6e12, 200e9, 0.0345),
    ],
    ids=["h800", "h20", "a800", "910b"],
)
def test_minimum_share_of_step3(peak: float, memory_bandwidth: float, network: float, share: float) -> None:
    """From arXiv 2507.19427: H 7168, L 61, 11.1 ms for the network; network per server of eight."""
    found = minimum_activated_share(
        width=7168,
        layers=61,
        peak=peak,
        memory_bandwidth=memory_bandwidth,
        network=network,
        step_budget=11.1e-3,
    )
    assert found == pytest.approx(share, abs=0.00005)
