"""Published points of serving: each predicted or skipped with a reason, its terms its step."""

from __future__ import annotations

import csv
import math
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from roofline_afd.analysis.evidence.points.predict import TERMS, predict_point
from roofline_afd.analysis.evidence.points.rows import (
    METRICS,
    REQUIRED,
    SHIPPED_FILE,
    shipped_point_reasons,
)
from roofline_afd.analysis.evidence.points.validate import TERM_KEYS, prefill_errors
from roofline_afd.analysis.evidence.services.rows import FOLDER
from roofline_afd.analysis.evidence.services.validate import LARGE_ERROR
from roofline_afd.errors import InputError
from roofline_afd.serving.modes import workers
from tests.analysis.evidence.points.given import (
    CATALOGUE,
    PROMPTS,
    ROW,
    answer,
    read,
    shipped,
    validated,
)
from tests.conftest import ROOT

SHARED = ROOT.parent / "shared" / "data" / "measurements" / SHIPPED_FILE


@pytest.mark.skipif(not SHARED.exists(), reason="the published set lies beside a checkout of the project")
def test_the_shipped_file_is_the_published_one() -> None:
    assert (ROOT / FOLDER / SHIPPED_FILE).read_bytes().startswith(SHARED.read_bytes())  # others below


def test_every_row_is_predicted_or_says_why_not() -> None:
    with (ROOT / FOLDER / SHIPPED_FILE).open(encoding="utf-8", newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    rows = answer().rows()
    assert [row["id"] for row in rows] == ids
    for row in rows:
        assert row["source"], row["id"]
        assert (row["error"] is None) == (row["predicted"] is None), row["id"]
        if row["error"] is None:
            assert row["why"], row["id"]
        else:
            assert math.isfinite(row["error"]), row["id"]
            assert row["error"] == pytest.approx(row["predicted"] / row["measured"] - 1), row["id"]
    skipped = {row["id"]: row["why"] for row in rows if row["error"] is None}
    assert set(skipped.values()) == {"the row lacks isl, osl"}


def test_terms_less_what_overlap_hides_are_the_step() -> None:
    for row in answer().rows():
        if row["error"] is None:
            continue
        whole = sum(row[key] for key in TERM_KEYS)
        assert whole - row["hidden_ms"] == pytest.approx(row["step_ms"], rel=1e-9), row["id"]
        assert all(row[key] >= 0 for key in (*TERM_KEYS, "hidden_ms")), row["id"]
        assert row["hidden_ms"] == pytest.approx(0, abs=1e-9) or row["microbatches"] == 2, row["id"]
        ratio = row["predicted"] / row["measured"]
        faster = row["step_measured_ms"] / row["step_ms"]
        expected = 1 / ratio if row["metric"] == "tpot_ms" else ratio
        assert faster == pytest.approx(expected), row["id"]
        assert set(TERM_KEYS) == {f"{name}_ms" for name in TERMS}
        assert 0 <= row["estimated_share"] + row["sibling_share"] <= 1, row["id"]


def test_parts_that_nobody_timed_rest_on_a_sibling() -> None:
    """No kernel of gb300 was timed; those of gb200 were."""
    rows = {row["id"]: row for row in answer().rows()}
    mine, other = rows["r1-gb300-ep2-prefill"], rows["v3-gb200-prefill-bf16attn"]
    assert mine["sibling_share"] > 0.5 > other["sibling_share"] + other["estimated_share"]
    assert any(note.startswith("r1-gb300-ep2-prefill:") for note in answer().notes)


def test_prompts_are_never_mixed_with_decoding() -> None:
    summary = answer().summary
    by_metric = {group["metric"]: group for group in summary["by_metric"]}
    assert set(by_metric) == set(METRICS)
    prefill = summary["prefill"]
    timed = [row for row in answer().rows() if row["metric"].startswith("prefill")]
    assert prefill["rows"] == len(timed) == 5
    assert (prefill["n"], prefill["skipped"]) == (5, 0)
    assert prefill["counted_rows"] == [row["id"] for row in timed if row["error"] is not None]
    errors = sorted(abs(row["error"]) for row in timed if row["error"] is not None)
    assert prefill["median_abs_error"] == pytest.approx(errors[2])
    assert prefill == prefill_errors(shipped())
    for key in ("n", "median_abs_error", "skipped"):
        assert by_metric["prefill_tokens_per_s_per_device"][key] == prefill[key]
    assert summary["answer"].startswith("5 points of prefill predicted (prompt tokens/s/device)")


def test_large_errors_of_shipped_points_have_their_reason() -> None:
    for row in answer().rows():
        if row["error"] is not None and abs(row["error"]) > LARGE_ERROR:
            reasons = [why for ids, why in shipped_point_reasons().items() if fnmatchcase(row["id"], ids)]
            assert len(reasons) == 1, row["id"]
            assert reasons[0] in row["why"], row["id"]
    missed = [row["id"] for row in answer().rows() if abs(row["error"] or 0.0) > LARGE_ERROR]
    for pattern in shipped_point_reasons():
        assert any(fnmatchcase(name, pattern) for name in missed), pattern


def test_reasons_say_what_no_overlap_would_give() -> None:
    """Its sentence: all of the exchange is hidden, and the terms one after the other are within 15 %."""
    (row,) = (row for row in answer().rows() if row["id"] == "v3-gb200-prefill-bf16attn")
    assert "the same terms are within 15 %" in row["why"]
    assert row["hidden_ms"] == pytest.approx(row["exchange_ms"], rel=1e-9)
    serial = row["predicted"] * row["step_ms"] / (row["step_ms"] + row["hidden_ms"])
    assert serial == pytest.approx(row["measured"], rel=0.15)


def test_terms_of_prompts_are_of_the_copies_they_travel_as(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts on 32 devices of four nodes send a copy to each node: less than a copy an expert, 8 of them."""
    (row,) = (row for row in answer().rows() if row["id"] == "r1-h100-ep32-prefill-1024")
    (point,) = (point for point in shipped() if point.id == row["id"])
    monkeypatch.setattr(workers, "PROMPT_TRANSPORT", "pair")
    apart = predict_point(point)
    assert row["exchange_ms"] < 0.6 * apart.terms["exchange"] * 1e3
    assert sum(apart.terms.values()) - apart.hidden == pytest.approx(apart.step, rel=1e-9)


def test_the_record_says_how_far_prefill_is_off() -> None:
    """What `explore` tells is what `validate` finds; the record is written anew when kernels change."""
    known = CATALOGUE.record("calibration", "service").data["service"]
    prefill = answer().summary["prefill"]
    assert known["prefill_points"] == prefill["n"]
    assert known["prefill_error"] == pytest.approx(prefill["median_abs_error"], rel=1e-2)
    assert known["prefill_bias"] == pytest.approx(prefill["median_signed_error"], rel=1e-2, abs=1e-3)


def test_longer_prompts_are_slower_and_more_requests_take_longer(tmp_path: Path) -> None:
    short, long, few, many = validated(
        tmp_path,
        PROMPTS,
        PROMPTS | {"id": "long", "isl": "16384"},
        ROW | {"id": "few", "concurrency": "32"},
        ROW | {"id": "many"},
    )
    assert long["predicted"] < short["predicted"]
    assert long["core_ms"] / long["chunk_tokens"] > short["core_ms"] / short["chunk_tokens"]
    assert few["predicted"] < many["predicted"]
    assert (few["batch_per_group"], many["batch_per_group"]) == (2, 16)


def test_rates_and_times_are_of_one_step(tmp_path: Path) -> None:
    """The time per token of 256 requests is their rate turned round: 256 / TPOT, over 16 devices."""
    time, whole, device = validated(
        tmp_path,
        ROW,
        ROW | {"id": "whole", "metric": "output_tokens_per_s"},
        ROW | {"id": "device", "metric": "output_tokens_per_s_per_device"},
    )
    assert whole["predicted"] == pytest.approx(256 / time["predicted"] * 1e3)
    assert device["predicted"] == pytest.approx(whole["predicted"] / 16)
    assert time["chunk_tokens"] <= 16 * 2048


def test_devices_not_stated_are_the_best_of_one_domain(tmp_path: Path) -> None:
    open_, *fixed = validated(
        tmp_path,
        PROMPTS | {"system": "gb200-nvl72", "n_devices": "", "parallelism": "EP"},
        *(
            PROMPTS | {"id": f"ep{count}", "system": "gb200-nvl72", "n_devices": count, "parallelism": "EP"}
            for count in ("8", "16", "72")
        ),
    )
    assert 1 <= open_["n_devices"] <= 72
    assert open_["predicted"] >= max(row["predicted"] for row in fixed)
    assert f"the best of one scale-up domain, {open_['n_devices']}" in open_["why"]


def test_drafting_is_a_term(tmp_path: Path) -> None:
    (row,) = validated(tmp_path, ROW | {"accept_length": "1.8"})
    assert row["drafting_ms"] > 0
    assert sum(row[key] for key in TERM_KEYS) - row["hidden_ms"] == pytest.approx(row["step_ms"], rel=1e-9)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"isl": ""}, "the row lacks isl"),
        ({"isl": "", "osl": ""}, "the row lacks isl, osl"),
        ({"concurrency": ""}, "the row lacks concurrency"),
        ({"n_devices": "", "parallelism": "EP"}, "the row lacks n_devices"),
        ({"system": "nowhere-1"}, "unknown system 'nowhere-1'"),
        ({"parallelism": "TP8 EP32"}, "experts over 32 of 16 devices are not modelled"),
        ({"n_devices": "12", "parallelism": "TP8 EP"}, "heads shared by 8 of 12 devices are not modelled"),
    ],
)
def test_what_is_not_predicted_says_why(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    (point,) = read(tmp_path, ROW | changed)
    assert point.why_not == said
    with pytest.raises(InputError, match=said.partition("'")[0]):
        predict_point(point)


def test_prompts_that_no_chunk_keeps_up_with_are_a_reason(tmp_path: Path) -> None:
    """A token out for each prompt of 30,000: more prompts a step than the largest chunk has."""
    (row,) = validated(tmp_path, ROW | {"isl": "30000", "osl": "1"})
    assert row["why"] == "prompts arrive faster than any chunk lets them be prefilled"


def test_memory_that_holds_no_weights_is_a_reason(tmp_path: Path) -> None:
    prompts, rate = validated(
        tmp_path,
        PROMPTS | {"n_devices": "1", "parallelism": "EP1"},
        ROW
        | {
            "id": "rate",
            "n_devices": "1",
            "parallelism": "EP1",
            "concurrency": "",
            "metric": "output_tokens_per_s",
        },
    )
    assert prompts["why"] == "memory does not hold the weights and one prompt"
    assert rate["why"] == "no batch that memory holds keeps up with its prompts"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "deepseek-v9"}, "unknown model 'deepseek-v9'; did you mean 'deepseek-v"),
        ({"metric": "tpot"}, "metric 'tpot' is not valid"),
        ({"metric": ""}, "metric is empty"),
        ({"measured": "fast"}, "measured 'fast' is not a number"),
        ({"measured": "0"}, "measured '0' must be above 0"),
        ({"isl": "1.5"}, "isl '1.5' is not a whole number"),
        ({"isl": "1e12"}, "--isl"),
        ({"n_devices": "1e12"}, "n_devices"),
        ({"parallelism": "PP4"}, "parallelism 'PP4' is not written as TP8"),
        ({"parallelism": "TP EP8"}, "parallelism 'TP EP8' is not written as TP8"),
        ({"parallelism": "EP8 EP8"}, "is not written as TP8"),
        ({"accept_length": "0.5"}, "accept_length 0.5"),
        ({"kv_precision": "fp9"}, "kv_precision"),
    ],
)
def test_faulty_rows_are_named(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, ROW | {"id": "fine"}, ROW | changed)
    assert "row 3" in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_repeated_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 3: id 'mine' is taken by"):
        read(tmp_path, ROW, ROW)


def test_columns_beyond_those_known_are_ignored(tmp_path: Path) -> None:
    plain, more = (validated(tmp_path, ROW | extra)[0] for extra in ({}, {"weather": "fine"}))
    assert plain == more
    assert set(REQUIRED) == set(ROW)
