"""What keys, operators and fitted parameters are called in pictures: words, where files have code."""

from __future__ import annotations

import re

from roofline_afd.view.columns import COLUMNS, column

OPERATORS = {
    "attention_exchange": "exchange among attention devices",
    "attention_other": "rest of the attention side",
    "attention_output": "output projection",
    "combine": "combine: back from the experts",
    "combine_dense": "back from dense layers",
    "convolution": "short convolution",
    "core_attention": "attention over the cache",
    "decay_up": "decay, projected up",
    "dense_down": "dense layers, down",
    "dense_other": "rest of dense layers",
    "dense_sum": "sum of dense layers",
    "dense_up": "dense layers, up",
    "dispatch": "dispatch: to the experts",
    "dispatch_dense": "to dense layers",
    "embedding": "embedding",
    "experts_down": "experts, down",
    "experts_fused": "experts and exchange, fused",
    "experts_handling": "sorting and summing for experts",
    "experts_up": "experts, up",
    "index_choice": "index: choice of entries",
    "index_key": "index: key",
    "index_logits": "index: scores",
    "index_query": "index: query",
    "input": "input projection",
    "key_absorption": "key absorbed into the query",
    "latent_down": "latent, projected down",
    "latent_up": "latent, projected up",
    "output_down": "output, projected down",
    "output_head": "output head",
    "query_gathering": "gathering queries",
    "query_key_value": "query, key and value",
    "query_up": "query, projected up",
    "residual_streams": "residual streams",
    "result_scattering": "scattering results",
    "router": "router",
    "router_choice": "choice of experts",
    "shared_down": "shared expert, down",
    "shared_up": "shared expert, up",
    "state_input": "input of the state",
    "step_size": "step size of the state",
    "value_absorption": "value absorbed into the output",
}
"""Operators of a decode step."""
KERNELS = {
    "all_gather": "gathers",
    "all_reduce": "sums over devices",
    "all_to_all": "exchanges of all with all",
    "experts": "expert layers",
    "fused_stage": "fused expert stages",
    "gemm": "matrix products",
    "gqa_decode": "grouped attention",
    "grouped_gemm": "expert products",
    "index": "the index",
    "link": "exchanges",
    "mla_decode": "latent attention",
    "prefill_attention": "attention of prompts",
    "quantize": "quantising",
    "state": "state updates",
    "top_k": "choices of experts",
}
"""Tables of fitted parameters."""
PARAMETERS = {
    "afd_fixed_us": "fixed time under AFD",
    "cache_mb": "cache on the chip",
    "cold_us": "time of a cold start",
    "combine_efficiency_out": "share of scale-out bandwidth, combine",
    "combine_efficiency_up": "share of scale-up bandwidth, combine",
    "combine_latency_out_us": "latency over scale-out, combine",
    "combine_latency_up_us": "latency within scale-up, combine",
    "communication_slowdown": "slowdown of exchanges in service",
    "compute_efficiency": "share of peak",
    "compute_efficiency_wide": "share of peak, wide tiles",
    "depth_ns": "time per step of depth",
    "efficiency": "share of bandwidth",
    "efficiency_out": "share of scale-out bandwidth",
    "efficiency_up": "share of scale-up bandwidth",
    "ep_fixed_us": "fixed time under EP",
    "few_items_us": "time of few items",
    "fixed_us": "fixed time",
    "half_saturation_tokens": "tokens at half of peak",
    "hidden_share": "hidden share",
    "latency_growth": "growth of latency with devices",
    "latency_out_us": "latency over scale-out",
    "latency_up_us": "latency within scale-up",
    "launch_us": "fixed time of a call",
    "like_error": "error of a like fabric",
    "memory_efficiency": "share of memory bandwidth",
    "message_out_ns": "time per message over scale-out",
    "message_up_ns": "time per message within scale-up",
    "moving_efficiency": "share of bandwidth while moving",
    "one_shot_us": "fixed time of one step",
    "other_us": "rest of an attention layer",
    "pacing_us": "wait for the host",
    "pair_ps": "time per pair",
    "popularity_exponent": "exponent of expert popularity",
    "prepare_us": "time to prepare an exchange",
    "processors": "processors in use",
    "ratio_estimated_error": "error of times never measured",
    "router_us": "time of the router",
    "scale_penalty": "loss with devices",
    "sent_share": "share that is sent",
    "tile_rows": "rows of a tile",
    "token_ps": "time per token",
    "two_shot_us": "fixed time of two steps",
    "vector_efficiency": "share of the vector peak",
    "warm_memory_efficiency": "share of cache bandwidth",
}
"""Parameters of such tables."""
RECORDS = {"routing": "routing", "service": "service"}
"""Records whose parameters belong to no part."""
INPUTS = {
    "accept_length": "tokens accepted a step",
    "active_params_billion": "active parameters",
    "attention_tpot_ms": "latency target of attention",
    "context": "context",
    "device_price": "price of a device",
    "draft_tokens": "draft tokens a step",
    "exponent": "exponent of alike routing",
    "expert_intermediate": "width of an expert",
    "gap_ms": "pause between steps",
    "hidden_size": "hidden width",
    "max_devices": "devices at most",
    "memory_gb": "memory",
    "memory_gb_per_s": "memory bandwidth",
    "memory_reserve": "share of memory kept free",
    "microbatches": "micro-batches",
    "routed_experts": "routed experts",
    "scale_out_efficiency": "share of scale-out bandwidth",
    "scale_out_gb_per_s": "scale-out bandwidth",
    "scale_up_efficiency": "share of scale-up bandwidth",
    "scale_up_gb_per_s": "scale-up bandwidth",
    "sigma_dp": "imbalance of attention devices",
    "sigma_ep": "imbalance of experts",
    "top_k": "experts of a token",
    "tpot_ms": "TPOT target",
    "ttft_ms": "TTFT target",
    "usd_per_hour": "hourly price",
}
"""Inputs of a question, and values of the catalogues."""
UNITS = {"context": "tokens", "expert_intermediate": "elements", "max_devices": ""}
"""Units of inputs whose names do not tell them."""
PEAK = re.compile(r"([a-z0-9]+)_t(?:fl)?ops")
FORMATS = re.compile(r"_(bf16|fp8|fp4|int8|int4)$")
CODE = re.compile(r"(?<![\w.'-])[a-z0-9][a-z0-9-]*(?:[._][a-z0-9-]+)+(?![\w'-])")
"""A name of code in a text."""


def in_words(key: str) -> str:
    """Return what a key, an operator or a fitted parameter is called.

    Parameters
    ----------
    key : str
        Its name in answers.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> in_words("nvlink4.link.efficiency_out")
    'share of scale-out bandwidth of exchanges (nvlink4)'
    >>> in_words("core_attention")
    'attention over the cache'
    """
    record, _, rest = key.partition(".")
    table, _, parameter = rest.partition(".")
    if parameter:
        kernel = _kernel(table)
        return f"{_last(parameter)}{f' of {kernel}' if kernel else ''} ({record})"
    if rest:
        return _last(rest) if record in RECORDS else f"{_last(rest)} ({record})"
    return _last(key)


def titled(key: str, unit: str = "") -> str:
    """Return a key in words with its unit, for an axis.

    Parameters
    ----------
    key : str
        Its name in answers.
    unit : str, optional
        Its unit, where the name and the tables here do not tell it.

    Returns
    -------
    str
        Words.

    Examples
    --------
    >>> titled("context"), titled("tpot_ms")
    ('context [tokens]', 'TPOT target [ms]')
    """
    found = UNITS.get(key, column(key).unit or unit.removeprefix("1"))
    return f"{in_words(key)} [{found}]" if found else in_words(key)


def _kernel(table: str) -> str:
    """Return what a table of parameters is about, with its number format."""
    form = FORMATS.search(table)
    name = FORMATS.sub("", table)
    return KERNELS.get(name, name.replace("_", " ")) + (f" in {form[1]}" if form else "")


def _last(name: str) -> str:
    for table in (INPUTS, PARAMETERS, OPERATORS):
        if name in table:
            return table[name]
    peak = PEAK.fullmatch(name)
    return f"peak in {peak[1]}" if peak else column(name).label


def worded(text: str) -> str:
    """Return a sentence with words where it has names of code.

    Parameters
    ----------
    text : str
        A sentence of an answer.

    Returns
    -------
    str
        The sentence.

    Examples
    --------
    >>> worded("The largest is core_attention, 19%, on gb200-nvl72 at 0.82.")
    'The largest is attention over the cache, 19%, on gb200-nvl72 at 0.82.'
    """
    return CODE.sub(lambda found: _worded(found[0]), text)


def _worded(name: str) -> str:
    """Return words for a name that is known; others may be those of a user's own records."""
    last = name.rpartition(".")[2]
    known = any(last in table for table in (INPUTS, PARAMETERS, OPERATORS, COLUMNS)) or PEAK.fullmatch(last)
    return in_words(name) if known else name
