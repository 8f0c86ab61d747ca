"""What can be done to the node's network, one kernel action each, with every choice already made. Pure.

Every step is safe to repeat.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from zos.networkd.guard import Guard
from zos.networkd.model import Address, Known, Route

ROOT = ""
"""The name of the root namespace in steps."""


def _inside(namespace: str) -> str:
    return f" in {namespace}" if namespace else ""


class Step(ABC):
    """One action in the kernel, or one program."""

    __slots__ = ()

    @abstractmethod
    def describe(self) -> str:
        """What it does, for people and errors: follows "the kernel refused to …"."""


class LoneStep(Step):
    """Starts a program or moves between namespaces, and is awaited alone; the others share a thread and a socket."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class CreateNamespace(LoneStep):
    """Make a named namespace."""

    namespace: str

    def describe(self) -> str:
        return f"create namespace {self.namespace}"


@dataclass(frozen=True, slots=True)
class DropNamespace(LoneStep):
    """Remove a named namespace; the kernel removes its links with it."""

    namespace: str

    def describe(self) -> str:
        return f"drop namespace {self.namespace}"


@dataclass(frozen=True, slots=True)
class CreateBridge(Step):
    """Make a bridge in the root namespace."""

    link: str
    mac: str = ""
    """Empty: random."""

    def describe(self) -> str:
        return f"create bridge {self.link}"


@dataclass(frozen=True, slots=True)
class CreateVeth(Step):
    """Make a pair with one end in the root namespace and one inside."""

    link: str
    into: str
    """The inner end's namespace."""
    peer: str
    mac: str = ""
    """The inner end's; empty: random."""

    def describe(self) -> str:
        return f"create veth {self.link}"


@dataclass(frozen=True, slots=True)
class CreateTap(Step):
    """Make a persistent tap in the root namespace."""

    link: str

    def describe(self) -> str:
        return f"create tap {self.link}"


@dataclass(frozen=True, slots=True)
class CreateTun(Step):
    """Make a persistent TUN inside a namespace."""

    namespace: str
    link: str

    def describe(self) -> str:
        return f"create tun {self.link} in {self.namespace}"


@dataclass(frozen=True, slots=True)
class DropTun(Step):
    """Remove a TUN from a namespace, should it be there."""

    namespace: str
    link: str

    def describe(self) -> str:
        return f"drop tun {self.link} in {self.namespace}"


@dataclass(frozen=True, slots=True)
class CreateTunnel(LoneStep):
    """Make a WireGuard link whose socket stays in the root namespace, and move it inside."""

    link: str
    namespace: str

    def describe(self) -> str:
        return f"create tunnel {self.link} in {self.namespace}"


@dataclass(frozen=True, slots=True)
class EndTunnel(LoneStep):
    """Tell whatever serves the tunnel to end; `DropTunnel` waits until it has."""

    link: str

    def describe(self) -> str:
        return f"end tunnel {self.link}"


@dataclass(frozen=True, slots=True)
class DropTunnel(LoneStep):
    """End whatever serves the tunnel and remove its link from the root namespace, should it be there."""

    link: str

    def describe(self) -> str:
        return f"drop tunnel {self.link}"


@dataclass(frozen=True, slots=True)
class DropLinks(Step):
    """Remove links of the root namespace, all at once."""

    links: tuple[str, ...]

    def describe(self) -> str:
        return f"drop links {' '.join(self.links)}"


@dataclass(frozen=True, slots=True)
class Silence(Step):
    """Have the node speak nothing on this link: no IPv6, no answers to ARP, no routing (see `model.SILENCE`)."""

    link: str

    def describe(self) -> str:
        return f"silence {self.link}"


@dataclass(frozen=True, slots=True)
class Attach(Step):
    """Make a link a port of a bridge, both in the root namespace."""

    link: str
    bridge: str

    def describe(self) -> str:
        return f"attach {self.link} to {self.bridge}"


@dataclass(frozen=True, slots=True)
class SetMtu(Step):
    """Set a link's MTU."""

    namespace: str
    link: str
    mtu: int

    def describe(self) -> str:
        return f"set mtu of {self.link}{_inside(self.namespace)}"


@dataclass(frozen=True, slots=True)
class SetUp(Step):
    """Bring a link up."""

    namespace: str
    link: str

    def describe(self) -> str:
        return f"set up {self.link}{_inside(self.namespace)}"


@dataclass(frozen=True, slots=True)
class AddAddress(Step):
    """Give a link an address."""

    namespace: str
    link: str
    address: Address

    def describe(self) -> str:
        return f"add address {self.address.local} on {self.link}{_inside(self.namespace)}"


@dataclass(frozen=True, slots=True)
class DropAddress(Step):
    """Take an address from a link."""

    namespace: str
    link: str
    address: Address

    def describe(self) -> str:
        return f"drop address {self.address.local} on {self.link}{_inside(self.namespace)}"


@dataclass(frozen=True, slots=True)
class PutRoute(Step):
    """Add a route, or replace the one to the same destination."""

    namespace: str
    route: Route

    def describe(self) -> str:
        return f"put route {self.route.dest} on {self.route.link}{_inside(self.namespace)}"


@dataclass(frozen=True, slots=True)
class DropRoute(Step):
    namespace: str
    route: Route

    def describe(self) -> str:
        return f"drop route {self.route.dest} on {self.route.link}{_inside(self.namespace)}"


@dataclass(frozen=True, slots=True)
class SetSysctl(Step):
    """Set a kernel parameter below /proc/sys."""

    namespace: str
    key: str
    value: str

    def describe(self) -> str:
        return f"set sysctl {self.key}{_inside(self.namespace)}"


@dataclass(frozen=True, slots=True)
class StartDhcp(LoneStep):
    """Start the DHCP client of a link; it goes on when networkd ends."""

    link: str

    def describe(self) -> str:
        return f"start dhcp {self.link}"


@dataclass(frozen=True, slots=True)
class LoadRules(LoneStep):
    """Bring our nft table of a family into force, in one transaction."""

    namespace: str
    ruleset: str
    family: str = "inet"
    """The text says it, as it does the table."""
    table: str = "zos"
    known: Known = field(default_factory=dict)
    """The elements of its sets of addresses."""

    def describe(self) -> str:
        bridges = " for bridges" if self.family == "bridge" else ""
        return f"load rules{bridges}{_inside(self.namespace)}"


@dataclass(frozen=True, slots=True)
class KnowAddresses(LoneStep):
    """Have addresses looked for behind links, and others no more; the table stays."""

    namespace: str
    table: str
    new: Known = field(default_factory=dict)
    old: Known = field(default_factory=dict)

    def describe(self) -> str:
        return f"change which addresses are looked for{_inside(self.namespace)}"


@dataclass(frozen=True, slots=True)
class DropRules(LoneStep):
    """Remove a nft table of ours."""

    namespace: str
    family: str
    table: str

    def describe(self) -> str:
        return f"drop rules {self.table}{_inside(self.namespace)}"


@dataclass(frozen=True, slots=True)
class GuardTaps(LoneStep):
    """Put guards of taps in force, all at once; a tap need not be there yet."""

    guards: tuple[Guard, ...]

    def describe(self) -> str:
        return f"guard {' '.join(guard.device for guard in self.guards)}"


@dataclass(frozen=True, slots=True)
class UnguardTaps(LoneStep):
    """Remove the guards of taps; such a tap sends nothing."""

    devices: tuple[str, ...]

    def describe(self) -> str:
        return f"remove the guards of {' '.join(self.devices)}"


@dataclass(frozen=True, slots=True)
class OpenPorts(LoneStep):
    """Open UDP ports of the node to tenants' WireGuard peers, and close others."""

    open: tuple[int, ...]
    close: tuple[int, ...] = ()

    def describe(self) -> str:
        return f"open ports {self.open} and close {self.close}"


@dataclass(frozen=True, slots=True)
class StartYggdrasil(LoneStep):
    """End the node's yggdrasil, if one runs, and start it with this configuration; it goes on when networkd ends."""

    config: str = field(repr=False)
    """Its text, which holds the key."""

    def describe(self) -> str:
        return "start yggdrasil"


@dataclass(frozen=True, slots=True)
class StopYggdrasil(LoneStep):
    """End the node's yggdrasil; its link goes with it."""

    def describe(self) -> str:
        return "stop yggdrasil"


@dataclass(frozen=True, slots=True)
class DialPeer(LoneStep):
    """Have a configured peer that is not connected tried at once: yggdrasil itself tries it once a minute."""

    link: str
    """Its URI."""

    def describe(self) -> str:
        return f"dial peer {self.link}"


@dataclass(frozen=True, slots=True)
class PutPeer:
    """A peer to add to a tunnel, or to change."""

    public_key: str
    allowed_ips: tuple[str, ...]
    endpoint: str
    """Empty: leave it as it is (the peer may have roamed)."""


@dataclass(frozen=True, slots=True)
class ConfigureTunnel(LoneStep):
    """Tell a running tunnel what differs, and nothing else."""

    link: str
    namespace: str
    private_key: str = field(default="", repr=False)
    """Empty: it has the right one."""
    listen_port: int = 0
    """0: it has the right one."""
    former_port: int = 0
    """Where it listens now, to go back to when the new port cannot be had."""
    put: tuple[PutPeer, ...] = ()
    remove: tuple[str, ...] = ()

    def describe(self) -> str:
        return f"configure tunnel {self.link} in {self.namespace}"
