"""The order of types, and the machine that earlier steps' answers make."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from zos.flistd.api.types import MountId, MountInfo, MountKind
from zos.model.units import MiB
from zos.networkd.api.types import NetId, Place, TapId, TapInfo, TapRoute
from zos.verbs.primitive import Primitive, ordered
from zos.verbs.run import machine, ssh_keys
from zos.verbs.steps import Attached, EnsureMachine
from zos.vmd.api.types import MachineId, MachineKind, Nic, Route


def kind(name: str, after: tuple[str, ...] = (), before: tuple[str, ...] = ()) -> Primitive[Any]:
    made: type[Primitive[Any]] = type(name, (Primitive,), {"wire_type": name, "after": after, "before": before})
    return made()


def test_types_are_made_after_what_they_name_and_else_by_name() -> None:
    types = [kind("zlogs", after=("zmachine",)), kind("zmachine", after=("network", "zmount")), kind("zmount")]
    assert list(ordered([*types, kind("network")])) == ["network", "zmount", "zmachine", "zlogs"]


def test_a_newcomer_can_put_itself_before_a_type_that_does_not_know_it() -> None:
    assert list(ordered([kind("a"), kind("z", before=("a",))])) == ["z", "a"]


def test_an_order_that_is_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="a, b is a circle"):
        ordered([kind("a", after=("b",)), kind("b", after=("a",))])


STEP = EnsureMachine(
    MachineId("7-1-vm"),
    "vm",
    2,
    MiB(512),
    MountId("7-1-vm"),
    TapId("7-1-vm"),
    attached=(Attached("disk", "d", False, "/data"), Attached("vol", "v", True, "/shared")),
    env={"SSH_KEY": "ssh-ed25519 A, ssh-ed25519 B\n", "HOME": "/home"},
)


class At:
    def __init__(self, path: str) -> None:
        self.path = Path(path)


def answers(kind: MountKind, entrypoint: str = "") -> dict[str, Any]:
    env = {"HOME": "/root", "LANG": "C"}
    mount = MountInfo(STEP.mount, "http://hub/x.fl", Path("/mnt/vm"), "ab", kind, entrypoint, env)
    routes = (TapRoute("10.20.0.0/16", "10.20.2.1"), TapRoute("100.64.0.0/16", "10.20.2.1"))
    mac, addresses = "52:54:00:00:00:01", ("10.20.2.2/24",)
    tap = TapInfo(STEP.tap, Place.NETWORK, NetId("n"), "t1", "b1", mac, addresses, "10.20.2.1", "", routes, 0, 0)
    return {f"mount:{STEP.mount}": mount, STEP.tap: tap, "d": At("/pool/d"), "v": At("/pool/v")}


def test_a_container_gets_its_root_shares_and_the_flists_entrypoint() -> None:
    made = machine(STEP, answers(MountKind.CONTAINER, entrypoint="/sbin/init"))
    assert (made.kind, made.root, made.entrypoint) == (MachineKind.CONTAINER, Path("/mnt/vm"), "/sbin/init")
    assert [(disk.path, disk.target) for disk in made.disks] == [(Path("/pool/d"), "/data")]
    assert [(share.tag, share.target) for share in made.shares] == [("vol", "/shared")]


def test_what_the_user_says_of_the_environment_wins_over_the_flist() -> None:
    assert machine(STEP, answers(MountKind.CONTAINER)).env["HOME"] == "/home"
    assert machine(STEP, answers(MountKind.CONTAINER)).env["LANG"] == "C"


def test_an_image_boots_from_its_disks_and_has_no_root() -> None:
    made = machine(STEP, answers(MountKind.IMAGE))
    assert (made.kind, made.root, made.entrypoint) == (MachineKind.IMAGE, None, "")
    assert [disk.target for disk in made.disks] == [""]


def test_the_whole_network_is_routed_and_not_only_the_subnet() -> None:
    (nic,) = machine(STEP, answers(MountKind.CONTAINER)).nics
    assert nic.addresses == ("10.20.2.2/24",)
    assert {route.dest for route in nic.routes} >= {"10.20.0.0/16", "100.64.0.0/16"}


def overlay(place: Place, id: str, net: str, dest: str) -> TapInfo:
    routes = (TapRoute(dest, f"{net}1"),)
    mac = f"52:54:00:00:00:{ord(id):02x}"
    return TapInfo(TapId(id), place, NetId(""), f"t-{id}", f"b-{id}", mac, (f"{net}9/64",), "", "", routes, 0, 0)


def test_the_planetary_network_is_a_second_interface_and_no_way_out() -> None:
    ygg = overlay(Place.PLANETARY, "y", "300::", "200::/7")
    step = dataclasses.replace(STEP, planetary=ygg.id)
    first, second = machine(step, {**answers(MountKind.CONTAINER), ygg.id: ygg}).nics
    assert first.gateway == "10.20.2.1"
    assert second == Nic("t-y", ygg.mac, ("300::9/64",), routes=(Route("200::/7", "300::1"),))


def test_the_mycelium_overlay_comes_after_the_planetary_network() -> None:
    ygg = overlay(Place.PLANETARY, "y", "300::", "200::/7")
    my = overlay(Place.MYCELIUM, "m", "500::", "400::/7")
    step = dataclasses.replace(STEP, planetary=ygg.id, mycelium=my.id)
    nics = machine(step, {**answers(MountKind.CONTAINER), ygg.id: ygg, my.id: my}).nics
    assert [nic.tap for nic in nics] == ["t1", "t-y", "t-m"]
    assert nics[2] == Nic("t-m", my.mac, ("500::9/64",), routes=(Route("400::/7", "500::1"),))


def test_keys_are_parted_by_lines_or_commas() -> None:
    assert ssh_keys("a b, c d\n\ne") == ("a b", "c d", "e")
    assert machine(STEP, answers(MountKind.CONTAINER)).ssh_keys == ("ssh-ed25519 A", "ssh-ed25519 B")
