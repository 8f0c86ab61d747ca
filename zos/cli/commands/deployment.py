"""`zos deployment`: hash, sign and verify a deployment's JSON, offline."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from zos.cli.commands.deploy import NoFile
from zos.cli.context import Context
from zos.cli.parsing import Parser, subcommands
from zos.model import signing
from zos.model.challenge import deployment_challenge, deployment_hash
from zos.model.deployment import Deployment, Signature, decode, encode
from zos.substrate import public_key


def define(parser: Parser) -> None:
    add = subcommands(parser)
    hashing = add("hash", "the 32 hex characters that its contract carries", _hash)
    hashing.add_argument("--challenge", action="store_true", help="show the text that is hashed, too")
    signing_ = add("sign", "add your signature", _sign)
    signing_.add_argument("--out", type=Path, help="where to write (default: standard output)")
    verify = add("verify", "check its signatures", _verify)
    verify.add_argument(
        "--signer", action="append", default=[], metavar="TWIN=ADDRESS", help="a signer's account; may be repeated"
    )
    for made in (hashing, signing_, verify):
        made.add_argument("file", type=Path)


def _read(path: Path) -> Deployment:
    try:
        return decode(path.read_bytes())
    except OSError as err:
        raise NoFile(path=path, problem=err.strerror) from None


async def _hash(arguments: argparse.Namespace, ctx: Context) -> None:
    deployment = _read(arguments.file)
    digest = deployment_hash(deployment).hex()
    challenge = deployment_challenge(deployment).decode()
    text = f"{challenge}\n{digest}" if arguments.challenge else digest
    ctx.out.result({"hash": digest, "challenge": challenge}, text)


async def _sign(arguments: argparse.Namespace, ctx: Context) -> None:
    deployment, key = _read(arguments.file), ctx.key()
    style = deployment.signature_requirement.signature_style
    message = signing.message(deployment_hash(deployment), style)
    mine = Signature(deployment.twin_id, key.signed(message).hex(), key.kind)
    others = [one for one in deployment.signature_requirement.signatures if one.twin_id != mine.twin_id]
    text = json.dumps(encode(deployment.signed_by(*others, mine)), indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n")
        ctx.out.result({"file": str(arguments.out)}, f"signed: {arguments.out}")
    else:
        ctx.out.text(text)


async def _verify(arguments: argparse.Namespace, ctx: Context) -> None:
    deployment = _read(arguments.file)
    keys = {}
    for pair in arguments.signer:
        twin, _, account = pair.partition("=")
        keys[int(twin)] = public_key(account)
    if not keys:
        for twin_id in signing.signers(deployment):
            entry = await ctx.chain().query("TfgridModule", "Twins", twin_id)
            if entry is not None:
                keys[twin_id] = entry["account_id"]
    signing.check(deployment, deployment_hash(deployment), keys)
    ctx.out.result({"ok": True}, "the signatures hold")
