"""Decides what a network needs. Pure."""

from __future__ import annotations

from zos.model.decode import Fields
from zos.model.names import WorkloadId, net_id
from zos.networkd.api.types import NetId, Network, Peer
from zos.primitives.network.spec import NetworkSpec, parse
from zos.verbs.primitive import Facts, Primitive
from zos.verbs.steps import DropNetwork, EnsureNetwork, Step


class UserNetwork(Primitive[NetworkSpec]):
    """One network resource of networkd."""

    wire_type = "network"
    sharable = True
    features = ("wireguard",)

    def parse(self, data: Fields) -> NetworkSpec:
        return parse(data)

    def plan(
        self, id: WorkloadId, want: NetworkSpec | None, have: NetworkSpec | None, facts: Facts
    ) -> tuple[Step, ...]:
        network = NetId(net_id(facts.twin, facts.name))
        if want is None:
            return (DropNetwork(network),)
        if want == have:
            return ()
        peers = tuple(Peer(one.subnet, one.public_key, one.endpoint, one.allowed_ips) for one in want.peers)
        return (
            EnsureNetwork(
                Network(
                    id=network,
                    twin=facts.twin,
                    name=facts.name,
                    ip_range=want.ip_range,
                    subnet=want.subnet,
                    private_key=want.private_key,
                    listen_port=want.listen_port,
                    peers=peers,
                )
            ),
        )
