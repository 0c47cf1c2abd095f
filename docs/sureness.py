"""A section of the page of validation: how sure a predicted ratio of AFD to EP is, and whether that holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def section(signs: Mapping[str, Any]) -> str:
    """Return the section.

    Parameters
    ----------
    signs : mapping
        `sign_test` of the summary of `validate`.

    Returns
    -------
    str
        Markdown; empty without a pair.
    """
    model = signs["ratio_model"]
    if model is None:
        return ""
    texts = [
        "\n## How sure is a ratio?\n",
        (
            "EP and AFD of a comparison run on the same kernels and links, so that their errors go together: "
            "the error of their ratio has a model of its own. The logarithm of predicted over measured "
            f"ratios is taken as Student's t with {model['degrees']} degrees of freedom, spread "
            f"{model['spread']:.3g} and bias {model['bias']:.3g} (the mean over sources is "
            f"{model['mean_log_error']:+.3g}; a bias is taken only where sources show one). Sources weigh "
            "alike: pairs that share a source or a baseline count as one. Of times that were never measured "
            f"{model['estimated_error']:.0%} is added in quadrature, by their share of a step.\n"
        ),
        _sources(model["sources"]),
    ]
    held = model["coverage"]
    if held is None:
        return "\n".join([*texts, "With one source none can be left out: coverage is not known.\n"])
    texts += [
        (
            f"Does the {held['wanted']:.0%} interval hold? Leaving out the source of a pair, and with the "
            f"spread of the others, it holds {held['covered']} of {held['pairs']} measured ratios: "
            f"{held['share']:.0%}, with a 95 % binomial interval of {held['low']:.0%} to {held['high']:.0%} "
            f"if pairs were independent, which they are not; of sources all pairs of "
            f"{held['sources_covered']} of {held['sources']} ({held['sources_low']:.0%} to "
            f"{held['sources_high']:.0%}). So few sources say little; the spread is not chosen to meet it.\n"
        ),
        _groups(held["by"]),
    ]
    return "\n".join(texts)


def _sources(sources: list[dict[str, Any]]) -> str:
    lines = ["| source | pairs | never measured, at most | root mean square log error |", "|---|---|---|---|"]
    lines += [
        f"| {', '.join(each['names'])} | {each['pairs']} | {each['estimated_share']:.0%} | "
        f"{each['rms_log_error']:.3f} |"
        for each in sources
    ]
    return "\n".join(lines) + "\n"


def _groups(groups: list[dict[str, Any]]) -> str:
    lines = [
        "| basis | system | engine of AFD | pairs | within | root mean square log error |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each['basis']} | {each['system']} | {each['engine'] or 'none named'} | {each['pairs']} | "
        f"{each['covered']} | {each['rms_log_error']:.3f} |"
        for each in groups
    ]
    return "\n".join(lines) + "\n"
