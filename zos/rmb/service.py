"""The server side of rmb's API."""

from __future__ import annotations

from typing import Any

from zos.core0.api import BadE2eKey
from zos.errors import ZosError
from zos.rmb import vault
from zos.rmb.api import NotForUs, NoVault
from zos.rmb.api import rmb_pb2 as pb
from zos.rmb.api.rmb_pb2_grpc import RmbServicer
from zos.rmb.cipher import Secret, open_document
from zos.rmb.errors import Undecipherable
from zos.rmb.peer import Peer

DEADLINE = 15.0
"""Seconds that a vault has; the client's own deadline is longer."""


class RmbService(RmbServicer):
    """Asks other twins for the node's daemons, and opens what they sealed for the node."""

    def __init__(self, peer: Peer, secret: Secret) -> None:
        self._peer = peer
        self._secret = secret

    async def FetchDeployment(self, request: pb.FetchDeploymentRequest, context: Any) -> pb.Document:
        body = vault.request(request.hash)
        try:
            found = await self._peer.call(request.twin, vault.COMMAND, body, session=request.session, deadline=DEADLINE)
        except ZosError as err:
            raise NoVault(twin=request.twin) from err
        return pb.Document(json=found)

    async def OpenDeployment(self, request: pb.OpenDeploymentRequest, context: Any) -> pb.Document:
        try:
            shared = await self._secret.shared(request.key)
            return pb.Document(json=open_document(shared, request.cipher))
        except (BadE2eKey, Undecipherable):
            raise NotForUs() from None
