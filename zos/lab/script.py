"""What a box does before its init: its mounts, its cable, its addresses, as one shell script. Pure.

It runs as the first process of the box's new namespaces, so that whatever it makes ends with the box: a box that was
killed half-way leaves nothing that another try would meet.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from zos.lab.addresses import PREFIX, PUBLIC_NET, RESOLVERS, Addresses
from zos.lab.topology import Box, Kind, Layout

NODE_FOLDERS: Mapping[str, str] = {
    "lib-zos": "/var/lib/zos",
    # Not /var/cache/zos alone: that is where storaged mounts its cache volume, and it never mounts over a mount.
    "cache": "/var/cache",
    "lib-libvirt": "/var/lib/libvirt",
    "log-libvirt": "/var/log/libvirt",
    "etc-zos": "/etc/zos",
    "etc-libvirt": "/etc/libvirt",
    "mnt": "/mnt",
}
"""A node's own folders: name below its state, and where the node sees it."""
TUN = Path("/dev/net/tun")
COPIED = {"etc-libvirt"}
"""Those that begin as a copy of the machine's."""


def script(box: Box, layout: Layout, addresses: Addresses, internet: int | None) -> str:
    """The shell script of a box; `internet` is the pid of the Internet's init, None for the Internet itself."""
    lines = ["set -e", f"hostname {shlex.quote(box.name)}", "ip link set lo up"]
    if internet is None:
        lines += _internet(box)
    else:
        lines += _cable(box, addresses, internet)
    lines += _mounts(box, layout)
    return "\n".join([*lines, 'exec "$@"'])


def _internet(box: Box) -> Iterator[str]:
    yield "ip link add world type bridge"
    yield f"ip address add {box.address}/{PREFIX} dev world"
    for address in RESOLVERS:
        yield f"ip address add {address}/32 dev world"
    yield "ip link set world up"


def _cable(box: Box, addresses: Addresses, internet: int) -> Iterator[str]:
    # The far end is born in the Internet's namespace: a veth that never was in the machine's own cannot stay there.
    far = f"/proc/{internet}/ns/net"
    # A box that was killed just now: its namespace, and so its cable, is taken down by the kernel in its own time.
    yield f"nsenter --net={far} ip link del {box.name} 2>/dev/null || true"
    yield f"ip link add eth0 address {box.mac} type veth peer name {box.name} netns {far}"
    yield f"nsenter --net={far} ip link set {box.name} master world up"
    yield f"ip address add {box.address}/{PREFIX} dev eth0"
    yield "ip link set eth0 up"
    yield f"ip route add default via {addresses.gateway}"
    yield f"ip route add {PUBLIC_NET} dev eth0"


NAMES = {"hosts": "/etc/hosts", "resolv.conf": "/etc/resolv.conf"}
"""What a box knows of names: the other boxes', and that it asks nobody for more (machines do, see decision 0015)."""


def hosts(boxes: Iterable[Box]) -> str:
    """/etc/hosts of every box: without it, whoever looks up his own name (libvirt does) waits 10 s for a DNS server."""
    return "".join(["127.0.0.1 localhost\n", *(f"{box.address} {box.name}\n" for box in boxes)])


def _mounts(box: Box, layout: Layout) -> Iterator[str]:
    for name, target in NAMES.items():
        yield f"[ ! -e {target} ] || mount --bind {_q(layout.box_run(box.name) / name)} {target}"
    yield f"mount --bind {_q(layout.box_run(box.name))} /run"
    if box.kind is Kind.NODE:
        for name, target in NODE_FOLDERS.items():
            yield f"mount --bind {_q(layout.box_state(box.name) / name)} {target}"
        yield "mount -t tmpfs -o mode=1777 tmpfs /dev/shm"
        # A container's is often root's alone; udev opens a node's to everybody (to use it takes CAP_NET_ADMIN anyway).
        yield f"mount -t tmpfs -o mode=755 tmpfs {TUN.parent}"
        yield f"mknod -m 666 {TUN} c 10 200 || umount {TUN.parent}"
    yield "mount -t proc proc /proc"
    # A fresh one shows the links of this network namespace; a node keeps the machine's cgroups, for its guests.
    if box.kind is Kind.NODE:
        yield "mkdir /run/cgroup && mount --rbind /sys/fs/cgroup /run/cgroup"
    yield "mount -t sysfs sysfs /sys"
    if box.kind is Kind.NODE:
        yield "mount --move /run/cgroup /sys/fs/cgroup && rmdir /run/cgroup"
    if box.kind is Kind.NODE:
        # As systemd has it: what storaged and flistd mount reaches those who have a view of files of their own.
        yield "mount --make-rshared /"


def _q(path: Path) -> str:
    return shlex.quote(str(path))
