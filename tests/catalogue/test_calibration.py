"""Efficiencies of the shipped records: each system has some, with the kind of what they rest on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from roofline_afd.catalogue.calibration import (
    EARLIER,
    ESTIMATED,
    EVERY_MODEL,
    KERNELS,
    MEASURED,
    OPERATOR_TABLES,
    SIBLING,
    STRENGTH,
    choose,
    kernels_of,
    load_calibration,
    load_service_constants,
    weakest,
)
from roofline_afd.catalogue.engines import load_engine
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.catalogue.models import load_model
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = Catalogue()
FORMATS = ("", "bf16", "fp8", "fp4")
FITTED = re.compile(r"(?:median|value) of (.+), two digits")


def _record(directory: Path, name: str, *tables: str, accelerators: str, more: str = "") -> None:
    """Write a record of calibration of a user's own, its tables as text."""
    text = [
        'schema = 1\nrecord = "calibration"',
        f'id = "{name}"\nname = "a user\'s own times"\naccelerators = [{accelerators}]\n{more}',
        *tables,
        '[sources.bench]\ntitle = "our bench"\ndate = "2026-11"\n',
    ]
    (directory / f"{name}.toml").write_text("\n".join(text), encoding="utf-8")


def _table(name: str, launch_us: float, *, head: str = "") -> str:
    """Return the text of a table: a fixed time of its own, shares of a half."""
    values = {"launch_us": launch_us, "compute_efficiency": 0.5, "memory_efficiency": 0.5}
    lines = [
        f'{key} = {{ value = {value}, kind = "measured", source = "bench" }}' for key, value in values.items()
    ]
    return "\n".join([f"[{name}]", head, *lines, ""])


def _chosen(kernel: str, form: str, part: str, *families: str) -> tuple[str, str, str]:
    """Return record, table and kind that the shipped records give a kernel, some families asked for."""
    asked = {"experts" if kernel == "grouped_gemm" else kernel: families}
    found = choose(kernel, form, part, catalogue=CATALOGUE, families=asked)
    return found.record.id, found.table, found.kind


def test_every_system_has_efficiencies_with_a_kind() -> None:
    """Of every kernel in every format, shares of 1 at most, each with a kind and a source."""
    for name in CATALOGUE.ids("system"):
        try:
            system = load_system(name, catalogue=CATALOGUE)
        except InputError:
            continue
        found = load_calibration(system, catalogue=CATALOGUE)
        for kernel in KERNELS:
            for form in FORMATS:
                efficiency = found.of(kernel, form)
                kinds = (
                    efficiency.kind,
                    efficiency.compute_kind,
                    efficiency.memory_kind,
                    efficiency.few_kind,
                )
                assert {*kinds, efficiency.evidence} <= set(STRENGTH), (name, kernel, form)
                assert 0 < efficiency.compute_efficiency <= 1, (name, kernel, form)
                assert 0 < efficiency.memory_efficiency <= 1, (name, kernel, form)
                assert efficiency.launch_s >= 0
                assert efficiency.source.startswith("calibration ")


def test_measured_sibling_and_default_parts() -> None:
    """A part's own times are measured; a part of the same make is a sibling, whatever its table measured."""

    def evidence(name: str, kernel: str, form: str = "") -> str:
        return (
            load_calibration(load_system(name, catalogue=CATALOGUE), catalogue=CATALOGUE)
            .of(kernel, form)
            .evidence
        )

    assert {evidence("h800", kernel, "fp8") for kernel in EVERY_MODEL} == {MEASURED}
    assert {evidence("h800", kernel, "bf16") for kernel in ("gqa_decode", "mla_decode")} == {MEASURED}
    assert evidence("h800", "index") == MEASURED
    assert evidence("h800", "top_k") == evidence("h800", "state") == ESTIMATED  # never timed there
    assert evidence("h200", "gemm", "fp8") == MEASURED
    assert evidence("h200", "grouped_gemm", "fp8") == SIBLING  # products packed by expert: the H800's
    assert {evidence("mi300x", kernel) for kernel in KERNELS} == {ESTIMATED}
    h800, h200 = (load_calibration(load_system(name)) for name in ("h800", "h200"))
    assert h800.of("index").compute_efficiency == h200.of("index").compute_efficiency
    assert (h800.of("index").kind, h200.of("index").kind) == (MEASURED, SIBLING)
    assert load_calibration(load_system("h800-roce-400")).link.kind_out == "estimated"


def test_a_value_is_no_stronger_than_its_table() -> None:
    """Kinds of a sibling's table are `sibling` at best, weaker where the table itself estimates."""
    assert weakest([MEASURED, SIBLING, "reported", ESTIMATED]) == ESTIMATED
    assert weakest([MEASURED, "derived", SIBLING]) == SIBLING
    assert weakest([]) == MEASURED
    own = load_calibration(load_system("h800")).of("mla_decode", "bf16")
    alike = load_calibration(load_system("h800")).of("mla_decode", "fp8")
    assert (own.kind, alike.kind) == (MEASURED, SIBLING)  # timed with the cache of bf16 alone
    assert (own.memory_kind, alike.memory_kind) == (ESTIMATED, ESTIMATED)


def test_a_model_rests_on_the_kernels_of_its_layers() -> None:
    """Products and experts always; cores, an index, convolutions, states where layers have them."""
    known = {
        "deepseek-v3": ("mla_decode",),
        "deepseek-v3.2": ("mla_decode", "index", "top_k"),
        "qwen3-235b-a22b": ("gqa_decode",),
        "qwen3-next-80b-a3b": ("gqa_decode", "convolution", "state"),
        "minimax-m1": ("gqa_decode", "state"),  # lightning attention has no convolution
    }
    for name, more in known.items():
        assert kernels_of(load_model(name, catalogue=CATALOGUE)) == (*EVERY_MODEL, *more), name


def test_memory_share_of_latent_attention_stays_an_estimate() -> None:
    """On Hopper computing binds in every row timed, so that no row shows it."""
    attention = load_calibration(load_system("h800")).of("mla_decode", "bf16")
    assert (attention.kind, attention.memory_kind) == (MEASURED, ESTIMATED)


def test_class_defaults_are_medians_of_what_was_measured() -> None:
    """To two digits, of the records that their notes name: those, and no others, that measured the value.

    Of links those of libraries that come first on a fabric; of all where none of these shows a value.
    """
    measured = [other for other in CATALOGUE.records("calibration") if other.id != "default"]
    first = {
        (fabric.id, fabric.data["libraries"][0])
        for fabric in CATALOGUE.records("interconnect")
        if "libraries" in fabric.data
    }
    medians = 0
    for key, value in CATALOGUE.record("calibration", "default").quantities.items():
        assert value.kind == "estimated"
        found = {
            other.id: other.quantities[key].value
            for other in measured
            if key in other.quantities and other.quantities[key].kind == "measured"
        }
        taken = {
            other.id
            for other in measured
            for fabric in (*other.data.get("scale_up", ()), *other.data.get("scale_out", ()))
            if (fabric, other.data.get("link", {}).get("library")) in first
        }
        if key.startswith("link.") and taken & found.keys():
            found = {name: found[name] for name in sorted(taken & found.keys())}
        named = FITTED.fullmatch(value.note)
        assert bool(named) == bool(found), key
        if named:
            medians += 1
            assert re.split(", | and ", named[1]) == sorted(found), key
            assert value.value == float(f"{np.median(list(found.values())):.2g}"), key
    assert medians > 20


def test_cloudmatrix_is_a_prior() -> None:
    link = load_calibration(load_system("cloudmatrix384")).link
    assert link.kind == link.kind_out == "estimated"


def test_few_rows_cost_in_one_way() -> None:
    """A law has tiles or a half saturation: with both, fewer rows than a tile would take longer than more."""
    for record in CATALOGUE.records("calibration"):
        for table in set(OPERATOR_TABLES) & set(record.data):
            assert not {"tile_rows", "half_saturation_tokens"} <= set(record.data[table]), (record.id, table)


def _keys(value: object) -> set[str]:
    """Return the keys of tables within tables, names of sources aside."""
    if isinstance(value, list):
        return set().union(*map(_keys, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(_keys(held) for key, held in value.items() if key != "sources"))


def test_shipped_records_carry_no_rows() -> None:
    """The records hold parameters and their sources, never the data they were fitted to."""
    for shipped in CATALOGUE.records("calibration"):
        keys = _keys(dict(shipped.data))
        assert not {"rows", "measurements", "latency_us", "id"} & (keys - {*shipped.data}), shipped.id
        assert not {"rows", "measurements", "latency_us"} & keys, shipped.id


def test_two_records_of_one_part_are_refused(tmp_path: Path) -> None:
    """Both without a family: which is meant cannot be told, and the line names both files."""
    for name in ("mine", "other"):
        _record(tmp_path, name, _table("gemm", 2.0), accelerators='"mi300x"')
    overlaid = Catalogue([tmp_path])
    found = load_calibration(load_system("mi300x", catalogue=overlaid), catalogue=overlaid)
    with pytest.raises(
        InputError, match=r"mine\.toml and .*other\.toml both calibrate \[gemm\] of mi300x: keep"
    ):
        found.of("gemm", "fp8")
    assert found.of("mla_decode", "bf16").evidence == ESTIMATED  # what neither has is not in doubt


def test_two_tables_of_one_family_are_refused(tmp_path: Path) -> None:
    """A second record of the family that ships for the part serves alike too."""
    head = 'family = "deepgemm"\nmeasured_on = ["h800"]'
    _record(tmp_path, "mine", _table("gemm", 2.0, head=head), accelerators='"h800"')
    with pytest.raises(InputError, match=r"both calibrate \[gemm\] of h800: keep one"):
        choose("gemm", "fp8", "h800", catalogue=Catalogue([tmp_path]), families={"gemm": ["deepgemm"]})


@pytest.mark.parametrize("families", [(), ("deepgemm",), ("torch-flow", "deepgemm")])
def test_a_table_of_the_users_own_comes_first(tmp_path: Path, families: tuple[str, ...]) -> None:
    """Without a family it stands before shipped ones, whichever are asked for; elsewhere they stay."""
    _record(tmp_path, "mine", _table("gemm", 2.0), accelerators='"h200"')
    overlaid = Catalogue([tmp_path])
    asked = {"gemm": families}
    found = choose("gemm", "fp8", "h200", catalogue=overlaid, families=asked)
    assert (found.record.id, found.kind, found.family) == ("mine", MEASURED, "")
    other = choose("gemm", "fp8", "h800", catalogue=overlaid, families=asked)
    assert other.record.id == "h800"


def test_a_table_of_earlier_versions_is_read(tmp_path: Path) -> None:
    """`[attention]` was fitted to latent decoding, and served both cores: it does where none is better.

    On the H800 grouped-query decoding was timed; on an MI300X nothing of it was.
    """
    assert EARLIER == {"mla_decode": "attention", "gqa_decode": "attention"}
    _record(tmp_path, "other", _table("attention", 44.0), accelerators='"mi300x"')
    _record(tmp_path, "mine", _table("attention", 33.0), accelerators='"h800"')
    overlaid = Catalogue([tmp_path])
    found = load_calibration(load_system("h800", catalogue=overlaid), catalogue=overlaid)
    for form in ("bf16", "fp8"):
        assert found.of("mla_decode", form).launch_s == pytest.approx(33e-6)
        assert found.of("mla_decode", form).evidence == MEASURED
    assert found.of("gqa_decode", "bf16").source.startswith("calibration h800:")
    other = load_calibration(load_system("mi300x", catalogue=overlaid), catalogue=overlaid)
    for kernel in EARLIER:
        assert other.of(kernel, "bf16").launch_s == pytest.approx(44e-6)


def test_measured_tables_come_before_siblings() -> None:
    """Of families asked for, the one timed on the part itself, wherever it stands in their order."""
    assert _chosen("gemm", "fp8", "h200", "deepgemm", "torch-flow") == ("hopper-torch-flow", "gemm", MEASURED)
    assert _chosen("gemm", "fp8", "h200", "deepgemm") == ("h800", "gemm", SIBLING)
    assert _chosen("experts", "fp8", "h200", "deepgemm", "cutlass") == ("hopper-cutlass", "experts", MEASURED)


def test_of_measured_tables_the_family_asked_for_first_wins() -> None:
    """Order decides where both were timed on the part; a family not asked for, where none asked for is."""
    fp8 = ("mla_decode", "bf16", "gb200")
    assert _chosen(*fp8, "trtllm", "sglang")[0] == "blackwell-trtllm"
    assert _chosen(*fp8, "sglang", "trtllm")[0] == "blackwell-sglang"
    assert _chosen("mla_decode", "bf16", "b200", "sglang", "trtllm")[0] == "blackwell-trtllm"  # the one on it
    assert _chosen("mla_decode", "bf16", "h20", "trtllm") == ("h20", "mla_decode", MEASURED)


def test_tables_of_a_number_format_come_before_those_of_any() -> None:
    """A narrower product or cache has a table of its own where timed, else that of another format."""
    assert _chosen("gqa_decode", "fp8", "h20")[1:] == ("gqa_decode_fp8", MEASURED)
    assert _chosen("gqa_decode", "bf16", "h20")[1:] == ("gqa_decode", MEASURED)
    assert _chosen("gqa_decode", "fp8", "h800")[1:] == ("gqa_decode", SIBLING)  # timed with bf16 alone
    assert _chosen("gemm", "bf16", "gb200")[1:] == ("gemm_bf16", MEASURED)
    assert _chosen("gemm", "bf16", "h800")[1:] == ("gemm", SIBLING)
    assert _chosen("gemm", "int8", "h800")[1:] == ("gemm", SIBLING)
    assert _chosen("gemm", "fp8", "mi300x") == ("default", "gemm", ESTIMATED)


def test_one_kernel_of_experts_stands_in_for_the_other() -> None:
    """Whole modules and packed products each come first where asked for; 4-bit modules before either."""
    assert _chosen("experts", "fp8", "h20", "deepgemm")[1:] == ("grouped_gemm", MEASURED)  # no module there
    assert _chosen("grouped_gemm", "fp8", "gb200", "deepgemm")[1:] == ("grouped_gemm", MEASURED)
    assert _chosen("experts", "fp8", "gb200", "deepgemm")[1:] == ("experts", MEASURED)
    assert _chosen("experts", "fp4", "gb200", "trtllm-gen")[1:] == ("experts_fp4", MEASURED)
    assert load_calibration(load_system("h200")).of("experts", "fp8").module
    assert not load_calibration(load_system("h20")).of("experts", "fp8").module


def test_efficiencies_name_the_family_that_was_chosen() -> None:
    """Engines differ where their families do: the same part, other kernels."""
    system = load_system("gb200-nvl72")
    for engine, family in (("ideal", "trtllm"), ("sglang", "sglang")):
        families = load_engine(engine, catalogue=CATALOGUE).families
        assert load_calibration(system, families=families).of("mla_decode", "bf16").family == family


def test_given_efficiencies_take_the_place_of_records() -> None:
    """Of their kernel alone."""
    found = load_calibration(load_system("h800"))
    mine = found.of("gemm", "fp8")
    given = type(found)(part=found.part, catalogue=found.catalogue, link=found.link, given={"index": mine})
    assert given.of("index") is mine
    assert given.of("mla_decode", "bf16") == found.of("mla_decode", "bf16")


def test_stated_errors_keep_the_limits_of_kernels() -> None:
    """Rows held out, one by one and by shape, in the median: of tables with twenty rows or more."""
    limits = {"gqa_decode": 0.08, "mla_decode": 0.10, "gemm": 0.08, "experts": 0.12, "grouped_gemm": 0.12}
    held = []
    for record in CATALOGUE.records("calibration"):
        for table in set(OPERATOR_TABLES) & set(record.data):
            found = record.data[table]
            limit = limits.get(re.sub(r"_(bf16|fp8|fp4)$", "", table))
            if limit and found.get("points", 0) >= 20:
                held.append(table)
                assert found["held_out_error"] <= limit, (record.id, table)
                assert found["held_out_shape_error"] <= limit, (record.id, table)
    assert {table.removesuffix("_fp8").removesuffix("_fp4") for table in held} == set(limits)


def test_small_kernels_and_routing_have_records() -> None:
    """What a service adds is read from the records in SI; live tokens touch fewer experts, and never none."""
    found = load_service_constants(CATALOGUE)
    values = CATALOGUE.record("calibration", "service").quantities
    assert found.other_s == pytest.approx(values["service.other_us"].value * 1e-6)
    assert found.router_s == pytest.approx(values["service.router_us"].value * 1e-6)
    assert found.gap_s == pytest.approx(values["service.gap_ms"].value * 1e-3)
    assert 0 < found.routing_exponent < 1
