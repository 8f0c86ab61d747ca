"""core-0's decisions, key and signatures."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import stat
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey, VerifyKey

from zos.bus.errors import PermissionDenied
from zos.bus.front import caller_of
from zos.core0 import identity, parts
from zos.core0.api import (
    BadE2eKey,
    BadPart,
    BadPurpose,
    Core0Client,
    KeyUnreadable,
    KeyUse,
    NotYourPart,
    NotYours,
    Purpose,
)
from zos.core0.api.core0_pb2_grpc import add_Core0Servicer_to_server
from zos.core0.plan import MISSED_LIMIT, PATIENCE, START_LIMIT, STEADY, ObservedProcess, failures_after, plan
from zos.core0.service import Core0Service
from zos.core0.steps import Kill, Start
from zos.core0.units import UNITS, Unit, chosen, may_use_key
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.testing import running
from zos.zdb.server import MOST_ANSWERS, MOST_REQUESTS


@dataclass(frozen=True, slots=True)
class NoConfig:
    """No table in the configuration file."""


FIRST, SECOND = Unit("first"), Unit("second", after=("first",))
READY = ObservedProcess(pid=10, started=1.0, ready=True)


def test_a_unit_waits_for_the_ones_before_it():
    assert plan((FIRST, SECOND), {}, began=0.0, now=0.0) == (Start(FIRST),)
    starting = {"first": ObservedProcess(pid=9, started=1.0)}
    assert plan((FIRST, SECOND), starting, 0.0, 2.0) == ()
    assert plan((FIRST, SECOND), {"first": READY}, 0.0, 2.0) == (Start(SECOND),)


def test_a_broken_sibling_does_not_keep_the_rest_down():
    broken = {"first": ObservedProcess(pid=0, started=1.0, ended=PATIENCE + 1, failures=5)}
    assert plan((FIRST, SECOND), broken, 0.0, PATIENCE + 1) == (Start(SECOND),)


def test_a_daemon_that_was_up_comes_back_without_waiting_for_others():
    observed = {
        "first": ObservedProcess(pid=0, started=1.0, ended=2.0, failures=1),
        "second": ObservedProcess(0, 1.5, 2.0, failures=1),
    }
    assert plan((FIRST, SECOND), observed, 0.0, 2.5) == (Start(FIRST), Start(SECOND))


def test_the_first_failure_costs_less_than_a_second():
    crashed = {
        "first": ObservedProcess(
            pid=0, started=100.0, ended=200.0, failures=failures_after(ObservedProcess(1, 100.0), 200.0)
        )
    }
    assert plan((FIRST,), crashed, 0.0, 200.9) == (Start(FIRST),)


def test_a_hung_daemon_is_ended_and_a_slow_starter_too():
    hung = dataclasses.replace(READY, missed=MISSED_LIMIT)
    assert [type(step) for step in plan((FIRST,), {"first": hung}, 0.0, 5.0)] == [Kill]
    slow = ObservedProcess(pid=9, started=1.0)
    assert plan((FIRST,), {"first": slow}, 0.0, START_LIMIT) == ()
    assert [type(step) for step in plan((FIRST,), {"first": slow}, 0.0, START_LIMIT + 1)] == [Kill]


def test_a_healthy_node_needs_no_step():
    assert plan(UNITS, {unit.name: READY for unit in UNITS}, 0.0, 1e6) == ()


@given(failures=st.integers(0, 10**6), ended=st.floats(0.1, 1e9), later=st.floats(0, 1e6))
def test_back_off_is_capped_and_nothing_is_started_twice(failures: int, ended: float, later: float):
    down = {"first": ObservedProcess(pid=0, started=0.05, ended=ended, failures=failures)}
    if later >= 31:
        assert plan((FIRST,), down, 0.0, ended + later) == (Start(FIRST),)
    up = {"first": dataclasses.replace(READY, failures=failures)}
    assert plan((FIRST,), up, 0.0, ended + later) == ()


def test_a_steady_run_clears_the_record():
    assert failures_after(ObservedProcess(pid=1, started=0.0, failures=9), STEADY) == 1
    assert failures_after(ObservedProcess(pid=1, started=0.0, failures=9), STEADY - 1) == 10


def test_units_are_ordered_so_that_after_comes_before():
    placed: set[str] = set()
    for unit in UNITS:
        assert set(unit.after) <= placed
        placed.add(unit.name)
    assert chosen(("vmd", "storaged")) == tuple(unit for unit in UNITS if unit.name in ("storaged", "vmd"))


def test_only_the_daemons_that_touch_the_machine_may_administer_it():
    powerful = {unit.name for unit in UNITS if {"sys_admin", "net_admin"} & set(unit.capabilities)}
    assert powerful == {"storaged", "networkd", "mycelium", "flistd"}


def test_a_key_is_made_once_and_kept_private(tmp_path: Path):
    path = tmp_path / "key.json"
    first = identity.open_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert identity.open_key(path).encode() == first.encode()


def test_a_key_file_of_version_1_is_the_same_node_for_ever(tmp_path: Path):
    path = tmp_path / "key.json"
    path.write_bytes((Path(__file__).parent / "ledger/key-v1.json").read_bytes())
    assert identity.open_key(path).encode() == bytes(range(32))
    assert path.with_suffix(".pub").read_text() == "5C9TqVEs5Q51zUdjvp6tSsjHAfLseJKq1Dq6ULcuSLqEuRSf\n"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version":1}', "\x00\xff"])
def test_an_unreadable_key_stops_the_node_and_stays_as_it_is(tmp_path: Path, damage: str):
    path = tmp_path / "key.json"
    path.write_text(damage)
    with pytest.raises(KeyUnreadable, match="cannot be used") as caught:
        identity.open_key(path)
    assert path.read_text() == damage
    assert str(path) in caught.value.advice()


def test_a_key_whose_halves_do_not_match_is_refused_without_telling_the_seed(tmp_path: Path):
    path = tmp_path / "key.json"
    identity.open_key(path)
    kept = json.loads(path.read_text())
    kept["public_key"] = "00" * 32
    path.write_text(json.dumps(kept))
    with pytest.raises(KeyUnreadable) as caught:
        identity.open_key(path)
    assert kept["seed"] not in caught.value.explain()


def test_a_dangling_link_to_a_key_makes_no_new_identity(tmp_path: Path):
    path = tmp_path / "key.json"
    path.symlink_to(tmp_path / "unmounted" / "key.json")
    with pytest.raises(KeyUnreadable):
        identity.open_key(path)
    assert path.is_symlink()


def test_a_lost_key_file_makes_no_new_identity_on_a_node_that_had_one(tmp_path: Path):
    path = tmp_path / "key.json"
    had = identity.ss58(identity.open_key(path).verify_key.encode())
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(KeyUnreadable, match=had):
        identity.open_key(path)
    assert not path.exists()
    path.write_bytes(kept)
    assert identity.ss58(identity.open_key(path).verify_key.encode()) == had


def test_the_address_is_ss58_of_the_key():
    # Alice's ed25519 development key.
    public = bytes.fromhex("88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee")
    assert identity.ss58(public) == "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"


TAIL = (145).to_bytes(4, "little") + (9).to_bytes(4, "little") + b"G" * 32 + b"B" * 32
"""How each extrinsic's payload ends: versions, genesis, birth."""
NODES = {bytes((25, call)) for call in (8, 9, 11, 17, 18, 25, 35, 38)} | {b"\x1a\x05", b"\x1a\x06"}
REPORT = b"\x19\x26"
"""The place of TfgridModule.report_uptime_v2."""
CALL = REPORT + b"call" * 5 + b"\x15\x00\x00" + TAIL
TOKEN = b"eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOjEsImlhdCI6MSwiZXhwIjo2MX0"


@pytest.mark.parametrize(
    ("purpose", "payload"),
    [(Purpose.CHAIN, CALL), (Purpose.CHAIN, CALL + b"\0"), (Purpose.RMB, b"m" * 16), (Purpose.RMB, TOKEN)],
)
def test_a_signature_verifies_under_the_public_key(purpose: Purpose, payload: bytes):
    key = SigningKey(b"\x07" * 32)
    VerifyKey(identity.identity_of(key).public_key).verify(payload, identity.sign(key, purpose, payload))


def test_a_long_call_is_hashed_by_core0_itself():
    key, payload = SigningKey(b"\x07" * 32), REPORT + bytes(300) + TAIL
    signature = identity.sign(key, Purpose.CHAIN, payload)
    VerifyKey(identity.identity_of(key).public_key).verify(blake2b(payload, digest_size=32).digest(), signature)


@pytest.mark.parametrize(
    ("purpose", "payload"),
    [
        (Purpose.CHAIN, b"m" * 16),
        (Purpose.CHAIN, TOKEN),
        (Purpose.CHAIN, b"h" * 32),
        (Purpose.CHAIN, b"zos-attest:" + b"a" * 100),
        (Purpose.CHAIN, b"p" * 120),
        (Purpose.CHAIN, REPORT + TAIL),
        (Purpose.CHAIN, REPORT + bytes(identity.LONGEST_CALL) + TAIL),
        (Purpose.RMB, CALL),
        (Purpose.RMB, b"h" * 32),
        (Purpose.RMB, b"a.b.c d"),
        (Purpose.RMB, b"eyJ" + b"a" * 14 + b"." + b"b" * 14),
        (Purpose.AGREE, b"m" * 16),
    ],
)
def test_one_purpose_does_not_sign_for_another(purpose: Purpose, payload: bytes):
    with pytest.raises(BadPurpose):
        identity.sign(SigningKey(b"\x07" * 32), purpose, payload)


@given(payload=st.binary(max_size=400))
def test_no_bytes_are_signed_for_two_purposes(payload: bytes):
    assert len(signers(payload)) <= 1


@given(arguments=st.binary(min_size=3, max_size=300))
def test_no_call_is_a_message_to_twins(arguments: bytes):
    assert signers(REPORT + arguments + TAIL) == {Purpose.CHAIN}


@given(
    call=st.binary(min_size=2, max_size=2), spec=st.sampled_from((49, 61, 145, 147)), more=st.sampled_from((b"", b"\0"))
)
def test_only_calls_that_a_node_sends_are_signed(call: bytes, spec: int, more: bytes):
    tail = spec.to_bytes(4, "little") + TAIL[4:]
    is_nodes = call[0] in (11, 12) if spec < 100 else call in NODES
    assert bool(signers(call + b"call" * 5 + tail + more)) == is_nodes


def signers(payload: bytes) -> set[Purpose]:
    """The purposes for which these bytes are signed."""
    found = set()
    for purpose in Purpose:
        with contextlib.suppress(BadPurpose):
            identity.sign(SigningKey(b"\x07" * 32), purpose, payload)
            found.add(purpose)
    return found


def test_each_use_of_the_key_is_one_daemons():
    uses = [*Purpose, *KeyUse]
    assert {use: [unit.name for unit in UNITS if may_use_key(unit.name, use)] for use in uses} == {
        Purpose.CHAIN: ["chain"],
        Purpose.RMB: ["rmb"],
        Purpose.AGREE: ["rmb"],
        KeyUse.PLANETARY: ["networkd"],
        KeyUse.MYCELIUM: ["mycelium"],
    }
    assert not [use for use in uses if may_use_key("", use)]


async def confine(name: str, pid: int, part: str) -> tuple[str, ...]:
    unit = next((unit for unit in UNITS if unit.name == name), None)
    return await parts.confine(unit, os.getpid() if unit else 0, pid, part)


class Stand(Daemon):
    """core-0's service behind its front; this process is the unit that `host` says."""

    name = "core0"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        rt.know_callers(lambda caller: rt.host(str) if caller.pid == os.getpid() else "")
        rt.serve(Core0Service(SigningKey(b"\x07" * 32), list, caller_of, confine), add_Core0Servicer_to_server)


@pytest.mark.parametrize(
    ("unit", "granted"),
    [
        ("chain", {"chain"}),
        ("rmb", {"rmb", "agree"}),
        ("networkd", {"planetary"}),
        ("mycelium", {"mycelium"}),
        ("provisiond", set()),
        ("root", set()),
        ("", set()),
    ],
)
async def test_the_kernel_says_who_calls(tmp_path: Path, unit: str, granted: set[str]):
    async with running(Stand, tmp_path, host=unit) as rt:
        client = Core0Client(rt.bus)
        asked = {
            "chain": client.sign(Purpose.CHAIN, CALL),
            "rmb": client.sign(Purpose.RMB, TOKEN),
            "agree": client.agree(bytes.fromhex(USER_E2E)),
            "planetary": client.derive(KeyUse.PLANETARY),
            "mycelium": client.derive(KeyUse.MYCELIUM),
        }
        # What it never calls is refused at the door.
        refused = NotYours | PermissionDenied if unit != "root" else NotYours
        answers = dict(zip(asked, await asyncio.gather(*asked.values(), return_exceptions=True), strict=True))
        assert {name for name, answer in answers.items() if isinstance(answer, bytes)} == granted
        assert {name for name, answer in answers.items() if isinstance(answer, refused)} == set(asked) - granted


@pytest.mark.parametrize(("unit", "refused"), [("zdbd", NotYourPart), ("root", NotYourPart), ("", PermissionDenied)])
async def test_limits_are_for_the_children_of_a_unit_that_has_parts(
    tmp_path: Path, unit: str, refused: type[Exception]
):
    """And of those only for its own; this process is the unit, and its parent is none of its children."""
    async with running(Stand, tmp_path, host=unit) as rt:
        client = Core0Client(rt.bus)
        for pid in (os.getppid(), os.getpid(), 1, 0, -1, 1 << 40):
            with pytest.raises(refused):
                await client.confine(pid, "pool")
        if unit == "zdbd":
            for name in ("", "../guest", "a/b", "x" * 65):
                with pytest.raises(BadPart):
                    await client.confine(os.getpid(), name)


def test_a_part_has_what_a_0_db_holds_for_its_clients_and_room_for_keys() -> None:
    (unit,) = [unit for unit in UNITS if unit.parts is not None]
    assert unit.name == "zdbd"
    assert unit.parts is not None
    assert parts.limits(unit.parts, 4 << 30).memory >= 2 * (MOST_REQUESTS + MOST_ANSWERS)
    large = parts.limits(unit.parts, 64 << 30)
    assert (large.memory, large.pids, large.weight) == (16 << 30, 128, 1)


async def test_the_service_behind_has_no_way_around_the_front(tmp_path: Path):
    async with running(Stand, tmp_path, host="chain") as rt:
        await Core0Client(rt.bus).identity()
        assert sorted(path.name for path in (rt.run_dir / "core0").rglob("*")) == [".bus", "bus.sock"]
    assert not list((rt.run_dir / "core0").iterdir())


USER_E2E = "035b26108e8b97479c547da4860d862dc08ab2c29ada449c74d5a9a58a6c46a8c4"


def test_the_encryption_key_and_what_is_agreed_are_the_grids() -> None:
    key = SigningKey(b"\x42" * 32)
    assert identity.identity_of(key).e2e_key.hex() == (
        "0324653eac434488002cc06bbfb7f10fe18991e35f9fe4302dbea6d2353dc0ab1c"
    )
    shared = identity.agree(key, bytes.fromhex(USER_E2E))
    assert shared.hex() == "94785cb479559386a36add1e37da6ca66cba94ef8bb6045037b17c8a8c6295da"


@pytest.mark.parametrize("key", [b"", b"\x05" * 33, bytes(64)])
def test_a_key_that_is_none_is_refused(key: bytes) -> None:
    with pytest.raises(BadE2eKey):
        identity.agree(SigningKey.generate(), key)


def test_a_derived_key_is_always_the_same_and_nobody_elses() -> None:
    key = SigningKey(b"\x07" * 32)
    seed = identity.derive(key, KeyUse.PLANETARY)
    assert seed.hex() == "079bae623fbc31d07c5566850c2e883ad804653197e113c285e00e33f37e950c"
    assert len({seed, key.encode(), identity.derive(SigningKey(b"\x08" * 32), KeyUse.PLANETARY)}) == 3
