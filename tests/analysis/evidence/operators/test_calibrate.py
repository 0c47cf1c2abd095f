"""Calibration: known parameters come back, and published rows are met."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from roofline_afd.analysis.evidence.operators.calibrate import calibrate
from roofline_afd.analysis.evidence.operators.fit import FITTED, groups_of
from roofline_afd.analysis.evidence.operators.predict import predict
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.catalogue.calibration import OPERATOR_TABLES, load_calibration
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InputError
from tests.analysis.evidence.operators.times import (
    CATALOGUE,
    TRUTH,
    published,
    record,
    rows_to_calibrate,
    synthetic,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from roofline_afd.catalogue.calibration import Calibration


def test_known_parameters_come_back(tmp_path: Path) -> None:
    rows = read_measurements([synthetic(tmp_path / "a.csv")], catalogue=CATALOGUE)
    written, answer = calibrate(rows, catalogue=CATALOGUE, date="2026-01-01")
    values = record("mi300x", written["mi300x"]).quantities
    for key, value in TRUTH.items():
        assert values[f"gemm.{key}"].value == pytest.approx(value, rel=2e-3), key
        assert values[f"gemm.{key}"].kind == "measured"
        assert values[f"gemm.{key}"].source == "our bench, 2026-01-01"
    (row,) = answer.rows()
    assert row["points"] == 24
    assert row["held_out_error"] < 1e-3


def test_index_and_linear_layers_come_back(tmp_path: Path) -> None:
    """Rows made by hand: keys of 132 B, logits of 4 B; 131,072 and 4,218,880 B a sequence of the layers."""
    mi300x = load_system("mi300x", catalogue=CATALOGUE).accelerator
    memory, fp8 = mi300x.memory_bytes_per_s, mi300x.peak_flop_per_s["fp8"]
    head = (
        "id,operator,system,precision,batch,tokens,context_tokens,query_heads,kv_heads,head_dim,query_tokens,"
    )
    lines = [head + "latency_us,source"]
    for context in (4096, 16384, 65536, 262144):
        moved = 64 * ((context + 1) * 132 + context * 4)
        time = 7e-6 + max(moved / (0.8 * memory), 2 * 64 * 64 * 128 * context / (0.5 * fp8))
        lines.append(
            f"a{context},dsa_decode_index,mi300x,fp8,64,,{context},64,,128,1,{time * 1e6!r},our bench"
        )
        scored = 2048 * (context - 2048) + 2048 * 2049 // 2
        time = 7e-6 + 2 * 64 * 128 * scored / (0.5 * fp8)
        lines.append(
            f"b{context},dsa_prefill_index,mi300x,fp8,,2048,{context},64,,128,,{time * 1e6!r},our bench"
        )
    for batch in (1, 16, 64, 256, 1024):
        for operator, fixed, moved in (
            ("linear_decode_convolution", 8e-6, batch * 131_072 + 2 * 4 * 8192),
            ("linear_decode_update", 12e-6, batch * 4_218_880),
        ):
            time = fixed + moved / (0.4 * memory)
            lines.append(f"c{batch},{operator},mi300x,,{batch},,,16,32,128,,{time * 1e6!r},our bench")
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    written, _ = calibrate(read_measurements([path], catalogue=CATALOGUE), catalogue=CATALOGUE)
    values = record("mi300x", written["mi300x"]).quantities
    known = {
        "index.launch_us": 7.0,
        "index.compute_efficiency": 0.5,
        "index.memory_efficiency": 0.8,
        "convolution.launch_us": 8.0,
        "convolution.memory_efficiency": 0.4,
        "state.launch_us": 12.0,
        "state.memory_efficiency": 0.4,
    }
    for key, value in known.items():
        assert values[key].value == pytest.approx(value, rel=5e-3), key
        assert values[key].kind == "measured"
    assert values["state.compute_efficiency"].kind == "estimated"  # memory binds in every row


def test_what_rows_do_not_fix_is_estimated(tmp_path: Path) -> None:
    head = "id,operator,system,precision,m,n,k,n_devices,tokens,hidden,top_k,latency_us,source\n"
    small = [f"a{m},gemm,mi300x,fp8,{m},4096,4096,,,,,{20 + m / 100},bench" for m in (1, 2, 3, 4)]
    sizes = (16, 32, 48, 64, 96, 128, 192, 256)
    links = [f"b{t},dispatch,mi300x,fp8,,,,8,{t},7168,8,{10 + t / 4},bench" for t in sizes]
    path = tmp_path / "a.csv"
    path.write_text(head + "\n".join(small + links) + "\n", encoding="utf-8")
    written, answer = calibrate(read_measurements([path], catalogue=CATALOGUE), catalogue=CATALOGUE)
    gemm = record("mi300x", written["mi300x"]).quantities
    assert {value.kind for value in gemm.values()} == {"estimated"}
    assert "4 rows" in gemm["gemm.launch_us"].note
    fabric = load_system("mi300x", catalogue=CATALOGUE).scale_up.id
    link = record(fabric, written[fabric]).quantities
    assert {key: value.kind for key, value in link.items()} == {
        "link.latency_up_us": "measured",
        "link.efficiency_up": "measured",
    }
    assert any("latency_out_us" in note for note in answer.notes)
    path.write_text(head + "\n".join(links[:4]) + "\n", encoding="utf-8")
    written, _ = calibrate(read_measurements([path], catalogue=CATALOGUE), catalogue=CATALOGUE)
    few = record(fabric, written[fabric]).quantities
    assert {value.kind for value in few.values()} == {"estimated"}
    assert all(value.note.startswith("fitted to measured times, 4 of them") for value in few.values())


def test_nothing_to_fit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "id,operator,system,precision,m,n,k,latency_us\na,gemm,h800,fp8,1,2,3,4\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="1 rows are too few"):
        calibrate(read_measurements([path], catalogue=CATALOGUE), catalogue=CATALOGUE)


def test_rows_of_other_use_change_nothing(tmp_path: Path) -> None:
    """Rows to check lie a hundred times too high here: a fit that took them would show it."""
    path = synthetic(tmp_path / "a.csv")
    head, *lines = path.read_text("utf-8").splitlines()
    uses = [f"{line},fit" for line in lines]
    uses += [f"{line},check: cache-warm" for line in _slower(lines)]
    uses += [f"{line},exclude: above peak" for line in _slower(lines)]
    path.write_text("\n".join([f"{head},use", *uses]) + "\n", encoding="utf-8")
    written, answer = calibrate(read_measurements([path], catalogue=CATALOGUE), catalogue=CATALOGUE)
    values = record("mi300x", written["mi300x"]).quantities
    for key, value in TRUTH.items():
        assert values[f"gemm.{key}"].value == pytest.approx(value, rel=2e-3), key
    assert answer.summary["points"] == len(lines)
    assert [note for note in answer.notes if note.startswith("not fitted")] == [
        f"not fitted: '{path}', row {2 + times * len(lines)}: {why}; so {len(lines) - 1} more rows"
        for times, why in ((1, "check: cache-warm"), (2, "exclude: above peak"))
    ]


def _slower(lines: list[str]) -> list[str]:
    cells = [line.split(",") for line in lines]
    return [",".join([*each[:-2], str(100 * float(each[-2])), each[-1]]) for each in cells]


LIMITS = {"gqa_decode": 0.08, "mla_decode": 0.10, "gemm": 0.08, "experts": 0.12, "grouped_gemm": 0.12}
"""Kernel to the largest held-out median error of its tables that is good enough."""
ENOUGH = 20
"""Rows of a table from which it must meet them."""
ENOUGH_EXCHANGES, LINKS = 8, 0.15
"""Exchanges of a library on a fabric from which its held-out median error must be as small."""


def _tables(kernel: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the shipped tables of a kernel, of any format, with their names."""
    for name in CATALOGUE.ids("calibration"):
        held = CATALOGUE.record("calibration", name).data
        for table in OPERATOR_TABLES:
            plain = table.removesuffix("_bf16").removesuffix("_fp4").removesuffix("_fp8")
            if plain == kernel and held.get(table, {}).get("points", 0) >= ENOUGH:
                yield f"{name} [{table}]", held[table]


@pytest.mark.parametrize("kernel", LIMITS)
def test_held_out_errors_meet_their_limits(kernel: str) -> None:
    """Fifths of the rows, and whole shapes; the shipped records say what the fit finds (`test_record`)."""
    found = dict(_tables(kernel))
    assert found
    for name, table in found.items():
        assert 0 < table["held_out_error"] <= LIMITS[kernel], name
        assert 0 < table["held_out_shape_error"] <= LIMITS[kernel], name


@pytest.mark.parametrize("kernel", LIMITS)
def test_hopper_and_blackwell_and_the_h20_have_tables(kernel: str) -> None:
    """The parts with rows: a limit that no table has to meet would say nothing."""
    parts = {part for _, table in _tables(kernel) for part in table["measured_on"]}
    if kernel == "grouped_gemm":
        assert {"h20", "h800"} <= parts
    elif kernel == "experts":
        assert "gb200" in parts
    else:
        assert {"gb200", "h800", "h20"} <= parts


def test_held_out_errors_of_links_meet_their_limit() -> None:
    """Of every library on every fabric that enough of its exchanges were timed on; fewer make an estimate."""
    tables = {name: CATALOGUE.record("calibration", name) for name in CATALOGUE.ids("calibration")}
    links = {name: held for name, held in tables.items() if "points" in held.data.get("link", {})}
    enough = {name for name, held in links.items() if held.data["link"]["points"] >= ENOUGH_EXCHANGES}
    assert len(enough) >= 10
    for name, held in links.items():
        kinds = {value.kind for key, value in held.quantities.items() if value.note.startswith(FITTED)}
        if name in enough:
            assert held.data["link"]["held_out_error"] <= LINKS, name
            assert kinds == {"measured"}, name
        else:
            assert kinds == {"estimated"}, name


def test_stated_errors_are_those_of_predictions() -> None:
    """The training error of every table, computed anew: rows predicted as `validate` predicts them.

    So each row is predicted with the table it was fitted to. Records state parameters in four digits, which
    moves a time by up to 5e-4 of it.
    """
    groups, _ = groups_of(rows_to_calibrate(), catalogue=CATALOGUE)
    calibrations: dict[str, Calibration] = {}
    for group in groups:
        data = {} if group.table == "link" else CATALOGUE.record("calibration", group.record).data
        if "points" not in data.get(group.table, {}):  # links, and a table of derived values
            continue
        errors = []
        for row, measured in zip(group.rows, group.measured, strict=True):
            if row.system.id not in calibrations:
                calibrations[row.system.id] = load_calibration(row.system, catalogue=CATALOGUE)
            time, _ = predict(row, calibrations[row.system.id], catalogue=CATALOGUE)
            errors.append(abs(time / measured - 1))
        stated = CATALOGUE.record("calibration", group.record).data[group.table]["training_error"]
        assert np.median(errors) == pytest.approx(stated, abs=5e-4), (group.record, group.table)


def test_both_series_of_products_on_the_h800_are_reported() -> None:
    _, rows = published()
    series = [row for row in rows if (row["operator"], row["system"]) == ("gemm", "h800")]
    assert [row["points"] for row in series] == [43, 7]
    assert all(row["held_out_error"] <= 0.12 for row in series)
