"""Every effect of storaged, and nothing else: see devices and pools, take a step on them."""

from zos.storaged.host.linux import LinuxHost

__all__ = ["LinuxHost"]
