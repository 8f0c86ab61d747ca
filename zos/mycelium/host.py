"""What the daemon needs of the machine: TUN devices, and a router that opens sockets."""

from __future__ import annotations

from zos.mycelium import tun
from zos.mycelium.node import Node


class LinuxHost:
    def problem(self) -> str:
        """What the machine lacks for the overlay; empty when nothing."""
        return tun.problem()

    def node(self, secret: bytes) -> Node:
        """A router with this key, which is not running yet."""
        return Node(secret)
