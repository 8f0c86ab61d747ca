"""For tests that search: how deep, so that `make deep` searches further with the same code."""

from __future__ import annotations

import os


def deep(examples: int) -> int:
    """So many, times ZOS_TEST_DEPTH (1)."""
    return examples * int(os.environ.get("ZOS_TEST_DEPTH", "1"))
