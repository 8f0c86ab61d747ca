"""A lab as the world of one more machine: chain, relay and hub, DHCP on its network, a link for its card."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

from zos.lab.addresses import PUBLIC_NET
from zos.lab.manager import Lab
from zos.lab.topology import INTERNET, Layout

NAME = os.environ.get("ZOS_LAB") or f"node-{zlib.crc32(os.fsencode(__file__)):08x}"
LAYOUT = Layout.of(NAME)
FIRST, LAST = 200, 210
"""The last bytes of the addresses that its DHCP server gives out."""


class Grid:
    """A lab of one node of the usual kind, which is off: a lab has at least one."""

    link = "machine"

    def __init__(self) -> None:
        self.lab = Lab(LAYOUT)
        self._dhcp: subprocess.Popen[bytes] | None = None

    def zos(self, *words: str, seconds: float = 120.0) -> Any:
        """A command of the user's; what it tells programs."""
        environment = {name: text for name, text in os.environ.items() if not name.startswith("ZOS_")}
        done = subprocess.run(
            [sys.executable, "-m", "zos.cli.main", *words, "--json"],
            env={**environment, "ZOS_LAB": NAME},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def up(self) -> None:
        """Build it, with a free port of its Internet."""
        self.zos("lab", "up", "--nodes", "1")
        self.zos("lab", "off", "node-1")
        link = ["ip", "tuntap", "add", self.link, "mode", "tap"]
        for words in (link, ["ip", "link", "set", self.link, "master", "world", "up"]):
            subprocess.run([*self.inside(), *words], check=True, timeout=30)

    def down(self) -> None:
        """Take it away."""
        self.stop_dhcp()
        self.zos("lab", "down")

    def inside(self) -> list[str]:
        """Command line that runs what follows in the Internet's network."""
        return ["nsenter", f"--net=/proc/{self.lab.pid(INTERNET)}/ns/net", "--"]

    def start_dhcp(self) -> None:
        """Serve addresses."""
        addresses = self.lab.addresses
        folder = Path(tempfile.mkdtemp(prefix="zos-dhcp-"))
        (folder / "leases").touch()
        (folder / "conf").write_text(
            f"start {addresses.address(FIRST)}\nend {addresses.address(LAST)}\ninterface world\n"
            f"lease_file {folder}/leases\npidfile {folder}/pid\n"
            f"option subnet 255.255.255.0\noption router {addresses.gateway}\noption lease 600\n"
        )
        self._dhcp = subprocess.Popen(
            [*self.inside(), "busybox", "udhcpd", "-f", str(folder / "conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop_dhcp(self) -> None:
        """Serve no more."""
        if self._dhcp is not None:
            self._dhcp.terminate()
            self._dhcp.wait(timeout=10)
            self._dhcp = None

    @property
    def words(self) -> dict[str, str]:
        """What a kernel's command line says of this grid."""
        at = self.lab.addresses
        net = f"{at.net},{PUBLIC_NET}"
        return {
            "farmer_id": str(self.lab.need_record().farm),
            "runmode": "dev",
            "substrate": at.chain_url,
            "relay": at.relay_url,
            "zos.node.hub": at.hub_url,
            "zos.chain.activation": at.activation_url,
            # The lab's addresses are nobody's and count as public here.
            "zos.networkd.open": net,
            "zos.flistd.allowed": at.net,
            "zos.provisiond.allowed": at.net,
            # A file of this machine answers as slowly as its disk is busy.
            "zos.storaged.ssd": "/dev/vda,/dev/vdb",
        }

    def nodes(self) -> dict[int, dict[str, Any]]:
        """The nodes on the chain."""
        return {int(node["id"]): node for node in self.zos("node", "list")}
