"""Products with weights that one token takes part in, in a sequence-mixing layer of each type."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from roofline_afd.catalogue.attention import given

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.catalogue.attention import Attention

ABSORPTIONS = ("key_absorption", "value_absorption")
LATENT_UNFOLDING = "key_value_up"
"""The product that unfolds cached latents into keys and values: over a prompt it runs on the cache too."""


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

    @property
    def absent(self) -> bool:
        """Whether it has no elements."""
        return any(isinstance(size, int) and size == 0 for size in (self.k, self.n, self.groups))


def products_of(layer: Attention, hidden_size: int, *, absorbed: bool = True) -> tuple[Product, ...]:
    """List the products with weights of one layer, those that read the same vector as one.

    Parameters
    ----------
    layer : Attention
        The layer.
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
    attention = _PRODUCTS[layer.type](layer, hidden_size)
    if layer.type == "mla" and not absorbed:
        attention = [item for item in attention if item.name not in ABSORPTIONS]
        width = layer.head_dim + (layer.value_head_dim or layer.head_dim)
        attention.insert(-1, Product(LATENT_UNFOLDING, layer.kv_lora_rank or 0, layer.heads * width))
    if layer.index_heads:
        width = layer.index_head_dim or 0
        keys = 2 * layer.compressor_width(width) if layer.type == "compressed" else width
        keys += layer.index_heads if layer.index_block_tokens is None else 0
        attention += [
            Product("index_query", layer.q_lora_rank or hidden_size, layer.index_heads * width),
            Product("index_key", hidden_size, keys),
        ]
    return tuple(item for item in attention if not item.absent)


def turns_latent(layer: Attention, item: Product) -> bool:
    """Return whether a product turns queries into a latent, or results out of it, head by head.

    Parameters
    ----------
    layer : Attention
        The layer.
    item : Product
        One of its products.

    Returns
    -------
    bool
        Such a product is computed beside the cache, since what it makes is wider than what it reads.
    """
    return layer.type == "mla" and item.name in ABSORPTIONS


def _gqa_products(layer: Attention, hidden: int) -> list[Product]:
    value = layer.value_head_dim or layer.head_dim
    keys = layer.head_dim if layer.key_is_value else layer.head_dim + value
    cached = 0 if layer.shared_kv else given(layer.kv_heads) * keys
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
        Product("query_key_value", hidden, rank + 2 * given(layer.kv_heads) * layer.head_dim),
        Product("query_up", rank, layer.heads * layer.head_dim),
        Product("attention_output", layer.heads * layer.head_dim, hidden),
    ]


def _compressed_products(layer: Attention, hidden: int) -> list[Product]:
    rank, groups, lora = layer.q_lora_rank or 0, given(layer.o_groups, 1), layer.o_lora_rank or 0
    compressor = 2 * layer.compressor_width(layer.head_dim) if layer.compress_ratio else 0
    return [
        Product("query_key_value", hidden, rank + layer.head_dim + compressor),
        Product("query_up", rank, layer.heads * layer.head_dim),
        Product("output_down", layer.heads * layer.head_dim // groups, lora, groups),
        Product("attention_output", groups * lora, hidden),
    ]


def _gated_delta_products(layer: Attention, hidden: int) -> list[Product]:
    keys = 2 * given(layer.key_heads) * layer.head_dim
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
    inner, rank = given(layer.inner_width), layer.dt_rank or 0
    return [
        Product("input", hidden, 2 * inner),
        Product("state_input", inner, rank + 2 * (layer.state_width or 0)),
        Product("step_size", rank, inner),
        Product("attention_output", inner, hidden),
    ]


def _mamba2_products(layer: Attention, hidden: int) -> list[Product]:
    inner = layer.heads * layer.head_dim
    shared = 2 * given(layer.state_groups) * (layer.state_width or 0)
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
