"""The unit files that a lab's boxes start: a node's are the repository's own, every other box has its own. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from zos.lab.addresses import (
    CHAIN_PORT,
    DOMAIN,
    FORWARD_PORT,
    HUB_PORT,
    RESOLVERS,
    TLS_PORT,
    WEB_PORT,
    Addresses,
)
from zos.lab.init import METAL_PYTHON
from zos.lab.topology import Box, Kind, Layout, Topology
from zos.runtime import data

NODE_UNITS = data.folder("systemd")
"""The same files that a node of metal is installed with."""


def own_units(box: Box, topology: Topology, layout: Layout) -> Mapping[str, str]:
    """The units that are written for a box; none for a node, which has its own."""
    state, addresses = layout.box_state(box.name), topology.addresses
    match box.kind:
        case Kind.INTERNET:
            return {"dns.service": _service(_resolver(addresses), pause="5s")}
        case Kind.CHAIN:
            listen = ["--listen", f"{box.address}:{CHAIN_PORT}"]
            pace = ["--block-time", f"{topology.block_time:g}"]
            chain = _unit("zos.devchain", [*listen, *pace, "--data", str(state / "data")])
            return {"devchain.service": chain, "tls.service": _tls(box, CHAIN_PORT, layout)}
        case Kind.HUB:
            listen = ["--listen", f"{box.address}:{HUB_PORT}"]
            return {"hub.service": _unit("zos.hub", [*listen, "--root", str(state / "data")])}
        case Kind.RELAY:
            ports = ["--listen", f"{box.address}:{WEB_PORT}", "--listen-tls", f"{box.address}:{TLS_PORT}"]
            grid = ["--chain", addresses.chain_url, "--domain", addresses.relay_domain, "--allow", addresses.net]
            files = [*_files(layout), "--data", str(state / "data")]
            return {"relay.service": _unit("zos.relay", [*grid, *ports, *files])}
        case Kind.GRIDPROXY:
            grid = ["--chain", addresses.chain_url, "--relay", addresses.relay_url, "--key", str(layout.proxy_key)]
            proxy = [*grid, "--listen", f"{box.address}:{WEB_PORT}", "--database", str(state / "grid.sqlite")]
            kyc = ["--listen", f"{box.address}:{FORWARD_PORT}", *_files(layout), "--verdict", str(layout.kyc)]
            return {
                "gridproxy.service": _unit("zos.explorer", proxy),
                "kyc.service": _unit("zos.lab.kyc", kyc),
                "tls.service": _tls(box, WEB_PORT, layout),
            }
        case _:
            return {}


def _tls(box: Box, port: int, layout: Layout) -> str:
    """TLS on its own port, for clients that insist on it."""
    ports = ["--listen", f"{box.address}:{TLS_PORT}", "--to", f"{box.address}:{port}"]
    return _unit("zos.lab.tls_proxy", [*ports, *_files(layout)])


def _files(layout: Layout) -> list[str]:
    return ["--cert", str(layout.tls / "server.pem"), "--cert-key", str(layout.tls / "server.key")]


def _resolver(addresses: Addresses) -> list[str]:
    """dnsmasq, which knows the boxes by their names and says of every other that it is not there."""
    answers = ["--no-resolv", "--no-hosts", "--addn-hosts=/etc/hosts", "--expand-hosts", f"--domain={DOMAIN}"]
    listen = [f"--listen-address={address}" for address in (*RESOLVERS, addresses.gateway)]
    process = ["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--log-facility=-"]
    return [
        "/usr/sbin/dnsmasq", *process, "--user=nobody", "--group=nogroup", "--bind-interfaces", *listen, *answers,
        "--address=/#/",
    ]  # fmt: skip


def _unit(module: str, arguments: Sequence[str]) -> str:
    return _service([METAL_PYTHON, "-m", module, *arguments]) + "Environment=PYTHONUNBUFFERED=1\n"


def _service(argv: Sequence[str], pause: str = "200ms") -> str:
    return f"[Service]\nExecStart={shlex.join(argv)}\nRestart=always\nRestartSec={pause}\n"
