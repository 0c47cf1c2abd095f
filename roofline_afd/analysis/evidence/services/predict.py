"""Throughput of a published service, predicted as it was deployed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.catalogue.calibration import ESTIMATED, ServiceConstants
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import Deployment, Deployments
from roofline_afd.serving.measured import rests_on_estimates
from roofline_afd.serving.sizes import ATTENTION_CUT

if TYPE_CHECKING:
    from roofline_afd.analysis.evidence.services.rows import ServiceMeasurement


@dataclasses.dataclass(frozen=True, slots=True)
class ServicePrediction:
    """What the model expects of one row: throughput [tokens/s/device], time per output token [ms]."""

    tokens_per_s_per_device: float
    tpot_ms: float
    fits_memory: bool
    kind: str


def predict_service(
    row: ServiceMeasurement, *, constants: ServiceConstants | None = None
) -> ServicePrediction:
    """Predict a measured service as it was deployed, even where the memory model would not have it.

    Parameters
    ----------
    row : ServiceMeasurement
        A row with system, batch and accepted length, cut as the model cuts the layer.
    constants : ServiceConstants, optional
        What running a service adds; by default as in the catalogue of its system.

    Returns
    -------
    ServicePrediction
        Its `kind` is `estimated` where any efficiency of its parts was never measured.

    Raises
    ------
    InputError
        If the row lacks an input or is placed as no formula has it, or the system lacks a peak rate for a
        format.
    """
    if row.unpredictable:
        raise InputError(row.unpredictable)
    deployments = Deployments(row.scenario, row.mode)
    if constants is not None:
        deployments.constants = constants
    deployment = deployment_of(row, deployments)
    step = deployments.step(deployment).time
    needed = zip(deployments.memory(deployment), deployments.usable_memory(), strict=True)
    return ServicePrediction(
        tokens_per_s_per_device=float(deployments.tokens_per_s_per_device(deployment, step)),
        tpot_ms=float(step) / row.scenario.accept_length * 1e3,
        fits_memory=all(float(bytes_held) <= room for bytes_held, room in needed),
        kind=ESTIMATED if rests_on_estimates(deployments) else "measured",
    )


def deployment_of(row: ServiceMeasurement, deployments: Deployments) -> Deployment:
    """Return how a row was deployed, with the redundant experts that fill its devices."""
    return Deployment(
        mode=row.mode,
        attention_devices=row.attention_devices,
        ffn_devices=row.ffn_devices,
        batch=row.batch or 0.0,
        microbatches=row.microbatches,
        redundant_experts=deployments.fill(row.ffn_devices or row.attention_devices),
        afd_cut=row.placement or ATTENTION_CUT,
        kernels=row.scenario.kernels,
    )
