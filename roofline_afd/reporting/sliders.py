"""The roofline of the FFN stage with sliders: a closed form that a page computes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from roofline_afd.errors import InputError
from roofline_afd.physics import roofline as stage
from roofline_afd.reporting.names import names_of
from roofline_afd.serving.ffn_stage import ffn_stage_inputs
from roofline_afd.view.charts.style import SERIES, house_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from roofline_afd.catalogue.hardware import Interconnect
    from roofline_afd.serving.ffn_stage import FfnStageInputs
    from roofline_afd.serving.scenario import Scenario

MOST_NODES = 40
"""FFN nodes up to which the roofline is drawn."""
STILL_WIDTH = 760
"""Pixels across of the picture that nothing moves."""
SHARES, TIMES = (0.2, 1.0, 0.01), (0.25, 4.0, 0.05)
"""Low, high and step of a slider of shares, and of multiples."""
COLORS = tuple(look.color for look in SERIES)
DASHES = tuple(look.dash for look in SERIES)


def slider_specification(scenarios: Sequence[Scenario]) -> dict[str, Any] | None:
    """Return the roofline of the FFN stage with sliders, its closed form computed in the page.

    Parameters
    ----------
    scenarios : sequence of Scenario
        One question per candidate; the links of the first set where the sliders of efficiency begin.

    Returns
    -------
    dict or None
        Vega-Lite: a curve per FFN system. Where the sliders begin, HFU is that of the roofline as long as
        it reads its experts in time (`physics.roofline.closed_form_utilization`); None where no system
        reaches a second node.
    """
    stages: dict[str, FfnStageInputs] = {}
    for scenario in scenarios:
        try:
            inputs = ffn_stage_inputs(of_ffn_side(scenario))
        except InputError:  # it reaches no second node
            continue
        stages.setdefault(inputs.scenario.system.id, inputs)
    if not stages:
        return None
    first, *_ = stages.values()
    up_efficiency = _efficiency(first.scenario.system.scale_up, first.scale_up)
    tiered = [inputs for inputs in stages.values() if not inputs.superpod]
    params: list[dict[str, Any]] = []
    up = f"(up_efficiency / {up_efficiency!r} * up_times)"
    out = up
    if tiered:
        out_efficiency = _efficiency(tiered[0].scenario.system.scale_out, tiered[0].scale_out)
        out = f"(datum.tiers * out_efficiency / {out_efficiency!r} * out_times + (1 - datum.tiers) * {up})"
        params += [
            _slider("out_efficiency", "Scale-out links: share of their rate reached", out_efficiency, SHARES),
            _slider("out_times", "Scale-out links: rate, times that of today", 1.0, TIMES),
        ]
    params += [
        _slider("up_efficiency", "Scale-up links: share of their rate reached", up_efficiency, SHARES),
        _slider("up_times", "Scale-up links: rate, times that of today", 1.0, TIMES),
    ]
    names = names_of([inputs.scenario for inputs in stages.values()])
    nodes = np.arange(1, MOST_NODES + 1)
    rows = [
        {"system": name, "name": names[name], "tiers": 0 if inputs.superpod else 1, **row}
        for name, inputs in stages.items()
        for row in _reached(inputs, nodes)
    ]
    x = {
        "field": "ffn_nodes",
        "type": "quantitative",
        "title": "FFN nodes [1]",
        "scale": {"domain": [1, MOST_NODES], "nice": False},
    }
    y = {
        "field": "hfu",
        "type": "quantitative",
        "title": "HFU: share of peak operations",
        "scale": {"domain": [0, 1]},
        "axis": {"format": "%"},
    }
    told = [names[name] for name in stages]
    legend = {
        "orient": "top",
        "title": None,
        "symbolType": "stroke",
        "symbolSize": 300,
        "symbolStrokeWidth": 2.5,
        "columns": 2,
        "labelLimit": 260,
    }
    of_system = {
        "field": "name",
        "type": "nominal",
        "sort": told,
        "scale": {"domain": told, "range": COLORS[: len(told)]},
        "legend": legend,
    }
    dashes = {**of_system, "scale": {"domain": told, "range": DASHES[: len(told)]}}
    tooltip = [
        {"field": "name", "type": "nominal", "title": "system"},
        {"field": "ffn_nodes", "type": "quantitative", "title": "FFN nodes"},
        {"field": "hfu", "type": "quantitative", "title": "HFU", "format": ".1%"},
    ]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "background": "transparent",
        "width": "container",
        "autosize": {"type": "fit", "contains": "padding"},
        "height": 320,
        "params": params,
        "data": {"values": rows},
        "transform": [
            {
                "calculate": f"min(1, min({up} * datum.up, {out} * datum.out))",
                "as": "hfu",
            }
        ],
        "layer": [
            {
                "mark": {"type": "line", "strokeWidth": 2.5},
                "encoding": {"x": x, "y": y, "color": of_system, "strokeDash": dashes},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 30, "opacity": 1},
                "encoding": {"x": x, "y": y, "color": of_system, "tooltip": tooltip},
            },
        ],
        "config": house_config().to_dict(),
    }


def still(specification: Mapping[str, Any]) -> dict[str, Any]:
    """Return the roofline where the sliders begin, for paper and for pages without JavaScript.

    Parameters
    ----------
    specification : mapping
        Of `slider_specification`.

    Returns
    -------
    dict
        Vega-Lite without anything to move.
    """
    params = [{key: each[key] for key in ("name", "value")} for each in specification["params"]]
    return {**specification, "params": params, "width": STILL_WIDTH}


def of_ffn_side(scenario: Scenario) -> Scenario:
    """Return a question with one system for both sides, that of the FFN side."""
    return attrs.evolve(scenario, system=scenario.side("ffn"), attention_system=None, ffn_system=None)


def _reached(inputs: FfnStageInputs, nodes: NDArray[np.int_]) -> list[dict[str, Any]]:
    """Return HFU that scale-up alone and scale-out alone would grant, at some counts of FFN nodes."""
    told = inputs.arguments(nodes)
    share = stage.sender_share(
        attention_devices=inputs.attention_devices, ffn_devices=1.0 * nodes * inputs.devices_per_node
    )
    out = inputs.scale_up if inputs.superpod else inputs.scale_out * told["experts_per_copy"]
    needed = inputs.compute_bound_bandwidth
    grants = np.broadcast_to(np.multiply(out, share) / needed, nodes.shape)
    return [
        {"ffn_nodes": count, "up": inputs.scale_up / needed, "out": grant}
        for count, grant in zip(nodes.tolist(), grants.tolist(), strict=True)
    ]


def _efficiency(fabric: Interconnect | None, effective: float) -> float:
    """Return the share of a link's rate that is counted on."""
    return effective / fabric.bytes_per_s if fabric else 1.0


def _slider(name: str, label: str, value: float, bounds: tuple[float, float, float]) -> dict[str, Any]:
    """Return a parameter that a range input binds: from low to high in steps."""
    low, high, step = bounds
    bind = {"input": "range", "min": low, "max": high, "step": step, "name": label}
    return {"name": name, "value": value, "bind": bind}
