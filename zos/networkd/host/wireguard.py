"""Tunnels: the kernel's WireGuard when a trial link works, else wireguard-go; `wg` configures both.

wireguard-go runs in the root namespace, detached from this daemon, which finds it again by its control socket.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from zos.networkd import model
from zos.networkd.api.errors import KernelRefused, NoWireguard, PortTaken
from zos.networkd.api.types import Backend, NetId
from zos.networkd.host import nsthread, processes, rtnl
from zos.networkd.host.netlink import Netlink, NetlinkError
from zos.networkd.model import KEEPALIVE, ObservedPeer, ObservedTunnel
from zos.networkd.steps import ConfigureTunnel
from zos.runtime import proc

PROGRAM = "wireguard-go"
SOCKETS = Path("/var/run/wireguard")
TUN = Path("/dev/net/tun")
_ALIVE = 180.0
"""A session that is older than this is over (WireGuard's REJECT_AFTER_TIME)."""
_START = 5.0
_HANGS = 5.0
"""A wireguard-go that does not answer for this long counts as dead."""
_CHUNK = 200
# Its heap grows under load and is not given back; the limit makes the collector work before that.
_ENVIRONMENT = {"WG_PROCESS_FOREGROUND": "1", "LOG_LEVEL": "error", "GOMEMLIMIT": "96MiB"}


async def choose(forced: str) -> Backend:
    """The backend that works here. Module lists do not tell (built-in, blocked, signed), so this tries a link."""
    if forced:
        return Backend(forced)
    try:
        await nsthread.run_in_scratch(_trial)
    except NetlinkError:
        return Backend.WIREGUARD_GO
    return Backend.KERNEL


def _trial() -> None:
    with Netlink() as nl:
        nl.do(rtnl.create_link("trial", "wireguard"))


async def create(link: str, namespace: str, backend: Backend, logs: Path) -> None:
    """Make the link in the root namespace, where its socket stays, and move it inside."""
    if backend is Backend.KERNEL:
        await nsthread.run(lambda: _create_kernel(link))
    elif await processes.run(lambda: _pid(link)) == 0:
        _socket(link).unlink(missing_ok=True)
        await _start(link, logs)
    elif not await nsthread.run(lambda: _is_here(link)):
        await processes.run(lambda: _stop(link))
        await _start(link, logs)
    await nsthread.run(lambda: _move(link, namespace))


def _create_kernel(link: str) -> None:
    with Netlink() as nl:
        if rtnl.device(nl, link) is None:
            nl.do(rtnl.create_link(link, "wireguard"))


def _is_here(link: str) -> bool:
    with Netlink() as nl:
        return rtnl.device(nl, link) is not None


def _move(link: str, namespace: str) -> None:
    file = os.open(nsthread.FOLDER / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with Netlink() as nl:
            device = rtnl.device(nl, link)
            if device is None:
                raise KernelRefused(action=f"move {link}", problem="the link vanished; did wireguard-go end?")
            nl.do(rtnl.change_link(device.index, namespace=file))
    finally:
        os.close(file)


async def _start(link: str, logs: Path) -> None:
    for needed in (shutil.which(PROGRAM), TUN.exists()):
        if not needed:
            problem = "the kernel has no WireGuard, and wireguard-go or /dev/net/tun is missing"
            raise NoWireguard(problem=problem)
    log = logs / f"{link}.log"
    environment = _ENVIRONMENT | {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")}
    pid = await proc.spawn([PROGRAM, "-f", link], log=log, env=environment)
    deadline = time.monotonic() + _START
    while not listener(link):
        if time.monotonic() > deadline or not Path(f"/proc/{pid}").exists():
            raise NoWireguard(problem=f"wireguard-go does not start, see {log}")
        await asyncio.sleep(0.003)


def _socket(link: str) -> Path:
    return SOCKETS / f"{link}.sock"


def is_served(link: str) -> bool:
    """A control socket exists, whether a process listens on it or not."""
    return _socket(link).exists()


def networks() -> frozenset[NetId]:
    """The networks that have a control socket."""
    return frozenset(id for path in SOCKETS.glob("w-*.sock") if (id := model.owner(path.stem)) is not None)


def listener(link: str) -> int:
    """The process that listens on a tunnel's control socket; 0 when none does."""
    return processes.listener(_socket(link))


def _pid(link: str) -> int:
    """The wireguard-go of a tunnel of this node, even if its socket file was removed; 0 when there is none."""
    if pid := listener(link):
        return pid
    return next((pid for pid, words in processes.running(PROGRAM).items() if words[2:3] == (link,)), 0)


async def begin_end(link: str) -> int | None:
    """Tell the tunnel's wireguard-go to end; returns its pidfd, for `drop`."""
    return await processes.run(lambda: processes.begin_end(pid) if (pid := listener(link)) else None)


async def drop(link: str, ending: int | None = None) -> None:
    """End the tunnel. A link of the kernel's goes with its namespace; one that never moved there is removed here."""
    await processes.run(lambda: _drop(link, ending))


def _drop(link: str, ending: int | None) -> None:
    if ending is None:
        _stop(link)
    else:
        processes.wait(ending, PROGRAM)
        _socket(link).unlink(missing_ok=True)
    _delete(link)


def _delete(link: str) -> None:
    with Netlink() as nl:
        device = rtnl.device(nl, link)
        if device is not None:
            nl.do(rtnl.delete_link(device.index))


def _stop(link: str) -> None:
    """End the tunnel's wireguard-go, if there is one; its link goes with it."""
    if pid := _pid(link):
        processes.end(pid, PROGRAM)
    _socket(link).unlink(missing_ok=True)


def _inside(namespace: str) -> list[str]:
    return ["nsenter", f"--net={nsthread.FOLDER / namespace}", "wg"]


async def observe(link: str, namespace: str, configured: Mapping[str, str]) -> ObservedTunnel | None:
    """The running tunnel; None when no process serves it, or the process hangs."""
    try:
        # Not `check`: the error would carry the output, which holds the private key.
        shown = await proc.run([*_inside(namespace), "show", link, "dump"], check=False, deadline=_HANGS)
    except proc.ProgramTooSlow:
        return None
    if shown.code != 0:
        return None
    backend = Backend.WIREGUARD_GO if _socket(link).exists() else Backend.KERNEL
    return parse(shown.text, backend, configured, time.time())


def parse(dump: str, backend: Backend, configured: Mapping[str, str], now: float) -> ObservedTunnel:
    """What `wg show LINK dump` says, without the private key."""
    own, *rows = (line.split("\t") for line in dump.splitlines())
    peers = {}
    for key, _, endpoint, allowed, handshake, rx, tx, keepalive in rows:
        peers[key] = ObservedPeer(
            public_key=key,
            endpoint=_none(endpoint),
            allowed_ips=frozenset(_none(allowed).split(",")) if _none(allowed) else frozenset(),
            keepalive=int(keepalive) if keepalive.isdigit() else 0,
            alive=now - int(handshake) < _ALIVE,
            configured_endpoint=configured.get(key),
            last_handshake=float(handshake),
            rx=int(rx),
            tx=int(tx),
        )
    return ObservedTunnel(backend, _none(own[1]), int(own[2]), peers)


def _none(word: str) -> str:
    return "" if word == "(none)" else word


def render(step: ConfigureTunnel) -> str:
    """The step as `wg addconf` reads it: what is not named stays as it is."""
    lines = ["[Interface]"]
    if step.private_key:
        lines.append(f"PrivateKey = {step.private_key}")
    if step.listen_port:
        lines.append(f"ListenPort = {step.listen_port}")
    for peer in step.put:
        lines += ["[Peer]", f"PublicKey = {peer.public_key}", f"AllowedIPs = {', '.join(peer.allowed_ips)}"]
        lines.append(f"PersistentKeepalive = {KEEPALIVE}")
        if peer.endpoint:
            lines.append(f"Endpoint = {peer.endpoint}")
    return "\n".join(lines) + "\n"


async def configure(step: ConfigureTunnel) -> None:
    """Change a running tunnel; the link stays up."""
    if step.listen_port:
        _probe(step.listen_port)
    for start in range(0, len(step.remove), _CHUNK):
        words = [word for key in step.remove[start : start + _CHUNK] for word in ("peer", key, "remove")]
        await proc.run([*_inside(step.namespace), "set", step.link, *words], deadline=10)
    try:
        await _add(step.link, step.namespace, render(step))
    except proc.ProgramFailed as err:
        if not step.listen_port or os.strerror(errno.EADDRINUSE) not in str(err):
            raise
        if step.former_port:
            # wireguard-go has closed the old socket by now; give it back.
            await _add(step.link, step.namespace, f"[Interface]\nListenPort = {step.former_port}\n")
        raise PortTaken(port=step.listen_port, user="a program of this node") from err


async def _add(link: str, namespace: str, text: str) -> None:
    await proc.run([*_inside(namespace), "addconf", link, "/dev/stdin"], input=text.encode(), deadline=10)


def _probe(port: int) -> None:
    """Raise PortTaken when the port cannot be bound: wireguard-go would close its old socket before it finds out."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
        try:
            with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
        except OSError as err:
            if err.errno == errno.EADDRINUSE:
                raise PortTaken(port=port, user="a program of this node") from None
            if err.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
