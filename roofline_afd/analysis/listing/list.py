"""What the catalogues hold, a row per record: which of them, and in which order."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from roofline_afd.analysis.answer import Answer, Decisive, left_out, object_columns
from roofline_afd.analysis.listing.holds import SHOWN, Held, holding, notes_on
from roofline_afd.analysis.listing.rows import check_kind, hardware_row, model_row, note_estimates
from roofline_afd.catalogue.hardware import load_system
from roofline_afd.errors import InfeasibleError, InputError, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from roofline_afd.catalogue.records import Record
    from roofline_afd.catalogue.store import Catalogue

TABLE_KEYS = {
    "system": (
        "id",
        "class",
        "bf16_tflops",
        "fp8_tflops",
        "int8_tops",
        "memory_gb",
        "memory_gb_per_s",
        "scale_up_gb_per_s",
        "scale_up_domain_devices",
        "scale_out_gb_per_s",
        "devices_per_node",
    ),
    "accelerator": (
        "id",
        "vendor",
        "device_unit",
        "bf16_tflops",
        "fp8_tflops",
        "int8_tops",
        "fp4_tflops",
        "memory_gb",
        "memory_driver_mib",
        "memory_gb_per_s",
        "tdp_w",
    ),
    "interconnect": (
        "id",
        "scope",
        "topology",
        "gb_per_s",
        "pair_gb_per_s",
        "efficiency",
        "measured_efficiency",
        "latency_us",
    ),
    "calibration": (
        "id",
        "name",
        "accelerators",
        "alike",
        "scale_up",
        "scale_out",
        "fitted",
    ),
    "engine": (
        "id",
        "name",
        "memory_fraction",
        "fraction_holds",
        "libraries_gib",
        "collectives_gib",
        "graphs_gib",
        "step_tokens",
        "exchange",
    ),
    "library": (
        "id",
        "name",
        "transport",
        "vendors",
        "limits.hidden_sizes",
        "limits.hidden_multiple",
        "limits.max_top_k",
        "limits.max_devices",
        "limits.node_devices",
        "limits.nodes",
        "limits.max_tokens",
        "limits.experts_divide",
        "limits.one_domain",
    ),
    "model": (
        "id",
        "hidden_size",
        "layers",
        "moe_layers",
        "routed_experts",
        "shared_experts",
        "top_k",
        "expert_intermediate",
        "total_params",
        "active_params",
        "kv_bytes_per_token",
        "published",
    ),
}
CLASSES = ("superpod", "scale-out")


@dataclasses.dataclass(frozen=True, slots=True)
class Choose:
    """Which rows of a list, and in which order.

    Parameters
    ----------
    vendor : str, optional
        Only vendors whose name holds this; letter case does not matter.
    network : str, optional
        Only systems of this class: `superpod` or `scale-out`.
    least : mapping of str to float
        Only rows whose value of a key is known and at least so large, in the key's unit.
    name : str, optional
        Only records whose id, name or aliases hold this; letter case does not matter.
    sort : str, optional
        Key to sort by, a minus before it for the largest first; unknown values come last.
    """

    vendor: str | None = None
    network: str | None = None
    least: Mapping[str, float] = dataclasses.field(default_factory=dict)
    sort: str | None = None
    name: str | None = None

    def among(self, rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
        """Return the chosen rows; InputError for an unknown filter, InfeasibleError if none is left."""
        chosen = rows
        if self.vendor is not None:
            known = {row["vendor"] for row in rows if row.get("vendor")}
            meant = {name for name in known if self.vendor.lower() in name.lower()}
            if not meant or not self.vendor.strip():
                near = nearest(self.vendor, map(str.lower, known))
                raise InputError(f"--vendor {shown(self.vendor)} is not known{near}")
            chosen = [row for row in chosen if row.get("vendor") in meant]
        if self.network is not None:
            if kind != "system":
                raise InputError(f"--class applies to systems, not to the kind {kind}")
            if self.network not in CLASSES:
                raise InputError(
                    f"--class {shown(self.network)} is not valid{nearest(self.network, CLASSES)}"
                )
            chosen = [row for row in chosen if row["class"] == self.network]
        if self.name is not None:
            chosen = [row for row in chosen if self._is_named(row)]
            if not chosen:
                only = ": the catalogue has mixture-of-experts models alone" if kind == "model" else ""
                near = nearest(self.name, [row["id"] for row in rows]) if kind != "model" else ""
                raise InfeasibleError(f"no {kind} is called {shown(self.name)}{near}{only}")
        before = chosen
        for key, least in self.least.items():
            chosen = [row for row in chosen if row.get(key) is not None and row[key] >= least]
        if not chosen:
            raise InfeasibleError(f"no {kind} passes the filters{self._nearest(before)}")
        return self._sorted(chosen)

    def _is_named(self, row: Mapping[str, Any]) -> bool:
        """Return whether a record goes by a name that holds the words asked for."""
        texts = [row["id"], row.get("name") or "", *(row.get("aliases") or ())]
        return any(all(word in text.lower() for word in str(self.name).lower().split()) for text in texts)

    def _nearest(self, rows: list[dict[str, Any]]) -> str:
        """Say the largest value there is of each key that is filtered by."""
        largest = []
        for key in self.least:
            having = [row for row in rows if row.get(key) is not None]
            top = max(having, key=lambda row: row[key], default=None)
            largest.append(f"the largest {key} is {top[key]:g} ({top['id']})" if top else f"none has {key}")
        return "; " + ", ".join(largest) if largest else ""

    def _sorted(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.sort is None:
            return rows
        key = self.sort.removeprefix("-")
        known = {name for row in rows for name in row if not name.endswith("_kind")}
        if key not in known:
            raise InputError(f"--sort {shown(self.sort)} is no key of these records{nearest(key, known)}")
        known_rows = [row for row in rows if row.get(key) is not None]
        known_rows.sort(key=lambda row: row[key], reverse=self.sort.startswith("-"))
        return known_rows + [row for row in rows if row.get(key) is None]


def list_hardware(
    catalogue: Catalogue,
    *,
    kind: str = "system",
    choose: Choose | None = None,
    holds: Held | None = None,
) -> Answer:
    """List the hardware records of a kind.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.
    kind : str
        `system`, `accelerator`, `interconnect`, `calibration`, `engine` or `library`.
    choose : Choose, optional
        Which of them, and in which order; all by id where None.
    holds : Held, optional
        A model: only systems that hold it, those that need the fewest devices first.

    Returns
    -------
    Answer
        A row per record: id, record keys, and the kind of each value; where a model is to be held, with
        the devices that takes and the memory of one by part.

    Raises
    ------
    InputError
        If the kind or a filter is unknown, or a record is faulty.
    InfeasibleError
        If nothing passes the filters; names what comes nearest.
    """
    check_kind(kind)
    if holds is not None and kind != "system":
        raise InputError(f"--holds applies to systems, not to the kind {kind}")
    rows, notes = _rows(catalogue, kind, lambda record: hardware_row(catalogue, record, full=False))
    if holds is None:
        return _listed("hardware list", kind, rows, choose or Choose(), notes)
    return _holding(catalogue, rows, choose or Choose(), holds, notes)


def _holding(
    catalogue: Catalogue, rows: list[dict[str, Any]], choose: Choose, holds: Held, notes: list[str]
) -> Answer:
    """List the systems that hold a model."""
    incomplete = [row["id"] for row in rows if row["missing"]]
    found, unheld = [], []
    for row in rows:
        if row["missing"]:
            continue
        terms = holding(load_system(row["id"], catalogue=catalogue), holds)
        if terms is None:
            unheld.append(row["id"])
        else:
            found.append({**row, **terms})
    if not found:
        raise InfeasibleError(f"no system holds {holds.model.id} with a context of {holds.context:,} tokens")
    found.sort(key=lambda row: (row["devices_needed"], row["memory_needed_gb"]))
    answer = _listed("hardware list", "system", found, choose, notes)
    asked = {"holds": holds.model.id, "engine": holds.engine.id, "context": holds.context}
    return dataclasses.replace(
        answer,
        inputs={**answer.inputs, **asked},
        summary={**answer.summary, "of": len(rows)},
        notes=[*notes_on(holds, unheld=unheld, incomplete=incomplete), *answer.notes],
        table_keys=SHOWN,
    )


def list_models(catalogue: Catalogue, *, choose: Choose | None = None) -> Answer:
    """List the models.

    Parameters
    ----------
    catalogue : Catalogue
        Where to look.
    choose : Choose, optional
        Which of them, and in which order; all by id where None.

    Returns
    -------
    Answer
        A row per model: id, record keys, the kind of each, and what is counted from the shape.

    Raises
    ------
    InputError
        If a filter is unknown or a record is faulty.
    InfeasibleError
        If nothing passes the filters; names what comes nearest.
    """
    rows, notes = _rows(catalogue, "model", lambda record: model_row(record, full=False))
    return _listed("models list", "model", rows, choose or Choose(), notes)


def _rows(
    catalogue: Catalogue, kind: str, row_of: Callable[[Record], dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return records as rows, and notes on those that are left out: faulty, or made of what is."""
    rows, notes = [], left_out(catalogue)
    for record in catalogue.records(kind):
        try:
            rows.append(row_of(record))
        except InputError as error:
            notes.append(Decisive(f"left out: {error}"))
    return rows, notes


def _listed(command: str, kind: str, rows: list[dict[str, Any]], choose: Choose, notes: list[str]) -> Answer:
    chosen = choose.among(rows, kind)
    columns = object_columns(chosen)
    return Answer(
        command,
        {"kind": kind, **dataclasses.asdict(choose)},
        columns,
        {"records": len(chosen), "of": len(rows)},
        [*notes, *note_estimates(chosen)],
        tuple(key for key in TABLE_KEYS[kind] if key in columns),
    )
