"""Published services are predicted within targets, and every large miss has its reason."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

from roofline_afd.analysis.evidence.services.pairs import RATIO_BAND
from roofline_afd.analysis.evidence.services.rows import RELATIVE, read_services, shipped_reasons
from roofline_afd.analysis.evidence.services.validate import (
    LARGE_ERROR,
    is_miss,
    validate_services,
)
from tests.analysis.evidence.services.given import (
    CATALOGUE,
    ROW,
    SHIPPED,
    answer,
    lacking,
    read,
    shipped,
    told,
    validated,
)


def test_every_shipped_row_has_a_source_and_is_predicted_or_says_why() -> None:
    assert [row["id"] for row in answer().rows()] == [row["id"] for row in told()]
    for row in answer().rows():
        assert row["source"], row["id"]
        assert (row["error"] is None) == (row["predicted"] is None), row["id"]
        assert row["error"] is not None or row["why"], row["id"]
    skipped = {row["id"]: row["why"] for row in answer().rows() if row["error"] is None}
    wanted = {row["id"]: f"the row lacks {', '.join(lacking(row))}" for row in told() if lacking(row)}
    assert skipped == wanted
    assert wanted["ep-ds-online"] == "the row lacks batch_per_device, accept_length"


def test_levels_are_met() -> None:
    """Published serving results, each with its source in the file; none set a constant.

    Skipped is each absolute check row of no engine without a batch or an accepted length. Services timed by
    the wall clock are met within 8 % in the median; sums of kernels of large batches are not, see below, and
    the median of both is what the record `service` says.
    """
    summary = answer().summary
    levels = [
        row
        for row in told()
        if (row["use"], row["role"], row.get("engine") or "") == ("absolute", "check", "")
    ]
    skipped = sum(bool(lacking(row)) for row in levels)
    assert (summary["n"], summary["skipped"]) == (len(levels) - skipped, skipped)
    counted = [row for row in answer().rows() if row["id"] in summary["counted_rows"]]
    assert np.median([abs(row["error"]) for row in counted if row["timing"] == "wall"]) <= 0.08
    assert summary["p90_abs_error"] <= 0.20
    assert set(summary["median_abs_error_by_source"]) == {row["origin"] for row in counted}


def test_sums_of_kernels_are_predicted_too_fast() -> None:
    """Each of FastAFD's, by 3 to 18 %: all wait for the fullest device, and popularity tells part of it."""
    kernels = [
        row
        for row in answer().rows()
        if row["id"] in answer().summary["counted_rows"] and row["timing"] == "kernel"
    ]
    assert len(kernels) == 8
    assert all(0 < row["error"] <= LARGE_ERROR for row in kernels)
    assert np.median([row["error"] for row in kernels]) <= 0.08


def _sweep() -> dict[tuple[int, int], float]:
    """Return errors of Qwen3-235B on 16 of GB200 by context and batch: sums of kernels of vLLM 0.19."""
    rows = {row.id: row for row in shipped()}
    return {
        (int(rows[row["id"]].scenario.context), int(rows[row["id"]].batch or 0)): row["error"]
        for row in answer().rows()
        if row["id"].startswith("ep-vllm-q235-ep16-") and row["timing"] == "kernel"
    }


def test_a_sweep_of_kernels_is_met() -> None:
    """Contexts of 1K to 128K, batches of 2 to 384: off by at most 8 % in the median, whatever the context.

    No constant of a service was fitted to them.
    """
    errors = _sweep()
    assert len(errors) == 16 + 12 + 4
    assert np.median(np.abs(list(errors.values()))) <= 0.08
    for context in (8192, 131072):
        assert np.median([abs(error) for (held, _), error in errors.items() if held == context]) <= 0.08
    moderate = [error for (_, batch), error in errors.items() if batch <= 96]
    assert len(moderate) == 28
    assert max(map(abs, moderate)) <= 0.15


def test_a_sweep_of_kernels_shows_no_trend_up_to_batches_of_64() -> None:
    """In the median of contexts within 10 %; beyond 96, at 1K, too fast by a quarter and more.

    A prediction that met these too would fail here, and its sentence could go.
    """
    errors = _sweep()
    batches = sorted({batch for _, batch in errors})
    by_batch = {
        size: float(np.median([error for (_, batch), error in errors.items() if batch == size]))
        for size in batches
    }
    assert (batches[0], batches[-1]) == (2, 384)
    assert all(abs(by_batch[size]) <= 0.10 for size in batches if size <= 64)
    beyond = [by_batch[size] for size in batches if size > 96]
    assert beyond == sorted(beyond)
    assert all(error > LARGE_ERROR for error in beyond)


def test_the_wall_clock_of_an_engine_is_met() -> None:
    """30 rows of vLLM 0.19 of role check, its host pause among what is predicted: 8 % in the median."""
    errors = [
        abs(row["error"])
        for row in answer().rows()
        if (row["timing"], row["engine"], row["role"]) == ("wall", "vllm-0.19", "check")
    ]
    assert len(errors) == 30
    assert np.median(errors) <= 0.08


def test_the_headline_names_its_rows_and_hides_no_others() -> None:
    """Levels of named engines stand apart, and among them those that lack the pause of their host."""
    summary, rows = answer().summary, {row["id"]: row for row in answer().rows()}
    levels = [
        row
        for row in rows.values()
        if (row["use"], row["role"]) == ("absolute", "check") and row["predicted"] is not None
    ]
    paused = [row for row in levels if (row["timing"], row["basis"]) == ("wall", "device")]
    alike = len(levels) - len(paused)
    assert len(summary["counted_rows"]) == summary["n"]
    for name in summary["counted_rows"]:
        row = rows[name]
        assert (row["use"], row["role"], row["engine"]) == ("absolute", "check", None), name
    assert (summary["like_for_like"]["n"], summary["device_basis"]["n"]) == (alike, len(paused))
    assert {row["engine"] for row in paused} == {"fastafd"}
    for part in (
        f"{summary['n']} published services predicted (tokens/s per device), median error",
        "Counted are levels that set no constant, of no named engine.",
        f"With services of named engines, predicted as timed: {alike}, median error",
        f": {alike}, median error {summary['like_for_like']['median_abs_error']:.1%}",
        f"Left out: {len(paused)} timed by a client of an engine whose pauses are not modelled",
    ):
        assert part in summary["answer"]


def test_errors_by_mode_timing_and_engine() -> None:
    groups = {
        (group["mode"], group["timing"], group["basis"], group["engine"], group["role"]): group
        for group in answer().summary["by_basis"]
    }
    counts = {
        (labels[0], labels[1], *labels[3:]): (group["n"], group["skipped"])
        for labels, group in groups.items()
    }
    wanted: dict[tuple[str, ...], list[bool]] = {}
    for row in told():
        if row["use"] == "absolute":
            labels = (row["mode"], row["timing"], row.get("engine") or "none named", row["role"])
            wanted.setdefault(labels, []).append(bool(lacking(row)))
    assert counts == {labels: (held.count(False), held.count(True)) for labels, held in wanted.items()}
    assert {labels[2] for labels in groups if labels[1] != "wall"} == {"device"}


def test_a_pause_that_is_not_modelled_is_told_and_is_no_miss(tmp_path: Path) -> None:
    far = ROW | {"tokens_per_s_per_device": "1", "accept_length": "1"}
    wall, kernel, known = validated(
        tmp_path,
        far | {"engine": "fastafd"},
        far | {"id": "kernel", "engine": "fastafd", "timing": "kernel"},
        far | {"id": "known", "engine": "vllm-0.19"},
    )
    why = "timed by the wall clock, predicted without the host pause of fastafd, which is not modelled"
    assert (wall["basis"], wall["why"]) == ("device", why)
    assert not is_miss(wall)
    assert wall["predicted"] == kernel["predicted"]
    assert is_miss(kernel)
    assert (known["basis"], known["why"]) == ("wall", None)
    assert is_miss(known)


def test_rows_of_named_engines_count_where_there_are_no_others(tmp_path: Path) -> None:
    named = ROW | {"engine": "fastafd"}
    rows = read(tmp_path, named | {"timing": "kernel"}, named | {"id": "wall"})
    summary = validate_services(rows, catalogue=CATALOGUE).summary
    assert (summary["n"], summary["counted_rows"]) == (1, ["mine"])
    assert summary["counted"] == "use absolute, role check, engine named, predicted as timed"
    assert summary["device_basis"]["n"] == 1
    assert "Counted are levels that set no constant, as timed." in summary["answer"]
    assert "With services of named engines" not in summary["answer"]


def test_every_large_miss_has_its_sentence_and_no_sentence_is_stale() -> None:
    missed = {row["id"]: row["why"] for row in answer().rows() if is_miss(row)}
    reasons = shipped_reasons()
    for name, why in missed.items():
        assert why in [reason for ids, reason in reasons.items() if fnmatchcase(name, ids)], name
    for ids in reasons:
        assert any(fnmatchcase(name, ids) for name in missed), ids


def test_relative_rows_keep_their_ratio() -> None:
    """Atlas A3, recipes of github.com/vllm-project/afd-plugin: AFD over EP .95 and 1.11.

    The second is predicted within the band; the first leaves it by a twentieth, on a part of which no kernel
    was measured.
    """
    relative = {row.id for row in shipped() if row.use == RELATIVE}
    pairs = [pair for pair in answer().summary["sign_test"]["pairs"] if pair["afd"] in relative]
    assert [round(pair["measured_ratio"], 3) for pair in pairs] == [0.947, 1.113]
    near = [abs(pair["predicted_ratio"] - pair["measured_ratio"]) <= RATIO_BAND for pair in pairs]
    assert RATIO_BAND == 0.15
    assert near == [False, True]
    assert pairs[0]["predicted_ratio"] - pairs[0]["measured_ratio"] == pytest.approx(0.196, abs=0.01)


def test_pairs_timed_differently_are_apart() -> None:
    """A span of the device and a sum of kernels both leave the host out; the wall clock is another basis."""
    signs = answer().summary["sign_test"]
    alike = {(pair["afd"], pair["ep"]) for pair in signs["pairs"]}
    assert signs["n"] == len(signs["pairs"]) == len(alike)
    spans = ("1a1f-old", "15a1f-old", "1a1f-opt")
    kernels, wall = "ep-vllm-q235-ep16-128k-b6-kernel", "ep-vllm-q235-ep16-128k-b6-wall"
    assert {(f"afd-fix-q235-128k-{name}", kernels) for name in spans} < alike
    assert {(f"afd-a3-{name}-16k", "ep-a3-ep64-16k") for name in ("48a16f", "64a16f")} < alike
    timing = {row.id: row.timing for row in shipped()}
    for afd, ep in alike:
        assert (timing[afd] == "wall") == (timing[ep] == "wall"), (afd, ep)
    found = {(pair["afd"], pair["ep"]): pair for pair in signs["timed_differently"]}
    assert not alike & {*found}
    for name in spans:
        assert "AFD timed as profile, EP as wall" in found[f"afd-fix-q235-128k-{name}", wall]["difference"]
    for afd, ep in (
        ("afd-fastafd-qwen-8k", "ep-fastafd-qwen3-8k-ep16"),
        ("afd-fix-q235-128k-1a1f-opt-e2e", kernels),
    ):
        assert "understates AFD" in found[afd, ep]["difference"]
    assert all(pair["difference"] for pair in found.values())


def test_the_best_ratio_of_a_sweep_is_looked_for(tmp_path: Path) -> None:
    """Made by hand: 96:32 is said to be best, and what the prediction prefers loses what it measured less.

    No published sweep ships: the only ones were withdrawn.
    """
    sweep = ROW | {"mode": "afd", "use": "shape", "accept_length": "1"}

    def point(attention: int, measured: str) -> dict[str, str]:
        split = {
            "n_devices": str(attention + 32),
            "n_attention_devices": str(attention),
            "n_ffn_devices": "32",
        }
        return sweep | split | {"id": f"a{attention}", "tokens_per_s_per_device": measured}

    points = [point(32, "400"), point(96, "1000"), point(160, "800")]
    found = validate_services(read(tmp_path, *points), catalogue=CATALOGUE)
    (only,) = found.summary["ratio_test"]["sweeps"]
    assert (only["points"], only["measured_best"]) == (3, "96:32")
    best = max(found.rows(), key=lambda row: row["predicted"])
    assert only["predicted_best"] == f"{best['id'][1:]}:32"
    assert only["loss"] == pytest.approx(1 - best["measured"] / 1000)
    assert (
        found.summary["ratio_test"]["mean_loss"] == found.summary["ratio_test"]["worst_loss"] == only["loss"]
    )
    assert answer().summary["ratio_test"]["sweeps"] == []


def test_lower_bounds_are_met_where_they_can_be_predicted() -> None:
    bounds = {bound["id"]: bound["satisfied"] for bound in answer().summary["lower_bounds"]}
    assert bounds == {
        "ep-ds-online": None,
        "ep-fastafd-qwen3-8k-ep64": True,
        "afd-mi355x-gptoss-7a1f-c4": None,
        "afd-mi355x-gptoss-7a1f-c8": None,
        "afd-mi355x-gptoss-4a4f-c4": None,
        "afd-mi355x-gptoss-4a4f-c8": None,
    }


def test_the_shipped_files_read_as_ones_own_give_the_same() -> None:
    mine = validate_services(read_services(SHIPPED, catalogue=CATALOGUE), catalogue=CATALOGUE)
    for key in ("predicted", "error", "fits_memory"):
        assert list(mine.columns[key]) == list(answer().columns[key])
    known = [row for row in mine.rows() if row["error"] is not None]
    assert {row["timing"] for row in known if row["why"]} == {"wall"}
    assert all("host pause" in row["why"] for row in known if row["why"])


def test_rows_without_an_input_are_skipped_with_the_reason(tmp_path: Path) -> None:
    rows = [
        ROW | {"id": "no batch", "batch_per_device": "", "accept_length": "1"},
        ROW | {"id": "no length"},
        ROW | {"id": "relative", "use": "relative"},
        ROW | {"id": "no figure", "tokens_per_s_per_device": "", "accept_length": "1"},
        ROW
        | {"id": "no peak", "expert_precision": "nvfp4", "dispatch_precision": "nvfp4"}
        | {"accept_length": "1"},
    ]
    found = {row["id"]: row for row in validated(tmp_path, *rows)}
    assert found["no batch"]["why"] == "the row lacks batch_per_device"
    assert found["no length"]["why"] == "the row lacks accept_length"
    assert found["no length"]["measured"] == 2324
    assert found["relative"]["error"] is not None
    assert found["no figure"]["why"] == "the row lacks tokens_per_s_per_device"
    assert found["no figure"]["predicted"] > 0
    assert found["no figure"]["error"] is None
    assert all(found[key]["error"] is not None or found[key]["why"] for key in found)


def test_no_row_that_counts_leaves_the_medians_null(tmp_path: Path) -> None:
    rows = read(tmp_path, ROW | {"batch_per_device": ""})
    summary = validate_services(rows, catalogue=CATALOGUE).summary
    assert (summary["n"], summary["skipped"], summary["median_abs_error"]) == (0, 1, None)
    assert summary["ratio_test"]["mean_loss"] is None
