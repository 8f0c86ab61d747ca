"""`zos lab`: a small grid on this machine."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from zos.cli.client import demo
from zos.cli.context import Context
from zos.cli.parsing import Parser, verbs
from zos.cli.render import table
from zos.lab.errors import NoLab
from zos.lab.keeper import BoxStatus, Lab
from zos.lab.kyc import verdicts
from zos.lab.topology import (
    ACTIVATION_URL,
    CHAIN_TLS_URL,
    CHAIN_URL,
    FORWARD_URL,
    HUB_URL,
    PROXY_TLS_URL,
    PROXY_URL,
    RELAY_TLS_URL,
    Layout,
)
from zos.runtime.files import write_atomic

STATUSES = ("VERIFIED", "UNVERIFIED", "PENDING", "REJECTED")
SERVERS = (CHAIN_URL, PROXY_URL, RELAY_TLS_URL, HUB_URL)


def define(parser: Parser) -> None:
    verb = verbs(parser)
    up = verb("up", "build the lab, or start what is missing of it", _up)
    up.add_argument("--nodes", type=int, default=2, help="how many (default: %(default)s)")
    up.add_argument("--clients", action="store_true", help="make it usable by public grid clients, and tell how")
    verb("env", 'the environment for public grid clients: eval "$(zos lab env)"', _env)
    kyc = verb("kyc", "set what KYC answers for one user, or for everybody", _kyc)
    kyc.add_argument("status", choices=STATUSES)
    kyc.add_argument("who", nargs="?", default="", help="an address (clients ask so) or a twin (nodes do)")
    verb("down", "remove the lab and everything that runs in it", _down)
    verb("status", "what runs in the lab", _status)
    verb("off", "cut the power of boxes", _off).add_argument("box", nargs="+")
    verb("on", "give power to boxes that are off", _on).add_argument("box", nargs="+")
    execute = verb("exec", "run a program in a box: zos lab exec BOX -- PROGRAM ...", _exec)
    execute.add_argument("box")
    execute.add_argument("argv", nargs=argparse.REMAINDER)
    verb("demo", "build the lab, deploy two machines, show that they answer (make run)", _demo)


async def _up(arguments: argparse.Namespace, ctx: Context) -> None:
    lab = Lab(ctx.layout)
    with ctx.out.step(f"a lab of {arguments.nodes} nodes") as step:
        topology = await lab.up(arguments.nodes, step.at)
        if arguments.clients:
            await lab.publish_nodes(topology, step.at)
            step.at("the demo's guest on the hub")
            await asyncio.to_thread(demo.publish_guest, ctx.layout.box_state("hub") / "data")
            await lab.wait_for_proxy(topology, step.at)
    status = await lab.status()
    body = {
        "nodes": {one.name: one.node for one in status if one.node},
        "chain": CHAIN_URL,
        "hub": HUB_URL,
        "key": str(ctx.layout.user_key),
    }
    text = f"{_table(status)}\nchain {CHAIN_URL}   hub {HUB_URL}   your key {ctx.layout.user_key}"
    if arguments.clients:
        environment = clients(ctx.layout)
        body["clients"] = environment
        text += f"\n\nFor public clients (again with zos lab env):\n{_exports(environment)}"
    ctx.out.result(body, text)


def clients(layout: Layout) -> dict[str, str]:
    """What makes public grid clients use the lab: their environment."""
    own = ",".join(["localhost", "127.0.0.1", *(url.hostname or "" for url in map(urlsplit, SERVERS))])
    return {
        "NETWORK": "dev",
        "SUBSTRATE_URL": CHAIN_URL,
        "PROXY_URL": PROXY_URL,
        "GRAPHQL_URL": f"{PROXY_URL}/graphql",
        "RELAY_URL": RELAY_TLS_URL,
        "ACTIVATION_URL": ACTIVATION_URL,
        "HUB_URL": HUB_URL,
        "FLIST": f"{HUB_URL}/{demo.FLIST}",
        # For clients that accept nothing but TLS: Go's and Terraform's.
        "SUBSTRATE_TLS_URL": CHAIN_TLS_URL,
        "PROXY_TLS_URL": PROXY_TLS_URL,
        "KYC_URL": FORWARD_URL,
        # KYC's address is built into clients: they reach the lab's by a forward proxy, with the lab's certificate.
        "HTTPS_PROXY": FORWARD_URL,
        "NO_PROXY": own,
        "NODE_EXTRA_CA_CERTS": str(layout.tls / "ca.pem"),
        "SSL_CERT_FILE": str(layout.tls / "ca.pem"),
    }


def _exports(environment: Mapping[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())


async def _env(arguments: argparse.Namespace, ctx: Context) -> None:
    if Lab(ctx.layout).record() is None:
        raise NoLab()
    environment = clients(ctx.layout)
    ctx.out.result(environment, _exports(environment))


async def _kyc(arguments: argparse.Namespace, ctx: Context) -> None:
    if Lab(ctx.layout).record() is None:
        raise NoLab()
    known = verdicts(ctx.layout.kyc) if arguments.who else {}
    known[arguments.who] = arguments.status
    write_atomic(ctx.layout.kyc, json.dumps(known).encode())
    ctx.out.result({"kyc": known}, f"KYC says {arguments.status} of {arguments.who or 'everybody'}")


async def _down(arguments: argparse.Namespace, ctx: Context) -> None:
    with ctx.out.step("removing the lab") as step:
        await Lab(ctx.layout).down(step.at)
    ctx.out.result({"down": True}, "nothing of the lab is left")


async def _status(arguments: argparse.Namespace, ctx: Context) -> None:
    found = await Lab(ctx.layout).status()
    ctx.out.result([dataclasses.asdict(one) for one in found], _table(found))


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
    await _power(ctx, Lab(ctx.layout).dark() | set(arguments.box), f"cutting the power of {', '.join(arguments.box)}")


async def _on(arguments: argparse.Namespace, ctx: Context) -> None:
    await _power(ctx, Lab(ctx.layout).dark() - set(arguments.box), f"giving power to {', '.join(arguments.box)}")


async def _power(ctx: Context, off: frozenset[str], words: str) -> None:
    with ctx.out.step(words) as step:
        await Lab(ctx.layout).power(off, step.at)
    text = f"off: {', '.join(sorted(off)) or 'none'}   zos lab on BOX, zos lab up: all of them"
    ctx.out.result({"off": sorted(off)}, text)


async def _exec(arguments: argparse.Namespace, ctx: Context) -> None:
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    inside = Lab(ctx.layout).inside(arguments.box, argv or ["sh"])
    sys.stdout.flush()
    os.execvp(inside[0], inside)  # noqa: S606 - becoming the program is the point


async def _demo(arguments: argparse.Namespace, ctx: Context) -> None:
    found = await demo.run(ctx)
    ctx.out.result(found.body, found.text)
