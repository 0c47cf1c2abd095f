"""Break-even values flip the winner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.decode.sides import rates
from roofline_afd.analysis.purchase.uncertainty import uncertain_inputs
from roofline_afd.analysis.purchase.variation import varied
from roofline_afd.serving.deployment import AFD, EP
from roofline_afd.serving.scenario import Scenario
from tests.analysis.purchase.conftest import CLOSE_CALL, singles_of

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer


def test_break_even_values_flip_the_winner(close_call: Answer) -> None:
    """Put in, each makes the other mode win; the nearest is the one the answer names."""
    scenario = Scenario(**CLOSE_CALL)
    inputs, _ = uncertain_inputs(scenario)
    found = {key: row for key, row in singles_of(close_call).items() if row["break_even"] is not None}
    assert len(found) > 5
    nearest = close_call.summary["nearest_break_even"]
    for key in {*list(found)[::3], nearest["input"]}:
        row = found[key]
        ep, afd = rates(varied(scenario, inputs, {key: row["break_even"]}))
        assert (AFD if afd > ep else EP) != close_call.summary["winner"], key
        item = next(each for each in inputs if each.key == key)
        assert item.least <= row["break_even"] <= item.most
        if row["changes_winner"]:
            assert item.low <= row["break_even"] <= item.high
    assert nearest["input"] in found
    assert f"{nearest['break_even']:.4g}" in close_call.summary["answer"]
    context = found.get("context")
    assert context is None or float(context["break_even"]).is_integer()
