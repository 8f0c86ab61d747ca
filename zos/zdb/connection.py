"""One client's connection: requests in order, and answers in order; what is held for it is bounded and counted.

An answer waits until what its connection wrote before is on the disk. A request waits until the answers before it are
nearly read, and for its turn.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from time import perf_counter
from typing import TYPE_CHECKING, cast

from zos.runtime.quota import network_of
from zos.zdb import commands, resp
from zos.zdb.namespace import Namespace
from zos.zdb.parts import Refused
from zos.zdb.session import Gone, Session, Steps
from zos.zdb.store import DEFAULT

if TYPE_CHECKING:
    from zos.zdb.server import Server

log = logging.getLogger("zos.zdb")

PAUSED = 1 << 20
"""Bytes of its answers that wait for the disk or the client beyond which a connection's next request waits too."""
READ_AHEAD = 64 << 10
"""Bytes of requests that are read of a connection whose next one waits."""
TOGETHER = 64 << 10
"""Bytes of answers that are sent in one go."""
HELD = 128
"""Bytes that an answer takes in memory beside itself while it waits for the disk."""
LOCAL = "unix"
"""The network of those who connect by a unix socket."""
Held = list[tuple[int, bytes]]


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
        self._held_size = 0
        self._counted = 0, 0
        """What was said that is held for it: requests and answers."""
        self.reserved = 0
        """Bytes of the answer that is being made."""
        self._doing: tuple[commands.Command, list[bytes], Steps] | None = None
        """A command that takes more than one step."""
        self._timer: asyncio.TimerHandle | None = None
        """Until its next step."""
        self._is_reading = True
        self._is_paused = False
        self._is_starved = False
        self._ends = False
        self._used: tuple[Namespace | None, bool, bool] | None = None
        """The namespace, and the rights, for which it has its place."""
        self.network = ""
        Connection._numbers += 1
        self.number = Connection._numbers
        settings = self._world.settings
        may_write = not (settings.is_protected and settings.admin)
        self.session = Session(self._world.store.spaces[DEFAULT], not settings.admin, may_write, connection=self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        server = self._server
        remote = self._transport.get_extra_info("peername")
        network = network_of(remote[0]) if isinstance(remote, tuple) else LOCAL
        if not server.places.enter(network, self):
            self._transport.write(resp.error("Too many clients"))
            self._transport.close()
            return
        self.network = network
        server.connections.add(self)
        if network == LOCAL:
            server.places.keep(self, LOCAL)
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
            self._server.places.leave(self)
        self._server.mirrors.discard(self)
        self._server.stop_waiting(self)
        self._transport = None
        self.let_go()

    def let_go(self) -> None:
        """Free what is held for it."""
        if self._timer is not None:
            self._timer.cancel()
        self._parser = resp.Parser()
        self._held.clear()
        self._ends, self._doing, self._held_size, self.reserved = True, None, 0, 0
        self._server.unacknowledged.discard(self)
        self._is_starved, self._counted = False, (0, 0)
        self._server.starved.get(self.network, set()).discard(self)
        self._server.requests.put(self, 0)
        if self._server.answers.put(self, 0):
            self._server.feed(self.network)

    def close(self) -> None:
        """Close once what is unsent is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, without the answers that wait."""
        if self._transport is not None:
            self._transport.abort()
        self.let_go()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self.count()
        self._server.turns.wants(self)

    def data_received(self, data: bytes) -> None:
        self._world.counters.received += len(data)
        self._server.places.heard(self)
        if not self._ends:
            self._parser.feed(data)
            self._server.turns.wants(self)
            if self._parser.size > READ_AHEAD:
                self._read()

    def _read(self) -> None:
        """Read on, unless there is enough that waits."""
        if self._transport is not None and not self._transport.is_closing():
            is_full = self._parser.size > READ_AHEAD and (self._must_wait() or self._server.turns.has(self))
            self._is_reading = not is_full
            (self._transport.pause_reading if is_full else self._transport.resume_reading)()

    def _must_wait(self) -> bool:
        """Whether its next request waits until something goes on: its client, its network's others, the disk."""
        if self._is_starved:
            self._is_starved = self in self._server.starved.get(self.network, ())
        return self._is_starved or self._is_paused or self._timer is not None or self._held_size > PAUSED

    def work(self, until: float) -> bool:
        """Execute the requests that are whole, as long as it has its turn; True when there may be more."""
        if self._transport is None or self._transport.is_closing() or self._ends:
            return False
        is_over = False
        answers: list[bytes] = []
        size = batch = 0
        try:
            while not (self._must_wait() or self._ends or is_over):
                if self._doing is None:
                    if self._server.is_greedy(self.network):
                        self._server.starve(self)
                        self._is_starved = is_over = True
                        break
                    words = self._parser.next()
                    if words is None:
                        break
                    answer = self._execute(words)
                else:
                    answer = self._go_on()
                if self.session.wrote:
                    self.session.wrote = False
                    batch = self._server.syncs.wrote(self.session.active())
                if answer is not None:
                    answers.append(answer)
                    size += len(answer)
                if len(answers) >= 64 or size > TOGETHER or batch:
                    self._answer(b"".join(answers), batch)
                    answers.clear()
                    size = batch = 0
                is_over = perf_counter() >= until
        except resp.Malformed as err:
            answers.append(resp.error(str(err)))
            self._ends = True
        if answers:
            self._answer(b"".join(answers), 0)
        self._keep()
        self.count()
        if self._ends and not self._held:
            self.close()
        if not self._is_reading:
            self._read()
        return is_over and not self._ends and not self._must_wait()

    def count(self, *, is_bounded: bool = True) -> None:
        """Say what is held for it."""
        server = self._server
        if self._transport is None or self not in server.connections:
            return
        unread, unsent = self._parser.size, self._held_size + self._transport.get_write_buffer_size() + self.reserved
        if (unread, unsent) == self._counted:
            return
        self._counted = unread, unsent
        server.requests.put(self, unread)
        if server.answers.put(self, unsent):
            server.feed(self.network)
        if is_bounded and (server.requests.is_over or server.answers.is_over):
            server.bound()

    def _keep(self) -> None:
        """Who has proved a right need not make way for strangers, at the expense of its namespace."""
        session = self.session
        used = session.space, session.may_write, session.is_admin
        if used != self._used:
            self._used = used
            if session.is_admin and self._world.settings.admin:
                self._server.places.keep(self, LOCAL)
            elif session.space is not None and session.space.settings.name != DEFAULT:
                if session.may_write:
                    self._server.places.keep(self, session.space.settings.name)
                else:
                    self._server.places.use(self, is_busy=True)

    def _execute(self, words: list[bytes]) -> bytes | None:
        self._world.counters.executed += 1
        command = commands.find(words[0])
        answer: bytes | None = None
        try:
            self.session.active()
            if command is None:
                raise Refused("Command not supported")
            done = command.handler(self._world, self.session, words)
            if done is None or isinstance(done, bytes):
                answer = done
            else:
                self._doing = command, words, done
                return self._go_on()
        except (Refused, Gone, OSError) as err:
            answer = self._refusal(words, err)
        self._executed(command, words)
        return answer

    def _go_on(self) -> bytes | None:
        """Take the next step of a command; its answer, when that was the last."""
        assert self._doing is not None
        command, words, steps = self._doing
        answer: bytes | None = None
        try:
            if pause := next(steps):
                self._timer = asyncio.get_running_loop().call_later(pause, self._rested)
            return None
        except StopIteration as end:
            answer = end.value
        except (Refused, Gone, OSError) as err:
            answer = self._refusal(words, err)
        self._doing, self.reserved = None, 0
        self._executed(command, words)
        return answer

    def wake(self) -> None:
        """What the next step of its command waits for is there."""
        if self._timer is not None:
            self._timer.cancel()
        self._rested()

    def _rested(self) -> None:
        self._timer = None
        self._server.turns.wants(self)

    def _executed(self, command: commands.Command | None, words: list[bytes]) -> None:
        if command is not None and (self._server.waiting or self._server.mirrors):
            self._server.executed(self, command, words)

    def _refusal(self, words: list[bytes], err: Refused | Gone | OSError) -> bytes:
        if isinstance(err, Gone):
            self._ends = True
            return resp.error(err.text)
        self._world.counters.failed += 1
        if isinstance(err, Refused):
            return resp.error(str(err))
        log.error("%s: %s", words[0][:16], err)
        full = err.errno in (errno.ENOSPC, errno.EDQUOT)
        return resp.error("No space left on this namespace" if full else "Internal Error")

    def _answer(self, answer: bytes, batch: int) -> None:
        """Send, or keep until what was written before is on the disk."""
        if batch or self._held:
            self._server.unacknowledged.add(self)
            self._held.append((batch, answer))
            self._held_size += len(answer) + HELD
        else:
            self.send(answer)

    def release(self, batch: int) -> None:
        """A batch is on the disk: send what waited for it."""
        ready = 0
        while ready < len(self._held) and self._held[ready][0] <= batch:
            ready += 1
        if ready:
            answers = [answer for _, answer in self._held[:ready]]
            del self._held[:ready]
            self._held_size -= sum(len(answer) + HELD for answer in answers)
            if not self._held:
                self._server.unacknowledged.discard(self)
            self.send(b"".join(answers))
            self.count()
            if self._parser.size or self._doing is not None:
                self._server.turns.wants(self)
        if self._ends and not self._held:
            self.close()

    def send(self, answer: bytes, most: int | None = None) -> None:
        """Write to the client; one that has left more than `most` bytes unread is let go."""
        if self._transport is None or self._transport.is_closing():
            return
        self._world.counters.sent += len(answer)
        self._transport.write(answer)
        if most is not None and self._transport.get_write_buffer_size() > most + len(answer):
            self.abort()
