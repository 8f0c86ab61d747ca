"""Secrets on disk: always 0600, always written atomically, never made readable on the way."""

from __future__ import annotations

from pathlib import Path

from zos.runtime.files import write_atomic


def write(path: Path, data: bytes) -> None:
    """Write a secret file (mode 0600)."""
    write_atomic(path, data, mode=0o600)
