"""A twin on RMB for programs outside a node: created when there is none, its relay and key kept up to date."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from zos.errors import ZosError
from zos.rmb.cipher import LocalSecret
from zos.rmb.envelope import TwinRecord
from zos.rmb.peer import Handler, Peer
from zos.rmb.privacy import IsPrivate, never
from zos.rmb.twins import Look, TwinCache
from zos.runtime.backoff import Backoff
from zos.runtime.clock import Clock, SystemClock
from zos.substrate import Chain, LocalKey
from zos.substrate.runtime import Event

log = logging.getLogger("zos.rmb")

GRID = "TfgridModule"
FOLLOWED = 32
"""Blocks that may be missed between two heads and are read then; after more of them every twin is asked for again."""
TERMS = {"document_link": "http://zos.tf/terms/v0.1", "document_hash": "9021d4dee05a661e2cb6838152c67f25"}


def chain_twins(chain: Chain) -> Look:
    """Looks twins up on a chain."""

    async def look(id: int) -> TwinRecord | None:
        value = await chain.query(GRID, "Twins", id)
        if value is None or not int(value["id"]):
            return None
        relay = bytes(value.get("relay") or b"").decode(errors="replace")
        return TwinRecord(int(value["id"]), bytes(value["account_id"]), bytes(value.get("pk") or b""), relay)

    return look


async def follow_twins(chain: Chain, twins: TwinCache) -> None:
    """Have the cache ask again for each twin that a block of the best chain makes or changes, until cancelled."""
    backoff, failures = Backoff(), 0
    while True:
        # What happened before is not known.
        twins.any_changed()
        try:
            last = 0
            async for head in chain.best_heads():
                failures = 0
                if last and head.number - last > FOLLOWED:
                    twins.any_changed()
                for number in range(max(last, head.number - FOLLOWED) + 1 if last else head.number, head.number):
                    if (hash := await chain.block_hash(number)) is not None:
                        _changes(await chain.events(hash), twins)
                _changes(await chain.events(head.hash), twins)
                last = head.number
        except ZosError as err:
            log.info("twins are not followed at the moment: %s", err.explain())
        except (LookupError, TypeError, ValueError):
            log.exception("a block's events cannot be read")
        failures += 1
        await asyncio.sleep(backoff.delay(failures))


def _changes(events: Sequence[Event], twins: TwinCache) -> None:
    for event in events:
        if event.pallet == GRID and event.name in ("TwinStored", "TwinUpdated"):
            twins.changed(int(event.fields["id"]))


async def ensure_twin(chain: Chain, key: LocalKey, relay: str | None = None, pk: bytes | None = None) -> int:
    """The key's twin, made when there is none; with a relay given, that and the encryption key are written as well."""
    if not (await chain.runtime()).takes(GRID, "create_twin", "pk"):
        pk = None  # twins had no keys once
    wanted: dict[str, Any] = {"relay": relay, "pk": pk}
    found = int(await chain.query(GRID, "TwinIdByAccountID", key.public) or 0)
    if not found:
        if not await chain.query(GRID, "UsersTermsAndConditions", key.public):
            await chain.submit(GRID, "user_accept_tc", TERMS, key)
        await chain.submit(GRID, "create_twin", wanted, key)
        return int(await chain.query(GRID, "TwinIdByAccountID", key.public))
    if relay is not None:
        twin = await chain_twins(chain)(found)
        if twin is None or (twin.relay, twin.pk) != (relay, pk or b""):
            await chain.submit(GRID, "update_twin", wanted, key)
    return found


class Account:
    """A key's twin on the bus."""

    def __init__(self, chain: Chain, key: LocalKey, relay: str) -> None:
        """`relay` is the host name under which the twin is found."""
        self.secret = LocalSecret(key.seed)
        self._chain = chain
        self._key = key
        self._relay = relay
        self._id = 0

    async def id(self) -> int:
        """The twin; made on first use."""
        if not self._id:
            self._id = await ensure_twin(self._chain, self._key, self._relay, self.secret.public)
        return self._id

    def peer(
        self,
        urls: tuple[str, ...],
        handler: Handler | None = None,
        session: str = "",
        clock: Clock | None = None,
        *,
        is_private: IsPrivate = never,
    ) -> Peer:
        """A peer of this twin on these relays."""
        clock = clock or SystemClock()
        twins = TwinCache(chain_twins(self._chain), clock)
        return Peer(
            self.id, self._key, self.secret, twins, urls, handler, session=session, clock=clock, is_private=is_private
        )
