"""Lists of the catalogues: filters, order, and the word for no."""

from __future__ import annotations

import pytest

from tests.conftest import ask, command


def _ids(*arguments: str) -> list[str]:
    return [row["id"] for row in ask(*arguments)["results"]]


def test_filters() -> None:
    every = _ids("hardware", "list")
    superpods = _ids("hardware", "list", "--class", "superpod")
    others = _ids("hardware", "list", "--class", "scale-out")
    assert "gb200-nvl72" in superpods
    assert "h800" in others
    assert not set(superpods) & set(others)
    assert set(superpods) | set(others) < set(every)  # the incomplete ones have no class
    amd = {"helios", "mi300x", "mi325x", "mi350x", "mi355x"}
    assert set(_ids("hardware", "list", "--vendor", "amd")) == amd
    large = ask("hardware", "list", "--min-memory-gb", "256", "--min-fp8-tflops", "4 PFLOP/s")["results"]
    assert large
    assert all(row["memory_gb"] >= 256 and row["fp8_tflops"] >= 4000 for row in large)
    assert _ids("hardware", "list", "--kind", "interconnect", "--min-gb-per-s", "1 TB/s")
    wide = ask("models", "list", "--min-total-params", "5e11", "--vendor", "deepseek")["results"]
    assert {row["id"] for row in wide} == {"deepseek-v3", "deepseek-v3.2", "deepseek-v4-pro"}


def test_sort() -> None:
    rows = ask("hardware", "list", "--sort=-memory_gb")["results"]
    known = [row["memory_gb"] for row in rows if row["memory_gb"] is not None]
    assert known == sorted(known, reverse=True)
    rates = [row["fp8_tflops"] for row in ask("hardware", "list", "--sort", "fp8_tflops")["results"]]
    first_unknown = rates.index(None)
    assert rates[first_unknown:] == [None] * (len(rates) - first_unknown)
    assert rates[:first_unknown] == sorted(rates[:first_unknown])


def test_nothing_passes_is_a_no_with_the_nearest() -> None:
    outcome = command("hardware", "list", "--min-memory-gb", "1 TB")
    assert outcome.status == 1
    assert outcome.complaint == "no system passes the filters; the largest memory_gb is 432 (helios)"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--vendor", "nvidiaa"), "--vendor 'nvidiaa' is not known; did you mean 'nvidia'"),
        (("--class", "superpods"), "--class 'superpods' is not valid; did you mean 'superpod'"),
        (("--class", "superpod", "--kind", "accelerator"), "--class applies to systems"),
        (("--sort", "memory"), "--sort 'memory' is no key of these records; did you mean 'memory_gb'"),
        (("--min-memory-gb", "much"), "'much' is not a number in GB"),
        (("--min-memory-gb", "80 GB/s"), "is not a unit of this value"),
    ],
)
def test_bad_filters(arguments: tuple[str, ...], says: str) -> None:
    outcome = command("hardware", "list", *arguments)
    assert outcome.status == 2
    assert says in outcome.complaint
