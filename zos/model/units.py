"""Sizes, always in bytes."""

from __future__ import annotations

from typing import NewType

Bytes = NewType("Bytes", int)


def KiB(count: float) -> Bytes:
    """So many times 1024 bytes."""
    return Bytes(int(count * 1024))


def MiB(count: float) -> Bytes:
    """So many times 1024² bytes."""
    return Bytes(int(count * 1024**2))


def GiB(count: float) -> Bytes:
    """So many times 1024³ bytes."""
    return Bytes(int(count * 1024**3))


def TiB(count: float) -> Bytes:
    """So many times 1024⁴ bytes."""
    return Bytes(int(count * 1024**4))


def show(size: int) -> str:
    """A size for people: `1.5 GiB`."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.0f} TiB" if value == int(value) else f"{value:.1f} TiB"
