"""Flags of `sglang.launch_server`, and of the router between prefill and decode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.analysis.deploy.launch.files import on_nodes
from roofline_afd.analysis.deploy.launch.texts import Expansion, Flags, script
from roofline_afd.analysis.deploy.pools import DECODE, PREFILL, SERVE

if TYPE_CHECKING:
    from roofline_afd.analysis.deploy.launch.files import Launched
    from roofline_afd.analysis.deploy.pools import Pool, Service

PORT, RENDEZVOUS_PORT, ROUTER_PORT = 30000, 20102, 8000
BACKENDS = {
    "deepep-v1-low-latency": ("deepep", "low_latency"),
    "uccl-low-latency": ("deepep", "low_latency"),
    "deepep-v1-normal": ("deepep", "normal"),
    "uccl-normal": ("deepep", "normal"),
    "deepep-v2": ("deepep_v2", None),
    "mori": ("mori", None),
    "trtllm-one-sided": ("flashinfer", None),
}
"""What `--moe-a2a-backend` and `--deepep-mode` call libraries; UCCL takes the place of DeepEP's."""
CACHES = {"bf16": "bfloat16", "fp8": "fp8_e4m3"}
BUFFERS = {
    "deepep": "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK",
    "mori": "SGLANG_MORI_NUM_MAX_DISPATCH_TOKENS_PER_RANK",
    "flashinfer": "SGLANG_FLASHINFER_NUM_MAX_DISPATCH_TOKENS_PER_RANK",
}
"""Variables for the most tokens that a rank sends at once."""


def flags_of(service: Service, pool: Pool, launched: Launched) -> Flags:
    """Return the flags of a pool that are the same on every node.

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
    Flags
        Flags and variables.
    """
    flags = Flags()
    flags.add("--tp-size", pool.devices, says="all devices of a replica")
    if pool.groups > 1:
        flags.add("--dp-size", pool.groups, says="attention groups, within --tp-size")
        flags.add("--enable-dp-attention", says="each group attends to sequences of its own")
        flags.add("--enable-dp-lm-head", says="each group has its own output head")
        flags.add("--moe-dense-tp-size", 1, says="dense layers whole on each device")
    if pool.context_parallel > 1:
        flags.add("--dcp-size", pool.context_parallel, says="devices that share a cache")
    _exchange(service, pool, flags, launched)
    _tokens(service, pool, flags, launched)
    launched.no_rhythm(pool)
    flags.add(
        "--mem-fraction-static",
        1 - service.scenario.reserve,
        says="share of memory for weights, cache and buffers",
    )
    cache = CACHES.get(service.scenario.kv_precision)
    if cache:
        flags.add("--kv-cache-dtype", cache, says="format of the cache")
    else:
        launched.cannot(f"caches in {service.scenario.kv_precision}: no --kv-cache-dtype of SGLang is that")
    if service.drafted and pool.role != PREFILL:
        _drafting(service, flags, launched)
    flags.add("--enable-metrics", says="what the watch list reads")
    return flags


def _exchange(service: Service, pool: Pool, flags: Flags, launched: Launched) -> None:
    """Add how tokens reach their experts, how experts are balanced, and what overlaps."""
    if pool.devices == 1:
        return
    backend, mode = BACKENDS.get(pool.library, (None, None))
    flags.add("--ep-size", pool.expert_parallel, says="devices that divide the experts")
    if backend and pool.expert_tensor_parallel == 1 and pool.groups > 1:
        flags.add("--moe-a2a-backend", backend, says=f"kernels of {pool.library}")
        if mode and pool.role == SERVE:
            mode = "auto"  # prompts by the normal kernels, decoding by those for low latency
        if mode:
            flags.add("--deepep-mode", mode, says="prompts and decoding by kernels of their own")
        _buffers(service, pool, backend, flags)
    elif pool.library and pool.groups > 1:
        launched.cannot(f"the exchange kernels of {pool.library}: SGLang sums over all devices instead")
    if pool.balanced:
        flags.add("--enable-eplb", says="experts replicated and placed by load")
        flags.add(
            "--ep-num-redundant-experts",
            pool.redundant_experts,
            says=f"{service.scenario.model.routed_experts} experts and these fill the devices evenly",
        )
    if pool.microbatches > 1:
        flags.add(
            "--enable-two-batch-overlap", says="two micro-batches, one computes while the other is sent"
        )


def _buffers(service: Service, pool: Pool, backend: str, flags: Flags) -> None:
    """Add room for the tokens that a rank sends at once."""
    if pool.sequences and backend in BUFFERS:
        tokens = -(-pool.sequences * service.scenario.query_tokens // max(pool.microbatches, 1))
        least = service.scenario.engine.exchange_tokens
        flags.export(BUFFERS[backend], max(tokens, least), says="tokens that a rank sends at once")


def _tokens(service: Service, pool: Pool, flags: Flags, launched: Launched) -> None:
    """Add what a rank holds at once, and how long a request may be."""
    if pool.sequences:
        total = pool.sequences * pool.groups
        flags.add("--max-running-requests", total, says=f"{pool.sequences} sequences of {pool.groups} groups")
        flags.add("--cuda-graph-max-bs", pool.sequences, says="sequences of a group in a captured step")
    if pool.step_tokens:
        flags.add(
            "--chunked-prefill-size",
            pool.step_tokens * pool.groups,
            says=f"{pool.step_tokens} prompt tokens a step of {pool.groups} groups",
        )
    if service.longest is not None:
        flags.add("--context-length", service.longest, says="tokens cached and computed of a request")
    else:
        launched.left("--context-length", "the longest request: the question names a mean context alone")


def _drafting(service: Service, flags: Flags, launched: Launched) -> None:
    """Add speculative decoding."""
    if not service.scenario.model.mtp_layers:
        launched.no_drafts(service, "--speculative-draft-model-path")
        return
    flags.add("--speculative-algorithm", "EAGLE", says="drafted by the layers published with the model")
    flags.add("--speculative-num-steps", service.drafted, says="tokens drafted in each step")
    flags.add("--speculative-eagle-topk", 1, says="one draft for each place")
    flags.add("--speculative-num-draft-tokens", service.drafted + 1, says="those drafted and one")


def write(service: Service, launched: Launched) -> None:
    """Write a script for each pool, and one for the router where there are two."""
    for pool in service.pools:
        flags = Flags()
        flags.add("--model-path", service.weights, says="weights")
        own = flags_of(service, pool, launched)
        flags.settings += own.settings
        flags.environment += own.environment
        if pool.role != SERVE:
            flags.add("--disaggregation-mode", pool.role, says="one phase of requests")
        flags.add("--host", "0.0.0.0", says="address of the server")  # noqa: S104 - what a server listens on
        flags.add("--port", PORT, says="port of the server")
        nodes, asked, more = pool.nodes(pool.devices), {}, []
        if nodes > 1:
            flags.add("--nnodes", nodes, says="nodes of a replica")
            flags.add("--node-rank", Expansion("${NODE_RANK}"), says="which of them this is")
            first = Expansion(f"${{HEAD_ADDRESS}}:{RENDEZVOUS_PORT}")
            flags.add("--dist-init-addr", first, says="where they meet: the first node")
            asked = {"NODE_RANK": f"0 to {nodes - 1}", "HEAD_ADDRESS": "address of the first node"}
            more = [on_nodes(0, nodes - 1)]
        text = script(
            "python3 -m sglang.launch_server", flags, above=launched.above(pool, *more), asked=asked
        )
        launched.file(f"{pool.role}.sh", text, flags)
    if len(service.pools) > 1:
        _write_router(service, launched)


def _write_router(service: Service, launched: Launched) -> None:
    """Write the script of the router: every replica of both pools behind one address."""
    flags, asked = Flags(), {}
    flags.add("--pd-disaggregation", says="prefill and decode apart")
    for role in (PREFILL, DECODE):
        for number in range(service.pool(role).replicas):
            variable = f"{role.upper()}_{number}_ADDRESS"
            asked[variable] = f"address of the first node of {role} replica {number}"
            flags.add(
                f"--{role}", Expansion(f"http://${{{variable}}}:{PORT}"), says=f"a replica that {role}s"
            )
    flags.add("--host", "0.0.0.0", says="address of the service")  # noqa: S104 - what a server listens on
    flags.add("--port", ROUTER_PORT, says="port of the service")
    above = launched.head("The router in front of both pools.")
    text = script("python3 -m sglang_router.launch_router", flags, above=above, asked=asked)
    launched.file("router.sh", text, flags)
