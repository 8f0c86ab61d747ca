"""Finds the files that are no code: examples, recipes of images, systemd units.

A wheel carries them below `zos/data/` (see `[tool.hatch.build.targets.wheel.force-include]`); in a checkout they stand
at the top, beside `zos/`.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def folder(name: str) -> Path:
    """The folder `examples`, `images` or `systemd`."""
    installed = PACKAGE / "data" / name
    return installed if installed.is_dir() else PACKAGE.parent / name
