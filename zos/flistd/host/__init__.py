"""Every effect of flistd, and nothing else: fetch flists, see what is mounted, mount and unmount."""

from zos.flistd.host.linux import LinuxHost

__all__ = ["LinuxHost"]
