"""The configuration of a guest: commands for our own init, cloud-init's files for every other. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from zos.model import shellwords
from zos.runtime import cpio
from zos.vmd import fat
from zos.vmd.api.errors import BadMachine
from zos.vmd.api.keys import split_keys
from zos.vmd.api.types import Machine, MachineKind, Nic

SEED = "zos/seed"
LABEL = "cidata"
INIT = "/sbin/init"
SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def words_of(machine: Machine) -> list[str]:
    """The entrypoint as words, split as a shell would."""
    return shellwords.split(machine.entrypoint) or [INIT]


def keys_of(machine: Machine) -> tuple[str, ...]:
    """The machine's keys and those in its environment's SSH_KEY, as the grid's clients send them."""
    texts = (*machine.ssh_keys, machine.env.get("SSH_KEY", ""))
    return tuple(dict.fromkeys(key for text in texts for key in split_keys(text)))


def _mounted(machine: Machine) -> list[tuple[str, ...]]:
    """What is mounted, parents before what is below them: a parent that came later would hide its child."""
    disks = [("disk", disk_name(index), disk.target) for index, disk in enumerate(machine.disks)]
    found = [*disks, *(("share", share.tag, share.target) for share in machine.shares)]
    return sorted((one for one in found if one[2]), key=lambda one: Path(one[2]).parts)


def script(machine: Machine) -> str:
    """The seed of `images/guest/init`: a shell script of its commands."""
    return "".join(shlex.join(line) + "\n" for line in _lines(machine)) + _last_line(machine)


def _lines(machine: Machine) -> Iterator[list[str]]:
    yield ["machine_name", machine.name]
    for nic in machine.nics:
        yield ["nic", nic.mac.lower(), *nic.addresses]
        for route in nic.routes:
            yield ["route", route.dest, *([route.via] if route.via else [])]
        for gateway in (nic.gateway, nic.gateway6):
            if gateway:
                yield ["gateway", gateway]
    for server in machine.nameservers:
        yield ["nameserver", server]
    if machine.nics and machine.nameservers:
        yield ["ask_names", *machine.nameservers]
    yield from map(list, _mounted(machine))
    for key in keys_of(machine):
        yield ["authorize", key]
    yield ["host_key"]
    yield ["entrypoint", words_of(machine)[0]]


def _last_line(machine: Machine) -> str:
    """Become the entrypoint, with the environment that was asked for and nothing of init's own."""
    environment = {"PATH": PATH, "HOME": "/root", "TERM": "vt220", **machine.env}
    told = shlex.join(f"{name}={value}" for name, value in environment.items())
    arguments = shlex.join(words_of(machine)[1:])
    return f'exec /bin/env -i -- {told} /bin/switch_root /root "$program" {arguments}'.rstrip() + "\n"


def disk_name(index: int) -> str:
    """What a guest calls its disk."""
    return "vd" + chr(ord("a") + index)


def initrd_part(machine: Machine) -> bytes:
    """The archive that stands behind the guest's initramfs; only root of the guest can read it."""
    return cpio.archive([cpio.file(SEED, script(machine).encode(), 0o600)])


def disk(machine: Machine) -> bytes:
    """A small disk labelled `cidata`, as cloud-init and the flists' own initramfs look for it."""
    return fat.image(LABEL, {name: text.encode() for name, text in files(machine).items()})


def files(machine: Machine) -> dict[str, str]:
    """The files of the disk; JSON, since that is YAML without a question of quoting."""
    told = {
        "meta-data": _cloud({"instance-id": machine.id, "local-hostname": machine.name}),
        "network-config": _cloud(_network(machine)),
        "user-data": _cloud(_user(machine)),
    }
    if machine.kind is MachineKind.CONTAINER:
        told["zosrc"] = _zosrc(machine)
    return told


def _cloud(document: object) -> str:
    return "#cloud-config\n" + json.dumps(document, indent=1) + "\n"


def _network(machine: Machine) -> dict[str, object]:
    ethernets = {f"nic{index}": _ethernet(machine, nic, index) for index, nic in enumerate(machine.nics)}
    return {"version": 2, "ethernets": ethernets}


def _ethernet(machine: Machine, nic: Nic, index: int) -> dict[str, object]:
    told: dict[str, object] = {
        "match": {"macaddress": nic.mac.lower()},
        "dhcp4": False,
        "dhcp6": False,
        "addresses": list(nic.addresses),
    }
    if nic.gateway:
        told["gateway4"] = nic.gateway
    if nic.gateway6:
        told["gateway6"] = nic.gateway6
    if nic.routes:
        # A route without a next hop is on the link, which version 2 writes as the unspecified address.
        told["routes"] = [
            {"to": r.dest, "via": r.via}
            if r.via
            else {"to": r.dest, "via": "::" if ":" in r.dest else "0.0.0.0", "on-link": True}  # noqa: S104
            for r in nic.routes
        ]
    if index == 0 and machine.nameservers:
        told["nameservers"] = {"addresses": list(machine.nameservers)}
    return told


def _user(machine: Machine) -> dict[str, object]:
    told: dict[str, object] = {"disable_root": False, "ssh_pwauth": False}
    if keys := keys_of(machine):
        told["users"] = [{"name": "root", "ssh_authorized_keys": list(keys)}]
    shares = [one for one in _mounted(machine) if one[0] == "share"]
    if shares:
        told["mounts"] = [[tag, target, "virtiofs", "defaults,nofail", "0", "0"] for _, tag, target in shares]
    return told


def _zosrc(machine: Machine) -> str:
    program, *arguments = words_of(machine)
    # A shell stops at a name that it cannot export.
    exported = {name: value for name, value in machine.env.items() if SHELL_NAME.fullmatch(name)}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in exported.items()]
    lines.append(f"init={shlex.quote(program)}")
    if arguments:
        lines.append(f"set -- {shlex.join(arguments)}")
    return "\n".join(lines) + "\n"


def check(machine: Machine) -> None:
    """Refuse a machine whose guest could not be told what it must know."""
    try:
        disk(machine)
    except ValueError as err:
        raise BadMachine(id=machine.id, problem=str(err)) from None
