"""Daemons in this process: each runs as one life, is started again when it ends, and can be killed at any await."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from nacl.signing import SigningKey

from zos.bus.server import Add, Health
from zos.core0.api.core0_pb2_grpc import add_Core0Servicer_to_server
from zos.core0.service import Core0Service
from zos.runtime.clock import Clock
from zos.runtime.config import NodeConfig
from zos.runtime.daemon import Daemon, Runtime, opened
from zos.runtime.ledger import Ledger
from zos.sim.bus import SimBus, Switchboard, add_all
from zos.sim.life import Life

log = logging.getLogger("zos.sim")

H = TypeVar("H")
T = TypeVar("T")

AGAIN = 0.5
"""Seconds after which a daemon that ended is started again, as core-0 does."""

PATIENCE = 20.0
"""Seconds after which a task that goes on after its cancellation is told of."""

MakeHost = Callable[[Runtime, Life, Callable[..., Any], tuple[Any, ...]], Any]
"""Makes a daemon's host: its runtime, its life, the class that it would use on a real machine, and the arguments."""


@dataclass(frozen=True)
class NoConfig:
    """No table in the configuration file."""


class Core0(Daemon):
    """core-0 as far as the others ask it: the node's key. It supervises nothing."""

    name = "core0"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        rt.serve(Core0Service(rt.host(SigningKey), list), add_Core0Servicer_to_server)


class SimLedger(Ledger[T]):
    """A ledger whose writes end with its owner's life."""

    life: Life

    def put(self, key: str, body: T) -> int:
        self.life.check()
        return super().put(key, body)

    def drop(self, key: str) -> None:
        self.life.check()
        super().drop(key)


class SimRuntime(Runtime):
    """A daemon's runtime without sockets."""

    ledger_class = SimLedger

    def __init__(
        self,
        life: Life,
        switchboard: Switchboard,
        make_host: MakeHost | None,
        config: Any,
        node: NodeConfig,
        clock: Clock,
    ) -> None:
        super().__init__(life.name, config, node, clock=clock, bus=SimBus(node.run_dir, switchboard))
        self._life = life
        self._switchboard = switchboard
        self._make_host = make_host

    def host(self, cls: Callable[..., H], *args: Any) -> H:
        if self._make_host is None:
            return cls(*args)
        host: H = self._make_host(self, self._life, cls, args)
        return host

    def ledger(self, *args: Any, **named: Any) -> Ledger[Any]:
        ledger = super().ledger(*args, **named)
        assert isinstance(ledger, SimLedger)
        ledger.life = self._life
        return ledger

    def listening(self, services: list[tuple[Any, Add]], health: Health) -> AbstractAsyncContextManager[None]:
        return self._listening(services)

    @asynccontextmanager
    async def _listening(self, services: list[tuple[Any, Add]]) -> AsyncIterator[None]:
        added = add_all(self._life, services)
        await added.guarded()
        with self._switchboard.serving(self.name, added):
            yield


class Unit:
    """One daemon of a node, over all its lives."""

    def __init__(
        self,
        cls: type[Daemon],
        switchboard: Switchboard,
        node: NodeConfig,
        clock: Clock,
        *,
        config: Any = None,
        make_host: MakeHost | None = None,
    ) -> None:
        self.cls = cls
        self.config = cls.config() if config is None else config
        self.node = node
        self.life: Life | None = None
        self.deaths = 0
        self.enabled = False
        self._switchboard = switchboard
        self._clock = clock
        self._make_host = make_host
        self._supervisor: asyncio.Task[None] | None = None
        self._serves = asyncio.Event()

    @property
    def name(self) -> str:
        return self.cls.name

    def start(self) -> None:
        """Run, and run again whenever it ends."""
        self.enabled = True
        if self._supervisor is None or self._supervisor.done():
            self._supervisor = asyncio.get_running_loop().create_task(self._supervise())

    async def ready(self) -> None:
        """Wait until it serves."""
        await self._serves.wait()

    def kill(self) -> None:
        """Ends the daemon at the await where it stands, as SIGKILL would."""
        if self.life is not None and self.life.alive:
            self.deaths += 1
            self._serves.clear()
            self.life.end()

    async def stop(self) -> None:
        """Kill it, and do not start it again."""
        self.enabled = False
        self.kill()
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        if self.life is not None:
            await self._buried(self.life)

    async def _supervise(self) -> None:
        while True:
            self.life = life = Life(self.name)
            main = life.start(self._live(life))
            await life.ended_or(main)
            if main.done() and not main.cancelled() and (err := main.exception()) is not None:
                log.warning("%s ended: %s", self.name, err)
            self._serves.clear()
            life.end()
            await asyncio.sleep(AGAIN)
            await self._buried(life)

    async def _buried(self, life: Life) -> None:
        """Wait until the last task of a life has ended."""
        while life.tasks:
            _, deaf = await asyncio.wait(list(life.tasks), timeout=PATIENCE)
            for task in deaf:
                # On a real node SIGTERM would not end it either.
                log.error("incident: a task of %s swallowed its cancellation: %s", self.name, _where(task))
                task.cancel()

    async def _live(self, life: Life) -> None:
        rt = SimRuntime(life, self._switchboard, self._make_host, self.config, self.node, self._clock)
        async with opened(self.cls(), rt):
            await rt.run(asyncio.Event(), self._serves.set)


def _where(task: asyncio.Task[Any]) -> str:
    """Which coroutines a task waits in, the innermost last."""
    names: list[str] = []
    step: Any = task.get_coro()
    while step is not None:
        names.append(getattr(step, "__qualname__", type(step).__name__))
        step = getattr(step, "cr_await", None) or getattr(step, "ag_await", None)
    return " > ".join(names)
