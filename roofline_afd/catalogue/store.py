"""The catalogue: shipped records, and the user's overlays above them."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.reading import MAX_RECORD_BYTES, RecordError, read_record
from roofline_afd.catalogue.schema import FOLDERS, database_of
from roofline_afd.documents import file_bytes, toml_of
from roofline_afd.errors import InputError, nearest, shown, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from roofline_afd.catalogue.records import Record

ENVIRONMENT = {"hardware_db": "ROOFLINE_AFD_HARDWARE_DB", "model_db": "ROOFLINE_AFD_MODEL_DB"}
"""Environment variables with more overlay paths, separated as PATH is."""
MAX_OVERLAY_ENTRIES = 20_000
_FIELD = r"""(?m)^[ \t]{0,9}%s[ \t]{0,9}=[ \t]{0,9}["']([^"'\n]{1,100})["']"""
"""A field of a record that is no TOML."""
_QUOTED = re.compile(rb"""["']([^"'\n]{1,100})["']""")


@dataclasses.dataclass(frozen=True)
class Faulty:
    """A faulty record of a folder: only questions that need it are refused."""

    error: RecordError
    database: str
    kind: str | None
    """None where the record does not tell it."""
    id: str
    """What the record says it is, else the name of its file."""
    names: frozenset[str]
    """Other names of it, plain."""
    words: frozenset[str]
    """Words in quotes: what it may be about."""

    def may_be(self, record: str) -> bool:
        """Return whether it may be a record of a kind."""
        return self.kind == record or (self.kind is None and self.database == database_of(record))


def user_folder(database: str) -> Path:
    """Return the user's own overlay folder of `hardware_db` or `model_db`; it need not exist."""
    from platformdirs import user_config_path  # only where records are read

    return user_config_path("roofline-afd") / database


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    """Yield the record files below a folder of a package, with their path in the package."""
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir():
            yield from _walk(entry, f"{path}/{entry.name}")
        elif entry.name.endswith(".toml"):
            yield f"{path}/{entry.name}", entry


def _overlay_files(path: Path, flag: str) -> Iterator[Path]:
    """Yield the record files of an overlay path, a file or a folder."""
    try:
        if path.is_file():
            yield path
            return
        if not path.is_dir():
            what = "is no regular file or folder" if path.exists() else "does not exist"
            raise InputError(f"{flag} {shown_path(path)} {what}")
    except OSError as error:
        raise InputError(f"{flag} {shown(str(path))} cannot be read: {error.strerror}") from error
    seen = 0
    found = False
    for folder, folders, names in os.walk(path, onerror=_refuse):
        folders.sort()
        seen += len(folders) + len(names)
        if seen > MAX_OVERLAY_ENTRIES:
            raise InputError(
                f"{flag} {shown_path(path)} holds over {MAX_OVERLAY_ENTRIES:,} files: name a narrower folder"
            )
        for name in sorted(names):
            file = Path(folder) / name
            if not name.lower().endswith(".toml"):
                continue
            found = True
            yield file
    if not found:
        raise InputError(f"{flag} {shown_path(path)} holds no .toml records")


def _refuse(error: OSError) -> None:
    raise InputError(f"{shown_path(error.filename)} cannot be read: {error.strerror}") from error


class Catalogue:
    """Records by kind and id: the shipped ones, overlaid by the user's folder, environment and arguments.

    Parameters
    ----------
    hardware_db, model_db : sequence of path
        Overlay files or folders; later ones lie above earlier ones.
    collect_faults : bool
        Check shipped records too, and keep faulty files in `faults` that are named, too.

    Raises
    ------
    InputError
        If an overlay cannot be read, or a file that is named is faulty or uses a known id without
        `replaces = true`. Such files within a folder are left out, in `faults` and in the notes of answers:
        only questions that need them are refused.
    """

    def __init__(
        self,
        hardware_db: Sequence[str | Path] = (),
        model_db: Sequence[str | Path] = (),
        *,
        collect_faults: bool = False,
    ) -> None:
        self.faults: list[RecordError] = []
        """What is wrong with records of folders, which stop only questions that need them."""
        self._faulty: list[Faulty] = []
        self._collect = collect_faults
        self._naming: dict[tuple[str, str], list[Record]] = {}
        self._shipped = _shipped()
        self._records: dict[tuple[str, str], Record] = {}
        for database, flag, given in (
            ("hardware_db", "--hardware-db", hardware_db),
            ("model_db", "--model-db", model_db),
        ):
            own = user_folder(database)
            with contextlib.suppress(PermissionError):  # of a home that is another's
                if own.is_dir() and any(own.rglob("*.toml")):
                    self._overlay(database, own, str(own))
            variable = ENVIRONMENT[database]
            for listed in filter(None, os.environ.get(variable, "").split(os.pathsep)):
                self._overlay(database, Path(listed), variable)
            for path in given:
                self._overlay(database, Path(path), flag)

    def _overlay(self, database: str, path: Path, flag: str) -> None:
        below = tuple(self._faulty)
        for file in _overlay_files(path, flag):
            try:
                record = read_record(file, file=str(file))
                self._add(database, record)
            except RecordError as error:
                if not self._collect and not path.is_dir():  # a file that is named is meant
                    raise
                self.faults.append(error)
                self._faulty.append(_faulty(error, database, file))
            else:
                hidden = [each for each in below if each.may_be(record.record) and each.id == record.id]
                self._faulty = [each for each in self._faulty if each not in hidden]

    @property
    def left_out(self) -> str:
        """What is said of faulty records of folders; empty where there is none."""
        if self._collect or not self.faults:
            return ""
        first, *others = self.faults
        if not others:
            return f"left out, as it is faulty: {first}"
        return (
            f"left out, as they are faulty: {len(others) + 1:,} records, which validate lists; first {first}"
        )

    def _add(self, database: str, record: Record) -> None:
        key = (record.record, record.id)
        if database_of(record.record) != database:
            other = "--hardware-db" if database == "model_db" else "--model-db"
            raise RecordError(record.file, [f"is a record of kind {record.record}: give it with {other}"])
        known = key in self._shipped or key in self._records
        replaces = bool(record.data.get("replaces"))
        if known and not replaces:
            where = self._records[key].file if key in self._records else "the shipped catalogue"
            raise RecordError(
                record.file,
                [f"duplicate id {record.id!r}, known from {where}: rename it, or add replaces = true"],
            )
        if replaces and not known:
            near = nearest(record.id, self.ids(record.record))
            raise RecordError(
                record.file,
                [f"replaces = true, but no {record.record} {record.id!r} is known{near}"],
            )
        self._records[key] = record

    def laid_over(self, records: Iterable[Record]) -> Catalogue:
        """Return this catalogue with other records in place of those of the same kind and id."""
        found = copy.copy(self)
        found._naming = {}  # noqa: SLF001 - a copy of this one
        found._records = {  # noqa: SLF001 - a copy of this one
            **self._records,
            **{(record.record, record.id): record for record in records},
        }
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Return what is not shipped: a copy in another process finds the rest where it finds the program."""
        return {**vars(self), "_shipped": None, "_naming": {}, "_records": self._added()}

    def _added(self) -> dict[tuple[str, str], Record]:
        """Return the records that are not shipped."""
        return {
            key: record
            for key, record in self._records.items()
            if key not in self._shipped or record is not _read(key, checked=self._collect)
        }

    @property
    def added(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """What is laid over the shipped records: kind, id and entries of each."""
        return [(*key, record.data) for key, record in sorted(self._added().items())]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state from another process."""
        vars(self).update(state, _shipped=_shipped())

    def ships(self, folder: Path) -> bool:
        """Return whether a folder is one the shipped records themselves lie in."""
        names = {*FOLDERS.values(), ""}
        own = (Path(str(files("hardware_db"))) / name for name in names)
        return folder.resolve() in {path.resolve() for path in own}

    def ids(self, record: str) -> list[str]:
        """Return the known ids of a kind of record, sorted."""
        return sorted({name for kind, name in (*self._shipped, *self._records) if kind == record})

    def find(self, record: str, name: str) -> Record | None:
        """Return a record, or None where the id is unknown; raise RecordError where it is that of a fault."""
        fault = self._fault(record, name)
        if fault is not None:
            raise fault
        key = (record, name)
        if key not in self._records and key in self._shipped:
            self._records[key] = _read(key, checked=self._collect)
        return self._records.get(key)

    def record(self, record: str, name: str) -> Record:
        """Return a record by kind and id, in any case; a model also by an alias or its Hugging Face id.

        Parameters
        ----------
        record : str
            `accelerator`, `interconnect`, `system`, `engine`, `library` or `model`.
        name : str
            The id.

        Returns
        -------
        Record
            The topmost one of that id.

        Raises
        ------
        InputError
            If the id is unknown; names the nearest ones.
        """
        for spoken in (name, _plain(name)):
            found = self.find(record, spoken)
            if found is not None:
                return found
        names = self._names(record)
        spoken = _plain(name)
        of_name = names.get(spoken) or names.get(spoken.rpartition("/")[2])
        if of_name is not None:
            return self.record(record, of_name)
        for each in () if self._collect else self._faulty:
            if each.may_be(record) and {spoken, spoken.rpartition("/")[2]} & each.names:
                raise each.error
        near = nearest(spoken.rpartition("/")[2][:80], [each for each in names if "/" not in each])
        raise InputError(f"unknown {record} {shown(name)}{near}")

    def _fault(self, record: str, name: str) -> RecordError | None:
        """Return the fault of the record with an id; None where it has none, or all are collected."""
        if self._collect:
            return None
        return next((each.error for each in self._faulty if each.may_be(record) and each.id == name), None)

    def _names(self, record: str) -> dict[str, str]:
        """Return every name of the records of a kind, plain, and the id that it is for; ids come first."""
        ids = self.ids(record)
        names = {_plain(each): each for each in ids}
        if record == "model":
            for model in self.records("model"):
                other = (*model.data.get("aliases", ()), *model.data.get("hugging_face_ids", ()))
                for each in other:
                    names.setdefault(_plain(each), model.id)
                    names.setdefault(_plain(each).rpartition("/")[2], model.id)
        return names

    def records(self, record: str) -> Iterable[Record]:
        """Yield every record of a kind, by id; faulty ones of folders are left out."""
        sound = (name for name in self.ids(record) if self._fault(record, name) is None)
        return (self.record(record, name) for name in sound)

    def naming(self, record: str, word: str) -> Iterable[Record]:
        """Return the records of a kind whose text holds a word in quotes, by id; others are not read.

        Raises RecordError where a faulty one may do so: what it says of the word cannot be told.
        """
        if (record, word) not in self._naming:
            self._naming[record, word] = list(self._named(record, word))
        return self._naming[record, word]

    def _named(self, record: str, word: str) -> Iterable[Record]:
        for each in () if self._collect else self._faulty:
            if each.may_be(record) and word in each.words:
                raise each.error
        key = f'"{word}"'.encode()
        for name in self.ids(record):
            if (record, name) in self._records or key in _text((record, name)):
                yield self.record(record, name)


@functools.cache
def _shipped() -> Mapping[tuple[str, str], tuple[str, Traversable]]:
    """Return where the shipped records lie, by kind and id; they are read when asked for, once."""
    folders = {
        record: (files("hardware_db") / folder, f"hardware_db/{folder}") for record, folder in FOLDERS.items()
    }
    folders["model"] = (files("model_db"), "model_db")
    return {
        (record, entry.name.removesuffix(".toml")): (file, entry)
        for record, (folder, path) in folders.items()
        for file, entry in _walk(folder, path)
    }


@functools.cache
def _read(key: tuple[str, str], *, checked: bool) -> Record:
    file, entry = _shipped()[key]
    return read_record(entry, file=file, checked=checked)


@functools.cache
def _text(key: tuple[str, str]) -> bytes:
    return _shipped()[key][1].read_bytes()


def _faulty(error: RecordError, database: str, file: Path) -> Faulty:
    """Return what can be told of a faulty record."""
    raw, held = b"", {}
    with contextlib.suppress(InputError):
        raw = file_bytes(file, most=MAX_RECORD_BYTES)
        held = toml_of(raw, name=error.file)
    if not held:
        text = raw.decode("utf-8", errors="replace")
        found = {key: re.search(_FIELD % key, text) for key in ("record", "id")}
        held = {key: match[1] for key, match in found.items() if match}
    kind, name = held.get("record"), held.get("id")
    listed = [held.get(key) for key in ("aliases", "hugging_face_ids")]
    others = [
        _plain(each) for many in listed if isinstance(many, list) for each in many if isinstance(each, str)
    ]
    return Faulty(
        error,
        database,
        kind if isinstance(kind, str) and kind in {*FOLDERS, "model"} else None,
        name if isinstance(name, str) else file.stem,
        frozenset((*others, *(each.rpartition("/")[2] for each in others))),
        frozenset(word.decode("utf-8", errors="replace") for word in _QUOTED.findall(raw)),
    )


def same_name(name: str, other: str) -> bool:
    """Return whether two names are one but for case, underscores and spaces."""
    return _plain(name) == _plain(other)


def _plain(name: str) -> str:
    """Return a name as ids are written: small letters, hyphens."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")
