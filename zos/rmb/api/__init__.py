"""rmb's API."""

from zos.rmb.api.client import RmbClient
from zos.rmb.api.errors import NotForUs, NoVault

__all__ = ["NoVault", "NotForUs", "RmbClient"]
