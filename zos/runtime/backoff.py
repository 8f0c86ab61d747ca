"""How long to wait before the next try. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling delays between `first` and `cap` seconds, spread by `jitter` so that many do not retry at once."""

    first: float = 0.2
    cap: float = 30.0
    jitter: float = 0.1

    def delay(self, failures: int, spread: float | None = None) -> float:
        """Seconds before try number `failures + 1`; `spread` in [0, 1] replaces chance in tests."""
        if failures <= 0:
            return 0.0
        # 2**64 times any sane first delay is past any sane cap: keeps the float from overflowing.
        base = min(self.cap, self.first * 2.0 ** min(failures - 1, 64))
        chance = random.random() if spread is None else spread
        return base * (1.0 + self.jitter * (chance * 2.0 - 1.0))
