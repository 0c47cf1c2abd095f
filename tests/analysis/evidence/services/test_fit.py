"""Constants of services: four published rows set them, and nothing else does."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import pytest

from roofline_afd.analysis.evidence.services.fit import CONSTANTS, fit_service_constants
from roofline_afd.analysis.evidence.services.predict import predict_service
from roofline_afd.analysis.evidence.services.record import service_record_text
from roofline_afd.analysis.evidence.services.rows import CALIBRATION
from roofline_afd.catalogue.calibration import load_service_constants
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.errors import InputError
from tests.analysis.evidence.services.given import CATALOGUE, answer, shipped

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.services.fit import ServiceFit


STALE = "run make docs, which fits anew"


@functools.cache
def fitted() -> ServiceFit:
    """Return what the shipped rows give."""
    return fit_service_constants(shipped())


def test_shipped_constants_are_what_the_fit_gives() -> None:
    fit = fitted()
    record = CATALOGUE.record("calibration", "service")
    text = service_record_text(fit, date=record.data["fitted"])
    made = parse_record(text.encode(), file="service.toml")
    assert set(made.quantities) == set(record.quantities), STALE
    for key, value in made.quantities.items():
        assert value.value == pytest.approx(record.quantities[key].value, rel=1e-3, abs=1e-6), (key, STALE)
        measured = {*CONSTANTS, "popularity_exponent"}
        kind = "measured" if key.removeprefix("service.") in measured else "derived"
        kind = "estimated" if key == "service.ratio_estimated_error" else kind
        assert value.kind == record.quantities[key].kind == kind
    for key in (
        *("points", "training_error", "validated_error", "ratio_spread", "ratio_bias", "ratio_degrees"),
        *("ratio_pairs", "ratio_sources", "ratio_covered"),
    ):
        assert made.data["service"][key] == pytest.approx(record.data["service"][key], rel=1e-2), (key, STALE)
    assert fit.validated_error == pytest.approx(answer().summary["median_abs_error"], rel=1e-2)
    for mode, (error, bias) in fit.validated_by_mode.items():
        assert error == pytest.approx(record.data["service"][f"validated_error_{mode}"], rel=1e-2), mode
        assert bias == pytest.approx(record.data["service"][f"validated_bias_{mode}"], rel=1e-2), mode
    assert [row.id for row in fit.rows] == list(answer().summary["calibration_rows"])
    for row in fit.rows:
        assert row.id in record.data["service"]["note"]


def test_the_fit_predicts_as_the_prediction_does() -> None:
    """Layers under new constants are put together from known ones; computed anew they are the same."""
    fit = fitted()
    constants = dataclasses.replace(
        load_service_constants(CATALOGUE),
        gap_s=fit.values["gap_ms"] * 1e-3,
        communication_slowdown=fit.values["communication_slowdown"],
    )
    for row, error in zip(fit.rows, fit.errors, strict=True):
        assert row.throughput is not None
        predicted = predict_service(row, constants=constants).tokens_per_s_per_device
        assert row.throughput / predicted - 1 == pytest.approx(error, rel=1e-9)


def test_known_constants_come_back() -> None:
    """The shipped gap is 0, its bound: rows whose steps have one show it."""
    truth = dataclasses.replace(load_service_constants(CATALOGUE), gap_s=2e-3, communication_slowdown=1.2)
    rows = [
        dataclasses.replace(
            row, throughput=predict_service(row, constants=truth).tokens_per_s_per_device, timing="wall"
        )
        for row in shipped()
        if row.role == CALIBRATION and row.general
    ]
    fit = fit_service_constants(rows)
    assert fit.values["gap_ms"] == pytest.approx(2, rel=1e-3)
    assert fit.values["communication_slowdown"] == pytest.approx(1.2, rel=1e-3)
    assert fit.validated_error is None
    assert fit.ratio is None  # calibration rows are all EP
    assert "validated_error" not in service_record_text(fit)
    assert "ratio_" not in service_record_text(fit)


@pytest.mark.parametrize("factor", [0.1, 7.0])
def test_only_calibration_rows_set_constants(factor: float) -> None:
    """No check row moves what every service takes."""
    rows = [
        row
        if row.role == CALIBRATION or row.throughput is None
        else dataclasses.replace(row, throughput=row.throughput * factor)
        for row in shipped()
    ]
    assert fit_service_constants(rows).values == fitted().values


def test_four_shipped_rows_calibrate_and_fewer_do_not() -> None:
    used = [row for row in shipped() if row.role == CALIBRATION and row.general]
    assert len(used) == 4 > len(CONSTANTS)
    of_engines = [row for row in shipped() if row.role == CALIBRATION and not row.general]
    assert len(of_engines) == 24
    with pytest.raises(InputError, match="2 rows of role calibration that name no engine are too few"):
        fit_service_constants([*used[2:], *of_engines])
    with pytest.raises(InputError, match="row 2: lacks batch_per_device"):
        fit_service_constants([dataclasses.replace(used[0], batch=None), *used[1:]])
