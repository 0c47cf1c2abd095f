"""Measured small kernels: what a step counts for them, and the table of changes of number format."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.evidence.fitting import Bounds, Fit, fit
from roofline_afd.analysis.evidence.operators.formats import row_format
from roofline_afd.catalogue.calibration import (
    ESTIMATED,
    MEASURED,
    SIBLING,
    load_service_constants,
    record_for,
    weakest,
)
from roofline_afd.catalogue.records import table_quantities, weakest_kind
from roofline_afd.errors import InputError
from roofline_afd.physics import network, stages
from roofline_afd.serving.sizes import ACTIVATION_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.links import LinkEfficiency
    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.physics.arrays import FloatLike

    Array = NDArray[np.float64]

TABLE = "quantize"
"""Table of a calibration record."""
SMALL = ("quantize", "router", "a2a_prepare", "p2p")
"""Operators that are predicted here."""
BOUNDS = {"launch_us": Bounds(0.0, 100.0, 3.0), "memory_efficiency": Bounds(0.02, 1.0, 0.7)}
"""Range of each parameter of the table, in the unit of its key."""


def small_time(
    row: Measurement,
    link: LinkEfficiency,
    *,
    catalogue: Catalogue,
    product: Callable[[Measurement], tuple[float, str]],
) -> tuple[float, str]:
    """Return the time of a small kernel, as a step counts it where no table has it.

    Parameters
    ----------
    row : Measurement
        A row of one of `SMALL`. `quantize` has a table; a `router` is its product and the small kernels of a
        layer; what prepares an exchange (`a2a_prepare`) is among these; a hand-over (`p2p`), whose few bytes
        rows do not state, is the fixed time of a transfer within a scale-up domain.
    link : LinkEfficiency
        What the system's links reach.
    catalogue : Catalogue
        Where records of calibration are looked up.
    product : callable
        Predicts the time of a row of the operator `gemm`, and its kind.

    Returns
    -------
    float
        Time [s].
    str
        Kind of the weakest value it rests on.

    Raises
    ------
    InputError
        If a format is unknown, no record has the table for the accelerator, or a hand-over leaves the domain.
    """
    if row.operator == "quantize":
        values, kind = load_conversion(row, catalogue=catalogue)
        return float(conversion_times(traffic_seconds([row]), values)[0]), kind
    if row.operator == "p2p":
        devices = row.numbers["n_devices"]
        if devices > row.system.scale_up_domain_devices:
            raise InputError(f"{row.place}: a hand-over beyond one scale-up domain is not modelled")
        time = network.group_latency(
            latency=link.latency_up_s, devices=devices, latency_growth=link.latency_growth
        )
        return float(time), link.kind
    others = load_service_constants(catalogue).router_s
    if row.operator == "a2a_prepare":
        return others, ESTIMATED
    shape = {"m": row.numbers["tokens"], "n": row.numbers["experts"], "k": row.numbers["hidden"]}
    time, _ = product(dataclasses.replace(row, operator="gemm", numbers={**row.numbers, **shape}))
    return time + others, ESTIMATED


def load_conversion(row: Measurement, *, catalogue: Catalogue) -> tuple[dict[str, float], str]:
    """Return the values of the table for a row's accelerator, in the units of its keys, and their kind."""
    part = row.system.accelerator.id
    record = record_for(TABLE, part, "accelerators", catalogue=catalogue)
    alike = record or record_for(TABLE, part, "alike", catalogue=catalogue)
    if alike is None:
        raise InputError(f"{row.place}: no calibration record has [{TABLE}] of {part}")
    found = table_quantities(alike, TABLE)
    kind = weakest((weakest_kind(found.values()), MEASURED if record else SIBLING))
    return {key: value.value for key, value in found.items()}, kind


def traffic_seconds(rows: Sequence[Measurement]) -> Array:
    """Return what each row reads and writes, over the peak memory bandwidth [s]."""
    return np.array(
        [
            float(
                stages.conversion_bytes(
                    tokens=row.numbers["m"],
                    width=row.numbers["k"],
                    input_bytes=ACTIVATION_BYTES,
                    output_bytes=row_format(row, "precision").bytes,
                )
            )
            / row.system.accelerator.memory_bytes_per_s
            for row in rows
        ]
    )


def conversion_times(seconds: Array, values: Mapping[str, FloatLike]) -> Array:
    """Return the time of changes of number format that move so much at peak bandwidth [s]."""
    return np.asarray(values["launch_us"] * 1e-6 + seconds / values["memory_efficiency"])


def fit_conversions(rows: Sequence[Measurement]) -> tuple[dict[str, float], Fit]:
    """Fit the table of changes of number format to rows of one accelerator.

    Parameters
    ----------
    rows : sequence of Measurement
        Rows of the operator `quantize` with a measured time.

    Returns
    -------
    dict of str to float
        Values of the table, in the units of its keys.
    Fit
        The fit, with errors on rows fitted and on rows held out.
    """
    seconds = traffic_seconds(rows)

    def times(parameters: Array) -> Array:
        return conversion_times(seconds, dict(zip(BOUNDS, parameters.T[..., None], strict=True)))

    measured = np.array([row.numbers["latency_us"] for row in rows]) * 1e-6
    found = fit(times, measured, tuple(BOUNDS.values()))
    return dict(zip(BOUNDS, found.parameters, strict=True)), found
