"""Configurations and commands of `trtllm-serve`, and its orchestrator between prefill and decode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.deploy.launch.texts import Flags, Setting, as_yaml, keys_of, script
from roofline_afd.analysis.deploy.pools import DECODE, PREFILL, SERVE

if TYPE_CHECKING:
    from roofline_afd.analysis.deploy.launch.files import Launched
    from roofline_afd.analysis.deploy.pools import Pool, Service

PORT, SERVICE_PORT = 8001, 8000
METHODS = {
    "trtllm-one-sided": "NVLINK_ONE_SIDED",
    "trtllm-two-sided": "NVLINK_TWO_SIDED",
    "deepep-v1-low-latency": "DEEPEPLOWLATENCY",
    "deepep-v1-normal": "DEEPEP",
}
"""What `TRTLLM_FORCE_COMM_METHOD` calls libraries of exchange kernels."""
CACHES = {"bf16": "auto", "fp8": "fp8", "fp4": "nvfp4", "nvfp4": "nvfp4"}
UPDATES_PER_STEP = 1
NAMES = {SERVE: "serve", PREFILL: "context", DECODE: "generation"}


def config_of(service: Service, pool: Pool, launched: Launched) -> dict[str, Any]:
    """Return the configuration of a pool.

    Parameters
    ----------
    service : Service
        What is launched.
    pool : Pool
        One of its pools.
    launched : Launched
        Where what cannot be said is kept.

    Returns
    -------
    dict
        Keys of a configuration file.
    """
    tokens = service.scenario.query_tokens * pool.sequences
    chunk = pool.step_tokens or 0
    step = max(tokens + (chunk if pool.role == SERVE else 0), chunk)
    if pool.role == SERVE and not chunk:
        step = max(step, service.scenario.engine.step_tokens)
    config: dict[str, Any] = {
        "tensor_parallel_size": pool.devices,
        "moe_expert_parallel_size": pool.expert_parallel,
        "moe_tensor_parallel_size": pool.expert_tensor_parallel,
        "enable_attention_dp": pool.groups > 1,
        "max_batch_size": pool.sequences or _prompts(service, chunk),
        "max_num_tokens": step,
    }
    if service.longest is not None:
        config["max_seq_len"] = service.longest
    else:
        launched.left("max_seq_len", "the longest request: the question names a mean context alone")
    cache = CACHES.get(service.scenario.kv_precision)
    if cache is None:
        launched.cannot(f"caches in {service.scenario.kv_precision}: no dtype of kv_cache_config is that")
    config["kv_cache_config"] = {
        "free_gpu_memory_fraction": round(1 - service.scenario.reserve, 4),
        "dtype": cache or "auto",
    }
    if pool.every > 1 and pool.groups > 1:
        wait = {"enable_balance": True, "batching_wait_iters": pool.every - 1}
        config["attention_dp_config"] = wait
    if pool.role == PREFILL:
        config["disable_overlap_scheduler"] = True
    else:
        config["cuda_graph_config"] = {"enable_padding": True, "max_batch_size": max(pool.sequences, 1)}
    if pool.balanced and pool.devices > 1:
        slots = service.scenario.model.routed_experts + pool.redundant_experts
        balancer = {"num_slots": slots, "layer_updates_per_iter": UPDATES_PER_STEP}
        config["moe_config"] = {"load_balancer": balancer}
    if pool.role != SERVE:
        config["cache_transceiver_config"] = {
            "backend": "NIXL",
            "max_tokens_in_buffer": service.longest,
        }
    if service.drafted and pool.role != PREFILL:
        if service.scenario.model.mtp_layers:
            config["speculative_config"] = {"decoding_type": "MTP", "max_draft_len": service.drafted}
        else:
            launched.no_drafts(service, "speculative_config")
    _unsaid(pool, launched)
    return config


def _prompts(service: Service, chunk: int) -> int:
    """Return how many prompts a step computes, or parts of them."""
    return max(-(-chunk // service.workload.isl), 1) if service.workload else 1


def _unsaid(pool: Pool, launched: Launched) -> None:
    """Keep what of a pool has no key."""
    if 1 < pool.tensor_parallel < pool.devices:
        launched.cannot(
            f"attention groups of {pool.tensor_parallel} devices: TensorRT-LLM has one device a group, or "
            "all of them (--tensor-parallel 1)"
        )
    if pool.context_parallel > 1:
        launched.cannot(
            f"{pool.context_parallel} devices that share a cache among those that share heads: its context "
            "parallelism takes devices of its own (--context-parallel 1)"
        )
    if pool.microbatches > 1:
        launched.cannot("two micro-batches: TensorRT-LLM overlaps none (--microbatches 1)")
    if pool.library and pool.library not in METHODS and pool.devices > 1:
        launched.cannot(f"the exchange kernels of {pool.library}: TensorRT-LLM chooses its own")


def write(service: Service, launched: Launched) -> None:
    """Write a configuration and a script for each pool, and those of the orchestrator where there are two."""
    for pool in service.pools:
        name = NAMES[pool.role]
        config = config_of(service, pool, launched)
        launched.file(f"{name}.yaml", as_yaml(config, above=launched.above(pool)), keys_of(config))
        flags = Flags()
        method = METHODS.get(pool.library)
        if method and pool.devices > 1:
            flags.export("TRTLLM_FORCE_COMM_METHOD", method, says=f"kernels of {pool.library}")
        flags.add("--config", f"{name}.yaml", says="configuration of the replica")
        flags.add("--host", "0.0.0.0", says="address of the server")  # noqa: S104 - what a server listens on
        flags.add("--port", PORT if pool.role != SERVE else SERVICE_PORT, says="port of the server")
        program = f"trtllm-serve {service.weights}"
        if pool.nodes(pool.devices) > 1:
            program = (
                f"srun --nodes={pool.nodes(pool.devices)} --ntasks={pool.devices} "
                f"--ntasks-per-node={pool.system.devices_per_node} --mpi=pmix trtllm-llmapi-launch {program}"
            )
        launched.file(f"{name}.sh", script(program, flags, above=launched.above(pool)), flags)
    if len(service.pools) > 1:
        _write_orchestrator(service, launched)


def _write_orchestrator(service: Service, launched: Launched) -> None:
    """Write what stands in front of both pools."""
    config: dict[str, Any] = {"hostname": "0.0.0.0", "port": SERVICE_PORT}  # noqa: S104 - as above
    for role in (PREFILL, DECODE):
        many = service.pool(role).replicas
        urls = [f"{NAMES[role]}-{number}:{PORT}" for number in range(many)]
        config[f"{NAMES[role]}_servers"] = {"num_instances": many, "urls": urls}
    launched.left("urls of orchestrator.yaml", "host names of the replicas")
    above = launched.head("The orchestrator in front of both pools.")
    launched.file("orchestrator.yaml", as_yaml(config, above=above), keys_of(config))
    flags = Flags([Setting("-c", "orchestrator.yaml", "the replicas")])
    launched.file("orchestrator.sh", script("trtllm-serve disaggregated", flags, above=above), flags)
