"""Names looked up and addresses connected to, for threads: under the policy, within a deadline."""

from __future__ import annotations

import socket
import threading
import time

from zos.fetch.errors import FetchForbidden
from zos.fetch.policy import Policy

Found = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]
"""What getaddrinfo gives."""


def left(end: float) -> float:
    """Seconds until `end` on the monotonic clock; TimeoutError when there are none."""
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("it is too slow")
    return seconds


def lookup(host: str, port: int) -> list[Found]:
    """All addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, kind, number, name, address) for family, kind, number, name, address in found]  # type: ignore[misc]


def numeric(host: str, port: int) -> list[Found]:
    """The address that the host is by itself, in whatever notation the system knows; nothing for a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return []
    return [(family, kind, number, name, address) for family, kind, number, name, address in found]  # type: ignore[misc]


def judged(policy: Policy, host: str, port: int, found: list[Found]) -> list[Found]:
    """The addresses that may be connected to; raises FetchForbidden when none may."""
    allowed, refusal = [], None
    for one in found:
        try:
            policy.judge(host, port, str(one[4][0]))
        except FetchForbidden as err:
            refusal = err
        else:
            allowed.append(one)
    if not allowed:
        raise refusal or OSError(f"{host} has no address")
    return allowed


def dial(host: str, port: int, end: float, policy: Policy) -> socket.socket:
    """A TCP connection to the first address that answers; each gets its share of what is left until `end`."""
    found = judged(policy, host, port, _lookup(host, port, end))
    problem: OSError = OSError(f"{host} has no address")
    for tried, (family, kind, protocol, _, address) in enumerate(found):
        link = socket.socket(family, kind, protocol)
        try:
            link.settimeout(left(end) / (len(found) - tried))
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.connect(address)
        except OSError as err:
            link.close()
            problem = err
        else:
            return link
    raise problem


def _lookup(host: str, port: int, end: float) -> list[Found]:
    """In a thread, since getaddrinfo knows no deadline; a literal address needs none."""
    literal = numeric(host, port)
    if literal:
        return literal
    result: list[list[Found] | OSError] = []

    def run() -> None:
        try:
            result.append(lookup(host, port))
        except (OSError, UnicodeError) as err:
            result.append(err if isinstance(err, OSError) else OSError(str(err)))

    thread = threading.Thread(target=run, name="lookup", daemon=True)
    thread.start()
    thread.join(left(end))
    if not result:
        raise TimeoutError("its name is not found in time")
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]
