"""What the symbols of the formulas mean where several formulas share them: each is described once, here.

A docstring names them and says "As in `nomenclature`."; `roofline_afd.docstrings` puts the text in. A formula
that means something else by a name describes it itself. Names described together stand together; what one may
pass for them stands in the signatures.
"""

from __future__ import annotations

_DESCRIPTIONS = {
    "accept_length": "Mean tokens accepted per step, a [1]",
    "activation_bytes": "Bytes of an element of query and result, b_a [B]",
    "active_time": "Active time, t_G [s]",
    "attention, ffn": "Times of both sides for one half batch, t_a and t_f [s]",
    "attention_nodes": "Attention nodes that a balanced FFN side keeps up with, N_A [1]",
    "bandwidth": "Bandwidth of a device over all its links, BW [B/s]",
    "batch": "Slots of one micro-batch on one attention instance, B [1]",
    "batches": "Batches drawn [1]",
    "bytes_per_element, scale_bytes_per_element": (
        "Bytes of an element, and of the format's scales per element [B]"
    ),
    "cache_bytes": "Bytes of a cached element, b_kv [B]",
    "chunk_tokens": "Tokens of a chunk, which attends to itself only [1]",
    "coefficients": "Of the linear times [s]",
    "compute_time": "Time of the products at peak rate [s]",
    "conv_kernel": "Taps of the short convolution c [1]",
    "cycle": "Time between micro-batches of one layer, tau [s]",
    "devices": "Devices that exchange, G [1]",
    "devices_per_node": "Devices of a node, g [1]",
    "dispatch, combine": "Times of both transfers, t_d and t_c [s]",
    "dispatch_bytes, combine_bytes": "Bytes per element on the way to the expert, b_d, and back, b_c [B]",
    "experts": "Routed experts of a layer, E [1]",
    "experts_per_device": "Experts of one layer on the device, e [1]",
    "ffn_devices": (
        "FFN instances that share the experts, n_F: the barrier holds r*n_F workers, as `barrier_workers` [1]"
    ),
    "ffn_nodes": "FFN nodes, N_F [1]",
    "flops_per_pair": "Operations of one pair [FLOP]",
    "full_duplex": "Whether both directions of a transfer overlap [1]",
    "head_dim": "Width of a head d [elements]",
    "heads": "Query heads [1]",
    "hidden_size": "Width of the residual stream H [elements]",
    "inclusion": "Probability that a token chooses each expert, pi; their sum is whole [1]",
    "layers": "Layers of the model, L [1]",
    "link_bytes_per_pair": "Bytes of link time per pair [B]",
    "m, n, k": "Rows (tokens) and columns of the output; elements each output sums over [1]",
    "memory_bandwidth": "Peak memory bandwidth, W [B/s]",
    "message_bytes": "Bytes of the whole vector that devices sum, gather or send on, M [B]",
    "microbatches": "Micro-batches in flight, m [1]",
    "moe_layers": "Layers with routed experts, L_moe [1]",
    "output_gate": "A gate as wide as the heads multiplies the output [1]",
    "pairs": "Rows of all groups: token-expert pairs on the device [1]",
    "pairs_per_device": "Token-expert pairs of the stage [1]",
    "peak": "Peak rate of the expert product, F [FLOP/s]",
    "placement": "Where the replicas of each expert are [1]",
    "power_usd_per_kwh": "Price of a kilowatt hour [USD]",
    "pue": "Power of the site over that of the devices [1]",
    "query_elements, output_elements": (
        "Elements of the query and of the result of one token, over all heads [elements]"
    ),
    "ratio": "Attention instances per FFN instance, r [1]",
    "redundant_experts": "Replicas beyond one of each expert, r [1]",
    "routed_experts": "Routed experts of a layer, E [1]",
    "scale_up, scale_out": "Effective bandwidth of one device, one direction, BW_up and BW_out [B/s]",
    "seed": "Seed of the random numbers; the same seed gives the same batches [1]",
    "sequences": "Sequences on the device [1]",
    "sigma": "Balance of the FFN side, in (0, 1] [1]",
    "skewness": "Skewness of the cached tokens of a slot; 0 takes their sum as normal [1]",
    "stage_budget": "Time of the stage, t_B [s]",
    "state_width": "State of a channel N [elements]",
    "step": "Time of a step [s]",
    "superpod": "Whether one scale-up domain holds both sides [1]",
    "theta, nu": "Mean and standard deviation of the cached tokens of a slot [tokens]",
    "tokens": "Tokens of one device, T [1]",
    "tokens_per_s": "Output tokens of all devices [tokens/s]",
    "top_k": "Routed experts of a token, k [1]",
    "weight_bytes": "Bytes of an element of the expert weights, b_w [B]",
    "width": "Width of the vector, H [elements]",
}
NOMENCLATURE = {name: text for names, text in _DESCRIPTIONS.items() for name in names.split(", ")}
"""What a symbol means, with its unit, written as in a docstring."""
