"""Libraries of exchange kernels."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roofline_afd.catalogue.store import Catalogue


@dataclasses.dataclass(frozen=True, slots=True)
class Library:
    id: str
    name: str
    transport: str


def load_library(name: str, *, catalogue: Catalogue) -> Library:
    record = catalogue.record("library", name)
    return Library(record.id, record.text("name"), record.text("transport"))
