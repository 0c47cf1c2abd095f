"""Candidates of a purchase: systems by themselves, and pairs of one for attention and one for the FFN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.decode.notes import quantities_of
from roofline_afd.errors import InputError
from roofline_afd.serving.deployment import AFD, Deployments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.serving.scenario import Scenario


def candidate_name(scenario: Scenario) -> str:
    """Return what a candidate is called: its system, or attention+ffn.

    Parameters
    ----------
    scenario : Scenario
        The question about it.

    Returns
    -------
    str
        The `system` of its rows.
    """
    if is_pair(scenario):
        return f"{scenario.side('attention').id}+{scenario.side('ffn').id}"
    return scenario.side("attention").id


def is_pair(scenario: Scenario) -> bool:
    """Return whether a candidate is a pair of systems: one for attention, another for the FFN.

    Parameters
    ----------
    scenario : Scenario
        The question about it.

    Returns
    -------
    bool
        Whether its sides differ; a pair is a candidate for AFD alone.
    """
    return scenario.side("attention").id != scenario.side("ffn").id


def check_distinct(scenarios: Sequence[Scenario]) -> None:
    """Refuse candidates that rows could not tell apart.

    Parameters
    ----------
    scenarios : sequence of Scenario
        One question per candidate.

    Raises
    ------
    InputError
        If there is none, or two have one name.
    """
    if not scenarios:
        raise InputError("--systems is empty")
    seen = set()
    for name in map(candidate_name, scenarios):
        if name in seen:
            raise InputError(f"--systems names {name} twice")
        seen.add(name)


def records_of(scenarios: Sequence[Scenario]) -> dict[str, list[str]]:
    """Return the records that the predictions of each candidate rest on.

    Parameters
    ----------
    scenarios : sequence of Scenario
        One question per candidate.

    Returns
    -------
    dict
        Records by the name of the candidate, as `record` of the catalogue's values has them.
    """
    return {
        candidate_name(each): sorted({value.record for value in quantities_of(Deployments(each, AFD))})
        for each in scenarios
    }


def halves_note(scenarios: Sequence[Scenario]) -> list[str]:
    """Return which systems of pairs are no candidates by themselves.

    Parameters
    ----------
    scenarios : sequence of Scenario
        One question per candidate.

    Returns
    -------
    list of str
        A note that names them; none where all are.
    """
    alone = {scenario.side("ffn").id for scenario in scenarios if not is_pair(scenario)}
    halves = [
        scenario.side(side).id for scenario in scenarios if is_pair(scenario) for side in ("attention", "ffn")
    ]
    left = [name for name in dict.fromkeys(halves) if name not in alone]
    return [f"{' and '.join(left)} alone not compared: add to --systems"] if left else []
