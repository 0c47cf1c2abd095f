"""Attention-FFN disaggregation or large-scale expert parallelism, answered from first principles.

Everything the command line does is a function here, on plain values and arrays::

    from roofline_afd import Scenario, roofline

    roofline(Scenario(system="h800", model="deepseek-v3", tpot_ms=50), ffn_nodes=range(1, 41))

The commands `hardware list`, `hardware show`, `models import` ... are `list_hardware`, `show_hardware`,
`import_model` ..., and `plot KIND` is a function of `plot`. Each lists its arguments with type, unit and
default in its help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.version import __version__

if TYPE_CHECKING:
    from roofline_afd import plot
    from roofline_afd.analysis.answer import read_answer
    from roofline_afd.api import (
        compare,
        deploy,
        deploy_answer,
        explore,
        imbalance,
        load,
        predict,
        predict_afd,
        predict_ep,
        procure,
        provision,
        report,
        roofline,
        sensitivity,
        simulate,
        simulate_series,
        sweep,
        what_if,
    )
    from roofline_afd.catalogue.calibration import load_calibration
    from roofline_afd.catalogue.engines import load_engine
    from roofline_afd.catalogue.hardware import load_system
    from roofline_afd.catalogue.libraries import load_library
    from roofline_afd.catalogue.models import load_model
    from roofline_afd.catalogue.store import Catalogue
    from roofline_afd.errors import InfeasibleError, InputError, RooflineAfdError
    from roofline_afd.records import (
        calibrate,
        explain,
        import_model,
        list_hardware,
        list_models,
        show_hardware,
        show_models,
        validate,
        validate_hardware,
        validate_models,
    )
    from roofline_afd.serving.scenario import Scenario

__all__ = [
    "Catalogue",
    "InfeasibleError",
    "InputError",
    "RooflineAfdError",
    "Scenario",
    "__version__",
    "calibrate",
    "compare",
    "deploy",
    "deploy_answer",
    "explain",
    "explore",
    "imbalance",
    "import_model",
    "list_hardware",
    "list_models",
    "load",
    "load_calibration",
    "load_engine",
    "load_library",
    "load_model",
    "load_system",
    "plot",
    "predict",
    "predict_afd",
    "predict_ep",
    "procure",
    "provision",
    "read_answer",
    "report",
    "roofline",
    "sensitivity",
    "show_hardware",
    "show_models",
    "simulate",
    "simulate_series",
    "sweep",
    "validate",
    "validate_hardware",
    "validate_models",
    "what_if",
]

_HOMES = {
    "read_answer": "roofline_afd.analysis.answer",
    "compare": "roofline_afd.api",
    "deploy": "roofline_afd.api",
    "deploy_answer": "roofline_afd.api",
    "explore": "roofline_afd.api",
    "imbalance": "roofline_afd.api",
    "load": "roofline_afd.api",
    "predict": "roofline_afd.api",
    "predict_afd": "roofline_afd.api",
    "predict_ep": "roofline_afd.api",
    "procure": "roofline_afd.api",
    "provision": "roofline_afd.api",
    "report": "roofline_afd.api",
    "roofline": "roofline_afd.api",
    "sensitivity": "roofline_afd.api",
    "simulate": "roofline_afd.api",
    "simulate_series": "roofline_afd.api",
    "sweep": "roofline_afd.api",
    "what_if": "roofline_afd.api",
    "load_calibration": "roofline_afd.catalogue.calibration",
    "load_engine": "roofline_afd.catalogue.engines",
    "load_system": "roofline_afd.catalogue.hardware",
    "load_library": "roofline_afd.catalogue.libraries",
    "load_model": "roofline_afd.catalogue.models",
    "Catalogue": "roofline_afd.catalogue.store",
    "InfeasibleError": "roofline_afd.errors",
    "InputError": "roofline_afd.errors",
    "RooflineAfdError": "roofline_afd.errors",
    "calibrate": "roofline_afd.records",
    "explain": "roofline_afd.records",
    "import_model": "roofline_afd.records",
    "list_hardware": "roofline_afd.records",
    "list_models": "roofline_afd.records",
    "show_hardware": "roofline_afd.records",
    "show_models": "roofline_afd.records",
    "validate": "roofline_afd.records",
    "validate_hardware": "roofline_afd.records",
    "validate_models": "roofline_afd.records",
    "Scenario": "roofline_afd.serving.scenario",
}


def __getattr__(name: str) -> object:
    """Import a name when it is first used, so that `--help` and small scripts stay quick."""
    from importlib import import_module

    if name == "plot":
        return import_module("roofline_afd.plot")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List what there is to import, used or not yet: what a shell completes."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
