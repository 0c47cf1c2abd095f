"""Measured rows that hold several operators of a layer: whole attention layers."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from roofline_afd.analysis.evidence.operators.formats import row_format, row_peak
from roofline_afd.catalogue.calibration import weakest
from roofline_afd.catalogue.models import load_model
from roofline_afd.errors import InputError, nearest, shown
from roofline_afd.serving.layer import decode_operators
from roofline_afd.serving.sizes import Formats, Layers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from roofline_afd.analysis.evidence.operators.rows import Measurement
    from roofline_afd.catalogue.calibration import Calibration
    from roofline_afd.catalogue.models import Model
    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.serving.timing import Operator

SHORT_NAMES = {"dsv3": "deepseek-v3", "qwen3-235b": "qwen3-235b-a22b"}
"""What papers call models of the catalogue."""


def layer_time(row: Measurement, calibration: Calibration, *, catalogue: Catalogue) -> tuple[float, str]:
    """Return the time of a whole attention layer, the weights in the precision of the row.

    Parameters
    ----------
    row : Measurement
        A row that names a model, in its column or else its note.
    calibration : Calibration
        Efficiencies of its system.
    catalogue : Catalogue
        Where models are looked up.

    Returns
    -------
    float
        Time of the kind of layers that the model has most of [s].
    str
        Kind of the weakest efficiency it rests on.

    Raises
    ------
    InputError
        If no model of the catalogue is named, the row's heads are no share of the model's, or a precision has
        no peak.
    """
    row_peak(row)
    model = layer_model(row, catalogue)
    kind = max(model.attention, key=lambda layer: layer.layers)
    heads = row.numbers.get("query_heads", kind.heads)
    if kind.heads % heads:
        raise InputError(f"{row.place}: {heads:g} query heads are no share of the {kind.heads} of {model.id}")
    cache = row.texts["kv_precision"]
    formats = Formats(others=row.texts["precision"])
    if cache:
        formats = dataclasses.replace(formats, cache=row_format(row, "kv_precision").id)
    layers = Layers(
        model=model,
        attention=row.system,
        attention_calibration=calibration,
        formats=formats,
        tensor_parallel=int(kind.heads // heads),
    )
    batch, context = row.numbers["batch"], row.numbers["context_tokens"]
    return _sum(
        operator
        for operator in decode_operators(layers, sequences=batch, context=context)
        if operator.part == kind.name and operator.side != "network" and operator.name != "attention_exchange"
    )


def _sum(operators: Iterable[Operator]) -> tuple[float, str]:
    """Return the time of operators one after another, and the kind of the weakest that take any."""
    held = [operator for operator in operators if float(operator.time) > 0]
    kind = weakest(operator.kind for operator in held)
    return sum(float(operator.time) for operator in held), kind


def layer_model(row: Measurement, catalogue: Catalogue) -> Model:
    """Return the model that a row names: in its column, else in its note, by id or a paper's short name."""
    named = row.texts["model"]
    known = {*catalogue.ids("model"), *SHORT_NAMES}
    words = [named] if named else re.findall(r"[\w.-]+", row.texts["note"].lower())
    found = next((word for word in words if word in known), None)
    if found is None:
        if named:
            raise InputError(f"{row.place}: unknown model {shown(named)}{nearest(named, known)}")
        raise InputError(
            f"{row.place}: note {shown(row.texts['note'])} names no model; write its catalogue id first"
        )
    return load_model(SHORT_NAMES.get(found, found), catalogue=catalogue)
