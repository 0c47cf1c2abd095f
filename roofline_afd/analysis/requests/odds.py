"""How sure it is which serving mode gives more: with AFD against without by the error of their ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.analysis.decode.rows import kind_shares
from roofline_afd.analysis.decode.verdict import Odds, Verdict, basis_of, odds_of
from roofline_afd.catalogue.calibration import ESTIMATED
from roofline_afd.catalogue.ratio_error import load_ratio_error
from roofline_afd.serving.deployment import AFD, EP, Deployments
from roofline_afd.serving.modes.question import AGG_AFD, PD_AFD
from roofline_afd.serving.sizes import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roofline_afd.serving.modes.question import Question

WITH_AFD = (AGG_AFD, PD_AFD)


class ModeOdds(NamedTuple):
    """How sure the order of serving modes is.

    `verdict` holds the best mode with AFD against the best without; `close` the modes that may as well be
    ahead of the best, each with the probability that they are: None where the median error of levels says so,
    because both modes have AFD, or neither.
    """

    ratio: float | None
    verdict: Verdict
    close: Mapping[str, float | None]

    def keys(self) -> dict[str, Any]:
        """Return what a summary tells of it."""
        return {"afd_over_ep": self.ratio, **self.verdict.keys(), "too_close_to": dict(self.close)}


def mode_odds(
    question: Question, best: Mapping[str, dict[str, Any] | None], *, key: str, level_error: float
) -> ModeOdds:
    """Return how sure the order of serving modes is.

    Parameters
    ----------
    question : Question
        What was asked.
    best : mapping
        By mode, its best deployment as a row; None where none is feasible.
    key : str
        Column by which the best is.
    level_error : float
        Median error of predicted levels, within which two modes that differ in nothing but pools are too
        close to call [1].

    Returns
    -------
    ModeOdds
        Of AFD against EP, and against the best of all.
    """
    rows = [row for row in best.values() if row]
    top = {apart: _best([row for row in rows if _with_afd(row) == apart], key) for apart in (False, True)}
    shares = {id(row): estimated_share(question, row) for row in rows}
    error = load_ratio_error(question.scenario.system.parts.catalogue)

    def odds(afd: Mapping[str, Any], ep: Mapping[str, Any]) -> Odds:
        share = max(shares[id(afd)], shares[id(ep)])
        return odds_of(error, ratio=float(afd[key]) / float(ep[key]), estimated_share=share)

    winner = _best(rows, key)
    close: dict[str, float | None] = {}
    for row in rows:
        if row is winner or winner is None:
            continue
        if _with_afd(row) == _with_afd(winner):
            if 1.0 - row[key] / winner[key] <= level_error:
                close[row["mode"]] = None
            continue
        ahead = odds(row, winner) if _with_afd(row) else odds(winner, row)
        if ahead.close:
            close[row["mode"]] = ahead.probability if _with_afd(row) else 1.0 - ahead.probability
    basis = basis_of(Deployments(question.scenario, EP))
    ep, afd = top[False], top[True]
    both = odds(afd, ep) if afd and ep else None
    share = max((shares[id(row)] for row in (ep, afd) if row), default=0.0)
    verdict = Verdict(both, both.probability if both else None, share, basis, None)
    return ModeOdds(both.ratio if both else None, verdict, close)


def close_words(odds: ModeOdds, names: Mapping[str, str], *, level_error: float) -> str:
    """Return which modes may as well be ahead of the best, in words; empty where none may."""
    likely = [
        f"{names[mode]} (ahead with probability {probability:.2f})"
        for mode, probability in odds.close.items()
        if probability is not None
    ]
    level = [names[mode] for mode, probability in odds.close.items() if probability is None]
    if level:
        likely.append(f"{' and '.join(level)} (within the {level_error:.1%} median error)")
    return f"too close to call against {' and '.join(likely)}" if likely else ""


def _with_afd(row: Mapping[str, Any]) -> bool:
    return row["mode"] in WITH_AFD


def _best(rows: list[dict[str, Any]], key: str) -> dict[str, Any] | None:
    return max(rows, key=lambda row: float(row[key])) if rows else None


def estimated_share(question: Question, row: Mapping[str, Any]) -> float:
    """Return the share of a decode step that rests on efficiencies never measured [1]."""
    deployments = Deployments(question.scenario, AFD if _with_afd(row) else EP)
    held = {key: row[key] for key in Plan._fields if row.get(key) is not None}
    attention = row["n_attention_devices"] if _with_afd(row) else row["n_devices"]
    deployment = deployments.deployment_of(
        attention,
        row["n_ffn_devices"],
        batch=row["batch_per_group"],
        microbatches=row["microbatches"],
        plan=Plan(deployments.transport)._replace(**held),
    )
    return kind_shares(deployments, deployment).get(ESTIMATED, 0.0)
