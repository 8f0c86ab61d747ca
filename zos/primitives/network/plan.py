"""Decides what a network needs. Pure."""

from __future__ import annotations

from typing import Any

from zos.model.decode import Fields
from zos.model.mycelium import public_key, subnet
from zos.model.names import WorkloadId, net_id
from zos.mycelium.api.types import IdentityId
from zos.networkd.api.check import canonical
from zos.networkd.api.types import NetId, Network, Peer
from zos.primitives.network.spec import NetworkSpec, parse
from zos.verbs.mycelium import DropIdentity, EnsureIdentity
from zos.verbs.networkd import DropNetwork, EnsureNetwork
from zos.verbs.primitive import Facts, Primitive, refused_at
from zos.verbs.step import Step


class UserNetwork(Primitive[NetworkSpec]):
    """One network resource of networkd."""

    wire_type = "network"
    sharable = True
    features = ("wireguard",)

    def parse(self, data: Fields) -> NetworkSpec:
        return parse(data)

    def check(self, spec: NetworkSpec, path: str, facts: Facts) -> None:
        with refused_at(f"{path}.data"):
            canonical(_network(NetId(net_id(facts.twin, facts.name)), spec, facts))

    def make(
        self, id: WorkloadId, spec: NetworkSpec, facts: Facts, previous: NetworkSpec | None = None
    ) -> tuple[Step[Any], ...]:
        network = NetId(net_id(facts.twin, facts.name))
        ensure = EnsureNetwork(_network(network, spec, facts))
        if spec.mycelium_key:
            return (ensure, EnsureIdentity(ensure, spec.mycelium_key))
        return (*(_drop_identity(network, previous) if previous else ()), ensure)

    def drop(self, id: WorkloadId, spec: NetworkSpec, facts: Facts) -> tuple[Step[Any], ...]:
        network = NetId(net_id(facts.twin, facts.name))
        return (*_drop_identity(network, spec), DropNetwork(network))


def _drop_identity(network: NetId, spec: NetworkSpec) -> tuple[Step[Any], ...]:
    """A network without a key sends nothing to the mycelium daemon, which may be away or switched off."""
    return (DropIdentity(IdentityId(network)),) if spec.mycelium_key else ()


def _network(id: NetId, want: NetworkSpec, facts: Facts) -> Network:
    overlay = subnet(public_key(want.mycelium_key)) if want.mycelium_key else ""
    return Network(
        id=id,
        twin=facts.twin,
        name=facts.name,
        ip_range=want.ip_range,
        subnet=want.subnet,
        private_key=want.private_key,
        listen_port=want.listen_port,
        peers=tuple(Peer(one.subnet, one.public_key, one.endpoint, one.allowed_ips) for one in want.peers),
        mycelium=str(overlay),
    )
