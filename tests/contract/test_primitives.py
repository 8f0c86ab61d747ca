"""Every workload type is whole, and a new one is one folder."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import zos.primitives
from zos.model.capacity import Capacity
from zos.model.decode import Fields
from zos.model.deployment import ResultState
from zos.model.evidence import Evidence, EvidenceKind
from zos.model.names import workload_id
from zos.provisiond.api import ProvisiondClient
from zos.provisiond.daemon import Config, Provisiond
from zos.provisiond.fake import FakeHost
from zos.provisiond.tests import users as u
from zos.runtime.testing import running
from zos.verbs.primitive import Facts, Primitive, Sibling, find, ordered
from zos.verbs.storaged import EnsureDisk, EnsureVolume
from zos.verbs.vmd import EnsureMachine

PRIMITIVES = Path(zos.primitives.__file__).parent
TYPES = find()
EVIDENCE = Evidence(EvidenceKind.SIGNED_UPDATE, 5, 10)
SIBLINGS = {
    "disk1": Sibling(TYPES["zmount"], TYPES["zmount"].parse(Fields({"size": 1})), ResultState.OK),
    "vol1": Sibling(TYPES["volume"], TYPES["volume"].parse(Fields({"size": 1})), ResultState.OK),
}


def examples() -> list[tuple[str, Path]]:
    return [(path.parent.parent.parent.name, path) for path in sorted(PRIMITIVES.glob("*/tests/examples/*.json"))]


def by_folder(name: str) -> Primitive[Any]:
    return next(one for one in TYPES.values() if type(one).__module__.split(".")[2] == name)


def facts(name: str) -> Facts:
    return Facts(26, 5, name, SIBLINGS, evidence=EVIDENCE)


def test_every_type_has_a_page_and_an_example() -> None:
    folders = {path.parent.name for path in PRIMITIVES.glob("*/__init__.py")}
    assert {name for name, _ in examples()} == folders
    assert {path.parent.name for path in PRIMITIVES.glob("*/README.md")} == folders


@pytest.mark.parametrize(("folder", "path"), examples(), ids=lambda value: getattr(value, "stem", value))
def test_an_example_drops_nothing_while_it_is_in_force_and_only_drops_when_it_goes(folder: str, path: Path) -> None:
    one, body = by_folder(folder), json.loads(path.read_text())
    spec = one.parse(Fields(body["data"]))
    id = workload_id(26, 5, body["name"])
    assert not any(step.drops for step in one.make(id, spec, facts(body["name"]), spec))
    assert all(step.drops for step in one.drop(id, spec, facts(body["name"])))
    assert "".join(one.challenge(Fields(body["data"])))


@pytest.mark.parametrize(("folder", "path"), examples(), ids=lambda value: getattr(value, "stem", value))
def test_capacity_covers_what_the_plan_takes(folder: str, path: Path) -> None:
    one, body = by_folder(folder), json.loads(path.read_text())
    spec = one.parse(Fields(body["data"]))
    steps = one.make(workload_id(26, 5, body["name"]), spec, facts(body["name"]))
    stored = sum(step.size for step in steps if isinstance(step, EnsureDisk | EnsureVolume))
    machines = [step for step in steps if isinstance(step, EnsureMachine)]
    taken = Capacity(cru=sum(step.cpu for step in machines), sru=stored, mru=sum(step.memory for step in machines))
    assert one.capacity(spec) == taken


@pytest.mark.parametrize(("folder", "path"), examples(), ids=lambda value: getattr(value, "stem", value))
def test_the_page_shows_the_example(folder: str, path: Path) -> None:
    page = (PRIMITIVES / folder / "README.md").read_text()
    shown = page.split("```json")[1].split("```")[0]
    known = [json.loads(other.read_text()) for name, other in examples() if name == folder]
    assert json.loads(shown) in known


def test_dependents_come_after_what_they_use() -> None:
    order = list(TYPES)
    assert order.index("zmachine") > max(order.index(name) for name in ("network", "zmount", "volume"))


def test_a_circle_of_types_is_refused() -> None:
    class One(Primitive[None]):
        wire_type = "one"
        after = ("two",)

    class Two(Primitive[None]):
        wire_type = "two"
        after = ("one",)

    with pytest.raises(ValueError, match="one, two"):
        ordered([One(), Two()])


NEW_TYPE = '''
"""A throw-away type: a disk that is told by its number of blocks."""

from zos.model.capacity import Capacity
from zos.verbs.primitive import Primitive
from zos.verbs.storaged import DropDisk, EnsureDisk
from zos.storaged.api.types import DiskId


class Blocks(Primitive):
    wire_type = "zblocks"
    before = ("zmachine",)

    @property
    def challenge(self):
        return lambda data: iter((str(data.uint("blocks")),))

    def parse(self, data):
        return data.uint("blocks")

    def capacity(self, spec):
        return Capacity(sru=spec * 4096)

    def make(self, id, spec, facts, previous=None):
        return (EnsureDisk(DiskId(id), spec * 4096),)

    def drop(self, id, spec, facts):
        return (DropDisk(DiskId(id), facts.proof()),)

    def result(self, id, spec, answers, facts):
        return {"blocks": spec}


PRIMITIVE = Blocks()
'''


async def test_a_new_type_is_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "types" / "zblocks"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(NEW_TYPE)
    monkeypatch.setattr(zos.primitives, "__path__", [*zos.primitives.__path__, str(tmp_path / "types")])
    host = FakeHost()
    body = u.document(5, u.workload("b1", "zblocks", {"blocks": 100}))
    try:
        from zos.model.challenge import GRID_TYPES, deployment_hash
        from zos.model.deployment import Signature, decode, encode

        types = {**GRID_TYPES, "zblocks": find()["zblocks"].challenge}
        deployment = decode(body)
        digest = deployment_hash(deployment, types)
        signed = deployment.signed_by(Signature(u.TWIN, u.KEY.signed(digest).hex(), u.KEY.kind))
        u.contract(host, 5, u.document(5), deployment_hash=digest.hex())
        async with running(Provisiond, tmp_path, host=host, config=Config(every=0.05)) as rt:
            door = ProvisiondClient(rt.bus)
            await door.deploy(json.dumps(encode(signed)).encode(), u.TWIN)
            async with asyncio.timeout(10):
                async for progress in door.watch(5):
                    if progress.state == "ok":
                        break
            (one,) = (await door.get(5))["workloads"]
    finally:
        sys.modules.pop("zos.primitives.zblocks", None)
    assert one["result"]["data"] == {"blocks": 100}
    assert host.storaged.disks["26-5-b1"].size == 409600
