"""Keeps the identities that were asked for, and has the running node answer for them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address

from zos.errors import ZosError
from zos.model import mycelium
from zos.mycelium.api.errors import BadIdentity, KeyTaken, NoMycelium
from zos.mycelium.api.types import Identity, IdentityId, IdentityInfo, Overlay
from zos.mycelium.host import LinuxHost
from zos.mycelium.links import Endpoint
from zos.mycelium.node import Node
from zos.mycelium.plane import identity
from zos.mycelium.tun import NoDevice
from zos.runtime.ledger import Ledger

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINK = re.compile(r"[A-Za-z0-9._-]{1,15}")
OFF = "the farmer turned it off"
WAITING = "the node's key is waited for"


class Keeper:
    """Everything that mycelium is asked for, and the state of it."""

    def __init__(
        self,
        wishes: Ledger[Identity],
        seed: Callable[[], Awaitable[bytes]],
        host: LinuxHost,
        *,
        on: bool = True,
        port: int = 0,
        peers: tuple[Endpoint, ...] = (),
        interfaces: tuple[str, ...] = (),
    ) -> None:
        self._wishes = wishes
        self._seed = seed
        self._host = host
        self._on = on
        self._port = port
        self._peers = peers
        self._interfaces = interfaces
        self._node: Node | None = None
        self._troubles: dict[str, str] = {}
        self._failure = ""
        """Why the router ended last."""

    # Wishes

    def ensure(self, wish: Identity) -> IdentityInfo:
        """Accept an identity and answer for it."""
        _check(wish)
        own = _prefix(wish)
        for id, other in self._wishes.items():
            if id != wish.id and _prefix(other) == own:
                raise KeyTaken(identity=wish.id, other=id)
        before = self._wishes.get(wish.id)
        if before != wish:
            self._wishes.put(wish.id, wish)
        if before is not None and self._node is not None and _prefix(before) != own:
            self._node.drop(_prefix(before))
        self._make(wish)
        return self._info(wish)

    def drop(self, id: IdentityId) -> None:
        """Answer for an identity no longer."""
        wish = self._wishes.get(id)
        if wish is None:
            return
        self._wishes.drop(id)
        self._troubles.pop(id, None)
        if self._node is not None:
            self._node.drop(_prefix(wish))

    # Making it so

    def problem(self) -> str:
        """Why the node is not in the overlay; empty when it is, or will be in a moment."""
        if not self._on:
            return OFF
        return self._host.problem() or ("" if self._is_up() else self._failure)

    def _is_up(self) -> bool:
        return self._node is not None and self._node.links.is_open

    async def run(self) -> None:
        """Be in the overlay until cancelled."""
        if not self._on:
            await asyncio.Event().wait()
        node = self._host.node(await self._seed())
        try:
            self._node = node
            await self.reconcile()
            await node.run(self._port, self._peers, self._interfaces)
        except ExceptionGroup as group:
            first = group.exceptions[0]
            self._failure = first.explain() if isinstance(first, ZosError) else type(first).__name__
            raise first from None
        finally:
            self._node = None
            node.close()

    async def reconcile(self) -> None:
        """Every identity once: one whose device came, went or is another's now is attached again."""
        for _, wish in self._wishes.items():
            self._make(wish)

    def _make(self, wish: Identity) -> None:
        node = self._node
        if node is None:
            return
        node.add(identity(wish.key))
        try:
            node.attach(_prefix(wish), wish.device, wish.namespace)
        except NoDevice as err:
            self._troubles[wish.id] = err.explain()
        else:
            self._troubles.pop(wish.id, None)

    # Views

    def get(self, id: IdentityId) -> IdentityInfo:
        """One identity of a node that is in the overlay."""
        wish = self._wishes.get(id)
        if problem := self.problem():
            raise NoMycelium(problem=problem)
        if wish is None:
            raise NoMycelium(problem="the network has no mycelium key")
        return self._info(wish)

    def identities(self) -> tuple[IdentityInfo, ...]:
        """All identities."""
        return tuple(self._info(wish) for _, wish in self._wishes.items())

    def overlay(self) -> Overlay:
        """The node in the overlay."""
        node = self._node
        problem = self.problem()
        if node is None:
            return Overlay(False, problem or WAITING)
        return Overlay(
            offered=self._is_up() and not problem,
            detail=problem,
            address=str(IPv6Address(node.own.address)),
            subnet=str(mycelium.network(node.own.prefix)),
            port=self._port,
            peers=tuple(sorted(link.name for link in node.links.all.values())),
            routes=len(node.router.table),
        )

    def _info(self, wish: Identity) -> IdentityInfo:
        net = mycelium.network(_prefix(wish))
        attached = self._node is not None and (found := self._node.tuns.get(_prefix(wish))) is not None and found.alive
        detail = "" if attached else self._troubles.get(wish.id, WAITING if self._on else OFF)
        own = IPv6Address(mycelium.address(mycelium.public_key(wish.key)))
        return IdentityInfo(wish.id, str(own), str(net), str(mycelium.gateway(net)), attached, detail)


def _prefix(wish: Identity) -> bytes:
    return mycelium.address(mycelium.public_key(wish.key))[: mycelium.PREFIX]


def _check(wish: Identity) -> None:
    if not _NAME.fullmatch(wish.id):
        raise BadIdentity(identity=wish.id, field="id", problem="is no name")
    if len(wish.key) != mycelium.KEY:
        raise BadIdentity(identity=wish.id, field="key", problem=f"must be 32 bytes, not {len(wish.key)}")
    if not _LINK.fullmatch(wish.device):
        raise BadIdentity(identity=wish.id, field="device", problem=f"`{wish.device}` is no link")
    if wish.namespace and (not _NAME.fullmatch(wish.namespace) or set(wish.namespace) == {"."}):
        raise BadIdentity(identity=wish.id, field="namespace", problem=f"`{wish.namespace}` is no namespace")
