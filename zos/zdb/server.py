"""The server: whom it listens to, what it holds for all of them, and what one connection does to others."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from pathlib import Path
from typing import cast

from zos.runtime import threads
from zos.runtime.places import Places
from zos.zdb import commands, resp
from zos.zdb.connection import Connection
from zos.zdb.descriptors import most_open
from zos.zdb.holdings import Holdings
from zos.zdb.hooks import Hooks
from zos.zdb.namespace import Namespace
from zos.zdb.session import Session, Settings, World
from zos.zdb.store import Store
from zos.zdb.syncs import Syncs
from zos.zdb.turns import Turns

log = logging.getLogger("zos.zdb")

MOST_CONNECTIONS = 4096
MOST_UNSENT = 32 << 20
"""Bytes that a connection which mirrors others may leave unread before it is closed."""
MOST_REQUESTS = 512 << 20
"""Bytes of requests that are not whole or not answered yet, over all connections."""
MOST_ANSWERS = 512 << 20
"""Bytes of answers that are not sent yet, over all connections."""
EACH_ANSWERS = 64 << 20
"""The same of one network, beyond which its next requests wait."""
BACKLOG = 1024
CLEARED_AT_ONCE = 2
"""Namespaces of which what was erased is removed side by side; a disk has one head."""
IP_FREEBIND = 15
"""ip(7); it holds for IPv6 too."""
WaitsFor = tuple[Namespace | None, str]
"""A namespace, and the name of a command."""


class Server:
    """Serves one store until `failed` is set or it is closed."""

    def __init__(self, store: Store, settings: Settings, hooks: Hooks) -> None:
        self.world = World(store, settings, hooks, peers=self)
        self.connections: set[Connection] = set()
        self.turns = Turns()
        self.requests: Holdings[Connection] = Holdings(MOST_REQUESTS)
        self.answers: Holdings[Connection] = Holdings(MOST_ANSWERS)
        self.starved: dict[str, set[Connection]] = {}
        """By network: those whose requests wait until others of it read their answers."""
        self.unacknowledged: set[Connection] = set()
        """Those of which answers wait for the disk."""
        most = min(MOST_CONNECTIONS, most_open() // 2)
        self.places: Places[str, Connection] = Places(most, most // 2, Connection.abort)
        """Of connections, by the client's network; those that use a namespace of their own keep theirs."""
        self.waiting: dict[Connection, tuple[WaitsFor, asyncio.TimerHandle]] = {}
        self.waits: dict[WaitsFor, set[Connection]] = {}
        """The same by what is waited for."""
        self.mirrors: set[Connection] = set()
        self._clearing: dict[Namespace, set[Connection]] = {}
        """Namespaces of which the erased is being removed, and who waits for that."""
        self._clearings = asyncio.Semaphore(CLEARED_AT_ONCE)
        self.syncs = Syncs(self.world, synced=self._synced, lost=self._lost)
        self._listeners: list[asyncio.Server] = []
        for space in store.spaces.values():
            self.adopt(space)

    @property
    def failed(self) -> asyncio.Event:
        """A write did not reach the disk: nothing more may be promised."""
        return self.syncs.failed

    async def listen(self, host: str, port: int) -> int:
        """Accept connections on an address; returns the port."""
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), host, port, backlog=BACKLOG, reuse_address=True
        )
        self._listeners.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def listen_ahead(self, address: str, port: int) -> asyncio.Server:
        """Accept connections on an IPv6 address, whether this machine has it yet or not."""
        opened = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
            opened.bind((address, port))
            server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self), sock=opened, backlog=BACKLOG
            )
        except BaseException:
            opened.close()
            raise
        self._listeners.append(server)
        return server

    def stop_listening(self, server: asyncio.Server) -> None:
        """Accept no more on an address."""
        self._listeners.remove(server)
        server.close()

    async def listen_unix(self, path: Path) -> None:
        """Accept connections on a unix socket."""
        path.unlink(missing_ok=True)
        self._listeners.append(
            await asyncio.get_running_loop().create_unix_server(lambda: Connection(self), str(path), backlog=BACKLOG)
        )

    async def close(self) -> None:
        """Stop accepting, bring everything to the disk, close the connections."""
        for listener in self._listeners:
            listener.close()
        for space in self.world.store.spaces.values():
            space.on_jump = lambda old, new: None
        await self.syncs.idle.wait()
        for connection in list(self.connections):
            connection.close()
        await self.world.hooks.close()
        # What was erased may have been removed just now.
        await self.syncs.idle.wait()
        self.syncs.close()

    # What commands need of the other connections

    def adopt(self, space: Namespace) -> None:
        """Tell hooks of a namespace's file jumps."""
        space.on_jump = lambda old, new: self._jumped(space, old, new)

    def _jumped(self, space: Namespace, old: int, new: int) -> None:
        async def told() -> None:
            dirty = sorted(space.dirty)
            words = [str(space.files.index.path(old)), str(space.files.index.path(new)), " ".join(map(str, dirty))]
            if await self.world.hooks.ask("jump-index", *words) == 0:
                space.dirty.difference_update(dirty)

        if self.world.hooks.program:
            self.world.hooks.spawn(told())
            self.world.hooks.tell("jump-data", str(space.files.data.path(old)), str(space.files.data.path(new)))

    async def release(self, name: bytes) -> None:
        """Serve a namespace no longer; its files stay. What is closed when this returns may take its disk a while."""
        space = self.world.store.spaces.pop(name)
        self.detach(space)
        # From here on nobody writes to it. What was written is acknowledged when the disk has it, as ever.
        await self.syncs.settled(space)
        # The files that namespaces share are this thread's.
        space.files.share(None)
        await threads.run(f"close {space.index_path}", space.close, None)

    def detach(self, space: Namespace) -> None:
        """End the use of a removed namespace."""
        for connection in self.connections:
            if connection.session.space is space:
                connection.session.space = None

    def replace(self, old: Namespace, new: Namespace) -> None:
        """Whoever used the one uses the other."""
        self.adopt(new)
        new.epoch = old.epoch
        for connection in self.connections:
            if connection.session.space is old:
                connection.session.space = new

    def reserve(self, session: Session, size: int) -> bool:
        """The answer to the session's command will have so many bytes; False when that must wait."""
        connection = cast(Connection, session.connection)
        if self.is_greedy(connection.network):
            return False
        connection.reserved = size
        connection.count()
        return True

    def wait(self, session: Session, command: str, seconds: float) -> None:
        """Answer the session when another one executes the command."""
        connection = cast(Connection, session.connection)
        self.stop_waiting(connection)
        timer = asyncio.get_running_loop().call_later(seconds, self._waited, connection, resp.error("Timeout"))
        awaited = session.space, command
        self.waiting[connection] = awaited, timer
        self.waits.setdefault(awaited, set()).add(connection)

    def _waited(self, connection: Connection, answer: bytes) -> None:
        self.stop_waiting(connection)
        connection.send(answer)

    def stop_waiting(self, connection: Connection) -> None:
        """Forget what a connection waits for."""
        found = self.waiting.pop(connection, None)
        if found is not None:
            awaited, timer = found
            timer.cancel()
            self.waits[awaited].discard(connection)
            if not self.waits[awaited]:
                del self.waits[awaited]

    def clear(self, session: Session, space: Namespace) -> None:
        """Remove what is left of an erased namespace, and wake the session then."""
        self._clearing.setdefault(space, set()).add(cast(Connection, session.connection))
        if len(self._clearing[space]) == 1:
            space.trouble = None
            task = asyncio.get_running_loop().create_task(self._clear(space), name=f"clear {space.data_path}")
            self.world.hooks.keep(task)

    async def _clear(self, space: Namespace) -> None:
        try:
            async with self._clearings:
                await threads.run(f"remove what was erased below {space.data_path}", space.files.leftovers.remove, None)
            space.files.left()
            self.syncs.wrote(space)
        except OSError as err:
            log.error("%s: what was erased cannot be removed: %s", space.data_path, err.strerror)
            space.trouble = err
        finally:
            for connection in self._clearing.pop(space):
                connection.wake()

    def mirror(self, session: Session) -> None:
        """Send the session every change that others make."""
        self.mirrors.add(cast(Connection, session.connection))

    def executed(self, connection: Connection, command: commands.Command, words: list[bytes]) -> None:
        """Tell those who wait for a command or mirror changes."""
        space = connection.session.space
        for name in ("*", command.name):
            for other in tuple(self.waits.get((space, name), ())):
                if other is not connection and other.session.space is space:
                    self._waited(other, resp.simple(command.name))
        if command.is_change and space is not None:
            head = [resp.integer(connection.number), resp.bulk(space.settings.name), resp.integer(int(time.time()))]
            message = resp.array([*head, *map(resp.bulk, words)])
            for other in self.mirrors:
                if other is not connection:
                    other.send(message, MOST_UNSENT)

    # What is held for connections

    def bound(self) -> None:
        """End connections while there is too much in memory: the largest of the network that has the most."""
        for holdings in (self.requests, self.answers):
            for one in holdings.holders() if holdings.is_over else ():
                one.count(is_bounded=False)
            while holdings.is_over:
                largest = holdings.largest()
                log.warning("a connection of %s is ended: it holds the most of too much memory", largest.network)
                if holdings is self.requests:
                    largest.send(resp.error("Too much is being sent, try again"))
                    largest.close()
                    largest.let_go()
                else:
                    largest.abort()

    def is_greedy(self, network: str) -> bool:
        """Whether so much is held for a network that its next requests wait."""
        return self.answers.of(network) > EACH_ANSWERS

    def starve(self, connection: Connection) -> None:
        """A connection waits until less is held for its network."""
        self.starved.setdefault(connection.network, set()).add(connection)

    def feed(self, network: str) -> None:
        """Less is held for a network: those of it that wait for that go on."""
        if network in self.starved and not self.is_greedy(network):
            for one in self.starved.pop(network):
                self.turns.wants(one)

    # What becomes of writes

    def _synced(self, batch: int) -> None:
        for connection in tuple(self.unacknowledged):
            connection.release(batch)

    def _lost(self, space: Namespace) -> None:
        """Its own clients get no answer, and nobody else notices."""
        for connection in self.connections:
            if connection.session.space is space:
                connection.abort()
