"""A faulty record in a folder of the user's stops only questions that need it; all others are told of it."""

from __future__ import annotations

import os
import pickle
from importlib.resources import files
from pathlib import Path

import pytest

from roofline_afd import (
    Catalogue,
    Scenario,
    list_hardware,
    list_models,
    load_system,
    predict_ep,
    show_hardware,
    sweep,
)
from roofline_afd.catalogue.reading import RecordError
from roofline_afd.errors import InputError
from tests.catalogue.test_reading import ACCELERATOR
from tests.catalogue.test_store import SYSTEM
from tests.conftest import command

ASKED = ("predict", "--system", "h800", "--model", "deepseek-v3", "--devices", "128", "--batch", "8")


def _shipped(database: str, path: str) -> str:
    return files(database).joinpath(path).read_text("utf-8")


@pytest.fixture
def hardware(tmp_path: Path) -> Path:
    """Return a folder with a faulty record of each kind, beside sound ones."""
    folder = tmp_path / "mine"
    folder.mkdir()
    part = ACCELERATOR.format(fp8=2000)
    texts = {
        "mine": part,
        "my-node": SYSTEM,
        "bad-part": part.replace('"mine"', '"bad-part"') + "nonsense = 1\n",
        "bad-node": SYSTEM.replace('"my-node"', '"bad-node"').replace('"nvlink4"', "4"),
        "on-bad-part": SYSTEM.replace('"my-node"', '"on-bad-part"').replace('"mine"', '"bad-part"'),
        "h20": _shipped("hardware_db", "systems/h20.toml").replace("schema = 1", "schema = 1\nreplaces = 3"),
        "no-toml": "record = 'system'\nid = 'no-toml'\nname = ",
        "engine": 'record = "engine"\nid = "bad-engine"\nschema = 1\n',
    }
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text, "utf-8")
    os.mkfifo(folder / "pipe.toml")
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    text = _shipped("model_db", "mistral/mixtral-8x7b.toml").replace('"mixtral-8x7b"', '"my-moe"')
    (folder / "my-moe.toml").write_text(text.replace("aliases", "alias_es") + "\nlayers = 'many'\n", "utf-8")
    (folder / "my-other.toml").write_text('record = "model"\nid = "my-other"\naliases = ["Mine"]\n', "utf-8")
    return folder


def test_questions_that_do_not_need_it_are_answered(hardware: Path, models: Path) -> None:
    done = command(*ASKED, "--hardware-db", str(hardware), "--model-db", str(models))
    assert done.status == 0, done.err
    (told,) = (line for line in done.err.splitlines() if "left out, as they are faulty" in line)
    assert f"8 records, which validate lists; first {hardware / 'bad-node.toml'}: " in told


def test_a_picture_and_a_stream_tell_it_too(models: Path, tmp_path: Path) -> None:
    picture = ("plot", "dead-zone", "--system", "h800", "--model", "deepseek-v3", "--ffn-nodes", "1:4")
    rows = (
        "sweep",
        "--system",
        "h800",
        "--model",
        "deepseek-v3",
        "--of",
        "roofline",
        "--axis",
        "ffn_nodes=1:4",
    )
    for words in ((*picture, "--output", "x.json"), (*rows, "--output", "x.csv")):
        done = command(*words[:-1], str(tmp_path / words[-1]), "--model-db", str(models))
        assert done.status == 0, done.err
        assert done.err.count("note: left out, as they are faulty: 2 records") == 1, done.err


@pytest.mark.parametrize(
    ("system", "names"),
    [
        ("bad-node", "bad-node.toml"),
        ("Bad-Node", "bad-node.toml"),
        ("on-bad-part", "bad-part.toml"),
        ("h20", "h20.toml"),
        ("no-toml", "no-toml.toml"),
        ("pipe", "pipe.toml"),
    ],
)
def test_a_question_that_needs_it_is_refused(system: str, names: str, hardware: Path) -> None:
    words = ("predict", "--system", system, *ASKED[3:], "--hardware-db", str(hardware))
    done = command(*words)
    assert (done.status, done.out) == (2, "")
    assert names in done.complaint
    assert "left out" not in done.complaint


def test_parts_engines_and_models_are_refused_by_their_names(hardware: Path, models: Path) -> None:
    where = ("--hardware-db", str(hardware), "--model-db", str(models))
    for words, names in (
        (("hardware", "show", "bad-part"), "bad-part.toml"),
        (("hardware", "show", "h20"), "h20.toml"),
        ((*ASKED, "--engine", "bad-engine"), "engine.toml"),
        (("models", "show", "my-moe"), "my-moe.toml"),
        (("models", "show", "mine"), "my-other.toml"),
    ):
        own = where if words[0] == "predict" else where[:2] if words[0] == "hardware" else where[2:]
        done = command(*words, *own)
        assert (done.status, done.out) == (2, ""), words
        assert names in done.complaint


def test_lists_say_it_and_validate_fails(hardware: Path, models: Path) -> None:
    for kind in ("system", "accelerator", "engine"):
        listed = command(
            "hardware", "list", "--kind", kind, "--hardware-db", str(hardware), "--format", "json"
        )
        assert listed.status == 0, listed.err
        ids = {row["id"] for row in listed.answer["results"]}
        assert not ids & {"bad-node", "bad-part", "h20" if kind == "system" else "", "bad-engine"}
        assert "left out, as they are faulty" in listed.answer["notes"][0]
        assert any("left out: system on-bad-part: " in each for each in listed.answer["notes"][1:]) is (
            kind == "system"
        )
    assert command("models", "list", "--model-db", str(models)).status == 0
    done = command("models", "validate", "--model-db", str(models), "--format", "json")
    assert done.status == 1
    assert {Path(row["file"]).name for row in done.answer["results"] if row["faults"]} == {
        "my-moe.toml",
        "my-other.toml",
    }
    assert command("hardware", "validate", "--hardware-db", str(hardware)).status == 1


def test_python_is_told_alike(hardware: Path, models: Path) -> None:
    catalogue = Catalogue([hardware], [models])
    assert len(catalogue.faults) == 8
    system = load_system("h800", catalogue=catalogue)
    table = predict_ep(Scenario(system=system, model="deepseek-v3", devices=128, batch=8))
    assert any(note.startswith("left out, as they are faulty: 8 records") for note in table.attrs["notes"])
    for listed in (list_hardware(catalogue=catalogue), list_models(catalogue=catalogue)):
        assert len(listed)
        assert listed.attrs["notes"][0].startswith("left out, as they are faulty: 8 records")
    axes = {"ffn_nodes": [1, 2]}
    rows = sweep(Scenario(system=system, model="deepseek-v3"), axes=axes, of="roofline", runner="serial")
    assert any(note.startswith("left out") for note in rows.attrs["notes"])
    for name in ("bad-node", "on-bad-part"):
        with pytest.raises(InputError, match=r"bad-\w+\.toml: "):
            load_system(name, catalogue=catalogue)
    with pytest.raises(RecordError, match=r"h20\.toml: "):
        show_hardware("h20", catalogue=catalogue)


def test_another_process_knows_it_too(hardware: Path) -> None:
    """Workers of a sweep are handed the catalogue."""
    system = pickle.loads(pickle.dumps(load_system("my-node", catalogue=Catalogue([hardware]))))  # noqa: S301 - our own
    catalogue = system.parts.catalogue
    assert len(catalogue.faults) == 6
    with pytest.raises(RecordError, match="bad-node"):
        catalogue.record("system", "bad-node")


def test_a_faulty_calibration_stops_what_it_is_about(tmp_path: Path) -> None:
    """Its numbers would be taken for the part it names, so that none can be given."""
    (tmp_path / "own.toml").write_text(
        'record = "calibration"\nid = "own"\naccelerators = ["h800"]\n', "utf-8"
    )
    where = ("--hardware-db", str(tmp_path))
    assert "own.toml" in command(*ASKED, *where).complaint
    other = command("predict", "--system", "b200", *ASKED[3:], *where)
    assert other.status == 0
    assert "left out, as it is faulty" in other.err


def test_a_sound_record_above_a_faulty_one_is_taken(hardware: Path, tmp_path: Path) -> None:
    """An overlay that is given later lies above."""
    above = tmp_path / "above"
    above.mkdir()
    (above / "bad-part.toml").write_text(
        ACCELERATOR.format(fp8=3000).replace('"mine"', '"bad-part"'), "utf-8"
    )
    system = load_system("on-bad-part", catalogue=Catalogue([hardware, above]))
    assert system.accelerator.peak_flop_per_s["fp8"] == 3e15
