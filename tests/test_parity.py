"""The command line and Python ask the same: a function for every command, an argument for every option."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import roofline_afd as api
from roofline_afd import InfeasibleError, InputError, Scenario, load_model, load_system, plot
from roofline_afd.cli.app import shelf
from tests.conftest import command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SHARED = {
    *(
        "format",
        "output",
        "force",
        "folder",
        "where",
        "save_answer",
        "series",
        "columns",
        "all_columns",
        "why",
        "frontier",
    ),  # output
    *("hardware_db", "model_db", "scenario", "set", "change"),  # what a catalogue and a scenario hold
    *("system", "model", "systems", "models"),  # what a scenario is about
}
"""Options of the command line that say where from and where to, not what: Python has objects for them."""
NAMED = {
    "models import": "import_model",
    "hardware list": "list_hardware",
    "hardware show": "show_hardware",
    "hardware validate": "validate_hardware",
    "models list": "list_models",
    "models show": "show_models",
    "models validate": "validate_models",
}
RENAMED = {"id_": "model_id"}
FIELDS = {field.name for field in attrs.fields(Scenario)}


def _commands(group: Mapping[str, Any], *before: str) -> Iterator[tuple[str, Any]]:
    for name, built in ((name, group[name]) for name in group):
        if hasattr(built, "commands"):
            yield from _commands(built.commands, *before, name)
        else:
            yield " ".join((*before, name)), built


COMMANDS = dict(_commands(shelf))


def _function(name: str) -> Callable[..., object]:
    group, _, kind = name.rpartition(" ")
    function = NAMED.get(name, kind.replace("-", "_"))
    found: Callable[..., object] = getattr(plot if group == "plot" else api, function)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_function_with_its_options(name: str) -> None:
    parameters = inspect.signature(_function(name)).parameters
    assert all(each.kind is not each.VAR_KEYWORD for each in parameters.values())
    options = {RENAMED.get(each.name, each.name) for each in COMMANDS[name].params}
    if "least" in parameters:  # each --min-KEY
        options -= {each.name for each in COMMANDS[name].params if each.opts[0].startswith("--min-")}
    if name.startswith("plot "):
        options -= {"answer"}  # what was kept, to draw again
    assert options - FIELDS - SHARED <= set(parameters)


def test_every_picture_is_offered() -> None:
    pictures = {name.partition(" ")[2].replace("-", "_") for name in COMMANDS if name.startswith("plot ")}
    assert pictures == set(plot.__all__)


def test_everything_offered_has_a_text() -> None:
    for name in api.__all__:
        if name not in {"__version__", "plot"}:
            assert inspect.getdoc(getattr(api, name)), name


def test_completion_sees_names_before_they_are_used() -> None:
    script = "import roofline_afd; print(*dir(roofline_afd))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(api.__all__) <= set(done.stdout.split())


def test_equal_scenarios_are_one_key() -> None:
    made = [Scenario(system="h800", model="deepseek-v3", tpot_ms=number) for number in (50, 50.0, 60)]
    assert made[0] == made[1]
    assert len(set(made)) == 2
    fast = [load_system("h800", overrides={"fp8_tflops": value}) for value in (4500, 4500.0, 4000)]
    assert hash(fast[0]) == hash(fast[1]) != hash(fast[2])
    assert len({Scenario(system=system, model="step-3") for system in fast}) == 2


def test_scenarios_are_small_on_the_way_to_another_process() -> None:
    system = load_system("h800", overrides={"fp8_tflops": 4500})
    model = load_model("deepseek-v3", overrides={"top_k": 4})
    for scenario in (
        Scenario(system="h800", model="deepseek-v3"),
        Scenario(system=system, model=model, attention_system="h20", engine="vllm"),
    ):
        sent = pickle.dumps(scenario)
        again = pickle.loads(sent)  # noqa: S301 - our own
        assert len(sent) < 10_000
        assert again == scenario
        assert hash(again) == hash(scenario)
        assert again.system.parts.catalogue.record("accelerator", "h800") is not None


def test_a_system_made_otherwise_is_sent_whole() -> None:
    odd = dataclasses.replace(load_system("h800"), name="mine")
    assert pickle.loads(pickle.dumps(odd)) == odd  # noqa: S301 - our own


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: Scenario(system="h800", model="step-3", tpot_ms=-1), "tpot_ms -1 must be above 0"),
        (lambda: Scenario(system="h800", model="step-3", accept_length=2, draft_tokens=0), "accept_length 2"),
        (lambda: load_system("h800", overrides={"tflops": 1}), "unknown system key 'tflops'"),
        (lambda: load_system("groq-lpu"), "overrides={KEY: VALUE}"),
        (lambda: api.list_hardware(network="x"), "network 'x' is not valid"),
        (lambda: api.explore(Scenario(system="h800", model="step-3"), isl=1, osl=0), "osl 0 must be a whole"),
        (lambda: plot.pareto_panels([], ("chat",)), "scenarios is empty"),
    ],
)
def test_errors_name_arguments_in_python(ask: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError) as error:
        ask()
    assert says in str(error.value)
    assert "--" not in str(error.value)


def test_a_no_names_arguments_in_python_and_options_on_the_command_line() -> None:
    with pytest.raises(InfeasibleError, match=r"the least is \S+ ms per token \(tpot_ms\)"):
        api.compare(Scenario(system="h800", model="step-3", tpot_ms=0.1, max_devices=16))
    asked = ("--system", "h800", "--model", "step-3", "--tpot-ms", ".1", "--max-devices", "16")
    assert "(--tpot-ms)" in command("compare", *asked).complaint
