"""The page of exchanges: what libraries reach on fabrics, and what each system's exchanges rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roofline_afd.catalogue.links import Leg
    from roofline_afd.catalogue.store import Catalogue

COPIES = {"pair": "expert", "rank": "device", "node": "node"}


def page() -> str:
    """Return the page."""
    from roofline_afd.catalogue.store import Catalogue

    catalogue = Catalogue()
    return "\n".join(
        [
            "# Fabrics and exchanges\n",
            (
                "Tokens reach their experts through kernels of some library, and on one machine libraries "
                "differ by a factor of two: each is a record of its own per fabric, fitted to published "
                "times of dispatch and combine. The time of an exchange is that of its busiest device: "
                "`latency + max over both fabrics of (bytes / (peak * efficiency), messages * time per "
                "message)`; in a group over several domains the device whose part is the smallest sends "
                "most over scale-out.\n"
            ),
            "## Libraries on fabrics\n",
            (
                "Rows fitted, the median absolute error on rows held out, and the parameters. Fewer than "
                "eight rows make an estimate (a dagger). Latency of a dispatch, and of a combine where it "
                "differs; efficiency likewise.\n"
            ),
            _fits(catalogue),
            "\n## What each system's exchanges rest on\n",
            (
                "Where no engine is named: the library taken, what it sends a copy of a token for, and each "
                "leg: measured, or estimated from what, and how far times may be off for that. `--engine` "
                "takes the libraries of an engine, `--transport` one that sends in another way.\n"
            ),
            _systems(catalogue),
        ]
    )


def _fits(catalogue: Catalogue) -> str:
    """Return a row per fitted record of exchanges."""
    lines = [
        "| library | fabric | record | rows | held out | within a domain | across domains |",
        "|---|---|---|---:|---:|---|---|",
    ]
    found = [each for each in catalogue.records("calibration") if "library" in each.data.get("link", {})]
    for record in sorted(found, key=lambda each: (each.data["link"]["library"], each.id)):
        table = record.data["link"]
        legs = [
            _parameters(table, way) if record.data.get(listed) else ""
            for way, listed in (("up", "scale_up"), ("out", "scale_out"))
        ]
        fabrics = ", ".join((*record.data.get("scale_up", ()), *record.data.get("scale_out", ())))
        points = str(table["points"]) if "points" in table else "none"
        error = f"{table['held_out_error']:.1%}" if "held_out_error" in table else ""
        cells = (f"`{table['library']}`", fabrics, f"`{record.id}`", points, error, *legs)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _parameters(table: dict[str, dict[str, float | str]], way: str) -> str:
    """Return the parameters of a leg in words."""

    def one(key: str, unit: str, *, percent: bool = False) -> str:
        if key not in table:
            return ""
        value = float(table[key]["value"])
        dagger = "\u2020" if table[key]["kind"] == "estimated" else ""
        return (f"{value:.0%}" if percent else f"{value:.3g} {unit}") + dagger

    latency = [one(f"latency_{way}_us", "us"), one(f"combine_latency_{way}_us", "us")]
    share = [one(f"efficiency_{way}", "", percent=True), one(f"combine_efficiency_{way}", "", percent=True)]
    message = one(f"message_{way}_ns", "ns")
    growth = one("latency_growth" if way == "up" else "scale_penalty", "", percent=True)
    parts = [
        " / ".join(filter(None, latency)),
        " / ".join(filter(None, share)),
        f"{message} a message" if message else "",
        f"+{growth} a doubling" if growth and not growth.startswith("0") else "",
    ]
    return ", ".join(filter(None, parts))


def _systems(catalogue: Catalogue) -> str:
    """Return a row per complete system."""
    from roofline_afd.catalogue.hardware import load_system, system_parts
    from roofline_afd.catalogue.links import load_link

    lines = ["| system | library | a copy per | within a domain | across domains |", "|---|---|---|---|---|"]
    for name in catalogue.ids("system"):
        if system_parts(name, catalogue=catalogue).missing:
            continue
        system = load_system(name, catalogue=catalogue)
        link = load_link(system, catalogue=catalogue)
        out = _leg(link.out) if system.scale_out else "no fabric"
        library = f"`{link.library}`" if link.library else ""
        lines.append(f"| `{name}` | {library} | {COPIES[link.transport]} | {_leg(link.up)} | {out} |")
    return "\n".join(lines) + "\n"


def _leg(leg: Leg) -> str:
    """Return what a leg rests on."""
    if not leg.basis:
        return leg.kind if leg.kind == "measured" else f"{leg.kind}: few rows, or stated"
    return f"estimated from {leg.basis}, up to {leg.widening:.0%} off"
