"""The house is in order: data flows one way, docs say what the program does, notebooks hold no output."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

import roofline_afd
from tests.conftest import ROOT, command

ORDER = ["catalogue", "serving", "simulation", "analysis", "view", "reporting", "cli"]
PACKAGE = ROOT / "roofline_afd"


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def _rooms(path: Path) -> set[str]:
    found = [re.match(r"roofline_afd\.(\w+)", name) for name in _imports(path)]
    return {match[1] for match in found if match and match[1] in {*ORDER, "physics"}}


@pytest.mark.parametrize("room", ORDER)
def test_nothing_imports_leftwards(room: str) -> None:
    later = set(ORDER[ORDER.index(room) + 1 :])
    for path in (PACKAGE / room).rglob("*.py"):
        assert not _rooms(path) & later, path


def test_physics_knows_nothing_but_numbers() -> None:
    for path in (PACKAGE / "physics").glob("*.py"):
        assert not _rooms(path) - {"physics"}, path
        outside = {name.partition(".")[0] for name in _imports(path)}
        assert outside <= {
            "__future__",
            "collections",
            "itertools",
            "math",
            "numpy",
            "roofline_afd",
            "typing",
        }, path


def test_generated_docs_are_current() -> None:
    specification = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    stale = [
        path.name
        for path, text in module.pages().items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    assert not stale, f"run make docs: {stale}"


def test_notebooks_hold_no_output() -> None:
    notebooks = list((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path


def test_commands_in_the_readme_run(tmp_path: Path) -> None:
    """Every roofline-afd line of the README works as printed."""
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"```(?:console|sh)\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    commands = [
        shlex.split(line.removeprefix("$ "))
        for line in lines
        if "roofline-afd " in line and "pip " not in line
    ]
    assert len(commands) >= 4
    for words in commands:
        arguments = [
            str(tmp_path / word) if previous == "--output" else word
            for previous, word in zip(["", *words], words, strict=False)
        ]
        outcome = command(*arguments[1:])
        assert outcome.status == 0, (words, outcome.err)


def test_answers_in_the_readme_are_those_given() -> None:
    """A quoted sentence is what the first command above it answers."""
    text = (ROOT / "README.md").read_text("utf-8")
    quotes = list(re.finditer(r"(?:^> .*\n)+", text, flags=re.MULTILINE))
    assert len(quotes) >= 4
    for quote in quotes:
        *_, block = re.findall(r"```console\n(.*?)```", text[: quote.start()], flags=re.DOTALL)
        first = block.replace("\\\n", " ").splitlines()[0]
        outcome = command(*shlex.split(first)[2:], "--format", "json")
        summary = json.loads(outcome.out)["summary"]
        sentence = " ".join(line.removeprefix("> ") for line in quote.group().splitlines())
        assert sentence == (summary.get("reason") or summary["answer"])


def test_python_in_the_readme_runs() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 - our own page


def test_links_in_the_docs_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("*_db/README.md")]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_python_api_is_complete_and_lazy() -> None:
    for name in roofline_afd.__all__:
        assert getattr(roofline_afd, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'rooflin'"):
        roofline_afd.rooflin  # noqa: B018


def test_version_is_in_the_changelog() -> None:
    assert f"## {roofline_afd.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_make_and_ci_run_the_same_tests() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "make test" in (ROOT / "README.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["pytest"]["ini_options"]["filterwarnings"] == ["error"]
