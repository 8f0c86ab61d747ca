"""The uplink's DHCP client: busybox's, detached from this daemon, which finds it again by its pid file."""

from __future__ import annotations

import os
from pathlib import Path

from zos.runtime import proc
from zos.runtime.files import write_atomic

# The kernel forgets the address when the lease ends, should the client not be there to renew it.
_SCRIPT = """\
#!/bin/sh
# udhcpc calls this with what happened and the lease in its environment.
case "$1" in
bound|renew)
  ip address replace "$ip/$mask" dev "$interface" valid_lft "$lease" preferred_lft "$lease"
  for gateway in $router; do
    ip route replace default via "$gateway" dev "$interface"
    break
  done
  if [ -n "$dns" ] && [ ! -L /etc/resolv.conf ]; then
    for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf.new
    mv /etc/resolv.conf.new /etc/resolv.conf
  fi
  ;;
nak)
  ip -4 address flush dev "$interface" scope global
  ;;
esac
"""


def _pid_file(folder: Path, link: str) -> Path:
    return folder / f"udhcpc-{link}.pid"


def runs(folder: Path, link: str) -> bool:
    try:
        pid = int(_pid_file(folder, link).read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    return b"udhcpc" in words and link.encode() in words


async def start(folder: Path, link: str) -> None:
    """Start the client of a link."""
    script = folder / "udhcpc.sh"
    write_atomic(script, _SCRIPT.encode(), mode=0o700)
    argv = ["busybox", "udhcpc", "-f", "-i", link, "-s", str(script), "-p", str(_pid_file(folder, link))]
    argv += ["-A", "5", "-t", "5", "-x", f"hostname:{os.uname().nodename}"]
    await proc.spawn(argv, log=folder / f"udhcpc-{link}.log")
