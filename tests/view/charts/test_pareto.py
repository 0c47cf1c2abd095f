"""Charts of serving modes: what they draw is what the search found."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from roofline_afd import InfeasibleError, Scenario, plot
from roofline_afd.analysis.requests.explore import Explored, explored
from roofline_afd.analysis.requests.pareto import pareto_picture
from roofline_afd.analysis.requests.questions import Exploration, ParetoPicture
from roofline_afd.analysis.requests.reasons import NAMES
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.view.charts.pareto import pareto_chart
from roofline_afd.view.charts.style import SERVING_MODES, WIDTH
from roofline_afd.view.pages import chart_bytes
from tests.conftest import ONE_PLAN, ONE_PLAN_OPTIONS, command
from tests.view.charts.drawn import draws_the_same_when_kept, is_drawn_from_its_file
from tests.view.charts.layers import rows_of

QUESTION = ("--system", "b200", "--devices", "8", *ONE_PLAN_OPTIONS)
B200 = Scenario(system="b200", model="gpt-oss-120b", devices=8, **ONE_PLAN)
LIMITED = attrs.evolve(B200, tpot_ms=12)
RATE, SPEED = "tokens_per_s_per_device", "tokens_per_s_per_user"
HOVER = {"deployment", "batch_per_group", "chunk_tokens", "ttft_ms", "tpot_ms", "usd_per_million_tokens"}


class _Picture:
    """A chart's specification, asked for its parts."""

    def __init__(self, chart: Any) -> None:  # noqa: ANN401 - any altair chart
        self.specification = chart.to_dict(validate=False) if not isinstance(chart, dict) else chart
        self.layers: list[dict[str, Any]] = self.specification["layer"]

    def rows(self, layer: dict[str, Any]) -> list[dict[str, Any]]:
        return rows_of(self.specification, layer)

    def line(self, mode: str) -> dict[str, Any]:
        color, dash, _ = SERVING_MODES[mode]
        return next(
            layer
            for layer in self.layers
            if layer["mark"]["type"] == "line"
            and (layer["mark"]["color"], layer["mark"]["strokeDash"]) == (color, dash)
        )

    def markers(self, mode: str) -> dict[str, Any]:
        color, _, shape = SERVING_MODES[mode]
        return next(
            layer
            for layer in self.layers
            if (layer["mark"].get("shape"), layer["mark"].get("stroke")) == (shape, color)
        )

    @property
    def dots(self) -> dict[str, Any]:
        return next(layer for layer in self.layers if layer["mark"]["type"] == "circle")

    @property
    def ring(self) -> dict[str, Any]:
        return next(layer for layer in self.layers if layer["mark"].get("size") == 210)

    @property
    def texts(self) -> list[str]:
        return [
            row["label"]
            for layer in self.layers
            if layer["mark"]["type"] == "text"
            for row in self.rows(layer)
        ]

    @property
    def words(self) -> str:
        said: str = self.specification["description"]
        return said


@pytest.fixture(scope="module")
def found() -> Explored:
    return explored(Exploration(B200, workload="chat"))


@pytest.fixture(scope="module")
def picture() -> _Picture:
    return _Picture(plot.pareto(B200, workload="chat", dots=1000))


@pytest.fixture(scope="module")
def limited() -> _Picture:
    return _Picture(plot.pareto(LIMITED, workload="chat", ttft_ms=500))


@pytest.mark.parametrize("mode", SERVING_MODES)
def test_frontiers_are_those_of_the_answer(mode: str, found: Explored, picture: _Picture) -> None:
    own = [(row[SPEED], row[RATE]) for row in found.answer.rows() if row["mode"] == mode]
    line = picture.line(mode)
    assert line["mark"]["interpolate"] == "step-before"
    assert [(row[SPEED], row[RATE]) for row in picture.rows(line)] == sorted(own)
    rates = [row[RATE] for row in picture.rows(line)]
    assert rates == sorted(rates, reverse=True)
    markers = picture.markers(mode)
    assert [(row[SPEED], row[RATE]) for row in picture.rows(markers)] == sorted(own)
    assert {row["visible"] for row in picture.rows(markers)} >= {1}
    assert {tip["field"] for tip in markers["encoding"]["tooltip"]} >= HOVER
    assert f"{NAMES[mode]} {rates[0]:,.0f}" in picture.texts


def test_styles_differ_without_colour() -> None:
    assert len({tuple(dash) for _, dash, _ in SERVING_MODES.values()}) == len(SERVING_MODES)
    assert len({shape for _, _, shape in SERVING_MODES.values()}) == len(SERVING_MODES)


def test_grey_dots_are_beaten_by_their_mode(found: Explored, picture: _Picture) -> None:
    dots = picture.rows(picture.dots)
    assert 100 < len(dots) <= 1000
    assert {tip["field"] for tip in picture.dots["encoding"]["tooltip"]} >= HOVER
    known = {(row["deployment"], row[SPEED], row[RATE]) for row in found.dominated}
    for mode, name in NAMES.items():
        frontier = [(row[SPEED], row[RATE]) for row in picture.rows(picture.line(mode))]
        for dot in dots:
            if dot["mode"] == name:
                assert (dot["deployment"], dot[SPEED], dot[RATE]) in known
                assert any(
                    speed >= dot[SPEED] * (1 - 1e-9) and rate >= dot[RATE] * (1 - 1e-9)
                    for speed, rate in frontier
                )


def test_the_best_has_a_ring_and_the_headline(found: Explored, picture: _Picture) -> None:
    best = found.answer.summary["best_under_slo"]
    (ring,) = picture.rows(picture.ring)
    assert (ring[SPEED], ring[RATE]) == (best[SPEED], best[RATE])
    assert best["deployment"] in picture.texts
    name = NAMES[best["mode"]]
    assert picture.words.startswith(
        f"{name[0].upper()}{name[1:]} serves most: {best[RATE]:,.0f} tokens/s per"
    )
    others = {
        mode: row[RATE]
        for mode, row in found.answer.summary["best_by_mode"].items()
        if row and mode != best["mode"]
    }
    second = max(others, key=lambda mode: others[mode])
    assert ("too close to call" in picture.words) is (second in found.answer.summary["too_close_to"])
    for part in ("8 x NVIDIA", "gpt-oss-120b", "chat: 4,096 cached, 512 input, 256 output", "no queueing"):
        assert part in picture.words


def test_limits_are_drawn_and_kept(limited: _Picture) -> None:
    rule = next(layer for layer in limited.layers if layer["mark"]["type"] == "rule")
    assert limited.rows(rule)[0][SPEED] == pytest.approx(1000 / 12)
    assert "TPOT 12 ms" in limited.texts
    assert "under TTFT <= 500 ms and TPOT <= 12 ms" in limited.words
    assert "(500 ms allowed)" in limited.words
    low = limited.line("agg")["encoding"]["x"]["scale"]["domain"][0]
    for layer in limited.layers:
        if layer["mark"]["type"] in {"point", "circle"}:
            for row in limited.rows(layer):
                if "ttft_ms" not in row:  # a sample in the key
                    continue
                assert row["ttft_ms"] <= 500
                assert row["tpot_ms"] <= 12 * (1 + 1e-9)
                assert row[SPEED] >= low


def test_the_key_stands_clear_of_the_frontiers(picture: _Picture, limited: _Picture) -> None:
    """A line a mode at the top right, that of most on top, none on another."""
    for each in (picture, limited):
        names = [
            layer
            for layer in each.layers
            if layer["mark"]["type"] == "text"
            and layer["mark"].get("fontSize") == 13
            and "value" in layer["encoding"]["y"]
        ]
        places = [layer["encoding"]["y"]["value"] for layer in names]
        assert places == sorted(places)
        assert min(np.diff(places)) >= 18
        left = names[0]["encoding"]["x"]["value"] - 50
        for mode in SERVING_MODES:
            line = each.line(mode)
            low, high = line["encoding"]["x"]["scale"]["domain"]
            top = line["encoding"]["y"]["scale"]["domain"][1]
            for row in each.rows(line):
                if (row[SPEED] - low) / (high - low) * WIDTH > left:
                    assert (1 - row[RATE] / top) * 440 > places[-1]


def test_lead_is_the_number_that_is_held_against_the_error(found: Explored) -> None:
    """Of modes alike but for pools the picture prints what decides whether it is too close to call."""
    answer = pareto_picture(ParetoPicture(B200, workload="chat", modes=["agg", "pd"]))
    rates = sorted(row[RATE] for row in answer.summary["best_by_mode"].values() if row)
    share = 1 - rates[0] / rates[1]
    shown = f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"
    words = _Picture(pareto_chart(answer)).words
    assert f" {shown} less" in words
    assert ("too close to call" in words) is (share <= found.answer.summary["validated_error"])


def test_bands_are_the_errors_of_published_services(picture: _Picture) -> None:
    """Of decode and prefill by their devices; modes of which nothing was measured have none, in words."""
    answer = pareto_picture(ParetoPicture(B200, workload="chat"))
    (area,) = [layer for layer in picture.layers if layer["mark"]["type"] == "area"]
    assert area["mark"]["color"] == SERVING_MODES["pd"].color
    line = picture.rows(picture.line("pd"))
    decode, prefill = 0.0, answer.summary["prefill_error"]
    for drawn, row, error in zip(picture.rows(area), line, answer.picture["errors"]["pd"], strict=True):
        assert decode < error < prefill
        assert drawn["low"] == pytest.approx(row[RATE] * (1 - error))
        assert drawn["high"] == pytest.approx(row[RATE] * (1 + error))
    assert "Of other modes no such service was measured: no band." in picture.words
    bare = dataclasses.replace(answer, picture={**answer.picture, "errors": {}})
    without = _Picture(pareto_chart(bare))
    assert "Of these modes no such service was measured: no band." in without.words
    assert not [layer for layer in without.layers if layer["mark"]["type"] == "area"]


def test_modes_without_a_deployment_are_named_with_why() -> None:
    """First tokens of coding as fast as all devices do whole prompts: no other mode does.

    The target lies between the least of that mode and of the next.
    """
    free = Scenario(system="b200", model="gpt-oss-120b", devices=8)
    least_of = explored(Exploration(free, workload="coding", ttft_ms=14)).answer.summary["least_ttft_ms"]
    quickest, second = sorted(least_of, key=lambda mode: float(least_of[mode]))[:2]
    assert (quickest, second) == ("agg+afd", "agg")
    target = (least_of[quickest] + least_of[second]) / 2
    answer = explored(Exploration(free, workload="coding", ttft_ms=target)).answer
    gone = [mode for mode, row in answer.summary["best_by_mode"].items() if row is None]
    assert gone == ["agg", "pd", "pd+afd"]
    picture = _Picture(plot.pareto(free, workload="coding", ttft_ms=target))
    assert picture.words.startswith(f"Aggregated AFD alone is feasible under TTFT <= {target:g} ms: ")
    least = math.ceil(answer.summary["least_ttft_ms"]["agg"] * 100) / 100
    assert f"aggregated (first-token target: least TTFT {least:.2f} ms)" in picture.words
    assert f"P/D AFD ({answer.summary['binding_by_mode']['pd+afd']}: " in picture.words
    for mode in gone:
        with pytest.raises(StopIteration):
            picture.line(mode)


def test_one_mode_alone() -> None:
    picture = _Picture(plot.pareto(B200, workload="coding", modes=["pd"]))
    assert picture.words.startswith("P/D serves: ")
    assert len([layer for layer in picture.layers if layer["mark"]["type"] == "line"]) == 1


@pytest.mark.parametrize(("per", "key"), [("dollar", "tokens_per_usd"), ("watt", "tokens_per_joule")])
def test_other_weights(per: str, key: str) -> None:
    picture = _Picture(plot.pareto(B200, workload="chat", per=per, modes=["agg", "pd"]))
    line = picture.line("agg")
    assert line["encoding"]["y"]["field"] == f"{key}"
    assert all(row[key] > 0 for row in picture.rows(line))
    assert f"tokens per {'USD' if per == 'dollar' else 'joule'}" in picture.words


def test_nothing_feasible_is_an_answer() -> None:
    with pytest.raises(InfeasibleError, match="first-token target"):
        plot.pareto(B200, workload="chat", ttft_ms=1)


def test_the_same_question_gives_the_same_picture(picture: _Picture) -> None:
    again = _Picture(plot.pareto(B200, workload="chat", dots=1000))
    assert again.rows(again.dots) == picture.rows(picture.dots)
    bare = _Picture(plot.pareto(B200, workload="chat"))
    assert not [layer for layer in bare.layers if layer["mark"]["type"] == "circle"]


def test_hostile_names_stay_text() -> None:
    evil = dataclasses.replace(load_system("b200"), name="</script><script>document.title='owned'</script>")
    scenario = attrs.evolve(B200, system=evil)
    for chart in (
        plot.pareto(scenario, workload="chat", modes=["agg"]),
        plot.pareto_panels([scenario], ("chat",), modes=["agg"]),
    ):
        assert "<script>document.title" not in chart_bytes(chart, "html").decode()
        assert "document.title" in chart_bytes(chart, "svg").decode()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the answers of both pictures, asked for once."""
    folder = tmp_path_factory.mktemp("kept")
    found = {}
    for kind, options in (
        ("pareto", ("--model", "gpt-oss-120b", "--workload", "chat", "--tpot-ms", "12")),
        ("pareto-panels", ("--models", "gpt-oss-120b", "--workloads", "chat,coding")),
    ):
        found[kind] = folder / f"{kind}.json"
        asked = ("plot", kind, *QUESTION, *options, "--modes", "agg,pd", "--save-answer", str(found[kind]))
        outcome = command(*asked, "--output", str(folder / f"{kind}.svg"))
        assert outcome.status == 0, outcome.err
    return found


@pytest.mark.parametrize("form", ["svg", "html", "json", "png"])
def test_files(form: str, kept: dict[str, Path], tmp_path: Path) -> None:
    for kind, answer in kept.items():
        path = tmp_path / f"{kind}.{form}"
        outcome = command("plot", kind, "--from", str(answer), "--output", str(path))
        assert outcome.status == 0, outcome.err
        assert path.stat().st_size > 5000
        assert b"NaN" not in path.read_bytes() or form in {"html", "png"}


def test_the_command_asks_what_its_options_say() -> None:
    limits = ("--workload", "coding", "--ttft-ms", "900", "--tpot-ms", "12", "--modes", "agg,agg+afd")
    outcome = command("plot", "pareto", *QUESTION, "--model", "gpt-oss-120b", *limits)
    assert outcome.status == 0, outcome.err
    drawn = _Picture(json.loads(outcome.out))
    same = _Picture(plot.pareto(LIMITED, workload="coding", ttft_ms=900, modes=["agg", "agg+afd"]))
    assert drawn.specification["title"] == same.specification["title"]
    assert drawn.rows(drawn.line("agg+afd")) == same.rows(same.line("agg+afd"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("pareto", "--model", "gpt-oss-120b"), "--isl and --osl missing"),
        (("pareto", "--model", "gpt-oss-120b", "--workload", "chatt"), "did you mean 'chat'"),
        (("pareto", "--model", "gpt-oss-120b", "--workload", "chat", "--modes", "agg,pdd"), "--modes"),
        (("pareto", "--model", "gpt-oss-120b", "--workload", "chat", "--per", "euro"), "--per"),
        (("pareto", "--model", "gpt-oss-120b", "--workload", "chat", "--output", "a.bmp"), "picture format"),
        (("pareto-panels", "--models", "gpt-oss-120b,gpt-os"), "gpt-os"),
        (("pareto-panels", "--models", ""), "is not a list a,b,c"),
        (("pareto-panels", "--models", "gpt-oss-120b", "--workloads", "chat,,coding"), "is not a list a,b,c"),
        (("pareto-panels", "--models", "gpt-oss-120b", "--workloads", "chatt"), "did you mean 'chat'"),
        (("pareto-panels", "--models", "gpt-oss-120b", "--modes", "all"), "--modes"),
    ],
)
def test_bad_options(options: tuple[str, ...], message: str) -> None:
    kind, *rest = options
    outcome = command("plot", kind, *QUESTION, *rest)
    assert outcome.status == 2
    assert message in outcome.complaint
    assert not outcome.out


def test_a_no_is_status_one() -> None:
    outcome = command(
        "plot", "pareto", *QUESTION, "--model", "gpt-oss-120b", "--workload", "chat", "--ttft-ms", "1"
    )
    assert outcome.status == 1
    assert "first-token target" in outcome.err
    assert not outcome.out


def test_an_answer_that_was_kept_draws_the_same(tmp_path: Path) -> None:
    question = ParetoPicture(LIMITED, workload="chat", ttft_ms=500)
    draws_the_same_when_kept(pareto_chart, pareto_picture(question))
    options = (*QUESTION, "--model", "gpt-oss-120b", "--workload", "chat", "--modes", "agg,pd")
    is_drawn_from_its_file("pareto", *options, folder=tmp_path)
