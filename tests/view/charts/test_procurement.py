"""The chart of candidates: its bars, columns and texts are those of the answer."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from roofline_afd import InputError, plot
from roofline_afd.analysis.answer import Answer, object_columns, read_answer
from roofline_afd.analysis.purchase.procurement import procure
from roofline_afd.analysis.purchase.questions import Purchase
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.serving.scenario import Scenario
from roofline_afd.view.charts.procurement import MOST_ROWS, MOSTLY, procurement_chart
from roofline_afd.view.charts.style import MODES
from roofline_afd.view.pages import chart_bytes
from roofline_afd.view.words import worded
from tests.conftest import ONE_PLAN, ONE_PLAN_OPTIONS, command

DEMAND = 30_000.0
PRICES = {"h800": 2.0, "h20": 0.9}


def _asked(*systems: str, **fields: Any) -> list[Scenario]:  # noqa: ANN401 - any field
    plain: dict[str, Any] = {"model": "deepseek-v3", "tpot_ms": 50, "max_devices": 64, **ONE_PLAN}
    made = []
    for name in systems:
        attention, plus, ffn = name.partition("+")
        sides = {"attention_system": load_system(attention), "ffn_system": load_system(ffn)} if plus else {}
        made.append(Scenario(system=ffn or attention, **plain | sides | fields))
    return made


def _drawn(systems: tuple[str, ...], **question: Any) -> tuple[Any, list[dict[str, Any]], Answer]:  # noqa: ANN401
    """Return the specification, its layers with their data in place, and the answer drawn."""
    scenarios = _asked(*systems, **question.pop("fields", {}))
    answer = procure(Purchase(scenarios, demand=DEMAND, **question))
    specification = procurement_chart(answer).to_dict(validate=False)
    for layer in specification["layer"]:
        if "name" in layer["data"]:
            layer["data"] = {"values": specification["datasets"][layer["data"]["name"]]}
    return specification, specification["layer"], answer


def _of(layers: list[dict[str, Any]], mark: str) -> list[dict[str, Any]]:
    """Return the rows of all layers of one mark, from top to bottom."""
    rows = [row for layer in layers if layer["mark"]["type"] == mark for row in layer["data"]["values"]]
    return sorted(rows, key=lambda row: row.get("place", -1))


def _lines(layers: list[dict[str, Any]]) -> list[list[str]]:
    """Return the texts of each row from left to right."""
    lines: dict[int, list[tuple[float, str]]] = {}
    for layer in layers:
        if layer["mark"]["type"] == "text" and "value" in layer["encoding"]["x"]:
            for row in layer["data"]["values"]:
                if "place" in row:
                    lines.setdefault(row["place"], []).append((layer["encoding"]["x"]["value"], row["text"]))
    return [[text for _, text in sorted(lines[place])] for place in sorted(lines)]


def test_bars_are_costs() -> None:
    """A bar a row, the cheapest on top; EP dark, AFD light, and both named."""
    _, layers, answer = _drawn(("h800", "h20"), prices=PRICES)
    rows = answer.rows()
    bars = _of(layers, "bar")
    assert [bar["value"] for bar in bars] == [row["usd_per_million_tokens"] for row in rows]
    assert [bar["value"] for bar in bars] == sorted(bar["value"] for bar in bars)
    assert [bar["fill"] for bar in bars] == [MODES[row["mode"]].color for row in rows]
    assert [bar["best"] for bar in bars] == [True, False, False, False]
    for line, row in zip(_lines(layers), rows, strict=True):
        assert line[:2] == [row["system"], row["mode"].upper()]
        assert line[2:] == [f"{row['n_devices']:,}", f"{row['power_kw']:,.0f}", row["deployment"]]


def test_texts_stand_beside_each_other() -> None:
    """Columns do not run into their neighbours, however long the ids."""
    for systems in (("h800",), ("gb200-nvl72-infiniband-800", "h20-infiniband-200+h100-spectrum-x-400")):
        specification, layers, _ = _drawn(systems)
        longest: dict[tuple[float, str], int] = {}
        for layer in layers:
            if layer["mark"]["type"] == "text" and layer["encoding"]["text"]["field"] == "text":
                if "value" not in layer["encoding"]["x"]:
                    continue
                place = (layer["encoding"]["x"]["value"], layer["mark"]["align"])
                texts = [len(row["text"]) for row in layer["data"]["values"]]
                longest[place] = max(longest.get(place, 0), *texts)
        wide = 6.8
        spans = sorted(
            (at - count * wide, at) if align == "right" else (at, at + count * wide)
            for (at, align), count in longest.items()
        )
        assert spans[0][0] >= 0
        assert spans[-1][1] <= specification["width"] + 1
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))


def test_title_is_the_answer() -> None:
    specification, _, answer = _drawn(("h800", "h20"), prices=PRICES)
    title = " ".join(specification["title"]["text"]).replace("\xa0", " ")
    assert answer.summary["answer"].startswith(title)
    said = specification["description"]
    for part in (
        "DeepSeek-V3",
        "demand 30,000 tokens/s",
        "TPOT at most 50 ms",
        "context 4,096 tokens",
        "at most 64 devices",
        "Prices: rent",
        "as given for h20, h800",
        "too close to call",
    ):
        assert part in said
    assert worded(answer.summary["answer"].partition("; ")[2][1:]) in said
    for row in answer.rows():
        cost = row["usd_per_million_tokens"]
        assert f"{row['system']} {row['mode'].upper()}: {cost:#.3g} USD per million output tokens" in said


def test_basis_and_dates() -> None:
    said = _drawn(("h200", "b200"))[0]["description"]
    assert "Prices: rent · three-year, 2026-04-02" in said
    bought = _drawn(("h800",), price_basis="purchase", prices={"h800": 25_000.0}, years=5, utilization=0.6)
    said = bought[0]["description"]
    assert "devices alone, over 5 years, power at 0.08 USD per kWh · 60% of the tokens sold" in said


def test_estimated_prices_are_pale_and_dashed() -> None:
    specification, layers, _ = _drawn(("h200", "b300"))
    bars = {
        bool(layer["mark"].get("strokeDash")): layer["data"]["values"]
        for layer in layers
        if layer["mark"]["type"] == "bar"
    }
    assert all(bar["estimated"] for bar in bars[True])
    assert not any(bar["estimated"] for bar in bars[False])
    assert "the price is an estimate" in specification["description"]


def test_what_was_never_measured_is_pale_and_dashed() -> None:
    specification, layers, answer = _drawn(("h200", "mi355x"))
    shares = {row["system"]: row["estimated_share"] for row in answer.rows()}
    assert shares["h200"] < MOSTLY <= shares["mi355x"]
    systems = [row["system"] for row in answer.rows()]
    for layer in layers:
        if layer["mark"]["type"] == "bar":
            own = {systems[bar["place"]] for bar in layer["data"]["values"]}
            assert own == {"mi355x" if layer["mark"].get("strokeDash") else "h200"}
    assert "most of a step was never measured on such parts" in specification["description"]


def test_power_of_two_kinds_has_no_column() -> None:
    """Such figures do not compare; they stay in the hover."""
    _, layers, answer = _drawn(("h800", "cloudmatrix384"), prices={"h800": 2.0, "cloudmatrix384": 2.0})
    kinds = {row["power_basis"] for row in answer.rows() if row["power_basis"]}
    heads = {
        row["text"]
        for layer in layers
        if layer["mark"]["type"] == "text"
        for row in layer["data"]["values"]
        if "text" in row
    }
    assert ("kW" in heads) == (len(kinds) < 2)
    mixed = dataclasses.replace(
        answer,
        columns=object_columns(
            [
                {**row, "power_basis": kind}
                for row, kind in zip(answer.rows(), ("rated", "provisioned") * 2, strict=False)
            ]
        ),
    )
    text = json.dumps(procurement_chart(mixed).to_dict(validate=False))
    assert '"text": "kW"' not in text
    assert "power [kW]" in text


def test_candidates_without_a_price_are_listed() -> None:
    _, layers, answer = _drawn(("h800", "h20"), prices={"h20": 0.9})
    assert len(_of(layers, "bar")) == 2
    lines = _lines(layers)
    for line, row in zip(lines[2:], answer.rows()[2:], strict=True):
        assert line[:4] == ["h800", row["mode"].upper(), "no price", f"{row['n_devices']:,}"]


def test_without_any_price_bars_are_devices() -> None:
    specification, layers, answer = _drawn(("h800", "h20"))
    assert [bar["value"] for bar in _of(layers, "bar")] == [row["n_devices"] for row in answer.rows()]
    axes = [
        layer["encoding"]["x"]["axis"]["title"]
        for layer in layers
        if layer["encoding"].get("x", {}).get("axis")
    ]
    assert set(axes) == {"devices"}
    said = specification["description"]
    assert "No candidate has a rent price on three-year terms." in said
    assert all("no price" not in line for line in _lines(layers))


def test_a_cost_that_only_lacks_power() -> None:
    """Bought devices of unknown power have a price but no cost."""
    _, layers, _ = _drawn(
        ("h800", "cloudmatrix384"),
        fields={"max_devices": 256},
        price_basis="purchase",
        prices={"h800": 25_000.0, "cloudmatrix384": 13_000.0},
    )
    lines = [line for line in _lines(layers) if line[0] == "cloudmatrix384"]
    assert lines
    assert all(line[2] == "cost not known" and line[4] == "-" for line in lines)


def test_infeasible_candidates_are_named() -> None:
    _, layers, _ = _drawn(("h800", "h200"), fields={"max_devices": 16}, prices={"h800": 2.0})
    assert _lines(layers)[-1] == ["h800", "AFD", "infeasible: HBM capacity"]


def test_hover_says_everything() -> None:
    _, layers, answer = _drawn(("h800", "h20+h800"), prices=PRICES)
    (pane,) = [layer for layer in layers if layer["mark"]["type"] == "rect"]
    fields = [entry["field"] for entry in pane["encoding"]["tooltip"]]
    for shown, row in zip(pane["data"]["values"], answer.rows(), strict=True):
        for key in ("system", "deployment", "binding"):
            assert shown[key] == row[key]
        for key in ("n_devices", "usd_per_million_tokens", "power_kw", "tpot_ms", "load", "usd_per_hour"):
            assert key in fields
            assert shown[key]
    titles = {entry["field"]: entry["title"] for entry in pane["encoding"]["tooltip"]}
    assert titles["usd_per_million_tokens"] == "price of a million tokens [USD]"


@pytest.mark.parametrize("form", ["html", "svg", "png", "pdf", "json"])
def test_files(form: str) -> None:
    chart = plot.procurement(_asked("h800", "h20"), demand=DEMAND, prices=PRICES)
    assert len(chart_bytes(chart, form)) > 2000


def test_python_and_command_draw_the_same(tmp_path: Path) -> None:
    path = tmp_path / "chart.json"
    outcome = command(
        *("plot", "procurement", "--systems", "h800,h20", "--model", "deepseek-v3", "--tpot-ms", "50"),
        *("--max-devices", "64", "--demand", "30000", "--price", "h800=2", "--price", "h20=0.9"),
        *("--output", str(path), *ONE_PLAN_OPTIONS),
    )
    assert outcome.status == 0
    chart = plot.procurement(_asked("h800", "h20"), demand=DEMAND, prices=PRICES)
    assert json.loads(path.read_text("utf-8")) == chart.to_dict(validate=False)


def test_bad_questions_get_one_line() -> None:
    base = ("plot", "procurement", "--systems", "h800", "--model", "deepseek-v3", "--tpot-ms", "50")
    assert "a demand is one of" in command(*base).complaint
    assert "no picture format" in command(*base, "--demand", "5", "--output", "x.xlsx").complaint
    no = command(*base[:-1], "1", "--demand", "5")
    assert no.status == 1
    assert no.complaint.startswith("no: h800, EP: ")
    with pytest.raises(InputError, match="a demand is one of"):
        plot.procurement(_asked("h800"))


def test_more_rows_than_a_picture_holds() -> None:
    answer = procure(Purchase(_asked("h800"), demand=DEMAND))
    many = dataclasses.replace(answer, columns=object_columns(answer.rows() * (MOST_ROWS // 2 + 1)))
    with pytest.raises(InputError, match="202 rows; a picture holds 200"):
        procurement_chart(many)


def test_an_answer_that_was_kept_draws_the_same(tmp_path: Path) -> None:
    """From JSON and back, in Python and by command; an answer of another command is refused."""
    _, _, answer = _drawn(("h800", "h20+h800"), prices=PRICES)
    again = read_answer(answer.json(picture=True), name="x")
    assert procurement_chart(again).to_dict() == procurement_chart(answer).to_dict(validate=False)
    kept, first, second = (tmp_path / name for name in ("kept.json", "a.json", "b.json"))
    outcome = command(
        *("plot", "procurement", "--systems", "h800,h20", "--model", "deepseek-v3", "--tpot-ms", "50"),
        *("--max-devices", "64", "--demand", "30000", "--price", "h800=2"),
        *("--save-answer", str(kept), "--output", str(first)),
    )
    assert outcome.status == 0, outcome.err
    drawn = command("plot", "procurement", "--from", str(kept), "--output", str(second))
    assert drawn.status == 0, drawn.err
    assert first.read_bytes() == second.read_bytes()
    refused = command("plot", "tornado", "--from", str(kept))
    assert refused.status == 2
    assert "holds an answer of procure; plot tornado draws those of sensitivity" in refused.complaint
