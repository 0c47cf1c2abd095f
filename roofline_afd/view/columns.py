"""How each result key is called, measured and rounded wherever people read it; files carry the bare key."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """Label of a key, its unit as shown (empty for none), and the number format."""

    label: str
    unit: str = ""
    form: str = ".4g"
    most: float = math.inf
    """What it cannot exceed where it is a share: more is said as such."""

    @property
    def title(self) -> str:
        """Label with unit, for headers and axes."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label

    def show(self, value: object) -> str:
        """Write a value for people; a dash where there is none."""
        if value is None or value == []:
            return "-"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, list):
            return ", ".join(self.show(item) for item in value)
        return self._number(value) if isinstance(value, int | float) else str(value)

    def _number(self, value: float) -> str:
        if value > self.most:
            return f">{self.most:{self.form.replace('1', '0')}}"
        if self.form == BILLIONS:
            return f"{value / 1e9:,.4g} B"
        plain = self.form == ".4g"
        if plain and math.isfinite(value) and abs(value) >= GROUPED_FROM:
            return f"{value:,.0f}"
        if plain and isinstance(value, int):
            return str(value)
        if self.form.endswith("d") and value != int(value):  # of devices that share heads
            return f"{value:,.4g}"
        return format(int(value) if self.form.endswith("d") else value, self.form)


GROUPED_FROM = 10_000
"""Plain numbers from here on are written in full, with their thousands apart."""
PERCENT = ".1%"
BILLIONS = "billions"
"""Format of counts that nobody reads to the last digit: with a letter, as the field writes parameters."""
COLUMNS = {
    "ffn_nodes": Column("FFN nodes", form=",d"),
    "pairs_per_device": Column("pairs per device", form=".1f"),
    "experts_per_device": Column("experts per device", form=",d"),
    "intensity": Column("intensity", "FLOP/B", ".1f"),
    "weight_time_us": Column("weights", "us", ".1f"),
    "compute_time_us": Column("products", "us", ".1f"),
    "active_time_us": Column("active", "us", ".1f"),
    "stage_budget_us": Column("stage budget", "us", ".1f"),
    "ofu": Column("OFU", form=PERCENT),
    "temporal_sparsity": Column("S_t", form=PERCENT, most=1.0),
    "hfu": Column("HFU", form=PERCENT),
    "expert_memory_gb": Column("expert weights", "GB", ".1f"),
    "shown": Column("value"),
    "share": Column("share", form=PERCENT),
    "hfu_ceiling": Column("HFU ceiling", form=PERCENT),
    "hfu_floor": Column("HFU floor", form=PERCENT),
    "best_hfu": Column("best HFU", form=PERCENT),
    "training_error": Column("training error", form=PERCENT),
    "held_out_error": Column("held-out error", form=PERCENT),
    "error": Column("error", form="+.1%"),
    "attention_idle": Column("attention idle", form=PERCENT),
    "ffn_idle": Column("FFN idle", form=PERCENT),
    "tpot": Column("TPOT", "ms", ".2f"),
    "tpot_p50": Column("median TPOT", "ms", ".2f"),
    "tpot_p95": Column("95 % TPOT", "ms", ".2f"),
    "tpot_ms": Column("TPOT", "ms", ".2f"),
    "hfu_all_devices": Column("HFU, all devices", form=PERCENT),
    "tokens_per_s_per_device": Column("tokens/s per device"),
    "tokens_per_s_per_user": Column("tokens/s per user", form=".1f"),
    "tokens_per_s_per_instance": Column("tokens/s per instance"),
    "throughput_per_instance": Column("tokens/s per instance"),
    "throughput_half_width": Column("95 % half width"),
    "throughput_predicted": Column("predicted"),
    "n_devices": Column("devices", form=",d"),
    "n_attention_devices": Column("attention devices", form=",d"),
    "n_ffn_devices": Column("FFN devices", form=",d"),
    "batch_per_device": Column("batch per device", form=",d"),
    "ttft_ms": Column("TTFT", "ms", ".1f"),
    "usd_per_million_tokens": Column("price of a million tokens", "USD", ".3g"),
    "usd_per_million_input_tokens": Column("a million of input", "USD", ".3g"),
    "usd_per_million_cached_tokens": Column("cached", "USD", ".2g"),
    "usd_per_million_output_tokens": Column("of output", "USD", ".3g"),
    "usd_per_request": Column("a request", "USD", ".3g"),
    "request_rate": Column("requests/s"),
    "load": Column("load", form=".0%"),
    **{
        f"{name}_p{share}_ms": Column(f"{share} % {label}", "ms", form)
        for name, label, form in (("ttft", "TTFT", ",.0f"), ("tpot", "TPOT", ".1f"))
        for share in (50, 99)
    },
    "within_limits": Column("within limits", form=".1%"),
    "goodput_requests_per_s": Column("goodput"),
    "n_devices_sold": Column("devices sold", form=",d"),
    "n_attention_devices_sold": Column("attention devices sold", form=",d"),
    "n_ffn_devices_sold": Column("FFN devices sold", form=",d"),
    "n_replicas": Column("replicas", form=",d"),
    "n_scale_up_domains": Column("scale-up domains", form=",d"),
    "capacity_tokens_per_s": Column("capacity", "tokens/s"),
    "watts_per_token_per_s": Column("power per token/s", "W", ".3g"),
    "ffn_nodes_before_dead_zone": Column("FFN nodes before the dead zone"),
    "n_idle_devices": Column("idle devices", form=",d"),
    "n_devices_sold_grown": Column("devices, grown", form=",d"),
    "power_kw_grown": Column("power, grown", "kW"),
    "usd_per_month": Column("cost", "USD/month", ",.0f"),
    "usd_per_month_grown": Column("cost, grown", "USD/month", ",.0f"),
    "capex_usd_grown": Column("purchase, grown", "USD"),
    "fits_power_limit": Column("fits power"),
    "fits_grown": Column("fits, grown"),
    "n_prefill_devices": Column("prefill devices", form=",d"),
    "n_decode_devices": Column("decode devices", form=",d"),
    "capacity_one_unit_down": Column("served with one down", form=".0%"),
    "prefix_hit": Column("cached", form=".0%"),
    "tiers": Column("cache tiers"),
    "units": Column("nodes or racks"),
    "ttft_p95_ms": Column("95 % TTFT", "ms", ",.0f"),
    "tpot_p95_ms": Column("95 % TPOT", "ms", ".1f"),
    "estimated_share": Column("estimated", form=".0%"),
    "capex_usd": Column("purchase", "USD"),
    "usd_per_hour": Column("price", "USD/h"),
    "break_even_price": Column("break-even price"),
    "power_kw": Column("power", "kW"),
    "n_nodes": Column("nodes", form=",d"),
    "tokens_per_usd": Column("tokens per USD"),
    "power_basis": Column("power is"),
    "tokens_per_joule": Column("tokens per joule", form=".3g"),
    "batch_per_group": Column("batch per group", form=",d"),
    "on_frontier": Column("on frontier"),
    "alpha_ep": Column("alpha EP", form=PERCENT),
    "alpha_afd_continuous": Column("alpha AFD, continuous", form=PERCENT),
    "alpha_afd": Column("alpha AFD", form=PERCENT),
    "afd_rounding_penalty": Column("rounding penalty", form=PERCENT),
    "rounding_loss": Column("rounding loss", form=".2%"),
    "change": Column("difference"),
    "change_fraction": Column("change", form="+.1%"),
    "total_params": Column("total params", form=BILLIONS),
    "active_params": Column("active params", form=BILLIONS),
    "metric_low": Column("metric at low"),
    "metric_high": Column("metric at high"),
    "ep_tokens_per_s_per_device": Column("EP"),
    "afd_tokens_per_s_per_device": Column("AFD"),
    "afd_over_ep": Column("AFD / EP", form=".2f"),
    "probability_afd_wins": Column("AFD ahead", form=".0%"),
    "swing": Column("swing", form=".3g"),
    "elasticity": Column("elasticity", form="+.2f"),
    "interaction": Column("interaction", form="+.3g"),
}
"""Keys whose label, unit or rounding differs from what `column` makes of them."""
UNBROKEN = {"deployment", "domains"}
"""Columns whose texts have spaces, and make no sense in parts."""
GO_FIRST = (
    *("power_basis", "tokens_per_joule", "int8_tops", "compute_time_us", "weight_time_us", "intensity"),
    *("chunk_tokens", "batch_per_group", "on_frontier", "at_load", "n_nodes", "break_even_price"),
    *("devices_per_node", "scale_up_domain_devices", "rank", "feasible", "record", "file", "kind"),
    *("shared_experts", "moe_layers", "expert_intermediate", "hidden_size"),
    *("timing", "role", "basis", "fits_memory", "use", "rounding_loss", "attention_instances"),
    *("ffn_instances", "microbatches", "layers", "engine"),
    *("elasticity", "break_even", "low", "high", "metric"),
)
"""Columns that a narrow table leaves out before its last ones."""
UNIT_ENDINGS = {
    "_gb_per_s": "GB/s",
    "_tflops": "TFLOP/s",
    "_tops": "TOP/s",
    "_gb": "GB",
    "_us": "us",
    "_ms": "ms",
    "_w": "W",
    "_kw": "kW",
    "_billion": "billion",
    "_bytes_per_token": "B/token",
}


def column(key: str) -> Column:
    """Return how a key is shown: from `COLUMNS`, else from the unit its name ends in.

    Parameters
    ----------
    key : str
        A result key.

    Returns
    -------
    Column
        Label, unit and format.

    Examples
    --------
    >>> column("memory_gb").title
    'memory [GB]'
    """
    if key in COLUMNS:
        return COLUMNS[key]
    for ending, unit in UNIT_ENDINGS.items():
        if f"_{key}".endswith(ending):
            return Column(f"_{key}".removesuffix(ending).replace("_", " ").strip() or "bandwidth", unit)
    return Column(key.replace("_", " "))
