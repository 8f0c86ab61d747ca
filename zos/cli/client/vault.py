"""The user's vault: a folder of signed deployments, from which the user's twin serves each to its node."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from zos.cli.client.relays import Route, route, running
from zos.cli.context import Context
from zos.errors import Status, ZosError
from zos.model.challenge import deployment_hash
from zos.model.deployment import Deployment, encode
from zos.rmb.account import Account, chain_twins
from zos.rmb.privacy import always
from zos.rmb.vault import SESSION, Vault
from zos.runtime.files import write_atomic


class NotFetched(ZosError):
    """A node has not fetched its deployment."""

    reason = "cli.not_fetched"
    status = Status.DEADLINE_EXCEEDED
    text = "after {deadline} s the node of twin {twin} has not fetched its deployment"
    hint = "the contract is on the chain and the node keeps asking; serve your vault until it has come: zos vault serve"


class VaultStore:
    """The vault's folder. A file's name holds the twin of the node that may fetch it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[tuple[int, str], asyncio.Event] = {}

    def put(self, twin: int, deployment: Deployment) -> bytes:
        """Add a signed deployment for the node of a twin; `wait_until_fetched` waits for it from now on.

        Returns the document as the node will get it.
        """
        hash, document = deployment_hash(deployment).hex(), json.dumps(encode(deployment)).encode()
        self._make()
        write_atomic(self._path(twin, hash), document)
        self._waiting[twin, hash] = asyncio.Event()
        return document

    def find(self, twin: int, hash: str) -> bytes | None:
        """The deployment for a node's twin, by its hash."""
        try:
            return self._path(twin, hash).read_bytes()
        except FileNotFoundError:
            return None

    def mark_fetched(self, twin: int, hash: str) -> None:
        """A node has fetched its deployment."""
        if event := self._waiting.get((twin, hash)):
            event.set()

    async def wait_until_fetched(self, deadline: float) -> None:
        """Wait until all that was added has been fetched; NotFetched after `deadline` seconds."""
        try:
            async with asyncio.timeout(deadline):
                for event in self._waiting.values():
                    await event.wait()
        except TimeoutError:
            twin = next(twin for (twin, _), event in self._waiting.items() if not event.is_set())
            raise NotFetched(twin=twin, deadline=round(deadline)) from None

    def entries(self) -> list[tuple[int, str]]:
        """Twin and hash of all deployments in it."""
        parts = sorted(path.stem.split("-") for path in self._folder.glob("*-*.json"))
        return [(int(twin), hash) for twin, hash in parts]

    def drop(self, deployment: Deployment) -> None:
        """Remove a deployment whose contract ended or carries a newer one."""
        for path in self._folder.glob(f"*-{deployment_hash(deployment).hex()}.json"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether this process may serve the vault: two with one session would disconnect each other at the relay."""
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


def store(ctx: Context) -> VaultStore:
    """The vault of this user."""
    return VaultStore(ctx.state / "vault")


@contextlib.asynccontextmanager
async def served(ctx: Context, vault: VaultStore, given: Sequence[str] = ()) -> AsyncIterator[Route | None]:
    """Serve the vault until the block ends; yields None if another process of the user serves it already."""
    with vault.locked() as ours:
        if not ours:
            yield None
            return
        twin = await chain_twins(ctx.chain())(await ctx.twin())
        found = route(given or ctx.relay_urls, twin.relay if twin else "")
        peer = Account(ctx.chain(), ctx.key(), found.on_chain).peer(
            found.urls, Vault(vault.find, vault.mark_fetched).handle, SESSION, is_private=always
        )
        async with running(peer):
            yield found
