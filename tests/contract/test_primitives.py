"""Every workload type is whole, and a new one is one folder."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zos.primitives
import zos.verbs
from zos.model.capacity import Capacity
from zos.model.challenge import GRID_TYPES
from zos.model.decode import Fields
from zos.model.deployment import ResultState
from zos.model.evidence import Evidence, EvidenceKind
from zos.model.names import origin, owner_of, workload_id
from zos.networkd.api import NetworkdClient
from zos.primitives import _loaded, find, ordered
from zos.primitives.zmachine import attachments
from zos.runtime.calls import CALLS
from zos.sim import workloads as w
from zos.sim.node import SimNode
from zos.storaged.api.types import PoolKind
from zos.verbs.primitive import Facts, Primitive, Sibling
from zos.verbs.step import Step, each
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
    assert not any(step.drops for step in each(one.make(id, spec, facts(body["name"]), spec)))
    assert all(step.drops for step in one.drop(id, spec, facts(body["name"])))
    assert "".join(one.challenge(Fields(body["data"])))


def kept(step: Step[Any]) -> Iterator[str]:
    """The ids of what holds a tenant's data, in a step and in those that it holds."""
    for one in (step, *(held for held in (getattr(step, name, None) for name in ("mount", "upper")) if held)):
        # What networks are made of has short ids.
        if type(one).__module__.rpartition(".")[2] in ("storaged", "flistd", "zdbd", "vmd"):
            yield from (str(one.id),) if hasattr(one, "id") else ()


@given(st.integers(1, 2**32 - 1), st.integers(1, 2**64 - 1), st.from_regex(r"\A[a-zA-Z0-9_]{1,36}\Z"))
def test_every_id_that_a_workload_makes_or_drops_says_whose_it_is(twin: int, contract: int, name: str) -> None:
    id, around = workload_id(twin, contract, name), Facts(twin, contract, name, SIBLINGS, evidence=EVIDENCE)
    kinds = set()
    for folder, path in examples():
        one = by_folder(folder)
        spec = one.parse(Fields(json.loads(path.read_text())["data"]))
        for step in (*each(one.make(id, spec, around)), *one.drop(id, spec, around)):
            for made in kept(step):
                kinds.add(type(step).__name__)
                assert owner_of(made) == str(twin)
                assert (origin(made) or ())[:2] == (twin, contract)
    assert kinds >= {"EnsureDisk", "EnsureVolume", "EnsureNamespace", "EnsureMount", "EnsureMachine", "DropVolume"}


@pytest.mark.parametrize(("folder", "path"), examples(), ids=lambda value: getattr(value, "stem", value))
def test_capacity_covers_what_the_plan_takes(folder: str, path: Path) -> None:
    one, body = by_folder(folder), json.loads(path.read_text())
    spec = one.parse(Fields(body["data"]))
    steps = list(each(one.make(workload_id(26, 5, body["name"]), spec, facts(body["name"]))))
    ssd = [step.size for step in steps if isinstance(step, EnsureDisk)]
    ssd += [step.size for step in steps if isinstance(step, EnsureVolume) and step.kind is PoolKind.SSD]
    hdd = [step.size for step in steps if isinstance(step, EnsureVolume) and step.kind is PoolKind.HDD]
    machines = [step for step in steps if isinstance(step, EnsureMachine)]
    taken = Capacity(
        cru=sum(step.cpu for step in machines),
        sru=sum(ssd),
        hru=sum(hdd),
        mru=sum(step.memory for step in machines),
    )
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


PROBE = '''
"""A throw-away attachment: a second address in the machine's own network, `network.probe`."""

from dataclasses import dataclass

from zos.model.names import mac, net_id
from zos.networkd.api.types import NetId, Place, Tap
from zos.primitives.zmachine.attachment import Attachment
from zos.verbs.primitive import Need


@dataclass(frozen=True, slots=True)
class Probe(Attachment):
    network: str
    ip: str
    order = 5
    absent = {"probe_ip": ""}
    label = "probe"

    @classmethod
    def parse(cls, network):
        probe = network.optional("probe")
        return cls(probe.text("network"), probe.address("ip")) if probe else None

    def needs(self):
        return (Need(self.network, shared=True),)

    def tap(self, id, facts):
        return Tap(id, Place.NETWORK, mac(id), NetId(net_id(facts.twin, self.network)), ip=self.ip)

    def result(self, tap):
        return {"probe_ip": tap.ip}


ATTACHMENT = Probe
'''

COUNTERD = '''
"""A throw-away daemon that keeps numbers, and the steps by which workloads have some."""

import json
from dataclasses import dataclass

import grpc

from zos.bus.client import DaemonClient
from zos.runtime.daemon import Daemon
from zos.verbs.step import Step

METHODS = ("Ensure", "Drop")


def encode(value):
    return json.dumps(value).encode()


class Stub:
    def __init__(self, channel):
        for name in METHODS:
            setattr(self, name, channel.unary_unary(f"/zos.counterd.v1.Counterd/{name}", encode, json.loads))


class CounterdClient(DaemonClient):
    name = "counterd"
    stub = Stub


class Service:
    def __init__(self, counters):
        self.counters = counters

    async def Ensure(self, request, context):
        self.counters[request["id"]] = request["start"]
        return request

    async def Drop(self, request, context):
        self.counters.pop(request["id"], None)
        return {}


def add(servicer, server):
    make = grpc.unary_unary_rpc_method_handler
    handlers = {name: make(getattr(servicer, name), json.loads, encode) for name in METHODS}
    server.add_registered_method_handlers("zos.counterd.v1.Counterd", handlers)


class Counterd(Daemon):
    name = "counterd"
    config = dict
    counters = {}

    async def open(self, rt):
        rt.serve(Service(self.counters), add)


@dataclass(frozen=True, slots=True)
class EnsureCounter(Step):
    id: str
    start: int

    def describe(self):
        return f"counter {self.id}"

    async def perform(self, clients, answers):
        return await clients.of(CounterdClient).call("Ensure", {"id": self.id, "start": self.start})


@dataclass(frozen=True, slots=True)
class DropCounter(Step):
    id: str
    drops = True

    def describe(self):
        return f"drop counter {self.id}"

    async def perform(self, clients, answers):
        await clients.of(CounterdClient).call("Drop", {"id": self.id})
'''

ZCOUNTER = '''
"""A throw-away type: a number of counterd, which starts where the user says."""

from zos.verbs.counterd import DropCounter, EnsureCounter
from zos.verbs.primitive import Primitive


class Zcounter(Primitive):
    wire_type = "zcounter"
    before = ("zmachine",)

    @property
    def challenge(self):
        return lambda data: iter((str(data.uint("start")),))

    def parse(self, data):
        return data.uint("start")

    def make(self, id, spec, facts, previous=None):
        return (EnsureCounter(id, spec),)

    def drop(self, id, spec, facts):
        return (DropCounter(id),)

    def result(self, id, spec, answers, facts):
        return {"counts_from": answers[EnsureCounter(id, spec)]["start"]}


PRIMITIVE = Zcounter()
'''

Grow = Callable[[ModuleType, str, str], None]


@pytest.fixture
def grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grow]:
    """Adds a module to a package, from a temporary folder beside the package's own."""
    made: list[str] = []

    def grow(package: ModuleType, name: str, text: str) -> None:
        folder = tmp_path / package.__name__ / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder.parent)])
        made.append(f"{package.__name__}.{name}")

    yield grow
    for name in made:
        sys.modules.pop(name, None)
        package, _, attribute = name.rpartition(".")
        vars(sys.modules[package]).pop(attribute, None)
    _loaded.cache_clear()


@pytest.mark.virtual
async def test_a_new_interface_of_machines_is_one_folder(grow: Grow) -> None:
    grow(attachments, "probe", PROBE)
    async with SimNode() as node:
        plain, probed = w.zmachine("plain", ip="10.20.2.6"), w.zmachine("vm1")
        probed["data"]["network"] |= {"probe": {"network": "net1", "ip": "10.20.2.77"}}
        contract = await node.deploy(w.network(), probed, plain)
        told = (await node.becomes(contract, "vm1", "ok"))["data"]
        assert (told["ip"], told["probe_ip"]) == ("10.20.2.5", "10.20.2.77")
        assert (await node.becomes(contract, "plain", "ok"))["data"]["probe_ip"] == ""
        taps = await node.client(NetworkdClient).list_taps()
        assert {tap.ip for tap in taps} == {"10.20.2.5", "10.20.2.77", "10.20.2.6"}
        assert len(node.hosts.vmd.guests) == 2
        await node.cancel(contract)
        await node.becomes(contract, "vm1", "gone")
        assert await node.client(NetworkdClient).list_taps() == ()


@pytest.mark.virtual
async def test_a_new_type_with_a_daemon_of_its_own_is_one_folder_and_its_steps(
    grow: Grow, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(zos.verbs, "counterd", COUNTERD)
    grow(zos.primitives, "zcounter", ZCOUNTER)
    # The user's client knows the type's piece of the signed text.
    monkeypatch.setitem(GRID_TYPES, "zcounter", find()["zcounter"].challenge)
    # What provisiond may call of the daemon.
    monkeypatch.setitem(CALLS["provisiond"], "counterd", frozenset({"Ensure", "Drop"}))
    counterd = importlib.import_module("zos.verbs.counterd").Counterd
    async with SimNode() as node:
        node.add(counterd, config={})
        contract = await node.deploy(w.workload("c1", "zcounter", {"start": 41}))
        assert (await node.becomes(contract, "c1", "ok"))["data"] == {"counts_from": 41}
        assert counterd.counters == {f"{node.user.twin}-{contract}-c1": 41}
        await node.update(contract, w.workload("c1", "zcounter", {"start": 7}, version=1), version=1)
        await node.until(lambda: set(counterd.counters.values()) == {7})
        node.kill("counterd")
        await node.cancel(contract)
        await node.becomes(contract, "c1", "gone")
        assert not counterd.counters
