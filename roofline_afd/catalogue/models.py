"""Model shapes, and what is counted from them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.catalogue.overrides import override
from roofline_afd.catalogue.store import Catalogue
from roofline_afd.errors import InputError
from roofline_afd.physics import counting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from roofline_afd.catalogue.records import Quantity

DENSE_MATRICES = 3
"""Matrices of the dense layers and shared experts of every catalogued model (SwiGLU)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attention:
    """Attention layers of one kind; widths in elements, absent ones None (see `model_db/schema.json`)."""

    name: str
    type: str
    layers: int
    heads: int
    head_dim: int
    kv_heads: int | None = None
    value_head_dim: int | None = None
    rope_head_dim: int | None = None
    q_lora_rank: int | None = None
    kv_lora_rank: int | None = None
    index_heads: int | None = None
    index_head_dim: int | None = None
    index_top_k: int | None = None
    window_tokens: int | None = None

    @property
    def cached_elements_per_token(self) -> int:
        """Elements one layer caches for one token: keys and values, or the latent, and index keys."""
        if self.type == "mla":
            return (self.kv_lora_rank or 0) + (self.rope_head_dim or 0) + (self.index_head_dim or 0)
        return (self.kv_heads or 0) * (self.head_dim + (self.value_head_dim or self.head_dim))

    def parameters(self, hidden_size: int) -> int:
        """Count the parameters of one layer [elements] for a residual stream of `hidden_size` elements."""
        formula, keys = _PARAMETERS[self.type]
        total = formula(hidden_size=hidden_size, **{key: getattr(self, key) for key in keys})
        if self.index_heads is not None:
            total += counting.index_parameters(
                hidden_size=hidden_size,
                index_heads=self.index_heads,
                index_head_dim=self.index_head_dim or 0,
                q_lora_rank=self.q_lora_rank or hidden_size,
            )
        return total


_PARAMETERS: dict[str, tuple[Callable[..., int], tuple[str, ...]]] = {
    "gqa": (counting.gqa_parameters, ("heads", "kv_heads", "head_dim")),
    "mfa": (counting.mfa_parameters, ("heads", "kv_heads", "head_dim", "q_lora_rank")),
    "mla": (
        counting.mla_parameters,
        ("heads", "head_dim", "value_head_dim", "rope_head_dim", "kv_lora_rank", "q_lora_rank"),
    ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """The shape of a mixture-of-experts model; widths in elements (see `model_db/schema.json`)."""

    id: str
    name: str
    hidden_size: int
    dispatch_width: int
    layers: int
    moe_layers: int
    dense_intermediate: int
    routed_experts: int
    shared_experts: int
    shared_expert_intermediate: int
    top_k: int
    expert_groups: int
    groups_per_token: int
    expert_intermediate: int
    expert_matrices: int
    vocab_size: int
    tied_embeddings: bool
    attention: tuple[Attention, ...]
    quantities: Mapping[str, Quantity] = dataclasses.field(repr=False)
    overridden: tuple[str, ...] = ()

    @property
    def expert_params(self) -> int:
        """Parameters of one routed expert [elements]."""
        return counting.ffn_parameters(
            width=self.dispatch_width, intermediate=self.expert_intermediate, matrices=self.expert_matrices
        )

    def _params(self, experts: int, embeddings: int) -> int:
        shared = counting.ffn_parameters(
            width=self.hidden_size, intermediate=self.shared_expert_intermediate, matrices=DENSE_MATRICES
        )
        dense = counting.ffn_parameters(
            width=self.hidden_size, intermediate=self.dense_intermediate, matrices=DENSE_MATRICES
        )
        latent = 2 * self.hidden_size * self.dispatch_width if self.dispatch_width != self.hidden_size else 0
        moe = experts * self.expert_params + shared + latent + self.hidden_size * self.routed_experts
        return (
            sum(kind.layers * kind.parameters(self.hidden_size) for kind in self.attention)
            + self.moe_layers * moe
            + (self.layers - self.moe_layers) * dense
            + embeddings * self.vocab_size * self.hidden_size
        )

    @property
    def total_params(self) -> int:
        """All parameters [elements]; multi-token-prediction layers, norms and biases left out."""
        return self._params(self.routed_experts, 1 if self.tied_embeddings else 2)

    @property
    def active_params(self) -> int:
        """Parameters one token uses [elements]: output head yes, input embedding no."""
        return self._params(self.top_k, 1)

    def kv_bytes_per_token(self, bytes_per_element: float) -> float:
        """Cache bytes one token adds over all layers [B], at `bytes_per_element` [B]."""
        return bytes_per_element * sum(
            kind.layers * kind.cached_elements_per_token for kind in self.attention
        )


def load_model(
    name: str, *, overrides: Mapping[str, float | str] | None = None, catalogue: Catalogue | None = None
) -> Model:
    """Load a model shape, with any value overridden.

    Parameters
    ----------
    name : str
        Id or alias of a model, for example `"deepseek-v3"`.
    overrides : mapping of str to float or str, optional
        Record key to value; keys of attention tables are dotted (`attention.full.heads`).
    catalogue : Catalogue, optional
        Where to look; the shipped one with the user's overlays by default.

    Returns
    -------
    Model
        The shape, and the provenance of each number.

    Raises
    ------
    InputError
        If the id or a key is unknown, a value is out of bounds, or the shape contradicts itself.

    Examples
    --------
    >>> load_model("deepseek-v3").expert_params
    44040192
    """
    record = (catalogue or Catalogue()).record("model", name)
    quantities = override(record.quantities, overrides or {}, record="model", name=record.id)

    def count(key: str, absent: int = 0) -> int:
        return int(quantities[key].value) if key in quantities else absent

    attention = tuple(
        Attention(
            name=kind,
            type=table["type"],
            **{
                key.rpartition(".")[2]: int(value.value)
                for key, value in quantities.items()
                if key.startswith(f"attention.{kind}.")
            },
        )
        for kind, table in record.data["attention"].items()
    )
    fields = {
        field.name: count(field.name)
        for field in dataclasses.fields(Model)
        if field.name not in {"id", "name", "tied_embeddings", "attention", "quantities", "overridden"}
    }
    fields["expert_groups"] = count("expert_groups", 1)
    fields["groups_per_token"] = count("groups_per_token", fields["expert_groups"])
    model = Model(
        id=record.id,
        name=record.text("name"),
        tied_embeddings=bool(record.data.get("tied_embeddings", False)),
        attention=attention,
        quantities=quantities,
        overridden=tuple(overrides or ()),
        **fields,
    )
    _check_shape(model)
    return model


def _check_shape(model: Model) -> None:
    """Refuse a shape no model can have, naming the two numbers that disagree."""
    rules = (
        (model.top_k > model.routed_experts, "top_k", model.top_k, "routed_experts", model.routed_experts),
        (model.moe_layers > model.layers, "moe_layers", model.moe_layers, "layers", model.layers),
        (
            model.dispatch_width > model.hidden_size,
            "dispatch_width",
            model.dispatch_width,
            "hidden_size",
            model.hidden_size,
        ),
        (
            model.groups_per_token > model.expert_groups,
            "groups_per_token",
            model.groups_per_token,
            "expert_groups",
            model.expert_groups,
        ),
    )
    for broken, small, low, large, high in rules:
        if broken:
            raise InputError(f"model {model.id}: {small} {low} exceeds {large} {high}")
    if model.routed_experts % model.expert_groups:
        raise InputError(
            f"model {model.id}: routed_experts {model.routed_experts} is no multiple of "
            f"expert_groups {model.expert_groups}"
        )
    within_groups = model.groups_per_token * model.routed_experts // model.expert_groups
    if model.top_k > within_groups:
        raise InputError(
            f"model {model.id}: top_k {model.top_k} exceeds the {within_groups} experts "
            "its groups_per_token hold"
        )
