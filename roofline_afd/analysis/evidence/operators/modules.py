"""Measured rows of whole expert modules, as what they compute, move and handle."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from roofline_afd.analysis.evidence.operators.formats import operand_format, row_format, row_peak
from roofline_afd.analysis.evidence.operators.layers import layer_model
from roofline_afd.catalogue.calibration import STRENGTH, weakest
from roofline_afd.errors import InputError
from roofline_afd.physics import operators
from roofline_afd.serving.module import Module, of_product

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.calibration import OperatorEfficiency


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExpertRows:
    """Rows of whole modules, an element each: the fields of `serving.experts.Module`."""

    pairs: NDArray[np.float64]
    touched: NDArray[np.float64]
    tokens_handed: NDArray[np.float64]
    width: NDArray[np.float64]
    intermediate: NDArray[np.float64]
    matrices: NDArray[np.float64]
    peak: NDArray[np.float64]
    memory_bandwidth: NDArray[np.float64]
    input_bytes: NDArray[np.float64]
    weight_bytes: NDArray[np.float64]

    @property
    def _module(self) -> Module:
        return Module(**{field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    def times(self, found: OperatorEfficiency) -> NDArray[np.float64]:
        """Return the time of each row [s]: both products, and the handling of what the module is handed."""
        return np.asarray(self._module.times(found))

    def kinds(self, found: OperatorEfficiency) -> NDArray[np.str_]:
        """Return the kind of what each time rests on: the weaker of its two products'."""
        kinds = [work.kinds(of_product(found)) for _, work, _ in self._module.products()]
        return np.array([weakest(each) for each in zip(*kinds, strict=True)], dtype=f"<U{_LONGEST}")


_LONGEST = max(map(len, STRENGTH))


def expert_rows(rows: Sequence[Measurement]) -> ExpertRows:
    """Return what modules of rows compute; InputError where the model, a format or a peak is unknown."""
    columns = np.array([_module_of(row) for row in rows]).T
    names = [field.name for field in dataclasses.fields(ExpertRows)]
    return ExpertRows(**dict(zip(names, columns, strict=True)))


def _module_of(row: Measurement) -> tuple[float, ...]:
    """Return the fields of one row; every device of a group hands its tokens to every module."""
    values = row.numbers
    devices, experts, top_k, groups = (values[key] for key in ("n_devices", "experts", "top_k", "groups"))
    if groups * devices != experts:
        raise InputError(
            f"{row.place}: {groups:g} groups on each of {devices:g} devices are not the {experts:g} experts"
        )
    tokens = values["tokens_per_expert"] * experts / top_k
    pairs = tokens * top_k / devices
    even = row.texts.get("routing", "") in {"", "balanced"}
    touched = (
        min(groups, pairs)
        if even
        else operators.experts_touched(
            experts_per_device=groups, top_k=top_k, routed_experts=experts, tokens=tokens
        )
    )
    return (
        pairs,
        float(touched),
        tokens,
        values["hidden"],
        values["intermediate"],
        layer_model(row, row.system.parts.catalogue).expert_matrices,
        row_peak(row),
        row.system.accelerator.memory_bytes_per_s,
        operand_format(row).bytes,
        row_format(row, "precision").bytes,
    )
