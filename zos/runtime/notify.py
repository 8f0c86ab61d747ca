"""Telling the supervisor how we are, by systemd's datagram protocol (`NOTIFY_SOCKET`); silent without one."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> None:
    """Send e.g. READY=1, WATCHDOG=1 or STATUS=…; a supervisor that is gone is no error."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(1.0)
        try:
            sock.sendto(message.encode(), address)
        except OSError:
            return


def watchdog_interval() -> float | None:
    """Seconds between WATCHDOG=1 messages that the supervisor wants, or None."""
    text = os.environ.get("WATCHDOG_USEC", "")
    if not text.isdigit() or int(text) <= 0:
        return None
    return int(text) / 2_000_000
