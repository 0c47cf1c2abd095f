"""Experts in one kernel that dispatches, multiplies and combines."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from roofline_afd.catalogue.calibration import MEASURED, SIBLING, record_for, weakest
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.records import table_quantities
from roofline_afd.errors import InputError
from roofline_afd.physics import stages, traffic
from roofline_afd.serving.sizes import SCALE_BYTES
from roofline_afd.serving.timing import Operator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.catalogue.hardware import System
    from roofline_afd.physics.arrays import FloatArray
    from roofline_afd.serving.module import Module
    from roofline_afd.serving.sizes import Layers, Sizes

TABLE = "fused_stage"
"""Table of a calibration record."""


@dataclasses.dataclass(frozen=True, slots=True)
class FusedStage:
    """What a fused kernel reaches of an accelerator, and the weakest kind that rests on."""

    values: Mapping[str, float]
    kind: str


def fused_stage(system: System) -> FusedStage | None:
    """Return what the fused kernel of experts reaches on a system; None where none was timed on its like.

    Parameters
    ----------
    system : System
        Where experts are computed.

    Returns
    -------
    FusedStage or None
        Values in SI.
    """
    part, catalogue = system.accelerator.id, system.parts.catalogue
    own = record_for(TABLE, part, "accelerators", catalogue=catalogue)
    record = own or record_for(TABLE, part, "alike", catalogue=catalogue)
    if record is None:
        return None
    found = table_quantities(record, TABLE)
    kinds = (quantity.kind for key, quantity in found.items() if key != "compute_efficiency")
    return FusedStage(
        {key: quantity.si for key, quantity in found.items()},
        weakest((*kinds, MEASURED if own else SIBLING)),
    )


def check_fused(system: System) -> None:
    """Refuse fused kernels where none was timed; raises InputError."""
    if fused_stage(system) is None:
        raise InputError(
            f"--kernels fused: no fused kernel of experts was timed on {system.accelerator.id} or its like; "
            "valid: separate"
        )


def fused_operator(layers: Layers, sizes: Sizes, module: Module) -> Operator:
    """Return the stage of experts as one kernel: infinite beyond a scale-up domain, which it stays within.

    Parameters
    ----------
    layers : Layers
        Model, systems, formats, efficiencies.
    sizes : Sizes
        What one attention device sends.
    module : Module
        What the fullest device computes.

    Returns
    -------
    Operator
        Time of one layer; both transfers are in it, and are not hidden.
    """
    system, apart = layers.system("ffn"), layers.deployment == "afd"
    found = fused_stage(system)
    assert found is not None  # noqa: S101 - checked when the question was asked
    values, formats = found.values, layers.formats
    devices = np.asarray(sizes.ffn_devices)
    away = 1.0 if apart else np.subtract(1.0, np.divide(1.0, devices))
    vectors = sum(
        traffic.vector_bytes(
            width=layers.model.dispatch_width,
            bytes_per_element=precision(form).bytes,
            scale_bytes_per_element=SCALE_BYTES.get(form, 0.0),
        )
        for form in (formats.dispatch, formats.combine)
    )
    arguments: dict[str, Any] = {
        "flops": sum(work.flops for _, work, _ in module.products()),
        "weight_bytes": np.multiply(module.touched, module.matrices)
        * np.multiply(module.width, module.intermediate)
        * module.weight_bytes,
        "moved_bytes": module.pairs * away * vectors,
        "peak": module.peak,
        "memory_bandwidth": module.memory_bandwidth,
        "bandwidth": system.scale_up.bytes_per_s,
        "compute_efficiency": values["compute_efficiency"],
        "memory_efficiency": values["memory_efficiency"],
        "moving_efficiency": values["moving_efficiency"],
        "fixed_time": values["afd_fixed_us" if apart else "ep_fixed_us"],
        "hidden_share": values["hidden_share"] if apart else 0.0,
    }
    every = np.add(sizes.attention_devices, devices) if apart else devices
    most = system.scale_up_domain_devices if layers.attention.id == system.id else 0  # two systems share none
    time: FloatArray = np.where(np.greater(every, most), np.inf, stages.fused_stage_time(**arguments))[()]
    moved = arguments["weight_bytes"] + arguments["moved_bytes"]
    return Operator(
        *("experts_fused", "ffn", "experts", layers.model.moe_layers, arguments["flops"], moved, time),
        *(TABLE, found.kind, arguments),
    )
