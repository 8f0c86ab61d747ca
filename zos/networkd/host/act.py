"""Steps that are netlink messages, an ioctl or a write below /proc/sys, applied in the thread's namespace."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from zos.networkd.api.errors import KernelRefused
from zos.networkd.host import nsthread, rtnl, tuntap
from zos.networkd.host.netlink import Message, Netlink
from zos.networkd.model import SILENCE
from zos.networkd.steps import (
    AddAddress,
    Attach,
    CreateBridge,
    CreateTap,
    CreateTun,
    CreateVeth,
    DropAddress,
    DropLinks,
    DropRoute,
    DropTun,
    PutRoute,
    SetMtu,
    SetSysctl,
    SetUp,
    Silence,
    Step,
)

SYSCTL = Path("/proc/sys")
_GROUP_BASE = 0x7A000000


def all(steps: Sequence[Step]) -> None:
    """Apply steps of one namespace, in its thread."""
    with Netlink() as nl:
        indexes: dict[str, int] = {}
        for step in steps:
            try:
                _act(nl, step, indexes)
            except OSError as err:
                raise KernelRefused(action=step.describe(), problem=err.strerror or err) from err


def _index(nl: Netlink, name: str, known: dict[str, int]) -> int:
    if name not in known:
        device = rtnl.device(nl, name)
        if device is None:
            raise OSError(errno.ENODEV, f"there is no link {name}")
        known[name] = device.index
    return known[name]


def _act(nl: Netlink, step: Step, known: dict[str, int]) -> None:
    match step:
        case CreateBridge(link, mac):
            nl.do(rtnl.create_bridge(link, mac))
        case CreateVeth():
            _create_veth(nl, step)
        case CreateTap(link):
            tuntap.create(link)
        case CreateTun(link=link):
            tuntap.create_tun(link)
        case DropTun(link=link):
            known.clear()
            _drop_tun(nl, link)
        case DropLinks(links):
            known.clear()
            _drop_links(nl, links)
        case Silence(link):
            _silence(link)
        case Attach(link, bridge):
            nl.do(rtnl.change_link(_index(nl, link, known), master=_index(nl, bridge, known)))
        case SetMtu(link=link, mtu=mtu):
            nl.do(rtnl.change_link(_index(nl, link, known), mtu=mtu))
        case SetUp(link=link):
            nl.do(rtnl.change_link(_index(nl, link, known), up=True))
        case AddAddress(link=link, address=address):
            nl.do(rtnl.add_address(_index(nl, link, known), address))
        case DropAddress(link=link, address=address):
            _unless_gone(nl, rtnl.delete_address(_index(nl, link, known), address))
        case PutRoute(route=route):
            nl.do(rtnl.put_route(_index(nl, route.link, known), route))
        case DropRoute(route=route):
            _unless_gone(nl, rtnl.delete_route(_index(nl, route.link, known), route))
        case SetSysctl(key=key, value=value):
            (SYSCTL / key).write_text(value)
        case _:
            raise AssertionError(step)


def _create_veth(nl: Netlink, step: CreateVeth) -> None:
    file = os.open(nsthread.FOLDER / step.into, os.O_RDONLY | os.O_CLOEXEC)
    try:
        nl.do(rtnl.create_veth(step.link, step.peer, file, step.mac))
    finally:
        os.close(file)


def _silence(link: str) -> None:
    for key, value in SILENCE.items():
        knob = SYSCTL / key.format(link)
        if knob.exists():  # a kernel without IPv6 has not all
            knob.write_text(value)


def _drop_links(nl: Netlink, links: Sequence[str]) -> None:
    """Remove links all at once, by a group of their own."""
    # For each removal the kernel waits for RCU grace periods, some 20 ms; for a group it waits once.
    found = [device for link in links if (device := rtnl.device(nl, link)) is not None]
    if not found:
        return
    group = _GROUP_BASE + found[0].index
    for device in found:
        _unless_gone(nl, rtnl.change_link(device.index, group=group))
    _unless_gone(nl, rtnl.delete_group(group))


def _drop_tun(nl: Netlink, link: str) -> None:
    device = rtnl.device(nl, link)
    if device is not None:
        _unless_gone(nl, rtnl.delete_link(device.index))


def _unless_gone(nl: Netlink, message: Message) -> None:
    """Links, addresses and routes vanish by themselves, with the link or namespace that they are on."""
    try:
        nl.do(message)
    except OSError as err:
        if err.errno not in (errno.ENODEV, errno.EADDRNOTAVAIL, errno.ESRCH, errno.EINVAL):
            raise
