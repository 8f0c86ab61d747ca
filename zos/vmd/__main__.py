"""Starts vmd."""

from zos.runtime import daemon
from zos.vmd.daemon import Vmd

daemon.run(Vmd)
