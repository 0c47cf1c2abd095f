"""Fan-out, against counting every possible choice of experts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.physics.routing import nodes_hit_grouped, nodes_hit_paper, nodes_hit_uniform


def _node_of(expert: int, experts: int, nodes: int) -> int:
    return next(node for node in range(nodes) if expert < (node + 1) * experts // nodes)


def _count(experts: int, top_k: int, nodes: int, *, groups: int = 1, per_token: int = 1) -> float:
    """Return the mean number of nodes hit over every choice that routing can make."""
    size = experts // groups
    hits = []
    for chosen in itertools.combinations(range(groups), per_token):
        pool = [group * size + index for group in chosen for index in range(size)]
        picks = [
            len({_node_of(e, experts, nodes) for e in pick}) for pick in itertools.combinations(pool, top_k)
        ]
        hits.append(np.mean(picks))
    return float(np.mean(hits))


@given(st.integers(2, 9), st.data())
def test_uniform_equals_enumeration(experts: int, data: st.DataObject) -> None:
    """Also for node counts that do not divide the experts, and above them."""
    top_k = data.draw(st.integers(1, min(4, experts)))
    nodes = data.draw(st.integers(1, experts + 2))
    found = nodes_hit_uniform(ffn_nodes=nodes, top_k=top_k, routed_experts=experts)
    assert found == pytest.approx(_count(experts, top_k, nodes))


@given(st.sampled_from([(8, 2, 1), (8, 4, 2), (12, 4, 3), (12, 3, 2), (9, 3, 2)]), st.data())
def test_grouped_equals_enumeration(layout: tuple[int, int, int], data: st.DataObject) -> None:
    """Group-limited routing, groups laid on nodes in order."""
    experts, groups, per_token = layout
    top_k = data.draw(st.integers(1, min(4, per_token * experts // groups)))
    nodes = data.draw(st.integers(1, experts + 2))
    found = nodes_hit_grouped(
        ffn_nodes=nodes, top_k=top_k, routed_experts=experts, expert_groups=groups, groups_per_token=per_token
    )
    assert found == pytest.approx(
        _count(experts, top_k, min(nodes, experts), groups=groups, per_token=per_token)
    )


@given(st.integers(1, 64), st.sampled_from([(256, 8, 8, 4), (64, 6, 8, 3), (160, 6, 8, 3)]))
def test_order_of_the_fan_outs(nodes: int, shape: tuple[int, int, int, int]) -> None:
    """A limit on groups hits fewer nodes than none, and the paper's convention hits the most."""
    experts, top_k, groups, per_token = shape
    uniform = nodes_hit_uniform(ffn_nodes=nodes, top_k=top_k, routed_experts=experts)
    grouped = nodes_hit_grouped(
        ffn_nodes=nodes, top_k=top_k, routed_experts=experts, expert_groups=groups, groups_per_token=per_token
    )
    most = nodes_hit_paper(ffn_nodes=nodes, top_k=top_k)
    assert 1 - 1e-12 <= grouped <= uniform + 1e-12 <= most + 2e-12


def test_limits() -> None:
    """One node is hit once; with every expert on a node of its own, k are."""
    assert nodes_hit_uniform(ffn_nodes=1, top_k=8, routed_experts=256) == pytest.approx(1.0)
    assert nodes_hit_uniform(ffn_nodes=np.array([256, 1000]), top_k=8, routed_experts=256) == pytest.approx(
        [8, 8]
    )
    assert nodes_hit_paper(ffn_nodes=np.array([1, 8, 40]), top_k=8).tolist() == [1, 8, 8]
