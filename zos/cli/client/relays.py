"""The user's twin on RMB: which relays lead to it, and a peer that is joined to them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from zos.errors import Status, ZosError
from zos.rmb.account import chain_twins
from zos.rmb.cipher import LocalSecret
from zos.rmb.errors import NeedsKey
from zos.rmb.peer import Peer
from zos.rmb.twins import TwinCache
from zos.runtime.clock import SystemClock

if TYPE_CHECKING:
    from zos.cli.context import Context

JOINING = 20.0


class NoRelay(ZosError):
    """No relay was named by which nodes can reach the user."""

    reason = "cli.no_relay"
    status = Status.FAILED_PRECONDITION
    text = "no RMB relay was named by which nodes can reach you"
    hint = "give --relay wss://NAME or set ZOS_RELAY, or name one on the chain: zos twin create --relay NAME"


class RelaySilent(ZosError):
    """No relay could be joined."""

    reason = "cli.relay_silent"
    status = Status.UNAVAILABLE
    text = "no relay can be joined: {problem}"


class RelayNotNamed(ZosError):
    """Answers go where the chain says that the twin is."""

    reason = "cli.relay_not_named"
    status = Status.FAILED_PRECONDITION
    text = "your twin does not name the relay {relay} on the chain, so no answer would find you there"
    hint = "name it: zos twin create --relay {relay}"


@dataclass(frozen=True, slots=True)
class Route:
    """The relays through which nodes reach the vault."""

    urls: tuple[str, ...]
    on_chain: str
    """The relays that the twin must name on the chain for that: host names joined by `_`."""


def route(urls: Sequence[str], on_chain: str) -> Route:
    """Use the relays that are given, else those that the twin names on the chain. Pure."""
    named = [name for name in on_chain.split("_") if name]
    if not urls:
        if not named:
            raise NoRelay()
        return Route(tuple(f"wss://{name}" for name in named), on_chain)
    hosts = [urlsplit(url).hostname or "" for url in urls]
    new = [host for host in dict.fromkeys(hosts) if host and host not in named]
    # The relays that are named already stay: other programs of the twin may use them.
    return Route(tuple(urls), "_".join([*named, *new]) if new else on_chain)


@contextlib.asynccontextmanager
async def running(peer: Peer) -> AsyncIterator[None]:
    """Have a peer joined to a relay until the block ends. Raises RelaySilent."""
    task = asyncio.create_task(peer.run())
    try:
        try:
            async with asyncio.timeout(JOINING):
                await peer.connected()
        except TimeoutError:
            problem = "; ".join(f"{connection.url}: {connection.problem}" for connection in peer.connections)
            raise RelaySilent(problem=problem) from None
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def joined(ctx: Context) -> AsyncIterator[Peer]:
    """The user's twin as it is on the chain, for questions; nothing is written there."""
    twins = chain_twins(ctx.chain())
    id, key = await ctx.twin(), ctx.key()
    twin = await twins(id)
    on_chain = twin.relay if twin else ""
    found = route(ctx.relay_urls, on_chain)
    if found.on_chain != on_chain:
        raise RelayNotNamed(relay=found.on_chain.split("_")[-1])
    if twin is None or not twin.pk:
        raise NeedsKey(twin=id)
    clock = SystemClock()
    session = f"zos-{secrets.token_hex(6)}"
    peer = Peer(ctx.twin, key, LocalSecret(key.seed), TwinCache(twins, clock), found.urls, session=session)
    async with running(peer):
        yield peer
