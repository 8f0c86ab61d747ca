"""All effects of networkd: observing the node's network, and applying steps to it."""

from zos.networkd.host.linux import LinuxHost

__all__ = ["LinuxHost"]
