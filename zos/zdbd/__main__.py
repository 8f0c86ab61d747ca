"""Starts zdbd."""

from zos.runtime import daemon
from zos.zdbd.daemon import Zdbd

daemon.run(Zdbd)
