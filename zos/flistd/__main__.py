"""Starts flistd."""

from zos.flistd.daemon import Flistd
from zos.runtime import daemon

daemon.run(Flistd)
