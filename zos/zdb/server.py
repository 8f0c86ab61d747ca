"""The server: connections, and answers in order; an answer waits until what its connection wrote is on the disk."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from pathlib import Path
from typing import cast

from zos.runtime.quota import FairQuota, network_of
from zos.zdb import commands, resp
from zos.zdb.hooks import Hooks
from zos.zdb.namespace import Namespace
from zos.zdb.parts import Refused
from zos.zdb.session import Gone, Session, Settings, World
from zos.zdb.store import DEFAULT, Store
from zos.zdb.syncs import Syncs

log = logging.getLogger("zos.zdb")

MOST_CONNECTIONS = 4096
MOST_UNSENT = 32 << 20
"""Bytes of answers that a connection may leave unread before it is closed."""
PAUSED = 1 << 20
"""Bytes of unread answers beyond which no more requests of a connection are read."""
MOST_BUFFERED = 512 << 20
"""Bytes of requests that are not whole yet, over all connections."""
BACKLOG = 1024
IP_FREEBIND = 15
"""ip(7); it holds for IPv6 too."""
Held = list[tuple[int, bytes]]


class Server:
    """Serves one store until `failed` is set or it is closed."""

    def __init__(self, store: Store, settings: Settings, hooks: Hooks) -> None:
        self.world = World(store, settings, hooks, peers=self)
        self.connections: set[Connection] = set()
        self.buffered = 0
        self.quota: FairQuota[str] = FairQuota(MOST_CONNECTIONS, MOST_CONNECTIONS)
        """Of connections, by the client's network."""
        self.waiting: dict[Connection, tuple[str, asyncio.TimerHandle]] = {}
        self.mirrors: set[Connection] = set()
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

    def release(self, name: bytes) -> None:
        """Serve a namespace no longer; its files stay."""
        space = self.world.store.spaces[name]
        self.detach(space)
        self.world.store.release(name)

    def detach(self, space: Namespace) -> None:
        """End the use of a removed namespace."""
        for connection in self.connections:
            if connection.session.space is space:
                connection.session.space = None

    def replace(self, old: Namespace, new: Namespace) -> None:
        """Whoever used the one uses the other."""
        self.adopt(new)
        for connection in self.connections:
            if connection.session.space is old:
                connection.session.space = new

    def wait(self, session: Session, command: str, seconds: float) -> None:
        """Answer the session when another one executes the command."""
        connection = cast(Connection, session.connection)
        self.stop_waiting(connection)
        timer = asyncio.get_running_loop().call_later(seconds, self._waited, connection, resp.error("Timeout"))
        self.waiting[connection] = (command, timer)

    def _waited(self, connection: Connection, answer: bytes) -> None:
        self.stop_waiting(connection)
        connection.send(answer)

    def stop_waiting(self, connection: Connection) -> None:
        """Forget what a connection waits for."""
        found = self.waiting.pop(connection, None)
        if found is not None:
            found[1].cancel()

    def mirror(self, session: Session) -> None:
        """Send the session every change that others make."""
        self.mirrors.add(cast(Connection, session.connection))

    def executed(self, connection: Connection, command: commands.Command, words: list[bytes]) -> None:
        """Tell those who wait for a command or mirror changes."""
        space = connection.session.space
        for other, (name, _) in list(self.waiting.items()):
            if other is not connection and other.session.space is space and name in ("*", command.name):
                self._waited(other, resp.simple(command.name))
        if command.is_change and space is not None:
            head = [resp.integer(connection.number), resp.bulk(space.settings.name), resp.integer(int(time.time()))]
            message = resp.array([*head, *map(resp.bulk, words)])
            for other in self.mirrors:
                if other is not connection:
                    other.send(message)

    # What becomes of writes

    def _synced(self, batch: int) -> None:
        for connection in list(self.connections):
            connection.release(batch)

    def _lost(self, space: Namespace) -> None:
        """Its own clients get no answer, and nobody else notices."""
        for connection in self.connections:
            if connection.session.space is space:
                connection.abort()


class Connection(asyncio.Protocol):
    """One client's connection: reads commands, writes answers, is bounded in both."""

    _numbers = 0

    def __init__(self, server: Server) -> None:
        self._server = server
        self._world = server.world
        self._parser = resp.Parser()
        self._transport: asyncio.Transport | None = None
        self._held: Held = []
        """Answers that wait for a batch, with its number."""
        self._is_paused = False
        self._ends = False
        self._network = ""
        self._buffered = 0
        Connection._numbers += 1
        self.number = Connection._numbers
        settings = self._world.settings
        may_write = not (settings.is_protected and settings.admin)
        self.session = Session(self._world.store.spaces[DEFAULT], not settings.admin, may_write, connection=self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        server = self._server
        remote = self._transport.get_extra_info("peername")
        network = network_of(remote[0]) if isinstance(remote, tuple) else "unix"
        if not server.quota.take(network):
            self._transport.write(resp.error("Too many clients"))
            self._transport.close()
            return
        self._network = network
        server.connections.add(self)
        self._world.counters.clients += 1
        self._transport.set_write_buffer_limits(high=PAUSED)
        opened = self._transport.get_extra_info("socket")
        if opened is not None and opened.family != socket.AF_UNIX:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A client that vanished without a word is let go after a minute.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3)):
                opened.setsockopt(socket.IPPROTO_TCP, option, value)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._server.connections:
            self._server.connections.discard(self)
            self._server.quota.release(self._network)
        self._server.mirrors.discard(self)
        self._server.stop_waiting(self)
        self._server.buffered -= self._buffered
        self._buffered = 0
        self._transport = None

    def close(self) -> None:
        """Close once what is unsent is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, without the answers that wait."""
        self._held.clear()
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._is_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._transport is not None:
            self._transport.resume_reading()
            self._work()

    def data_received(self, data: bytes) -> None:
        self._world.counters.received += len(data)
        self._parser.feed(data)
        self._work()

    def _work(self) -> None:
        """Execute the requests that are whole."""
        answers: list[bytes] = []
        batch = 0
        try:
            while not self._is_paused and not self._ends:
                words = self._parser.next()
                if words is None:
                    break
                answer = self._execute(words)
                if self.session.wrote:
                    self.session.wrote = False
                    batch = self._server.syncs.wrote()
                if answer is not None:
                    answers.append(answer)
                if len(answers) >= 64 or batch:
                    self._answer(b"".join(answers), batch)
                    answers.clear()
        except resp.Malformed as err:
            answers.append(resp.error(str(err)))
            self._ends = True
        if answers:
            self._answer(b"".join(answers), 0)
        self._count()
        if self._ends and not self._held:
            self.close()

    def _count(self) -> None:
        """Bound what half-sent requests of all connections take."""
        server = self._server
        server.buffered += self._parser.size - self._buffered
        self._buffered = self._parser.size
        if server.buffered > MOST_BUFFERED and self._buffered > PAUSED:
            self.send(resp.error("Too much is being sent, try again"))
            self.close()

    def _execute(self, words: list[bytes]) -> bytes | None:
        counters = self._world.counters
        counters.executed += 1
        command = commands.find(words[0])
        try:
            self.session.active()
            if command is None:
                raise Refused("Command not supported")
            return command.handler(self._world, self.session, words)
        except Refused as err:
            counters.failed += 1
            return resp.error(str(err))
        except Gone as err:
            self._ends = True
            return resp.error(err.text)
        except OSError as err:
            counters.failed += 1
            full = err.errno in (errno.ENOSPC, errno.EDQUOT)
            log.error("%s: %s", words[0][:16], err)
            return resp.error("No space left on this namespace" if full else "Internal Error")
        finally:
            if command is not None and (self._server.waiting or self._server.mirrors):
                self._server.executed(self, command, words)

    def _answer(self, answer: bytes, batch: int) -> None:
        """Send, or keep until what was written before is on the disk."""
        if batch or self._held:
            self._held.append((batch, answer))
        else:
            self.send(answer)

    def release(self, batch: int) -> None:
        """A batch is on the disk: send what waited for it."""
        if not self._held:
            return
        ready = 0
        while ready < len(self._held) and self._held[ready][0] <= batch:
            ready += 1
        if ready:
            self.send(b"".join(answer for _, answer in self._held[:ready]))
            del self._held[:ready]
        if self._ends and not self._held:
            self.close()

    def send(self, answer: bytes) -> None:
        """Write to the client; one that does not read is let go."""
        if self._transport is None or self._transport.is_closing():
            return
        self._world.counters.sent += len(answer)
        self._transport.write(answer)
        if self._transport.get_write_buffer_size() > MOST_UNSENT + len(answer):
            self._transport.abort()
