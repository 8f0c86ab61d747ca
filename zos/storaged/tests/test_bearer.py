"""Which pool bears a node's state: a new one begins only where nothing says that there is another."""

import uuid

import pytest

from zos.model.units import GiB
from zos.storaged import bearer
from zos.storaged.api.types import PoolKind
from zos.storaged.bearer import Bears, Begin, Format, Wait
from zos.storaged.model import Content, ObservedDevice, ObservedPool, ObservedVolume

FIRST, STORAGEDS = bearer.first_label(), str(uuid.uuid4())


def device(path: str, content: Content, label: str = "", *, rotational: bool = False) -> ObservedDevice:
    return ObservedDevice(path, GiB(60), content, label, "it is ill", rotational)


BLANK = device("/dev/vdb", Content.BLANK)
POOL = device("/dev/vda", Content.POOL, FIRST)
MOUNTED = ObservedPool(mounted=True, prepared=True)


def test_the_pool_that_has_the_state_is_used_whatever_the_other_disks_are() -> None:
    ill = device("/dev/vdc", Content.UNREADABLE)
    assert bearer.choose([POOL, BLANK, ill], {FIRST: MOUNTED}, [FIRST], ["pool x is broken"]) == Bears(FIRST)


def test_blank_disks_make_a_new_node_on_the_largest_ssd() -> None:
    slow = device("/dev/sda", Content.BLANK, rotational=True)
    assert bearer.choose([slow, BLANK], {}, [], []) == Format(BLANK)


def test_a_first_boot_that_was_cut_off_goes_on() -> None:
    half = device("/dev/vda", Content.UNFINISHED, FIRST)
    assert bearer.choose([half], {}, [], []) == Format(half)
    assert bearer.choose([POOL, BLANK], {FIRST: MOUNTED}, [], []) == Begin(FIRST)


@pytest.mark.parametrize(
    ("devices", "seen", "broken", "reason"),
    [
        ([BLANK, device("/dev/vdc", Content.UNREADABLE)], {}, [], "/dev/vdc cannot be read"),
        ([BLANK, POOL], {}, ["pool a on /dev/vda cannot be mounted"], "cannot be mounted"),
        # storaged made it, and it is as good as blank: its node's state was on another disk.
        ([BLANK, device("/dev/vda", Content.POOL, STORAGEDS)], {STORAGEDS: MOUNTED}, [], "bring the missing disk"),
        ([BLANK, device("/dev/vda", Content.UNFINISHED, STORAGEDS)], {}, [], "bring the missing disk"),
        ([BLANK, POOL], {FIRST: ObservedPool(mounted=True, volumes={"v": ObservedVolume(1, 1)})}, [], "bring the"),
        ([BLANK, POOL], {FIRST: ObservedPool(mounted=True, kind=PoolKind.SSD)}, [], "bring the missing disk"),
        ([device("/dev/vda", Content.OTHER)], {}, [], "no disk that is blank"),
        ([], {}, [], "no disk that is blank"),
    ],
)
def test_no_new_node_begins_while_there_may_be_another(
    devices: list[ObservedDevice], seen: dict[str, ObservedPool], broken: list[str], reason: str
) -> None:
    choice = bearer.choose(devices, seen, [], broken)
    assert isinstance(choice, Wait)
    assert reason in choice.reason


def test_two_nodes_in_one_machine_are_none() -> None:
    other = bearer.first_label()
    pools = {FIRST: MOUNTED, other: MOUNTED}
    choice = bearer.choose([POOL, device("/dev/vdb", Content.POOL, other)], pools, [FIRST, other], [])
    assert isinstance(choice, Wait)
    assert "take out the disk" in choice.reason


def test_a_pool_made_for_the_state_is_told_from_those_of_storaged() -> None:
    assert bearer.is_first(FIRST)
    assert not bearer.is_first(STORAGEDS)
    assert not bearer.is_first("data")
