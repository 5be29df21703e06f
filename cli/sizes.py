"""Bytes for people."""

from __future__ import annotations

__all__ = ["sized"]


def sized(count: int) -> str:
    """Bytes for people: `950 B`, `50.2 kB`, `15.2 MB`; a kB is 1000 bytes."""
    size, units = float(count), iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    while size >= 999.5 and unit != "GB":
        size, unit = size / 1000, next(units)
    return f"{size:.3g} {unit}" if size < 999.5 else f"{size:.0f} {unit}"
