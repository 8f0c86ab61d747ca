"""Connecting under the policy, and keeping to a deadline."""

from __future__ import annotations

import socket
import time

from zos.flist.policy import Policy


def dial(host: str, port: int, timeout: float, policy: Policy) -> socket.socket:
    """A TCP connection to the first address that answers and that the policy lets through."""
    end = time.monotonic() + timeout
    problem: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        policy.check_address(host, str(address[0]))
        link = socket.socket(family, kind, protocol)
        try:
            link.settimeout(max(0.1, end - time.monotonic()))
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.connect(address)
        except OSError as err:
            link.close()
            problem = err
        else:
            return link
    raise problem


def left(end: float) -> float:
    """Seconds until `end` on the monotonic clock; TimeoutError when there are none."""
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("it is too slow")
    return seconds
