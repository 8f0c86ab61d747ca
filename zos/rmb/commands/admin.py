"""`zos.admin.*`: what a farmer asks of his node. Clients also write `zos.network.admin.*`."""

from __future__ import annotations

from typing import Any

from zos.errors import Status, ZosError
from zos.rmb.commands.network import addresses
from zos.rmb.router import Access, Call, Command


class NotSupported(ZosError):
    """This kind of node has no such thing."""

    reason = "rmb.not_supported"
    status = Status.FAILED_PRECONDITION
    text = "not supported"


async def interfaces(call: Call) -> dict[str, Any]:
    """`{nic: {ips: [address with prefix], mac}}` of the bridge `zos` and the cards behind it."""
    return {
        uplink.name: {
            "ips": [text for text in uplink.addresses if text.partition("/")[0] in set(map(str, addresses(uplink)))],
            "mac": uplink.mac,
        }
        for uplink in await call.node.networkd.uplinks()
    }


async def public_nic(call: Call) -> None:
    """Refused, as by every node without a public bridge: all traffic leaves by `zos`."""
    raise NotSupported()


COMMANDS = (
    Command("zos.admin.interfaces", interfaces, Access.FARMER, ("zos.network.admin.interfaces",)),
    Command("zos.admin.get_public_nic", public_nic, Access.FARMER, ("zos.network.admin.get_public_nic",)),
    Command("zos.admin.set_public_nic", public_nic, Access.FARMER, ("zos.network.admin.set_public_nic",)),
)
