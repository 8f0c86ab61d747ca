"""The commands. A module defines one, or a few that belong together, and is imported only when its command is named."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zos.cli.parsing import Parser


@dataclass(frozen=True, slots=True)
class Command:
    """One command of `zos`."""

    name: str
    help: str
    module: str = ""
    """The module below this package, if its name is not the command's."""
    extra: str = ""
    """The extra of the package that brings what the command needs beyond what all need."""

    def define(self, parser: Parser) -> None:
        """Add the command's options and subcommands to its parser, by the module's `define` or `define_<command>`."""
        module = importlib.import_module(f"{__name__}.{self.module or self.name}")
        function: Callable[[Parser], None] = getattr(module, f"define_{self.name}" if self.module else "define")
        function(parser)


GROUPS: Mapping[str, tuple[Command, ...]] = {
    "You on the grid": (
        Command("key", "make your key, show its address"),
        Command("twin", "your identity on the chain, and those of others"),
        Command("farm", "owners of nodes"),
        Command("node", "the machines of the grid"),
        Command("contract", "what twins have reserved"),
    ),
    "Your deployments": (
        Command("deploy", "create or change what a file describes"),
        Command("ps", "what you run, by name"),
        Command("status", "the workloads of a deployment and how they are"),
        Command("why", "how a deployment came to be as it is, from the block to the console"),
        Command("wg", "your WireGuard configuration for a network (it holds a private key)"),
        Command("logs", "what a machine wrote to its console", "console"),
        Command("console", "type on a machine's console (leave with Ctrl-])", "console"),
        Command("cancel", "end contracts; their data is kept for a while"),
        Command("vault", "hand your signed deployments to nodes yourself, without a hub"),
        Command("deployment", "hash, sign, verify a deployment's JSON (offline)"),
        Command("flist", "pack a folder or tar so that machines can boot it"),
    ),
    "A node from the inside": (
        Command("units", "the daemons of a node", "inside"),
        Command("pools", "the disks of a node and how much of them is reserved", "inside"),
        Command("planetary", "the node in the planetary network, or why it is not there", "inside"),
        Command("mycelium", "the node and its networks in Mycelium, or why they are not there", "inside"),
        Command("tombstones", "dropped disks and volumes that are still kept", "inside"),
        Command("undelete", "bring a dropped disk or volume back", "inside"),
    ),
    "A grid of your own": (
        Command("lab", "a small grid on this machine", extra="lab"),
        Command("devchain", "the lab's chain: time, money, faults, farmers' pay"),
        Command("relay", "carry RMB messages between twins", extra="service"),
        Command("zdb", "serve 0-db namespaces from two folders", extra="service"),
        Command("gridproxy", "serve the grid proxy: REST and GraphQL about what is on the chain", extra="service"),
    ),
    "This program": (Command("completion", "completion of commands and options for your shell"),),
}
COMMANDS: Mapping[str, Command] = {command.name: command for group in GROUPS.values() for command in group}
