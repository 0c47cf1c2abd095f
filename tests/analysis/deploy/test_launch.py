"""Launch files: every flag is one that its software documents, and they say what was predicted."""

from __future__ import annotations

import csv
import functools
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from roofline_afd.analysis.decode.compare import compare
from roofline_afd.analysis.deploy.deploy import deploy
from roofline_afd.analysis.deploy.questions import Launch
from roofline_afd.analysis.deploy.targets import TARGETS
from roofline_afd.analysis.deploy.watch import watch_list
from roofline_afd.analysis.kept import scenario_of
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InfeasibleError, InputError
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from roofline_afd.analysis.answer import Answer

FOLDER = Path(__file__).parent / "documented"
QUESTIONS: dict[str, dict[str, Any]] = {
    "deepseek-v3 on h200": {"system": "h200", "model": "deepseek-v3", "tpot_ms": 50.0, "max_devices": 32},
    "qwen3 on gb200": {
        "system": "gb200-nvl72",
        "model": "qwen3-235b-a22b",
        "tpot_ms": 30.0,
        "max_devices": 32,
    },
}
REQUESTS: dict[str, Any] = {"isl": 4096, "osl": 1024, "ttft_ms": 2000.0}
KUBERNETES = {
    "apiVersion", "kind", "metadata.name", "data", "image", "command", "args", "name", "value", "mountPath",
    "volumeMounts", "volumes", "configMap.name", "labels", "fieldPath", "restartPolicy",
}  # fmt: skip
"""Last names of keys that Kubernetes itself documents: pods, their containers, and maps of configurations."""
BESIDE = {"afd-plugin": ("vllm",), "llm-d": ("vllm",), "dynamo": ("vllm", "sglang", "trtllm")}
"""Software whose names another passes on."""


@pytest.fixture(autouse=True)
def _nothing_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what to watch, which takes longer than the files: `test_watch` is about it."""
    monkeypatch.setattr("roofline_afd.analysis.deploy.deploy.watch_list", lambda _: [])


def documented(target: str) -> dict[str, str]:
    """Return the names that software documents, and the words one takes where they are few."""
    found: dict[str, str] = {}
    for each in (*BESIDE.get(target, ()), target):
        with (FOLDER / f"{each}.tsv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                found[row["name"]] = row["choices"]
    return found


@functools.cache
def _asked(target: str, question: str, requests: bool, more: tuple[tuple[str, Any], ...]) -> Answer:  # noqa: FBT001
    devices = {"devices": 32 if "h200" in question else 16} if requests else {}
    scenario = Scenario(**{**QUESTIONS[question], **devices, **dict(more)})
    return deploy(Launch(scenario, target=target, **(REQUESTS if requests else {})))


def ask(target: str, question: str, *, requests: bool = False, **more: object) -> Answer:
    """Return an answer, each asked for once."""
    return _asked(target, question, requests, tuple(more.items()))


def _pairs(words: list[str]) -> list[tuple[str, str | None]]:
    """Return the flags among words, each with the word behind it where that is no flag."""
    pairs: list[tuple[str, str | None]] = []
    for word, after in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("-"):
            pairs.append((word, None if after.startswith("--") else after))
    return pairs


def _flags(text: str) -> tuple[list[tuple[str, str | None]], list[str]]:
    """Return the flags of a script with their values, and the variables it exports."""
    line = text.replace("\\\n", " ").splitlines()[-1]
    names = ("--nodes=", "--ntasks", "--mpi=")
    words = [word for word in shlex.split(line) if not word.startswith(names)]
    if words[2:3] == ["-m"]:
        words = words[4:]
    return _pairs(words), re.findall(r"^export (\w+)=", text, flags=re.MULTILINE)


def _keys(document: object, prefix: str = "") -> set[str]:
    if isinstance(document, dict):
        return {key for name, value in document.items() for key in _keys(value, f"{prefix}{name}.")}
    if isinstance(document, list) and document and isinstance(document[0], dict):
        return {key for each in document for key in _keys(each, f"{prefix.rstrip('.')}[].")}
    return {prefix.rstrip(".")}


def _check(names: dict[str, str], pairs: list[tuple[str, str | None]], *, program: str = "") -> None:
    for name, value in pairs:
        known = name if name in names else f"{program} {name}"
        if "." in name and name.startswith("--"):  # a key of JSON as a flag
            assert name[2:] in names, name
            continue
        assert known in names, name
        if names[known] and value is not None:
            assert value in names[known].split("|"), (name, value)
        if value is not None and value.startswith("{"):
            keys = _keys(json.loads(re.sub(r"\$\{\w+\}", "x", value)))
            assert all(f"{name[2:]}.{key}" in names or key in names for key in keys), (name, keys)


def _check_manifest(target: str, text: str) -> None:
    names = documented(target)
    for document in yaml.safe_load_all(text):
        for key in _keys(document):
            last = key.rpartition(".")[2].removesuffix("[]")
            kubernetes = last in KUBERNETES or key.startswith(("metadata", "data", "apiVersion", "kind"))
            assert kubernetes or any(key.endswith(name) or name in key for name in names), key
        for container in _containers(document):
            command = container.get("command", ["routing-proxy"])
            words = container["args"]
            if command[0] == "/bin/bash":
                words = shlex.split(words[0])
            if command == ["routing-proxy"]:
                words = [part for word in words for part in word.split("=")]
            program = next((word for word in command if "dynamo" in word), command[-1])
            _check(names, _pairs(words), program=program)
            assert all(each["name"] in names for each in container.get("env", ()))


def _containers(document: object) -> list[dict[str, Any]]:
    if isinstance(document, list):
        return [found for each in document for found in _containers(each)]
    if not isinstance(document, dict):
        return []
    own = [document] if isinstance(document.get("args"), list) else []
    return own + [found for value in document.values() for found in _containers(value)]


CASES = [
    (target, question, requests) for target in TARGETS for question in QUESTIONS for requests in (False, True)
]


@pytest.mark.parametrize(("target", "question", "requests"), CASES)
def test_every_name_is_documented(target: str, question: str, *, requests: bool) -> None:
    """Flags, keys and variables are read back from the files, and held against what is documented."""
    answer = ask(target, question, requests=requests)
    names = documented(target)
    assert answer.files
    for file, text in answer.files.items():
        if file.endswith(".sh"):
            pairs, variables = _flags(text)
            assert len(pairs) > 1 or "disaggregated" in text
            disaggregated = "trtllm-serve disaggregated" in text
            _check(
                names, [(f"disaggregated: {name}" if disaggregated else name, value) for name, value in pairs]
            )
            assert all(name in names for name in variables)
        elif file in {"dynamo.yaml", "llm-d.yaml"}:
            _check_manifest(target, text)
        else:
            keys = _keys(yaml.safe_load(text))
            assert all(key in names for key in keys), keys - set(names)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash to read scripts with")
@pytest.mark.parametrize("target", ["vllm", "sglang", "trtllm", "afd-plugin"])
def test_a_shell_reads_the_scripts(target: str) -> None:
    for text in ask(target, "deepseek-v3 on h200").files.values():
        if text.startswith("#!"):
            subprocess.run(["bash", "-n"], input=text, text=True, check=True)  # noqa: S607 - the shell of the user


def _values(answer: Answer, file: str = "serve.sh") -> dict[str, str | None]:
    return dict(_flags(answer.files[file])[0])


def test_vllm_says_what_was_predicted() -> None:
    """Groups times devices that share heads are all devices; sequences are those of a group."""
    answer = ask("vllm", "deepseek-v3 on h200")
    row, flags = answer.summary["deployment"], _values(answer)
    groups, heads = int(flags["--data-parallel-size"] or 0), int(flags["--tensor-parallel-size"] or 0)
    assert groups * heads == row["n_devices"]
    assert int(flags["--max-num-seqs"] or 0) == row["batch_per_group"]
    assert ("--enable-dbo" in flags) == (row["microbatches"] == 2)
    experts = 256 + int(flags["--eplb-config.num_redundant_experts"] or 0)
    assert experts % row["n_devices"] == 0
    assert flags["--gpu-memory-utilization"] == "0.9"
    assert "deepseek-ai/DeepSeek-V3" in answer.files["serve.sh"]
    local = int(flags["--data-parallel-size-local"] or 0)
    assert local * heads == 8
    rest = _values(answer, "serve-other-nodes.sh")
    assert rest["--data-parallel-start-rank"] == f"$((NODE_RANK * {local}))"
    assert "--headless" in rest
    assert "--port" not in rest


def test_the_weights_asked_for_are_launched() -> None:
    """A model of the same shape by its own name, though one record describes both."""
    for name in ("deepseek-ai/DeepSeek-R1", "deepseek-r1"):
        answer = ask("vllm", "deepseek-v3 on h200", model=name, devices=16, batch=4)
        assert "exec vllm serve deepseek-ai/DeepSeek-R1 " in answer.files["serve.sh"]
    fp8 = ask("vllm", "qwen3 on gb200", devices=8, batch=4).files["serve.sh"]
    assert "exec vllm serve Qwen/Qwen3-235B-A22B-FP8 " in fp8


def test_sglang_says_what_was_predicted() -> None:
    """Its sizes are of all devices of a replica, and its limits of all groups together."""
    answer = ask("sglang", "deepseek-v3 on h200", requests=True)
    row = answer.summary["deployment"]
    flags = _values(answer, "decode.sh")
    groups = int(flags["--dp-size"] or 0)
    assert int(flags["--tp-size"] or 0) == row["n_devices"] == groups * row["tensor_parallel"]
    assert int(flags["--max-running-requests"] or 0) == groups * row["batch_per_group"]
    assert int(flags["--nnodes"] or 0) * 8 == row["n_devices"]
    assert flags["--context-length"] == "5120"
    before = _values(answer, "prefill.sh")
    share = row["n_prefill_attention_devices"] // row["prefill_tensor_parallel"]
    assert int(before["--chunked-prefill-size"] or 0) == share * row["chunk_tokens"]
    replicas = row["n_prefill_replicas"], row["n_replicas"]
    router = _flags(answer.files["router.sh"])[0]
    assert tuple(sum(name == flag for name, _ in router) for flag in ("--prefill", "--decode")) == replicas


def test_trtllm_holds_experts_in_slots() -> None:
    answer = ask("trtllm", "qwen3 on gb200")
    row, config = answer.summary["deployment"], yaml.safe_load(answer.files["serve.yaml"])
    assert config["tensor_parallel_size"] == row["n_devices"]
    assert config["moe_expert_parallel_size"] * config["moe_tensor_parallel_size"] == row["n_devices"]
    assert config["moe_config"]["load_balancer"]["num_slots"] == 128 + row["redundant_experts"]
    assert config["max_batch_size"] == row["batch_per_group"]
    assert row["tensor_parallel"] in {1, row["n_devices"]}
    assert row["microbatches"] == 1


def test_the_plugin_has_its_ratio_and_two_micro_batches() -> None:
    answer = ask("afd-plugin", "deepseek-v3 on h200")
    row = answer.summary["deployment"]
    assert row["mode"] == "afd"
    assert row["microbatches"] == 2
    assert row["n_attention_devices"] >= row["n_ffn_devices"]
    for role, devices in (("attention", row["n_attention_devices"]), ("ffn", row["n_ffn_devices"])):
        flags = _values(answer, f"{role}.sh")
        afd = json.loads(re.sub(r"\$\{\w+\}", "x", flags["--additional-config"] or ""))["afd"]
        assert afd["role"] == role
        assert (afd["num_attention_ranks"], afd["num_ffn_ranks"]) == (
            row["n_attention_devices"],
            row["n_ffn_devices"],
        )
        ranks = int(flags["--tensor-parallel-size"] or 0) * int(flags["--data-parallel-size"] or 0)
        assert ranks == devices
        assert "--enable-eplb" not in flags


def test_drafted_tokens_and_caches() -> None:
    """Layers that draft are named where a model has them, and said to be missing where it has none."""
    drafts: dict[str, Any] = {"accept_length": 1.8, "kv_precision": "fp8", "max_devices": 32}
    flags = _values(ask("vllm", "deepseek-v3 on h200", **drafts))
    assert json.loads(flags["--speculative-config"] or "") == {"method": "mtp", "num_speculative_tokens": 1}
    assert flags["--kv-cache-dtype"] == "fp8"
    assert "--enable-dbo" not in flags  # the two exclude each other
    flags = _values(ask("sglang", "deepseek-v3 on h200", **drafts))
    assert flags["--speculative-num-draft-tokens"] == "2"
    without = ask("sglang", "qwen3 on gb200", **drafts)
    assert "--speculative-algorithm" not in _values(without)
    assert any("qwen3-235b-a22b has no layers that draft" in each for each in without.summary["unexpressed"])


def test_what_cannot_be_expressed_is_said() -> None:
    """A deployment fixed by the user is launched as near as flags go, and the rest is said."""
    fixed: dict[str, Any] = {
        "tpot_ms": None,
        "devices": 16,
        "batch": 64,
        "microbatches": 2,
        "tensor_parallel": 2,
    }
    found = ask("trtllm", "deepseek-v3 on h200", **fixed).summary["unexpressed"]
    assert any("two micro-batches" in each for each in found)
    assert any("attention groups of 2 devices" in each for each in found)
    shared = ask("vllm", "deepseek-v3 on h200", devices=16, batch=8, expert_tensor_parallel=2)
    assert any("2 devices that share each expert" in each for each in shared.summary["unexpressed"])


def test_a_kept_answer_is_launched_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question is read from it, overrides of the catalogue among it."""
    system = load_system("h200", overrides={"scale_out_gb_per_s": 100.0})
    asked = Scenario(system=system, model="deepseek-v3", tpot_ms=40.0, engine="sglang")
    kept = compare(asked)
    again = scenario_of(kept)
    assert again.system.quantities["scale_out_gb_per_s"].value == 100
    assert compare(again).rows() == kept.rows()
    monkeypatch.setattr("roofline_afd.analysis.deploy.deploy.watch_list", watch_list)
    answer = deploy(Launch(again, target="sglang", answer=kept))
    row = kept.rows()[0]
    assert row["mode"] == "ep"
    assert answer.summary["deployment"]["n_devices"] == row["n_devices"]
    assert answer.rows()[0]["expected"] == pytest.approx(row["tpot_ms"], rel=1e-12)


@pytest.mark.parametrize(
    ("target", "changes", "error", "says"),
    [
        ("sglang", {"engine": "vllm"}, InputError, "--engine 'vllm' is not what SGLang runs; valid: sglang"),
        ("slang", {}, InputError, "did you mean 'sglang'"),
        ("vllm", {"max_devices": 4}, InfeasibleError, "binding is HBM capacity"),
        ("vllm", {"tpot_ms": 2.0}, InfeasibleError, "binding is latency target"),
    ],
)
def test_refusals(target: str, changes: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=re.escape(says)):
        ask(target, "deepseek-v3 on h200", **changes)
