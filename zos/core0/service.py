"""The gRPC service of core-0."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nacl.signing import SigningKey

from zos.bus import convert
from zos.core0 import identity
from zos.core0.api import core0_pb2 as pb
from zos.core0.api.core0_pb2_grpc import Core0Servicer
from zos.core0.api.errors import BadPurpose, BadUse, NotYours
from zos.core0.api.types import KeyUse, Purpose, UnitInfo
from zos.core0.units import may_use_key

log = logging.getLogger("zos.core0")


Confine = Callable[[str, int, str], Awaitable[Sequence[str]]]
"""Limits a child (pid, and its name as a part) of the named unit; returns the controllers that the machine lacks."""


class Core0Service(Core0Servicer):
    """Identity, signatures, units.

    `caller` names who calls, from the context of a call; None takes everybody for the daemon whose work it is, which
    is for tests and the simulator, where all daemons are one process.
    """

    def __init__(
        self,
        key: SigningKey,
        units: Callable[[], Sequence[UnitInfo]],
        caller: Callable[[Any], str] | None = None,
        confine: Confine | None = None,
    ) -> None:
        self._confine = confine
        self._key = key
        self._units = units
        self._caller = caller

    async def GetIdentity(self, request: pb.GetIdentityRequest, context: Any) -> pb.Identity:
        return convert.encode(identity.identity_of(self._key), pb.Identity)

    async def Sign(self, request: pb.SignRequest, context: Any) -> pb.Signature:
        if request.purpose not in list(Purpose):
            raise BadPurpose(purpose=request.purpose, wanted=f"one of {', '.join(Purpose)}", size=len(request.payload))
        self._admit(Purpose(request.purpose), context)
        return pb.Signature(signature=identity.sign(self._key, Purpose(request.purpose), request.payload))

    async def Agree(self, request: pb.AgreeRequest, context: Any) -> pb.SharedKey:
        self._admit(Purpose.AGREE, context)
        return pb.SharedKey(key=identity.agree(self._key, request.e2e_key))

    async def Derive(self, request: pb.DeriveRequest, context: Any) -> pb.DerivedKey:
        if request.use not in list(KeyUse):
            raise BadUse(use=request.use or "nothing", known=", ".join(KeyUse))
        self._admit(KeyUse(request.use), context)
        return pb.DerivedKey(seed=identity.derive(self._key, KeyUse(request.use)))

    async def Confine(self, request: pb.ConfineRequest, context: Any) -> pb.Confined:
        if self._caller is None or self._confine is None:
            return pb.Confined()
        return pb.Confined(missing=await self._confine(self._caller(context), request.pid, request.part))

    async def ListUnits(self, request: pb.ListUnitsRequest, context: Any) -> pb.Units:
        return pb.Units(units=[convert.encode(unit, pb.UnitInfo) for unit in self._units()])

    def _admit(self, use: Purpose | KeyUse, context: Any) -> None:
        if self._caller is None:
            return
        caller = self._caller(context)
        if not may_use_key(caller, use):
            log.warning("%s asked for the node's key, for %s: refused", caller or "an unknown process", use)
            raise NotYours(use=use, caller=caller or "an unknown process")
