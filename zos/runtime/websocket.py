"""A client's WebSocket, of which nothing is left once it was closed."""

from __future__ import annotations

from websockets.asyncio.client import ClientConnection
from websockets.frames import CloseCode


class Socket(ClientConnection):
    """What `connect(create_connection=...)` makes."""

    async def close(self, code: CloseCode | int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Say goodbye; whoever does not answer in time is hung up on, also when the caller is cancelled.

        The library's own close does so when a timeout expires. In a task that was cancelled before, no timeout of
        Python 3.11.2 (Debian 12) expires as one: it ends in the cancellation, and the connection would stay.
        """
        try:
            await super().close(code, reason)
        finally:
            self.transport.abort()
