"""The processes of zdbd's disks."""

from zos.zdbd.host.linux import LinuxHost

__all__ = ["LinuxHost"]
