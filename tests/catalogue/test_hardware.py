"""Systems: how they are sold, which are incomplete and how to complete them, and the worked examples."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from roofline_afd.catalogue.hardware import PEAK_KEYS, load_system, system_parts
from roofline_afd.catalogue.reading import parse_record
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from tests.catalogue.shipped import ACCELERATORS, CATALOGUE, INCOMPLETE, KINDS, QUANTITIES, SYSTEMS
from tests.conftest import ROOT

if TYPE_CHECKING:
    from roofline_afd.catalogue.records import Record


DOMAINS = {
    "a100": (8, 8),
    "h20": (8, 8),
    "h800": (8, 8),
    "b300": (8, 8),
    "gb200-nvl72": (4, 72),
    "gb300-nvl72": (4, 72),
    "rubin-nvl72": (4, 72),
    "mi300x": (8, 8),
    "mi325x": (8, 8),
    "mi350x": (8, 8),
    "mi355x": (8, 8),
    "rtx-pro-6000": (8, 8),
    "helios": (4, 72),
    "cloudmatrix384": (16, 768),
    "ascend-910b2": (8, 8),
    "atlas-950": (64, 8192),
    "tpu-v5e": (8, 256),
    "tpu-v5p": (4, 6144),
    "tpu-v6e": (8, 256),
    "tpu-v7": (4, 9216),
    "trn2": (16, 16),
    "trn2-ultraserver": (16, 64),
    "trn3-ultraserver-gen1": (16, 64),
    "trn3-ultraserver-gen2": (4, 144),
    "gaudi3": (8, 8),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_node_and_domain_sizes(name: str) -> None:
    """Nodes fill the scale-up domain, and the superpods are those whose domain holds two nodes."""
    system = load_system(name, catalogue=CATALOGUE)
    node, domain = DOMAINS[name]
    assert (system.devices_per_node, system.scale_up_domain_devices) == (node, domain)
    assert domain % node == 0
    assert system.superpod == (domain >= 2 * node)


@pytest.mark.parametrize("record", SYSTEMS.values(), ids=lambda record: record.id)
def test_systems_fit_their_parts(record: Record) -> None:
    """A domain is no larger than its fabric allows, and no system repeats another."""
    quantities = system_parts(record.id, catalogue=CATALOGUE).quantities
    if {"scale_up_domain_devices", "scale_up_max_devices"} <= set(quantities):
        assert quantities["scale_up_domain_devices"].value <= quantities["scale_up_max_devices"].value
    if {"scale_up_gb_per_s", "scale_out_gb_per_s"} <= set(quantities):
        assert quantities["scale_out_gb_per_s"].value < quantities["scale_up_gb_per_s"].value

    def product(other: Record) -> tuple[object, ...]:
        values = {key: quantity.value for key, quantity in other.quantities.items()}
        keys = ("accelerator", "scale_up", "scale_out")
        return (*(other.text(key) for key in keys), sorted(values.items()))

    assert [other.id for other in SYSTEMS.values() if product(other) == product(record)] == [record.id]


def test_the_ways_they_are_sold() -> None:
    """Each product a buyer can name has a system."""
    wanted = {
        "a100",
        "h100",
        "h800",
        "h200",
        "h20",
        "b200",
        "b300",
        "gb200-nvl72",
        "gb300-nvl72",
        "l40s",
        "rtx-pro-6000",
    }
    wanted |= {"cloudmatrix384", "atlas-950", "mi300x", "mi325x", "mi350x", "mi355x", "helios", "gaudi3"}
    wanted |= {"tpu-v5e", "tpu-v5p", "tpu-v6e", "tpu-v7", "trn2-ultraserver", "rubin-nvl72"}
    wanted |= {"trn3-ultraserver-gen1", "trn3-ultraserver-gen2", "h100-roce-400", "b200-infiniband-800"}
    assert wanted <= set(SYSTEMS)
    sold = {record.text("accelerator") for record in SYSTEMS.values()}
    assert set(ACCELERATORS) - sold == {"ascend-910c"}, "the systems count dies, not packages"


# ------------------------------------------------------------------------------- known but incomplete


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_loads_or_says_what_is_missing(name: str) -> None:
    """Known-but-incomplete systems answer with one line that names every missing key."""
    if name not in INCOMPLETE:
        system = load_system(name, catalogue=CATALOGUE)
        assert set(system.accelerator.peak_flop_per_s) <= set(PEAK_KEYS)
        assert system.scale_up.bytes_per_s > 0
        return
    with pytest.raises(InputError, match="known but incomplete: no source gives") as caught:
        load_system(name, catalogue=CATALOGUE)
    message = str(caught.value)
    assert "\n" not in message
    assert all(key in message for key in INCOMPLETE[name])
    assert set(system_parts(name, catalogue=CATALOGUE).missing) >= INCOMPLETE[name]


def test_what_is_missing_can_be_supplied() -> None:
    """Overrides complete an incomplete system, which then computes."""
    given: dict[str, float | str] = {
        "bf16_tflops": 300.0,
        "memory_gb_per_s": 2000.0,
        "scale_up_gb_per_s": "400 GB/s",
    }
    system = load_system("p800", overrides=given, catalogue=CATALOGUE)
    assert system.accelerator.memory_bytes == 96e9
    assert system.scale_up.bytes_per_s == 400e9


def test_memory_is_the_drivers_and_follows_the_makers_figure_where_that_is_set() -> None:
    """In proportion, so that a change of either kind of figure changes what a device holds."""
    h800 = load_system("h800", catalogue=CATALOGUE).accelerator.memory_bytes
    assert h800 == 81559 * 2**20
    for given, share in (({"memory_gb": 160.0}, 2.0), ({"memory_gb": 80.0}, 1.0)):
        changed = load_system("h800", overrides=given, catalogue=CATALOGUE)
        assert changed.accelerator.memory_bytes == pytest.approx(h800 * share)
    read = load_system(
        "h800", overrides={"memory_driver_mib": 1024.0, "memory_gb": 10.0}, catalogue=CATALOGUE
    )
    assert read.accelerator.memory_bytes == 2**30


def test_a_system_without_a_fabric_can_be_completed() -> None:
    """Even a part without any scale-up record takes the missing values from the user."""
    given = {"bf16_tflops": 1.0, "scale_up_gb_per_s": 1.0, "scale_up_efficiency": 0.5}
    assert load_system("cerebras-wse-3", overrides=given, catalogue=CATALOGUE).scale_up.id == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "gb200",
            "gb200 is an accelerator, not a system; systems with it: gb200-nvl72, gb200-nvl72-infiniband-800",
        ),
        ("ascend-910c", "ascend-910c is an accelerator, not a system; no system of the catalogue has it"),
        ("ici-v6e", "ici-v6e is an interconnect, not a system; systems with it: tpu-v6e"),
        ("efa-v2", "efa-v2 is an interconnect, not a system; systems with it: h100-efa-v2"),
    ],
)
def test_a_part_is_not_a_system(name: str, message: str) -> None:
    """Asking for a part names the systems that contain it."""
    with pytest.raises(InputError) as caught:
        load_system(name, catalogue=CATALOGUE)
    assert str(caught.value) == message


# ---------------------------------------------------------------------------------------------- the docs


def readme() -> str:
    return (ROOT / "hardware_db" / "README.md").read_text(encoding="utf-8")


def test_the_examples_of_the_readme_work(tmp_path: Path) -> None:
    """The worked example parses as it stands and makes a system."""
    blocks = re.findall(r"```toml\n(.*?)```", readme(), flags=re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        found = re.search(r'^id = "(.*)"$', block, flags=re.MULTILINE)
        assert found
        parse_record(block.encode(), file=f"{found[1]}.toml")
        (tmp_path / f"{found[1]}.toml").write_text(block, encoding="utf-8")
    system = load_system("x1-node", catalogue=Catalogue(hardware_db=[tmp_path]))
    assert system.accelerator.peak_flop_per_s == {"bf16": 500e12, "fp8": 1000e12}
    assert [price.basis for price in system.prices] == ["rent"]
    assert not system.superpod


def test_the_readme_lists_every_field_and_every_incomplete_system() -> None:
    """Each key of the schema has a row, each incomplete system is listed."""
    text = readme()
    for kind in KINDS:
        assert f"`{kind}s/` ({len(CATALOGUE.ids(kind))})" in text, "run make docs"
    keys = {
        quantity.key for quantity in QUANTITIES if not quantity.key.startswith(("scale_up_", "scale_out_"))
    }
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []
    assert [name for name in sorted(INCOMPLETE) if f"`{name}`" not in text] == []


def test_a_torus_states_its_slices(tmp_path: Path) -> None:
    """A record without them is faulty, and so is one whose shapes have other dimensions than its links."""
    shipped = (files("hardware_db") / "interconnects" / "ici-v6e.toml").read_text("utf-8")
    head, _, rest = shipped.partition("[slices]")
    bare = head + "[sources" + rest.partition("[sources")[2]
    with pytest.raises(InputError, match="missing slices"):
        parse_record(bare.encode(), file="ici-v6e.toml")
    odd = shipped.replace("[1, 1], [2, 2]", "[1, 1, 1], [2, 2]")
    (tmp_path / "ici-v6e.toml").write_text(odd.replace("schema = 1", "schema = 1\nreplaces = true"), "utf-8")
    with pytest.raises(InputError, match="dimensions do not go together"):
        load_system("tpu-v6e", catalogue=Catalogue([tmp_path]))
