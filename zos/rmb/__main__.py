"""`python -m zos.rmb`: the daemon."""

from zos.rmb.daemon import Rmb
from zos.runtime import daemon

daemon.run(Rmb)
