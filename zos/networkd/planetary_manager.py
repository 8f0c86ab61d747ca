"""Keeps the node in the planetary network: its key, which core-0 derives, and the process.

Nothing but taps in that network waits for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from zos.errors import ZosError
from zos.networkd.api.errors import PlanetaryNotUp
from zos.networkd.api.types import Planetary
from zos.networkd.host.contract import Host
from zos.networkd.planetary import LISTEN, DesiredYggdrasil, ObservedYggdrasil, PlanetaryIdentity, plan


class PlanetaryManager:
    """Yggdrasil on this node."""

    def __init__(
        self,
        host: Host,
        seed: Callable[[], Awaitable[bytes]],
        *,
        on: bool = True,
        peers: tuple[str, ...] = (),
        listen: tuple[str, ...] = LISTEN,
    ) -> None:
        self._host = host
        self._seed = seed
        self._on = on
        self._peers = peers
        self._listen = listen
        self._identity: PlanetaryIdentity | None = None
        self._trouble = ""
        self._observed = ObservedYggdrasil()
        self._was_up = False

    def problem(self) -> str:
        """Why the node cannot be in the planetary network; empty when it can."""
        if not self._on:
            return "the farmer turned it off"
        for peer in self._peers:
            if not _is_peer(peer):
                return f"`{peer}` of planetary_peers is no tcp://ADDRESS:PORT or tls://ADDRESS:PORT"
        return self._host.planetary_problem()

    def refuse_before_it_is_up(self) -> None:
        """Raise `PlanetaryNotUp` when the process failed and never ran since this daemon started."""
        if self._trouble and not self._was_up:
            raise PlanetaryNotUp(problem=self._trouble)

    async def identity(self) -> PlanetaryIdentity:
        """Who the node is there; asks core-0 until it has answered once."""
        if self._identity is None:
            self._identity = PlanetaryIdentity(await self._seed())
        return self._identity

    async def reconcile(self) -> None:
        """Start, restart or end the process."""
        try:
            await self._run(None if self.problem() else self._desired(await self.identity()))
        except ZosError as err:
            if self._identity is not None:  # until then only core-0 is waited for
                self._trouble = err.explain()
            raise
        self._trouble = ""

    def planetary(self, trouble: str = "") -> Planetary:
        """How it stands; `trouble` is what else is known to be wrong with it."""
        detail = self.problem() or self._trouble or trouble
        identity = self._identity
        if identity is None:
            return Planetary(not detail, detail)
        return Planetary(
            offered=not detail,
            detail=detail,
            address=str(identity.address),
            subnet=str(identity.subnet),
            gateway=str(identity.gateway),
            peers=tuple(sorted(self._observed.peers)),
        )

    def _desired(self, identity: PlanetaryIdentity) -> DesiredYggdrasil:
        return DesiredYggdrasil(identity, self._peers, self._listen)

    async def _run(self, desired: DesiredYggdrasil | None) -> None:
        self._observed = await self._host.observe_yggdrasil()
        steps = plan(desired, self._observed)
        if steps:
            await self._host.apply(steps)
            self._observed = await self._host.observe_yggdrasil()
        self._was_up = desired is not None


def _is_peer(uri: str) -> bool:
    """Yggdrasil must list a peer as we write it, or it would be dialled for ever: by an address, not by a name."""
    try:
        parts = urlsplit(uri)
        ip_address(parts.hostname or "")
        return parts.scheme in ("tcp", "tls") and bool(parts.port) and not parts.path
    except ValueError:
        return False
