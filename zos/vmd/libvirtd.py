"""Becomes libvirtd, configured as a node needs it: the ExecStart of zos-libvirtd.service, on metal and in a lab.

    python -m zos.vmd.libvirtd

What it sets, and why, stands in the two texts below. It needs no other daemon of libvirt's (no virtlogd).

It lives behind walls, and so do QEMU and the file servers, which it starts: they do not see the node's key, the state
of the daemons or their sockets, and what belongs to the system is read-only.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shlex
import sys
import tempfile
from pathlib import Path

from zos.runtime import cgroup, folders, linux, users, walls
from zos.runtime import config as configuration
from zos.runtime.config import NodeConfig, Sources
from zos.runtime.files import write_atomic

PROGRAM = "/usr/sbin/libvirtd"
ETC = Path("/etc/libvirt")
KVM = Path("/dev/kvm")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

QEMU = """\
# Written by zos.vmd.libvirtd at each start.
# Each machine names the user of its QEMU, to whom libvirt gives the machine's files for as long as it runs.
user = "root"
group = "root"
dynamic_ownership = 1
remember_owner = 0
security_driver = "none"
# QEMU appends to a machine's console by itself: virtlogd is not needed, and vmd keeps the file small.
stdio_handler = "file"
# QEMU's own filter of system calls: it starts nothing, and gets no new privileges.
seccomp_sandbox = 1
# No private /dev and no cgroups per guest: a node may itself be a set of namespaces without them.
namespaces = []
cgroup_controllers = []
# At each start libvirt asks QEMU for some hundred properties of the processor, one by one, and writes them down for a
# migration, which there is none of. Without this capability it asks once: a start takes 120 ms, and not 320.
capability_filters = ["cpu-unavailable-features"]
"""

LIBVIRTD = """\
# Written by zos.vmd.libvirtd at each start.
# vmd uses one connection for all machines, and a call that hangs in one of them must not use up the turns of the
# others (the default is five).
# Only vmd, which has a user of its own, and root may call.
unix_sock_group = "+{user}"
unix_sock_rw_perms = "0770"
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_ro_perms = "0770"
max_workers = 64
max_client_requests = 64
# A node that is a set of namespaces lacks D-Bus, udev's data and cgroups; libvirt's complaints of that are no errors.
log_level = 3
log_filters = "4:util.netdev 4:util.cgroup 4:node_device 4:util.gdbus"
"""


HOOK = """\
#!/bin/sh
# Written by zos.vmd.libvirtd at each start. Most operations are none of ours; Python is not started for them.
case "$2" in
  started | reconnect) exec env PYTHONPATH={code} {python} -S -P {program} {trees} "$@" ;;
  release) rmdir {groups} 2>/dev/null ;;
esac
exit 0
"""


def hook(trees: cgroup.Trees) -> str:
    """libvirt's hook; a machine that is over leaves a group without processes, and those are removed."""
    parents = (shlex.quote(f"{root}/{cgroup.PARENT}") for root in sorted(set(trees.roots.values())))
    return HOOK.format(
        code=shlex.quote(str(walls.CODE)),
        python=shlex.quote(sys.executable),
        program=shlex.quote(str(walls.CODE / "zos/vmd/hook.py")),
        trees=shlex.quote(trees.to_word()),
        groups=" ".join(f"{parent}/* {parent}" for parent in parents) or "''",
    )


def configure(trees: cgroup.Trees, etc: Path = ETC) -> None:
    """Write the configuration; networks of libvirt's own are not started (networkd makes the node's)."""
    etc.mkdir(parents=True, exist_ok=True)
    write_atomic(etc / "qemu.conf", QEMU.encode())
    write_atomic(etc / "libvirtd.conf", LIBVIRTD.format(user=users.VMD).encode(), mode=0o644)
    write_atomic(etc / "hooks/qemu", hook(trees).encode(), mode=0o700)
    for link in (etc / "qemu" / "networks" / "autostart").glob("*.xml"):
        link.unlink()


WRITES = ("/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt", "/tmp", "/var/tmp")
"""What libvirtd and QEMU write to beside vmd's folders and the pools."""


def wall_off(node: NodeConfig) -> None:
    """Hide the daemons' folders but vmd's; a kernel that refuses is told in the log, since machines must run."""
    try:
        # Whoever is first, core-0 or we, makes them as they are to be.
        for above, mode in ((node.run_dir, 0o2711), (node.state_dir, 0o711)):
            folders.shared(above)
            folders.hand_over(above / "vmd", users.VMD, users.VMD, mode)
        walls.build("vmd", node.run_dir, node.state_dir, (), [Path(one) for one in WRITES if Path(one).is_dir()])
        name_user(users.VMD, "zos-vmd")
    except OSError as err:
        sys.stderr.write(f"libvirtd: the kernel refuses it a view of files of its own: {err}\n")


def name_user(id: int, name: str) -> None:
    """Give a user without a name one, in this view of files alone: libvirtd refuses callers that have none."""
    with contextlib.suppress(KeyError):
        pwd.getpwuid(id), grp.getgrgid(id)
        return
    lines = {"passwd": f"{name}:x:{id}:{id}::/nonexistent:/usr/sbin/nologin\n", "group": f"{name}:x:{id}:\n"}
    for file, line in lines.items():
        known = Path("/etc", file)
        with tempfile.NamedTemporaryFile(dir="/run", prefix=f"{file}.") as more:
            more.write(known.read_bytes() + line.encode())
            more.flush()
            os.fchmod(more.fileno(), 0o644)
            # The mount keeps the file, which loses its name.
            linux.mount(more.name, known.resolve(), flags=linux.MS_BIND)


def main() -> None:
    """Configure and become libvirtd."""
    trees = cgroup.find(linux.mounts())
    configure(trees)
    wall_off(configuration.read_node(Sources.of_system()))
    if trees.missing:
        sys.stderr.write(
            f"libvirtd: guests have no limits of {', '.join(trees.missing)}: the kernel has no such cgroups\n"
        )
    # As udev has it by default: to use it is no privilege, and guests' users are in no group.
    if KVM.exists():
        KVM.chmod(0o666)
    # What QEMU and the file servers inherit is the same whoever started us.
    environment = {"PATH": PATH, "LC_ALL": "C.UTF-8"}
    os.execve(PROGRAM, [PROGRAM, *sys.argv[1:]], environment)  # noqa: S606 - this process becomes it


if __name__ == "__main__":
    main()
