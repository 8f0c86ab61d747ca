"""`zos status CONTRACT`: a deployment's workloads."""

from __future__ import annotations

import argparse
from typing import Any

from zos.cli.context import Context
from zos.cli.exits import Exit
from zos.cli.parsing import Parser, whole
from zos.cli.render import table


def define(parser: Parser) -> None:
    parser.add_argument("contract", type=whole)
    parser.set_defaults(action=_status)


async def _status(arguments: argparse.Namespace, ctx: Context) -> int:
    node, found = await ctx.deployment(arguments.contract)
    sentence = (await node.why(arguments.contract)).sentence
    rows = [
        [one["name"], one["type"], one["version"], one["result"]["state"], addresses(one), one["result"]["message"]]
        for one in found["workloads"]
    ]
    text = table(["workload", "type", "version", "state", "addresses", "message"], rows)
    body = {"node": node.id, "sentence": sentence, "deployment": found}
    ctx.out.result(body, f"contract {arguments.contract} on node {node.id}\n{text}\n{sentence}")
    return Exit.REFUSED if any(row[3] == "error" for row in rows) else Exit.OK


def addresses(workload: dict[str, Any]) -> str:
    """A machine's addresses, in whatever networks it is, or those of a 0-db."""
    data = workload["result"]["data"] or {}
    if workload["type"] == "zdb" and data:
        return ", ".join(f"[{ip}]:{data['Port']}" for ip in dict.fromkeys(data["IPs"]))
    found = (value for key, value in data.items() if key == "ip" or key.endswith("_ip"))
    return ", ".join(value for value in found if isinstance(value, str) and value)
