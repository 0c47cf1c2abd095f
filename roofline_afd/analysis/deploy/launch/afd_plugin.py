"""Two `vllm serve` commands with the AFD plugin: attention devices, and FFN devices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from roofline_afd.analysis.deploy.launch import vllm
from roofline_afd.analysis.deploy.launch.files import on_nodes
from roofline_afd.analysis.deploy.launch.texts import Expansion, Flags, script

if TYPE_CHECKING:
    from roofline_afd.analysis.deploy.launch.files import Launched
    from roofline_afd.analysis.deploy.pools import Pool, Service

MOST_MICROBATCHES = 2
LEFT_OUT = {"--data-parallel-size", "--tensor-parallel-size"}
PORTS = {"attention": 18000, "ffn": 18001}


class Role(NamedTuple):
    """One of both sides: its name, its attention groups or devices, and the devices of one of them."""

    name: str
    groups: int
    heads: int


def write(service: Service, launched: Launched) -> None:
    """Write a script for each of both roles, and those of their other nodes."""
    (pool,) = service.pools
    common = vllm.flags_of(service, pool, launched)
    if pool.redundant_experts:
        launched.cannot(
            f"{pool.redundant_experts} redundant experts: the plugin has no load balancing "
            "(--redundant-experts 0)"
        )
    if pool.microbatches > MOST_MICROBATCHES:
        launched.cannot(f"{pool.microbatches} micro-batches: the plugin has two (--microbatches 2)")
    if service.drafted:
        launched.cannot("drafted tokens beside two groups: not documented, and refused for Qwen3")
    for role in (Role("attention", pool.groups, pool.tensor_parallel), Role("ffn", pool.ffn_devices, 1)):
        flags = Flags(environment=[*common.environment])
        flags.export("VLLM_USE_V2_MODEL_RUNNER", 0, says="the model runner of the plugin's examples")
        flags.add("--tensor-parallel-size", role.heads, says="devices that share heads")
        flags.add("--data-parallel-size", role.groups, says="groups of this role")
        flags.settings += [each for each in common.settings if each.name not in LEFT_OUT]
        if pool.microbatches > 1:
            flags.add("--enable-dbo", says="two micro-batches, the same on both roles")
            flags.add("--dbo-decode-token-threshold", 2, says="from two tokens on, as predicted")
        graphs = {"cudagraph_mode": "FULL_DECODE_ONLY"}
        flags.add("--compilation-config", json.dumps(graphs), says="the captured steps that the plugin has")
        _write_role(service, pool, role, flags, launched)


def _write_role(service: Service, pool: Pool, role: Role, flags: Flags, launched: Launched) -> None:
    """Write the scripts of a role."""
    afd = {
        "role": role.name,
        "connector": "P2pNcclAFDConnector",
        "host": "FFN_ADDRESS",
        "port": vllm.AFD_PORT,
        "num_attention_ranks": pool.attention_devices,
        "num_ffn_ranks": pool.ffn_devices,
    }
    config = json.dumps({"afd": afd}).replace('"', '\\"').replace("FFN_ADDRESS", "${FFN_ADDRESS}")
    flags.add("--additional-config", Expansion(config), says="role, ratio, and the first FFN node")
    program = f"vllm serve {service.weights}"
    asked = {"FFN_ADDRESS": "address of the first FFN node"}
    system = pool.ffn_system if role.name == "ffn" else pool.system
    per_node = max(system.devices_per_node // role.heads, 1)
    nodes = -(-role.groups // per_node)
    kept = [*flags.settings]
    flags.add("--host", "0.0.0.0", says="address of the server")  # noqa: S104 - what a server listens on
    flags.add("--port", PORTS[role.name], says="requests go to the attention role alone")
    ranks = {**asked}
    other = Flags(kept, flags.environment)
    if nodes > 1:
        asked["HEAD_ADDRESS"] = ranks["HEAD_ADDRESS"] = "address of the first node of this role"
        ranks["NODE_RANK"] = "which node of this role this is, from 1"
        for each in (flags, other):
            each.add("--data-parallel-size-local", per_node, says="groups of a node")
            each.add("--data-parallel-address", Expansion("${HEAD_ADDRESS}"), says="first node of the role")
            each.add("--data-parallel-rpc-port", vllm.RPC_PORT, says="a port free on that node")
        start = Expansion(f"$((NODE_RANK * {per_node}))")
        other.add("--data-parallel-start-rank", start, says="first group of the node")
        other.add("--headless", says="no server of its own")
    whose = f"The {role.name} role."
    above = launched.above(pool, whose, on_nodes(0, 0))
    launched.file(f"{role.name}.sh", script(program, flags, above=above, asked=asked), flags)
    if nodes > 1:
        above = launched.above(pool, whose, on_nodes(1, nodes - 1))
        launched.file(f"{role.name}-other-nodes.sh", script(program, other, above=above, asked=ranks), other)
