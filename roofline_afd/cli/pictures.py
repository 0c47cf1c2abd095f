"""Answers drawn: kept in a file, taken from it, and handed to the chart of their kind."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from roofline_afd.analysis.answer import Answer, read_answer
from roofline_afd.analysis.files import file_text
from roofline_afd.analysis.kept import taken_from
from roofline_afd.cli import progress
from roofline_afd.cli.options import Picture
from roofline_afd.documents import json_of, utf8
from roofline_afd.errors import InputError, shown_path
from roofline_afd.view.pages import deliver_chart
from roofline_afd.view.tables import write_file

MOST_BYTES = 200_000_000


def keep(answers: Answer | list[Answer], picture: Picture) -> None:
    """Write what is drawn to the file of `--save-answer`, where there is one.

    Parameters
    ----------
    answers : Answer or list of Answer
        What is drawn.
    picture : Picture
        Where it goes.
    """
    if picture.save_answer is None:
        return
    text = (
        json.dumps([each.document(picture=True) for each in answers], allow_nan=False, ensure_ascii=False)
        if isinstance(answers, list)
        else answers.json(picture=True)
    )
    write_file(picture.save_answer, utf8(text), force=picture.force, option="--save-answer")


def kept(file: Path, kind: str, of: str) -> Answer | list[Answer]:
    """Return the answer, or the answers, that a file keeps for a kind of picture.

    Parameters
    ----------
    file : Path
        What `--save-answer` wrote.
    kind : str
        Kind of picture.
    of : str
        Command whose answers it draws.

    Returns
    -------
    Answer or list of Answer
        What is drawn.

    Raises
    ------
    InputError
        If the file holds no answer, that of another command, or one without its picture.
    """
    name = f"--from {shown_path(file)}"
    text = file_text(file, most=MOST_BYTES)
    several = json_of(text, name=name) if text.lstrip().startswith("[") else None
    texts = [text] if several is None else [json.dumps(each) for each in several]
    answers = [read_answer(each, name=name) for each in texts]
    for answer in answers:
        if answer.command != of:
            raise InputError(f"{name} holds an answer of {answer.command}; plot {kind} draws those of {of}")
        if not answer.picture:
            raise InputError(f"{name} was not kept for a picture: write it with plot {kind} --save-answer")
    return answers[0] if several is None else answers


def deliver(answers: Answer | list[Answer], chart: str, picture: Picture) -> None:
    """Draw answers, and write the picture or print it.

    Parameters
    ----------
    answers : Answer or list of Answer
        What is drawn.
    chart : str
        What draws it: `module:function` in `roofline_afd.view.charts`.
    picture : Picture
        Where it goes.

    Raises
    ------
    InputError
        If an answer from a file lacks something that the picture needs.
    """
    module, _, function = chart.partition(":")
    draw = getattr(import_module(f"roofline_afd.view.charts.{module}"), function)
    with taken_from(picture.answer, what="the picture"):
        drawn: Any = draw(answers)
    progress.clear()
    deliver_chart(drawn, output=picture.output, force=picture.force)
