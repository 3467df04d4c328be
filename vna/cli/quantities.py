"""Numbers as a person reads them."""

from __future__ import annotations


def in_bytes(size: int) -> str:
    """Write a size in the unit that suits it, as powers of 1024."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
