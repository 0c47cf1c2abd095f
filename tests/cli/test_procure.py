"""The command `procure` as its users meet it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.conftest import ONE_PLAN_OPTIONS, ask, command

pytestmark = pytest.mark.usefixtures("answered_once")

QUESTION = ("--model", "deepseek-v3", "--tpot-ms", "50", "--max-devices", "64", *ONE_PLAN_OPTIONS)
BASE = ("procure", "--systems", "h800,h20", *QUESTION, "--demand", "30000")
PRICES = ("--price", "h800=2", "--price", "h20=0.9")
FIXED = (
    "system",
    "mode",
    "n_devices",
    "tokens_per_s_per_device",
    "usd_per_million_tokens",
    "watts_per_token_per_s",
    "power_kw",
    "capex_usd",
)


def test_json() -> None:
    answer = ask(*BASE, *PRICES)
    assert answer["command"] == "procure"
    rows = answer["results"]
    assert {(row["system"], row["mode"]) for row in rows} == {
        (system, mode) for system in ("h800", "h20") for mode in ("ep", "afd")
    }
    for row in rows:
        assert set(FIXED) <= row.keys()
        assert row["n_devices"] % 8 == 0
        assert row["usd_per_million_tokens"] > 0
        assert row["capex_usd"] is None
    assert answer["summary"]["best"] == rows[0]["system"]
    assert answer["summary"]["answer"].startswith(f"{rows[0]['system']} with ")
    assert answer["inputs"]["systems"] == ["h800", "h20"]
    assert answer["inputs"]["prices"] == {"h800": 2, "h20": 0.9}
    assert answer["inputs"]["demand_tokens_per_s"] == 30000


def test_csv_has_the_keys_of_json() -> None:
    piped = command(*BASE, *PRICES, "--all-columns", "--why")
    assert piped.status == 0
    rows = list(csv.DictReader(io.StringIO(piped.out)))
    results = ask(*BASE, *PRICES)["results"]
    assert set(rows[0]) == set(results[0])
    for row, other in zip(rows, results, strict=True):
        for key in FIXED:
            assert row[key] == ("" if other[key] is None else str(other[key]))
    assert "note: price of h800: 2 USD/h a device, as given" in piped.err


def test_table() -> None:
    table = command(*BASE, "--price", "h800=2", "--format", "table")
    lines = table.out.splitlines()
    assert "decodes 30,000 tokens/s for" in lines[0]
    body = [line.split() for line in lines if line[:1] == " " and line.strip()[:2].strip().isdigit()]
    assert [line[0] for line in body] == ["1", "2", "3", "4"]
    assert [line[1] for line in body] == ["h800", "h800", "h20", "h20"]
    assert "-" in body[2]
    assert "note: no rent price of h20 on three-year terms is known" in table.err
    assert "give --price h20=USD" in table.err
    assert "| rank | system |" in command(*BASE, "--format", "markdown").out


def test_a_value_may_be_set_for_one_candidate() -> None:
    """More bandwidth for one leaves the other as it was; a candidate that is none is an unknown key."""

    def rates(*more: str) -> dict[str, float]:
        rows = ask(*BASE, *PRICES, *more)["results"]
        return {row["system"]: row["tokens_per_s_per_device"] for row in rows if row["mode"] == "ep"}

    before, after = rates(), rates("--set", "H20.memory_gb_per_s=8000")
    assert after["h800"] == before["h800"]
    assert after["h20"] > before["h20"]
    assert "unknown key 'h21.memory_gb'" in command(*BASE, "--set", "h21.memory_gb=192").complaint


def test_a_pair_is_written_with_a_plus() -> None:
    rows = ask("procure", "--systems", "h20+h800", *QUESTION, "--demand", "30000", *PRICES)["results"]
    assert [(row["system"], row["mode"]) for row in rows] == [("h20+h800", "afd")]
    assert rows[0]["n_attention_devices"] + rows[0]["n_ffn_devices"] == rows[0]["n_devices"]


def test_users_instead_of_a_demand() -> None:
    question = ("procure", "--systems", "h800", *QUESTION[:2], *QUESTION[4:])
    answer = ask(*question, "--users", "1500", "--user-tokens-per-s", "20")
    assert answer["inputs"]["demand_tokens_per_s"] == 30000
    assert answer["inputs"]["tpot_ms"] == 50


def test_purchase() -> None:
    rows = ask(*BASE, "--price-basis", "purchase", "--price", "h800=25000", "--years", "5")["results"]
    bought = [row for row in rows if row["system"] == "h800"]
    assert [row["capex_usd"] for row in bought] == [row["n_devices"] * 25000 for row in bought]
    assert {row["capex_usd"] for row in rows if row["system"] == "h20"} == {None}


def test_systems_named_twice_count_once() -> None:
    once, twice = (ask(*BASE[:2], names, *BASE[3:])["results"] for names in ("h800", "h800, h800"))
    assert once == twice


def test_a_scenario_file(tmp_path: Path) -> None:
    """All options of one question in a file, prices as a list or a table; the command line wins."""
    path = tmp_path / "purchase.toml"
    results = ask(*BASE, *PRICES)["results"]
    for prices in ('price = ["h800=2", "h20=0.9"]', "[price]\nh800 = 2\nh20 = 0.9"):
        path.write_text(
            'systems = "h800,h20"\nmodel = "deepseek-v3"\ntpot_ms = 50\nmax_devices = 64\ndemand = 100\n'
            'tensor_parallel = 1\ncontext_parallel = 1\nexpert_tensor_parallel = 1\nafd_cut = "attention"\n'
            f"{prices}\n",
            "utf-8",
        )
        assert ask("procure", "--scenario", str(path), "--demand", "30000")["results"] == results


def test_infeasible_candidates() -> None:
    """A row without numbers beside the others; exit status 1 where there is no other."""
    question = ("procure", "--systems", "h800", "--model", "deepseek-v3", "--demand", "5000")
    rows = ask(*question, "--tpot-ms", "50", "--max-devices", "16")["results"]
    (refused,) = [row for row in rows if not row["feasible"]]
    assert rows[-1] == refused
    assert {key for key, value in refused.items() if value is not None} == {
        "system",
        "mode",
        "feasible",
        "binding",
    }
    no = command(*question, "--tpot-ms", "1")
    assert (no.status, no.out) == (1, "")
    assert no.complaint.startswith("no: h800, EP: binding is latency target: ")


BAD = {
    "unknown system": (("--systems", "h8000,h20"), "unknown system 'h8000'; did you mean 'h800'"),
    "unknown side": (("--systems", "h20+h80"), "unknown system 'h80'; did you mean 'h800' or 'h20'?"),
    "half a pair": (("--systems", "h20+"), "--systems 'h20+' is no system and no pair attention+ffn"),
    "three sides": (("--systems", "h20+h800+b200"), "is no system and no pair attention+ffn"),
    "a hole": (("--systems", "h20,,h800"), "--systems 'h20,,h800' is not a list a,b,c"),
    "nothing": (("--systems", ""), "--systems '' is not a list a,b,c"),
    "a pair of one": (("--systems", "h20,h20+h20"), "--systems names h20 twice"),
    "no number": (("--demand", "lots"), "'lots' is not a number"),
    "no demand at all": (("--demand", "0"), "--demand 0 must be above 0"),
    "endless": (("--demand", "inf"), "--demand inf"),
    "two demands": (("--users", "5", "--user-tokens-per-s", "20"), "a demand is one of --demand, --users"),
    "half a user": (("--users", "1.5"), "'1.5' is not a whole number"),
    "a trace beside": (("--trace", "/nowhere.csv"), "a demand is one of --demand, --users"),
    "scale": (("--trace-scale", "2"), "--trace-scale belongs to --trace"),
    "basis": (("--price-basis", "lease"), "--price-basis 'lease' is not valid; valid: purchase, rent, tco"),
    "terms": (("--price-terms", "on-demnd"), "did you mean 'on-demand'"),
    "terms of another basis": (("--price-terms", "street"), "--price-terms 'street' is not valid"),
    "price of nobody": (("--price", "2"), "--price '2' is not ID=USD, as h20=1.1"),
    "price in words": (("--price", "h20=cheap"), "--price 'h20=cheap' is not ID=USD"),
    "price of another": (("--price", "h100=2"), "--price 'h100' is none of the systems; did you mean"),
    "free": (("--price", "h20=0"), "--price h20 0 must be above 0"),
    "no price": (("--price", "h20=nan"), "--price h20 nan is not a finite number"),
    "two prices": (("--price", "h20=1", "--price", "h20=2"), "--price h20 is given twice"),
    "years": (("--years", "-1"), "--years -1 must be above 0"),
    "power": (("--power-usd-per-kwh", "-1"), "--power-usd-per-kwh -1 must be"),
    "pue": (("--pue", "0.5"), "--pue 0.5 must be at least 1"),
    "utilization": (("--utilization", "70"), "--utilization 70 must be"),
    "rate": (("--cny-per-usd", "0"), "--cny-per-usd 0 must be above 0"),
    "override": (("--set", "fp8_tflop=3"), "did you mean 'fp8_tflops'"),
    "file": (("--output", "answer.doc"), "suffix decides the format"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_one_line(what: str) -> None:
    arguments, says = BAD[what]
    outcome = command(*BASE, *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert says in outcome.complaint


def test_a_demand_is_required() -> None:
    assert "a demand is one of" in command(*BASE[:-2]).complaint
    assert "belong together" in command(*BASE[:-2], "--users", "5").complaint
    assert "Missing option '--systems'" in command("procure", *QUESTION, "--demand", "5").complaint


def test_help_is_a_question() -> None:
    text = " ".join(command("procure", "--help").out.split())
    assert "Which system serves a demand cheapest?" in text
    for option in ("--systems", "--demand", "--users", "--trace", "--price-basis", "--cny-per-usd", "--pue"):
        assert option in text
