"""The demo of `make run`: a lab, a signed contract for each node, and the check from the user's own namespace."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zos import hub
from zos.cli.client import deploy, spec, waiting
from zos.cli.client.deploy import Deployed
from zos.cli.client.network import wg_quick
from zos.cli.context import Context
from zos.cli.render import table
from zos.errors import Status, ZosError
from zos.lab.addresses import Addresses
from zos.lab.manager import Lab
from zos.model.names import workload_id
from zos.primitives import machine_types
from zos.provisiond.api import ProvisiondClient
from zos.runtime import data, proc, threads
from zos.vmd.api import VmdClient
from zos.vmd.api.types import MachineId

NODES = 2
FILE = data.folder("examples") / "vm.yaml"
FLIST = "demo/web.fl"
BUSYBOX = Path("/bin/busybox")
APPLETS = """sh hostname date mkdir chmod echo printf nc httpd cat ip ls ping ps mount df free top vi id uname sleep
kill tail sed"""
LINK = "demo0"
ANSWER = 60.0
PACK = 120.0
"""Seconds for packing a small flist."""
WEB = """\
#!/bin/sh
# The first process of the demo's machine: a page that tells who answers, and one that asks the other machine
# (or peer?ADDRESS).
mkdir -p /www/cgi-bin
echo "hello from $(hostname)" > /www/index.html
date > /data/started
cat > /www/cgi-bin/peer <<END
#!/bin/sh
# A static busybox's wget cannot resolve even an address, so HTTP is spoken by hand.
echo Content-Type: text/plain
echo
printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 "\\${QUERY_STRING:-$PEER}" 80 | sed '1,/^.$/d'
END
chmod +x /www/cgi-bin/peer
echo "web: serving"
exec httpd -f -p 80 -h /www
"""


class NotProved(ZosError):
    """A machine does not answer as it should."""

    reason = "demo.not_proved"
    status = Status.FAILED_PRECONDITION
    text = "{what}: {problem}"
    hint = "zos why {machine} tells what happened; zos lab status and zos logs tell more"


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The demo's answer, for programs and for people."""

    body: Mapping[str, Any]
    text: str


async def run(ctx: Context) -> Demonstration:
    """Run the demo; raises for the first check that fails."""
    lab, began = Lab(ctx.layout), time.monotonic()
    times: dict[str, float] = {}
    with ctx.out.step(f"a lab of {NODES} nodes, a chain, a hub and a user") as step:
        await lab.up(NODES, step.at)
        times["lab"] = step.seconds()
    with ctx.out.step("the demo's guest on the hub") as step:
        await publish_guest(ctx.layout.box_state("hub") / "data", lab.addresses.hub_url)
        times["guest"] = step.seconds()
    # The example is written for the default lab's hub.
    wanted = spec.parse(FILE.read_text().replace(Addresses().hub_url, lab.addresses.hub_url))
    with ctx.out.step("signing, publishing, making the contracts") as step:
        deployed = await deploy.deploy(ctx, wanted)
        times["contracts"] = step.seconds()
    with ctx.out.step("waiting for the nodes to fetch, check and build") as step:
        await waiting.wait(ctx, deployed, step)
        times["workloads ok"] = step.seconds()
    with ctx.out.step("asking the machines through WireGuard") as step:
        proofs = await prove(lab, deployed, step.at)
        times["proof"] = step.seconds()
    times["all"] = time.monotonic() - began
    phases = await _phases(ctx, deployed)
    body = {
        "contracts": dict(deployed.contracts),
        "addresses": dict(deployed.addresses),
        "proved": proofs,
        "seconds": {name: round(value, 2) for name, value in times.items()},
        "phases": phases,
    }
    return Demonstration(body, _text(deployed, proofs, times, phases))


async def publish_guest(root: Path, url: str) -> None:
    """A small root file system (busybox and its web server) as a flist below the folder of the hub at `url`."""
    if not (root / FLIST).exists():
        await threads.run("pack the demo's guest", lambda: _pack_guest(root, url), PACK)


def _pack_guest(root: Path, url: str) -> None:
    out = root / FLIST
    with tempfile.TemporaryDirectory(prefix="zos-demo-") as folder:
        tree = Path(folder)
        for name in ("bin", "sbin", "etc", "data", "dev", "proc", "sys", "tmp", "root", "run", "www"):
            (tree / name).mkdir()
        shutil.copy2(BUSYBOX, tree / "bin" / "busybox")
        for applet in APPLETS.split():
            (tree / "bin" / applet).symlink_to("busybox")
        (tree / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (tree / "etc" / "group").write_text("root:x:0:\n")
        (tree / "sbin" / "web").write_text(WEB)
        (tree / "sbin" / "web").chmod(0o755)
        out.parent.mkdir(parents=True, exist_ok=True)
        hub.build(tree, out, root=root, url=url)


async def prove(lab: Lab, deployed: Deployed, say: Any) -> dict[str, str]:
    """Check that every machine answers HTTP through WireGuard, and that it reaches another one."""
    await connect(lab, wg_quick(next(plan for plan in deployed.networks if plan.user is not None)))
    proofs: dict[str, str] = {}
    for name, address in deployed.addresses.items():
        say(f"asking {name} at {address}")
        text = await _get(lab, name, f"http://{address}/", f"hello from {name}")
        proofs[f"user → {name}"] = text
    names = list(deployed.addresses)
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        say(f"asking {name} for {other}")
        url = f"http://{deployed.addresses[name]}/cgi-bin/peer"
        proofs[f"{name} → {other}"] = await _get(lab, name, url, f"hello from {other}")
    return proofs


async def _get(lab: Lab, machine: str, url: str, expected: str) -> str:
    """Ask until the answer is the expected one; NotProved after ANSWER seconds."""
    deadline = time.monotonic() + ANSWER
    while True:
        try:
            seen = (
                await lab.run("user", ["curl", "-sf", "--noproxy", "*", "--max-time", "8", url], deadline=12)
            ).strip()
        except ZosError as err:
            seen = str(err)
        if seen == expected:
            return seen
        if time.monotonic() > deadline:
            raise NotProved(what=url, problem=f"`{expected}` was expected, last seen: {seen}", machine=machine)
        await asyncio.sleep(0.1)


async def connect(lab: Lab, configuration: str) -> None:
    """Set up the user's end of the tunnel from what `zos wg` prints. `wg setconf` does not take wg-quick's own keys."""
    own = {"Address": "", "AllowedIPs": ""}
    kept = []
    for line in configuration.splitlines():
        name, _, value = (part.strip() for part in line.partition("="))
        if name in own:
            own[name] = value
        if name != "Address":
            kept.append(line)
    with contextlib.suppress(ZosError):
        await lab.run("user", ["ip", "link", "del", LINK])
    try:
        await lab.run("user", ["ip", "link", "add", LINK, "type", "wireguard"])
    except ZosError:
        await proc.run(lab.inside("user", ["wireguard-go", LINK]), deadline=10)
    # The private key goes by standard input, never by the command line.
    await lab.run("user", ["wg", "setconf", LINK, "/dev/stdin"], input="\n".join(kept).encode())
    await lab.run("user", ["ip", "address", "add", own["Address"], "dev", LINK])
    await lab.run("user", ["ip", "link", "set", LINK, "up"])
    for route in own["AllowedIPs"].split(","):
        await lab.run("user", ["ip", "route", "replace", route.strip(), "dev", LINK])


async def _phases(ctx: Context, deployed: Deployed) -> dict[str, dict[str, float]]:
    """Per machine: seconds of each of the node's steps, and of the guest's own start."""
    found: dict[str, dict[str, float]] = {}
    for node, contract in deployed.contracts.items():
        bus = (await ctx.which(str(node))).bus
        body = await ProvisiondClient(bus).get(contract)
        for workload in body["workloads"]:
            if workload["type"] not in machine_types():
                continue
            why = await ProvisiondClient(bus).why(contract, workload["name"])
            steps: dict[str, float] = {}
            taken = [link for link in why.history if link.took]
            for link in taken:
                word = link.what.split()[0]
                steps[word] = round(steps.get(word, 0.0) + link.took, 3)
            if taken:
                began = min(link.at - link.took for link in taken)
                steps["fetch to ok"] = round(max(link.at for link in taken) - began, 3)
            machine = await VmdClient(bus).machine(MachineId(workload_id(body["twin_id"], contract, workload["name"])))
            steps |= {f"guest {name}": round(value, 3) for name, value in machine.phases.items()}
            found[workload["name"]] = steps
    return found


def _text(
    deployed: Deployed,
    proofs: Mapping[str, str],
    times: Mapping[str, float],
    phases: Mapping[str, Mapping[str, float]],
) -> str:
    names = list(dict.fromkeys(name for steps in phases.values() for name in steps))
    rows = [[name, *(phases[machine].get(name) for machine in phases)] for name in names]
    first = next(iter(deployed.contracts.values()))
    return "\n".join(
        [
            "",
            table(["proved", "answer"], [[what, answer] for what, answer in proofs.items()]),
            "",
            table(["step", *phases], rows) if rows else "",
            "",
            table(["phase", "seconds"], [[name, value] for name, value in times.items()]),
            "",
            "Look around:",
            f"  zos lab status          zos status {first}          zos why {first} vm1",
            f"  zos logs {first} vm1        zos lab exec node-1 -- ip -br link",
            "Remove it:",
            "  zos lab down            (zos is .venv/bin/zos)",
        ]
    )
