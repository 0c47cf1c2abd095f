"""Software that launch files are written for: what documents its flags, and what they can say."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Software with flags: its name, the version and the text that its flags are taken from.

    `engines` are the records whose kernels and memory it may have, the first where none is named.
    """

    name: str
    version: str
    source: str
    engines: tuple[str, ...]
    shares_heads_within: bool = True
    """Whether some of the devices of a replica may share heads, not one or all of them alone."""
    heads_within_nodes: bool = True
    """Whether devices that share heads lie in one node."""
    shares_experts: bool = True
    """Whether devices may share experts by columns, while they divide them too."""
    overlaps: bool = True
    """Whether two micro-batches of expert parallelism can be overlapped."""
    drafts_overlapping: bool = True
    """Whether drafted tokens and two micro-batches go together."""
    disaggregates: bool = False
    """Whether it runs attention and experts on two groups of devices, and that alone."""


METRICS = {
    "vllm": {
        "tpot": "vllm:inter_token_latency_seconds",
        "ttft": "vllm:time_to_first_token_seconds",
        "sequences": "vllm:num_requests_running",
        "cache": "vllm:kv_cache_usage_perc",
    },
    "sglang": {
        "tpot": "sglang:inter_token_latency_seconds",
        "ttft": "sglang:time_to_first_token_seconds",
        "sequences": "sglang:num_running_reqs",
        "cache": "sglang:token_usage",
        "accepted": "sglang:spec_accept_length",
    },
}
"""What engines count, by the quantities of a watch list: vllm/v1/metrics/loggers.py of vLLM 0.33.0, and
python/sglang/srt/metrics/collector.py of SGLang."""
TARGETS = {
    "vllm": Target(
        name="vLLM",
        version="0.33.0",
        source="options of `vllm serve` in the package vllm 0.33.0 (PyPI), and its documentation on expert "
        "parallel deployment and disaggregated prefill",
        engines=("vllm",),
        shares_experts=False,
        drafts_overlapping=False,
    ),
    "sglang": Target(
        name="SGLang",
        version="main of August 2026, 001067ff",
        source="github.com/sgl-project/sglang, python/sglang/srt/server_args.py and its documentation on "
        "expert parallelism and disaggregation",
        engines=("sglang",),
        heads_within_nodes=False,
    ),
    "trtllm": Target(
        name="TensorRT-LLM",
        version="1.4.0rc0",
        source="github.com/NVIDIA/TensorRT-LLM, commands/serve.py, llmapi/llm_args.py and "
        "schemas/trtllm-serve-disagg-config.schema.json of tensorrt_llm",
        engines=("trtllm",),
        shares_heads_within=False,
        overlaps=False,
    ),
    "dynamo": Target(
        name="NVIDIA Dynamo",
        version="resources nvidia.com/v1beta1 with its images 1.3.1",
        source="github.com/ai-dynamo/dynamo, docs/kubernetes and components/src/dynamo",
        engines=("vllm", "sglang", "trtllm"),
        shares_experts=False,
        drafts_overlapping=False,
    ),
    "llm-d": Target(
        name="llm-d",
        version="guides with vLLM 0.22.1",
        source="github.com/llm-d/llm-d, guides/wide-ep-lws and guides/pd-disaggregation",
        engines=("vllm",),
        shares_experts=False,
        drafts_overlapping=False,
    ),
    "afd-plugin": Target(
        name="the AFD plugin of vLLM",
        version="1de1a990 for vLLM 0.30.0",
        source="github.com/vllm-project/afd-plugin, README.md and docs/gpu/NCCL_P2P_CONNECTOR_USER_GUIDE.md",
        engines=("vllm",),
        shares_experts=False,
        disaggregates=True,
    ),
}
"""Targets by the word that names them."""
