"""Systems against a demand: fleets, costs, what ties them and what flips them, against plain counting."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from roofline_afd.analysis.decode.changes import changed
from roofline_afd.analysis.decode.predict import predict
from roofline_afd.analysis.decode.questions import Prediction
from roofline_afd.analysis.purchase.procurement import TABLE_KEYS, procure
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.scenario import Scenario
from roofline_afd.serving.search import search

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

QUESTION: dict[str, Any] = {"model": "deepseek-v3", "tpot_ms": 50, "max_devices": 64}
DEMAND = 30_000.0
RENT = {"h800": 2.0, "h20": 0.9, "h200": 1.6}

PART = """
schema = 1
record = "accelerator"
id = "{id}"
name = "{id}"
vendor = "Me"
status = "announced"
device_unit = "chip"
bf16_tflops = {{ value = {tflops}, kind = "datasheet", source = "plan" }}
fp8_tflops = {{ value = {tflops}, kind = "datasheet", source = "plan" }}
memory_gb = {{ value = 140, kind = "datasheet", source = "plan" }}
memory_gb_per_s = {{ value = 4000, kind = "datasheet", source = "plan" }}
{power}

[[prices]]
basis = "purchase"
terms = "street"
value = {price}
unit = "{unit}"
date = "2026-01"
kind = "reported"
source = "plan"

[[prices]]
basis = "purchase"
terms = "street"
value = 1
unit = "{unit}"
date = "2024-01"
kind = "reported"
source = "plan"

[sources.plan]
title = "the plan"
date = "2026-01"
"""
NODE = """
schema = 1
record = "system"
id = "{id}-node"
name = "{id} node"
accelerator = "{id}"
scale_up = "nvlink4"
scale_out = "infiniband-ndr-400"
devices_per_node = {{ value = 8, kind = "derived", source = "plan" }}
scale_up_domain_devices = {{ value = 8, kind = "derived", source = "plan" }}

[sources.plan]
title = "the plan"
date = "2026-01"
"""
WATTS = 'tdp_w = { value = 700, kind = "datasheet", source = "plan" }'


def _asked(*systems: str, **fields: Any) -> list[Scenario]:  # noqa: ANN401 - any field
    """Return the question for each system; a pair is attention+ffn."""
    made = []
    for name in systems:
        attention, plus, ffn = name.partition("+")
        sides = {"attention_system": load_system(attention), "ffn_system": load_system(ffn)} if plus else {}
        made.append(Scenario(system=ffn or attention, **QUESTION | sides | fields))
    return made


def _rent(*systems: str) -> dict[str, float]:
    return {name: RENT[name] for name in systems}


def _rows(answer: Answer) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["system"], row["mode"]): row for row in answer.rows()}


def _order(answer: Answer) -> list[tuple[str, str]]:
    return [(row["system"], row["mode"]) for row in answer.rows()]


def _overlay(folder: Path, *, unit: str, rate: float = 1.0, power: str = WATTS) -> list[Scenario]:
    """Return a question on two systems of one's own, with prices in a currency."""
    for name, tflops, price in (("alpha", 900, 20_000), ("beta", 450, 9_000)):
        text = PART.format(id=name, tflops=tflops, price=price * rate, unit=unit, power=power)
        (folder / f"{name}.toml").write_text(text, "utf-8")
        (folder / f"{name}-node.toml").write_text(NODE.format(id=name), "utf-8")
    catalogue = Catalogue([folder])
    return [
        Scenario(system=load_system(f"{name}-node", catalogue=catalogue), **QUESTION)
        for name in ("alpha", "beta")
    ]


@pytest.fixture(scope="module")
def answer() -> Answer:
    return procure(_asked("h800", "h20", "h200"), demand=DEMAND, prices=RENT)


# --- rows ---------------------------------------------------------------------------------------------------


def test_rows_hold_together(answer: Answer) -> None:
    """Every number of a row follows from the row: money, power, devices, and the demand."""
    rows = answer.rows()
    assert len(rows) == 6
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, 6]
    costs = [row["usd_per_million_tokens"] for row in rows]
    assert costs == sorted(costs)
    for row in rows:
        assert set(row) >= set(TABLE_KEYS)
        groups = [row["n_attention_devices"], row["n_ffn_devices"]]
        assert groups == [None, None] if row["mode"] == EP else sum(groups) == row["n_devices"]
        assert row["n_devices"] % row["n_replicas"] == 0
        assert row["capacity_tokens_per_s"] == pytest.approx(
            row["tokens_per_s_per_device"] * row["n_devices"]
        )
        assert row["load"] == pytest.approx(DEMAND / row["capacity_tokens_per_s"])
        assert row["load"] <= 1 + 1e-9
        # one replica less would not do
        assert row["capacity_tokens_per_s"] * (1 - 1 / row["n_replicas"]) < DEMAND
        assert row["usd_per_hour"] == pytest.approx(row["n_devices"] * RENT[row["system"]])
        assert row["usd_per_million_tokens"] == pytest.approx(row["usd_per_hour"] / (DEMAND * 3600 / 1e6))
        assert row["capex_usd"] is None
        assert row["watts_per_token_per_s"] == pytest.approx(row["power_kw"] * 1e3 / DEMAND)
        assert row["tokens_per_joule"] == pytest.approx(1 / row["watts_per_token_per_s"])
        assert row["tpot_ms"] <= 50 * (1 + 1e-9)
        assert row["n_nodes"] * 8 >= row["n_devices"]
    assert answer.summary["best"] == rows[0]["system"]
    assert answer.summary["best_mode"] == rows[0]["mode"]
    assert answer.summary["ranked_by"] == "usd_per_million_tokens"


def test_power_of_a_site() -> None:
    """H800 and H20 by rated power times PUE, 700 and 400 W; H200 as provisioned, 1,730 W, PUE in it."""
    for pue in (1.3, 2.0):
        rows = procure(_asked("h800", "h20", "h200"), demand=DEMAND, pue=pue).rows()
        watts = {"h800": 700 * pue, "h20": 400 * pue, "h200": 1730}
        for row in rows:
            assert row["power_kw"] == pytest.approx(row["n_devices"] * watts[row["system"]] / 1e3)


def test_a_row_is_what_predicting_its_deployment_says(answer: Answer) -> None:
    for row in answer.rows():
        replicas = row["n_replicas"]
        shape: dict[str, Any] = {"devices": row["n_devices"] // replicas}
        if row["mode"] == AFD:
            shape = {
                "attention_devices": row["n_attention_devices"] // replicas,
                "ffn_devices": row["n_ffn_devices"] // replicas,
            }
        shape |= {"batch": row["batch_per_device"], "microbatches": row["microbatches"]}
        (question,) = _asked(row["system"], **shape)
        (alone,) = [
            each for each in predict(Prediction(question, mode=row["mode"])).rows() if each["feasible"]
        ]
        assert alone["tokens_per_s_per_device"] == pytest.approx(row["tokens_per_s_per_device"], rel=1e-9)
        assert alone["tpot_ms"] == pytest.approx(row["tpot_ms"], rel=1e-9)


# --- fleets -------------------------------------------------------------------------------------------------


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
        shapes = [(count, 0) for count in range(units[0], most + 1, units[0])]
    else:
        groups = itertools.product(range(units[0], most, units[0]), range(units[1], most, units[1]))
        shapes = [shape for shape in groups if sum(shape) <= most]
        if question.side("attention").id == question.side("ffn").id:
            shapes += [(count, units[0] - count) for count in range(1, units[0])]
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
    """Against each shape searched by itself and counted: whole replicas, fewest devices."""
    (question,) = _asked(system, model=model, max_devices=32)
    rows = _rows(procure([question], demand=demand))
    for mode in (EP, AFD):
        shapes = _every_shape(question, mode, 32)
        fewest = min(
            math.ceil(demand / tokens * (1 - 1e-12)) * (one + other) for one, other, tokens in shapes
        )
        assert rows[system, mode]["n_devices"] == fewest


def test_the_fleet_is_not_always_that_of_the_best_rate() -> None:
    """A small demand is served by a small deployment, though a large one has more tokens per device."""
    (question,) = _asked("h800", max_devices=256)
    row = _rows(procure([question], demand=100))["h800", EP]
    assert row["n_replicas"] == 1
    assert row["tokens_per_s_per_device"] < _rate(question, EP)


def test_a_pair_takes_the_cheapest_of_every_shape() -> None:
    """With a price on both sides it is money that counts, not devices; without, devices."""
    (pair,) = _asked("h20+h800")
    shapes = _every_shape(pair, AFD, 64)

    def cost(shape: tuple[int, int, float], prices: tuple[float, float]) -> float:
        attention, ffn, tokens = shape
        replicas = math.ceil(DEMAND / tokens * (1 - 1e-12))
        return replicas * (attention * prices[0] + ffn * prices[1])

    found = set()
    for prices in ((1.0, 1.0), (0.2, 8.0), (8.0, 0.2)):
        given = {"h20": prices[0], "h800": prices[1]}
        (row,) = procure([pair], demand=DEMAND, prices=given).rows()
        assert row["usd_per_hour"] == pytest.approx(min(cost(shape, prices) for shape in shapes))
        found.add((row["n_attention_devices"], row["n_ffn_devices"]))
    assert len(found) > 1
    (row,) = procure([pair], demand=DEMAND).rows()
    assert row["n_devices"] == min(cost(shape, (1.0, 1.0)) for shape in shapes)


def test_a_pair_is_asked_about_afd_alone() -> None:
    rows = procure(_asked("h20+h800", "h800"), demand=DEMAND, prices=_rent("h20", "h800")).rows()
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


# --- ranking ------------------------------------------------------------------------------------------------


def test_order_of_candidates_does_not_matter(answer: Answer) -> None:
    for systems in itertools.permutations(("h800", "h20", "h200")):
        other = procure(_asked(*systems), demand=DEMAND, prices=RENT)
        assert other.rows() == answer.rows()
        assert other.summary == answer.summary


@pytest.mark.parametrize("factor", [2.0, 0.01, 1000.0])
def test_prices_scale(answer: Answer, factor: float) -> None:
    """All prices times a factor: so are all costs and the break-even prices; nothing else changes."""
    other = procure(
        _asked("h800", "h20", "h200"), demand=DEMAND, prices={key: RENT[key] * factor for key in RENT}
    )
    assert _order(other) == _order(answer)
    for row, before in zip(other.rows(), answer.rows(), strict=True):
        for key in ("usd_per_hour", "usd_per_million_tokens", "break_even_price"):
            assert row[key] == pytest.approx(before[key] * factor)
        assert (row["n_devices"], row["power_kw"]) == (before["n_devices"], before["power_kw"])
    assert other.summary["flips"] == answer.summary["flips"]


def test_currency_does_not_matter(tmp_path: Path) -> None:
    """The same prices in CNY at 7.2 to the dollar; other rates scale all costs and keep the ranks."""
    question: dict[str, Any] = {"demand": DEMAND, "price_basis": "purchase", "power_usd_per_kwh": 0}
    dollars = procure(_overlay(tmp_path, unit="USD"), **question)
    assert dollars.inputs["price_terms"] == "street"
    scenarios = _overlay(tmp_path, unit="CNY", rate=7.2)
    for rate in (7.2, 3.6, 72.0):
        yuan = procure(scenarios, **question, cny_per_usd=rate)
        assert _order(yuan) == _order(dollars)
        for row, before in zip(yuan.rows(), dollars.rows(), strict=True):
            for key in ("capex_usd", "usd_per_hour", "usd_per_million_tokens", "break_even_price"):
                assert row[key] == pytest.approx(before[key] * 7.2 / rate)
    without = procure(scenarios, **question)
    assert {row["usd_per_million_tokens"] for row in without.rows()} == {None}
    assert sum("give --cny-per-usd" in note for note in without.notes) == 2


@pytest.mark.parametrize("basis", ["rent", "purchase"])
def test_break_even_price_ties(basis: str) -> None:
    """Put in as the system's price, a row costs as much as the best row of the other systems."""
    prices = RENT if basis == "rent" else {"h800": 25_000.0, "h20": 10_000.0, "h200": 30_000.0}
    question: dict[str, Any] = {"demand": DEMAND, "price_basis": basis}
    first = procure(_asked("h800", "h20", "h200"), **question, prices=prices)
    checked = 0
    for row in first.rows():
        if row["break_even_price"] is None:
            continue
        again = procure(
            _asked("h800", "h20", "h200"),
            **question,
            prices={**prices, row["system"]: row["break_even_price"]},
        )
        rows = _rows(again)
        own = rows.pop((row["system"], row["mode"]))
        rivals = [each["usd_per_million_tokens"] for key, each in rows.items() if key[0] != row["system"]]
        assert own["usd_per_million_tokens"] == pytest.approx(min(rivals), rel=1e-9)
        checked += 1
    assert checked >= 3


def test_no_price_ties_where_power_alone_costs_more() -> None:
    """Bought devices whose power costs more than the rival's whole hour: no price is low enough."""
    answer = procure(
        _asked("h800", "h200"),
        demand=DEMAND,
        price_basis="purchase",
        prices={"h800": 1.0, "h200": 30_000.0},
        power_usd_per_kwh=1.0,
    )
    assert all(row["break_even_price"] is None for row in answer.rows() if row["system"] == "h200")
    assert all(row["break_even_price"] > 0 for row in answer.rows() if row["system"] == "h800")


@pytest.mark.parametrize("demand", [DEMAND, 2_000_000.0])
def test_a_flip_flips(demand: float) -> None:
    """At 2 % beyond the link speed named the other system is cheapest; at 2 % before it not yet."""
    systems = ("h800", "h20")
    prices = {"h800": 2.0, "h20": 0.47}
    first = procure(_asked(*systems), demand=demand, prices=prices)
    flips = [flip for flip in first.summary["flips"] if flip["flips_at"] is not None]
    assert flips
    for flip in flips:
        faster = flip["flips_at"] > flip["value"]
        leads = []
        for factor in (1.02, 1 / 1.02):
            value = flip["flips_at"] * (factor if faster else 1 / factor)
            scenarios = [
                changed(each, {flip["input"]: value}) if each.system.id == flip["system"] else each
                for each in _asked(*systems)
            ]
            leads.append(procure(scenarios, demand=demand, prices=prices).summary["best"])
        assert leads[0] != first.summary["best"] == leads[1]
        assert f"{flip['input']} of {flip['system']}" in first.summary["answer"]


def test_nothing_flips_what_is_far_apart() -> None:
    answer = procure(_asked("h800", "h20"), demand=DEMAND, prices={"h800": 0.01, "h20": 100.0})
    assert [flip["flips_at"] for flip in answer.summary["flips"]][1] is None
    alone = procure(_asked("h800"), demand=DEMAND, prices=_rent("h800"))
    assert alone.summary["flips"] == []
    assert "no other" not in alone.summary["answer"]


# --- a buyer's assumptions ----------------------------------------------------------------------------------


def test_users_served_at_once_all_have_a_place() -> None:
    """Slow users take few tokens and many places: the fleet holds them all, and no replica more than that."""
    asked = [Scenario(system=name, model="deepseek-v3") for name in ("h200", "h800")]
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
    """A scale-up domain holds whole replicas, or a replica whole domains."""
    answer = procure([Scenario(system="cloudmatrix384", model="deepseek-v3")], demand=1e6)
    size = load_system("cloudmatrix384").scale_up_domain_devices
    for row in answer.rows():
        replica = row["n_devices"] // row["n_replicas"]
        if replica <= size:
            assert row["n_scale_up_domains"] == math.ceil(row["n_replicas"] / (size // replica))
        else:
            assert row["n_scale_up_domains"] == row["n_replicas"] * math.ceil(replica / size)
    afd = next(row for row in answer.rows() if row["mode"] == "afd")
    assert (afd["n_devices"] // afd["n_replicas"], afd["n_scale_up_domains"]) == (512, 4)


def test_a_trace_gives_the_context_that_slots_hold(tmp_path: Path) -> None:
    """Long outputs hold their tokens for longer; a context beside the trace is refused."""
    trace = tmp_path / "trace.csv"
    lines = [f"2023-11-16 18:15:{second:02d},1000,{10 if second % 2 else 990}" for second in range(60)]
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n")
    scenario = Scenario(system="h200", model="deepseek-v3")
    answer = procure([scenario], trace=trace, trace_scale=100.0)
    decoded = (10 * (1000 + 4.5) + 990 * (1000 + 494.5)) / 1000
    assert answer.inputs["context"] == round(decoded)
    with pytest.raises(InputError, match="--trace gives the context: leave out --context"):
        procure([attrs.evolve(scenario, context=9999)], trace=trace)


def test_notes_say_what_is_left_out() -> None:
    """Prefill, halves of pairs that are no candidates, contexts no model is made for."""
    sides: dict[str, Any] = {"attention_system": "h20", "ffn_system": "h800", "tpot_ms": 200}
    pair = Scenario(system="h800", model="deepseek-v3", context=200_000, **sides)
    notes = procure([pair], demand=1e4).notes
    assert any("decode alone" in note for note in notes)
    assert "h20 and h800 alone not compared: add to --systems" in notes
    assert any("beyond the 163,840 tokens deepseek-v3 is made for" in note for note in notes)
    alone = Scenario(system="h800", model="deepseek-v3")
    assert not any("not compared" in note for note in procure([alone], demand=1e4).notes)


def test_refusals_name_what_is_nearest() -> None:
    with pytest.raises(InfeasibleError, match=r"h800, EP: .*; the least is 17\.\d+ ms per token"):
        procure([Scenario(system="h800", model="deepseek-v3", tpot_ms=5.0)], demand=1e4)


def test_utilization() -> None:
    """Half the tokens sold for the same fleet: twice the cost of each, the same ranks."""
    whole, half = (
        procure(_asked("h800", "h20"), demand=DEMAND, prices=_rent("h800", "h20"), utilization=share)
        for share in (1.0, 0.5)
    )
    assert _order(whole) == _order(half)
    for row, other in zip(whole.rows(), half.rows(), strict=True):
        assert other["n_devices"] == row["n_devices"]
        assert other["usd_per_hour"] == row["usd_per_hour"]
        assert other["usd_per_million_tokens"] == pytest.approx(2 * row["usd_per_million_tokens"])
        assert other["tokens_per_joule"] == pytest.approx(row["tokens_per_joule"] / 2)


def test_purchase_by_hand() -> None:
    """Devices written off over the years, and their power at the site: nothing else is in the hour."""
    for years, pue, power in ((4.0, 1.3, 0.08), (2.0, 1.3, 0.08), (4.0, 2.0, 0.08), (4.0, 1.3, 0.2)):
        answer = procure(
            _asked("h800"),
            demand=DEMAND,
            price_basis="purchase",
            prices={"h800": 25_000.0},
            years=years,
            pue=pue,
            power_usd_per_kwh=power,
        )
        for row in answer.rows():
            devices = row["n_devices"]
            assert row["capex_usd"] == devices * 25_000
            hourly = devices * (25_000 / (years * 8760) + 0.7 * pue * power)
            assert row["usd_per_hour"] == pytest.approx(hourly)
            assert row["usd_per_million_tokens"] == pytest.approx(hourly / (DEMAND * 3600 / 1e6))


def test_provisioned_power_knows_no_pue() -> None:
    """H200's power has its cooling in it: neither power nor cost moves with PUE."""
    rows = [
        procure(
            _asked("h200"), demand=DEMAND, price_basis="purchase", prices={"h200": 30_000.0}, pue=pue
        ).rows()
        for pue in (1.0, 2.0)
    ]
    assert rows[0] == rows[1]


def test_a_missing_price_is_never_guessed() -> None:
    """Its cost is null and a note says so; it ranks after those with a price, however few its devices."""
    answer = procure(_asked("h800", "h20"), demand=DEMAND, prices={"h20": 50.0})
    assert [row["system"] for row in answer.rows()] == ["h20", "h20", "h800", "h800"]
    for row in answer.rows()[2:]:
        assert row["usd_per_hour"] is row["usd_per_million_tokens"] is None
        assert row["n_devices"] < answer.rows()[0]["n_devices"]
        assert row["break_even_price"] > 0  # what it may cost is known all the same
    assert any(
        note.startswith("no rent price of h800") and "--price h800=USD" in note for note in answer.notes
    )
    assert "no other candidate serves it at a known cost" in answer.summary["answer"]
    assert answer.summary["flips"] == []


def test_without_any_price_devices_rank() -> None:
    answer = procure(_asked("h20", "h800"), demand=DEMAND)
    devices = [row["n_devices"] for row in answer.rows()]
    assert devices == sorted(devices)
    assert answer.summary["ranked_by"] == "n_devices"
    assert "fewest devices" in answer.summary["answer"]
    assert {row["break_even_price"] for row in answer.rows()} == {None}


def test_bases_and_terms_are_never_mixed() -> None:
    """H200 is on three terms; b200 on demand has no price, though it has one over three years."""
    three_years = procure(_asked("h200", "b200"), demand=DEMAND)
    assert three_years.inputs["price_terms"] == "three-year"
    assert all(row["usd_per_hour"] for row in three_years.rows())
    on_demand = procure(_asked("h200", "b200"), demand=DEMAND, price_terms="on-demand")
    for row in on_demand.rows():
        assert (row["usd_per_hour"] is None) == (row["system"] == "b200")
    assert any("b200 on on-demand terms is known, only on three-year" in note for note in on_demand.notes)
    with pytest.raises(InputError, match="--price-terms 'on-demand' is not valid; valid: hyperscaler"):
        procure(_asked("h200"), demand=DEMAND, price_basis="tco", price_terms="on-demand")


def test_the_newest_price_counts(tmp_path: Path) -> None:
    """Of two prices of one kind the one of 2026, and the note says its date."""
    answer = procure(_overlay(tmp_path, unit="USD"), demand=DEMAND, price_basis="purchase")
    for row in answer.rows():
        price = {"alpha-node": 20_000, "beta-node": 9_000}[row["system"]]
        assert row["capex_usd"] == row["n_devices"] * price
    assert sum("2026-01" in note for note in answer.notes if note.startswith("price of")) == 2


def test_unknown_power_is_left_out(tmp_path: Path) -> None:
    """Null where nobody states it; what is bought has then no cost an hour, what is rented has one."""
    scenarios = _overlay(tmp_path, unit="USD", power="")
    answer = procure(scenarios, demand=DEMAND, price_basis="purchase")
    for row in answer.rows():
        for key in ("power_kw", "watts_per_token_per_s", "tokens_per_joule", "usd_per_hour"):
            assert row[key] is None
        assert row["capex_usd"] > 0
    assert sum("power of" in note and "with the cost of owning it" in note for note in answer.notes) == 2
    rented = procure(scenarios, demand=DEMAND, prices={"alpha-node": 3.0, "beta-node": 1.0})
    assert all(row["usd_per_hour"] > 0 and row["power_kw"] is None for row in rented.rows())


# --- demands ------------------------------------------------------------------------------------------------


def test_users_set_the_latency_target() -> None:
    """1,500 users at 20 tokens/s each are 30,000 tokens/s within 50 ms."""
    users = procure(_asked("h800", tpot_ms=None), users=1500, user_tokens_per_s=20)
    plain = procure(_asked("h800"), demand=DEMAND)
    assert users.rows() == plain.rows()
    assert users.inputs["tpot_ms"] == 50
    # a tighter limit of one's own stays
    tighter = procure(_asked("h800", tpot_ms=40), users=1500, user_tokens_per_s=20)
    assert tighter.inputs["tpot_ms"] == 40
    assert all(row["tpot_ms"] <= 40 * (1 + 1e-9) for row in tighter.rows())
    looser = procure(_asked("h800", tpot_ms=80), users=1500, user_tokens_per_s=20)
    assert looser.rows() == plain.rows()


def test_a_trace_sets_demand_and_context(tmp_path: Path) -> None:
    """Two requests a second of 300 tokens each; their context is the prompt and half the output."""
    lines = [f"2026-01-01 00:00:{number / 2:09.6f},1850,300" for number in range(100)]
    path = tmp_path / "trace.csv"
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n", "utf-8")
    traced = procure(_asked("h800"), trace=path, trace_scale=50)
    assert traced.inputs["demand_tokens_per_s"] == pytest.approx(2 * 300 * 50)
    plain = procure(_asked("h800", context=2000), demand=DEMAND)
    for row, other in zip(traced.rows(), plain.rows(), strict=True):
        assert row["n_devices"] == other["n_devices"]
        assert row["tokens_per_s_per_device"] == pytest.approx(other["tokens_per_s_per_device"])
    assert "100 requests a second of 300" in traced.notes[0]
    assert "context 2,000" in traced.notes[0]


# --- refusals -----------------------------------------------------------------------------------------------


def test_infeasible_candidates_are_rows_without_numbers() -> None:
    """16 H800 cannot hold the model in two groups; that row says what binds and nothing else."""
    answer = procure(_asked("h800", "h200", max_devices=16), demand=DEMAND, prices=_rent("h800", "h200"))
    rows = _rows(answer)
    refused = [row for row in rows.values() if not row["feasible"]]
    assert refused
    for row in refused:
        assert row["binding"] == "HBM capacity"
        known = {key for key, value in row.items() if value is not None}
        assert known == {"system", "mode", "feasible", "binding"}
        assert any(note.startswith(f"{row['system']}, ") and "HBM capacity" in note for note in answer.notes)
    assert [row["feasible"] for row in answer.rows()] == sorted(
        (row["feasible"] for row in answer.rows()), reverse=True
    )


def test_nothing_feasible_is_a_no() -> None:
    with pytest.raises(InfeasibleError, match=r"^no: h800, EP: .*h20, AFD: binding is latency target"):
        procure(_asked("h800", "h20", tpot_ms=1.0), demand=DEMAND)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no demand": ({"demand": None}, "a demand is one of"),
    "two demands": ({"users": 5, "user_tokens_per_s": 20}, "a demand is one of"),
    "half a demand": ({"demand": None, "users": 5}, "belong together"),
    "no users": ({"demand": None, "users": 0, "user_tokens_per_s": 20}, "--users 0 must be"),
    "scale of nothing": ({"trace_scale": 2}, "--trace-scale belongs to --trace"),
    "zero demand": ({"demand": 0}, "--demand 0 must be above 0"),
    "endless demand": ({"demand": math.inf}, "--demand inf"),
    "no number": ({"demand": math.nan}, "--demand nan"),
    "basis": ({"price_basis": "lease"}, "--price-basis 'lease' is not valid; valid: "),
    "terms": ({"price_terms": "three-years"}, "did you mean 'three-year'"),
    "price of another": ({"prices": {"h801": 1.0}}, "--price 'h801' is none of the systems; did you"),
    "price below zero": ({"prices": {"h800": -1.0}}, "--price h800 -1 must be above 0"),
    "years": ({"years": 0}, "--years 0 must be above 0"),
    "power": ({"power_usd_per_kwh": -0.1}, "--power-usd-per-kwh -0.1 must be"),
    "pue": ({"pue": 0.9}, "--pue 0.9 must be at least 1"),
    "utilization": ({"utilization": 1.5}, "--utilization 1.5 must be"),
    "no utilization": ({"utilization": 0}, "--utilization 0 must be above 0"),
    "rate": ({"cny_per_usd": 0}, "--cny-per-usd 0 must be above 0"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_questions_are_refused(what: str) -> None:
    fields, says = REFUSED[what]
    with pytest.raises(InputError) as raised:
        procure(_asked("h800"), **{"demand": DEMAND} | fields)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_candidates_must_differ() -> None:
    with pytest.raises(InputError, match="--systems names h800 twice"):
        procure(_asked("h800", "h20", "h800"), demand=DEMAND)
    with pytest.raises(InputError, match="--systems is empty"):
        procure([], demand=DEMAND)
