"""Checked reading of the fields of a `config.json`: every fault is collected, nothing unread passes."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, NoReturn

from roofline_afd.catalogue.huggingface.meaning import may_change
from roofline_afd.errors import InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_COUNT = 100_000_000
HINTS = 6
"""Unknown fields that a message names with what they may have meant."""


@dataclasses.dataclass(frozen=True, slots=True)
class Noted:
    """A number that does not stand in the file as such, with its kind of provenance."""

    value: int
    kind: str
    note: str


Table = dict[str, Any]
"""An attention table: type, numbers, flags."""
Tables = dict[str, Table]
"""Attention tables by the name of their kind of layers."""
Shape = dict[str, Any]
"""Record keys outside the attention tables."""


def refuse(fault: str) -> NoReturn:
    """Raise the one line that says what is wrong with a file."""
    raise InputError(f"config.json: {fault}")


def as_list(value: object) -> list[Any]:
    """Return a list as it is, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def names_of(data: Mapping[str, Any], inner: Mapping[str, Any]) -> list[str]:
    """Return what a file calls itself, type and architectures: the language model within it first."""
    return [
        name
        for holder in (inner, data)
        for name in (holder.get("model_type"), *as_list(holder.get("architectures")))
        if isinstance(name, str)
    ]


class Fields:
    """The fields of a configuration: what is read is checked and marked, what is wrong is collected."""

    def __init__(self, data: Mapping[str, Any], place: str = "") -> None:
        self.data = data
        self.place = place
        self.used: set[str] = set()
        self.faults: list[str] = []
        self.passed: list[str] = []
        """Fields that were passed over."""

    def fault(self, text: str) -> None:
        """Note a fault; reading goes on, so that all of them are reported at once."""
        self.faults.append(f"{self.place}{text}")

    def value(self, key: str) -> Any:  # noqa: ANN401
        """Return a field as it stands, None where it is missing."""
        self.used.add(key)
        return self.data.get(key)

    def number(
        self,
        key: str,
        *,
        missing: int | None = None,
        null: int | None = None,
        minimum: int = 1,
        maximum: int = MAX_COUNT,
        least: int = 1,
    ) -> int:
        """Return a whole number; `missing` stands for a field not there, `null` for one that is null.

        Where it is wrong, at least `least`, so that reading can go on.
        """
        value = self.value(key)
        if value is None:
            other = null if key in self.data else missing
            if other is not None:
                return other
            self.fault(f"missing {key}" if key not in self.data else f"{key} is null")
        elif isinstance(value, bool) or not isinstance(value, int):
            self.fault(f"{key}: {shown(value)} is not a whole number")
        elif not minimum <= value <= maximum:
            self.fault(f"{key}: {shown(value)} is not between {minimum} and {maximum:,}")
        else:
            return value
        return max(minimum, least)

    def changed(self, changes: Mapping[str, Any]) -> Fields:
        """Return the fields with some of them changed, as a part of the layers has them."""
        found = Fields({**self.data, **changes}, self.place)
        found.used, found.faults, found.passed = self.used, self.faults, self.passed
        return found

    def spelled(self, spelling: str) -> str:
        """Return which spelling a file has: of `a|b` those it has must agree, of `a>b` the first counts."""
        keys = re.split(r"[|>]", spelling)
        given = [key for key in keys if self.data.get(key) is not None]
        self.used.update(keys)
        if ">" not in spelling and len({str(self.data[key]) for key in given}) > 1:
            self.fault(
                " and ".join(f"{key} {shown(self.data[key])}" for key in given) + " contradict each other"
            )
        return next(iter(given), next((key for key in keys if key in self.data), keys[0]))

    def flag(self, key: str, *, absent: bool | None = None) -> bool:
        """Return a truth value; missing ones as in `number`."""
        value = self.value(key)
        if value is None and absent is not None:
            return absent
        if not isinstance(value, bool):
            self.fault(f"missing {key}" if value is None else f"{key}: {shown(value)} is not true or false")
            return False
        return value

    def expect(self, key: str, *valid: object) -> None:
        """Refuse a field whose value makes a shape that this family is not known to have."""
        value = self.value(key)
        if value is not None and not any(type(value) is type(one) and value == one for one in valid):
            self.fault(f"{key}: {shown(value)} is a shape not known of this family")

    def need(self, key: str, *valid: object) -> None:
        """Refuse as `expect` does, and a missing field too: other models of the family differ in it."""
        if self.data.get(key) is None:
            self.fault(f"missing {key}")
        self.expect(key, *valid)

    def table(self, key: str) -> Fields:
        """Return the fields of a nested object; faults land here."""
        value = self.value(key)
        if not isinstance(value, dict):
            self.fault(f"missing {key}" if value is None else f"{key}: {shown(value)} is not an object")
            value = {}
        nested = Fields(value, f"{self.place}{key}.")
        nested.faults, nested.passed = self.faults, self.passed
        return nested

    def series(self, key: str, length: int | None, valid: Iterable[object]) -> list[Any]:
        """Return a list with one entry per layer, each one of `valid`; empty where the field is missing."""
        value, allowed = self.value(key), list(valid)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fault(f"{key}: {shown(value)} is not a list")
            return []
        if length is not None and len(value) != length:
            self.fault(f"{key}: {len(value)} entries for {length} layers")
        known = {(type(good), good) for good in allowed}
        strange = [one for one in value if not isinstance(one, int | str) or (type(one), one) not in known]
        if strange:
            self.fault(f"{key}: {shown(strange[0])} is not one of {_some(allowed)}")
            return []
        return value

    def alike(self, key: str, length: int) -> int:
        """Return a number given once, or once for each layer and then the same for all."""
        value = self.data.get(key)
        if not isinstance(value, list):
            return self.number(key)
        self.used.add(key)
        if len(value) != length or any(type(one) is not int or one != value[0] for one in value):
            self.fault(f"{key}: not the same whole number for each of {length} layers")
            return 1
        once = Fields({key: value[0]}, self.place)
        once.faults = self.faults
        return once.number(key)

    def unknown(self, ignored: frozenset[str], endings: tuple[str, ...] = ()) -> None:
        """Pass over fields that were not read where they cannot change the shape; refuse the others."""
        known = self.used | ignored
        strange = [key for key in self.data if key not in known and not key.endswith(endings)]
        doubtful = [key for key in strange if may_change(key, self.data[key])]
        self.passed += [f"{self.place}{key}" for key in strange if key not in doubtful]
        for key in doubtful[:HINTS]:
            hint = nearest(key[:80], known)
            meant = hint if "did you mean" in hint else ""
            self.fault(f"{shown(key)} may change the shape, and is not known of this family{meant}")
        if len(doubtful) > HINTS:
            self.fault(f"and {len(doubtful) - HINTS} more fields that may")


def _some(valid: list[object]) -> str:
    more = ", ..." if len(valid) > HINTS else ""
    return ", ".join(map(str, valid[:HINTS])) + more
