"""The demand: output tokens a second wanted, from a number, from users, or from a trace."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import attrs
import numpy as np

from roofline_afd.analysis.requests.traces import arrival_rate, read_trace
from roofline_afd.errors import InputError
from roofline_afd.physics.slots import stationary_load
from roofline_afd.serving.checks import belongs, finite, whole
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roofline_afd.analysis.purchase.questions import DecodePurchase

MOST_TOKENS_PER_S = 1e12


class Demand(NamedTuple):
    """What a fleet is built for."""

    tokens_per_s: float
    users: int | None
    """Users served at once; any number where None."""
    output_tokens: float | None
    """Mean output of a request; None where nothing says [tokens]."""
    source: str
    """How that came about."""

    def times(self, factor: float) -> Demand:
        """Return a demand that is so many times as large."""
        users = None if self.users is None else math.ceil(self.users * factor)
        return self._replace(tokens_per_s=self.tokens_per_s * factor, users=users)


def demand_of(question: DecodePurchase) -> tuple[Sequence[Scenario], Demand]:
    """Return the questions about candidates with what the demand sets, and the demand.

    Parameters
    ----------
    question : DecodePurchase
        Candidates, and the demand in one of three ways.

    Returns
    -------
    tuple
        The questions, and what a fleet is built for.

    Raises
    ------
    InputError
        If the demand is not given in one way, or a value is out of bounds.
    """
    scenarios, demand = question.scenarios, question.demand
    users, speed = question.users, question.user_tokens_per_s
    trace, scale = question.trace, question.trace_scale
    ways = [demand is not None, users is not None or speed is not None, trace is not None]
    if sum(ways) != 1:
        raise InputError("a demand is one of --demand, --users with --user-tokens-per-s, or --trace")
    if trace is None:
        columns = ("prompt_column", "decode_column", "time_column")
        belongs(question, ("trace_scale", *columns), "--trace")
    if demand is not None:
        tokens = finite("--demand", demand, above=0, below=MOST_TOKENS_PER_S)
        return scenarios, Demand(tokens, None, None, "")
    if trace is not None:
        factor = 1.0 if scale is None else finite("--trace-scale", scale, above=0)
        if any(each.context != attrs.fields(Scenario).context.default for each in scenarios):
            raise InputError("--trace gives the context: leave out --context")
        requests = read_trace(
            trace, prompt_column=question.prompt_column, decode_column=question.decode_column
        )
        output = float(np.mean(requests.decode_tokens))
        load = stationary_load(prompt=requests.prompt_tokens, decode=requests.decode_tokens)
        context = max(round(load.theta), 1)
        per_second = (
            arrival_rate(trace, time_column=question.time_column)
            * requests.requests
            / (requests.requests + requests.without_output)
        )
        wanted = per_second * output * factor
        source = (
            f": {per_second * factor:.4g} requests a second of {output:,.0f} ({requests.name}), "
            f"context {context:,}" + (f"; {requests.note}" if requests.note else "")
        )
        return [attrs.evolve(each, context=context) for each in scenarios], Demand(
            wanted, None, output, source
        )
    if users is None or speed is None:
        raise InputError("--users and --user-tokens-per-s belong together")
    whole("--users", users, most=10**9)
    finite("--user-tokens-per-s", speed, above=0, below=1e6)
    tpot = 1e3 / speed
    limited = [
        attrs.evolve(each, tpot_ms=tpot if each.tpot_ms is None else min(tpot, each.tpot_ms))
        for each in scenarios
    ]
    source = f": {users:,} users at once, {speed:g} each, TPOT at most {tpot:.4g} ms"
    return limited, Demand(users * speed, users, None, source)
