"""What admission takes is taken by the daemons that make it, and what clients of the grid write is taken by both."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from zos.errors import ZosError
from zos.flistd import model as flistd
from zos.flistd.api.types import Mount, MountInfo, MountKind
from zos.model.deployment import Deployment, ResultState
from zos.model.names import workload_id
from zos.networkd import check as networkd
from zos.networkd import places
from zos.networkd.api.check import canonical
from zos.networkd.api.types import Network, Tap, TapInfo
from zos.networkd.place import InNetwork
from zos.primitives import find
from zos.provisiond import admission
from zos.provisiond.specs import Specs
from zos.storaged.api.check import check as check_size
from zos.storaged.api.types import Kind
from zos.verbs.flistd import EnsureMount
from zos.verbs.machine import build
from zos.verbs.networkd import EnsureNetwork, EnsureTap
from zos.verbs.primitive import Facts, Sibling, Source
from zos.verbs.step import Answers, Step, each
from zos.verbs.storaged import EnsureDisk, EnsureVolume
from zos.verbs.vmd import EnsureMachine
from zos.verbs.zdbd import EnsureNamespace
from zos.vmd import seed
from zos.vmd.api.check import check as check_machine
from zos.zdbd.api.check import check as check_namespace
from zos.zdbd.api.types import Namespace

PROCESSORS = 8
SPECS = Specs(find(), PROCESSORS)
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(range(1, 33))).decode()
GiB = 1024**3


def document(*workloads: Mapping[str, Any]) -> bytes:
    signers = {"requests": [{"twin_id": 26, "required": False, "weight": 1}], "weight_required": 1, "signatures": []}
    body = {"version": 0, "twin_id": 26, "contract_id": 7, "signature_requirement": signers, "workloads": workloads}
    return json.dumps(body).encode()


def network(**fields: Any) -> dict[str, Any]:
    peer = {"subnet": "10.20.3.0/24", "wireguard_public_key": OTHER, "allowed_ips": ["10.20.3.0/24"], "endpoint": ""}
    data = {
        "ip_range": "10.20.0.0/16",
        "subnet": "10.20.2.0/24",
        "wireguard_private_key": KEY,
        "wireguard_listen_port": 4000,
        "peers": [peer],
        "mycelium": {"hex_key": "ab" * 32, "peers": []},
    }
    return {"version": 0, "name": "net", "type": "network", "data": data | fields}


def machine(name: str = "vm", ip: str = "10.20.2.2", **fields: Any) -> dict[str, Any]:
    data = {
        "flist": "https://hub.grid.tf/a/b.flist",
        "network": {
            "public_ip": "",
            "planetary": True,
            "interfaces": [{"network": "net", "ip": ip}],
            "mycelium": {"Network": "net", "hex_seed": "0a0b0c0d0e0f"},
        },
        "size": 0,
        "compute_capacity": {"cpu": 1, "memory": GiB},
        "mounts": [],
        "entrypoint": "",
        "env": {},
    }
    return {"version": 0, "name": name, "type": "zmachine", "data": data | fields}


def disk(name: str = "disk", size: int = GiB, type: str = "zmount") -> dict[str, Any]:
    return {"version": 0, "name": name, "type": type, "data": {"size": size}}


def mounts(**targets: str) -> list[dict[str, str]]:
    return [{"name": name, "mountpoint": target} for name, target in targets.items()]


# What the daemons say


def daemons_take(deployment: Deployment, kind: MountKind) -> None:
    """Ask every daemon's own checks about every step; raises the first refusal."""
    types = SPECS.types
    siblings = {
        one.name: Sibling(types[one.type], SPECS.of(one.type, one.data), ResultState.OK) for one in deployment.workloads
    }
    networks: dict[str, Network] = {}
    for name in types:
        for workload in deployment.workloads:
            if workload.type == name:
                facts = Facts(deployment.twin_id, deployment.contract_id, workload.name, siblings)
                id = workload_id(deployment.twin_id, deployment.contract_id, workload.name)
                answers = Answers()
                for step in each(types[name].make(id, siblings[workload.name].spec, facts)):
                    answers.put(step, _ask(step, answers, networks, kind))


def _ask(step: Step[Any], answers: Answers, networks: dict[str, Network], kind: MountKind) -> Any:
    match step:
        case EnsureNetwork(asked):
            networks[asked.id] = canonical(asked)
        case EnsureTap(asked):
            return _tap(networkd.canonical_tap(asked), networks)
        case EnsureDisk(id, size):
            check_size(Kind.DISK, id, size)
        case EnsureVolume(id, size):
            check_size(Kind.VOLUME, id, size)
        case EnsureNamespace():
            path = Path("/pool") / step.id
            check_namespace(Namespace(step.id, "pool", path, step.size, step.mode, step.password, step.public))
        case EnsureMount(id, url):
            flistd.canonical(Mount(id, url), "http://hub")
            return MountInfo(id, url, Path("/mounts") / id, "", kind)
        case EnsureMachine():
            made = build(step, answers)
            check_machine(made, PROCESSORS)
            seed.check(made)
        case _ if hasattr(step, "name"):
            return Source(Path("/pool") / str(step.name))
    return None


def _tap(tap: Tap, networks: dict[str, Network]) -> TapInfo:
    place = places.found()[tap.place]
    if isinstance(place, InNetwork):
        place.admit(tap, networks[tap.network], ())
        return place.info(tap, networks[tap.network], None)
    return TapInfo(tap.id, tap.place, tap.network, "t-1", "br", tap.mac, ("300::1/64",), "", "", (), 0, 0)


def read(*workloads: Mapping[str, Any]) -> Deployment:
    return admission.read(document(*workloads), SPECS)


# Claims


TEXT = st.one_of(
    st.sampled_from(["", "/", "/data", "data", "/a/../b", "//x", "sh -c 'oops", "a b", "..", "A.B", "-x", "=", "ä\0"]),
    st.text(max_size=12),
)
SUBNETS = st.sampled_from(["10.20.2.0/24", "10.20.2.7/24", "10.0.0.0/7", "10.21.0.0/24", "10.20.2.0/31", "fd00::/64"])
RANGES = st.sampled_from(["10.20.0.0/16", "100.64.0.0/16", "127.0.0.0/8", "8.8.0.0/16", "10.0.0.0/8"])
ADDRESSES = st.sampled_from(["10.20.2.2", "10.20.2.1", "10.20.2.255", "10.20.3.2", "10.20.2.0"])
KEYS = st.sampled_from([KEY, OTHER, KEY[:20] + "\n" + KEY[20:], "x", KEY + "A"])
ENDPOINTS = st.sampled_from(["", "1.2.3.4:5", "[1.2.3.4]:5", "[fd00::1]:70000", "example.org:5", "1.2.3.4"])
SIZES = st.sampled_from([1, 10, 1024**2, 10**9 + 1, GiB, 1 << 62])
NAMES = ("_data", "vroot", "v" * 36, "data", "d2", "d3")


FIELDS: Mapping[str, st.SearchStrategy[Any]] = {
    "ip_range": RANGES,
    "subnet": SUBNETS,
    "private_key": KEYS,
    "port": st.sampled_from([0, 80, 4000, 9651, 65535]),
    "peer": st.tuples(SUBNETS, KEYS, ENDPOINTS),
    "ip": ADDRESSES,
    "mountpoints": st.lists(TEXT, min_size=4, max_size=4),
    "sizes": st.lists(SIZES, min_size=4, max_size=4),
    "types": st.lists(st.sampled_from(["zmount", "volume"]), min_size=4, max_size=4),
    "mode": st.sampled_from(["user", "seq", "direct", ""]),
    "password": st.one_of(TEXT, st.text(min_size=20, max_size=70)),
    "names": st.permutations(NAMES).map(lambda names: names[:4]),
    "entrypoint": TEXT,
    "env": st.dictionaries(TEXT, TEXT, max_size=3),
    "cpu": st.sampled_from([1, 8, 9, 255]),
    "root": st.sampled_from([500 * 1024**2, 10**9 + 1, 1 << 62]),
    "flist": st.sampled_from(["a/b.flist", "ftp://x/y", "http://[x/", "http://a b/", "http://x:99999/"]),
}
PLAIN: Mapping[str, Any] = {
    "ip_range": "10.20.0.0/16",
    "subnet": "10.20.2.0/24",
    "private_key": KEY,
    "port": 4000,
    "peer": ("10.20.3.0/24", OTHER, ""),
    "ip": "10.20.2.2",
    "mountpoints": ["/a", "/b", "/c", "/d"],
    "sizes": [GiB] * 4,
    "types": ["zmount", "volume", "volume", "zmount"],
    "mode": "user",
    "password": "secret",
    "names": ["a", "b", "c", "d"],
    "entrypoint": "",
    "env": {},
    "cpu": 1,
    "root": 0,
    "flist": "https://hub/a.flist",
}


@st.composite
def deployments(draw: st.DrawFn) -> tuple[dict[str, Any], ...]:
    """A plain deployment in which a few fields are something else."""
    odd = draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=3))
    said = {**PLAIN, **{name: draw(FIELDS[name]) for name in sorted(odd)}}
    subnet, key, end = said["peer"]
    net = network(
        ip_range=said["ip_range"],
        subnet=said["subnet"],
        wireguard_private_key=said["private_key"],
        wireguard_listen_port=said["port"],
        peers=[{"subnet": subnet, "wireguard_public_key": key, "allowed_ips": [subnet], "endpoint": end}],
    )
    kept = draw(st.integers(0, 4))
    made = [disk(*one) for one in zip(said["names"][:kept], said["sizes"], said["types"], strict=False)]
    vm = machine(
        ip=said["ip"],
        mounts=mounts(**dict(zip(said["names"][:kept], said["mountpoints"], strict=False))),
        entrypoint=said["entrypoint"],
        env=said["env"],
        compute_capacity={"cpu": said["cpu"], "memory": GiB},
        size=said["root"],
        flist=said["flist"],
    )
    db = {"size": said["sizes"][0], "mode": said["mode"], "password": said["password"], "public": False}
    return (net, *made, vm, {"version": 0, "name": "db", "type": "zdb", "data": db})


def _root_as_mountpoint(err: ZosError) -> bool:
    """What only shows when a flist is mounted: a container, whose disks are mounted, of a machine that has a disk."""
    return "no place to mount at" in err.explain()


@settings(max_examples=150, deadline=None)
@given(deployments(), st.sampled_from(MountKind))
def test_what_the_door_takes_the_daemons_take(workloads: tuple[dict[str, Any], ...], kind: MountKind) -> None:
    try:
        found = read(*workloads)
    except ZosError:
        assume(False)
    assume(kind is MountKind.CONTAINER or any(one["type"] == "zmount" for one in workloads))
    try:
        daemons_take(found, kind)
    except ZosError as err:
        if not (_root_as_mountpoint(err) and any(one["type"] == "zmount" for one in workloads)):
            raise


GOOD: Mapping[str, tuple[dict[str, Any], ...]] = {
    "a full VM as the dashboard sends it": (network(), disk(), machine(mounts=mounts(disk="/"))),
    "mountpoints without slash or with ..": (
        network(),
        disk("a", type="volume"),
        disk("b", type="volume"),
        machine(mounts=mounts(a="data", b="/a/../b")),
    ),
    "a volume that no tag can be named after": (network(), disk("_d", type="volume"), machine(mounts=mounts(_d="/d"))),
    "a volume named as the root's tag": (network(), disk("vroot", type="volume"), machine(mounts=mounts(vroot="/d"))),
    "a volume with a long name": (network(), disk("v" * 36, type="volume"), machine(mounts=mounts(**{"v" * 36: "/d"}))),
    "environment names as Kubernetes takes them": (network(), machine(env={"a.b-c": "1"})),
    "a key with a line end": (network(wireguard_private_key=f"{KEY[:10]}\r\n{KEY[10:]}\n"), machine()),
    "an IPv4 endpoint in brackets": (
        network(peers=[{"subnet": "10.20.3.0/24", "wireguard_public_key": OTHER, "allowed_ips": ["10.20.3.0/24"],
                        "endpoint": "[1.2.3.4]:5"}]),
        machine(),
    ),
    "a disk that is no whole number of sectors": (network(), disk(size=10**9 + 1), machine(mounts=mounts(disk="/d"))),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_the_grid_takes_both_take(name: str) -> None:
    has_disk = any(one["type"] == "zmount" for one in GOOD[name])
    daemons_take(read(*GOOD[name]), MountKind.IMAGE if has_disk else MountKind.CONTAINER)


MANY = tuple(f"d{number}" for number in range(17))
BAD: Mapping[str, tuple[tuple[dict[str, Any], ...], str]] = {
    "an open quote": ((network(), machine(entrypoint="sh -c 'oops")), "entrypoint cannot be read"),
    "one target twice": (
        (network(), disk(), disk("b"), machine(mounts=mounts(disk="/data", b="data/"))),
        "mounts[1].mountpoint: `disk` is mounted at /data already",
    ),
    "17 disks": (
        (network(), *map(disk, MANY), machine(mounts=mounts(**{name: f"/{name}" for name in MANY}))),
        "17 disks; the most is 16",
    ),
    "a value that no program can take": ((network(), machine(env={"A": "x" * 131_072})), "`A` is longer than"),
    "a name that is no name": ((network(), machine(env={"A=B": ""})), "`A=B` cannot be an environment variable"),
    "a disk without room for a file system": ((disk(size=10),), "too small for a file system"),
    "more processors than the node has": (
        (network(), machine(compute_capacity={"cpu": 9, "memory": GiB})),
        "this node can give 1 to 8",
    ),
    "the gateway's address": ((network(), machine(ip="10.20.2.1")), "10.20.2.1 is the gateway"),
    "an address of another node": ((network(), machine(ip="10.20.3.2")), "not inside 10.20.2.0/24"),
    "one address twice": ((network(), machine(), machine("b")), "the machine `b` has this address"),
    "a network without mycelium key": ((network(mycelium=None), machine()), "`net` has no mycelium key"),
    "a network of the node's own": (
        (network(ip_range="100.64.0.0/16", subnet="100.64.2.0/24"),),
        "not for user networks",
    ),
    "a folder over the root": (
        (network(), disk("v", type="volume"), machine(mounts=mounts(v="/a/.."))),
        "would hide the machine's root",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_the_daemons_would_refuse_is_refused_at_the_door_by_its_path(name: str) -> None:
    workloads, words = BAD[name]
    with pytest.raises(ZosError) as refused:
        read(*workloads)
    assert words in refused.value.explain()
    assert refused.value.explain().startswith("workloads[")
