"""The TUN's two ways with the kernel's own TCP at both ends: packets of many segments, and one packet at a time."""

from __future__ import annotations

import asyncio
import hashlib
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from zos.mycelium import tun
from zos.mycelium.tun import Tun
from zos.networkd.host import tuntap
from zos.runtime import linux

pytestmark = pytest.mark.root

DATA = 24 << 20
SINK = """
import hashlib, socket, sys
with socket.create_server(("400:0:0:2::1", 7000), family=socket.AF_INET6) as server:
    print("ready", flush=True)
    link, _ = server.accept()
    digest = hashlib.sha256()
    while piece := link.recv(1 << 20):
        digest.update(piece)
    print(digest.hexdigest())
"""
SOURCE = """
import random, socket
data = random.Random(1).randbytes(1 << 20)
with socket.create_connection(("400:0:0:2::1", 7000)) as link:
    for _ in range({count}):
        link.sendall(data)
"""


def sh(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=20)


@pytest.fixture
def ends() -> Iterator[tuple[str, str]]:
    """Two namespaces, each with a TUN `my` and a way to the other."""
    names, was_there = ("offload-1", "offload-2"), tun.NETNS.is_mount()
    for number, name in enumerate(names, 1):
        sh("ip", "netns", "add", name)

        def make(name: str = name) -> None:
            linux.setns(Path("/run/netns") / name, linux.CLONE_NEWNET)
            tuntap.create_tun("my")

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        sh("ip", "-n", name, "link", "set", "my", "mtu", "1400", "up")
        sh("ip", "-n", name, "addr", "add", f"400:0:0:{number}::1/64", "dev", "my", "nodad")
        sh("ip", "-n", name, "route", "add", "400::/7", "dev", "my")
    yield names
    for name in names:
        sh("ip", "netns", "del", name)
    if not was_there:
        linux.unmount(tun.NETNS)  # `ip netns add` made it a mount


async def program(namespace: str, text: str) -> asyncio.subprocess.Process:
    words = ("nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-c", text)
    return await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)


@pytest.mark.parametrize("is_plain", [False, True])
async def test_what_is_sent_arrives_unchanged(ends: tuple[str, str], is_plain: bool, monkeypatch: pytest.MonkeyPatch):
    if is_plain:
        monkeypatch.setattr(tun, "_VNET_HDR", 0)  # as with a kernel that has none
    most = 0
    across: list[Tun] = []

    def carry(there: int, packets: Sequence[bytes]) -> None:
        nonlocal most
        most = max(most, len(packets))
        assert all(len(packet) <= 1400 for packet in packets)
        across[there].write(packets)

    across += [Tun("my", name, partial(carry, 1 - here)) for here, name in enumerate(ends)]
    try:
        async with asyncio.timeout(60):
            sink = await program(ends[1], SINK)
            assert sink.stdout is not None
            assert await sink.stdout.readline() == b"ready\n"
            source = await program(ends[0], SOURCE.format(count=DATA >> 20))
            found = (await sink.stdout.read()).decode().strip()
            assert (await source.wait(), await sink.wait()) == (0, 0)
    finally:
        for one in across:
            one.close()
    assert found == hashlib.sha256(random.Random(1).randbytes(1 << 20) * (DATA >> 20)).hexdigest()
    assert most == 1 if is_plain else most > 20
