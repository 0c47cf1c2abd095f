"""Options in one line each, where what their fields say is longer; `explain OPTION` has that in full."""

from __future__ import annotations

BRIEF = {
    "combine_precision": "Vectors sent back",
    "decode_column": "Column of trace with tokens of the output",
    "output_variation": "Standard deviation over mean of output tokens",
    "kv_precision": "Cache",
    "attention_core_precision": "Products of core attention",
    "accept_length": "Mean tokens accepted per step",
    "afd_cut": "Attention devices have: the block, or its core",
    "all_columns": "Every column, not only the main ones",
    "any_size": "Lift limits of engine and library",
    "api_price": "Price elsewhere: USD per million of output, or in,cached,out",
    "arrivals": "How requests come: at random, in bursts, or evenly",
    "assume_format": "Format of weights whose own is not known or not stated",
    "attention_devices": "Attention devices of AFD",
    "attention_groups": "Attention groups that take turns under AFD",
    "attention_precision": "Other weights",
    "attention_system": "System of attention devices, where another",
    "axes": "Input and its values: KEY=low:high[:step], a,b,c or @FILE",
    "batch": "Sequences of one (attention) device",
    "batch_tokens": "Tokens that the routers of all devices see in one batch",
    "growth": "Also tell the fleet for so much more demand, in percent",
    "budget": "Most the fleet may cost: USD a month, or to buy",
    "change": "What changes, as tpot_ms=30 or fp8_tflops=4500",
    "chunk_tokens": "Prompt tokens of a step and group; searched where absent",
    "coefficients": "Six times in us per layer, instead of a system",
    "concurrency": "Requests in flight on the whole cluster",
    "config": "A Hugging Face config.json; - reads standard input",
    "context_parallel": "Devices that share caches",
    "context_variation": "Deviation over mean of tokens cached",
    "day": "Requests of each equal part of a day over their mean",
    "decode_cv": "Standard deviation over mean of log-normal outputs",
    "deployable_with": "Only shapes that this engine or library runs",
    "dispatch_precision": "Vectors sent out",
    "domain_layout": "How devices lie over scale-up domains",
    "draft_tokens": "Tokens drafted per step",
    "duplex": "Dispatch and combine share the link, or overlap",
    "engine": "Serving software; ideal: best measured kernels",
    "expert_counts": "CSV of tokens that each expert received",
    "expert_placement": "Experts in order, or levelled by load",
    "expert_precision": "Expert weights",
    "expert_tensor_parallel": "Devices that share each expert",
    "experts_per_ffn_device": "Experts of a device that tokens reach",
    "fan_out": "How experts of a token spread over nodes",
    "ffn_devices": "FFN devices under AFD",
    "ffn_nodes": "FFN node counts: first:last[:step] or a,b,c",
    "ffn_system": "System of FFN devices, where another",
    "first_token": "Pool that gives out the first token",
    "format": "How the answer is printed; a pipe gets csv",
    "gap_ms": "Time of a step outside its layers",
    "granularity": "Groups of whole nodes, or of any size",
    "group_sizes": "Devices that exchange, a line each: a,b,c or a range",
    "holds": "Only systems that hold this model: devices and memory",
    "horizon": "Requests an instance serves from empty slots on",
    "id_": "Id of the record; else of the file, or the model_type",
    "ids": "Ids; several are shown side by side",
    "isl": "Input tokens of a request, cached ones among them",
    "kernels": "Kernels of experts",
    "kv_link": "Fabric between pools; auto: scale-up in one domain",
    "kv_moved": "Cache that moves between pools: all, or new tokens alone",
    "lambda_ep": "Attention time over FFN time with EP",
    "largest_batch": "Take the largest batch that memory and TPOT allow",
    "levers": "What each lever does to the verdict",
    "links": "Efficiency of links: a convention, or measured",
    "memory_reserve": "Memory kept free",
    "metric": "What is looked at",
    "microbatches": "Micro-batches in flight",
    "mode": "Mode of the deployment",
    "modes": "Serving modes searched: agg, pd, agg+afd, pd+afd",
    "operators": "CSV of measured operator and transfer times",
    "osl": "Output tokens of a request",
    "output": "Write to FILE: .json, .csv, .md, .txt or .xlsx",
    "placement": "Experts in order, or by load with redundant experts",
    "prefill_system": "System that prefills, in modes that do so apart",
    "prefill_systems": "Systems that may prefill for each candidate: a,b,c",
    "prefix_cache": "Cache by tier: hbm=GB,host=GB@GB/s,remote=GB[@GB/s]",
    "prefix_cache_gb": "Size of the cache that all requests share",
    "prefix_hit": "Share of the input tokens that are cached already",
    "price_basis": "Prices of devices: rent, tco or purchase",
    "price_terms": "Terms of the prices; else those most systems have",
    "prices": "Price of a device by the id of its system, as h200=1.6",
    "prompt_column": "Column of trace with tokens of the prompt",
    "prompt_cv": "Standard deviation over mean of log-normal prompts",
    "prompt_variation": "Standard deviation over mean of input tokens",
    "r": "Attention instances per FFN instance: a range or a list",
    "rates": "Requests a second, a row each",
    "reduce": "What is kept of all points; none: every point",
    "redundant_experts": "Experts held twice",
    "replay": "Requests of trace shuffled, or in their order",
    "replications": "Independent repetitions behind the intervals",
    "request_rate": "Requests a second of the whole cluster, or trace",
    "requests": "Requests that are followed",
    "resume": "Go on from what an earlier run of the sweep finished",
    "routing": "Popularity as in live services, or balanced",
    "runner": "Who does the work: this process, others, Dask or Ray",
    "samples": "Random samples of all inputs at once, for intervals",
    "scenario": "Options from a file; the command line wins",
    "scheduler": "Address of a running scheduler of Dask or Ray",
    "series": "Write the first replication over time: .csv or .parquet",
    "serving_points": "CSV of published points of serving",
    "session": "Turns that begin with all said before: turns=20,first=8000",
    "set": "Override a value, as fp8_tflops=4500",
    "shared_experts": "Side of shared experts and dense layers",
    "sigma": "Mean load over largest load: a number, or a,b,c",
    "sigma_dp": "Mean over largest load of attention devices",
    "sigma_ep": "Mean over largest load of expert devices",
    "sort": "Key to sort by; --sort=-KEY: the largest first",
    "spares": "Replicas beyond the load: n+1, or a share as 10%",
    "start": "Slots met in the middle of requests, or all at once",
    "systems": "Systems to compare: a,b,c; attention+ffn is an AFD pair",
    "tensor_parallel": "Devices that share heads",
    "think_time_s": "Time of a user between an answer and the next request",
    "time_column": "Column of trace with times: dates or seconds",
    "tokens": "Tokens that a device sends: a list or a range",
    "tpot_ms": "Time per output token allowed",
    "tpot_range": "First and last latency target looked at",
    "trace": "Requests as CSV or JSON lines: their lengths and times",
    "transfer_share": "Share of processors that transfers take",
    "transport": "A copy per expert, device, node; all: the best",
    "ttft_ms": "Time to the first token allowed",
    "uncertainty": "Uncertainty of an input: KEY=10% or KEY=low:high",
    "user_tokens_per_s": "Tokens a second of one user: limits the TPOT",
    "users": "Users who each wait for an answer before they ask again",
    "window": "What counts: the first 80 % of requests, or the last",
    "workloads": "Requests by name: chat, coding, agentic; a column each",
    "x": "Input across and its values: low:high[:count] or a list",
    "y": "Input up and its values, likewise",
    "zipf": "Exponent of popularity over rank",
    "calibrate:files": "CSV files of measured operator and transfer times",
    "calibrate:output": "Folder for the records; --hardware-db takes it",
    "deploy:answer": "Answer of predict, compare or explore to launch, as JSON",
    "explain:batch": "Sequences of a device to put in",
    "hardware list:context": "Tokens of the sequence held besides, for --holds",
    "hardware list:engine": "Software that plans with the memory, for --holds",
    "provision:duplex": "Both directions of a transfer overlap, or share the link",
    "simulate:duplex": "Both directions of a transfer overlap, or share the link",
    "hardware list:kind": "Kind of record",
    "hardware list:network": "Only superpod: both sides in a domain; or scale-out",
    "hardware show:kind": "Kind of record, where an id names several",
    "imbalance:devices": "Devices that hold the experts; else eight a node",
    "imbalance:model": "Model whose routed experts and top-k to take",
    "imbalance:redundant_experts": "Replicas beyond one of each expert",
    "imbalance:zipf": "Exponent of expert popularity over rank; 0: alike",
    "load:answer": "Answer of predict, compare or explore to load, as JSON",
    "procure:request_rate": "Whole requests a second, instead of --demand; or trace",
    "procure:trace": "Requests with times, instead of a demand",
    "procure:users": "Users served at once, instead of a demand",
    "provision:batch": "Slots of a micro-batch on one attention instance",
    "simulate:batch": "Slots of a micro-batch on one attention instance",
    "sweep:mode": "Mode, with predict: ep or afd",
    "validate:files": "CSV of measured services; else the shipped ones",
}
"""By the name of a field, or of a command and a field where it means another thing there."""
ALSO = {
    "plot dead-zone": "roofline",
    "plot load": "load",
    "plot procurement": "procure",
    "plot ratio": "simulate",
    "report": "procure",
}
"""Commands whose options mean what they mean in another."""
PICTURE = "Write to FILE: .html, .svg, .png, .pdf or .json"
NO_LIMIT, FIFTY = "no limit", "50"
TPOT = {
    **dict.fromkeys(("predict", "explore", "plot pareto", "plot pareto-panels", "provision"), NO_LIMIT),
    **dict.fromkeys(("simulate", "plot ratio", "load", "plot load"), NO_LIMIT),
    **dict.fromkeys(("procure", "plot procurement", "report", "deploy"), "50; whole requests: no limit"),
    "plot breakdown": "50; one deployment: no limit",
    "sweep": "50; predict: no limit",
}
"""Latency target where none is given, by command; 50 of all others."""
ROOFLINES = {"roofline", "plot roofline", "plot dead-zone", "explain"}
DEFAULTS = {
    "attention_precision": "as the same checkpoint",
    "expert_precision": "as published, or the nearest",
    "dispatch_precision": "as the checkpoint, else by weights",
    "combine_precision": "bf16",
    "draft_tokens": "the fewest",
    "expert_placement": "levelled",
    "memory_reserve": "as the engine plans, else 0.1",
    "domain_layout": "the quickest",
    "transport": "as the library",
    "zipf": "as published services",
    "tensor_parallel": "searched",
    "context_parallel": "searched",
    "expert_tensor_parallel": "searched",
    "afd_cut": "searched",
}
"""What is taken where an option is absent and that is no value of it."""
BY_ROOFLINE = {
    "gap_ms": ("0", "as fitted to services"),
    "microbatches": ("3", "searched"),
    "fan_out": ("paper", "uniform"),
    "duplex": ("shared", "full"),
    "links": ("nominal", "calibrated"),
}
"""The same for the roofline, and for what predicts."""
ONE = {
    "microbatches": "EP the better of 1 and 2, AFD 3",
    **dict.fromkeys(("tensor_parallel", "context_parallel", "expert_tensor_parallel"), "1"),
    "afd_cut": "attention",
}
"""The same where one deployment is asked about."""
ONE_OR_BEST = {"load", "plot load", "deploy", "plot breakdown", "sweep"}
"""Commands that ask about one deployment, or search for it."""
INSTANCES = {"provision", "simulate", "plot ratio"}
"""Commands that ask about attention and FFN instances."""


def brief(command: str, name: str, text: str) -> str:
    """Return an option in one line.

    Parameters
    ----------
    command : str
        Whose option, without the program.
    name : str
        Its field.
    text : str
        What it says in full.

    Returns
    -------
    str
        Its line, without a full stop.
    """
    own = text.strip().removesuffix(".").removesuffix(" (repeatable)").replace("`", "")
    for key in (f"{command}:{name}", f"{ALSO.get(command)}:{name}"):
        if key in BRIEF:
            return BRIEF[key]
    if name == "output" and (command.startswith("plot ") or command == "report"):
        return PICTURE if command != "report" else own
    return BRIEF.get(name, own) if name in ALWAYS or len(own) > LONGEST else own


ALWAYS = {"attention_core_precision", "kv_precision", "combine_precision", "gap_ms", "ffn_devices"} | {
    "decode_column",
    "output_variation",
}
"""Fields whose own texts are short, yet longer than their group needs."""
LONGEST = 60
"""Characters of a line about an option."""


def absent(command: str, name: str) -> str | None:
    """Return what is taken where an option is not given, as far as that is no value it has by itself.

    Parameters
    ----------
    command : str
        Whose option, without the program.
    name : str
        Its field.

    Returns
    -------
    str or None
        A few words; None where there is nothing to say.
    """
    if name == "tpot_ms":
        return TPOT.get(command, FIFTY)
    if command in INSTANCES:
        own = {"microbatches": "2", "batch": "256", "duplex": "full", "accept_length": "1"}
        if name in {*own, "gap_ms", "redundant_experts", "draft_tokens"}:
            return own.get(name)
    if command == "imbalance":
        return None
    if name in ONE and (command == "predict" or command in ONE_OR_BEST):
        return ONE[name] if command == "predict" else None
    if name in BY_ROOFLINE:
        return BY_ROOFLINE[name][0 if command in ROOFLINES else 1]
    return DEFAULTS.get(name)
