"""In which order the layers of a model come: kinds that mix a sequence, and FFN layers of either kind."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from roofline_afd.physics.schedule import even_order

if TYPE_CHECKING:
    from roofline_afd.catalogue.models import Model

FEW = 1 / 8
"""Dense layers, as a share of those with experts, up to which they come first."""


class Order(NamedTuple):
    """The layers of a model: the kinds there are, and which of them each layer is.

    A kind is a place among the layers that mix, 0 where these stand apart, and whether its FFN is dense.
    """

    kinds: tuple[tuple[int, bool], ...]
    layers: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Layers of each kind [1]."""
        return tuple(self.layers.count(index) for index in range(len(self.kinds)))


def layer_order(model: Model) -> Order:
    """Return the layers of a model in their order, as far as their numbers tell it.

    Kinds that mix a sequence take turns as their numbers have it; few dense layers come first, as makers put
    them, many take turns with those that have experts.

    Parameters
    ----------
    model : Model
        The model.

    Returns
    -------
    Order
        Its layers.
    """
    mixing = tuple(kind.layers for kind in model.attention)
    return _order(mixing, model.moe_layers, model.dense_layers)


@functools.lru_cache(maxsize=256)
def _order(mixing_layers: tuple[int, ...], moe_layers: int, dense_layers: int) -> Order:
    total = moe_layers + dense_layers
    together = sum(mixing_layers) == total
    mixing = even_order(counts=mixing_layers) if together else (0,) * total
    if dense_layers <= FEW * moe_layers:
        dense = [index < dense_layers for index in range(total)]
    else:
        dense = [bool(each) for each in even_order(counts=[moe_layers, dense_layers])]
    pairs = list(zip(mixing, dense, strict=True))
    kinds = tuple(dict.fromkeys(pairs))
    return Order(kinds, tuple(kinds.index(pair) for pair in pairs))
