"""What is decided: which device, which pool, how much, what is left alone."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.errors import Kind as ErrorKind
from zos.model.evidence import Evidence, EvidenceKind
from zos.model.units import GiB, MiB, TiB
from zos.storaged import plan, steps
from zos.storaged.api import (
    BadId,
    BadSize,
    DataLost,
    DiskHasData,
    DiskShrink,
    NoPool,
    PoolFull,
    VolumeShrink,
)
from zos.storaged.api.check import check
from zos.storaged.api.types import Kind, PoolKind, PoolState
from zos.storaged.model import (
    Content,
    ObservedDevice,
    ObservedDisk,
    ObservedPool,
    ObservedVolume,
    Phase,
    PoolRecord,
    StorageRecord,
    TombstoneRecord,
    is_label,
    usable,
)
from zos.storaged.plan import DeviceRole, PoolSpace
from zos.storaged.steps import Step

A, B = "6f1f3c5e-3c0e-4a52-9d1f-0d6f5a3f2b11", "7a1f3c5e-3c0e-4a52-9d1f-0d6f5a3f2b22"
EVIDENCE = Evidence(EvidenceKind.CONTRACT_CANCELLED, 7, 1234)
SEEN = ObservedPool(mounted=True, prepared=True, kind=PoolKind.SSD)


def device(content: Content, label: str = "", path: str = "/dev/sda", size: int = GiB(100)) -> ObservedDevice:
    return ObservedDevice(path, size, content, label)


def labels() -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"00000000-0000-4000-8000-{next(numbers):012}"


def surveyed(*devices: ObservedDevice, **records: PoolRecord) -> tuple[DeviceRole, ...]:
    return plan.survey(devices, {A if name == "a" else B: record for name, record in records.items()}, labels())


# Devices


def test_a_blank_device_is_formatted_under_a_fresh_label():
    (role,) = surveyed(device(Content.BLANK))
    assert role.state is PoolState.MAKING
    assert role.format == steps.FormatDevice(role.label, "/dev/sda")
    assert is_label(role.label)


def test_a_decision_that_was_cut_off_before_mkfs_keeps_its_label():
    (role,) = surveyed(device(Content.BLANK), a=PoolRecord("/dev/sda", GiB(100)))
    assert role.label == A


def test_what_looks_blank_in_the_place_of_a_finished_pool_is_not_formatted():
    made = PoolRecord("/dev/sda", GiB(100), made=True)
    kept, gone = surveyed(device(Content.BLANK), a=made)
    assert (kept.label, kept.state, kept.format) == ("", PoolState.FOREIGN, None)
    assert f"pool {A} was on it" in kept.detail
    assert (gone.label, gone.state) == (A, PoolState.MISSING)
    replaced, _ = plan.survey([device(Content.BLANK)], {A: made}, labels(), replaced=(A,))
    assert replaced.format is not None


def test_a_new_device_takes_the_path_of_a_pool_that_has_another_one_now():
    new, moved = surveyed(
        device(Content.BLANK), device(Content.POOL, A, "/dev/sdb"), a=PoolRecord("/dev/sda", GiB(100), made=True)
    )
    assert new.format is not None
    assert moved.label == A


def test_our_own_unfinished_file_system_is_made_again_and_no_other():
    (ours,) = surveyed(device(Content.UNFINISHED, A), a=PoolRecord("/dev/sdb", GiB(100)))
    assert ours.format == steps.FormatDevice(A, "/dev/sda", again=True)
    (finished,) = [
        p for p in surveyed(device(Content.UNFINISHED, A), a=PoolRecord("/dev/sda", 1, made=True)) if not p.label
    ]
    (strange,) = surveyed(device(Content.UNFINISHED, A))
    for role in (finished, strange):
        assert (role.state, role.format) == (PoolState.FOREIGN, None)


@pytest.mark.parametrize(
    "seen",
    [
        device(Content.OTHER),
        device(Content.POOL, "family-photos"),
        device(Content.POOL, ""),
        device(Content.BLANK, size=MiB(255)),
        device(Content.UNFINISHED, "photos"),
        device(Content.ABSENT),
        device(Content.UNREADABLE),
    ],
    ids=lambda seen: f"{seen.content}-{seen.label}",
)
def test_what_is_not_ours_is_never_formatted(seen: ObservedDevice):
    (role,) = surveyed(seen)
    assert (role.label, role.format) == ("", None)


def test_a_copy_of_a_pool_is_left_alone():
    first, second = surveyed(device(Content.POOL, A), device(Content.POOL, A, "/dev/sdb"))
    assert (first.label, second.label, second.state) == (A, "", PoolState.FOREIGN)


def test_a_pool_is_known_by_its_label_whatever_its_device_is_called_now():
    (role,) = surveyed(device(Content.POOL, A, "/dev/loop9"), a=PoolRecord("/dev/loop3", GiB(1), made=True))
    assert (role.label, role.state) == (A, PoolState.MAKING)


def test_a_pool_whose_device_is_gone_is_listed_once_as_missing():
    (role,) = surveyed(device(Content.ABSENT), a=PoolRecord("/dev/sda", GiB(1), made=True))
    assert (role.label, role.state, role.detail) == (A, PoolState.MISSING, "its device (last /dev/sda) is not there")


def test_a_pool_is_set_up_step_by_step_and_then_left_alone():
    seen = device(Content.POOL, A)
    assert plan.set_up(A, seen, ObservedPool(), None) == (steps.MountPool(A, "/dev/sda"),)
    assert plan.set_up(A, seen, ObservedPool(mounted=True), None) == (
        steps.PreparePool(A),
        steps.MeasureDevice(A, "/dev/sda", False),
    )
    assert plan.set_up(A, seen, ObservedPool(mounted=True), PoolKind.HDD) == (steps.PreparePool(A),)
    assert plan.set_up(A, seen, SEEN, None) == ()
    assert plan.set_up(A, seen, ObservedPool(mounted=True, readonly=True), None) == ()


@pytest.mark.parametrize(
    ("rotational", "nvme", "median", "kind"),
    [
        (True, False, 0.0001, PoolKind.SSD),  # a RAID card lies
        (False, False, 0.0001, PoolKind.SSD),
        (False, False, 0.001, PoolKind.SSD),
        (True, False, 0.001, PoolKind.HDD),
        (False, False, 0.008, PoolKind.HDD),
        (True, True, 0.008, PoolKind.SSD),
    ],
)
def test_the_kind_is_measured_and_the_flag_decides_in_between(
    rotational: bool, nvme: bool, median: float, kind: PoolKind
):
    assert plan.classify(rotational, nvme, median) is kind


# Room


def record(
    id: str = "d", size: int = GiB(10), kind: Kind = Kind.DISK, pool: str = A, made: bool = False
) -> StorageRecord:
    return StorageRecord(kind, id, size, pool, made)


def tombstone(phase: Phase, used: int = 5, size: int = 100) -> TombstoneRecord:
    return TombstoneRecord(Kind.DISK, "old", size, A, 0.0, 1.0, EVIDENCE, phase, used)


def test_disks_and_volumes_count_with_all_that_was_promised_and_tombstones_with_what_they_hold():
    observed = dataclasses.replace(
        SEEN,
        disks={"d": ObservedDisk(GiB(10)), "stray": ObservedDisk(GiB(3), used=GiB(1))},
        volumes={"v": ObservedVolume(GiB(2), 17), "lost": ObservedVolume(GiB(1), 9)},
        tombstones={"known": 7, "unknown": 11},
        cache=ObservedVolume(GiB(5), 1),
    )
    records = [record(), record("v", GiB(2), Kind.VOLUME), record("else", pool=B)]
    sums = plan.account(A, observed, records, {"known": tombstone(Phase.KEPT)})
    assert sums.strays == ("disk:stray", "volume:lost")
    assert (sums.system, sums.kept) == (GiB(5), 18)
    assert sums.promised == GiB(10) + GiB(2) + GiB(3) + GiB(1) + GiB(5) + 18


def test_what_is_on_its_way_to_the_tombstones_counts_once_and_in_full():
    observed = dataclasses.replace(SEEN, disks={"old": ObservedDisk(100, 5)})
    sums = plan.account(A, observed, [], {"x": tombstone(Phase.MAKING)})
    assert (sums.promised, sums.kept, sums.strays) == (100, 100, ())


def test_something_new_goes_to_the_emptiest_ssd():
    spaces = {
        "a": PoolSpace(PoolKind.SSD, 100, 60),
        "b": PoolSpace(PoolKind.SSD, 100, 20),
        "c": PoolSpace(PoolKind.HDD, 1000, 0),
    }
    assert plan.choose(30, spaces) == "b"
    assert plan.choose(80, spaces) == "b"
    with pytest.raises(PoolFull, match=r"no ssd pool has 81 B left; the most that one pool has left is 80 B$"):
        plan.choose(81, spaces)
    assert plan.choose(81, spaces, (PoolKind.SSD, PoolKind.HDD)) == "c"
    assert plan.choose(1, spaces, (PoolKind.HDD,)) == "c"


def test_a_refusal_says_what_deleted_data_still_holds():
    with pytest.raises(PoolFull, match=r"is 10 B \(deleted data that is still kept holds 70 B\)") as caught:
        plan.choose(30, {"a": PoolSpace(PoolKind.SSD, 100, 90, kept=70)})
    assert caught.value.kind is ErrorKind.NO_ROOM


def test_a_node_without_an_ssd_says_so():
    with pytest.raises(NoPool, match="no usable ssd pool; it has only hard disks"):
        plan.choose(1, {"c": PoolSpace(PoolKind.HDD, 1000, 0)})
    with pytest.raises(NoPool, match=r"no usable ssd pool$"):
        plan.choose(1, {})


def test_a_disk_grows_only_within_its_own_pool():
    spaces = {A: PoolSpace(PoolKind.SSD, GiB(20), GiB(15)), B: PoolSpace(PoolKind.SSD, TiB(1), 0)}
    assert plan.admit(Kind.DISK, "d", GiB(15), record(), spaces) == record(size=GiB(15))
    with pytest.raises(PoolFull):
        plan.admit(Kind.DISK, "d", GiB(15) + 1, record(), spaces)


@pytest.mark.parametrize(("kind", "refusal"), [(Kind.DISK, DiskShrink), (Kind.VOLUME, VolumeShrink)])
def test_nothing_shrinks(kind: Kind, refusal: type[Exception]):
    with pytest.raises(refusal, match="has 10 GiB and cannot shrink to 1 GiB"):
        plan.admit(kind, "d", GiB(1), record(kind=kind), {})


sizes = st.integers(1, 1 << 60)


@given(st.lists(sizes, max_size=30), st.integers(0, 1 << 50))
def test_no_pool_ever_promises_more_than_it_can(asked: list[int], device_size: int):
    records: list[StorageRecord] = []
    for number, size in enumerate(asked):
        sums = plan.account(A, SEEN, records, {})
        try:
            records.append(
                plan.admit(
                    Kind.DISK, str(number), size, None, {A: PoolSpace(PoolKind.SSD, usable(device_size), sums.promised)}
                )
            )
        except PoolFull:
            assert sums.promised + size > usable(device_size)
    assert plan.account(A, SEEN, records, {}).promised <= usable(device_size) <= device_size


@given(st.integers(0, 1 << 60))
def test_what_is_usable_is_less_than_the_device_and_never_negative(size: int):
    assert 0 <= usable(size) <= size
    assert usable(size) <= usable(size + MiB(1))


# Disks and volumes


def test_a_disk_is_made_grown_and_then_left_alone():
    assert plan.item(record(), SEEN) == (steps.CreateDisk(A, "d", GiB(10)),)
    assert plan.item(record(), dataclasses.replace(SEEN, disks={"d": ObservedDisk(GiB(5))})) == (
        steps.GrowDisk(A, "d", GiB(10)),
    )
    for size in (GiB(10), GiB(11)):
        assert plan.item(record(made=True), dataclasses.replace(SEEN, disks={"d": ObservedDisk(size)})) == ()


def test_a_volume_is_made_limited_and_then_left_alone():
    volume = record("v", GiB(1), Kind.VOLUME)
    assert plan.item(volume, SEEN) == (steps.CreateVolume(A, "v", GiB(1)),)
    assert plan.item(volume, dataclasses.replace(SEEN, volumes={"v": ObservedVolume(0)})) == (
        steps.LimitVolume(A, "v", GiB(1)),
    )
    assert plan.item(volume, dataclasses.replace(SEEN, volumes={"v": ObservedVolume(GiB(1))})) == ()


def test_what_was_there_and_is_not_any_more_is_lost_and_not_made_anew():
    with pytest.raises(DataLost, match=f"disk d was made on pool {A} and is not there any more"):
        plan.item(record(made=True), SEEN)


def test_an_image_goes_only_on_a_blank_disk():
    assert not plan.is_filled(record(), ObservedDisk(1), "x")
    assert plan.is_filled(record(), ObservedDisk(1, 1, "x", False), "x")
    with pytest.raises(DiskHasData, match="disk d holds image x and is not overwritten with image y"):
        plan.is_filled(record(), ObservedDisk(1, 1, "x", False), "y")
    with pytest.raises(DiskHasData, match="disk d holds data"):
        plan.is_filled(record(), ObservedDisk(1, 1, None, False), "y")


def test_only_images_that_nobody_copies_any_more_are_litter():
    observed = dataclasses.replace(SEEN, parts={"a": 1, "b": 2})
    assert plan.leftovers(A, observed, {"b"}) == (steps.DropPart(A, "a"),)


def test_a_tombstones_phase_says_what_is_left_to_do():
    assert {phase: plan.tombstone("n", tombstone(phase)) for phase in Phase} == {
        Phase.MAKING: (steps.MakeTombstone(A, Kind.DISK, "old", "n"),),
        Phase.KEPT: (),
        Phase.RESTORING: (steps.RestoreTombstone(A, Kind.DISK, "old", "n"),),
        Phase.EXPIRED: (steps.EraseTombstone(A, Kind.DISK, "n"),),
    }


def test_two_drops_of_one_name_in_one_second_have_two_tombstones():
    first = plan.tombstone_name(Kind.DISK, "d", 5.5, set())
    assert (first, plan.tombstone_name(Kind.DISK, "d", 5.7, {first})) == ("disk:d@5", "disk:d@6")


# Names and words


@pytest.mark.parametrize(
    "id", ["", ".", "..", "a/b", "../x", "-x", "a b", "a\0", "x" * 161, ".part-x", "zos-cache", "ä"]
)
def test_an_id_that_cannot_be_a_files_name_is_refused(id: str):
    with pytest.raises(BadId):
        check(Kind.VOLUME, id, 1)


@pytest.mark.parametrize("size", [0, -1, -(1 << 62), (1 << 60) + 1])
def test_an_absurd_size_is_refused(size: int):
    with pytest.raises(BadSize):
        check(Kind.DISK, "26-7-data", size)


def test_usual_ids_are_taken():
    for id in ("26-7-data", "rootfs:26-7-vm", "x", "A.b_c+d@e"):
        check(Kind.VOLUME, id, 1)


def test_every_step_says_what_it_does():
    examples: dict[str, object] = {"size": GiB(1), "kind": Kind.DISK, "rotational": False, "again": False}
    for cls in Step.__args__:
        names = cls.__dataclass_fields__
        text = cls(**{name: examples.get(name, name) for name in names}).describe()
        assert text
        assert "{" not in text
        if "size" in names and cls.__name__ != "FinishFill":
            assert "1 GiB" in text
