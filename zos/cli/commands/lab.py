"""`zos lab`: a small grid on this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from zos.cli.context import Context
from zos.cli.parsing import Parser, subcommands, whole
from zos.cli.render import table
from zos.lab.kyc import verdicts
from zos.lab.manager import BoxStatus, Lab, labs
from zos.lab.topology import Layout
from zos.runtime.files import write_atomic

STATUSES = ("VERIFIED", "UNVERIFIED", "PENDING", "REJECTED")


def define(parser: Parser) -> None:
    add_plain = subcommands(parser)

    def add(name: str, help: str, action: Any) -> Parser:
        made = add_plain(name, help, action)
        made.add_argument("--name", default="", help="which of this machine's labs (or ZOS_LAB; default: lab)")
        return made

    up = add("up", "build the lab, or start what is missing of it", _up)
    up.add_argument("--nodes", type=whole, default=2, help="how many (default: %(default)s)")
    up.add_argument("--clients", action="store_true", help="make it usable by public grid clients, and tell how")
    add("env", 'the environment for public grid clients: eval "$(zos lab env)"', _env)
    kyc = add("kyc", "set what KYC answers for one user, or for everybody", _kyc)
    kyc.add_argument("status", choices=STATUSES)
    kyc.add_argument("who", nargs="?", default="", help="an address (clients ask so) or a twin (nodes do)")
    add("down", "remove the lab and everything that runs in it", _down)
    add("status", "what runs in the lab", _status)
    add("list", "the labs of this machine", _list)
    add("off", "cut the power of boxes", _off).add_argument("box", nargs="+")
    add("on", "give power to boxes that are off", _on).add_argument("box", nargs="+")
    execute = add("exec", "run a program in a box: zos lab exec BOX -- PROGRAM ...", _exec)
    execute.add_argument("box")
    execute.add_argument("argv", nargs=argparse.REMAINDER)
    add("demo", "build the lab, deploy two machines, show that they answer (make run)", _demo)


def _lab(arguments: argparse.Namespace, ctx: Context) -> Lab:
    """The lab that is meant; whatever else the command does is about the same one."""
    if arguments.name:
        ctx.layout = Layout.of(arguments.name)
    return Lab(ctx.layout)


async def _up(arguments: argparse.Namespace, ctx: Context) -> None:
    from zos.cli.client import demo  # with what it deploys by it takes most of the time of `zos lab list`

    lab = _lab(arguments, ctx)
    with ctx.out.step(f"a lab of {arguments.nodes} nodes") as step:
        topology = await lab.up(arguments.nodes, step.at)
        if arguments.clients:
            await lab.publish_nodes(topology, step.at)
            step.at("the demo's guest on the hub")
            await demo.publish_guest(ctx.layout.box_state("hub") / "data", lab.addresses.hub_url)
            await lab.wait_for_proxy(topology, step.at)
    status, addresses = await lab.status(), lab.addresses
    body = {
        "nodes": {one.name: one.node for one in status if one.node},
        "chain": addresses.chain_url,
        "hub": addresses.hub_url,
        "key": str(ctx.layout.user_key),
    }
    text = f"{_table(status)}\nchain {body['chain']}   hub {body['hub']}   your key {body['key']}"
    if arguments.clients:
        environment = clients(lab)
        body["clients"] = environment
        text += f"\n\nFor public clients (again with zos lab env):\n{_exports(environment)}"
    ctx.out.result(body, text)


def clients(lab: Lab) -> dict[str, str]:
    """What makes public grid clients use the lab: their environment."""
    from zos.cli.client import demo

    at, authority = lab.addresses, str(lab.layout.tls / "ca.pem")
    servers = (at.chain_url, at.proxy_url, at.relay_tls_url, at.hub_url)
    own = ",".join(["localhost", "127.0.0.1", *(url.hostname or "" for url in map(urlsplit, servers))])
    return {
        "NETWORK": "dev",
        "SUBSTRATE_URL": at.chain_url,
        "PROXY_URL": at.proxy_url,
        "GRAPHQL_URL": f"{at.proxy_url}/graphql",
        "RELAY_URL": at.relay_tls_url,
        "ACTIVATION_URL": at.activation_url,
        "HUB_URL": at.hub_url,
        "FLIST": f"{at.hub_url}/{demo.FLIST}",
        # For clients that accept nothing but TLS: Go's and Terraform's.
        "SUBSTRATE_TLS_URL": at.chain_tls_url,
        "PROXY_TLS_URL": at.proxy_tls_url,
        "KYC_URL": at.forward_url,
        # KYC's address is built into clients: they reach the lab's by a forward proxy, with the lab's certificate.
        "HTTPS_PROXY": at.forward_url,
        "NO_PROXY": own,
        "NODE_EXTRA_CA_CERTS": authority,
        "SSL_CERT_FILE": authority,
    }


def _exports(environment: Mapping[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())


async def _env(arguments: argparse.Namespace, ctx: Context) -> None:
    environment = clients(_lab(arguments, ctx))
    ctx.out.result(environment, _exports(environment))


async def _kyc(arguments: argparse.Namespace, ctx: Context) -> None:
    lab = _lab(arguments, ctx)
    lab.need_record()
    known = verdicts(lab.layout.kyc) if arguments.who else {}
    known[arguments.who] = arguments.status
    write_atomic(lab.layout.kyc, json.dumps(known).encode())
    ctx.out.result({"kyc": known}, f"KYC says {arguments.status} of {arguments.who or 'everybody'}")


async def _down(arguments: argparse.Namespace, ctx: Context) -> None:
    lab = _lab(arguments, ctx)
    with ctx.out.step(f"removing the lab {lab.layout.name}") as step:
        await lab.down(step.at, is_named=bool(arguments.name))
    others = ", ".join(one.name for one in labs(ctx.layout))
    text = "nothing of the lab is left" + (f"; also on this machine: {others}" if others else "")
    ctx.out.result({"down": True}, text)


async def _status(arguments: argparse.Namespace, ctx: Context) -> None:
    found = await _lab(arguments, ctx).status()
    ctx.out.result([dataclasses.asdict(one) for one in found], _table(found))


async def _list(arguments: argparse.Namespace, ctx: Context) -> None:
    found = labs(_lab(arguments, ctx).layout)
    rows: list[list[str | int]] = [[one.name, one.network, one.nodes, one.boxes, one.code] for one in found]
    text = table(["lab", "network", "nodes", "boxes that run", "built by the copy of zos in"], rows)
    ctx.out.result([dataclasses.asdict(one) for one in found], text if rows else "no lab is on this machine")


def _table(boxes: tuple[BoxStatus, ...]) -> str:
    rows = []
    for box in boxes:
        running = sum(unit.state == "running" for unit in box.units)
        units = f"{running} of {len(box.units)} run" if box.units else ""
        rows.append(
            [box.name, box.address, box.node or None, units, box.acceleration, box.planetary, box.mycelium, box.detail]
        )
    return table(["box", "address", "node", "daemons", "machines by", "planetary network", "mycelium", "detail"], rows)


async def _off(arguments: argparse.Namespace, ctx: Context) -> None:
    lab = _lab(arguments, ctx)
    await _power(ctx, lab, lab.off() | set(arguments.box), f"cutting the power of {', '.join(arguments.box)}")


async def _on(arguments: argparse.Namespace, ctx: Context) -> None:
    lab = _lab(arguments, ctx)
    await _power(ctx, lab, lab.off() - set(arguments.box), f"giving power to {', '.join(arguments.box)}")


async def _power(ctx: Context, lab: Lab, off: frozenset[str], words: str) -> None:
    with ctx.out.step(words) as step:
        await lab.power(off, step.at)
    text = f"off: {', '.join(sorted(off)) or 'none'}   zos lab on BOX, zos lab up: all of them"
    ctx.out.result({"off": sorted(off)}, text)


async def _exec(arguments: argparse.Namespace, ctx: Context) -> None:
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    inside = _lab(arguments, ctx).inside(arguments.box, argv or ["sh"])
    sys.stdout.flush()
    os.execvp(inside[0], inside)  # noqa: S606 - becoming the program is the point


async def _demo(arguments: argparse.Namespace, ctx: Context) -> None:
    from zos.cli.client import demo

    _lab(arguments, ctx)
    found = await demo.run(ctx)
    ctx.out.result(found.body, found.text)
