"""The bus between daemons: gRPC over unix sockets, one socket per daemon in the run directory."""

from zos.bus.client import Bus, Door
from zos.bus.errors import Incident, TooSlow, Unreachable

__all__ = ["Bus", "Door", "Incident", "TooSlow", "Unreachable"]
