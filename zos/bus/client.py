"""The client's half of the bus: `Bus` knows the sockets, `DaemonClient` is the base of every daemon's client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import grpc
import grpc.aio

from zos.bus.errors import from_rpc

RUN_DIR = Path("/run/zos")
MESSAGE_LIMIT = 64 * 1024 * 1024

NO_PROBES = ("grpc.http2.bdp_probe", 0)
"""Else a ping and its answer follow every message, to measure a bandwidth that a unix socket has not; each wakes the
threads of both ends some twenty times."""

# A daemon that restarts is back within a second; gRPC's own back-off (1 s growing to 120 s) would make its
# callers wait far longer than the daemon was away.
OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    # A proxy from the environment must never see a unix socket.
    ("grpc.enable_http_proxy", 0),
    NO_PROBES,
)


class Bus:
    """The sockets of one node; channels are made on first use and shared."""

    def __init__(self, run_dir: Path = RUN_DIR) -> None:
        self.run_dir = run_dir
        self._channels: dict[str, grpc.aio.Channel] = {}

    def socket(self, daemon: str) -> Path:
        """Where the daemon listens: in a folder of its own, so that who may not call it need not see it."""
        return self.run_dir / daemon / "bus.sock"

    def channel(self, daemon: str) -> grpc.aio.Channel:
        """The shared channel to a daemon; connects lazily."""
        if daemon not in self._channels:
            address = f"unix:{self.socket(daemon)}"
            self._channels[daemon] = grpc.aio.insecure_channel(address, options=OPTIONS)
        return self._channels[daemon]

    async def close(self) -> None:
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close(None)

    async def __aenter__(self) -> Bus:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class DaemonClient:
    """Base of a daemon's client: calls with a deadline, errors as the class that was raised over there."""

    name: ClassVar[str]
    stub: ClassVar[Any]

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._stub = self.stub(bus.channel(self.name))

    async def call(self, method: str, request: Any, *, deadline: float = 5.0) -> Any:
        """One call; `deadline` in seconds."""
        try:
            return await getattr(self._stub, method)(request, timeout=deadline)
        except grpc.aio.AioRpcError as err:
            refusal = self._translate(err, method, deadline)
        # Outside the handler and without `from`: both would replace the causes that came over the bus.
        raise refusal

    async def stream(self, method: str, request: Any, *, deadline: float | None = None) -> AsyncIterator[Any]:
        """A server stream; it starts with the present and has a deadline only when one is given."""
        call = getattr(self._stub, method)(request, timeout=deadline)
        try:
            async for message in call:
                yield message
            return
        except grpc.aio.AioRpcError as err:
            refusal = self._translate(err, method, deadline)
        finally:
            call.cancel()
        raise refusal

    def _translate(self, err: Any, method: str, deadline: float | None) -> Exception:
        return from_rpc(err, self.name, method, str(self._bus.socket(self.name)), deadline)
