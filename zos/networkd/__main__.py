"""Starts networkd."""

from zos.networkd.daemon import Networkd
from zos.runtime import daemon

daemon.run(Networkd)
