"""Overlays and overrides: what a user lays over the catalogue, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.overrides import parse_pairs, split_overrides
from roofline_afd.catalogue.reading import RecordError, parse_record
from roofline_afd.catalogue.records import GIVEN, weakest_kind
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError

ACCELERATOR = """
schema = 1
record = "accelerator"
id = "mine"
name = "My accelerator"
vendor = "Me"
status = "announced"
device_unit = "chip"
fp8_tflops = {{ value = {fp8}, kind = "estimated", source = "plan" }}
memory_gb = {{ value = 100, kind = "datasheet", source = "plan" }}
memory_gb_per_s = {{ value = 5000, kind = "datasheet", source = "plan" }}

[sources.plan]
title = "the plan"
date = "2026-01"
"""
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
    with pytest.raises(RecordError, match=r"duplicate id 'mine', known from .*mine\.toml"):
        Catalogue([tmp_path])


def test_all_faults_are_named_at_once() -> None:
    text = (
        ACCELERATOR.format(fp8='"fast"')
        .replace("memory_gb =", "memory_gbb =")
        .replace(', source = "plan" }', " }", 1)
    )
    text = text.replace('status = "announced"', 'status = "anounced"')
    with pytest.raises(RecordError) as error:
        parse_record(text.encode(), file="mine.toml")
    faults = " | ".join(error.value.faults)
    assert "unknown key 'memory_gbb'; did you mean 'memory_gb'" in faults
    assert "fp8_tflops: missing source" in faults
    assert "fp8_tflops.value: 'fast' is not a finite number" in faults
    assert "status: 'anounced' is not valid; did you mean 'announced'" in faults


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("2000", "-1"), "fp8_tflops.value: -1 must be above 0"),
        (("2000", "0"), "must be above 0"),
        (("2000", "nan"), "nan is not a finite number"),
        (("2000", "inf"), "inf is not a finite number"),
        (("2000", "true"), "True is not a finite number"),
        (("2000", "1" + "0" * 400), "is not a finite number|must be at most"),
        (("2000", "1" + "0" * 5000), "is not valid TOML"),
        (("{ value = 2000", "{ val = 2000"), "unknown key 'val'; did you mean 'value'"),
        (('kind = "estimated"', 'kind = "guess"'), "'guess' is not valid"),
        (('source = "plan"', 'source = "plam"'), "unknown source 'plam'; did you mean 'plan'"),
        (('{ value = 2000, kind = "estimated", source = "plan" }', "2000"), "2000 has no source"),
        (('id = "mine"', 'id = "Mine"'), "characters that are not allowed"),
        (('id = "mine"', 'id = "other"'), "differs from the file name 'mine'"),
        (('id = "mine"', "id = 3"), "3 is not a string"),
        (('record = "accelerator"', 'record = "gpu"'), "record: 'gpu' is not valid"),
        (('record = "accelerator"', ""), "missing record"),
        (("schema = 1", "schema = 2"), "schema: 2 is not valid"),
        (('"My accelerator"', '"\\u001b[31mred"'), "characters that are not allowed"),
        (("[sources.plan]", "[sources.plan"), "is not valid TOML"),
        (('date = "2026-01"', 'date = "soon"'), "sources.plan.date: 'soon'"),
        (
            ("[sources.plan]", "[sources.more]\ntitle='x'\ndate='2026'\n[sources.plan]"),
            "sources.more: not used",
        ),
    ],
)
def test_faulty_records(change: tuple[str, str], says: str) -> None:
    text = ACCELERATOR.format(fp8=2000)
    assert change[0] in text
    with pytest.raises(RecordError, match=says) as error:
        parse_record(text.replace(*change).encode(), file="mine.toml")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\x00\xff\xfe binary", "not UTF-8"),
        (b"a = " + b"[" * 100_000, "not valid TOML|nested too deeply"),
        (b"record = 'accelerator'\n" + b".".join([b"a"] * 40_000) + b" = 1", "nested too deeply|unknown key"),
        (b"record = 'accelerator'\n" + b"\n".join(b"k%d = 1" % i for i in range(15_000)), "unknown key 'k0'"),
        (b"", "missing record"),
        (b"[[record]]", "record: .* is not valid"),
    ],
)
def test_hostile_bytes(raw: bytes, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        parse_record(raw, file="mine.toml")


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


def test_overrides() -> None:
    system = load_system(
        "h800", overrides={"fp8_tflops": "2 PFLOP/s", "scale_out_gb_per_s": 25, "scale_up_efficiency": 0.5}
    )
    assert system.accelerator.peak_flop_per_s["fp8"] == 2e15
    assert system.scale_out is not None
    assert system.scale_out.bytes_per_s == 25e9
    assert system.scale_up.efficiency == 0.5
    assert system.quantities["fp8_tflops"].kind == GIVEN
    assert system.quantities["fp8_tflops"].note == "the catalogue has 1979"
    assert (
        load_system("a100", overrides={"fp8_tflops": 1}).quantities["fp8_tflops"].note
        == "the catalogue has none"
    )
    assert load_model("kimi-k2", overrides={"attention.full.heads": 128}).attention[0].heads == 128


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("fp8_tflop", 1, "unknown system key 'fp8_tflop'; did you mean 'fp8_tflops'"),
        ("fp8_tflops", 0, "fp8_tflops: 0 must be above 0"),
        ("fp8_tflops", float("nan"), "not a finite number"),
        ("fp8_tflops", "many", "fp8_tflops: 'many' is not a number in TFLOP/s"),
        ("scale_up_efficiency", 1.2, "scale_up_efficiency: 1.2 must be at most 1"),
        ("devices_per_node", 2.5, "devices_per_node: 2.5 is not a whole number"),
        ("memory_gb", "80 Gb", "bits and bytes in doubt"),
        ("memory_gb", "80 GB/s", "not a unit of this value"),
    ],
)
def test_refused_overrides(key: str, value: float | str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_system("h800", overrides={key: value})


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (["fp8_tflops"], "not KEY=VALUE"),
        (["=3"], "not KEY=VALUE"),
        (["top_k="], "not KEY=VALUE"),
        (["top_k=1", "top_k=2"], "given twice"),
    ],
)
def test_refused_pairs(pairs: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_pairs(pairs)


def test_pairs_go_where_they_belong() -> None:
    pairs = parse_pairs(["fp8_tflops=4500", "top_k = 4", "attention.full.heads=64"])
    assert split_overrides(pairs) == ({"fp8_tflops": "4500"}, {"top_k": "4", "attention.full.heads": "64"})
    with pytest.raises(InputError, match="unknown key 'topk' in --set; did you mean 'top_k'"):
        split_overrides({"topk": 3})


def test_no_key_belongs_to_both_a_system_and_a_model() -> None:
    from roofline_afd.catalogue.schema import quantity_keys

    assert not set(quantity_keys("system")) & set(quantity_keys("model"))


def test_weakest_kind() -> None:
    quantities = load_system("h20").quantities
    assert weakest_kind([quantities["fp8_tflops"]]) == "reported"
    assert weakest_kind([quantities["fp8_tflops"], quantities["int8_tops"]]) == "estimated"
    assert weakest_kind([]) == GIVEN


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"top_k": 300}, "top_k 300 exceeds routed_experts 256"),
        ({"moe_layers": 62}, "moe_layers 62 exceeds layers 61"),
        ({"expert_groups": 7}, "no multiple of expert_groups 7"),
        ({"groups_per_token": 9}, "groups_per_token 9 exceeds expert_groups 8"),
        ({"dispatch_width": 8000}, "dispatch_width 8000 exceeds hidden_size 7168"),
    ],
)
def test_shapes_no_model_can_have(overrides: dict[str, float | str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_model("deepseek-v3", overrides=overrides)
