"""What a chart draws: its layers with their data, its headline, and the same from an answer that was kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.answer import Answer, read_answer
from tests.conftest import command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def layers_of(chart: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any altair chart
    """Return the layers of a chart, with their data in place."""
    return layers_in(chart.to_dict(validate=False))


def layers_in(specification: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the layers of a specification, with their data in place."""
    for layer in specification["layer"]:
        if "name" in layer.get("data", {}):
            layer["data"] = {"values": specification["datasets"][layer["data"]["name"]]}
    found: list[dict[str, Any]] = specification["layer"]
    return found


def lines_of(chart: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return the layers of a chart that are lines."""
    return [layer for layer in layers_of(chart) if layer["mark"]["type"] == "line"]


def rows_of(layer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a layer draws."""
    found: list[dict[str, Any]] = layer["data"]["values"]
    return found


def title_of(chart: Any) -> str:  # noqa: ANN401
    """Return the headline of a chart and what stands below it."""
    parts = chart.to_dict(validate=False)["title"]
    return " ".join([*parts["text"], *parts["subtitle"]])


def said_of(chart: Any) -> str:  # noqa: ANN401
    """Return all that is said of a chart to those who do not see it."""
    said: str = chart.to_dict(validate=False)["description"]
    return said


def draws_the_same_when_kept(chart: Callable[[Answer], Any], answer: Answer) -> None:
    """Hold a chart of an answer against that of the same answer, written and read back, and to its schema."""
    back = read_answer(answer.json(picture=True), name="a file")
    assert chart(back).to_dict() == chart(answer).to_dict(validate=False)


def is_drawn_from_its_file(kind: str, *question: str, folder: Path) -> None:
    """Hold a picture of a kept answer against the picture that was drawn when it was asked.

    An answer of another command, or one that was not kept for a picture, is refused in a line.
    """
    kept, first, second, other = (folder / name for name in ("kept.json", "a.json", "b.json", "other.json"))
    asked = command("plot", kind, *question, "--save-answer", str(kept), "--output", str(first))
    assert asked.status == 0, asked.err
    again = command("plot", kind, "--from", str(kept), "--output", str(second))
    assert again.status == 0, again.err
    assert second.read_bytes() == first.read_bytes()
    of = read_answer(kept.read_text("utf-8"), name=kept.name).command
    assert command("explain", "hfu", "--output", str(other)).status == 0
    refused = command("plot", kind, "--from", str(other))
    assert (refused.status, refused.out) == (2, "")
    assert f"holds an answer of explain; plot {kind} draws those of {of}" in refused.complaint
