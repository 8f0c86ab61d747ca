"""Searches for inputs that are cheap to send and dear to read, in parsers of what anybody may send.

    python tests/fuzz/costs.py [--seconds 60] [--only NAME,...]

The score is what an input costs beyond what its bytes may: seconds of this thread, and bytes of memory at the peak.
An input is a list of pieces, each repeated; a `#` in a piece becomes the number of its repetition, so that all of them
differ. Hypothesis climbs towards higher scores. The dearest input of each
parser is kept below `tests/fuzz/worst` as a test; one beyond its bounds fails the run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import GraphQLError
from hypothesis import HealthCheck, Phase, given, settings, target
from hypothesis import strategies as st

from zos.devchain import extrinsic
from zos.devchain.errors import Invalid
from zos.errors import ZosError
from zos.explorer.graphql.endpoint import GraphqlEndpoint
from zos.model import deployment
from zos.model.tests import vectors
from zos.mycelium.packet import Reader, RouteRequest, SeqnoRequest, Subnet, Update, encode
from zos.mycelium.routes import Router
from zos.mycelium.table import Entry, Peer
from zos.rmb import envelope as env
from zos.rmb import token
from zos.rmb.wire_pb2 import Address

WORST = Path(__file__).with_name("worst")
Pieces = list[tuple[bytes, int]]
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Parser:
    """What reads an input, what inputs are made of, and what one may cost: a base and so much for each byte."""

    read: Callable[[bytes], object]
    words: Sequence[bytes]
    longest: int = 64 * 1024
    seconds: float = 0.01
    per_byte: float = 1e-6
    memory: int = MIB
    memory_per_byte: int = 100


class _Inline:
    async def run(self, query: Callable[[Any], Any], *_: object) -> Any:
        return query(None)


GRAPHQL = GraphqlEndpoint(_Inline())  # type: ignore[arg-type]


def graphql(data: bytes) -> object:
    return asyncio.run(GRAPHQL.answer(json.dumps({"query": data.decode(errors="replace")}).encode()))


def routing(data: bytes) -> object:
    router = Router(bytes(40), 0.0)
    for number in range(8):
        router.add_peer(Peer(number), 1, 0.0)
    for number in range(1000):
        prefix = b"\x04" + number.to_bytes(7, "big")
        router._select(prefix, router.table.put(prefix, Entry(Peer(2), bytes(40), 1, 1, 1000.0)), 0.0)
    effects: list[Any] = []
    for packet in Reader().feed(data):
        if not isinstance(packet, tuple):
            effects += router.receive(Peer(1), packet, 1.0)
    return effects


def large_envelope(data: bytes) -> object:
    """As if it were larger than a request may be."""
    env._check_shape(data)
    return env.decode(data, env.FRAME)


_SUBNET = Subnet(b"\x04" + bytes(15), 64)
_PUNCTUATION = tuple(char.encode() for char in '{}[]():,"\\$!@.')
PARSERS = {
    "envelope": Parser(
        env.decode,
        (
            env.request("u", Address(twin=1), 2, "zos.x", 1.0, 20).SerializeToString(),
            b"\x8a\x01\x00",
            b"\x8a\x01\x01a",
            b"\x2a\x02\x08\x01",
            b"\x0a\x01u",
        ),
    ),
    "frame": Parser(large_envelope, (b"\x8a\x01\x00", b"\x6a\x01a", b"\x2a\x02\x08\x01", b"\x08\x01", b"\xff")),
    "token": Parser(lambda data: token.parse(data.decode()), (b"a.", b"e30.", b"=", b"%41")),
    "extrinsic": Parser(
        lambda data: extrinsic.parse(data, with_call=False), (b"\x84", b"\x00" * 33, b"\x01" + bytes(64), b"\xfe\xff")
    ),
    "mycelium": Parser(
        routing,
        (
            encode(RouteRequest(None)),
            encode(RouteRequest(_SUBNET)),
            encode(SeqnoRequest(1, bytes(40), _SUBNET)),
            encode(Update(100, 1, 0xFFFF, _SUBNET, bytes(40))),
            b"\x01\x01\x00\x00\x2a\x03\xff\xff",
            b"\x00",
        ),
        seconds=0.05,
        per_byte=5e-6,
        memory_per_byte=2000,
    ),
    "graphql": Parser(
        graphql,
        (
            *_PUNCTUATION,
            b"nodes",
            b"farms{publicIPs{farm{",
            b"a:",
            b"...",
            b"fragment x on Node",
            b"...x ",
            b"{nodes{",
            b"}}",
            b"nodeID ",
            b"interfaces{name}",
            b"interfaces{node{interfaces{name}}}",
            b"__schema{types{",
            b"(where:{OR:[",
            b"@skip(if:true)",
            b'"""',
        ),
        longest=16 * 1024,
        seconds=0.05,
        per_byte=1e-5,
        memory=8 * MIB,
    ),
    "deployment": Parser(
        deployment.decode,
        (
            json.dumps(vectors.deployment()).encode(),
            *_PUNCTUATION,
            b'"workloads":[',
            b'{"type":"zmachine","data":{',
            b"1e9",
            b"9" * 50,
            b'"\\u0000"',
            b"null,",
            b'"k#":1,',
            b'"k0":1}',
            b'{"name":"n#"},',
        ),
    ),
}


def cost(parser: Parser, data: bytes) -> tuple[float, float]:
    """Seconds and bytes of memory, as parts of what this input may cost."""
    with contextlib.suppress(ZosError, Invalid, GraphQLError, UnicodeDecodeError, ValueError):
        parser.read(data)
    began = time.thread_time()
    with contextlib.suppress(ZosError, Invalid, GraphQLError, UnicodeDecodeError, ValueError):
        parser.read(data)
    spent = time.thread_time() - began
    tracemalloc.start()
    try:
        with contextlib.suppress(ZosError, Invalid, GraphQLError, UnicodeDecodeError, ValueError):
            parser.read(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return (
        spent / (parser.seconds + parser.per_byte * len(data)),
        peak / (parser.memory + parser.memory_per_byte * len(data)),
    )


def repeated(word: bytes, count: int) -> bytes:
    """A piece so many times, each `#` of it numbered."""
    return b"".join(word.replace(b"#", b"%d" % number) for number in range(count)) if b"#" in word else word * count


def search(name: str, seconds: float) -> tuple[float, bytes]:
    """The dearest input that is found in that time, and its part of what it may cost."""
    parser, best, end = PARSERS[name], (0.0, b""), time.monotonic() + seconds
    words = st.sampled_from(parser.words)
    counts = st.integers(0, 12).map(lambda power: 1 << power) | st.integers(1, 1000)
    piece = st.tuples(st.one_of(words, words, words, words, st.binary(min_size=1, max_size=8)), counts)

    @settings(
        max_examples=10**6,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.target),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(piece, min_size=1, max_size=6))
    def climb(pieces: Pieces) -> None:
        nonlocal best
        if time.monotonic() > end:
            raise TimeoutError
        data = b"".join(repeated(word, count) for word, count in pieces)[: parser.longest]
        score = max(cost(parser, data))
        target(score)
        best = max(best, (score, data))

    with contextlib.suppress(TimeoutError, ExceptionGroup):
        climb()
    return best


def keep(name: str, data: bytes) -> None:
    """Keep an input as a test, in the place of the one before."""
    WORST.mkdir(exist_ok=True)
    (WORST / name).write_bytes(data)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0, help="for each parser")
    parser.add_argument("--only", default=",".join(PARSERS))
    wanted = parser.parse_args()
    failed = False
    for name in wanted.only.split(","):
        score, data = search(name, wanted.seconds)
        old = WORST / name
        before = max(cost(PARSERS[name], old.read_bytes())) if old.exists() else 0.0
        print(f"{name:12} {score:6.2f} of what it may cost, by {len(data)} bytes (kept: {before:.2f})", flush=True)
        if score > before:
            keep(name, data)
        failed |= score > 1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
