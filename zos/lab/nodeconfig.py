"""A lab node's `/etc/zos/zos.toml`. Pure. Nothing in it says that this is a lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from zos.lab.addresses import PUBLIC_NET, Addresses
from zos.lab.topology import Box

Value = int | float | bool | str | Sequence[str]


def node_config(box: Box, addresses: Addresses, farm: int, ssd: Sequence[Path], hdd: Sequence[Path] = ()) -> str:
    """The configuration of one node."""
    disks = {"disks": [*ssd, *hdd], "ssd": ssd, "hdd": hdd}
    tables: dict[str, dict[str, Value]] = {
        "node": {
            "farm_id": farm,
            "chain": [addresses.chain_url],
            "relay": [addresses.relay_url],
            "hub": addresses.hub_url,
            "runmode": "dev",
        },
        # The files behind the loop devices: their numbers change, the files do not.
        "storaged": {key: [str(path) for path in paths] for key, paths in disks.items()},
        "chain": {"activation": addresses.activation_url},
        "capacityd": {"uptime": 20.0, "public": 2.0},
        # The lab's Internet is the very network that nodes are in.
        "networkd": {"open": [addresses.net, PUBLIC_NET]},
        # It has addresses that are nobody's: they count as public here.
        "flistd": {"allowed": [addresses.net]},
        "provisiond": {"audit": 30.0, "allowed": [addresses.net]},
    }
    return f"# Written by the lab for {box.name}.\n" + render(tables)


def render(tables: Mapping[str, Mapping[str, Value]]) -> str:
    """TOML text of tables of plain values."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, int | float):
        return str(value)
    return "[" + ", ".join(_value(item) for item in value) + "]"
