"""Which layers have experts, and how wide the shared ones are, as several families spell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roofline_afd.catalogue.huggingface.fields import Noted

if TYPE_CHECKING:
    from roofline_afd.catalogue.huggingface.fields import Fields, Shape


def every_few(fields: Fields, layers: int) -> int:
    """Return the MoE layers of a family where every few layers are such, but for those listed as dense."""
    step = fields.number("decoder_sparse_step", missing=1)
    dense = set(fields.series("mlp_only_layers", None, range(layers)))
    return sum((layer + 1) % step == 0 and layer not in dense for layer in range(layers))


def widen_shared(shape: Shape) -> None:
    """Count the shared experts as wide as routed ones each, where the file gives their number only."""
    if shape.get("shared_experts") and "shared_expert_intermediate" not in shape:
        wide, several = shape["expert_intermediate"], shape["shared_experts"]
        note = "shared experts times the width of a routed expert"
        shape["shared_expert_intermediate"] = Noted(wide * several, "derived", note) if several > 1 else wide


def after_dense_ones(fields: Fields, layers: int) -> int:
    """Return the MoE layers of a family whose first layers are dense, which a file must say."""
    counts = _counted(fields, layers)
    if not counts:
        fields.fault("missing first_k_dense_replace")
    return next(iter(counts.values()), 1)


def moe_layers(fields: Fields, layers: int) -> int:
    """Return the MoE layers of a file that says so in any of the usual ways; all layers where in none."""
    return next(iter(_counted(fields, layers).values()), layers)


def _counted(fields: Fields, layers: int) -> dict[str, int]:
    """Return the MoE layers by each of the usual ways of saying so; all that are given must agree."""
    counts: dict[str, int] = {}
    kinds = fields.series("mlp_layer_types", layers, ("dense", "sparse"))
    if kinds:
        counts["mlp_layer_types"] = kinds.count("sparse")
    for key in ("first_k_dense_replace", "num_dense_layers"):
        if fields.data.get(key) is not None:
            counts[key] = layers - fields.number(key, minimum=0, maximum=layers)
    if isinstance(fields.data.get("moe_layer_freq"), list):
        counts["moe_layer_freq"] = fields.series("moe_layer_freq", layers, (0, 1)).count(1)
    else:
        fields.expect("moe_layer_freq", 1)
    for layer in fields.series("is_moe_layer", layers, (True, False)):
        counts["is_moe_layer"] = counts.get("is_moe_layer", 0) + layer
    if "decoder_sparse_step" in fields.data or "mlp_only_layers" in fields.data:
        counts["mlp_only_layers"] = every_few(fields, layers)
    if len(set(counts.values())) > 1:
        given = ", ".join(f"{count} by {key}" for key, count in counts.items())
        fields.fault(f"MoE layers contradict each other: {given}")
    return counts
