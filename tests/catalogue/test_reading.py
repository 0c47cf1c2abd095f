"""Records: every fault is named, all of them at once, whatever the bytes."""

from __future__ import annotations

import pytest

from roofline_afd.catalogue.reading import RecordError, parse_record

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
        (("2000", "1" + "0" * 400), "holds a whole number beyond 64 bits"),
        (("2000", "1" + "0" * 5000), "holds a whole number beyond 64 bits"),
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
        (("[sources.plan]", "[sources.plan"), "is no TOML"),
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
        (b"a = " + b"[" * 100_000, "no TOML|nested too deeply"),
        (b"record = 'accelerator'\n" + b".".join([b"a"] * 40_000) + b" = 1", "nested too deeply|unknown key"),
        (b"record = 'accelerator'\n" + b"\n".join(b"k%d = 1" % i for i in range(15_000)), "unknown key 'k0'"),
        (b"", "missing record"),
        (b"[[record]]", "record: .* is not valid"),
    ],
)
def test_hostile_bytes(raw: bytes, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        parse_record(raw, file="mine.toml")
