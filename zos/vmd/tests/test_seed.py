"""What guests are told."""

from __future__ import annotations

import dataclasses
import json
import shlex
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.model.units import MiB
from zos.vmd import fat, seed
from zos.vmd.api import BadMachine, Machine, MachineDisk, MachineId, MachineKind, Nic, Route, Share

NIC = Nic(
    "t-a",
    "02:AA:00:00:00:01",
    ("10.20.2.5/24", "fd42::5/64"),
    "10.20.2.1",
    "fd42::1",
    (Route("10.20.0.0/16", "10.20.2.1"), Route("100.64.0.0/16", "")),
)
MACHINE = Machine(
    MachineId("26-11-vm1"),
    "vm1",
    MachineKind.CONTAINER,
    1,
    MiB(512),
    root=Path("/r"),
    disks=(MachineDisk(Path("/d1")), MachineDisk(Path("/d2"), "/data")),
    shares=(Share("logs", Path("/v"), "/var/my logs"),),
    nics=(NIC,),
    env={"GREETING": "it's me; $(reboot)", "SSH_KEY": "ssh-ed25519 A a@b, ssh-ed25519 B"},
    entrypoint="/sbin/web --title 'two words'",
    ssh_keys=("ssh-ed25519 A a@b\n", "ssh-rsa C\nssh-rsa D"),
    nameservers=("8.8.8.8", "2001:4860:4860::8888"),
)


def lines(machine: Machine) -> list[list[str]]:
    return [shlex.split(line) for line in seed.script(machine).splitlines()]


def test_our_init_is_told_everything_in_its_own_words():
    told = lines(MACHINE)
    assert told[0] == ["machine_name", "vm1"]
    assert ["nic", "02:aa:00:00:00:01", "10.20.2.5/24", "fd42::5/64"] in told
    assert ["route", "10.20.0.0/16", "10.20.2.1"] in told
    assert ["route", "100.64.0.0/16"] in told
    assert [line[1] for line in told if line[0] == "gateway"] == ["10.20.2.1", "fd42::1"]
    assert [line[1:] for line in told if line[0] == "disk"] == [["vdb", "/data"]]
    assert ["share", "logs", "/var/my logs"] in told
    assert [line[1] for line in told if line[0] == "nameserver"] == ["8.8.8.8", "2001:4860:4860::8888"]
    assert ["ask_names", "8.8.8.8", "2001:4860:4860::8888"] in told


def test_keys_come_from_the_machine_and_from_the_environment_once_each():
    assert seed.keys_of(MACHINE) == ("ssh-ed25519 A a@b", "ssh-rsa C", "ssh-rsa D", "ssh-ed25519 B")


def test_the_last_line_becomes_the_entrypoint_with_its_environment_alone():
    last = lines(MACHINE)[-1]
    assert last[:3] == ["exec", "/bin/env", "-i"]
    assert "GREETING=it's me; $(reboot)" in last
    switch = last.index("/bin/switch_root")
    assert last[switch:] == ["/bin/switch_root", "/root", "$program", "--title", "two words"]
    assert '"$program"' in seed.script(MACHINE), "the one word that the shell expands"


@given(
    st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text(max_size=40).filter(lambda t: "\0" not in t))
)
def test_no_value_is_ever_more_than_a_value(env: dict[str, str]):
    machine = dataclasses.replace(MACHINE, env=env)
    words = shlex.split(seed.script(machine))
    for name, value in env.items():
        assert f"{name}={value}" in words


def test_a_seed_that_does_not_fit_is_refused():
    with pytest.raises(BadMachine, match="disk holds"):
        seed.check(dataclasses.replace(MACHINE, env={"BIG": "x" * 3_000_000}))


def test_the_seed_begins_where_the_kernel_looks_for_an_archive():
    part = seed.initrd_part(MACHINE)
    assert part.startswith(b"070701")
    assert b"zos/seed\0" in part
    assert len(part) % 4 == 0


def test_cloud_init_is_told_the_same():
    told = {name: text.removeprefix("#cloud-config\n") for name, text in seed.files(MACHINE).items()}
    network = json.loads(told["network-config"])["ethernets"]["nic0"]
    assert network["match"] == {"macaddress": "02:aa:00:00:00:01"}
    assert (network["gateway4"], network["gateway6"]) == ("10.20.2.1", "fd42::1")
    assert network["nameservers"] == {"addresses": ["8.8.8.8", "2001:4860:4860::8888"]}
    assert network["routes"][1] == {"to": "100.64.0.0/16", "via": "0.0.0.0", "on-link": True}
    assert json.loads(told["meta-data"]) == {"instance-id": "26-11-vm1", "local-hostname": "vm1"}
    user = json.loads(told["user-data"])
    assert len(user["users"][0]["ssh_authorized_keys"]) == 4
    assert user["mounts"] == [["logs", "/var/my logs", "virtiofs", "defaults,nofail", "0", "0"]]


def test_a_second_interface_has_its_own_addresses_and_routes_and_no_way_out():
    planetary = Nic("t-y", "02:AA:00:00:00:02", ("306::9/64",), routes=(Route("200::/7", "306::1"),))
    machine = dataclasses.replace(MACHINE, nics=(*MACHINE.nics, planetary))
    lines = seed.script(machine).splitlines()
    at = lines.index("nic 02:aa:00:00:00:02 306::9/64")
    assert lines[at + 1] == "route 200::/7 306::1"
    assert not lines[at + 2].startswith(("route", "gateway"))
    told = seed.files(machine)["network-config"].removeprefix("#cloud-config\n")
    second = json.loads(told)["ethernets"]["nic1"]
    assert second["routes"] == [{"to": "200::/7", "via": "306::1"}]
    assert not {"gateway4", "gateway6", "nameservers"} & second.keys()


def test_the_flists_own_initramfs_gets_a_shell_file():
    told = seed.files(MACHINE)["zosrc"].splitlines()
    assert shlex.split(told[0]) == ["export", "GREETING=it's me; $(reboot)"]
    assert shlex.split(told[-2]) == ["init=/sbin/web"]
    assert shlex.split(told[-1]) == ["set", "--", "--title", "two words"]
    assert "zosrc" not in seed.files(dataclasses.replace(MACHINE, kind=MachineKind.IMAGE))


def read_fat(image: bytes) -> tuple[str, dict[str, bytes]]:
    """The label and the files of a FAT12 disk, read as the specification says and not as we wrote it."""
    sector, per_cluster, reserved, tables, entries, _, _, table_size = struct.unpack_from("<HBHBHHBH", image, 11)
    assert (per_cluster, image[510:512]) == (1, b"\x55\xaa")
    table = image[reserved * sector :]
    root = (reserved + tables * table_size) * sector
    data = root + entries * 32
    label, found, long = "", {}, ""
    for at in range(root, data, 32):
        entry = image[at : at + 32]
        if entry[0] == 0:
            break
        if entry[11] == 0x0F:
            piece = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le")
            long = piece.split("\0")[0] + long
        elif entry[11] & 0x08:
            label = entry[:11].decode().strip()
        else:
            (cluster, size), content = struct.unpack_from("<HI", entry, 26), b""
            while 2 <= cluster < 0xFF8:
                content += image[data + (cluster - 2) * sector :][:sector]
                (pair,) = struct.unpack_from("<H", table, cluster * 3 // 2)
                cluster = pair >> 4 if cluster & 1 else pair & 0xFFF
            found[long], long = content[:size], ""
    return label, found


def test_the_disk_reads_back_as_what_was_put_on_it():
    label, found = read_fat(seed.disk(MACHINE))
    assert label == "cidata"
    assert found == {name: text.encode() for name, text in seed.files(MACHINE).items()}


names = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='\\/:*?"<>|'), min_size=1, max_size=40
)


@given(st.dictionaries(names, st.binary(max_size=3000), max_size=8))
def test_any_files_that_fit_read_back(files: dict[str, bytes]):
    assert read_fat(fat.image("cidata", files)) == ("cidata", files)


def test_files_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="the disk holds"):
        fat.image("cidata", {"a": bytes(fat.SIZE)})
    with pytest.raises(ValueError, match="names"):
        fat.image("cidata", {f"a-rather-long-name-{number}": b"" for number in range(40)})
