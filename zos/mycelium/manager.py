"""Keeps the records of identities, and attaches each to the running router."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import Awaitable, Callable, Collection
from ipaddress import IPv6Address

from zos.errors import ZosError
from zos.model import mycelium
from zos.mycelium import plane
from zos.mycelium.api.errors import BadIdentity, KeyTaken, NoMycelium
from zos.mycelium.api.types import Identity, IdentityId, IdentityInfo, Overlay
from zos.mycelium.host import LinuxHost
from zos.mycelium.links import Endpoint
from zos.mycelium.node import Node
from zos.mycelium.tun import NoDevice
from zos.networkd.api.types import MYCELIUM_NODE_DEVICE
from zos.runtime.ledger import Ledger

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINK = re.compile(r"[A-Za-z0-9._-]{1,15}")
OFF = "the farmer turned it off"
WAITING = "the node waits for its key"
FORMER = "@"
"""In the id of a record of an earlier key, after the identity's own and before the key's prefix."""


class IdentityManager:
    """The identities, and the router that answers for them."""

    def __init__(
        self,
        records: Ledger[Identity],
        seed: Callable[[], Awaitable[bytes]],
        host: LinuxHost,
        *,
        on: bool = True,
        port: int = 0,
        peers: tuple[Endpoint, ...] = (),
        left_out: tuple[str, ...] = (),
        interfaces: tuple[str, ...] = (),
    ) -> None:
        self._records = records
        self._seed = seed
        self._host = host
        self._on = on
        self._port = port
        self._peers = peers
        self._left_out = left_out
        self._interfaces = interfaces
        self._node: Node | None = None
        self._troubles: dict[str, str] = {}
        self._failure = ""
        """Why the router ended the last time."""

    # Identities

    def ensure(self, desired: Identity) -> IdentityInfo:
        """Accept an identity and answer for it."""
        _check(desired)
        own = _prefix(desired)
        for id, other in self._records.items():
            if _name(id) != desired.id and _prefix(other) == own:
                raise KeyTaken(identity=desired.id, other=_name(id))
        before = self._records.get(desired.id)
        if before is not None and _prefix(before) != own and _subnet(before) in desired.former:
            aside = IdentityId(f"{desired.id}{FORMER}{_prefix(before).hex()}")
            self._records.put(aside, dataclasses.replace(before, id=aside, former=()))
            before = None
        if self._records.get(desired.id) != desired:
            self._records.put(desired.id, desired)
        if before is not None and self._node is not None and _prefix(before) != own:
            self._node.drop(_prefix(before))
        self.keep_former(desired.id, desired.former)
        self._attach(desired)
        return self._info(desired)

    def keep_former(self, id: IdentityId, subnets: Collection[str]) -> None:
        """Of the earlier keys of an identity, keep those of these subnets."""
        record = self._records.get(id)
        own = _prefix(record) if record is not None else b""
        for name, former in self._records.items():
            if name == id or _name(name) != id:
                continue
            if _prefix(former) == own:
                # It is the key in force again, and goes on with the device that it has.
                self._records.drop(name)
            elif _subnet(former) not in subnets:
                self._drop(IdentityId(name), former)

    def drop(self, id: IdentityId) -> None:
        """Forget an identity; an unknown id is fine."""
        self.keep_former(id, ())
        record = self._records.get(id)
        if record is not None:
            self._drop(id, record)

    def _drop(self, id: IdentityId, record: Identity) -> None:
        self._records.drop(id)
        self._troubles.pop(id, None)
        if self._node is not None:
            self._node.drop(_prefix(record))

    # Reconciling

    def problem(self) -> str:
        """Why the node is not in the overlay; empty when it is, or while it starts."""
        if not self._on:
            return OFF
        return self._host.problem() or ("" if self._is_up() else self._failure)

    def _is_up(self) -> bool:
        return self._node is not None and self._node.links.is_open

    async def run(self) -> None:
        """Run the router until cancelled."""
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
        """Attach each identity whose device appeared, or belongs to another namespace now, and the node itself."""
        if self._node is not None:
            with contextlib.suppress(NoDevice):  # networkd makes it when it has heard the address
                self._node.attach(self._node.own.prefix, MYCELIUM_NODE_DEVICE, "")
        for _, record in self._records.items():
            self._attach(record)

    def _attach(self, record: Identity) -> None:
        node = self._node
        if node is None:
            return
        node.add(plane.identity(record.key))
        try:
            node.attach(_prefix(record), record.device, record.namespace)
        except NoDevice as err:
            self._troubles[record.id] = err.explain()
        else:
            self._troubles.pop(record.id, None)

    # Views

    def get(self, id: IdentityId) -> IdentityInfo:
        """One identity of a node that is in the overlay."""
        record = self._records.get(id)
        if problem := self.problem():
            raise NoMycelium(problem=problem)
        if record is None:
            raise NoMycelium(problem="the network has no mycelium key")
        return self._info(record)

    def identities(self) -> tuple[IdentityInfo, ...]:
        return tuple(self._info(record) for _, record in self._records.items())

    def overlay(self) -> Overlay:
        """The node in the overlay."""
        node = self._node
        problem = self.problem()
        if node is None:
            return Overlay(False, problem or WAITING, left_out=self._left_out)
        return Overlay(
            offered=self._is_up() and not problem,
            detail=problem,
            address=str(IPv6Address(node.own.address)),
            subnet=str(mycelium.network(node.own.prefix)),
            port=self._port,
            peers=tuple(sorted(link.name for link in node.links.all.values())),
            routes=len(node.router.table),
            left_out=self._left_out,
        )

    def _info(self, record: Identity) -> IdentityInfo:
        net = mycelium.network(_prefix(record))
        attached = (
            self._node is not None and (found := self._node.tuns.get(_prefix(record))) is not None and found.alive
        )
        detail = "" if attached else self._troubles.get(record.id, WAITING if self._on else OFF)
        own = IPv6Address(mycelium.address(mycelium.public_key(record.key)))
        return IdentityInfo(record.id, str(own), str(net), str(mycelium.gateway(net)), attached, detail)


def _name(id: str) -> str:
    """The identity's own id, also of the record of an earlier key."""
    return id.partition(FORMER)[0]


def _subnet(record: Identity) -> str:
    return str(mycelium.network(_prefix(record)))


def _prefix(record: Identity) -> bytes:
    return mycelium.address(mycelium.public_key(record.key))[: mycelium.PREFIX]


def _check(record: Identity) -> None:
    if not _NAME.fullmatch(record.id):
        raise BadIdentity(identity=record.id, field="id", problem="is no name")
    if len(record.key) != mycelium.KEY:
        raise BadIdentity(identity=record.id, field="key", problem=f"must be 32 bytes, not {len(record.key)}")
    if not _LINK.fullmatch(record.device):
        raise BadIdentity(identity=record.id, field="device", problem=f"`{record.device}` is no link")
    if record.namespace and (not _NAME.fullmatch(record.namespace) or set(record.namespace) == {"."}):
        raise BadIdentity(identity=record.id, field="namespace", problem=f"`{record.namespace}` is no namespace")
