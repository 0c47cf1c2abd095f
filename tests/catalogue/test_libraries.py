"""Libraries of exchange kernels: their limits as published, for one exchange and for many at once."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roofline_afd.catalogue.libraries import Limits, load_library
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from tests.conftest import ask, command

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = Catalogue()
IDS = {
    "pair": {"deepep-v1-low-latency", "uccl-low-latency", "nccl-all-to-all", "pplx-garden", "hccl"},
    "rank": {"trtllm-one-sided", "trtllm-two-sided"},
    "node": {"deepep-v1-normal", "deepep-v2", "deepep-hybrid", "uccl-normal", "mori"},
}
V3: dict[str, Any] = {"devices_per_node": 8, "hidden_size": 7168, "top_k": 8, "experts": 256}


def limits_of(name: str) -> Limits:
    return load_library(name, catalogue=CATALOGUE).limits


def test_every_library_says_how_it_sends_tokens() -> None:
    """Others refer to these ids; none is an engine's, since a question may name either."""
    found = {name: load_library(name, catalogue=CATALOGUE).transport for name in CATALOGUE.ids("library")}
    assert found == {name: transport for transport, names in IDS.items() for name in names}
    assert not set(found) & set(CATALOGUE.ids("engine"))


@pytest.mark.parametrize("name", CATALOGUE.ids("library"))
def test_every_limit_names_kind_and_dated_source(name: str) -> None:
    """Lists and yes or no are no quantities, and are held to the same."""
    record = CATALOGUE.record("library", name)
    vendors = {each.text("vendor") for each in CATALOGUE.records("accelerator")}
    assert set(record.data["vendors"]) <= vendors
    for key, entry in record.data.get("limits", {}).items():
        assert all(record.sources[each].url and record.sources[each].date for each in entry["source"]), key
        assert entry["kind"] != "derived" or entry["note"], key


def test_normal_kernels_of_v1() -> None:
    """Within a node 2, 4 or 8 devices; over several whole nodes of eight, up to EP160."""
    normal = limits_of("deepep-v1-normal")
    within = [1, 2, 4, 8]
    whole = [8 * nodes for nodes in (2, 3, 4, 6, 8, 12, 16, 18, 20)]
    every = np.arange(1, 400)
    full = np.ceil(256 / every) * every  # redundant experts fill devices evenly
    runs = every[normal.allows(devices=every, **V3 | {"experts": full})]
    assert runs.tolist() == within + whole
    assert max(whole) == 160
    rack = V3 | {"devices_per_node": 72, "experts": full}
    assert every[normal.allows(devices=every, **rack)].tolist() == within + whole
    trays = V3 | {"devices_per_node": 4, "experts": full}  # four NVLink peers are not eight
    assert every[normal.allows(devices=every, **trays)].tolist() == [1, 2, 4]


def test_low_latency_kernels_of_v1() -> None:
    """Compiled widths, at most 511 tokens of a device, experts that divide; any number of devices."""
    fast = limits_of("deepep-v1-low-latency")
    assert fast.allows(devices=np.array([24, 32, 256, 512]), **V3).tolist() == [False, True, True, False]
    assert fast.allows(devices=24, **V3 | {"experts": 264})
    assert not fast.allows(devices=32, **V3 | {"hidden_size": 6000})
    assert fast.allows(devices=32, tokens=np.array([1, 511, 512]), **V3).tolist() == [True, True, False]
    assert fast.binding(devices=24, **V3) == "256 experts do not divide among 24 devices"
    odd = V3 | {"hidden_size": 6000}
    assert fast.binding(devices=32, **odd).startswith("hidden size 6000 is none of 2048")
    assert fast.binding(devices=32, tokens=600, **V3) == "600 tokens a device exceed 511"
    assert fast.binding(devices=32, **V3 | {"top_k": 22}) == "top-k 22 exceeds 16"
    assert fast.binding(devices=32, **V3) == ""
    assert fast.most_tokens(devices=np.array([1, 24, 32]), **V3).tolist() == [np.inf, 0, 511]


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("deepep-v2", {"devices": 4096, "experts": 4096}, "4,096 devices exceed 2,048"),
        ("deepep-v2", {"devices": 2048, "experts": 2048}, ""),
        ("deepep-hybrid", {"devices": 64, "hidden_size": 2880}, "hidden size 2880 is no multiple of 512"),
        ("trtllm-one-sided", {"devices": 16}, "16 devices exceed the 8 of a scale-up domain"),
        ("trtllm-one-sided", {"devices": 64, "devices_per_node": 72}, ""),
        ("trtllm-one-sided", {"devices": 72, "devices_per_node": 72}, ""),
        ("trtllm-one-sided", {"devices": 8, "top_k": 32}, "top-k 32 exceeds 22"),
        ("trtllm-two-sided", {"devices": 9}, "9 devices exceed the 8 of a scale-up domain"),
        ("uccl-normal", {"devices": 48}, "6 nodes of 8 are none of 2, 3, 4, 8, 16"),
        (
            "uccl-low-latency",
            {"devices": 8, "hidden_size": 3072},
            "hidden size 3072 is none of 2048",
        ),
        ("mori", {"devices": 40}, ""),
        ("nccl-all-to-all", {"devices": 4001, "top_k": 200, "hidden_size": 17}, ""),
        ("pplx-garden", {"devices": 513}, "513 devices exceed 512"),
        ("hccl", {"devices": 32, "tokens": 513}, "513 tokens a device exceed 512"),
        ("deepep-v1-normal", {"devices": 6, "experts": 252}, "6 devices of a node are none of 2, 4, 8"),
        ("deepep-v1-normal", {"devices": 12, "experts": 252}, "12 devices are no whole nodes of 8 that"),
    ],
)
def test_what_binds_is_said(name: str, asked: dict[str, Any], words: str) -> None:
    """In words, and as `allows` has it: a table that ends at EP32 is no limit."""
    found = limits_of(name).binding(**V3 | asked)
    assert found.startswith(words) if words else found == ""
    assert bool(limits_of(name).allows(**V3 | asked)) == (found == "")


@given(
    st.sampled_from(CATALOGUE.ids("library")),
    st.lists(st.integers(1, 3000), min_size=1, max_size=8),
    st.sampled_from([1, 300, 5000]),
    st.fixed_dictionaries(
        {
            "devices_per_node": st.sampled_from([1, 4, 8, 64, 72]),
            "hidden_size": st.sampled_from([2048, 2880, 3584, 6000, 7168]),
            "top_k": st.integers(1, 40),
            "experts": st.integers(1, 600),
        }
    ),
)
def test_many_exchanges_are_as_one(name: str, devices: list[int], tokens: int, asked: dict[str, Any]) -> None:
    """Elementwise; reasons and most tokens agree with it; one device exchanges nothing."""
    limits = limits_of(name)
    fits = limits.allows(devices=np.array(devices), tokens=tokens, **asked)
    most = limits.most_tokens(devices=np.array(devices), **asked)
    for each, fit, limit in zip(devices, fits, most, strict=True):
        assert fit == limits.allows(devices=each, tokens=tokens, **asked)
        assert fit == (limits.binding(devices=each, tokens=tokens, **asked) == "")
        assert fit == (tokens <= limit)
        assert fit or each > 1


def test_experts_divide_among_the_devices_that_hold_them() -> None:
    """Of two groups all are ranks, and the second holds the experts."""
    fast = limits_of("deepep-v1-low-latency")
    assert fast.allows(devices=24, expert_devices=8, **V3)
    assert not fast.allows(devices=32, expert_devices=24, **V3)


def test_what_is_absent_is_no_limit() -> None:
    """Limits that say nothing allow everything."""
    for devices, hidden, tokens in itertools.product((1, 7, 10**6), (1, 7168), (1, 10**6)):
        asked = {"devices_per_node": 3, "hidden_size": hidden, "top_k": 300, "experts": 5}
        assert Limits().allows(devices=devices, tokens=tokens, **asked)


def test_an_unknown_library_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown library 'deepep-v1-norml'; did you mean"):
        load_library("deepep-v1-norml", catalogue=CATALOGUE)


def test_libraries_are_listed_and_shown() -> None:
    """With the others: each limit with its kind, and in full with its source."""
    rows = {row["id"]: row for row in ask("hardware", "list", "--kind", "library")["results"]}
    assert rows["deepep-v1-normal"]["limits.nodes"] == [2, 3, 4, 6, 8, 12, 16, 18, 20]
    assert rows["trtllm-one-sided"]["limits.one_domain"] is True
    (row,) = ask("hardware", "show", "hccl")["results"]
    assert (row["limits.max_tokens"], row["limits.max_tokens_kind"]) == (512, "datasheet")
    assert row["limits.max_tokens_source"].startswith("Ascend/op-plugin")
    assert row["transport_source"]
    table = command("hardware", "list", "--kind", "library", "--format", "table").out
    assert "2, 3, 4, 6, 8, 12, 16, 18, 20" in re.sub(r"\s+", " ", table)


def test_a_library_of_the_user_is_found(tmp_path: Path) -> None:
    """And checked: a limit without a source is a fault."""
    mine = tmp_path / "mine.toml"
    text = """schema = 1
record = "library"
id = "mine"
name = "our kernels"
transport = "rank"
source = "us"

[limits]
nodes = { value = [2, 5], kind = "measured", source = "us" }
node_devices = { value = [8], kind = "measured", source = "us" }

[sources.us]
title = "our repository"
date = "2026-11"
"""
    mine.write_text(text)
    subject = ("predict", "--system", "h800", "--model", "deepseek-v3", "--batch", "8")
    asked = (*subject, "--deployable-with", "mine", "--hardware-db", str(mine))
    assert ask(*asked, "--devices", "40")["inputs"]["deployable_with"] == "mine"
    outcome = command(*asked, "--devices", "32")
    assert outcome.status == 1
    assert "mine: 4 nodes of 8 are none of 2, 5; nearest: --devices 40" in outcome.complaint
    mine.write_text(text.replace(', source = "us" }\nnode', " }\nnode"))
    outcome = command(*asked, "--devices", "40")
    assert (outcome.status, "missing source" in outcome.complaint) == (2, True)
