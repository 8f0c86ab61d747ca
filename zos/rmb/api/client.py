"""The client of rmb's API."""

from __future__ import annotations

from zos.bus.client import DaemonClient
from zos.model.sealed import Sealed
from zos.rmb.api import rmb_pb2 as pb
from zos.rmb.api.rmb_pb2_grpc import RmbStub


class RmbClient(DaemonClient):
    """Other twins, as the node's daemons ask them."""

    name = "rmb"
    stub = RmbStub

    async def fetch_deployment(self, twin: int, session: str, hash: str, *, deadline: float = 20.0) -> bytes:
        """The signed deployment (JSON) of this hash (32 hex characters) from its owner's vault; NoVault otherwise.

        Nothing of the answer is checked: it is as good as a document from any URL.
        """
        request = pb.FetchDeploymentRequest(twin=twin, session=session, hash=hash)
        return bytes((await self.call("FetchDeployment", request, deadline=deadline)).json)

    async def open_deployment(self, sealed: Sealed) -> bytes:
        """The document that was sealed for this node; NotForUs otherwise."""
        request = pb.OpenDeploymentRequest(key=sealed.key, cipher=sealed.cipher)
        return bytes((await self.call("OpenDeployment", request)).json)
