"""Memory as users meet it: breakdowns, the largest batch and context, systems that hold a model."""

from __future__ import annotations

import attrs
import pytest

from roofline_afd import Scenario, predict_afd, predict_ep
from tests.conftest import ask, command

BASE = ("--system", "h800", "--model", "deepseek-v3")
PREDICT = ("predict", *BASE, "--devices", "64")
GPT_OSS = ("--model", "gpt-oss-120b")


def test_predict_and_compare_say_where_memory_goes() -> None:
    """A row has the parts of its devices, which make up what the driver reports; a note tells them."""
    for arguments in (
        (*PREDICT, "--batch", "32", "--engine", "vllm"),
        ("compare", *BASE, "--engine", "sglang", "--tpot-ms", "100", "--max-devices", "128"),
    ):
        answer = ask(*arguments)
        for row in answer["results"]:
            for memory in filter(None, (row["memory"], row["ffn_memory"])):
                assert memory["driver_gb"] == pytest.approx(81559 * 2**20 / 1e9)
                parts = sum(size for key, size in memory.items() if key != "driver_gb")
                assert parts == pytest.approx(memory["driver_gb"])
                assert memory["activations_gb"] > 0
                assert memory["libraries_gb"] > 0
            assert (row["ffn_memory"] is None) == (row["mode"] == "ep")
            assert any(note.startswith(f"{row['mode']}: memory of a") for note in answer["notes"])


def test_the_largest_batch_is_the_last_that_is_not_refused() -> None:
    """It is predicted like any other; one more is refused, with the largest terms and the nearest batch."""
    for engine in ("ideal", "vllm"):
        (row,) = ask(*PREDICT, "--largest-batch", "--engine", engine)["results"]
        most = row["largest_batch"]
        assert row["batch_per_device"] == most
        assert (row["largest_binding"], row["binding"]) == ("HBM capacity", "HBM capacity")
        same = ask(*PREDICT, "--batch", str(most), "--engine", engine)["results"][0]
        assert same["tpot_ms"] == row["tpot_ms"]
        refused = command(*PREDICT, "--batch", str(most + 1), "--engine", engine)
        assert refused.status == 1
        assert "cache" in refused.complaint
        assert "attention weights" in refused.complaint
        assert f"; --batch {most} does" in refused.complaint


def test_a_latency_target_can_bind_the_largest_batch() -> None:
    """Where one is given, the largest batch meets it, and the next does not."""
    free = ask(*PREDICT, "--largest-batch")["results"][0]
    target = free["tpot_ms"] * 0.6
    answer = ask(*PREDICT, "--largest-batch", "--tpot-ms", str(target))
    (row,) = answer["results"]
    assert row["largest_batch"] < free["largest_batch"]
    assert row["tpot_ms"] <= target
    assert answer["summary"]["largest_binding"] == "latency target"
    more = str(row["largest_batch"] + 1)
    assert command(*PREDICT, "--batch", more, "--tpot-ms", str(target)).status == 1


def test_the_longest_context_is_the_last_that_is_not_refused() -> None:
    """Of a batch that is given; a note says where the model is made for less."""
    answer = ask(*PREDICT, "--batch", "16", "--largest-context", "--engine", "vllm")
    longest = answer["summary"]["largest_context"]
    assert answer["inputs"]["context"] == longest
    at = (*PREDICT, "--batch", "16", "--engine", "vllm", "--context")
    assert command(*at, str(longest)).status == 0
    refused = command(*at, str(longest + 1))
    assert refused.status == 1
    assert "HBM capacity" in refused.complaint
    half = ask(*PREDICT, "--batch", "32", "--largest-context", "--engine", "vllm")
    assert half["summary"]["largest_context"] < longest


def test_python_answers_the_same() -> None:
    """The same questions as arguments of a function, answered as a table."""
    scenario = Scenario(system="h800", model="deepseek-v3", devices=64, engine="vllm")
    found = predict_ep(scenario, largest_batch=True)
    told = ask(*PREDICT, "--largest-batch", "--engine", "vllm")["results"][0]
    assert found["largest_batch"].tolist() == [told["largest_batch"]]
    pair = attrs.evolve(scenario, devices=None, attention_devices=32, ffn_devices=16, batch=16)
    longest = predict_afd(pair, largest_context=True)
    assert longest.attrs["summary"]["largest_context"] > 4096


def test_a_deployment_without_room_is_refused_by_both_questions() -> None:
    """No batch and no context helps where weights alone do not fit: exit 1, with the terms."""
    for arguments in (("--largest-batch",), ("--largest-context", "--batch", "1")):
        outcome = command("predict", *BASE, "--devices", "4", *arguments)
        assert outcome.status == 1
        assert outcome.complaint.startswith("no: binding is HBM capacity: weights take")
        assert "routed experts" in outcome.complaint


def test_a_comparison_without_room_names_the_largest_terms() -> None:
    """Of both modes, and how many devices would hold the model."""
    outcome = command("compare", *BASE, "--devices", "8", "--engine", "vllm")
    assert outcome.status == 1
    for mode in ("EP", "AFD"):
        assert f"{mode}: binding is HBM capacity" in outcome.complaint
    assert outcome.complaint.count("routed experts") == 2
    assert outcome.complaint.count("a device, of 8") == 2
    assert outcome.complaint.count("devices hold it (--devices)") == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--largest-batch", "--batch", "4"), "--batch and --largest-batch exclude each other"),
        (("--largest-batch", "--largest-context"), "--largest-batch and --largest-context exclude"),
        (("--largest-context",), "--batch is missing"),
    ],
)
def test_questions_that_contradict_themselves_are_refused(arguments: tuple[str, ...], complaint: str) -> None:
    outcome = command(*PREDICT, *arguments)
    assert outcome.status == 2
    assert complaint in outcome.complaint


def test_gpt_oss_does_not_fit_one_h100_with_vllm() -> None:
    """As users find (vllm-project/vllm, issues 23278, 27508, 33155); two hold it, or one without engine."""
    one = ("predict", "--system", "h100", *GPT_OSS, "--devices", "1", "--batch", "1")
    outcome = command(*one, "--engine", "vllm")
    assert outcome.status == 1
    assert "weights and what the engine holds take" in outcome.complaint
    assert "activations" in outcome.complaint
    assert "; 2 devices hold them" in outcome.complaint
    assert command(*one).status == 0
    assert command("predict", "--system", "h100", *GPT_OSS, "--devices", "2", "--batch", "1").status == 0


def test_systems_that_hold_a_model_need_the_devices_listed() -> None:
    """One sequence is predicted with so many devices, and refused with one fewer."""
    answer = ask("hardware", "list", "--holds", "deepseek-v3", "--vendor", "nvidia")
    rows = answer["results"]
    needed = [row["devices_needed"] for row in rows]
    assert needed == sorted(needed)
    assert {"h100", "h200", "b200"} <= {row["id"] for row in rows}
    for row in rows:
        if row["id"] not in {"h100", "h200", "gb200-nvl72"}:
            continue
        assert row["memory_needed_gb"] == pytest.approx(row["devices_needed"] * row["driver_gb"])
        asked = (
            "predict",
            "--system",
            row["id"],
            "--model",
            "deepseek-v3",
            "--batch",
            "1",
            "--microbatches",
            "1",
        )
        assert command(*asked, "--devices", str(row["devices_needed"])).status == 0
        assert command(*asked, "--devices", str(row["devices_needed"] - 1)).status == 1


def test_engines_and_contexts_never_need_fewer_devices() -> None:
    """What an engine keeps, and a longer sequence, only take room."""

    def needed(*more: str) -> dict[str, int]:
        rows = ask("hardware", "list", "--holds", "qwen3-235b-a22b", *more)["results"]
        return {row["id"]: row["devices_needed"] for row in rows}

    plain = needed()
    for asked in (needed("--engine", "vllm"), needed("--context", "100000")):
        assert set(asked) <= set(plain)
        assert all(count >= plain[name] for name, count in asked.items())
        assert any(count > plain[name] for name, count in asked.items())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--holds", "deepsek-v3"), "unknown model 'deepsek-v3'; did you mean"),
        (("--holds", "deepseek-v3", "--kind", "accelerator"), "--holds applies to systems"),
        (("--engine", "vllm"), "--engine belongs to --holds, which is missing"),
        (("--context", "100"), "--context belongs to --holds, which is missing"),
        (("--holds", "deepseek-v3", "--engine", "vlm"), "unknown engine 'vlm'; did you mean 'vllm'"),
    ],
)
def test_bad_questions_of_systems_are_refused_in_a_line(arguments: tuple[str, ...], complaint: str) -> None:
    outcome = command("hardware", "list", *arguments)
    assert outcome.status == 2
    assert complaint in outcome.complaint
