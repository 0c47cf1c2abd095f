"""The error of predicted ratios: pairs, sources, spread, and coverage leaving one source out."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.analysis.evidence.services.ratio import (
    COVERAGE,
    ESTIMATED_ERROR,
    FIELD_NOISE,
    Pair,
    by_source,
    covered,
    fit_ratio,
    interval_of,
    left_out,
    ratio_model,
    sources_of,
)
from roofline_afd.analysis.evidence.services.validate import validate_services
from roofline_afd.catalogue.calibration import OPERATOR_TABLES
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.catalogue.records import table_quantities
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from tests.analysis.evidence.services.given import CATALOGUE, GROUPS, ROW, answer, read, shipped
from tests.conftest import ROOT


def _pair(afd: str, source: str, error: float, *, ep: str = "", share: float = 0.0) -> Pair:
    """Return a pair whose prediction is off by a log error."""
    return Pair(afd, ep or f"ep-{source}", frozenset({source}), 1.0, math.exp(error), share)


def test_spread_and_coverage_by_hand() -> None:
    """Sources a (0.1, 0.1), b (-0.2) and c (0.9): mean squares 0.01, 0.04, 0.81, mean 0.2867.

    The mean error is no bias that shows. Without a: s = sqrt(0.425) = 0.652, t of two degrees 1.886: within
    1.229 of it, both hold; without b alike. Without c: s = sqrt(0.025) = 0.158, times 1.886 = 0.298 < 0.9.
    """
    pairs = [_pair("a1", "a", 0.1), _pair("a2", "a", 0.1), _pair("b1", "b", -0.2), _pair("c1", "c", 0.9)]
    fit = fit_ratio(pairs)
    assert fit is not None
    assert fit.bias == 0
    assert fit.degrees == 3
    assert fit.spread == pytest.approx(math.sqrt((0.01 + 0.04 + 0.81) / 3))
    intervals = left_out(fit)
    assert intervals is not None
    low, high = intervals["c1", "ep-c"]
    assert math.log(high / low) / 2 == pytest.approx(math.sqrt(0.025) * 1.88562, rel=1e-5)
    assert covered(fit) == 3
    model = ratio_model(pairs)
    assert model is not None
    found = model["coverage"]
    assert (found["covered"], found["pairs"], found["wanted"]) == (3, 4, COVERAGE)
    assert (found["sources_covered"], found["sources"]) == (2, 3)
    assert found["low"] == pytest.approx(0.1941, abs=1e-4)  # Clopper-Pearson of 3 of 4
    assert found["high"] == pytest.approx(0.9937, abs=1e-4)
    assert [source["pairs"] for source in model["sources"]] == [2, 1, 1]
    assert [source["covered"] for source in model["sources"]] == [2, 1, 0]


def test_a_source_repeated_says_nothing_new() -> None:
    """However often a source or a baseline is repeated, the spread and the degrees stay."""
    few = [_pair("a1", "a", 0.1), _pair("b1", "b", -0.2)]
    many = [*few, *(_pair(f"a{n}", "a", 0.1) for n in range(2, 9))]
    shared = [*few, *(_pair(f"x{n}", f"x{n}", 0.1, ep="ep-a") for n in range(5))]  # the baseline of a
    fits = [fit_ratio(pairs) for pairs in (few, many, shared)]
    assert fits[0] is not None
    for fit in fits:
        assert fit is not None
        assert fit.spread == pytest.approx(fits[0].spread)
        assert fit.degrees == 2


def test_pairs_join_over_a_chain() -> None:
    """A shares a baseline with b, b a source with c: one group; d is another; order does not matter."""
    a, b = _pair("a", "a", 0.1, ep="e"), _pair("b", "b", 0.1, ep="e")
    c = Pair("c", "ep-c", frozenset({"b", "c"}), 1.0, 1.0, 0.0)
    d = _pair("d", "d", 0.1)
    assert by_source([a, c, d, b]) == ((a, c, b), (d,))
    assert {frozenset(group) for group in by_source([d, b, c, a])} == {frozenset({a, b, c}), frozenset({d})}


def test_a_bias_that_shows_is_taken_and_costs_a_degree() -> None:
    """Three sources off by 0.3 +- 0.01: the spread is about the bias, with two degrees of freedom."""
    fit = fit_ratio([_pair(name, name, error) for name, error in (("a", 0.29), ("b", 0.3), ("c", 0.31))])
    assert fit is not None
    assert fit.bias == pytest.approx(0.3)
    assert fit.degrees == 2
    assert fit.spread == pytest.approx(math.sqrt(0.0002 / 2))
    low, high = interval_of(_pair("x", "x", 0.3), fit)
    assert low < 1 < high
    assert high < 1.05


def test_one_source_cannot_be_left_out() -> None:
    fit = fit_ratio([_pair("a", "a", 0.1)])
    assert fit is not None
    assert left_out(fit) is None
    assert covered(fit) is None
    model = ratio_model([_pair("a", "a", 0.1)])
    assert model is not None
    assert model["coverage"] is None
    assert fit_ratio([]) is None
    assert ratio_model([]) is None


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(-0.5, 0.5)), min_size=2, max_size=12))
def test_estimates_widen_and_never_narrow(rows: list[tuple[str, float]]) -> None:
    pairs = [_pair(f"{name}{at}", name, error) for at, (name, error) in enumerate(rows)]
    fit = fit_ratio(pairs)
    assert fit is not None
    wide = dataclasses.replace(pairs[0], estimated_share=0.5)
    measured, estimated = interval_of(pairs[0], fit), interval_of(wide, fit)
    assert estimated[0] < measured[0] <= measured[1] < estimated[1]


def test_sources_are_repositories_papers_or_sites() -> None:
    (row, *_) = shipped()

    def named(source: str) -> set[str]:
        return set(sources_of(dataclasses.replace(row, source=source)))

    assert named("https://github.com/linsj20/FastAFD/blob/main/A.md") == {"linsj20/fastafd"}
    assert named("https://haoailab.com/blogs; reproduced in https://github.com/linsj20/FastAFD/x") == {
        "linsj20/fastafd"
    }
    assert named("arXiv 2508.02520 (read in a note)") == named("https://arxiv.org/abs/2508.02520")
    assert named("https://lmsys.org/blog/x") == {"lmsys.org"}
    assert named("a note") == {"a note"}


def test_the_record_says_what_published_pairs_show() -> None:
    """What `compare` takes is what `validate` finds, pair by pair; 0.3 stands in the record alone."""
    signs = answer().summary["sign_test"]
    model, error = signs["ratio_model"], load_ratio_error(CATALOGUE)
    assert error.spread == pytest.approx(model["spread"], rel=1e-3)
    assert error.bias == pytest.approx(model["bias"], abs=1e-3)
    assert error.degrees == model["degrees"]
    assert (error.pairs, error.sources) == (model["pairs"], len(model["sources"]))
    assert error.estimated_error == ESTIMATED_ERROR == model["estimated_error"]
    data = CATALOGUE.record("calibration", "service").data["service"]
    assert data["ratio_covered"] == model["coverage"]["covered"]
    errors = [math.log(pair["predicted_ratio"] / pair["measured_ratio"]) for pair in signs["pairs"]]
    assert [pair["log_error"] for pair in signs["pairs"]] == pytest.approx(errors)
    assert model["pairs"] == signs["n"] == len(errors)
    beyond = [pair for pair in signs["pairs"] if pair["beyond_noise"]]
    assert all(max(pair["measured_ratio"], 1 / pair["measured_ratio"]) - 1 > FIELD_NOISE for pair in beyond)
    assert signs["n_beyond_noise"] == len(beyond)
    assert signs["same_sign_beyond_noise"] == sum(pair["same_sign"] for pair in beyond)


def test_notes_tell_pairs_and_coverage() -> None:
    notes = " ".join(answer().notes)
    model = answer().summary["sign_test"]["ratio_model"]
    assert f"Student's t with {model['degrees']} degrees of freedom" in notes
    assert "80% interval of the ratio, leaving one source out: holds" in notes


def test_the_error_of_what_was_never_measured_is_no_less_than_parts_scatter() -> None:
    """Efficiencies of measured parts about the medians that stand for others: no kind scatters by more.

    Root mean squares of logarithms of fixed times, shares of peak and of memory bandwidth; and the largest
    of them is about what the record says.
    """
    default = CATALOGUE.record("calibration", "default")
    found: dict[str, list[float]] = {"launch_us": [], "compute_efficiency": [], "memory_efficiency": []}
    for record in CATALOGUE.records("calibration"):
        for table in {*OPERATOR_TABLES} & {*record.data} & {*default.data}:
            own, usual = table_quantities(record, table), table_quantities(default, table)
            for key, values in found.items():
                if key in own and key in usual and own[key].kind == "measured" and own[key].value > 0:
                    values.append(math.log(own[key].value / usual[key].value))
    scatter = {key: math.sqrt(sum(x * x for x in values) / len(values)) for key, values in found.items()}
    assert all(len(values) >= 10 for values in found.values())
    assert max(scatter.values()) == pytest.approx(ESTIMATED_ERROR, abs=0.05)


def test_a_pair_of_ones_own(tmp_path: Path) -> None:
    """Rows of one file without sources are one source; kernel and span are both times of devices."""
    ep = ROW | {"id": "ep", "timing": "kernel", "accept_length": "1"}
    afd = ep | GROUPS | {"id": "afd", "timing": "profile", "tokens_per_s_per_device": "2000"}
    signs = validate_services(read(tmp_path, ep, afd), catalogue=CATALOGUE).summary["sign_test"]
    assert [(pair["afd"], pair["ep"]) for pair in signs["pairs"]] == [("afd", "ep")]
    assert signs["pairs"][0]["measured_margin"] == pytest.approx(2324 / 2000 - 1)
    assert not signs["pairs"][0]["beyond_noise"]
    assert signs["ratio_model"]["degrees"] == 1
    assert signs["ratio_model"]["coverage"] is None
    wall = afd | {"timing": "wall"}
    signs = validate_services(read(tmp_path, ep, wall), catalogue=CATALOGUE).summary["sign_test"]
    assert (signs["n"], len(signs["timed_differently"])) == (0, 1)
    assert signs["ratio_model"] is None


def test_a_record_without_the_ratio_is_an_error(tmp_path: Path) -> None:
    """One line that names the key."""
    text = (ROOT / "hardware_db/calibration/service.toml").read_text(encoding="utf-8")
    kept = [block for block in text.split("\n\n") if not block.startswith("[sources.parts]")]
    lines = [line for line in "\n\n".join(kept).splitlines() if not line.startswith("ratio_")]
    lines.insert(3, "replaces = true")
    (tmp_path / "service.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"service.toml: \[service\] lacks ratio_spread"):
        load_ratio_error(Catalogue([tmp_path / "service.toml"]))
