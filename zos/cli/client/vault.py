"""The user's own vault: signed deployments in a folder of his, handed by his twin to the nodes that they are for."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from zos.cli.context import Context
from zos.errors import Status, ZosError
from zos.model.challenge import deployment_hash
from zos.model.deployment import Deployment, encode
from zos.rmb.account import Account, chain_twins
from zos.rmb.vault import SESSION, Vault
from zos.runtime.files import write_atomic

JOINING = 20.0


class NoRelay(ZosError):
    """Nobody said by which relay nodes reach the user."""

    reason = "cli.no_relay"
    status = Status.FAILED_PRECONDITION
    text = "it is not said by which RMB relay nodes reach your vault"
    hint = "give --relay wss://NAME or set ZOS_RELAY, or name one on the chain: zos twin create --relay NAME"


class RelaySilent(ZosError):
    """No relay lets the vault in."""

    reason = "cli.relay_silent"
    status = Status.UNAVAILABLE
    text = "your vault cannot join a relay: {problem}"


class NotAskedFor(ZosError):
    """A node did not come for its deployment."""

    reason = "cli.not_asked_for"
    status = Status.DEADLINE_EXCEEDED
    text = "after {deadline} s the node of twin {twin} has not come for its deployment"
    hint = "the contract stands and the node goes on asking; keep your vault open for it: zos vault serve"


class Shelf:
    """The vault's folder. A document's name holds the twin of the node that may have it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[tuple[int, str], asyncio.Event] = {}

    def keep(self, twin: int, deployment: Deployment) -> None:
        """Put in what is signed for a node; `handed_out` waits for it from now on."""
        hash = deployment_hash(deployment).hex()
        self._make()
        write_atomic(self._path(twin, hash), json.dumps(encode(deployment)).encode())
        self._waiting[twin, hash] = asyncio.Event()

    def find(self, twin: int, hash: str) -> bytes | None:
        """What is kept for a node's twin under a hash."""
        try:
            return self._path(twin, hash).read_bytes()
        except FileNotFoundError:
            return None

    def told(self, twin: int, hash: str) -> None:
        """A node has been given its document."""
        if event := self._waiting.get((twin, hash)):
            event.set()

    async def handed_out(self, deadline: float) -> None:
        """Until everything that was put in has been fetched; NotAskedFor after `deadline` seconds."""
        try:
            async with asyncio.timeout(deadline):
                for event in self._waiting.values():
                    await event.wait()
        except TimeoutError:
            twin = next(twin for (twin, _), event in self._waiting.items() if not event.is_set())
            raise NotAskedFor(twin=twin, deadline=round(deadline)) from None

    def entries(self) -> list[tuple[int, str]]:
        """Twin and hash of all that is kept."""
        parts = sorted(path.stem.split("-") for path in self._folder.glob("*-*.json"))
        return [(int(twin), hash) for twin, hash in parts]

    def drop(self, deployment: Deployment) -> None:
        """Its contract is over, or carries a newer one."""
        for path in self._folder.glob(f"*-{deployment_hash(deployment).hex()}.json"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether it is this process that may serve the vault: two would throw each other off the relay."""
        self._make()
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def _make(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _path(self, twin: int, hash: str) -> Path:
        return self._folder / f"{twin}-{hash}.json"


def shelf(ctx: Context) -> Shelf:
    """The user's."""
    return Shelf(ctx.state / "vault")


@dataclass(frozen=True, slots=True)
class Route:
    """How nodes reach the vault."""

    urls: tuple[str, ...]
    on_chain: str
    """What the twin has to say on the chain for that: host names joined by `_`."""


def route(urls: Sequence[str], on_chain: str) -> Route:
    """By the relays that are given, else by those that the twin names already. Pure."""
    named = [name for name in on_chain.split("_") if name]
    if not urls:
        if not named:
            raise NoRelay()
        return Route(tuple(f"wss://{name}" for name in named), on_chain)
    hosts = [urlsplit(url).hostname or "" for url in urls]
    new = [host for host in dict.fromkeys(hosts) if host and host not in named]
    # The twin's other programs may be on the others.
    return Route(tuple(urls), "_".join([*named, *new]) if new else on_chain)


@contextlib.asynccontextmanager
async def served(ctx: Context, kept: Shelf, given: Sequence[str] = ()) -> AsyncIterator[Route | None]:
    """Hand documents out until the block ends; None where another process of the user does so already."""
    with kept.locked() as ours:
        if not ours:
            yield None
            return
        twin = await chain_twins(ctx.chain())(await ctx.twin())
        found = route(given or ctx.relay_urls, twin.relay if twin else "")
        peer = Account(ctx.chain(), ctx.key(), found.on_chain).peer(
            found.urls, Vault(kept.find, kept.told).handle, SESSION
        )
        running = asyncio.create_task(peer.run())
        try:
            try:
                async with asyncio.timeout(JOINING):
                    await peer.connected()
            except TimeoutError:
                problem = "; ".join(f"{line.url}: {line.trouble}" for line in peer.lines)
                raise RelaySilent(problem=problem) from None
            yield found
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
