"""Published costs of imbalance, to the digits printed; the tolerance is half a unit of the last one."""

from __future__ import annotations

import numpy as np
import pytest

from roofline_afd.analysis.bounds.imbalance import imbalance
from roofline_afd.analysis.bounds.questions import Imbalance

SIGMAS = (0.95, 0.9, 0.8, 0.7)
HALF_A_DIGIT = 0.00005
EP = (0.9870, 0.9730, 0.9412, 0.9032)
AFD = {
    (3, 1): (0.95, 0.90, 0.8889, 0.8889),
    (6, 2): (0.9524, 0.9524, 0.9143, 0.8889),
    (5, 1): (0.96, 0.96, 0.96, 0.90),
}
"""Attention and FFN nodes to the throughput left at each sigma."""


@pytest.mark.parametrize("nodes", [(3, 1), (6, 2)])
def test_expert_parallelism(nodes: tuple[int, int]) -> None:
    """From arXiv 2602.09721, lambda 3; at equal lambda AFD in any small step of nodes loses the same."""
    rows = imbalance(Imbalance(sigma=SIGMAS, attention_nodes=nodes[0], ffn_nodes=nodes[1])).columns
    assert np.asarray(rows["alpha_ep"]) == pytest.approx(EP, abs=HALF_A_DIGIT)
    assert np.asarray(rows["alpha_afd_continuous"]).tolist() == np.asarray(rows["alpha_ep"]).tolist()


@pytest.mark.parametrize("nodes", AFD)
def test_disaggregation_in_whole_nodes(nodes: tuple[int, int]) -> None:
    """From arXiv 2602.09721, its formulas of rounding down and up corrected."""
    rows = imbalance(
        Imbalance(sigma=SIGMAS, attention_nodes=nodes[0], ffn_nodes=nodes[1], lambda_ep=3)
    ).columns
    assert np.asarray(rows["alpha_afd"]) == pytest.approx(AFD[nodes], abs=HALF_A_DIGIT)
    assert np.asarray(rows["alpha_ep"]) == pytest.approx(EP, abs=HALF_A_DIGIT)


@pytest.mark.parametrize("nodes", [*AFD, (1, 1), (7, 3), (1000, 1)])
def test_balance_costs_nothing(nodes: tuple[int, int]) -> None:
    (row,) = imbalance(Imbalance(sigma=1, attention_nodes=nodes[0], ffn_nodes=nodes[1])).rows()
    assert row["alpha_ep"] == row["alpha_afd_continuous"] == row["alpha_afd"] == 1
    assert row["attention_nodes_used"] == nodes[0]
