"""Published exchanges: the shipped file, halves that make one, and which of them a picture shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from roofline_afd import InputError, Scenario
from roofline_afd.analysis.bounds.questions import Fabric
from roofline_afd.analysis.evidence.operators.exchanges import (
    exchanges_of,
    measured_fabric,
    shipped_exchanges,
)
from roofline_afd.analysis.evidence.operators.libraries import library_of
from roofline_afd.analysis.evidence.operators.rows import read_measurements
from roofline_afd.catalogue.store import Catalogue

CATALOGUE = Catalogue()
HEADER = "id,operator,system,n_devices,precision,tokens,hidden,top_k,latency_us,engine,kernel,timing,source\n"


def _written(folder: Path, *rows: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows), "utf-8")
    return path


def test_shipped_rows_are_whole_and_sourced() -> None:
    rows = shipped_exchanges(CATALOGUE)
    assert 25 <= len(rows) <= 45
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert (row.operator, row.why_not) == ("exchange", ""), row.id
        assert all(row.texts[key] for key in ("source", "precision", "timing")), row.id
        assert library_of(row), row.id
        assert row.use == "fit" or row.use.startswith("check: "), row.id
        assert "parquet" not in row.texts["source"], row.id


def test_halves_of_one_setting_make_an_exchange(tmp_path: Path) -> None:
    path = _written(
        tmp_path,
        "a,dispatch,h800,16,fp8,128,7168,8,100,deepep-v1,low-latency,kernel,me",
        "b,combine,h800,16,bf16,128,7168,8,190,deepep-v1,low-latency,kernel,me",
        "c,dispatch,h800,32,fp8,128,7168,8,150,deepep-v1,low-latency,kernel,me",
        "d,combine,h800,16,bf16,64,7168,8,120,deepep-v1,low-latency,kernel,me",
        "e,exchange,h800,8,fp8,64,7168,8,130,deepep-v1,low-latency,kernel,me",
    )
    found = exchanges_of(read_measurements([path], catalogue=CATALOGUE))
    assert [(row.id, row.numbers["latency_us"]) for row in found] == [("e", 130), ("a and b", 290)]
    assert found[1].texts["precision"] == "fp8"


def test_halves_that_several_could_complete_are_left_out(tmp_path: Path) -> None:
    half = "dispatch,h800,16,fp8,128,7168,8,100,deepep-v1,low-latency,kernel,me"
    path = _written(
        tmp_path,
        f"a,{half}",
        f"b,{half}",
        "c,combine,h800,16,bf16,128,7168,8,190,deepep-v1,low-latency,kernel,me",
    )
    assert not exchanges_of(read_measurements([path], catalogue=CATALOGUE))


def test_published_points_of_the_systems_asked_are_in_the_picture() -> None:
    scenario = Scenario(system="cloudmatrix384", model="deepseek-v3", dispatch_precision="int8")
    points = measured_fabric(Fabric([scenario])).picture["points"]
    assert {each["n_devices"]: each["exchange_us"] for each in points} == {8: 234, 256: 301}
    assert all(each["system"] == "cloudmatrix384" for each in points)


def test_own_rows_are_added_and_other_shapes_left_out(tmp_path: Path) -> None:
    path = _written(
        tmp_path,
        "mine,exchange,h800,16,fp8,64,7168,8,200,,,kernel,me",
        "wide,exchange,h800,16,fp8,64,6144,8,200,,,kernel,me",
        "fewer,exchange,h800,16,fp8,64,7168,6,200,,,kernel,me",
        "elsewhere,exchange,h100,16,fp8,64,7168,8,200,,,kernel,me",
        "nowhere,exchange,unheard-of,16,fp8,64,7168,8,200,,,kernel,me",
    )
    scenario = Scenario(system="h800", model="deepseek-v3")
    plain = measured_fabric(Fabric([scenario]))
    answer = measured_fabric(Fabric([scenario], operators=[str(path)]))
    own = [each for each in answer.picture["points"] if each not in plain.picture["points"]]
    assert [(each["id"], each["alike"]) for each in own] == [("mine", False)]  # of no library it is known of
    assert [note for note in answer.notes if "not drawn" in note and "width" in note] == [
        "2 measured exchanges of these systems are of another width or top-k than deepseek-v3 has: not drawn"
    ]


def test_a_faulty_file_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path, "mine,exchange,h800,16,fp8,sixty,7168,8,200,,,kernel,me")
    with pytest.raises(InputError, match="row 2: tokens 'sixty'"):
        measured_fabric(Fabric([Scenario(system="h800", model="deepseek-v3")], operators=[path]))
