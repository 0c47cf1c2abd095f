"""Where a decode step spends its time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roofline_afd.analysis.breakdown import breakdown
from roofline_afd.errors import InputError
from roofline_afd.serving.layer import decode_times, layers_of
from roofline_afd.serving.scenario import Scenario
from tests.conftest import command

H800 = Scenario(system="h800", model="deepseek-v3")


@pytest.mark.parametrize(
    ("deployment", "sizes"),
    [("ep", {"devices": 32}), ("ep", {"devices": 1}), ("afd", {"devices": 24, "ffn_devices": 8})],
)
def test_operators_add_up_to_the_step(deployment: str, sizes: dict[str, Any]) -> None:
    answer = breakdown(H800, deployment=deployment, batch=64, context=4096, **sizes)
    step = decode_times(
        layers_of(H800, deployment=deployment),
        sequences=64,
        context=4096,
        attention_devices=sizes["devices"],
        ffn_devices=sizes.get("ffn_devices"),
    )
    assert answer.summary["step_time_us"] == pytest.approx(sum(step) * 1e6)
    rows = answer.rows()
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert sum(answer.summary["shares"].values()) == pytest.approx(1)
    assert all(row["step_time_us"] == pytest.approx(row["time_us"] * row["layers"]) for row in rows)


def test_what_was_never_measured_is_said() -> None:
    """The H800 was measured but for small kernels; the MI300X was not at all."""
    assert breakdown(H800).summary["estimated_share"] < 0.1
    assert breakdown(Scenario(system="mi300x", model="deepseek-v3")).summary[
        "estimated_share"
    ] == pytest.approx(1)


def test_fewer_copies_take_less_time_between_nodes() -> None:
    times = {}
    for transport in ("pair", "rank", "node"):
        rows = breakdown(H800, transport=transport, devices=64).rows()
        times[transport] = sum(row["step_time_us"] for row in rows if row["side"] == "network")
    assert times["node"] < times["rank"] < times["pair"]


def test_longer_contexts_cost_attention_only() -> None:
    short, long = (breakdown(H800, context=context).rows() for context in (1024, 65536))
    changed = {a["operator"] for a, b in zip(short, long, strict=True) if a["time_us"] != b["time_us"]}
    assert changed == {"core_attention"}


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"deployment": "edp"}, "did you mean 'ep'"),
        ({"transport": "ranks"}, "did you mean 'rank'"),
        ({"ffn_devices": 8}, "--ffn-devices belongs to --deployment afd"),
        ({"batch": 0}, "--batch 0 must be a whole number"),
        ({"context": 10**9}, "--context 1e"),
        ({"devices": 2.5}, "--devices 2.5 must be a whole number"),
    ],
)
def test_bad_sizes(sizes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        breakdown(H800, **sizes)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("extra", [(), ("--deployment", "afd", "--devices", "28", "--ffn-devices", "4")])
@pytest.mark.parametrize(("system", "model"), [("gb200-nvl72", "qwen3-235b-a22b"), ("tpu-v5p", "kimi-k3")])
def test_pictures(system: str, model: str, extra: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "breakdown.svg"
    outcome = command(
        "plot", "breakdown", "--system", system, "--model", model, *extra, "--output", str(path)
    )
    assert outcome.status == 0, outcome.err
    drawing = path.read_text("utf-8")
    assert "One decode step takes" in drawing
    assert "NaN" not in drawing
