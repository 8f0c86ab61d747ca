"""`zos deploy FILE.yaml`: create or update what a file describes."""

from __future__ import annotations

import argparse
from contextlib import AsyncExitStack
from pathlib import Path

from zos.cli.client import deploy, spec, vault, waiting
from zos.cli.commands.vault import add_relay
from zos.cli.context import Context
from zos.cli.parsing import Parser, amount
from zos.cli.render import table
from zos.errors import Status, ZosError


class NoFile(ZosError):
    """The file cannot be read."""

    reason = "cli.no_file"
    status = Status.NOT_FOUND
    text = "{path} cannot be read: {problem}"


def define(parser: Parser) -> None:
    parser.add_argument("file", type=Path, help="YAML; examples/vm.yaml is one")
    parser.add_argument("--no-wait", action="store_true", help="return when the contracts are on the chain")
    parser.add_argument(
        "--vault", action="store_true", help="serve the deployments to the nodes yourself, through RMB, without a hub"
    )
    add_relay(parser)
    parser.add_argument(
        "--timeout", type=amount, default=180.0, metavar="SECONDS", help="how long to wait (default: %(default)g)"
    )
    parser.set_defaults(action=_deploy)


def read(path: Path) -> spec.Spec:
    """Read and parse the user's file."""
    try:
        return spec.parse(path.read_text())
    except (OSError, UnicodeDecodeError) as err:
        raise NoFile(path=path, problem=err) from None


async def _deploy(arguments: argparse.Namespace, ctx: Context) -> None:
    wanted = read(arguments.file)
    for note in spec.rounded(wanted):
        ctx.out.note(note)
    store = vault.store(ctx) if arguments.vault else None
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(vault.served(ctx, store, arguments.relay)) if store else None
        with ctx.out.step("signing, publishing, making the contracts"):
            deployed = await deploy.deploy(ctx, wanted, store)
        if store and served and not arguments.no_wait:
            with ctx.out.step("waiting for the nodes to fetch from your vault"):
                await store.wait_until_fetched(arguments.timeout)
        if not arguments.no_wait:
            with ctx.out.step("waiting for the nodes to fetch, check and build") as step:
                await waiting.wait(ctx, deployed, step, arguments.timeout)
    body = {
        "name": deployed.name,
        "contracts": dict(deployed.contracts),
        "addresses": dict(deployed.addresses),
    }
    rows = [[node, contract] for node, contract in deployed.contracts.items()]
    first = next(iter(deployed.contracts.values()), "CONTRACT")
    addresses = "\n".join(f"{name}: {address}" for name, address in deployed.addresses.items())
    hint = f"to connect: zos wg {first} > wg0.conf   to look: zos status {first}   to end: zos cancel {first}"
    if store and arguments.no_wait:
        hint += "\nserve your vault until the nodes have fetched: zos vault serve"
    ctx.out.result(body, f"{table(['node', 'contract'], rows)}\n{addresses}\n{hint}")
