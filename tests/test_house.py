"""The house is in order: data flows one way, docs say what the program does, notebooks hold no output."""

from __future__ import annotations

import ast
import functools
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import roofline_afd
from tests.conftest import ROOT

PACKAGE = ROOT / "roofline_afd"
BASE = {
    "docstrings",
    "documents",
    "errors",
    "nomenclature",
    "processes",
    "progress",
    "questions",
    "units",
    "version",
}
"""Files at the top that every room may use; they use each other and nothing else."""
ORDER = ["catalogue", "serving", "simulation", "analysis", "view", "reporting", "cli"]
"""Rooms from left to right; `physics` stands beside `serving` and uses nothing but itself."""
LAST = {"api", "plot", "records", "__init__", "__main__"}
LONGEST = 510
"""Lines of a file."""
WINGS = ["bounds", "decode", "requests", "purchase", "sweep", "evidence", "listing"]
"""Of `analysis`, each may use those before it."""


@functools.cache
def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@functools.cache
def _graph() -> dict[str, set[str]]:
    """Return what each file of the package imports of it: at the top, in functions, for types alone."""
    modules = {
        ".".join(("roofline_afd", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in PACKAGE.rglob("*.py")
    }
    found = {}
    for module, path in modules.items():
        imported = _imports(path) & modules.keys()
        parents = {name.rpartition(".")[0] for name in imported}  # `from package import file` names both
        found[module] = imported - (parents - {module}) - {module} | {
            name for name in imported & parents if modules[name].name != "__init__.py"
        }
    return found


def _rooms(path: Path) -> set[str]:
    found = [re.match(r"roofline_afd\.(\w+)", name) for name in _imports(path)]
    return {match[1] for match in found if match and match[1] in {*ORDER, "physics"}}


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """Return a circle of a graph; an empty list where it has none."""
    done: set[str] = set()

    def walk(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        for after in sorted(graph[node]):
            if found := walk(after, [*way, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := walk(node, []))), [])


def test_a_circle_is_found() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert not _circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_no_files_import_in_a_circle() -> None:
    """Not even for types alone."""
    assert not _circle(_graph())


@pytest.mark.parametrize("room", ORDER)
def test_nothing_imports_leftwards(room: str) -> None:
    later = {*ORDER[ORDER.index(room) + 1 :], *LAST}
    for module, imported in _graph().items():
        if module.split(".")[1:2] == [room]:
            assert not {name.split(".")[1] for name in imported if "." in name} & later, module


@pytest.mark.parametrize("wing", WINGS)
def test_no_wing_of_the_analyses_uses_a_later_one(wing: str) -> None:
    later = set(WINGS[WINGS.index(wing) + 1 :])
    for module, imported in _graph().items():
        if module.startswith(f"roofline_afd.analysis.{wing}."):
            wings = {name.split(".")[2] for name in imported if name.startswith("roofline_afd.analysis.")}
            assert not wings & later, module


def test_files_at_the_top_use_no_room() -> None:
    graph = _graph()
    assert {name.split(".")[1] for name in graph if name.count(".") == 1} == BASE | {
        *ORDER,
        "physics",
        *(LAST - {"__init__"}),
    }
    for name in BASE:
        assert {each.split(".")[1] for each in graph[f"roofline_afd.{name}"]} <= BASE


def test_views_only_draw() -> None:
    """A picture or a table is made of answers: it asks nothing itself."""
    for module, imported in _graph().items():
        if module.startswith("roofline_afd.view"):
            asked = {name for name in imported if name.startswith("roofline_afd.analysis")}
            assert asked <= {"roofline_afd.analysis.answer"}, module


def test_the_simulator_knows_no_answers() -> None:
    for module, imported in _graph().items():
        if module.startswith("roofline_afd.simulation"):
            rooms = {name.split(".")[1] for name in imported}
            assert rooms <= {"simulation", "physics", "serving", *BASE}, module


def test_no_file_is_too_long_to_read() -> None:
    """About 500 lines hold one subject; those of more are named, with why, in docs/architecture.md."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if len(path.read_text("utf-8").splitlines()) > LONGEST:
            assert f"`{name}`" in page, name


def test_physics_knows_nothing_but_numbers() -> None:
    for path in (PACKAGE / "physics").glob("*.py"):
        assert not _rooms(path) - {"physics"}, path
        outside = {name.partition(".")[0] for name in _imports(path)}
        assert outside <= {
            "__future__",
            "collections",
            "functools",
            "heapq",
            "itertools",
            "math",
            "numpy",
            "roofline_afd",
            "typing",
        }, path


def test_notebooks_hold_no_output() -> None:
    notebooks = list((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            assert not cell.get("outputs"), path
            assert cell.get("execution_count") is None, path


def test_python_api_is_complete_and_lazy() -> None:
    for name in roofline_afd.__all__:
        assert getattr(roofline_afd, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'rooflin'"):
        roofline_afd.rooflin  # noqa: B018


def test_version_is_in_the_changelog() -> None:
    assert f"## {roofline_afd.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"\nversion: {roofline_afd.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_forms_and_workflows_are_read() -> None:
    """Of issues and forks: YAML that says what it must."""
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert len(forms) >= 3
    for path in forms:
        assert {"name", "description", "body"} <= set(yaml.safe_load(path.read_text("utf-8"))), path.name
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8"))["jobs"]
    assert jobs["everything"]["steps"][-1]["run"] == ".ci/run"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["cff-version"] == "1.2.0"


def test_folders_of_make_test_fast_exist() -> None:
    fast = re.search(r"^FAST := ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert fast is not None
    for name in fast[1].replace("\\", " ").split():
        assert (ROOT / name).exists(), name


def test_make_and_ci_run_the_same_tests() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "make test" in (ROOT / "README.md").read_text("utf-8")
    assert "mkdocs build --strict" in (ROOT / "Makefile").read_text("utf-8")  # as tests/browser/test_site.py
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["pytest"]["ini_options"]["filterwarnings"] == ["error"]
