"""The bus between daemons: gRPC over unix sockets, one socket per daemon in the run directory."""

from zos.bus.client import Bus, DaemonClient
from zos.bus.errors import Incident, TooSlow, Unreachable

__all__ = ["Bus", "DaemonClient", "Incident", "TooSlow", "Unreachable"]
