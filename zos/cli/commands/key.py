"""`zos key`: your key."""

from __future__ import annotations

import argparse
from pathlib import Path

from zos.cli.context import Context
from zos.cli.parsing import Parser, subcommands
from zos.cli.render import fields
from zos.errors import Status, ZosError
from zos.runtime.files import write_atomic
from zos.substrate import LocalKey, address
from zos.substrate.keys import new_mnemonic


class KeyThere(ZosError):
    """A key file is never overwritten."""

    reason = "cli.key_there"
    status = Status.ALREADY_EXISTS
    text = "{path} already exists"
    hint = "choose another name: an overwritten key could not be restored"


def define(parser: Parser) -> None:
    add = subcommands(parser)
    new = add("new", "make a key: sr25519, twelve words in a file that only you can read", _new)
    new.add_argument("file", type=Path)
    add("show", "the address of your key", _show)


async def _new(arguments: argparse.Namespace, ctx: Context) -> None:
    if arguments.file.exists():
        raise KeyThere(path=arguments.file)
    words = new_mnemonic()
    write_atomic(arguments.file, words.encode() + b"\n")
    where = address(LocalKey.of_text(words).public)
    ctx.out.result({"file": str(arguments.file), "address": where}, f"{arguments.file} is the key of {where}")


async def _show(arguments: argparse.Namespace, ctx: Context) -> None:
    key = ctx.key()
    body = {"address": address(key.public), "public key": key.public.hex(), "type": key.kind.value}
    ctx.out.result(body, fields(body))
