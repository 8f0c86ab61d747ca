"""The planetary network in a lab: two machines on two nodes, found by nothing but their planetary addresses."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import labs
import pytest
from labs import LAYOUT, box_of, contracts, eventually, guests, kill, unit_pid, web, zos

from zos.lab.manager import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

NAMES = {1: "yggone", 2: "yggtwo"}
SPEC = """
name: planet
networks:
  yggnet: {range: 10.78.0.0/16}
machines:
  yggone: {node: 1, flist: WEB, memory: 256MiB, entrypoint: /sbin/web, planetary: true}
  yggtwo: {node: 2, flist: WEB, memory: 256MiB, entrypoint: /sbin/web, planetary: true}
"""


async def get(box: str, address: str, path: str = "") -> str:
    """What a machine answers to a box, over the planetary network."""
    return (await Lab(LAYOUT).run(box, ["curl", "-gsf", "--max-time", "8", f"http://[{address}]/{path}"])).strip()


def addresses(state: Path) -> dict[int, str]:
    """Each node's machine's planetary address."""
    found = {}
    for contract in contracts("planet", state):
        status = zos("status", str(contract), state=state)
        (machine,) = (one for one in status["deployment"]["workloads"] if one["type"] == "zmachine")
        found[status["node"]] = machine["result"]["data"]["planetary_ip"]
    return found


async def all_answer(boxes: dict[int, str], found: dict[int, str]) -> None:
    """Each machine answers both nodes, and asks the other machine."""
    for node, address in found.items():
        for box in boxes.values():

            async def answers(box: str = box, address: str = address, name: str = NAMES[node]) -> bool:
                return await get(box, address) == f"hello from {name}"

            await eventually(answers, 60)
        other = 3 - node

        async def asks(box: str = boxes[node], address: str = address, other: int = other) -> bool:
            return await get(box, address, f"cgi-bin/peer?{found[other]}") == f"hello from {NAMES[other]}"

        await eventually(asks, 60)


async def test_machines_of_two_nodes_meet_in_the_planetary_network(
    demo: dict[str, Any], state: Path, tmp_path: Path
) -> None:
    zos("lab", "demo", state=state)
    (tmp_path / "ygg.yaml").write_text(SPEC.replace("WEB", web()))
    zos("deploy", str(tmp_path / "ygg.yaml"), state=state)
    boxes = {node: box_of(node, state) for node in NAMES}
    found = addresses(state)
    assert len(set(found.values())) == 2
    await all_answer(boxes, found)

    async def is_filtered() -> bool:
        with urllib.request.urlopen(
            f"{labs.addresses().proxy_url}/nodes?features=yggdrasil&status=up", timeout=5
        ) as answer:
            return {one["nodeId"] for one in json.load(answer)} == set(NAMES)

    await eventually(is_filtered, 60)
    told = {one["node"]: one["planetary"] for one in zos("lab", "status", state=state) if one["node"]}
    shown = zos("planetary", "1", state=state)
    assert (shown["offered"], shown["address"], len(shown["peers"])) == (True, told[1], 1)

    # Neither networkd nor yggdrasil is missed for long, and guests do not notice.
    before = await guests(boxes[1])
    old = await unit_pid(boxes[1], "networkd")
    await kill(boxes[1], old)
    await all_answer(boxes, found)
    process = (await Lab(LAYOUT).run(boxes[1], ["pgrep", "-x", "yggdrasil"])).strip()
    await kill(boxes[1], int(process))
    await all_answer(boxes, found)
    assert (await Lab(LAYOUT).run(boxes[1], ["pgrep", "-x", "yggdrasil"])).strip() != process
    assert await guests(boxes[1]) == before

    # A node that boots has the same place, and so do its machines.
    zos("lab", "off", boxes[2], state=state)
    zos("lab", "on", boxes[2], state=state)
    zos("lab", "up", state=state)
    await all_answer(boxes, found)
    assert addresses(state) == found

    async def taps(box: str) -> set[str]:
        shown = await Lab(LAYOUT).run(box, ["ip", "-o", "link", "show", "master", "br-ygg"])
        return set(re.findall(r"\bt-\w{13}", shown))

    were = {box: await taps(box) for box in boxes.values()}
    assert all(were.values())
    for one in contracts("planet", state):
        zos("cancel", str(one), state=state)

    async def gone() -> bool:
        guards = {box: await Lab(LAYOUT).run(box, ["nft", "list", "table", "bridge", "zos"]) for box in were}
        return not any([await taps(box) or any(tap in guards[box] for tap in were[box]) for box in were])

    await eventually(gone, 60)
