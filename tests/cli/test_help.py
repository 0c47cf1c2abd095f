"""Help texts: groups, a line an option, true defaults, examples that run; words that `explain` knows."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

import roofline_afd.analysis
from roofline_afd.cli.app import shelf
from roofline_afd.cli.briefly import LONGEST, brief
from roofline_afd.cli.examples import EXAMPLES
from roofline_afd.cli.helping import PANELS
from roofline_afd.serving.scenario import Scenario
from roofline_afd.view.columns import COLUMNS
from tests.conftest import ask, command


def _commands(one: Any = shelf, name: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - of typer
    for key in one:
        built = one[key]
        path = f"{name} {key}".strip()
        inner = getattr(built, "commands", None)
        if inner is None:
            yield path, built
        else:
            yield from _commands(inner, path)


COMMANDS = dict(_commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_and_ends_in_examples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = command(*name.split(), "--help")
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 80
    groups = [line.removesuffix(":") for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert groups == [panel for panel in (*PANELS, "Examples") if panel in groups]
    assert groups[-1] == "Examples"
    for option in COMMANDS[name].params:
        said = brief(name, option.name, option.help or "")
        assert len(said) <= LONGEST, (option.name, said)
        assert not said.endswith(".")


def test_every_command_has_examples_that_its_options_allow() -> None:
    assert set(EXAMPLES) == set(COMMANDS)
    for name, examples in EXAMPLES.items():
        known = {flag for option in COMMANDS[name].params for flag in option.opts}
        known |= {"-s", "-m", "-o", "-f"}
        for example in examples:
            flags = [word.partition("=")[0] for word in shlex.split(example) if word.startswith("-")]
            assert set(flags) <= known, (name, example)


@pytest.mark.parametrize(
    "name",
    [
        "compare",
        "predict",
        "roofline",
        "imbalance",
        "hardware list",
        "hardware show",
        "models list",
        "explain",
    ],
)
def test_examples_run(name: str) -> None:
    for example in EXAMPLES[name]:
        options = shlex.split(example)
        quick = ("--max-devices", "32", "--tensor-parallel", "1") if name == "compare" else ()
        outcome = command(*name.split(), *options, *quick)
        assert outcome.status == 0, (example, outcome.err)


def test_the_example_of_launch_files_runs() -> None:
    outcome = command("deploy", *shlex.split(EXAMPLES["deploy"][0]), "--tensor-parallel", "1")
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("compare", "50"),
        ("roofline", "50"),
        ("explore", "no limit"),
        ("predict", "no limit"),
        ("load", "no limit"),
    ],
)
def test_help_states_the_latency_target_that_is_taken(name: str, default: str) -> None:
    assert re.search(rf"--tpot-ms MS .*\[{default}\]", command(name, "--help").out)


def test_the_latency_target_is_what_help_says() -> None:
    question = ("-s", "h800", "-m", "deepseek-v3", "--tensor-parallel", "1", "--devices", "16")
    free = ask("explore", *question, "--workload", "chat", "--modes", "agg")
    assert free["inputs"]["tpot_ms"] is None
    assert ask("compare", *question)["inputs"]["tpot_ms"] == 50


def test_the_program_lists_its_commands_in_order_of_use() -> None:
    text = command("--help").out
    assert "-V, --version" in text
    assert all(re.search(rf"^  {name.split()[0]} ", text, re.MULTILINE) for name in COMMANDS)


def _columns() -> set[str]:
    """Return every column that a table shows."""
    found = set(COLUMNS)
    for module in pkgutil.walk_packages(roofline_afd.analysis.__path__, "roofline_afd.analysis."):
        loaded = importlib.import_module(module.name)
        for name in ("TABLE_KEYS", "POINT_KEYS", "SHOWN", "PAIR_KEYS"):
            held = getattr(loaded, name, ())
            for keys in held.values() if isinstance(held, dict) else [held]:
                found |= set(keys) if isinstance(keys, tuple) else set()
    return {key for key in found if isinstance(key, str)}


def test_explain_knows_every_column_and_option() -> None:
    names = _columns() | {field.name for field in attrs.fields(Scenario)} - {"system", "model"}
    assert len(names) > 200
    unknown = [name for name in sorted(names) if command("explain", name, "-f", "json").status]
    assert not unknown


def test_explain_knows_the_words_of_the_field() -> None:
    for word in ("TPOT", "EP", "P/D", "superpod", "deployment", "expert-precision", "fp8_tflops"):
        assert ask("explain", word)["summary"]["answer"]


def test_an_unknown_word_names_its_neighbours() -> None:
    assert "did you mean 'tpot'" in command("explain", "tpott").complaint
    assert (
        "is no formula: ask without a system"
        in command("explain", "superpod", "-s", "h800", "-m", "deepseek-v3").complaint
    )
