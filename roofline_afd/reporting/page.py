"""One self-contained page about a purchase: the answer, why, how sure, and what it rests on."""

from __future__ import annotations

import html
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.purchase.questions import HTML, PDF
from roofline_afd.documents import utf8
from roofline_afd.reporting.case import asked_for_pictures, case_of, moved_by, validated, verdict_on
from roofline_afd.reporting.choices import choices_of, grid_of
from roofline_afd.reporting.headline import about, answered, cards, doubt
from roofline_afd.reporting.paper import as_pdf, check_paper
from roofline_afd.reporting.sections import Findings, sections_of
from roofline_afd.reporting.side_by_side import Ahead, side_by_side
from roofline_afd.serving.checks import choice
from roofline_afd.version import __version__
from roofline_afd.view.pages import check_drawing, script_bundle, script_literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.analysis.answer import Answer
    from roofline_afd.analysis.purchase.questions import Report
    from roofline_afd.reporting.case import Case

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="roofline-afd {version}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1>
{answer}{doubt}
<p class="faint">{about}</p>
<nav aria-label="Sections">{contents}</nav></header>
<main>
{body}
</main>
<script>{bundle}</script>
<script>
{script}
showChoices({choices});
showSliders({sliders}, () => document.body.setAttribute("data-drawn", "yes"));
</script>
</body>
</html>
"""


SCRIPTS = ("choices.js", "sliders.js")
"""What the page does by itself."""


def report(question: Report) -> bytes:
    """Return a self-contained html page about which system to buy for a model and a demand, and why.

    Parameters
    ----------
    question : Report
        Candidates, demand, a buyer's assumptions, and what the page is called.

    Returns
    -------
    bytes
        The page, which needs no network; or the same as pdf.

    Raises
    ------
    InputError
        If the question contradicts itself.
    InfeasibleError
        If no candidate serves the demand.
    """
    check_drawing("report")
    if choice("form", question.form, (HTML, PDF)) == PDF:
        check_paper()
    with Ahead(script_bundle) as scripts:
        case = case_of(question)
        found = _found(case)
        bundle = scripts.result()
    sections = sections_of(case, found, question.command)
    own = files(__package__)
    body = "\n".join(
        f'<section id="{key}"><h2>{html.escape(heading)}</h2>{text}</section>'
        for key, heading, text in sections
    )
    asked = f"{case.bought.inputs['demand_tokens_per_s']:,.0f} tokens/s"
    if case.requests is not None:
        asked = f"{case.requests.requests_per_s:,.4g} requests/s"
    page = PAGE.format(
        version=__version__,
        title=html.escape(question.title or f"{case.chosen.model.name}: which system for {asked}"),
        style=own.joinpath("report.css").read_text("utf-8"),
        answer=answered(case),
        doubt=doubt(case, found.moved, found.verdict),
        about=html.escape(about(case)),
        contents="".join(f'<a href="#{key}">{html.escape(heading)}</a>' for key, heading, _ in sections),
        body=cards(case, found.moved, found.verdict) + body,
        bundle=bundle,
        script="".join(own.joinpath(name).read_text("utf-8") for name in SCRIPTS),
        choices=script_literal(found.choices),
        sliders=script_literal(found.sliders),
    )
    return as_pdf(utf8(page)) if question.form == PDF else utf8(page)


def _found(case: Case) -> Findings:
    """Ask and draw all that the page shows, side by side, the longest first."""
    from roofline_afd.reporting.pictures import drawn, picture_of  # takes its time: see `Ahead`
    from roofline_afd.reporting.sliders import slider_specification, still

    def moved() -> tuple[Answer, str]:
        answer = moved_by(case)
        return answer, drawn("tornado", lambda: answer)

    asked = asked_for_pictures(case)
    grids = (
        {}
        if case.requests
        else {f"grid {each}": partial(grid_of, one) for each, one in enumerate(case.scenarios)}
    )
    tasks: dict[str, Callable[[], Any]] = {
        "moved": moved,
        **grids,
        **{name: partial(drawn, name, ask) for name, ask in asked.items()},
        "verdict": partial(verdict_on, case),
        "validation": partial(validated, case),
    }
    sliders = slider_specification([case.chosen, *case.scenarios])
    tasks["still"] = (lambda: picture_of(still(sliders))) if sliders else str
    made = side_by_side(tasks)
    answer, tornado = made["moved"]
    verdict, levers = made["verdict"]
    return Findings(
        moved=answer,
        verdict=verdict,
        levers=levers,
        validation=made["validation"],
        pictures={"tornado": tornado, **{name: made[name] for name in asked}},
        sliders=sliders,
        still=made["still"],
        choices=choices_of(case, [made[name] for name in grids]),
    )
