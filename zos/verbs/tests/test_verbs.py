"""The machine that earlier steps' answers make."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from zos.flistd.api.types import MountId, MountInfo, MountKind
from zos.model.units import MiB
from zos.networkd.api.types import NetId, Place, Tap, TapId, TapInfo, TapRoute
from zos.storaged.api.types import DiskId, VolumeId
from zos.verbs.flistd import EnsureMount
from zos.verbs.machine import build
from zos.verbs.networkd import EnsureTap
from zos.verbs.primitive import Mountable, Source
from zos.verbs.step import Answers
from zos.verbs.storaged import FindDisk, FindVolume
from zos.verbs.vmd import Attached, EnsureMachine
from zos.vmd.api.keys import split_keys
from zos.vmd.api.types import MachineId, MachineKind, Nic, Route

PRIVATE = EnsureTap(Tap(TapId("n"), Place.NETWORK, "52:54:00:00:00:01", NetId("n"), ip="10.20.2.2"))
YGG = EnsureTap(Tap(TapId("y"), Place.PLANETARY, "52:54:00:00:00:02"))
MY = EnsureTap(Tap(TapId("m"), Place.MYCELIUM, "52:54:00:00:00:03", NetId("n"), seed=b"abcdef"))
MOUNT = EnsureMount(MountId("7-1-vm"), "http://hub/x.fl")
DISK, VOLUME = FindDisk(DiskId("d"), "disk"), FindVolume(VolumeId("v"), "vol")
STEP = EnsureMachine(
    MachineId("7-1-vm"),
    "vm",
    2,
    MiB(512),
    MOUNT,
    (PRIVATE,),
    (Attached("disk", Mountable.DISK, DISK, "/data"), Attached("vol", Mountable.FOLDER, VOLUME, "/shared")),
    env={"SSH_KEY": "ssh-ed25519 A, ssh-ed25519 B\n", "HOME": "/home"},
)


def info(step: EnsureTap, addresses: tuple[str, ...], gateway: str, *routes: TapRoute) -> TapInfo:
    tap = step.tap
    id = tap.id
    return TapInfo(id, tap.place, tap.network, f"t-{id}", f"b-{id}", tap.mac, addresses, gateway, "", routes, 0, 0)


def answers(kind: MountKind, entrypoint: str = "") -> Answers:
    env = {"HOME": "/root", "LANG": "C"}
    found = Answers()
    found.put(MOUNT, MountInfo(MOUNT.id, MOUNT.url, Path("/mnt/vm"), "ab", kind, entrypoint, env))
    routes = (TapRoute("10.20.0.0/16", "10.20.2.1"), TapRoute("100.64.0.0/16", "10.20.2.1"))
    found.put(PRIVATE, info(PRIVATE, ("10.20.2.2/24",), "10.20.2.1", *routes))
    found.put(YGG, info(YGG, ("300::9/64",), "", TapRoute("200::/7", "300::1")))
    found.put(MY, info(MY, ("500::9/64",), "", TapRoute("400::/7", "500::1")))
    found.put(DISK, Source(Path("/pool/d")))
    found.put(VOLUME, Source(Path("/pool/v")))
    return found


def test_a_container_gets_its_root_shares_and_the_flists_entrypoint() -> None:
    made = build(STEP, answers(MountKind.CONTAINER, entrypoint="/sbin/init"))
    assert (made.kind, made.root, made.entrypoint) == (MachineKind.CONTAINER, Path("/mnt/vm"), "/sbin/init")
    assert [(disk.path, disk.target) for disk in made.disks] == [(Path("/pool/d"), "/data")]
    assert [(share.tag, share.target) for share in made.shares] == [("vol", "/shared")]


def test_what_the_user_says_of_the_environment_wins_over_the_flist() -> None:
    assert build(STEP, answers(MountKind.CONTAINER)).env["HOME"] == "/home"
    assert build(STEP, answers(MountKind.CONTAINER)).env["LANG"] == "C"


def test_an_image_boots_from_its_disks_and_has_no_root() -> None:
    made = build(STEP, answers(MountKind.IMAGE))
    assert (made.kind, made.root, made.entrypoint) == (MachineKind.IMAGE, None, "")
    assert [disk.target for disk in made.disks] == [""]


def test_the_whole_network_is_routed_and_not_only_the_subnet() -> None:
    (nic,) = build(STEP, answers(MountKind.CONTAINER)).nics
    assert nic.addresses == ("10.20.2.2/24",)
    assert {route.dest for route in nic.routes} >= {"10.20.0.0/16", "100.64.0.0/16"}


def test_an_overlay_is_another_interface_and_no_way_out() -> None:
    step = dataclasses.replace(STEP, nics=(PRIVATE, YGG, MY))
    first, second, third = build(step, answers(MountKind.CONTAINER)).nics
    assert first.gateway == "10.20.2.1"
    assert second == Nic("t-y", YGG.tap.mac, ("300::9/64",), routes=(Route("200::/7", "300::1"),))
    assert third == Nic("t-m", MY.tap.mac, ("500::9/64",), routes=(Route("400::/7", "500::1"),))


def test_an_equal_step_finds_the_answer_of_the_one_that_was_performed() -> None:
    assert answers(MountKind.CONTAINER)[dataclasses.replace(MY)].ip == "500::9"


def test_keys_are_parted_by_lines_or_commas() -> None:
    assert split_keys("a b, c d\n\ne") == ("a b", "c d", "e")
    assert build(STEP, answers(MountKind.CONTAINER)).ssh_keys == ("ssh-ed25519 A", "ssh-ed25519 B")
