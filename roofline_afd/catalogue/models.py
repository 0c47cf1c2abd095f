"""Model shapes, and what is counted from them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from roofline_afd.catalogue.attention import Attention
from roofline_afd.catalogue.overrides import override
from roofline_afd.catalogue.precision import precision
from roofline_afd.catalogue.schema import quantity_keys
from roofline_afd.catalogue.store import Catalogue, same_name
from roofline_afd.errors import InputError, naming_arguments
from roofline_afd.physics import counting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from roofline_afd.catalogue.records import Quantity, Record
    from roofline_afd.physics.arrays import FloatArray, FloatLike

STATE_BYTES = 4.0
"""Bytes of a state element: every shipped implementation keeps recurrent states in fp32."""
LARGEST = {"routed_experts": 4096, "top_k": 256, "expert_groups": 256}
"""Bounds far beyond every model, which keep the expected fan-out quick."""
EMBEDDING_BYTES = 2.0
"""Bytes of an element of embedding and output head, which publishers leave in bf16."""


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights as a model's maker publishes them: formats of routed experts, and of the other matrices."""

    repository: str
    experts: str
    rest: str
    activations: str = ""
    """Format that experts take vectors in, where the weights are narrower and it is stated."""


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
    dense_layers: int = 0
    dense_matrices: int = 3
    shared_expert_matrices: int = 3
    zero_experts: int = 0
    hash_routed_layers: int = 0
    residual_streams: int = 1
    mtp_layers: int = 0
    expert_weights: str = ""
    attention_weights: str = ""
    vendor: str = ""
    checkpoints: tuple[Checkpoint, ...] = ()
    """What its maker publishes, the one that the record describes first; none where it states no formats."""
    asked_as: str = dataclasses.field(default="", compare=False)
    """Name it was asked for by, where that is not its id: an alias, or an id of Hugging Face."""

    def __hash__(self) -> int:
        """Tell models apart by id and by what was set; equal models have both alike."""
        return hash((self.id, *((key, self.quantities[key].value) for key in self.overridden)))

    @property
    def attention_layers(self) -> int:
        """Sequence-mixing layers of every kind."""
        return sum(kind.layers for kind in self.attention)

    @property
    def mean_top_k(self) -> float:
        """Routed experts a token reaches on average: top_k less the share of experts that compute nothing."""
        return self.top_k * self.routed_experts / (self.routed_experts + self.zero_experts)

    @property
    def expert_params(self) -> int:
        """Parameters of one routed expert [elements]."""
        return counting.ffn_parameters(
            width=self.dispatch_width, intermediate=self.expert_intermediate, matrices=self.expert_matrices
        )

    @property
    def params_by_part(self) -> dict[str, int]:
        """All parameters [elements] by part; multi-token-prediction layers, norms and biases left out."""
        shared = counting.ffn_parameters(
            width=self.hidden_size,
            intermediate=self.shared_expert_intermediate,
            matrices=self.shared_expert_matrices,
        )
        dense = counting.ffn_parameters(
            width=self.hidden_size, intermediate=self.dense_intermediate, matrices=self.dense_matrices
        )
        latent = 2 * self.hidden_size * self.dispatch_width if self.dispatch_width != self.hidden_size else 0
        streams = counting.hyper_connection_parameters(
            hidden_size=self.hidden_size, streams=self.residual_streams
        )
        table = self.vocab_size * self.hidden_size
        return {
            "attention": sum(kind.layers * kind.parameters(self.hidden_size) for kind in self.attention),
            "routed_experts": self.moe_layers * self.routed_experts * self.expert_params,
            "shared_experts": self.moe_layers * shared,
            "dense": self.dense_layers * dense,
            "router": self.moe_layers * self.hidden_size * (self.routed_experts + self.zero_experts),
            "latent": self.moe_layers * latent,
            "residual_streams": 2 * self.layers * streams,
            "embedding": table,
            "output_head": 0 if self.tied_embeddings else table,
        }

    @property
    def total_params(self) -> int:
        """All parameters [elements]; multi-token-prediction layers, norms and biases left out."""
        return counting.total_parameters(**self.params_by_part)

    @property
    def active_params(self) -> int:
        """Parameters one token uses [elements]: output head yes, input embedding no."""
        parts = self.params_by_part
        return counting.active_parameters(
            total_params=self.total_params,
            routed_experts=parts["routed_experts"],
            moe_layers=self.moe_layers,
            mean_top_k=self.mean_top_k,
            expert_params=self.expert_params,
            unused_embedding=0 if self.tied_embeddings else parts["embedding"],
        )

    def weight_bytes(
        self, *, experts: float, others: float | None = None, embeddings: float = EMBEDDING_BYTES
    ) -> float:
        """Bytes of all weights [B], from bytes per element.

        Parameters
        ----------
        experts : float
            Of the routed experts [B/element].
        others : float, optional
            Of everything else but embedding and output head; as the experts where None [B/element].
        embeddings : float
            Of embedding and output head [B/element].

        Returns
        -------
        float
            Bytes of the whole model [B].

        Examples
        --------
        >>> round(load_model("deepseek-v3").weight_bytes(experts=1.0) / 1e9)
        673
        """
        parts = self.params_by_part
        routed = parts["routed_experts"]
        tables = parts["embedding"] + parts["output_head"]
        rest = self.total_params - routed - tables
        return routed * experts + rest * (experts if others is None else others) + tables * embeddings

    @property
    def published_weight_bytes(self) -> float:
        """Bytes of the weights as published [B]; an error where the record does not say their formats."""
        if not (self.expert_weights and self.attention_weights):
            raise InputError(f"model {self.id}: no expert_weights and attention_weights in its record")
        return self.weight_bytes(
            experts=precision(self.expert_weights).bytes, others=precision(self.attention_weights).bytes
        )

    @property
    def cached_elements_per_token(self) -> float:
        """Elements one token adds to the caches of all layers but index keys, while within every window."""
        return sum(kind.layers * kind.cached_elements_per_token for kind in self.attention)

    @property
    def index_bytes_per_token(self) -> float:
        """Bytes of index keys one token adds to the caches of all layers [B], whatever their precision."""
        return sum(kind.layers * kind.index_bytes_per_token for kind in self.attention)

    def kv_bytes_per_token(self, bytes_per_element: float) -> float:
        """Cache bytes one token adds over all layers [B], at `bytes_per_element` [B].

        A token is counted in every window: `kv_bytes` drops those that windows have passed.
        """
        return counting.cache_bytes_per_token(
            bytes_per_element=bytes_per_element,
            cached_elements=self.cached_elements_per_token,
            index_bytes=self.index_bytes_per_token,
        )

    def kv_bytes(self, context: FloatLike, bytes_per_element: float) -> FloatArray:
        """Cache bytes of a sequence of `context` tokens over all layers [B], at `bytes_per_element` [B]."""
        return sum(
            kind.layers * (bytes_per_element * kind.cached_elements(context) + kind.index_bytes(context))
            for kind in self.attention
        )

    def kv_read_bytes(self, context: FloatLike, bytes_per_element: float) -> FloatArray:
        """Cache bytes one new token reads over all layers [B]; constant states not counted."""
        return sum(
            kind.layers * (bytes_per_element * kind.read_elements(context) + kind.index_bytes(context))
            for kind in self.attention
            if not kind.constant_state
        )

    def state_bytes(self, bytes_per_element: float = STATE_BYTES) -> float:
        """Bytes of constant state a sequence keeps over all layers [B], whatever its length."""
        return bytes_per_element * sum(kind.layers * kind.state_elements for kind in self.attention)

    def decode_flops_per_token(self, context: FloatLike) -> FloatArray:
        """FLOPs of one decoded token at a context of `context` tokens [FLOP].

        Notes
        -----
        flops = 2 * active_params + sum over layers of core attention, index and state updates
        """
        core = sum(kind.layers * kind.core_flops(context) for kind in self.attention)
        return 2 * self.active_params + core


@naming_arguments()
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
    model = model_of(record, overrides=overrides)
    return model if same_name(name, record.id) else dataclasses.replace(model, asked_as=name)


def model_of(record: Record, *, overrides: Mapping[str, float | str] | None = None) -> Model:
    """Make the shape a record describes, with any value overridden.

    Parameters
    ----------
    record : Record
        A record of kind `model`.
    overrides : mapping of str to float or str, optional
        As in `load_model`.

    Returns
    -------
    Model
        The shape, and the provenance of each number.

    Raises
    ------
    InputError
        If a key is unknown, a value is out of bounds, or the shape contradicts itself.
    """
    quantities = override(record.quantities, overrides or {}, record="model", name=record.id)
    counts = quantity_keys("model")
    fields: dict[str, Any] = {
        field.name: int(quantities[field.name].value) if field.name in quantities else 0
        for field in dataclasses.fields(Model)
        if field.name in counts
    }
    matrices = fields["expert_matrices"]
    absent = {
        "expert_groups": 1,
        "groups_per_token": fields["expert_groups"] or 1,
        "dense_layers": max(fields["layers"] - fields["moe_layers"], 0),
        "dense_matrices": matrices,
        "shared_expert_matrices": matrices,
        "residual_streams": 1,
    }
    fields.update({key: value for key, value in absent.items() if key not in quantities})
    model = Model(
        id=record.id,
        name=record.text("name"),
        tied_embeddings=bool(record.data.get("tied_embeddings", False)),
        expert_weights=record.text("expert_weights"),
        attention_weights=record.text("attention_weights"),
        vendor=record.text("vendor"),
        checkpoints=checkpoints_of(record),
        attention=tuple(
            Attention(name=kind, **_attention_fields(kind, table, quantities))
            for kind, table in record.data["attention"].items()
        ),
        quantities=quantities,
        overridden=tuple(overrides or ()),
        **fields,
    )
    _check_shape(model)
    if "layers" not in {key.rpartition(".")[2] for key in overrides or ()}:
        # with other layers one asks what if, not for a model that is whole
        _check_whole(model, irregular="dense_layers" in quantities)
    return model


def _attention_fields(
    kind: str, table: Mapping[str, Any], quantities: Mapping[str, Quantity]
) -> dict[str, Any]:
    """Return what an attention table sets: texts and flags as written, numbers from the quantities."""
    plain = {key: value for key, value in table.items() if isinstance(value, str | bool)}
    prefix = f"attention.{kind}."
    numbers = {
        key.removeprefix(prefix): int(quantity.value)
        for key, quantity in quantities.items()
        if key.startswith(prefix)
    }
    return {**plain, **numbers}


def _check_shape(model: Model) -> None:
    """Refuse a shape no model can have, naming the two numbers that disagree."""
    ordered = (
        ("top_k", "routed_experts"),
        ("moe_layers", "layers"),
        ("hash_routed_layers", "moe_layers"),
        ("dispatch_width", "hidden_size"),
        ("groups_per_token", "expert_groups"),
    )
    for kind in model.attention:
        if kind.kv_heads is not None and kind.kv_heads > kind.heads:
            raise InputError(
                f"model {model.id}: attention.{kind.name}.kv_heads {kind.kv_heads} exceeds heads {kind.heads}"
            )
        clashing = [key for key in ("window_tokens", "index_top_k") if getattr(kind, key) is not None]
        if kind.chunk_tokens is not None and clashing:
            raise InputError(
                f"model {model.id}: attention.{kind.name} has chunk_tokens and {clashing[0]}: one of both"
            )
    for low, high in ordered:
        small, large = getattr(model, low), getattr(model, high)
        if small > large:
            raise InputError(f"model {model.id}: {low} {small} exceeds {high} {large}")
    for key, most in LARGEST.items():
        if getattr(model, key) > most:
            raise InputError(
                f"model {model.id}: {key} {getattr(model, key)} is more than {most}, the most taken"
            )
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


def _check_whole(model: Model, *, irregular: bool) -> None:
    """Refuse a shape that lacks a width, or whose attention tables do not add up to its layers."""
    for needed, by in (
        ("dense_intermediate", "dense_layers"),
        ("shared_expert_intermediate", "shared_experts"),
    ):
        if getattr(model, by) and not getattr(model, needed):
            raise InputError(f"model {model.id}: missing {needed}, needed with {by} {getattr(model, by)}")
    if not irregular and model.attention_layers != model.layers:
        tables = ", ".join(f"attention.{kind.name}.layers {kind.layers}" for kind in model.attention)
        raise InputError(
            f"model {model.id}: {tables} must add up to layers {model.layers}, "
            "unless dense_layers is written out"
        )


def checkpoints_of(record: Record) -> tuple[Checkpoint, ...]:
    """Return the checkpoints a model's maker publishes, as its record lists them.

    Parameters
    ----------
    record : Record
        A record of a model.

    Returns
    -------
    tuple of Checkpoint
        The one whose formats the record states first; empty where it states none.
    """
    data = record.data
    experts = record.text("expert_weights")
    if not experts:
        return ()
    first = next(iter(data.get("hugging_face_ids", ())), "")
    rest, activations = record.text("attention_weights") or "bf16", record.text("expert_activations")
    listed = (
        Checkpoint(each["repository"], each["experts"], each["rest"], each.get("activations", ""))
        for each in data.get("checkpoints", ())
    )
    return (Checkpoint(first, experts, rest, activations), *listed)
