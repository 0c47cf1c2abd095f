"""Every mixture of experts that transformers knows, saved by its own code and read back."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from roofline_afd.catalogue.huggingface.importing import read_config
from roofline_afd.catalogue.huggingface.recognised import UNSERVED
from roofline_afd.catalogue.models import Model, model_of
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.errors import InputError

_ROWS = Path(__file__).with_name("totals.csv").read_text("utf-8").splitlines()
TOTALS = {row["model_type"]: row for row in csv.DictReader(_ROWS)}
"""Parameters of the models that the code of transformers 5.24 makes of each type's default configuration (on
no device), those of an output head left out where that code makes none; LongCat's are not among them, whose
experts that compute nothing it makes with weights."""
OFF = 0.015
"""Norms, biases, sinks, and mixing of residual streams, which are counted otherwise or not at all."""
UNSTATED = {"deepseek_v2", "deepseek_ocr2", "deepseek_ocr2_text"}
"""Types whose default configuration says nothing of how many experts a token has."""
LEAST = 60


def _has_experts(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return any(
        ("expert" in str(key) and "tok" not in str(key) and type(one) is int and one > 1) or _has_experts(one)
        for key, one in value.items()
    )


def _saved(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of transformers
    """Return what a type saves of its default configuration; nothing where it has none."""
    try:
        found: dict[str, Any] = json.loads(kind().to_json_string(use_diff=False))
    except Exception:  # noqa: BLE001 - whatever the code of a type that has no default raises
        return {}
    return found


def _imported(saved: dict[str, Any]) -> Model:
    record = read_config(json.dumps(saved)).record
    (name,) = re.findall(r'^id = "(.*)"$', record, re.MULTILINE)
    return model_of(parse_record(record.encode(), file=f"{name}.toml"))


def _read(name: str, saved: dict[str, Any]) -> Model | None:
    """Return the model of a type; None where it is refused, with the reason."""
    try:
        return _imported(saved)
    except InputError as error:
        message = str(error)
    told = re.findall(r"'([\w-]+)': (.+)", message)
    known = told and UNSERVED.get(told[0][0]) == told[0][1]
    unstated = name in UNSTATED and "num_experts_per_tok is null" in message
    assert known or unstated or (name not in TOTALS and "is no known family" in message), message
    return None


def test_every_type_is_read_or_refused_with_the_reason() -> None:
    """With the parameters that the maker's code has; most of them are read."""
    import transformers  # for this test alone: every process would load it

    transformers.logging.set_verbosity_error()
    read = 0
    for name in sorted(transformers.CONFIG_MAPPING.keys()):
        saved = _saved(transformers.CONFIG_MAPPING[name])
        model = _read(name, saved) if _has_experts(saved) else None
        if model is None:
            continue
        read += 1
        if name in TOTALS:
            head = model.params_by_part["output_head"] if TOTALS[name]["without_head"] else 0
            assert model.total_params - head == pytest.approx(int(TOTALS[name]["parameters"]), rel=OFF), name
    assert read >= LEAST
