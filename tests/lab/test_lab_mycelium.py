"""Mycelium in a lab: two machines on two nodes, whose nodes found each other, meet at their mycelium addresses."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import labs
import pytest
from labs import LAYOUT, box_of, contracts, eventually, guests, kill, unit_pid, web, zos

from zos.bus.client import Bus
from zos.lab.manager import Lab
from zos.model.names import net_id
from zos.mycelium.api import MyceliumClient

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

NAMES = {1: "mycone", 2: "myctwo"}
NETWORK = "mycnet"
SPEC = """
name: myc
networks:
  mycnet: {range: 10.79.0.0/16}
machines:
  mycone: {node: 1, flist: WEB, memory: 256MiB, entrypoint: /sbin/web, mycelium: true}
  myctwo: {node: 2, flist: WEB, memory: 256MiB, entrypoint: /sbin/web, mycelium: true}
"""


def addresses(state: Path) -> dict[int, tuple[str, str]]:
    """Each node's machine: its address in the overlay, and the namespace of its network."""
    found = {}
    for contract in contracts("myc", state):
        status = zos("status", str(contract), state=state)
        (machine,) = (one for one in status["deployment"]["workloads"] if one["type"] == "zmachine")
        namespace = f"n-{net_id(status['deployment']['twin_id'], NETWORK)}"
        found[status["node"]] = (machine["result"]["data"]["mycelium_ip"], namespace)
    return found


async def all_answer(boxes: dict[int, str], found: dict[int, tuple[str, str]]) -> None:
    """Each machine, asked from the other node's network in the overlay, asks the machine of that node."""
    for node in NAMES:
        other = 3 - node
        url = f"http://[{found[node][0]}]/cgi-bin/peer?{found[other][0]}"
        inside = ["ip", "netns", "exec", found[other][1], "curl", "-gsf", "--max-time", "8", url]

        async def asks(box: str = boxes[other], argv: list[str] = inside, name: str = NAMES[other]) -> bool:
            return (await Lab(LAYOUT).run(box, argv)).strip() == f"hello from {name}"

        await eventually(asks, 60)


async def test_machines_of_two_nodes_meet_in_the_mycelium_overlay(
    demo: dict[str, Any], state: Path, tmp_path: Path
) -> None:
    zos("lab", "demo", state=state)
    (tmp_path / "myc.yaml").write_text(SPEC.replace("WEB", web()))
    zos("deploy", str(tmp_path / "myc.yaml"), state=state)
    boxes = {node: box_of(node, state) for node in NAMES}
    found = addresses(state)
    assert all(address.split(":")[4] == "ff0f" for address, _ in found.values())
    assert len(set(found.values())) == 2
    await all_answer(boxes, found)

    async def is_filtered() -> bool:
        with urllib.request.urlopen(
            f"{labs.addresses().proxy_url}/nodes?features=mycelium&status=up", timeout=5
        ) as answer:
            return {one["nodeId"] for one in json.load(answer)} == set(NAMES)

    await eventually(is_filtered, 60)
    told = {one["node"]: one["mycelium"] for one in zos("lab", "status", state=state) if one["node"]}
    async with Bus(LAYOUT.sockets(boxes[1])) as bus:
        assert told[1] == (await MyceliumClient(bus).overlay()).address
    shown = zos("mycelium", "1", state=state)
    assert shown["peers"]
    assert [one["attached"] for one in shown["networks"]] == [True]

    # Neither the router nor networkd is missed for long, and guests do not notice.
    before = await guests(boxes[1])
    for unit in ("mycelium", "networkd"):
        await kill(boxes[1], await unit_pid(boxes[1], unit))
        await all_answer(boxes, found)
    assert await guests(boxes[1]) == before

    # A node that boots has the same networks, and so do its machines.
    zos("lab", "off", boxes[2], state=state)
    zos("lab", "on", boxes[2], state=state)
    zos("lab", "up", state=state)
    await all_answer(boxes, found)
    assert addresses(state) == found

    await asyncio.gather(*(asyncio.to_thread(zos, "cancel", str(one), state=state) for one in contracts("myc", state)))

    async def gone() -> bool:
        for box in boxes.values():
            shown = await Lab(LAYOUT).run(box, ["ip", "-o", "link"])
            async with Bus(LAYOUT.sockets(box)) as bus:
                if " m-" in shown or " y-" in shown or await MyceliumClient(bus).identities():
                    return False
        return True

    await eventually(gone, 60)
