"""What can be done to the node's network, one kernel action each, with every choice already made. Pure.

Every step is safe to repeat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zos.networkd.model import Address, Route
from zos.networkd.nft import TABLE

ROOT = ""
"""The name of the node's own namespace in steps."""


@dataclass(frozen=True, slots=True)
class CreateNamespace:
    """Make a named namespace."""

    namespace: str


@dataclass(frozen=True, slots=True)
class DropNamespace:
    """Remove a named namespace; the kernel takes its links along."""

    namespace: str


@dataclass(frozen=True, slots=True)
class CreateBridge:
    """Make a bridge in the host namespace."""

    link: str
    mac: str = ""
    """Empty: random."""


@dataclass(frozen=True, slots=True)
class CreateVeth:
    """Make a pair with one end in the host namespace and one inside."""

    link: str
    into: str
    """The inner end's namespace."""
    peer: str
    mac: str = ""
    """The inner end's; empty: random."""


@dataclass(frozen=True, slots=True)
class CreateTap:
    """Make a persistent tap in the host namespace."""

    link: str


@dataclass(frozen=True, slots=True)
class CreateTun:
    """Make a persistent TUN inside a namespace."""

    namespace: str
    link: str


@dataclass(frozen=True, slots=True)
class DropTun:
    """Remove a TUN from a namespace, should it be there."""

    namespace: str
    link: str


@dataclass(frozen=True, slots=True)
class CreateTunnel:
    """Make a WireGuard link whose socket stays in the host namespace, and move it inside."""

    link: str
    namespace: str


@dataclass(frozen=True, slots=True)
class DropTunnel:
    """End whatever serves the tunnel and remove its link from the host namespace, should it be there."""

    link: str


@dataclass(frozen=True, slots=True)
class DropLinks:
    """Remove links of the host namespace, all at once (each removal alone waits for the kernel's grace periods)."""

    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DisableIPv6:
    """The host answers nothing on this link by IPv6."""

    link: str


@dataclass(frozen=True, slots=True)
class Attach:
    """Make a link a port of a bridge, both in the host namespace."""

    link: str
    bridge: str


@dataclass(frozen=True, slots=True)
class SetMtu:
    """Set a link's MTU."""

    namespace: str
    link: str
    mtu: int


@dataclass(frozen=True, slots=True)
class SetUp:
    """Bring a link up."""

    namespace: str
    link: str


@dataclass(frozen=True, slots=True)
class AddAddress:
    """Give a link an address."""

    namespace: str
    link: str
    address: Address


@dataclass(frozen=True, slots=True)
class DropAddress:
    """Take an address from a link."""

    namespace: str
    link: str
    address: Address


@dataclass(frozen=True, slots=True)
class PutRoute:
    """Add a route, or replace the one to the same destination."""

    namespace: str
    route: Route


@dataclass(frozen=True, slots=True)
class DropRoute:
    """Remove a route."""

    namespace: str
    route: Route


@dataclass(frozen=True, slots=True)
class SetSysctl:
    """Set a kernel parameter below /proc/sys."""

    namespace: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class StartDhcp:
    """Start the DHCP client of a link; it goes on by itself, whatever becomes of networkd."""

    link: str


@dataclass(frozen=True, slots=True)
class LoadRules:
    """Bring a nft table of ours into force, in one transaction."""

    namespace: str
    ruleset: str
    table: str = TABLE
    """Its name; the text says it too."""


@dataclass(frozen=True, slots=True)
class DropRules:
    """Remove a nft table of ours."""

    namespace: str
    family: str
    table: str


@dataclass(frozen=True, slots=True)
class StartYggdrasil:
    """End the node's yggdrasil, if one runs, and start it with this configuration; it goes on by itself."""

    config: str = field(repr=False)
    """Its text, which holds the key."""


@dataclass(frozen=True, slots=True)
class StopYggdrasil:
    """End the node's yggdrasil; its link goes with it."""


@dataclass(frozen=True, slots=True)
class DialPeer:
    """Observed a peer that is configured and not connected tried at once: yggdrasil itself tries it once a minute."""

    link: str
    """Its URI."""


@dataclass(frozen=True, slots=True)
class PutPeer:
    """A peer to add, or to tell something new."""

    public_key: str
    allowed_ips: tuple[str, ...]
    endpoint: str
    """Empty: leave it as it is (it may have roamed)."""


@dataclass(frozen=True, slots=True)
class ConfigureTunnel:
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


Step = (
    CreateNamespace
    | DropNamespace
    | CreateBridge
    | CreateVeth
    | CreateTap
    | CreateTun
    | DropTun
    | CreateTunnel
    | DropTunnel
    | DropLinks
    | DisableIPv6
    | Attach
    | SetMtu
    | SetUp
    | AddAddress
    | DropAddress
    | PutRoute
    | DropRoute
    | SetSysctl
    | StartDhcp
    | LoadRules
    | DropRules
    | StartYggdrasil
    | StopYggdrasil
    | DialPeer
    | ConfigureTunnel
)


def describe(step: Step) -> str:
    """What a step does, for people and errors."""
    words = type(step).__name__
    text = "".join(" " + letter.lower() if letter.isupper() else letter for letter in words).strip()
    subject = getattr(step, "link", "") or getattr(step, "key", "") or " ".join(getattr(step, "links", ()))
    where = getattr(step, "namespace", "")
    match step:
        case AddAddress() | DropAddress():
            subject = f"{step.address.local} on {step.link}"
        case PutRoute() | DropRoute():
            subject = f"{step.route.dest} on {step.route.link}"
        case Attach():
            subject = f"{step.link} to {step.bridge}"
        case _:
            pass
    return " ".join(part for part in (text, subject, f"in {where}" if where and subject else where) if part)
