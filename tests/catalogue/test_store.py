"""Overlays: what a user lays over the catalogue, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.reading import RecordError
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from tests.catalogue.test_reading import ACCELERATOR

SYSTEM = """
schema = 1
record = "system"
id = "my-node"
name = "My node"
accelerator = "mine"
scale_up = "nvlink4"
scale_out = "infiniband-ndr-400"
devices_per_node = { value = 8, kind = "derived", source = "plan" }
scale_up_domain_devices = { value = 8, kind = "derived", source = "plan" }

[sources.plan]
title = "the plan"
date = "2026-01"
"""


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_overlay_adds_a_system(tmp_path: Path) -> None:
    _write(tmp_path / "parts" / "mine.toml", ACCELERATOR.format(fp8=2000))
    _write(tmp_path / "my-node.toml", SYSTEM)
    system = load_system("my-node", catalogue=Catalogue([tmp_path]))
    assert system.accelerator.peak_flop_per_s["fp8"] == 2e15
    assert system.quantities["fp8_tflops"].kind == "estimated"
    assert system.scale_up.bytes_per_s == 450e9


@pytest.mark.parametrize("way", ["environment", "user folder"])
def test_overlay_from_elsewhere(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "config" / "roofline-afd" / "hardware_db" if way == "user folder" else tmp_path / "db"
    _write(folder / "mine.toml", ACCELERATOR.format(fp8=2000))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    other = _write(tmp_path / "other" / "my-node.toml", SYSTEM)
    if way == "environment":
        monkeypatch.setenv("ROOFLINE_AFD_HARDWARE_DB", os.pathsep.join([str(folder), str(other)]))
        assert load_system("my-node").accelerator.name == "My accelerator"
    else:
        assert load_system("my-node", catalogue=Catalogue([other])).accelerator.name == "My accelerator"


def test_replacing_a_record_must_be_said(tmp_path: Path) -> None:
    text = ACCELERATOR.format(fp8=2000).replace('"mine"', '"h800"')
    path = _write(tmp_path / "h800.toml", text)
    with pytest.raises(
        RecordError, match=r"duplicate id 'h800', known from the shipped catalogue.*replaces = true"
    ):
        Catalogue([path])
    _write(path, text.replace("schema = 1", "schema = 1\nreplaces = true"))
    assert load_system("h800", catalogue=Catalogue([path])).accelerator.name == "My accelerator"


def test_replacing_nothing_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "mine.toml", "replaces = true\n" + ACCELERATOR.format(fp8=1))
    with pytest.raises(RecordError, match="no accelerator 'mine' is known"):
        Catalogue([path])


def test_same_id_twice_in_an_overlay(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        _write(tmp_path / folder / "mine.toml", ACCELERATOR.format(fp8=1))
    catalogue = Catalogue([tmp_path])
    assert len(catalogue.faults) == 1
    with pytest.raises(RecordError, match=r"duplicate id 'mine', known from .*mine\.toml"):
        catalogue.record("accelerator", "mine")


def test_a_faulty_record_of_a_folder_stops_only_questions_that_name_it(tmp_path: Path) -> None:
    _write(tmp_path / "mine.toml", ACCELERATOR.format(fp8=1))
    _write(tmp_path / "other.toml", ACCELERATOR.format(fp8=1).replace('"mine"', '"other"') + "nonsense = 1\n")
    _write(tmp_path / "broken.toml", "id = ")
    catalogue = Catalogue([tmp_path])
    assert load_system("h800", catalogue=catalogue).id == "h800"
    assert catalogue.record("accelerator", "mine").id == "mine"
    for name in ("other", "broken"):
        with pytest.raises(RecordError):
            catalogue.record("accelerator", name)
    with pytest.raises(RecordError):  # a file that is named is meant
        Catalogue([tmp_path / "other.toml"])


def test_large_file_is_not_read_into_a_parser(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(RecordError, match="is larger than a record may be"):
        Catalogue([path])


@pytest.mark.parametrize("what", ["absent", "empty folder", "pipe"])
def test_unreadable_overlay(what: str, tmp_path: Path) -> None:
    path = tmp_path / "overlay"
    if what == "empty folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    with pytest.raises(InputError, match=r"does not exist|holds no \.toml records|no regular file"):
        Catalogue([path])


def test_overlay_of_the_other_database(tmp_path: Path) -> None:
    path = _write(tmp_path / "mine.toml", ACCELERATOR.format(fp8=1))
    with pytest.raises(RecordError, match="give it with --hardware-db"):
        Catalogue([], [path])
