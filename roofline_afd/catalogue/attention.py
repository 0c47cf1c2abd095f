"""Sequence-mixing layers: what they cache and attend to, and how many parameters they have."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

from roofline_afd.catalogue.precision import precision
from roofline_afd.physics import mixing

if TYPE_CHECKING:
    from collections.abc import Callable

    from roofline_afd.physics.arrays import Count, FloatArray, FloatLike

OVERLAP_RATIO = 4
"""Compression up to which windows overlap, so that the compressor's projections are twice as wide."""
LATENTS = ("mla", "compressed")
"""Types of layers whose query heads all read the one vector cached of a token."""
LATENT_BLOCK = 64
"""Query heads that a piece of work takes where all of them read one cached vector."""
_STATES = {"gated-delta": 7, "kda": 7, "lightning": 5, "mamba1": 5, "mamba2": 5}
"""Kinds of constant-state layers, and the passes over the state a step takes (`mixing.state_flops`)."""


def given(value: int | None, otherwise: int = 0) -> int:
    """Return a number of heads or a width where there is one; of layers split in several ways an array."""
    return otherwise if value is None or (isinstance(value, int) and value == 0) else value


def _least(one: FloatLike, other: FloatLike) -> FloatArray:
    """Return the smaller of two, element by element."""
    import numpy as np  # --help does without

    return np.minimum(one, other)


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
    chunk_tokens: int | None = None
    index_block_tokens: int | None = None
    index_precision: str = "fp8"
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
        return given(self.kv_heads) * (self.head_dim + (self.value_head_dim or self.head_dim))

    @property
    def index_width(self) -> int:
        """Elements of one index key; 0 without an index."""
        return self.index_head_dim or 0 if self.index_heads else 0

    @property
    def index_key_bytes(self) -> float:
        """Bytes of one cached index key, scale included, whatever the precision of the cache [B]."""
        if not self.index_width:
            return 0.0
        from roofline_afd.physics.index import index_key_bytes  # loads NumPy: not for --help

        element = precision(self.index_precision).bytes
        return float(index_key_bytes(index_width=self.index_width, element_bytes=element))

    def _kept(self, context: FloatLike) -> tuple[FloatArray, FloatArray]:
        """Return the entries, and the index keys, that one layer holds of a sequence of `context` tokens."""
        if self.chunk_tokens:
            from roofline_afd.physics.attention import chunk_entries  # loads NumPy: not for --help

            return chunk_entries(context=context, chunk_tokens=self.chunk_tokens), context
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

        from roofline_afd.physics.attention import causal_entries, chunked_causal_entries  # loads NumPy

        if self.chunk_tokens:
            tokens = {"new_tokens": new_tokens, "context": context}
            return chunked_causal_entries(**tokens, chunk_tokens=self.chunk_tokens), 0.0

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
        """Count the elements one layer caches for `context` tokens: entries within windows; no index keys."""
        if self.constant_state or self.shared_kv:
            return 0.0
        return self._kept(context)[0] * self.entry_elements

    def index_bytes(self, context: FloatLike) -> FloatArray:
        """Count the bytes of index keys that one layer caches, and reads, for `context` tokens [B]."""
        return self.index_entries(context) * self.index_key_bytes

    def read_elements(self, context: FloatLike) -> FloatArray:
        """Count the cached and state elements one new token reads in one layer; index keys not among them."""
        if self.constant_state:
            return float(self.state_elements)
        return self.attended_entries(context) * self.entry_elements

    @property
    def cached_elements_per_token(self) -> float:
        """Elements one layer caches for one token while that token is within every window."""
        if self.constant_state:
            return 0
        share = 1 / self.compress_ratio if self.compress_ratio else 0
        if self.type == "compressed":
            return self.entry_elements + share * self.entry_elements
        return 0 if self.shared_kv else self.entry_elements

    @property
    def index_bytes_per_token(self) -> float:
        """Bytes of index keys one layer caches for one token [B]."""
        return self.index_key_bytes / (self.compress_ratio or 1)

    @property
    def state_elements(self) -> int:
        """Elements of state one layer keeps for a sequence of any length: matrix and convolution."""
        return self.matrix_elements + self.conv_elements

    @property
    def conv_elements(self) -> int:
        """Elements of the last inputs that the short convolution of one layer keeps for a sequence."""
        return max((self.conv_kernel or 1) - 1, 0) * self.conv_channels

    @property
    def matrix_elements(self) -> int:
        """Elements of the state matrix of one layer; 0 where a cache grows."""
        if self.type == "mamba1":
            return given(self.inner_width) * (self.state_width or 0)
        if self.type == "mamba2":
            return self.heads * self.head_dim * (self.state_width or 0)
        if self.constant_state:
            return self.heads * self.head_dim * (self.value_head_dim or self.head_dim)
        return 0

    @property
    def conv_channels(self) -> int:
        """Channels of the short convolution of a constant-state layer."""
        if self.type == "gated-delta":
            return 2 * given(self.key_heads) * self.head_dim + self.heads * (self.value_head_dim or 0)
        if self.type == "mamba2":
            return self.heads * self.head_dim + 2 * given(self.state_groups) * (self.state_width or 0)
        return 3 * self.heads * self.head_dim if self.type == "kda" else given(self.inner_width)

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
        return given(self.kv_heads, 1)

    @property
    def kernel(self) -> str:
        """Kernel of its core in decoding, of `catalogue.calibration.KERNELS`."""
        if self.constant_state:
            return "state"
        return "mla_decode" if self.type in LATENTS else "gqa_decode"

    @property
    def work_items(self) -> int:
        """Pieces that the core of a sequence is dealt out in: cached heads, or blocks of a latent's heads."""
        if self.type in LATENTS:
            return -(-self.heads // LATENT_BLOCK)
        return self.cached_heads

    def core_flops(
        self,
        context: FloatLike,
        *,
        sequences: FloatLike = 1,
        query_tokens: FloatLike = 1,
    ) -> FloatArray:
        """Count FLOPs of one layer's decode step other than products with weights: index, core, state."""
        if self.constant_state:
            tokens = sequences * query_tokens
            return tokens * mixing.state_flops(elements=self.matrix_elements, passes=_STATES[self.type])
        from roofline_afd.physics import attention, index  # load NumPy: not for --help

        query, value = self.core_widths()
        scoring = index.index_flops(
            sequences=sequences,
            index_heads=self.index_heads or 0,
            index_width=self.index_width,
            scored=query_tokens * self.index_entries(context),
        )
        return scoring + attention.decode_attention_flops(
            sequences=sequences,
            query_tokens=query_tokens,
            heads=self.heads,
            query_width=query,
            value_width=value,
            entries=self.attended_entries(context),
        )

    @property
    def elementwise_parameters(self) -> int:
        """Parameters of one layer that multiply channel by channel: convolution taps, decays."""
        if not self.constant_state:
            return 0
        decay = self.matrix_elements if self.type == "mamba1" else 0
        return (self.conv_kernel or 0) * self.conv_channels + decay

    @property
    def vector_elements(self) -> int:
        """Elements of inputs and result of one token in the update of a constant state."""
        value = self.heads * (self.value_head_dim or self.head_dim)
        inner = given(self.inner_width, value)
        return (self.conv_channels if self.conv_kernel else 3 * value) + inner

    def split(self, parts: Count) -> Attention | None:
        """Return the layer as one of several devices holds it that share its heads.

        Parameters
        ----------
        parts : int, or array of int
            Devices among which the heads are split; of an array each divides them [1].

        Returns
        -------
        Attention or None
            With its share of heads; latents, index and shared heads stay whole on every device. None where
            the heads do not divide. Heads and widths that split are arrays where `parts` is.
        """
        if not isinstance(parts, int):
            return _split_each(self, parts)
        return self if parts == 1 else _split(self, parts)

    @property
    def has_elementwise(self) -> bool:
        """Whether parameters of a layer multiply channel by channel."""
        return self.constant_state and (bool(self.conv_kernel) or self.type == "mamba1")

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
            total += 2 * hidden_size * self.compressor_width(self.head_dim)
        if self.index_heads:
            total += mixing.index_parameters(
                hidden_size=hidden_size,
                index_heads=self.index_heads,
                index_head_dim=self.index_head_dim or 0,
                q_lora_rank=self.q_lora_rank or hidden_size,
                head_weights=self.index_block_tokens is None,
            )
            if self.type == "compressed":  # its index reads keys from a compressor of its own
                extra = 2 * self.compressor_width(self.index_head_dim or 0) - (self.index_head_dim or 0)
                total += hidden_size * extra
        return total

    def compressor_width(self, head_dim: int) -> int:
        """Return the width of a compressor of heads [elements]; twice as wide where windows overlap."""
        return head_dim * (2 if (self.compress_ratio or 0) <= OVERLAP_RATIO else 1)


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


_SPLIT = ("heads", "key_heads", "inner_width")
_REPEATED = ("kv_heads", "o_groups", "state_groups")
"""What is held more than once where it is fewer than devices."""


def _split_each(layer: Attention, parts: Any) -> Attention:  # noqa: ANN401 - an array of whole numbers
    """Return a layer split in several ways at once, all of which divide it."""
    import numpy as np  # --help does without

    counts = {name: getattr(layer, name) for name in (*_SPLIT, *_REPEATED)}
    changes: dict[str, Any] = {name: count // parts for name, count in counts.items() if count}
    return dataclasses.replace(layer, **{name: np.maximum(each, 1) for name, each in changes.items()})


@functools.lru_cache(maxsize=1 << 10)
def _split(layer: Attention, parts: int) -> Attention | None:
    changes: dict[str, Any] = {}
    for name in _SPLIT:
        count = getattr(layer, name)
        if count:
            if count % parts:
                return None
            changes[name] = count // parts
    for name in _REPEATED:
        count = getattr(layer, name)
        if count:
            if count % parts and parts % count:
                return None
            changes[name] = max(count // parts, 1)
    return dataclasses.replace(layer, **changes)
