"""Starts storaged."""

from zos.runtime import daemon
from zos.storaged.daemon import Storaged

daemon.run(Storaged)
