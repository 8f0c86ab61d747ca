"""A module that grows beyond a size does two things: it is split by what they are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST = 400
"""Lines, of code that people write."""


def test_no_module_is_too_long_to_read() -> None:
    sizes = {
        str(path.relative_to(ROOT)): path.read_text().count("\n")
        for folder in ("zos", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if "_pb2" not in path.name
    }
    assert {name: size for name, size in sizes.items() if size > MOST} == {}
