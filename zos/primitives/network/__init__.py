"""network: this node's share of a user's WireGuard network."""

from zos.primitives.network.plan import UserNetwork

PRIMITIVE = UserNetwork()
