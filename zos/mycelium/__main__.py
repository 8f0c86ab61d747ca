"""Starts mycelium."""

from zos.mycelium.daemon import Mycelium
from zos.runtime import daemon

daemon.run(Mycelium)
