"""The door of rmb."""

from zos.rmb.api.client import RmbClient
from zos.rmb.api.errors import NoVault

__all__ = ["NoVault", "RmbClient"]
