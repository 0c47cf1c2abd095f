"""Efficiencies of the shipped records: each system has some, with the kind of what they rest on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from roofline_afd.analysis.evidence.operators.calibrate import calibrate
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.catalogue.calibration import (
    EVERY_MODEL,
    OPERATOR_TABLES,
    OperatorEfficiency,
    load_calibration,
    tables_of,
)
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from tests.analysis.evidence.operators.times import CATALOGUE, synthetic


def test_every_system_has_efficiencies_with_a_kind() -> None:
    for name in CATALOGUE.ids("system"):
        try:
            system = load_system(name, catalogue=CATALOGUE)
        except InputError:
            continue
        found = load_calibration(system, catalogue=CATALOGUE)
        assert all(kind in {"measured", "estimated"} for kind in found.kinds.values())
        for table in OPERATOR_TABLES:
            efficiency: OperatorEfficiency = getattr(found, table)
            assert 0 < efficiency.compute_efficiency <= 1
            assert efficiency.source


def test_measured_alike_and_default_parts() -> None:
    def kinds(name: str) -> dict[str, str]:
        return load_calibration(load_system(name, catalogue=CATALOGUE), catalogue=CATALOGUE).kinds

    assert {kinds("h800")[table] for table in (*EVERY_MODEL, "index")} == {"measured"}
    assert kinds("h800")["top_k"] == kinds("h800")["state"] == "estimated"  # never timed there
    assert kinds("h200")["gemm"] == "estimated"
    assert set(kinds("mi300x").values()) == {"estimated"}
    h800, h200 = (load_calibration(load_system(name)) for name in ("h800", "h200"))
    assert h800.gemm.compute_efficiency == h200.gemm.compute_efficiency
    assert load_calibration(load_system("h800-roce-400")).link.kind_out == "estimated"


def test_a_model_rests_on_the_tables_of_its_layers() -> None:
    known = {
        "deepseek-v3": (),
        "deepseek-v3.2": ("index", "top_k"),
        "qwen3-next-80b-a3b": ("convolution", "state"),
        "minimax-m1": ("state",),  # lightning attention has no convolution
    }
    for name, more in known.items():
        assert tables_of(load_model(name, catalogue=CATALOGUE)) == (*EVERY_MODEL, *more), name


def test_memory_share_of_latent_attention_stays_an_estimate() -> None:
    attention = load_calibration(load_system("h800")).attention
    assert (attention.kind, attention.memory_kind) == ("measured", "estimated")


def test_class_defaults_are_medians_of_what_was_measured() -> None:
    measured = [other for other in CATALOGUE.records("calibration") if other.id != "default"]
    for key, value in CATALOGUE.record("calibration", "default").quantities.items():
        assert value.kind == "estimated"
        assert value.note
        found = [
            other.quantities[key].value
            for other in measured
            if key in other.quantities and other.quantities[key].kind == "measured"
        ]
        if found:
            assert value.value == pytest.approx(float(np.median(found)), rel=0.05, abs=1e-9), key


def test_cloudmatrix_is_a_prior() -> None:
    link = load_calibration(load_system("cloudmatrix384")).link
    assert link.kind == link.kind_out == "estimated"


def test_shipped_records_carry_no_rows() -> None:
    """The records hold parameters and their sources, never the data they were fitted to."""
    for shipped in CATALOGUE.records("calibration"):
        assert not {"rows", "measurements", "latency_us"} & set(json.dumps(shipped.data).split('"'))


def test_two_records_of_one_part_are_refused(tmp_path: Path) -> None:
    rows = read_measurements([synthetic(tmp_path / "a.csv")], catalogue=CATALOGUE)
    written, _ = calibrate(rows, catalogue=CATALOGUE)
    for name in ("mi300x", "other"):
        (tmp_path / f"{name}.toml").write_text(
            written["mi300x"].replace('id = "mi300x"', f'id = "{name}"'), encoding="utf-8"
        )
    overlaid = Catalogue([tmp_path])
    with pytest.raises(InputError, match=r"both calibrate \[gemm\] of mi300x"):
        load_calibration(load_system("mi300x", catalogue=overlaid), catalogue=overlaid)
