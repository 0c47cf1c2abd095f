"""Sequence-mixing layers: what they cache, attend to, multiply with and count."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from roofline_afd.physics import mixing

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.physics.arrays import FloatArray, FloatLike

OVERLAP_RATIO = 4
"""Compression up to which windows overlap, so that the compressor's projections are twice as wide."""


def _least(one: FloatLike, other: FloatLike) -> FloatArray:
    """Return the smaller of two, element by element."""
    import numpy as np  # --help does without

    return np.minimum(one, other)


class Product(NamedTuple):
    """Weights one token is multiplied with: `groups` matrices that sum over k elements into n each."""

    name: str
    k: int
    n: int
    groups: int = 1

    @property
    def parameters(self) -> int:
        """Elements of all groups."""
        return self.groups * self.k * self.n


@dataclasses.dataclass(frozen=True, slots=True)
class Attention:
    """Sequence-mixing layers of one kind; widths in elements, absent ones None (see `model_db/README.md`)."""

    name: str
    type: str
    layers: int
    heads: int = 0
    head_dim: int = 0
    kv_heads: int | None = None
    value_head_dim: int | None = None
    rope_head_dim: int | None = None
    q_lora_rank: int | None = None
    kv_lora_rank: int | None = None
    index_heads: int | None = None
    index_head_dim: int | None = None
    index_top_k: int | None = None
    window_tokens: int | None = None
    index_block_tokens: int | None = None
    key_heads: int | None = None
    o_lora_rank: int | None = None
    o_groups: int | None = None
    compress_ratio: int | None = None
    conv_kernel: int | None = None
    state_width: int | None = None
    state_groups: int | None = None
    inner_width: int | None = None
    dt_rank: int | None = None
    gate_rank: int | None = None
    output_gate: bool = False
    key_is_value: bool = False
    shared_kv: bool = False
    shared_index: bool = False

    @property
    def constant_state(self) -> bool:
        """True where a sequence keeps a state of fixed size instead of a cache that grows with it."""
        return self.type in _STATES

    @property
    def entry_elements(self) -> int:
        """Elements of one cached entry: keys and values, or the latent, or the shared head."""
        if self.type == "mla":
            return (self.kv_lora_rank or 0) + (self.rope_head_dim or 0)
        if self.type == "compressed":
            return self.head_dim
        return (self.kv_heads or 0) * (self.head_dim + (self.value_head_dim or self.head_dim))

    @property
    def index_width(self) -> int:
        """Elements of one index key; 0 without an index."""
        return self.index_head_dim or 0 if self.index_heads else 0

    def _kept(self, context: FloatLike) -> tuple[FloatArray, FloatArray]:
        """Return the entries, and the index keys, that one layer holds of a sequence of `context` tokens."""
        in_window = _least(context, self.window_tokens or math.inf)
        if self.type == "compressed":
            history = context / self.compress_ratio if self.compress_ratio else context * 0.0
            return in_window + history, history
        return in_window, context

    def attended_entries(self, context: FloatLike) -> FloatArray:
        """Count the cached entries one new token attends to in one layer at a context of `context` tokens."""
        if self.constant_state:
            return 0.0
        entries, _ = self._kept(context)
        chosen = self.index_top_k or math.inf
        if self.type == "compressed":
            in_window = _least(context, self.window_tokens or math.inf)
            return in_window + _least(entries - in_window, chosen)
        return _least(entries, chosen)

    def kept_entries(self, context: FloatLike) -> FloatArray:
        """Count the entries one layer holds of a sequence of `context` tokens, and can read."""
        return 0.0 if self.constant_state else self._kept(context)[0]

    def index_entries(self, context: FloatLike) -> FloatArray:
        """Count the index keys one new token is scored against; 0 without an index."""
        return self._kept(context)[1] if self.index_heads and not self.constant_state else 0.0

    def prefill_entries(self, new_tokens: FloatLike, context: FloatLike) -> tuple[FloatArray, FloatArray]:
        """Count what all new tokens of a prompt attend to in one layer: entries, and index keys.

        Parameters
        ----------
        new_tokens, context : float or array
            Tokens computed together; tokens cached before them [1].

        Returns
        -------
        tuple of float or array
            Entries and index keys, summed over the new tokens [1].
        """
        if self.constant_state:
            return 0.0, 0.0

        from roofline_afd.physics.attention import causal_entries  # loads NumPy: not for --help

        def total(most: float) -> FloatArray:
            return causal_entries(new_tokens=new_tokens, context=context, most=most)

        window, chosen = self.window_tokens or math.inf, self.index_top_k or math.inf
        if self.type == "compressed":
            ratio = self.compress_ratio or 0
            if not ratio:
                return total(window), 0.0
            scored = total(math.inf) / ratio if self.index_heads else 0.0
            return total(window) + total(chosen * ratio) / ratio, scored
        return total(min(window, chosen)), total(math.inf) if self.index_heads else 0.0

    def cached_elements(self, context: FloatLike) -> FloatArray:
        """Count the elements one layer caches for `context` tokens: entries within windows, index keys."""
        if self.constant_state:
            return 0.0
        entries, index = self._kept(context)
        return (0.0 if self.shared_kv else entries * self.entry_elements) + index * self.index_width

    def read_elements(self, context: FloatLike) -> FloatArray:
        """Count the cached and state elements one new token reads in one layer at `context` tokens."""
        if self.constant_state:
            return float(self.state_elements)
        _, index = self._kept(context)
        return self.attended_entries(context) * self.entry_elements + index * self.index_width

    @property
    def cached_elements_per_token(self) -> float:
        """Elements one layer caches for one token while that token is within every window."""
        if self.constant_state:
            return 0
        share = 1 / self.compress_ratio if self.compress_ratio else 0
        if self.type == "compressed":
            return self.entry_elements + share * (self.entry_elements + self.index_width)
        return (0 if self.shared_kv else self.entry_elements) + self.index_width

    @property
    def state_elements(self) -> int:
        """Elements of state one layer keeps for a sequence of any length: matrix and convolution."""
        return self.matrix_elements + max((self.conv_kernel or 1) - 1, 0) * self._conv_channels

    @property
    def matrix_elements(self) -> int:
        """Elements of the state matrix of one layer; 0 where a cache grows."""
        if self.type == "mamba1":
            return (self.inner_width or 0) * (self.state_width or 0)
        if self.type == "mamba2":
            return self.heads * self.head_dim * (self.state_width or 0)
        if self.constant_state:
            return self.heads * self.head_dim * (self.value_head_dim or self.head_dim)
        return 0

    @property
    def _conv_channels(self) -> int:
        if self.type == "gated-delta":
            return 2 * (self.key_heads or 0) * self.head_dim + self.heads * (self.value_head_dim or 0)
        if self.type == "mamba2":
            return self.heads * self.head_dim + 2 * (self.state_groups or 0) * (self.state_width or 0)
        return 3 * self.heads * self.head_dim if self.type == "kda" else self.inner_width or 0

    def core_widths(self, *, absorbed: bool = True) -> tuple[int, int]:
        """Return the width a head reads of a key and of a value; a latent's own where absorbed."""
        value = self.value_head_dim or self.head_dim
        if self.type == "mla":
            if absorbed:
                return self.entry_elements, self.kv_lora_rank or 0
            return self.head_dim + (self.rope_head_dim or 0), value
        return self.head_dim, value

    @property
    def cached_heads(self) -> int:
        """Heads whose keys are cached; query heads of one share its tiles."""
        return self.kv_heads or 1

    def core_flops(
        self,
        context: FloatLike,
        *,
        sequences: FloatLike = 1,
        query_tokens: FloatLike = 1,
        tile_rows: FloatLike = 1,
    ) -> FloatArray:
        """Count FLOPs of one layer's decode step other than products with weights, at `context` tokens."""
        if self.constant_state:
            tokens = sequences * query_tokens
            return tokens * mixing.state_flops(elements=self.matrix_elements, passes=_STATES[self.type])
        from roofline_afd.physics.attention import decode_attention_flops  # loads NumPy: not for --help

        query, value = self.core_widths()
        return decode_attention_flops(
            sequences=sequences,
            query_tokens=query_tokens,
            heads=self.heads,
            query_width=query,
            value_width=value,
            entries=self.attended_entries(context),
            index_heads=self.index_heads or 0,
            index_width=self.index_width,
            index_entries=self.index_entries(context),
            cached_heads=self.cached_heads,
            tile_rows=tile_rows,
        )

    def products(self, hidden_size: int, *, absorbed: bool = True) -> tuple[Product, ...]:
        """List the products with weights of one layer, those that read the same vector as one.

        Parameters
        ----------
        hidden_size : int
            Width of the residual stream [elements].
        absorbed : bool
            Latent attention multiplies queries and results into the latent, head by head, as in decoding;
            else it unfolds the latent into keys and values, as over a prompt.

        Returns
        -------
        tuple of Product
            All but `elementwise_parameters`.
        """
        attention = _PRODUCTS[self.type](self, hidden_size)
        if self.type == "mla" and not absorbed:
            attention = [
                item for item in attention if item.name not in ("key_absorption", "value_absorption")
            ]
            width = self.head_dim + (self.value_head_dim or self.head_dim)
            attention.insert(-1, Product(LATENT_UNFOLDING, self.kv_lora_rank or 0, self.heads * width))
        if self.index_heads:
            width = self.index_head_dim or 0
            keys = 2 * self._compressor_width(width) if self.type == "compressed" else width
            keys += self.index_heads if self.index_block_tokens is None else 0
            attention += [
                Product("index_query", self.q_lora_rank or hidden_size, self.index_heads * width),
                Product("index_key", hidden_size, keys),
            ]
        return tuple(item for item in attention if item.parameters)

    @property
    def elementwise_parameters(self) -> int:
        """Parameters of one layer that multiply channel by channel: convolution taps, decays."""
        if not self.constant_state:
            return 0
        decay = self.matrix_elements if self.type == "mamba1" else 0
        return (self.conv_kernel or 0) * self._conv_channels + decay

    @property
    def vector_elements(self) -> int:
        """Elements of inputs and result of one token in a constant-state layer, convolution included."""
        value = self.heads * (self.value_head_dim or self.head_dim)
        inner = self.inner_width or value
        return (2 * self._conv_channels if self.conv_kernel else 3 * value) + inner

    def split(self, parts: int) -> Attention | None:
        """Return the layer as one of several devices holds it that share its heads.

        Parameters
        ----------
        parts : int
            Devices among which the heads are split [1].

        Returns
        -------
        Attention or None
            With its share of heads; latents, index and shared heads stay whole on every device. None where
            the heads do not divide.
        """
        if parts == 1:
            return self
        changes: dict[str, Any] = {}
        for name in ("heads", "key_heads", "inner_width"):
            count = getattr(self, name)
            if count:
                if count % parts:
                    return None
                changes[name] = count // parts
        for name in ("kv_heads", "o_groups", "state_groups"):  # fewer than devices: held more than once
            count = getattr(self, name)
            if count:
                if count % parts and parts % count:
                    return None
                changes[name] = max(count // parts, 1)
        return dataclasses.replace(self, **changes)

    def unfolding_pays_from(self) -> float:
        """Count the tokens of a prompt from which unfolding a long latent cache saves operations [1]."""
        if self.type != "mla":
            return 0.0
        absorbed, unfolded = (sum(self.core_widths(absorbed=each)) for each in (True, False))
        width = self.head_dim + (self.value_head_dim or self.head_dim)
        return (self.kv_lora_rank or 0) * width / max(absorbed - unfolded, 1)

    def parameters(self, hidden_size: int) -> int:
        """Count the parameters of one layer [elements] for a residual stream of `hidden_size` elements."""
        formula, keys = _PARAMETERS[self.type]
        total = formula(hidden_size=hidden_size, **{key: getattr(self, key) for key in keys})
        if self.type == "compressed" and self.compress_ratio:
            total += 2 * hidden_size * self._compressor_width(self.head_dim)
        if self.index_heads:
            total += mixing.index_parameters(
                hidden_size=hidden_size,
                index_heads=self.index_heads,
                index_head_dim=self.index_head_dim or 0,
                q_lora_rank=self.q_lora_rank or hidden_size,
                head_weights=self.index_block_tokens is None,
            )
            if self.type == "compressed":  # its index reads keys from a compressor of its own
                extra = 2 * self._compressor_width(self.index_head_dim or 0) - (self.index_head_dim or 0)
                total += hidden_size * extra
        return total

    def _compressor_width(self, head_dim: int) -> int:
        return head_dim * (2 if (self.compress_ratio or 0) <= OVERLAP_RATIO else 1)


_STATES = {"gated-delta": 7, "kda": 7, "lightning": 5, "mamba1": 5, "mamba2": 5}
"""Kinds of constant-state layers, and the passes over the state a step takes (`counting.state_flops`)."""

LATENT_UNFOLDING = "key_value_up"
"""The product that unfolds cached latents into keys and values: over a prompt it runs on the cache too."""


def _gqa_products(layer: Attention, hidden: int) -> list[Product]:
    value = layer.value_head_dim or layer.head_dim
    keys = layer.head_dim if layer.key_is_value else layer.head_dim + value
    cached = 0 if layer.shared_kv else (layer.kv_heads or 0) * keys
    gate = layer.heads * value if layer.output_gate else 0
    return [
        Product("query_key_value", hidden, layer.heads * layer.head_dim + cached + gate),
        Product("attention_output", layer.heads * value, hidden),
    ]


def _mla_products(layer: Attention, hidden: int) -> list[Product]:
    value, latent = layer.value_head_dim or layer.head_dim, layer.kv_lora_rank or 0
    query = layer.heads * (layer.head_dim + (layer.rope_head_dim or 0))
    down = (layer.q_lora_rank or query) + latent + (layer.rope_head_dim or 0)
    gate = layer.heads * value if layer.output_gate else 0
    return [
        Product("query_key_value", hidden, down + gate),
        Product("query_up", layer.q_lora_rank or 0, query),
        Product("key_absorption", layer.head_dim, latent, layer.heads),
        Product("value_absorption", latent, value, layer.heads),
        Product("attention_output", layer.heads * value, hidden),
    ]


def _mfa_products(layer: Attention, hidden: int) -> list[Product]:
    rank = layer.q_lora_rank or 0
    return [
        Product("query_key_value", hidden, rank + 2 * (layer.kv_heads or 0) * layer.head_dim),
        Product("query_up", rank, layer.heads * layer.head_dim),
        Product("attention_output", layer.heads * layer.head_dim, hidden),
    ]


def _compressed_products(layer: Attention, hidden: int) -> list[Product]:
    rank, groups, lora = layer.q_lora_rank or 0, layer.o_groups or 1, layer.o_lora_rank or 0
    compressor = 2 * layer._compressor_width(layer.head_dim) if layer.compress_ratio else 0  # noqa: SLF001
    return [
        Product("query_key_value", hidden, rank + layer.head_dim + compressor),
        Product("query_up", rank, layer.heads * layer.head_dim),
        Product("output_down", layer.heads * layer.head_dim // groups, lora, groups),
        Product("attention_output", groups * lora, hidden),
    ]


def _gated_delta_products(layer: Attention, hidden: int) -> list[Product]:
    keys = 2 * (layer.key_heads or 0) * layer.head_dim
    values = layer.heads * (layer.value_head_dim or layer.head_dim)
    return [
        Product("query_key_value", hidden, keys + 2 * values + 2 * layer.heads),
        Product("attention_output", values, hidden),
    ]


def _kda_products(layer: Attention, hidden: int) -> list[Product]:
    wide, rank = layer.heads * layer.head_dim, layer.gate_rank
    inputs = 3 * wide + layer.heads + layer.head_dim + (wide if rank is None else rank)
    return [
        Product("query_key_value", hidden, inputs),
        Product("decay_up", layer.head_dim, wide),
        Product("gate_up", rank or 0, wide),
        Product("attention_output", wide, hidden),
    ]


def _lightning_products(layer: Attention, hidden: int) -> list[Product]:
    wide = layer.heads * layer.head_dim
    return [Product("query_key_value", hidden, 4 * wide), Product("attention_output", wide, hidden)]


def _mamba1_products(layer: Attention, hidden: int) -> list[Product]:
    inner, rank = layer.inner_width or 0, layer.dt_rank or 0
    return [
        Product("input", hidden, 2 * inner),
        Product("state_input", inner, rank + 2 * (layer.state_width or 0)),
        Product("step_size", rank, inner),
        Product("attention_output", inner, hidden),
    ]


def _mamba2_products(layer: Attention, hidden: int) -> list[Product]:
    inner = layer.heads * layer.head_dim
    shared = 2 * (layer.state_groups or 0) * (layer.state_width or 0)
    return [
        Product("input", hidden, 2 * inner + shared + layer.heads),
        Product("attention_output", inner, hidden),
    ]


_PRODUCTS: dict[str, Callable[[Attention, int], list[Product]]] = {
    "gqa": _gqa_products,
    "mfa": _mfa_products,
    "mla": _mla_products,
    "compressed": _compressed_products,
    "gated-delta": _gated_delta_products,
    "kda": _kda_products,
    "lightning": _lightning_products,
    "mamba1": _mamba1_products,
    "mamba2": _mamba2_products,
}

_PARAMETERS: dict[str, tuple[Callable[..., int], tuple[str, ...]]] = {
    "gqa": (
        mixing.gqa_parameters,
        (
            *("heads", "kv_heads", "head_dim", "value_head_dim"),
            *("key_is_value", "shared_kv", "output_gate"),
        ),
    ),
    "mfa": (mixing.mfa_parameters, ("heads", "kv_heads", "head_dim", "q_lora_rank")),
    "mla": (
        mixing.mla_parameters,
        (
            *("heads", "head_dim", "value_head_dim", "rope_head_dim", "kv_lora_rank", "q_lora_rank"),
            "output_gate",
        ),
    ),
    "compressed": (
        mixing.compressed_parameters,
        ("heads", "head_dim", "q_lora_rank", "o_lora_rank", "o_groups"),
    ),
    "gated-delta": (
        mixing.gated_delta_parameters,
        ("heads", "key_heads", "head_dim", "value_head_dim", "conv_kernel"),
    ),
    "kda": (mixing.kda_parameters, ("heads", "head_dim", "conv_kernel", "gate_rank")),
    "lightning": (mixing.lightning_parameters, ("heads", "head_dim")),
    "mamba1": (mixing.mamba1_parameters, ("inner_width", "state_width", "conv_kernel", "dt_rank")),
    "mamba2": (
        mixing.mamba2_parameters,
        ("heads", "head_dim", "state_width", "state_groups", "conv_kernel"),
    ),
}
