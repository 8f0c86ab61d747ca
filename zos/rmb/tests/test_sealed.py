"""Documents on public hubs are for their node's eyes: what others can read, and what a node makes of it."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from zos.bus.client import Bus
from zos.bus.server import Health, listening
from zos.core0.identity import agree, identity_of
from zos.fetch.policy import Policy
from zos.model import sealed
from zos.model.decode import Malformed
from zos.provisiond.host import NodeAccess
from zos.provisiond.kyc import Kyc
from zos.rmb.api import NotForUs
from zos.rmb.api.rmb_pb2_grpc import add_RmbServicer_to_server
from zos.rmb.cipher import open_document, seal_document, unseal
from zos.rmb.errors import Undecipherable
from zos.rmb.peer import Peer
from zos.rmb.service import RmbService
from zos.rmb.testing import Chain, Twin
from zos.rmb.twins import TwinCache
from zos.runtime.clock import FakeClock

NODE, OTHER = Twin(2), Twin(3)
DOCUMENT = json.dumps({"version": 0, "workloads": [{"data": {"wireguard_private_key": "secret"}}]}).encode()


@given(st.binary(max_size=2000))
def test_the_node_alone_reads_it_by_its_key_in_core0(document: bytes) -> None:
    key = SigningKey(bytes(range(32)))
    made = sealed.decode(seal_document(identity_of(key).e2e_key, document).encode())
    assert made is not None
    assert open_document(agree(key, made.key), made.cipher) == document
    other = SigningKey(b"o" * 32)
    with pytest.raises(Undecipherable):
        open_document(agree(other, made.key), made.cipher)


def test_nothing_of_it_can_be_read_and_no_two_are_alike() -> None:
    first, second = (seal_document(NODE.secret.public, DOCUMENT).encode() for _ in range(2))
    assert first != second
    for text in (first, base64.b64decode(json.loads(first)["sealed"])):
        assert b"wireguard" not in text
        assert b"secret" not in text


async def test_what_opens_documents_opens_no_message() -> None:
    made = seal_document(NODE.secret.public, DOCUMENT)
    with pytest.raises(Undecipherable):
        unseal(await NODE.secret.shared(made.key), made.cipher)


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"", "version 1"), (b"\x02" + bytes(80), "version 1"), (b"\x01" + bytes(33), "too short"), (None, "base64")],
)
def test_what_is_no_sealed_document_is_refused(data: bytes | None, problem: str) -> None:
    text = "a b" if data is None else base64.b64encode(data).decode()
    with pytest.raises(Malformed, match=problem):
        sealed.decode(json.dumps({"sealed": text}).encode())


async def never() -> int:
    """The node need not be registered."""
    raise AssertionError


async def test_provisiond_reads_plain_documents_and_those_that_rmb_opens(tmp_path: Path) -> None:
    peer = Peer(never, NODE.key, NODE.secret, TwinCache(Chain().twin, FakeClock()), ())
    async with Bus(tmp_path) as bus:
        services = [(RmbService(peer, NODE.secret), add_RmbServicer_to_server)]
        async with listening(bus.socket("rmb"), services, Health()):
            with closing(NodeAccess(bus, Kyc([], FakeClock()), Policy())) as host:
                assert await host.open(DOCUMENT) == DOCUMENT
                assert await host.open(seal_document(NODE.secret.public, DOCUMENT).encode()) == DOCUMENT
                for key in (OTHER.secret.public, None):
                    made = sealed.Sealed(bytes(33), bytes(60)) if key is None else seal_document(key, DOCUMENT)
                    with pytest.raises(NotForUs, match="sealed for another node"):
                        await host.open(made.encode())
