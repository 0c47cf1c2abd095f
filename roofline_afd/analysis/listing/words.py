"""Words of the field, of tables and of options, for `explain`: what has no formula of its own."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from roofline_afd.analysis.answer import Answer, object_columns
from roofline_afd.analysis.bounds.questions import Fabric, Imbalance, Roofline
from roofline_afd.analysis.decode.questions import Comparison, Frontier, Map, Prediction
from roofline_afd.analysis.deploy.questions import Launch
from roofline_afd.analysis.purchase.questions import Purchase, Report, Sensitivity
from roofline_afd.analysis.requests.questions import Exploration, Simulation, UnderLoad
from roofline_afd.analysis.sweep.questions import Sweep, Swept
from roofline_afd.catalogue.schema import properties
from roofline_afd.docstrings import documentation
from roofline_afd.questions import options_of
from roofline_afd.serving.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = {
    "ep": "expert parallelism: every device runs attention and holds some of the experts; tokens travel",
    "afd": "attention-FFN disaggregation: one group of devices runs attention, another the experts",
    "tpot, tpot_ms": "time per output token after the first: time of a step over the tokens accepted",
    "ttft, ttft_ms": "time to the first token: from the request to it, its prompt prefilled",
    "r": "attention instances per FFN instance; r_star is the best",
    "superpod": "a system whose scale-up domain holds both the attention and the FFN side (class superpod)",
    "class": "superpod where a scale-up domain holds both sides of AFD, else scale-out",
    "p/d, pd": "prefill and decode in two pools of devices; the cache of a prompt moves between them",
    "agg, aggregated": "prefill and decode on the same devices, chunks of prompts among the decode steps",
    "agg+afd": "prefill and decode on the same devices, attention and FFN in two groups",
    "pd+afd": "prefill and decode in two pools, each with attention and FFN in two groups",
    "mode": "how devices are used: ep or afd of decode alone; agg, pd, agg+afd, pd+afd of whole requests",
    "scale_up": "the network inside a domain of devices, as NVLink or Unified Bus",
    "scale_out": "the network between nodes or domains, as InfiniBand or Ethernet",
    "deployment": (
        "replicas x devices of each: 16 x 8 TP2 is 16 replicas of 8 devices, two of which share heads; "
        "(3A+5F) 3 attention and 5 FFN devices; P and D the pools of prefill and decode"
    ),
    "slo": "the latency that a service promises: --tpot-ms, --ttft-ms",
    "winner": "the mode with more tokens per second and device under the same latency target",
    "afd_over_ep": "tokens/s per device of the best AFD deployment over those of the best EP deployment",
    "bottleneck": "what a step waits most for: products, memory, a link, or a fixed time",
    "binding": "the constraint that keeps a configuration from more, or rules it out",
    "dead_zone_from, dead_zone_to": "FFN nodes between which scale-out fixes the pairs a device receives",
    "hfu_all_devices": "operations that the model needs over what all devices could do in the step",
    "batch_per_device": "sequences of a device, or of an attention device, over all micro-batches",
    "batch_per_group": "sequences of the devices that share heads, in one micro-batch",
    "n_devices": "all devices of the deployment, or of the fleet",
    "n_attention_devices": "attention devices under AFD",
    "n_ffn_devices": "FFN devices under AFD",
    "n_nodes": "nodes that hold the devices",
    "n_devices_sold": "devices of whole nodes or racks, as they are sold",
    "n_attention_devices_sold, n_ffn_devices_sold": "devices of one side, in whole nodes or racks",
    "n_devices_sold_grown": "devices sold for the demand that has grown (--growth)",
    "n_replicas": "deployments alike that a fleet has",
    "n_scale_up_domains": "scale-up domains that hold the devices",
    "capacity_tokens_per_s": "output tokens a second that the whole fleet can serve",
    "usd_per_month, usd_per_month_grown": "what the fleet costs in 730 hours; of the grown demand",
    "capex_usd_grown": "what the fleet for the grown demand costs to buy",
    "power_kw_grown": "power of the fleet for the grown demand",
    "fits_power_limit, fits_budget": "whether the fleet keeps to --power-limit-kw, and to --budget",
    "fits_grown": "whether the fleet for the grown demand still keeps to both limits",
    "ffn_nodes_before_dead_zone": "most FFN nodes before more of them stop helping",
    "n_idle_devices": "devices paid for that no replica uses",
    "n_prefill_devices": "devices of the prefill pool",
    "n_decode_devices": "devices of the decode pool",
    "units": "nodes or racks that are bought or rented, as the system is sold",
    "tokens_per_s_per_user": "output tokens a second that each user sees: 1 / TPOT",
    "ep_tokens_per_s_per_device": "tokens/s per device of the best EP deployment",
    "afd_tokens_per_s_per_device": "tokens/s per device of the best AFD deployment",
    "attention_us": "time of attention, with all that attention devices compute, per layer and micro-batch",
    "ffn_us": "time of the experts, with all that FFN devices compute, per layer and micro-batch",
    "step_ms": "time of a whole decode step: all layers, output head and gap",
    "head_ms": "time of the output head in a step",
    "gap_ms": "time of a step outside its layers, as the pause of the host",
    "schedule": "how micro-batches share devices: no overlap, lock-step of two halves, or a pipeline",
    "lock_step": "two half batches of EP, one computing while the other communicates",
    "memory_gb": "memory of a device; in a prediction, what weights, cache and buffers take of it",
    "estimated_share": "share of the operator time that rests on efficiencies never measured on these parts",
    "sibling_share": "share of it measured on a part of the same make, or in another number format",
    "probability_afd_wins": "how likely AFD serves more, from the errors of published pairs",
    "probability_afd_wins_sampled": "the same where uncertain inputs vary too, in the mean over samples",
    "on_frontier": "no other row has both a shorter TPOT and more tokens per second",
    "at_load": "the row that serves the requests in flight that were asked about",
    "chunk_tokens": "tokens of prompts that a step takes in",
    "request_rate": "requests that come a second, to the whole cluster",
    "load": "share of what the deployment serves at most, or of what a device does",
    "within_limits": "share of requests that keep every latency limit",
    "goodput_requests_per_s": "requests a second that keep every latency limit",
    "requests_in_flight": "requests prefilled or decoded at the same time",
    "ttft_p50_ms, ttft_p95_ms, ttft_p99_ms": "time to the first token that this share of requests keeps",
    "tpot_p50_ms, tpot_p95_ms, tpot_p99_ms": "time per output token that this share of requests keeps",
    "tpot_p50, tpot_p95": "median time per output token, and that which 95 % of requests keep",
    "capacity_one_unit_down": "share of the demand served while one node or rack is down",
    "prefix_hit": "share of input tokens whose cache is found, so that they are not prefilled again",
    "tiers": "where caches of prompts are kept: HBM, memory of the host, remote",
    "usd_per_hour": "what the devices cost an hour",
    "usd_per_million_input_tokens": "cost of prefilling a million input tokens",
    "usd_per_million_cached_tokens": "cost of a million input tokens whose cache was found",
    "usd_per_million_output_tokens": "cost of decoding a million output tokens",
    "break_even_price": "price of a device, in USD/h, at which the candidate costs what the best does",
    "capex_usd": "purchase price of the fleet",
    "power_kw": "power of the fleet",
    "power_basis": "whether power is provisioned, with host and cooling, or rated, of the device alone",
    "watts_per_token_per_s": "power over output tokens a second",
    "rank": "place by cost, or by devices where a price is not known",
    "best": "the largest of its column",
    "metric": "the number that a row tells before and after a change",
    "before, after, change, change_fraction": "a metric before and after a change, and the difference",
    "input, other_input": "what is varied: a value of the catalogue or an option",
    "low, high": "ends of the range of an input",
    "other_low, other_high": "ends of the range of the other input of a pair",
    "metric_low, metric_high": "the metric with the input at its low or high end",
    "value, shown": "the value of a symbol or an input",
    "unit": "unit of the value",
    "symbol": "name of a quantity in a formula",
    "meaning": "what a symbol stands for",
    "swing": "how far an input moves the metric between its ends",
    "elasticity": "percent of the metric per percent of the input",
    "interaction": "what two inputs move together beyond what each moves alone",
    "changes_winner": "whether the other mode wins at an end of the range",
    "break_even": "value of an input at which the other mode wins",
    "attention_idle": "share of time in which attention instances wait",
    "ffn_idle": "share of time in which FFN instances wait",
    "throughput_half_width": "half of the 95 % confidence interval of a simulated throughput",
    "throughput_predicted": "throughput that the formulas give",
    "recommended_ratio": "attention and FFN instances to run: 3A1F is three to one",
    "attention_instances, ffn_instances": "instances of the recommended ratio, in devices of a system",
    "rounding, rounding_loss": "what whole instances or nodes cost against the best ratio",
    "measured": "as published or measured",
    "predicted": "what the model predicts for a measured configuration",
    "error": "predicted over measured, less one: above 0 predicted too fast",
    "training_error, held_out_error": "median error of rows fitted, and of rows held out",
    "use": "how a measurement counts: absolute, shape, relative, lower-bound; or fit, check, exclude",
    "role": "whether a measurement was fitted (calibration) or held against predictions (check)",
    "timing": "what was timed: kernels, a profile, or the wall clock",
    "basis": "whether times are of the device alone, or of the wall clock with the pause of the host",
    "fits_memory": "whether the memory model would accept a measured configuration",
    "why": "why a row has no number, or is off",
    "operator": "one kernel of a layer, as core_attention or experts_up",
    "points, parameters": "how many measurements a table is fitted to, and how many numbers it has",
    "record": "kind or name of a record of the catalogue",
    "id": "what a record is called on the command line",
    "kernel, kind": "what was run, or where a value comes from: measured, datasheet, derived, estimated",
    "share": "part of the whole",
    "published": "formats in which the maker publishes the weights: of experts, and of the rest",
    "devices_needed, nodes_needed": "fewest devices, or nodes, whose memory holds the model",
    "memory_needed_gb": "memory of the devices needed",
    "driver_gb": "memory of a device that the driver leaves",
    "experts_gb, attention_gb, embeddings_gb, cache_gb": "what a device holds, by part",
    "reserve_gb, free_gb": "memory of a device kept free, and left",
    "core_ms, products_ms, experts_ms, index_ms, small_kernels_ms": "time of a step in kernels of a kind",
    "exchange_ms, host_ms, hidden_ms": "time of a step in transfers, on the host, and hidden behind others",
    "step_measured_ms": "time of a step as published",
    "output_tokens_per_s, output_tokens_per_s_per_device": "output tokens a second, of all and per device",
    "prefill_tokens_per_s_per_device": "prompt tokens a second per device",
    "fitted": "times that a table was fitted to",
    "exchange": "how exchanges between devices are made",
    "library": "software of exchange kernels, as DeepEP",
    "vendor, vendors": "who makes the part, the system or the model",
    "name": "what people call the record",
    "scope": "whether a fabric is of domains (scale-up) or between them (scale-out)",
    "hidden_sizes, hidden_multiple": "widths of vectors that kernels of a library run",
    "max_top_k, experts_divide": "experts of a token, and of a layer, that kernels of a library run",
    "node_devices, nodes, max_tokens, one_domain": "groups and tokens that kernels of a library run",
}
"""What words mean, those of one meaning together."""
QUESTIONS = (
    *(Comparison, Prediction, Roofline, Exploration, UnderLoad, Purchase, Report, Sensitivity, Simulation),
    *(Imbalance, Frontier, Map, Fabric, Sweep, Swept, Launch),
)
"""Questions whose fields are options."""
RECORDS = ("system", "accelerator", "interconnect", "engine", "library", "calibration", "model", "attention")
"""Kinds of record whose keys the schemas describe."""


@functools.cache
def words() -> dict[str, tuple[str, ...]]:
    """Return every word and what it means: those above, options, and keys of records."""
    found: dict[str, dict[str, None]] = {}
    for names, text in WORDS.items():
        for name in names.split(", "):
            found.setdefault(name, {})[text] = None
    for name, text in _options():
        found.setdefault(name, {})[f"option --{name.replace('_', '-')}: {text}"] = None
    for record in RECORDS:
        for key, node in properties(record).items():
            text = str(node.get("description") or "")
            unit = f" [{node['x-unit']}]" if node.get("x-unit", "1") != "1" else ""
            if text:
                found.setdefault(key, {})[f"of a record of kind {record}: {text}{unit}"] = None
    return {name: tuple(texts) for name, texts in found.items()}


def _options() -> Iterator[tuple[str, str]]:
    for name, entry in documentation(Scenario).parameters.items():
        yield name, entry.text.replace("`", "")
    for question in QUESTIONS:
        for option in options_of(question):
            if option.shown and "Scenario" not in option.types:
                flag = option.flag.lstrip("-").replace("-", "_") or option.name
                yield flag, option.text.replace("`", "")


def word_of(name: str) -> str | None:
    """Return the word that a name is: without dashes before it, a unit's table, or what it is of.

    Parameters
    ----------
    name : str
        As it was asked for: a word, a column, an option.

    Returns
    -------
    str or None
        A key of `words`; None where nothing of that name is known.
    """
    key = name.strip().lower().lstrip("-").replace(" ", "_").replace("-", "_")
    for candidate in (key, key.rpartition(".")[2], key.removesuffix("_kind")):
        if candidate in words():
            return candidate
    return None


def explain_word(word: str) -> Answer:
    """Answer what a word means.

    Parameters
    ----------
    word : str
        A key of `words`.

    Returns
    -------
    Answer
        A row per meaning.
    """
    texts = words()[word]
    rows = [{"word": word, "meaning": text} for text in texts]
    return Answer(
        command="explain",
        inputs={},
        columns=object_columns(rows),
        summary={"term": word, "answer": "\n".join(f"{word}: {text}." for text in texts)},
        table_rows=(),
    )
