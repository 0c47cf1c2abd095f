"""Candidates are told apart, and pairs are asked about disaggregation alone."""

from __future__ import annotations

import pytest

from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, EP
from tests.analysis.purchase.conftest import DEMAND, RENT, asked, procure, rent


def test_candidates_must_differ() -> None:
    with pytest.raises(InputError, match="scenarios names h800 twice"):
        procure(asked("h800", "h20", "h800"), demand=DEMAND)
    with pytest.raises(InputError, match="scenarios is empty"):
        procure([], demand=DEMAND)


def test_a_pair_is_asked_about_afd_alone() -> None:
    rows = procure(asked("h20+h800", "h800"), demand=DEMAND, prices=rent("h20", "h800")).rows()
    assert {(row["system"], row["mode"]) for row in rows} == {
        ("h20+h800", AFD),
        ("h800", EP),
        ("h800", AFD),
    }
    pair = next(row for row in rows if row["system"] == "h20+h800")
    hourly = pair["n_attention_devices"] * RENT["h20"] + pair["n_ffn_devices"] * RENT["h800"]
    assert pair["usd_per_hour"] == pytest.approx(hourly)
    watts = (pair["n_attention_devices"] * 400 + pair["n_ffn_devices"] * 700) * 1.3
    assert pair["power_kw"] == pytest.approx(watts / 1e3)
    assert pair["break_even_price"] is None
    assert pair["n_nodes"] * 8 == pair["n_devices"]
    # what the pair costs would move with the price of its FFN side: it is no rival
    assert all(row["break_even_price"] is None for row in rows)
