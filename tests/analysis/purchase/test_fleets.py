"""Fleets against plain counting: each shape searched by itself, whole replicas, whole domains."""

from __future__ import annotations

import itertools
import math
import operator
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from roofline_afd.analysis.decode.predict import predict
from roofline_afd.analysis.decode.questions import Prediction
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.modes.sold import unit_of, units_alike, units_filled
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import search
from tests.analysis.purchase.conftest import DEMAND, asked, procure, rows_of

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer


def _rate(question: Scenario, mode: str) -> float:
    """Return tokens per second and device of the best deployment of a question; 0 without any."""
    deployments = Deployments(question, mode)
    best = search(deployments).best
    if best is None:
        return 0.0
    return float(deployments.tokens_per_s_per_device(best, deployments.step(best).time))


def _every_shape(question: Scenario, mode: str, most: int) -> list[tuple[int, int, float]]:
    """Return attention and FFN devices and tokens a second of every deployment, each searched by itself."""
    units = [question.side(side).devices_per_node for side in ("attention", "ffn")]
    if mode == EP:
        counts = [*range(1, units[0]), *range(units[0], most + 1, units[0])]
        shapes = [(count, 0) for count in counts]
    else:
        groups = itertools.product(range(units[0], most, units[0]), range(units[1], most, units[1]))
        shapes = [shape for shape in groups if sum(shape) <= most]
        if question.side("attention").id == question.side("ffn").id:
            shapes += [(one, other) for one in range(1, units[0]) for other in range(1, units[0] + 1 - one)]
    found = []
    for attention, ffn in shapes:
        fixed: dict[str, Any] = {"attention_devices": attention, "ffn_devices": ffn}
        if not ffn:
            fixed = {"devices": attention}
        rate = _rate(attrs.evolve(question, **fixed), mode)
        if rate > 0:
            found.append((attention, ffn, rate * (attention + ffn)))
    return found


@pytest.mark.parametrize("demand", [500.0, 7_777.0, 60_000.0])
@pytest.mark.parametrize(("system", "model"), [("h200", "deepseek-v3"), ("h800", "qwen3-30b-a3b")])
def test_fleet_is_the_smallest_of_every_shape(system: str, model: str, demand: float) -> None:
    """Against each shape searched by itself and counted: whole replicas, fewest devices as they are sold."""
    (question,) = asked(system, model=model, max_devices=32)
    rows = rows_of(procure([question], demand=demand))
    for mode in (EP, AFD):
        shapes = _every_shape(question, mode, 32)
        unit = unit_of(question.system)
        fewest = min(
            unit * _units(one + other, math.ceil(demand / tokens * (1 - 1e-12)), unit)
            for one, other, tokens in shapes
        )
        row = rows[system, mode]
        assert row["n_devices_sold"] == fewest
        assert row["n_idle_devices"] == fewest - row["n_devices"]
        assert row["units"] == f"{fewest // unit} x {unit}"


def _units(size: int, replicas: int, unit: int) -> int:
    """Return the nodes or racks of replicas alike, filled one by one."""
    return len(units_filled([("decode", size, replicas)], unit))


@pytest.mark.parametrize("unit", [1, 4, 8, 72])
def test_units_of_replicas_alike_are_those_filled_one_by_one(unit: int) -> None:
    for size, replicas in itertools.product((1, 3, 4, 8, 10, 36, 40, 72, 96), (1, 2, 5)):
        assert units_alike(size=size, replicas=replicas, unit=unit) == _units(size, replicas, unit)


def test_a_rack_is_paid_for_whole() -> None:
    """Devices of a scale-up domain that stay idle cost and draw as the others do."""
    (question,) = asked("gb200-nvl72", devices=64)
    row = rows_of(procure([question], demand=6e5, prices={"gb200-nvl72": 3.0}))["gb200-nvl72", EP]
    assert (row["n_devices"], row["n_devices_sold"], row["n_idle_devices"]) == (128, 144, 16)
    assert row["usd_per_hour"] == pytest.approx(144 * 3.0)
    assert row["power_kw"] == pytest.approx(144 * 2.1)


def test_the_fleet_is_not_always_that_of_the_best_rate() -> None:
    """A small demand is served by a small deployment, though a large one has more tokens per device."""
    (question,) = asked("h800", max_devices=256)
    row = rows_of(procure([question], demand=100))["h800", EP]
    assert row["n_replicas"] == 1
    assert row["tokens_per_s_per_device"] < _rate(question, EP)


def test_a_pair_takes_the_cheapest_of_every_shape() -> None:
    """With a price on both sides it is money that counts, not devices; without, devices."""
    (pair,) = asked("h20+h800")
    shapes = _every_shape(pair, AFD, 64)

    def cost(shape: tuple[int, int, float], prices: tuple[float, float]) -> float:
        attention, ffn, tokens = shape
        replicas = math.ceil(DEMAND / tokens * (1 - 1e-12))
        sold = (8 * _units(size, replicas, 8) for size in (attention, ffn))
        return float(sum(map(operator.mul, sold, prices)))

    found = set()
    for prices in ((1.0, 1.0), (0.2, 8.0), (8.0, 0.2)):
        given = {"h20": prices[0], "h800": prices[1]}
        (row,) = procure([pair], demand=DEMAND, prices=given).rows()
        assert row["usd_per_hour"] == pytest.approx(min(cost(shape, prices) for shape in shapes))
        found.add((row["n_attention_devices"], row["n_ffn_devices"]))
    assert len(found) > 1
    (row,) = procure([pair], demand=DEMAND).rows()
    assert row["n_devices_sold"] == min(cost(shape, (1.0, 1.0)) for shape in shapes)


def test_a_row_is_what_predicting_its_deployment_says(answer: Answer) -> None:
    for row in answer.rows():
        replicas = row["n_replicas"]
        shape: dict[str, Any] = {"devices": row["n_devices"] // replicas}
        if row["mode"] == AFD:
            shape = {
                "attention_devices": row["n_attention_devices"] // replicas,
                "ffn_devices": row["n_ffn_devices"] // replicas,
            }
        plan = ("tensor_parallel", "context_parallel", "expert_tensor_parallel", "afd_cut", "transport")
        shape |= {key: row[key] for key in plan if row[key]}
        shape |= {"batch": row["batch_per_group"], "microbatches": row["microbatches"]}
        (question,) = asked(row["system"], **shape)
        (alone,) = [
            each for each in predict(Prediction(question, mode=row["mode"])).rows() if each["feasible"]
        ]
        assert alone["tokens_per_s_per_device"] == pytest.approx(row["tokens_per_s_per_device"], rel=1e-9)
        assert alone["tpot_ms"] == pytest.approx(row["tpot_ms"], rel=1e-9)


def test_users_served_at_once_all_have_a_place() -> None:
    """Slow users take few tokens and many places: the fleet holds them all, and no replica more than that."""
    asked = [Scenario(system=name, model="deepseek-v3", max_devices=64) for name in ("h200", "h800")]
    answer = procure(asked, users=20_000, user_tokens_per_s=5.0)
    assert (answer.inputs["demand_tokens_per_s"], answer.inputs["demand_users"]) == (100_000, 20_000)
    for row in answer.rows():
        assert row["capacity_sequences"] >= 20_000
        assert row["capacity_tokens_per_s"] >= 100_000
        assert row["capacity_sequences"] * (1 - 1 / row["n_replicas"]) < 20_000
        sides = row["n_attention_devices"] or row["n_devices"]
        assert row["capacity_sequences"] == sides * row["batch_per_device"]
        assert row["tokens_per_s_per_user"] >= 5.0
    by_tokens = procure(asked, demand=100_000).rows()[0]
    assert by_tokens["n_devices"] < answer.rows()[0]["n_devices"]


def test_replicas_do_not_straddle_domains() -> None:
    """A scale-up domain holds whole replicas, as of 384 devices, or a replica whole domains, as of 32."""
    wide = []
    for size in (384, 32):
        system = load_system("cloudmatrix384", overrides={"scale_up_domain_devices": size})
        for row in procure([Scenario(system=system, model="deepseek-v3")], demand=1e6).rows():
            replica = row["n_devices"] // row["n_replicas"]
            wide.append(replica > size)
            if replica <= size:
                assert row["n_scale_up_domains"] == math.ceil(row["n_replicas"] / (size // replica))
            else:
                assert row["n_scale_up_domains"] == row["n_replicas"] * math.ceil(replica / size)
    assert set(wide) == {False, True}
