"""What goes wrong, and when: the rounds of faults that follow from a seed. Pure.

A round is one to three faults at once, on different targets. The next begins a pause after the lab is well again, so
that the seed decides everything but how long the lab takes for that.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

DAEMONS = ("core0", "storaged", "networkd", "mycelium", "chain", "flistd", "vmd", "provisiond", "capacityd", "rmb")
SERVICES = ("chain", "hub", "relay")
LIES = ("stall", "unfinal", "lag", "empty", "delay", "fork", "genesis")
LONGEST = 20.0
"""Seconds for which a fault lasts at most."""
MOST = 3


class Kind(StrEnum):
    """What happens at a fault."""

    KILL = "kill"
    """SIGKILL of a daemon."""
    STOP = "stop"
    """SIGSTOP of a daemon, later SIGCONT."""
    KILL_GUEST = "kill guest"
    """SIGKILL of a QEMU."""
    STOP_GUEST = "stop guest"
    """SIGSTOP of a QEMU, later SIGCONT."""
    CUT = "cut"
    """All processes of a node end at once, and what its disks had not synced is lost; it is on again later."""
    LIE = "lie"
    """The chain does something wrong for a while."""
    DOWN = "down"
    """A service's box is off for a while."""


WEIGHTS = {
    Kind.KILL: 8,
    Kind.STOP: 4,
    Kind.KILL_GUEST: 2,
    Kind.STOP_GUEST: 1,
    Kind.CUT: 4,
    Kind.LIE: 4,
    Kind.DOWN: 2,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    kind: Kind
    box: str
    """Where; `chain` for its lies."""
    what: str = ""
    """The daemon, the lie, or which guest (a number that counts round)."""
    seconds: float = 0.0
    """How long it lasts; 0 is an instant."""

    @property
    def target(self) -> tuple[str, str]:
        """What no other fault of the same round may meet."""
        # A box that is off has no daemons to be killed, and guests are not distinguished.
        return self.box, self.what if self.kind in (Kind.KILL, Kind.STOP) else ""

    def describe(self) -> str:
        words = [self.kind.value, self.box, self.what, f"for {self.seconds:.0f} s" if self.seconds else ""]
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Round:
    """Faults that come together."""

    pause: float
    """Seconds before them."""
    faults: tuple[Fault, ...]

    @property
    def seconds(self) -> float:
        """How long it lasts, without the recovery."""
        return max(fault.seconds for fault in self.faults)


def rounds(seed: int, nodes: Sequence[str]) -> Iterator[Round]:
    """The rounds of a seed, without end."""
    chance = random.Random(f"chaos/{seed}")
    while True:
        pause = round(2.0 + 10.0 * chance.random(), 1)
        faults: list[Fault] = []
        for _ in range(chance.choices(range(1, MOST + 1), (6, 3, 2))[0]):
            fault = _fault(chance, nodes)
            if not any(_meet(fault, other) for other in faults):
                faults.append(fault)
        yield Round(pause, tuple(faults))


def _fault(chance: random.Random, nodes: Sequence[str]) -> Fault:
    kind = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    seconds = round(2.0 + (LONGEST - 2.0) * chance.random(), 1)
    node = chance.choice(nodes)
    match kind:
        case Kind.KILL:
            return Fault(kind, node, chance.choice(DAEMONS))
        case Kind.STOP:
            return Fault(kind, node, chance.choice(DAEMONS), seconds)
        case Kind.KILL_GUEST:
            return Fault(kind, node, str(chance.randrange(100)))
        case Kind.STOP_GUEST:
            return Fault(kind, node, str(chance.randrange(100)), seconds)
        case Kind.CUT:
            return Fault(kind, node, "", seconds)
        case Kind.LIE:
            return Fault(kind, "chain", chance.choice(LIES), seconds)
        case Kind.DOWN:
            return Fault(kind, chance.choice(SERVICES), "", seconds)


def _meet(one: Fault, other: Fault) -> bool:
    return one.box == other.box and (one.target == other.target or not one.target[1] or not other.target[1])
