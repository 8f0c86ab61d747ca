"""The router alone: what it lets in, whom it asks, what it answers."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.bus.client import Bus
from zos.bus.errors import Incident, Unreachable
from zos.model.decode import Malformed
from zos.rmb.router import (
    DEEPEST,
    LARGEST,
    Access,
    BadBody,
    Call,
    Command,
    CommandTooSlow,
    Node,
    Router,
    Unauthorized,
    UnknownCommand,
    check_body,
    find,
)
from zos.runtime.operations import operations


async def echo(call: Call) -> Any:
    return [call.caller, call.value()]


async def nothing(call: Call) -> None:
    return None


async def broken(call: Call) -> None:
    raise KeyError("secret")


async def slow(call: Call) -> None:
    await asyncio.Event().wait()


async def named(call: Call) -> str:
    return call.fields().text("name")


COMMANDS = (
    Command("echo", echo),
    Command("nothing", nothing),
    Command("broken", broken),
    Command("slow", slow),
    Command("named", named),
    Command("farmers", nothing, Access.FARMER),
    Command("operators", nothing, Access.ADMIN),
)


def node(tmp_path: Path, farm: int = 0) -> Node:
    return Node(Bus(tmp_path), farm, admins=(5,))


async def answer(tmp_path: Path, command: str, body: bytes = b"", caller: int = 26) -> bytes:
    return await Router(node(tmp_path), COMMANDS, deadline=0.05).handle(caller, command, body)


async def test_a_command_that_nobody_knows_is_refused_with_the_grids_words(tmp_path: Path):
    for name in ("zos.teapot", "", "Echo", "echo.", "zos"):
        with pytest.raises(UnknownCommand, match=r"^function is not found$"):
            await answer(tmp_path, name)


@pytest.mark.parametrize("body", [b"", b"null", b" null\n", b"  "])
async def test_no_bytes_and_null_both_mean_no_argument(tmp_path: Path, body: bytes):
    assert json.loads(await answer(tmp_path, "echo", body)) == [26, None]
    assert await answer(tmp_path, "named", body) == b'""'


async def test_a_command_without_result_answers_null_and_never_nothing(tmp_path: Path):
    assert await answer(tmp_path, "nothing") == b"null"


async def test_keys_match_in_any_case(tmp_path: Path):
    for key in ("name", "Name", "NAME"):
        assert await answer(tmp_path, "named", json.dumps({key: "x", "__type": 1}).encode()) == b'"x"'


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b"{", b"\xff", b"{} {}", b'{"name": NaN}'])
async def test_a_body_that_is_no_object_is_refused_where_one_is_needed(tmp_path: Path, body: bytes):
    with pytest.raises(Malformed):
        await answer(tmp_path, "named", body)


async def test_what_a_command_does_not_read_may_be_anything(tmp_path: Path):
    assert await answer(tmp_path, "nothing", b"not JSON") == b"null"


@pytest.mark.parametrize("command", [one.name for one in COMMANDS])
@pytest.mark.parametrize(
    "body",
    [
        b"[" * (DEEPEST + 1),
        b'{"a":' * 100_000,
        b'{"a":"]]]]","b":' + b"[" * DEEPEST,
        b'"' + b"x" * LARGEST,
        b" " * (LARGEST + 1),
    ],
    ids=["deep", "bomb", "behind a string", "large", "blank"],
)
async def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, command: str, body: bytes):
    with pytest.raises(BadBody):
        await answer(tmp_path, command, body, caller=5)


def test_brackets_inside_of_strings_do_not_nest():
    for text in ("[", "{", '"[', "\\[", '\\"[', '\\\\"]{'):
        check_body("x", json.dumps({text * 1000: [text * 1000, "\\"]}).encode())


@pytest.mark.parametrize("body", [b"[]" * (LARGEST // 2), b'"",' * (LARGEST // 3), b'"' * LARGEST, b"\\" * LARGEST])
def test_no_python_runs_for_each_byte_of_the_largest_body(body: bytes):
    assert operations(lambda: check_body("x", body)) < LARGEST // 1000


@given(st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b"a"]), min_size=DEEPEST, max_size=200))
def test_what_passes_is_never_nested_much_deeper_than_the_limit(parts: list[bytes]):
    body = b"".join(parts)
    try:
        check_body("x", body)
    except BadBody:
        return
    depth = deepest = 0
    outside = re.sub(rb'"[^"\\]*(?:\\.[^"\\]*)*"', b"", body)
    for byte in outside.partition(b'"')[0].partition(b"\\")[0]:
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(bytes([byte]), 0)
        deepest = max(deepest, depth)
    assert deepest <= 2 * DEEPEST


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=50))
def test_what_is_nested_less_than_the_limit_passes(value: Any):
    def depth(one: Any) -> int:
        return 1 + max(map(depth, one), default=0) if isinstance(one, list) else 0

    body = json.dumps(value).encode()
    if depth(value) <= DEEPEST:
        check_body("x", body)
    else:
        with pytest.raises(BadBody):
            check_body("x", body)


@given(st.binary(max_size=300))
def test_no_body_crashes_the_check(body: bytes):
    try:
        check_body("x", body)
    except BadBody as err:
        assert "deeper" in str(err)


async def test_an_operators_command_is_refused_to_everybody_else(tmp_path: Path):
    assert await answer(tmp_path, "operators", caller=5) == b"null"
    for caller in (26, 0, -5):
        with pytest.raises(Unauthorized, match=r"^unauthorized$"):
            await answer(tmp_path, "operators", caller=caller)


async def test_on_an_orphan_node_nobody_is_the_farmer(tmp_path: Path):
    for caller in (26, 0):
        with pytest.raises(Unauthorized):
            await answer(tmp_path, "farmers", caller=caller)


async def test_nobody_is_taken_for_the_farmer_while_the_chain_does_not_say_who_is(tmp_path: Path):
    router = Router(node(tmp_path, farm=3), COMMANDS)
    with pytest.raises(Unreachable):
        await router.handle(26, "farmers", b"")


async def test_who_may_not_call_is_told_so_before_the_body_is_read(tmp_path: Path):
    with pytest.raises(Unauthorized):
        await answer(tmp_path, "operators", b"{")


async def test_a_call_without_a_twin_is_refused(tmp_path: Path):
    with pytest.raises(Unauthorized):
        await answer(tmp_path, "echo", caller=0)


async def test_a_bug_of_ours_tells_an_incident_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with pytest.raises(Incident) as caught:
        await answer(tmp_path, "broken")
    assert "secret" not in caught.value.explain()
    assert caught.value.facts["incident"] in caplog.text


async def test_a_command_is_given_up_when_its_time_is_over(tmp_path: Path):
    with pytest.raises(CommandTooSlow, match=r"slow was not answered within 0\.05 s"):
        await answer(tmp_path, "slow")


def test_every_command_is_found_by_each_of_its_names_and_tells_what_it_does():
    found = find()
    assert len(found) > 30
    for name, command in found.items():
        assert name in (command.name, *command.aliases)
        assert name.startswith("zos.")
        assert command.act.__doc__, f"{name} does not say what it answers"
