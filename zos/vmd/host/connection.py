"""The connection to libvirtd: opened when needed, opened again when it broke, and the source of its events."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt

from zos.errors import ZosError
from zos.runtime.threads import CallTooSlow, Threads
from zos.vmd.api.errors import LibvirtRefused, LibvirtUnreachable
from zos.vmd.api.types import MachineId

log = logging.getLogger("zos.vmd")

T = TypeVar("T")

OPEN_DEADLINE = 10.0
KEEPALIVE_INTERVAL = 5
KEEPALIVE_COUNT = 3
"""A libvirtd that answers nothing for 20 s is given up, and so are the calls that wait for it."""

_EVENTS = threading.Lock()
_turning = False


def _turn_events() -> None:
    """libvirt's own event loop in a thread of this process, once."""
    global _turning
    with _EVENTS:
        if _turning:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # each error is raised to its caller
        libvirt.virEventRegisterDefaultImpl()

        def turn() -> None:
            while True:
                try:
                    libvirt.virEventRunDefaultImpl()
                except libvirt.libvirtError as err:
                    log.warning("libvirt's event loop: %s", err)

        threading.Thread(target=turn, name="libvirt-events", daemon=True).start()
        _turning = True


class Connection:
    """To one libvirtd. `callback` is called from libvirt's thread."""

    def __init__(self, uri: str, callback: Callable[[MachineId | None], None]) -> None:
        self._uri = uri
        self._callback = callback
        self._threads = Threads()
        self._open: Any = None

    async def run(self, id: MachineId, what: str, action: Callable[[Any], T], deadline: float) -> T:
        """Do something with the connection (a `virConnect`), on behalf of one machine."""
        connection = self._open if self._open is not None else await self._opened()
        try:
            return await self._threads.run(f"machine {id}", f"{what} {id}", lambda: action(connection), deadline)
        except libvirt.libvirtError as err:
            # Asks the local end only; its socket is closed when the peer is gone.
            if not connection.isAlive():
                self._lost(connection)
                raise LibvirtUnreachable(uri=self._uri, problem=err) from None
            raise LibvirtRefused(problem=err) from err

    async def _opened(self) -> Any:
        try:
            connection = await self._threads.run("connection", "connect", self._connect, OPEN_DEADLINE)
        except (libvirt.libvirtError, CallTooSlow) as err:
            raise LibvirtUnreachable(uri=self._uri, problem=err) from None
        if self._open is None:
            self._open = connection
            log.info("connected to libvirt at %s", self._uri)
        return self._open

    def _connect(self) -> Any:
        _turn_events()
        connection = libvirt.open(self._uri)
        connection.setKeepAlive(KEEPALIVE_INTERVAL, KEEPALIVE_COUNT)
        connection.registerCloseCallback(self._closed, None)
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._happened, None)
        return connection

    def _happened(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        log.debug("domain %s: event %d.%d", domain.name(), event, detail)
        self._callback(MachineId(domain.name()))

    def _closed(self, connection: Any, reason: int, _opaque: Any) -> None:
        log.warning("the connection to libvirt ended (%d)", reason)
        self._lost(connection)

    def _lost(self, connection: Any) -> None:
        if self._open is connection:
            self._open = None
            self._callback(None)

    async def close(self) -> None:
        """Close the connection; guests go on."""
        connection, self._open = self._open, None
        if connection is None:
            return
        try:
            await self._threads.run("connection", "disconnect", connection.close, OPEN_DEADLINE)
        except (libvirt.libvirtError, ZosError) as err:
            log.warning("disconnecting from libvirt: %s", err)
