"""What a launch comes to: files, the flags in them, and what they leave out."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.deploy.pools import DECODE, PREFILL, SERVE

if TYPE_CHECKING:
    from roofline_afd.analysis.deploy.launch.texts import Flags
    from roofline_afd.analysis.deploy.pools import Pool, Service
    from roofline_afd.analysis.deploy.targets import Target

WHAT = {SERVE: "prefill and decode", PREFILL: "prefill", DECODE: "decode"}
WIDTH = 98
"""Characters of a line of comment."""


@dataclasses.dataclass
class Launched:
    """Files by name, their settings, and what cannot be said in them or is left to whoever launches."""

    target: Target
    title: str
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    settings: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    unexpressed: list[str] = dataclasses.field(default_factory=list)
    left_to_you: list[str] = dataclasses.field(default_factory=list)

    def file(self, name: str, text: str, *flags: Flags) -> None:
        """Keep a file, and the settings in it."""
        self.files[name] = text
        for each in flags:
            self.settings += [
                {"file": name, **setting._asdict()} for setting in (*each.environment, *each.settings)
            ]

    def cannot(self, what: str) -> None:
        """Keep what the software has no flag for."""
        if what not in self.unexpressed:
            self.unexpressed.append(what)

    def no_rhythm(self, pool: Pool) -> None:
        """Keep that prompts cannot be told to wait for each other, where they do in the prediction."""
        if pool.every > 1 and pool.groups > 1:
            self.cannot(
                f"prompts in every {pool.every}th step alone: groups of {self.target.name} take theirs as "
                "they come, and tokens of the others wait more often than predicted"
            )

    def no_drafts(self, service: Service, name: str) -> None:
        """Keep that a model brings no layers that draft tokens, and where another is named."""
        tokens = "a drafted token" if service.drafted == 1 else f"{service.drafted} drafted tokens"
        self.cannot(f"{tokens}: {service.scenario.model.id} has no layers that draft; name a model in {name}")

    def left(self, what: str, why: str) -> None:
        """Keep what the question does not tell, and whoever launches must."""
        said = f"{what}: {why}"
        if said not in self.left_to_you:
            self.left_to_you.append(said)

    def above(self, pool: Pool, *more: str) -> list[str]:
        """Return the lines at the head of a file of a pool."""
        sides = (
            f"{pool.attention_devices} attention and {pool.ffn_devices} FFN devices"
            if pool.ffn_devices
            else f"{pool.devices} devices"
        )
        times = f"{pool.replicas} times " if pool.replicas > 1 else ""
        return self.head(f"Launch {times}on {sides} of {pool.system.id}: {WHAT[pool.role]}.", *more)

    def head(self, *more: str) -> list[str]:
        """Return the lines at the head of a file: what is launched, whose flags these are, and more."""
        said = (
            self.title,
            f"Flags as documented for {self.target.name}, {self.target.version}: {self.target.source}.",
            *more,
        )
        return [line for each in said for line in _wrapped(each)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def on_nodes(first: int, last: int) -> str:
    """Return which nodes a script runs on, those counted from 0."""
    if first == last:
        return f"Runs on node {first}."
    return f"Runs on each of the nodes {first} to {last}."
