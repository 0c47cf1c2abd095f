"""Help texts: options in groups, those of most questions first, a line each, and examples at the end."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from roofline_afd.cli.briefly import absent, brief
from roofline_afd.cli.examples import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

QUESTION, OUTPUT = "Question", "Output"
PANELS = {
    QUESTION: (
        *("system", "systems", "model", "models", "attention_system", "ffn_system", "change", "mode"),
        *("demand", "users", "tpot_ms", "ttft_ms", "context", "devices", "accept_length", "workload"),
    ),
    "Requests": (
        *("prefix", "isl", "osl", "trace", "prompt_column", "decode_column", "time_column", "trace_scale"),
        *("request_rate", "rates", "concurrency", "think_time_s", "user_tokens_per_s", "session"),
        *(
            "prefix_hit",
            "prefix_cache",
            "prefix_cache_gb",
            "prompt_variation",
            "output_variation",
            "arrivals",
        ),
        *("day", "ttft_p95_ms", "tpot_p95_ms", "prompt_mean", "prompt_distribution", "prompt_cv"),
        *("decode_mean", "decode_distribution", "decode_cv", "horizon", "replay", "shared_prefix"),
    ),
    "Deployment": (
        *("batch", "microbatches", "attention_devices", "ffn_devices", "tensor_parallel"),
        *("context_parallel", "expert_tensor_parallel", "attention_groups", "afd_cut", "shared_experts"),
        *("kernels", "engine", "gap_ms", "draft_tokens", "memory_reserve", "context_variation"),
        *("chunk_tokens", "prefill_system", "prefill_systems", "spares"),
    ),
    "Formats": (
        *("expert_precision", "attention_precision", "attention_core_precision", "kv_precision"),
        *("dispatch_precision", "combine_precision"),
    ),
    "Network": (
        *("links", "transport", "fan_out", "duplex", "domain_layout", "transfer_share", "kv_link"),
        *("kv_moved", "kv_overlap", "first_token"),
    ),
    "Load of experts": (
        *("routing", "expert_placement", "redundant_experts", "zipf", "expert_counts", "sigma_dp"),
        *("sigma_ep", "experts_per_ffn_device"),
    ),
    "Prices and power": (
        *("price_basis", "price_terms", "prices", "api_price", "years", "power_usd_per_kwh", "pue"),
        *("utilization", "cny_per_usd"),
    ),
    "Search": ("max_devices", "granularity", "deployable_with", "any_size", "modes", "per"),
    "Catalogue": ("set", "scenario", "hardware_db", "model_db"),
    OUTPUT: (
        *("format", "output", "force", "columns", "all_columns", "why", "frontier", "where", "folder"),
        *("save_answer", "answer", "series", "title"),
    ),
}
"""Groups of options in the order of help texts, and their fields likewise; others belong to the question."""
GROUP_OF = {name: (panel, place) for panel, names in PANELS.items() for place, name in enumerate(names)}
SHORT_FLAGS = {
    "system": "-s",
    "systems": "-s",
    "model": "-m",
    "models": "-m",
    "format": "-f",
    "output": "-o",
}
TOPICS = {
    "Decide": ("compare", "what-if", "sensitivity", "explore", "procure", "report"),
    "Look closer": ("predict", "roofline", "imbalance", "provision", "simulate", "load", "plot", "explain"),
    "Run it": ("deploy", "sweep"),
    "Check": ("validate", "calibrate", "hardware", "models"),
}
"""Commands of the program by what they are for."""
INDENT, LEFT = 2, 28
"""Columns before options, and columns that options take, before what they say."""
NARROWEST, WIDEST = 60, 100
BOLD, PLAIN = "\033[1m", "\033[0m"


def with_short_flags(parameters: list[Any]) -> list[Any]:
    """Give options that every question has their letter.

    Parameters
    ----------
    parameters : list of typer.core.TyperOption or TyperArgument
        Options of a command.

    Returns
    -------
    list of typer.core.TyperOption or TyperArgument
        The same.
    """
    for parameter in parameters:
        short = SHORT_FLAGS.get(parameter.name)
        if short and short not in parameter.opts and parameter.opts[0].startswith("--"):
            parameter.opts = [*parameter.opts, short]  # the long one is what messages name first
    return parameters


def help_of(path: str, text: str, parameters: Sequence[Any]) -> str:
    """Return the help of a command.

    Parameters
    ----------
    path : str
        Program and command, as it is called.
    text : str
        The question it answers.
    parameters : sequence of typer.core.TyperOption or TyperArgument
        Its options.

    Returns
    -------
    str
        Lines that fit the terminal.
    """
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    styled = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ
    command = path.partition(" ")[2]
    named = [each for each in parameters if each.param_type_name == "argument"]
    needed = [each for each in parameters if each.param_type_name == "option" and each.required]
    usage = [path, *map(_named, named)]
    usage += [f"{_flags(each)[-1]} {each.metavar}" for each in needed]
    lines = [*textwrap.wrap(f"Usage: {' '.join([*usage, '[OPTIONS]'])}", width, subsequent_indent=" " * 7)]
    lines += ["", *textwrap.wrap(text, width, break_on_hyphens=False)]
    groups: dict[str, list[tuple[int, Any]]] = {panel: [] for panel in PANELS}
    for order, each in enumerate(parameters):
        if getattr(each, "hidden", False) or each.name == "help":
            continue
        panel, place = GROUP_OF.get(each.name, (QUESTION, 100 + order))
        groups[panel].append((-1 if each in named or each.required else place, each))
    for panel, found in groups.items():
        if found:
            lines += ["", f"{BOLD}{panel}:{PLAIN}" if styled else f"{panel}:"]
            for _, each in sorted(found, key=lambda one: one[0]):
                lines += _option(command, each, width)
    if examples := EXAMPLES.get(command):
        lines += ["", f"{BOLD}Examples:{PLAIN}" if styled else "Examples:"]
        for example in examples:
            lines += _example(f"{path.split(maxsplit=1)[0]} {command} {example}".rstrip(), width)
    foot = "[In brackets: what holds where an option is absent. More of one: roofline-afd explain OPTION]"
    return "\n".join([*lines, "", *textwrap.wrap(foot, width), ""])


def group_help(path: str, text: str, parameters: Sequence[Any], commands: Mapping[str, str]) -> str:
    """Return the help of a group of commands.

    Parameters
    ----------
    path : str
        Program and group, as it is called.
    text : str
        What it is.
    parameters : sequence of typer.core.TyperOption
        Its options.
    commands : mapping of str to str
        Its commands, and the question that each answers.

    Returns
    -------
    str
        Lines that fit the terminal.
    """
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    column = INDENT + max(map(len, commands)) + INDENT
    said = textwrap.wrap(text, width, break_on_hyphens=False)
    lines = [f"Usage: {path} COMMAND [OPTIONS]", "", *said, "", "Options:"]
    for each in parameters:
        if not getattr(each, "hidden", False):
            lines += _option(path.partition(" ")[2], each, width)
    lines += ["", "Commands:"]
    topics = (
        TOPICS if set(commands) == {name for names in TOPICS.values() for name in names} else {"": commands}
    )
    for topic, names in topics.items():
        lines += [topic] if topic else []
        for name in names:
            lines += textwrap.wrap(
                _question(commands[name]),
                width,
                initial_indent=f"{' ' * INDENT}{name}".ljust(column),
                subsequent_indent=" " * column,
                break_on_hyphens=False,
            )
    return "\n".join([*lines, ""])


def _question(text: str) -> str:
    """Return the first sentence of a help text."""
    return re.split(r"(?<=[?.]) ", text, maxsplit=1)[0].removesuffix(".")


def _example(text: str, width: int) -> list[str]:
    """Return a command in lines that a shell takes as they are."""
    lines = textwrap.wrap(
        text,
        width - 2,
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]


def _value(option: Any) -> str:  # noqa: ANN401 - an option of typer
    """Return what stands for the value of an option."""
    return "N" if option.metavar == "NUMBER" else str(option.metavar or "TEXT")


def _named(argument: Any) -> str:  # noqa: ANN401 - an argument of typer
    """Return what stands for an argument."""
    return str(argument.metavar or argument.name.upper())


def _flags(option: Any) -> list[str]:  # noqa: ANN401 - an option of typer
    """Return the names of an option, letters first."""
    return sorted(option.opts, key=lambda name: (name.startswith("--"), option.opts.index(name)))


def _option(command: str, option: Any, width: int) -> list[str]:  # noqa: ANN401 - an option of typer
    """Return the lines about an option."""
    if option.param_type_name == "argument":
        left = _named(option)
    else:
        left = ", ".join(_flags(option))
        left += "" if option.is_flag else f" {_value(option)}"
    said = " ".join(_said(command, option))
    start = " " * INDENT + left
    column = INDENT + LEFT
    if len(start) > column - INDENT:
        rest = textwrap.wrap(said, width - column)
        return [start, *(" " * column + line for line in rest)]
    return textwrap.wrap(
        said,
        width,
        initial_indent=start.ljust(column),
        subsequent_indent=" " * column,
        break_on_hyphens=False,
    )


def _said(command: str, option: Any) -> Iterator[str]:  # noqa: ANN401 - an option of typer
    """Yield what an option does, and what holds without it."""
    value = option.default
    taken = absent(command, option.name)
    if value not in (None, False, (), []) and not callable(value):
        taken = f"{value:g}" if isinstance(value, float) else str(value)
    text = brief(command, option.name, option.help or "")
    said = re.search(r"[;,] (?:(?P<one>[^;]*) where absent|where absent (?P<other>[^;]*))$", text)
    yield text[: said.start()] if said else text
    taken = taken or (said and (said["one"] or said["other"]))
    if getattr(option, "multiple", False):
        yield "(repeatable)"
    if option.required and option.param_type_name == "option":
        yield "(required)"
    elif taken is not None:
        yield f"[{taken}]"
