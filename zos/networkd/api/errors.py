"""Errors of networkd."""

from zos.errors import Status, ZosError


class BadNetwork(ZosError):
    """A field of a network is not valid."""

    reason = "networkd.bad_network"
    status = Status.INVALID_ARGUMENT
    text = "network {network}: {field} {problem}"


class SubnetOutside(ZosError):
    """A node's part must lie in the user's network."""

    reason = "networkd.subnet_outside"
    status = Status.INVALID_ARGUMENT
    text = "network {network}: the subnet {subnet} is not inside {ip_range}"
    hint = "choose a subnet of {ip_range} for this node"


class PortTaken(ZosError):
    """The WireGuard port belongs to somebody else."""

    reason = "networkd.port_taken"
    status = Status.FAILED_PRECONDITION
    text = "UDP port {port} is taken by {user}"
    hint = "choose a port that the node does not list as used"


class NoSuchNetwork(ZosError):
    """No network of this id exists."""

    reason = "networkd.no_such_network"
    status = Status.NOT_FOUND
    text = "there is no network {network}"
    hint = "deploy the network on this node first"


class BadTap(ZosError):
    """A field of a tap is not valid."""

    reason = "networkd.bad_tap"
    status = Status.INVALID_ARGUMENT
    text = "tap {tap}: {field} {problem}"


class AddressOutsideSubnet(ZosError):
    """A machine's address must lie in its node's subnet."""

    reason = "networkd.address_outside_subnet"
    status = Status.INVALID_ARGUMENT
    text = "the address {ip} is not inside {subnet}, this node's part of the network"
    hint = "choose an address of {subnet} from .2 on"


class AddressReserved(ZosError):
    """Gateway, network and broadcast addresses are not for machines."""

    reason = "networkd.address_reserved"
    status = Status.INVALID_ARGUMENT
    text = "the address {ip} is the {use} of {subnet}"
    hint = "choose an address of {subnet} from .2 on"


class AddressTaken(ZosError):
    """Another machine has the address."""

    reason = "networkd.address_taken"
    status = Status.ALREADY_EXISTS
    text = "the {what} {address} is taken by {owner} on network {network}"
    hint = "choose another address"


class NoRoomForNetworks(ZosError):
    """Every exit address of the node is handed out."""

    reason = "networkd.no_room_for_networks"
    status = Status.RESOURCE_EXHAUSTED
    text = "this node has no exit address left; {used} networks have one"


class TooManyNetworks(ZosError):
    """The node has as many networks as it takes: of this twin, or of all."""

    reason = "networkd.too_many_networks"
    status = Status.RESOURCE_EXHAUSTED
    text = "network {network}: this node has {count} networks of {whose}, and takes no more"
    hint = "remove a network that is not used any more, put machines into one that is there, or choose another node"


class NoWireguard(ZosError):
    """The node cannot build tunnels."""

    reason = "networkd.no_wireguard"
    status = Status.FAILED_PRECONDITION
    text = "this node can run no WireGuard tunnel: {problem}"
    hint = "boot a kernel with WireGuard, or install wireguard-go"


class NoNftables(ZosError):
    """The node cannot load rules."""

    reason = "networkd.no_nftables"
    status = Status.FAILED_PRECONDITION
    text = "this node can load no rules: {library} is missing, which the package nftables brings"
    hint = "install that package"


class NoPlanetary(ZosError):
    """The node is not in the planetary network."""

    reason = "networkd.no_planetary"
    status = Status.FAILED_PRECONDITION
    text = "this node offers no planetary network: {problem}"
    hint = "choose a node with the feature `yggdrasil`, or deploy without `planetary`"


class PlanetaryNotUp(ZosError):
    """The node should be in the planetary network and is not yet."""

    reason = "networkd.planetary_not_up"
    status = Status.UNAVAILABLE
    text = "this node is not in the planetary network yet: {problem}"


class NoMyceliumKey(ZosError):
    """A machine wants an address that its network has no key for."""

    reason = "networkd.no_mycelium_key"
    status = Status.FAILED_PRECONDITION
    text = "network {network} has no mycelium key on this node"
    hint = "give the network `mycelium: {{hex_key: …}}`"


class BadPublicConfig(ZosError):
    """An address that the node cannot have."""

    reason = "networkd.bad_public_config"
    status = Status.INVALID_ARGUMENT
    text = "the node's public configuration: {field} `{value}` {problem}"
    hint = "the farmer sets it on the chain, as an address with its prefix (and a gateway without)"


class NoFirewall(ZosError):
    """The node's own firewall cannot be loaded, so nothing of a tenant is made."""

    reason = "networkd.no_firewall"
    status = Status.UNAVAILABLE
    text = "the node's firewall is not in force: {problem}"


class NoUplink(ZosError):
    """The node has no link to the outside."""

    reason = "networkd.no_uplink"
    status = Status.UNAVAILABLE
    text = "no uplink: {problem}"
    hint = "plug a cable, or name the link in `uplink` of [networkd]"


class KernelRefused(ZosError):
    """A kernel call failed. The caller cannot mend that, so networkd tries again."""

    reason = "networkd.kernel_refused"
    status = Status.UNAVAILABLE
    text = "the kernel refused to {action}: {problem}"
