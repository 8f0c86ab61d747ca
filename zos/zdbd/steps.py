"""What zdbd can do: one step, one effect, safe to repeat. `describe()` follows "could not". Pure."""

from __future__ import annotations

from dataclasses import dataclass

from zos.zdbd.model import Desired


@dataclass(frozen=True, slots=True)
class StartServer:
    """Start the process of a pool, which serves nothing yet."""

    pool: str

    def describe(self) -> str:
        return f"start the 0-db of pool {self.pool}"


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the process of a pool what to serve."""

    pool: str
    desired: Desired

    def describe(self) -> str:
        return f"have the 0-db of pool {self.pool} serve {len(self.desired.spaces)} namespaces"


@dataclass(frozen=True, slots=True)
class StopServer:
    """End the process of a pool."""

    pool: str

    def describe(self) -> str:
        return f"end the 0-db of pool {self.pool}"


Step = StartServer | Tell | StopServer
