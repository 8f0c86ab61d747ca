"""The node's screen: who it is, and what it waits for in each state on the way to its work."""

from dataclasses import replace
from pathlib import Path

from zos.chain.api.types import Block, ChainStatus
from zos.cli import screen
from zos.cli.screen import Seen, frame, waits
from zos.core0.api.types import UnitInfo, UnitState
from zos.networkd.api.types import Uplink

CHAIN = ChainStatus("ws://chain", True, 1, Block(1, ""), 12, 7, 3)
UPLINK = Uplink("zos", "02:00:00:00:00:01", ("192.0.2.7/24",))
WELL = Seen(12, "prod", "", "5Account", CHAIN, (UPLINK,), (), ())


def test_a_node_at_work_waits_for_nothing() -> None:
    assert waits(WELL) == ()
    text = frame(WELL)
    assert "farm       12 (prod)" in text
    assert "node       3" in text
    assert "192.0.2.7/24" in text
    assert text.endswith("registered, and at work\n")


def test_each_state_says_what_is_next() -> None:
    broken = UnitInfo("rmb", UnitState.BACKOFF, 0, 3, 0.0, 0.0, "it ended with 1")
    cut = replace(CHAIN, connected=False, detail="no route")
    for seen, said in (
        (Seen(), "the disks"),
        (Seen(state="/dev/vda cannot be read"), "/dev/vda cannot be read"),
        (Seen(state=""), "core-0 to start"),
        (replace(WELL, farm=0), "a farm: the kernel's command line has no farmer_id="),
        (replace(WELL, uplinks=()), "an address: no network card has a carrier, or nobody answers its DHCP"),
        (replace(WELL, chain=None), "the chain daemon to start"),
        (replace(WELL, chain=cut), "the chain at ws://chain: no route"),
        (replace(WELL, chain=replace(CHAIN, node=0)), "its registration on the chain"),
        (replace(WELL, units=(broken,)), "rmb, which is backoff: it ended with 1"),
    ):
        assert waits(seen)[0] == said


def test_nothing_that_is_shown_moves_the_cursor() -> None:
    assert "\x1b" not in frame(replace(WELL, address="\x1b[2J5Account"))


def test_a_long_reason_is_shown_whole() -> None:
    reason = " ".join(f"word{number}" for number in range(60))
    shown = frame(replace(WELL, state=reason))
    assert reason in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= screen.WIDTH


def test_serial_consoles_are_told_from_the_screen() -> None:
    assert screen.terminals("tty0 ttyS0") == (Path("/dev/ttyS0"),)
