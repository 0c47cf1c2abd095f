"""Where a rack ends: exchanges over tokens and group sizes, by hand and by their properties."""

from __future__ import annotations

import dataclasses
from typing import Any

import attrs
import numpy as np
import pytest

from roofline_afd import InputError, Scenario
from roofline_afd.analysis.bounds.fabric import MOST_SYSTEMS, MeasuredExchange, exchange_times, fabric
from roofline_afd.analysis.bounds.questions import TOKENS, Fabric
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.serving.deployment import EP, Deployments

NOMINAL: dict[str, Any] = {"model": "deepseek-v3", "links": "nominal", "transport": "pair"}


def _of(*systems: str, **fields: Any) -> list[Scenario]:  # noqa: ANN401 - any field
    return [Scenario(**{"model": "deepseek-v3", "system": name, **fields}) for name in systems]


def _rows(*systems: str, **question: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any field
    return fabric(Fabric(_of(*systems), **question)).rows()


def test_a_point_by_hand() -> None:
    """16 H800 in two nodes, links at their nominal rates and no fixed time.

    128 tokens go to 8 experts each, half of them in the other node, over 50 GB/s: 512 copies of 7168 elements
    in fp8 with a scale of 4 bytes for 128, 7392 B, and back in bf16, 14336 B.
    """
    (row,) = fabric(Fabric(_of("h800", **NOMINAL), group_sizes=[16], tokens=[128])).rows()
    assert row["dispatch_us"] == pytest.approx(512 * 7392 / 50e3)
    assert row["combine_us"] == pytest.approx(512 * 14336 / 50e3)
    assert row["exchange_us"] == pytest.approx(512 * (7392 + 14336) / 50e3)
    assert (row["binding"], row["domains"], row["n_domains"]) == ("scale-out bandwidth", "2 nodes, 8+8", 2)


def test_within_a_node_by_hand() -> None:
    """Seven eighths of the copies leave a device, at 160 of 200 GB/s."""
    (row,) = fabric(Fabric(_of("h800", **NOMINAL), group_sizes=[8], tokens=[128])).rows()
    assert row["exchange_us"] == pytest.approx(128 * 7 * (7392 + 14336) / 160e3)
    assert (row["binding"], row["domains"]) == ("scale-up bandwidth", "1 node")


@pytest.mark.parametrize("system", ["h800", "gb200-nvl72", "cloudmatrix384", "tpu-v6e", "b200-efa-v4"])
def test_times_never_fall_with_tokens(system: str) -> None:
    """A row per group size and tokens, times positive and the sum of both halves."""
    answer = fabric(Fabric(_of(system), tokens=range(1, 600)))
    frame = answer.frame()
    assert np.allclose(frame.exchange_us, frame.dispatch_us + frame.combine_us, rtol=1e-12)
    for _, own in frame.groupby("n_devices"):
        assert list(own.tokens) == list(range(1, 600))
        assert (np.diff(own.exchange_us) >= 0).all()
        assert own.exchange_us.iloc[0] > 0


def test_leaving_the_rack_is_told() -> None:
    answer = fabric(Fabric(_of("gb200-nvl72")))
    (edge,) = answer.summary["edges"]
    assert (edge["within_devices"], edge["beyond_devices"], edge["domain"]) == (72, 144, "rack")
    assert edge["factor"] == edge["beyond_us"] / edge["within_us"] > 1
    found = {(row["n_devices"], row["tokens"]): row["exchange_us"] for row in answer.rows()}
    assert (edge["within_us"], edge["beyond_us"]) == (found[72, 128], found[144, 128])
    within, beyond, factor = (edge[key] for key in ("within_us", "beyond_us", "factor"))
    assert answer.summary["answer"] == (
        f"On NVIDIA GB200 NVL72 a layer's exchange of 128 tokens takes {within:.0f} us within the rack with "
        f"72 devices and {beyond:.0f} us with 144: leaving it costs x{factor:.2g}."
    )


def test_group_sizes_where_none_are_asked_for() -> None:
    """Those of a domain and twice as many, as far as 256 experts reach and a fabric leads on."""
    sizes = {
        name: sorted({row["n_devices"] for row in _rows(name, tokens=[1])})
        for name in ("h800", "gb200-nvl72", "cloudmatrix384", "trn3-ultraserver-gen2", "tpu-v6e")
    }
    assert sizes == {
        "h800": [8, 16, 32, 64],
        "gb200-nvl72": [8, 16, 32, 64, 72, 144],
        "cloudmatrix384": [8, 16, 32, 64, 256],
        "trn3-ultraserver-gen2": [8, 16, 32, 64, 144, 256],
        "tpu-v6e": [8, 16, 32, 64, 256],
    }
    (eight,) = _of("h800", model="mixtral-8x7b")
    assert {row["n_devices"] for row in fabric(Fabric([eight])).rows()} == {8}
    assert sorted({row["tokens"] for row in _rows("h800")}) == list(TOKENS)


def test_copies_of_experts_spread_further() -> None:
    (row,) = fabric(Fabric(_of("h800", redundant_experts=64), group_sizes=[320], tokens=[8])).rows()
    assert row["n_devices"] == 320


def test_a_partial_domain_is_said() -> None:
    rows = _rows("gb200-nvl72", group_sizes=[76], tokens=[8])
    assert [row["domains"] for row in rows] == ["2 racks, 38+38"]


def test_many_points_are_those_of_one_at_a_time() -> None:
    each = Deployments(_of("mi355x")[0], EP)
    devices, tokens = np.array([8, 64, 16, 8]), np.array([3.0, 700.0, 1.0, 128.0])
    found = exchange_times(each, devices, tokens)
    for at in range(4):
        alone = exchange_times(each, devices[at : at + 1], tokens[at : at + 1])
        assert [part[0] for part in alone] == [part[at] for part in found]


def test_what_binds_is_the_fixed_time_of_few_tokens_and_links_of_many() -> None:
    rows = {row["tokens"]: row["binding"] for row in _rows("gb200-nvl72", group_sizes=[144])}
    assert rows[1] == "fixed time"
    assert rows[1024] == "scale-out bandwidth"


def test_estimates_are_those_of_the_legs_that_are_crossed() -> None:
    """The domain of B200 nodes was measured, Spectrum-X was not."""
    rows = _rows("b300-spectrum-x-800", group_sizes=[8, 16], tokens=[8])
    assert [row["kind"] for row in rows] == ["measured", "estimated"]


def test_measured_points_carry_what_is_predicted_there() -> None:
    point = MeasuredExchange(
        "mine", "h800", 16, 128, 300.0, "fp8", "deepep-v1-low-latency", "kernel", kernels=True, source="here"
    )
    others = [
        point._replace(n_devices=24),
        point._replace(tokens=4096),
        point._replace(system="h100"),
        point._replace(id="late", kernels=False),
    ]
    answer = fabric(Fabric(_of("h800")), [point, *others])
    drawn = answer.picture["points"]
    assert [(each["id"], each["alike"]) for each in drawn] == [("mine", True), ("late", False)]
    (row,) = (row for row in answer.rows() if (row["n_devices"], row["tokens"]) == (16, 128))
    assert drawn[0]["predicted_us"] == pytest.approx(row["exchange_us"])
    assert "h800: 2 measured exchanges not drawn: 24 devices and other numbers of tokens" in answer.notes


def test_several_systems_share_a_sentence() -> None:
    answer = fabric(Fabric(_of("h800", "tpu-v6e", "b200-efa-v4", "b200")))
    said = answer.summary["answer"]
    assert said.startswith("Leaving the node costs a layer's exchange of 128 tokens x")
    assert "on NVIDIA HGX B200 with EFA v4 (" in said
    assert "on NVIDIA HGX B200 with InfiniBand 400G (" in said
    assert said.endswith("us within the slice with 256 devices.")
    assert ". " not in said


def test_asked_sizes_that_cannot_exchange_are_left_out_and_said() -> None:
    answer = fabric(Fabric(_of("h800", "tpu-v6e"), group_sizes=[16, 12], tokens=[1]))
    assert [(row["system"], row["n_devices"]) for row in answer.rows()] == [
        ("h800", 12),
        ("h800", 16),
        ("tpu-v6e", 16),
    ]
    assert "tpu-v6e: left out 12 devices (they are no whole slices)" in answer.notes


def _pair() -> Scenario:
    return Scenario(system="h20", attention_system=load_system("h800"), model="deepseek-v3")


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no system": ([], {}, "--systems names no system"),
    "too many": (_of("h800", "h100", "h200", "h20", "b200"), {}, f"holds at most {MOST_SYSTEMS}"),
    "twice": (_of("h800", "h800"), {}, "--systems names h800 twice"),
    "a pair": ([_pair()], {}, "--systems h800+h20 is a pair"),
    "every way": (_of("h800", transport="all"), {}, "--transport all is for searches"),
    "alone": (
        _of("h800"),
        {"group_sizes": [1]},
        "--group-sizes 1 must be a whole number from 2 to 1,000,000",
    ),
    "half": (_of("h800"), {"tokens": [1.5]}, "--tokens 1.5 must be a whole number from 1"),
    "nothing": (_of("h800"), {"tokens": []}, "--tokens is empty"),
    "words": (_of("h800"), {"tokens": ["many"]}, "--tokens ['many'] holds no whole numbers"),
    "too many tokens": (_of("h800"), {"tokens": range(1, 9999)}, "at most 2,000"),
    "more than experts": (_of("h800"), {"group_sizes": [512]}, "the experts are 256"),
    "nowhere to go": (
        [
            attrs.evolve(each, system=dataclasses.replace(each.system, scale_out=None))
            for each in _of("tpu-v6e", model="qwen3-235b-a22b", redundant_experts=900)
        ],
        {"group_sizes": [512]},
        "no fabric leads beyond the 256 devices of a slice",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_wrong_questions_are_refused(what: str) -> None:
    scenarios, question, message = REFUSED[what]
    with pytest.raises(InputError) as refused:
        fabric(Fabric(scenarios, **question))
    assert message in str(refused.value)
