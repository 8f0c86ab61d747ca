"""The client of core-0."""

from __future__ import annotations

from zos.bus import convert
from zos.bus.client import DaemonClient
from zos.core0.api import core0_pb2 as pb
from zos.core0.api.core0_pb2_grpc import Core0Stub
from zos.core0.api.types import Identity, KeyUse, Purpose, UnitInfo


class Core0Client(DaemonClient):
    """Identity, signatures, units."""

    name = "core0"
    stub = Core0Stub

    async def identity(self) -> Identity:
        """Who this node is."""
        return convert.decode(await self.call("GetIdentity", pb.GetIdentityRequest()), Identity)

    async def sign(self, purpose: Purpose, payload: bytes) -> bytes:
        """An ed25519 signature (64 bytes) by the node's key, for the daemon whose purpose it is."""
        answer = await self.call("Sign", pb.SignRequest(purpose=purpose, payload=payload))
        return bytes(answer.signature)

    async def agree(self, e2e_key: bytes) -> bytes:
        """The AES-256 key that this node shares with the twin of that secp256k1 key (33 bytes)."""
        return bytes((await self.call("Agree", pb.AgreeRequest(e2e_key=e2e_key))).key)

    async def derive(self, use: KeyUse) -> bytes:
        """The seed (32 bytes) of the key that this node has for one use; always the same."""
        return bytes((await self.call("Derive", pb.DeriveRequest(use=use))).seed)

    async def confine(self, pid: int, part: str) -> tuple[str, ...]:
        """Put a child of this daemon into a control group; returns the controllers that the machine lacks."""
        answer = await self.call("Confine", pb.ConfineRequest(pid=pid, part=part), deadline=15.0)
        return tuple(answer.missing)

    async def units(self) -> tuple[UnitInfo, ...]:
        """The supervised daemons, in boot order."""
        answer = await self.call("ListUnits", pb.ListUnitsRequest())
        return tuple(convert.decode(unit, UnitInfo) for unit in answer.units)
