"""Every effect of networkd, and nothing else: see the node's network, take a step on it."""

from zos.networkd.host.linux import LinuxHost

__all__ = ["LinuxHost"]
