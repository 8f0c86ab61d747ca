"""How a daemon starts, the same for all: config, journal, socket, `open()`, READY, loops, SIGTERM.

    class Storaged(Daemon):
        name = "storaged"
        config = Config

        async def open(self, rt: Runtime) -> None: ...

`daemon.run(Storaged)` is its whole `__main__`. Importing a daemon's module starts and reads nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, TypeVar

from zos.bus.client import Bus
from zos.bus.front import NameCaller
from zos.bus.server import Add, Callers, Health, listening
from zos.errors import ZosError
from zos.runtime import calls
from zos.runtime import config as configuration
from zos.runtime.backoff import Backoff
from zos.runtime.clock import Clock, SystemClock
from zos.runtime.config import NodeConfig, Sources
from zos.runtime.journal import set_up_journal
from zos.runtime.ledger import Ledger, Upgrade
from zos.runtime.loops import Loop, Wake
from zos.runtime.notify import notify, watchdog_interval
from zos.runtime.program import stop_signals

H = TypeVar("H")
T = TypeVar("T")

EX_CONFIG = 78
"""sysexits' code for a configuration error: core-0 does not hurry to restart such a daemon."""


class Daemon:
    """One daemon; subclasses say their name, their config and how they open."""

    name: ClassVar[str]
    config: ClassVar[type]

    async def open(self, rt: Runtime) -> None:
        """Wire ledgers, host, service and loops; called once, before READY."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of what `open` took and the runtime does not own; called once, after the loops ended."""


class Runtime:
    """What a daemon is given: configuration, bus, folders, clock, and the verbs to serve, loop and remember."""

    ledger_class: type[Ledger[Any]] = Ledger

    def __init__(
        self,
        name: str,
        config: Any,
        node: NodeConfig,
        *,
        clock: Clock | None = None,
        host: object | None = None,
        bus: Bus | None = None,
    ) -> None:
        self.name = name
        self.config: Any = config
        self.node = node
        self.run_dir = node.run_dir
        self.state_dir = node.state_dir / name
        self.clock: Clock = clock or SystemClock()
        self.bus = bus or Bus(node.run_dir)
        self.log = logging.getLogger(f"zos.{name}")
        self.loops: list[Loop] = []
        self._host = host
        self._services: list[tuple[Any, Add]] = []
        self._tasks: list[tuple[str, Callable[[], Awaitable[object]]]] = []
        self._health = Health()
        self._name_caller: NameCaller = calls.name_of

    def host(self, cls: Callable[..., H], *args: Any) -> H:
        """The part that touches the machine; tests and sim/ hand in a fake here, and only here."""
        if self._host is not None:
            return self._host  # type: ignore[return-value]
        return cls(*args)

    def ledger(
        self,
        name: str,
        body: type[T],
        version: int = 1,
        upgrades: Mapping[int, Upgrade] | None = None,
        keep_history: bool = False,
        volatile: bool = False,
    ) -> Ledger[T]:
        """The ledger of this name in the daemon's state folder; a `volatile` one ends with the node's uptime."""
        folder = self.run_dir / self.name if volatile else self.state_dir
        return self.ledger_class(folder / name, body, version, upgrades, keep_history)

    def serve(self, servicer: Any, add: Add) -> None:
        """Offer a gRPC service on the daemon's socket."""
        self._services.append((servicer, add))

    def know_callers(self, name_caller: NameCaller) -> None:
        """Name those who call otherwise than by their users; the services learn it by `bus.front.caller_of`."""
        self._name_caller = name_caller

    def loop(
        self,
        name: str,
        action: Callable[[], Awaitable[object]],
        *,
        every: float,
        wake: Wake | None = None,
        backoff: Backoff | None = None,
    ) -> Loop:
        """Run an action at start, on a wake-up and at the latest every `every` seconds."""
        loop = Loop(f"{self.name}.{name}", action, every, wake, backoff)
        self.loops.append(loop)
        return loop

    def task(self, name: str, action: Callable[[], Awaitable[object]]) -> None:
        """Keep a long-running action going: it is started again, with back-off, whenever it ends."""
        self._tasks.append((name, action))

    async def run(self, stopping: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve and loop until `stopping`; then stop taking calls and cancel what runs."""
        async with self.listening(self._services, self._health), asyncio.TaskGroup() as group:
            running = [group.create_task(loop.run(), name=loop.name) for loop in self.loops]
            running += [group.create_task(_forever(name, action)) for name, action in self._tasks]
            await self._health.set(True)
            ready()
            running.append(group.create_task(_feed_watchdog()))
            await stopping.wait()
            await self._health.set(False)
            for task in running:
                task.cancel()

    def listening(self, services: list[tuple[Any, Add]], health: Health) -> AbstractAsyncContextManager[None]:
        """Serve on the daemon's socket while the block runs; the simulator serves without one."""
        return listening(self.bus.socket(self.name), services, health, Callers(self._name_caller, calls.may_call))

    async def aclose(self) -> None:
        """Close the channels to the siblings."""
        await self.bus.close()


async def _forever(name: str, action: Callable[[], Awaitable[object]]) -> None:
    async def once() -> None:
        await action()

    # A task that ends is begun again; `every` paces one that ends at once without an error.
    await Loop(name, once, every=1.0).run()


async def _feed_watchdog() -> None:
    interval = watchdog_interval()
    while interval:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)


@contextlib.asynccontextmanager
async def opened(daemon: Daemon, rt: Runtime) -> AsyncIterator[Runtime]:
    """Open a daemon on a runtime and close both at the end."""
    rt.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    rt.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        await daemon.open(rt)
        yield rt
    finally:
        await daemon.close()
        await rt.aclose()


async def serve(cls: type[Daemon], sources: Sources) -> None:
    """A daemon's life in this process, until SIGTERM or SIGINT."""
    node = configuration.read_node(sources)
    config: Any = configuration.read(sources, cls.name, cls.config)
    set_up_journal(cls.name, node.debug)
    async with stop_signals() as stopping, opened(cls(), Runtime(cls.name, config, node)) as rt:
        await rt.run(stopping, lambda: notify("READY=1"))
    notify("STOPPING=1")


def main(cls: type[Daemon], sources: Sources | None = None) -> int:
    """Run a daemon to its end; returns the exit status."""
    faulthandler.enable()
    os.umask(0o077)
    try:
        asyncio.run(serve(cls, sources or Sources.of_system()))
    except configuration.BadConfig as err:
        sys.stderr.write(f"{cls.name}: {err.explain()}\n{err.advice()}\n")
        return EX_CONFIG
    except ZosError as err:
        sys.stderr.write(f"{cls.name}: {err.explain()}\n{err.advice()}\n")
        return 1
    return 0


def run(cls: type[Daemon]) -> None:
    """The body of every `__main__.py`."""
    sys.exit(main(cls))
