"""The hub: what it makes, what it serves and what it keeps."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import io
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from zos.flist.errors import BadSource
from zos.flist.fl import read
from zos.hub import build, deployments, server
from zos.hub.server import application
from zos.model.challenge import deployment_hash
from zos.model.deployment import decode, encode
from zos.model.tests import vectors

DOCUMENT = json.dumps({"version": 0, "workloads": []}).encode()
DEPLOYMENT = decode(json.dumps(vectors.deployment()).encode())
SHA = hashlib.sha256(DOCUMENT).hexdigest()


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[TestClient[Any, Any]]:
    root = tmp_path / "root"
    (root / "user").mkdir(parents=True)
    (root / "user/a.fl").write_bytes(b"0123456789")
    (root / ".secret").write_bytes(b"x")
    (tmp_path / "outside").write_bytes(b"x")
    (root / "way-out").symlink_to(tmp_path / "outside")
    (root / "inside").symlink_to("user/a.fl")
    async with TestClient(TestServer(application(root))) as client:
        yield client


async def test_a_flist_is_served_with_its_md5_ranges_and_etag(web: TestClient[Any, Any]):
    whole = await web.get("/user/a.fl")
    assert (whole.status, await whole.read()) == (200, b"0123456789")
    part = await web.get("/user/a.fl", headers={"Range": "bytes=2-4"})
    assert (part.status, await part.read()) == (206, b"234")
    again = await web.get("/user/a.fl", headers={"If-None-Match": whole.headers["ETag"]})
    assert again.status == 304
    digest = await web.get("/user/a.fl.md5")
    assert await digest.text() == hashlib.md5(b"0123456789").hexdigest()
    assert await (await web.get("/inside")).read() == b"0123456789"
    assert await (await web.get("/api/flist")).json() == ["user/a.fl"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/user",
        "/nobody",
        "/nobody.fl.md5",
        "/.secret",
        "/way-out",
        "/%2e%2e/outside",
        "/user/%2e%2e/%2e%2e/outside",
        "/..%2foutside",
        "/a%00b",
        "/" + "a" * 5000,
    ],
)
async def test_nothing_else_is_there(web: TestClient[Any, Any], path: str):
    answer = await web.get(URL(path, encoded=True))
    assert answer.status == 404


async def test_a_deployment_is_kept_and_given_back(web: TestClient[Any, Any]):
    assert (await web.put(f"/deployments/{SHA}", data=DOCUMENT)).status == 201
    assert (await web.post(f"/deployments/{SHA}", data=DOCUMENT)).status == 200
    answer = await web.get(f"/deployments/{SHA}")
    assert (answer.status, await answer.read()) == (200, DOCUMENT)
    assert answer.headers["Content-Type"] == "application/json"
    assert (await web.get(f"/deployments/{'0' * 64}")).status == 404


async def test_a_contracts_hash_names_the_deployment_of_that_hash_and_is_not_taken_by_another(
    web: TestClient[Any, Any],
):
    document = json.dumps(encode(DEPLOYMENT)).encode()
    name = deployment_hash(DEPLOYMENT).hex()
    squatter = await web.put(f"/deployments/{name}", data=b"{}")
    assert (squatter.status, (await squatter.json())["reason"]) == (400, "hub.bad_deployment")
    other = json.dumps(encode(dataclasses.replace(DEPLOYMENT, description="other"))).encode()
    assert (await web.put(f"/deployments/{name}", data=other)).status == 400
    assert (await web.put(f"/deployments/{name}", data=document)).status == 201
    assert await (await web.get(f"/deployments/{name}")).read() == document


def test_one_network_does_not_fill_the_hub_not_even_after_a_restart(tmp_path: Path):
    def document(number: int) -> tuple[str, bytes]:
        text = json.dumps("x" * 10_000 + str(number)).encode()
        return hashlib.sha256(text).hexdigest(), text

    def fill(store: deployments.DocumentStore, start: int) -> None:
        for number in range(start, start + 100):
            store.add(*document(number), "203.0.113.7")

    for start in (0, 100):
        store = deployments.DocumentStore(tmp_path, 400_000)
        with pytest.raises(deployments.HubFull):
            fill(store, start)
    kept = list((tmp_path / "deployments").glob("[0-9a-f]*"))
    assert len(kept) == 14, "half of it"
    assert store.add(*document(999), "2001:db8::/64")


def named(number: int, size: int = 10_000) -> tuple[str, bytes]:
    text = json.dumps("x" * size + str(number)).encode()
    return hashlib.sha256(text).hexdigest(), text


def names(root: Path) -> set[str]:
    return {one.name for one in (root / "deployments").iterdir()}


def test_networks_that_fill_the_hub_leave_room_for_whoever_comes(tmp_path: Path):
    store = deployments.DocumentStore(tmp_path, 400_000)
    for number in range(400):
        with contextlib.suppress(deployments.HubFull):
            store.add(*named(number), f"203.0.113.{number % 20}")
    for number in range(400, 403):
        assert store.add(*named(number, 200), "2001:db8::/64"), "a document of his"
    assert {named(number, 200)[0] for number in range(400, 403)} <= names(tmp_path)
    assert sum(one.stat().st_size + 4096 for one in (tmp_path / "deployments").iterdir()) <= 400_000


def test_a_document_that_nobody_asks_for_goes_and_one_that_is_asked_for_stays(tmp_path: Path):
    now = [1_000_000.0]
    store = deployments.DocumentStore(tmp_path, clock=lambda: now[0])
    for number in (1, 2, 3):
        store.add(*named(number), "203.0.113.7")
    now[0] += deployments.KEPT - 1000
    store.used(named(1)[0])
    assert not store.add(*named(2), "203.0.113.8"), "it is there"
    now[0] += 2000
    assert store.add(*named(4), "203.0.113.9")
    assert names(tmp_path) == {named(number)[0] for number in (1, 2, 4)}


def test_a_clock_that_is_set_removes_nothing_and_times_outlive_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    now = [50.0]
    store = deployments.DocumentStore(tmp_path, clock=lambda: now[0])
    store.add(*named(1), "203.0.113.7")
    monkeypatch.setattr(time, "time", lambda: 1e12)
    now[0] += deployments.KEPT - 1000
    assert store.add(*named(2), "203.0.113.7")
    assert names(tmp_path) == {named(number)[0] for number in (1, 2)}
    store.close()
    now[0] = 7.0
    store = deployments.DocumentStore(tmp_path, clock=lambda: now[0])
    now[0] += 2000
    assert store.add(*named(3), "203.0.113.7")
    assert names(tmp_path) == {named(number)[0] for number in (2, 3)}


def test_a_store_of_the_release_before_keeps_its_documents(tmp_path: Path):
    store = deployments.DocumentStore(tmp_path)
    store.add(*named(1), "203.0.113.7")
    store._database.execute("UPDATE document SET used = 17")
    store._database.execute("PRAGMA user_version = 1")
    store._database.execute("DROP TABLE lived")
    store._database.close()
    store = deployments.DocumentStore(tmp_path)
    assert store.add(*named(2), "203.0.113.7")
    assert names(tmp_path) == {named(number)[0] for number in (1, 2)}


def test_a_disk_that_gives_nothing_back_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = deployments.DocumentStore(tmp_path, 60_000)
    for number, sender in enumerate("aaabbc"):
        store.add(*named(number, 4_000), sender)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(deployments.HubFull):
        store.add(*named(9, 8_000), "d")


async def test_one_network_that_sends_much_to_be_read_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reading, go = threading.Semaphore(0), threading.Event()

    def check(name: str, document: bytes) -> None:
        if document == b"slow":
            reading.release()
            go.wait(10)
            raise deployments.BadDeployment(problem="slow")

    monkeypatch.setattr(deployments, "check", check)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(TestServer(application(tmp_path)))
        loud, polite = [
            await stack.enter_async_context(aiohttp.ClientSession(connector=one))
            for one in (aiohttp.TCPConnector(local_addr=(host, 0)) for host in ("127.0.0.2", "127.0.0.3"))
        ]

        async def put(client: aiohttp.ClientSession, document: bytes) -> int:
            async with client.put(hub.make_url(f"/deployments/{named(1)[0]}"), data=document) as answer:
                return answer.status

        slow = [asyncio.create_task(put(loud, b"slow")) for _ in range(20)]
        await asyncio.to_thread(reading.acquire)
        async with asyncio.timeout(5):
            assert await put(polite, named(1)[1]) == 201
        go.set()
        assert set(await asyncio.gather(*slow)) == {400}


def test_a_share_that_is_used_up_takes_again_what_replaces_ones_own_documents_of_yesterday(tmp_path: Path):
    now = [1_000_000.0]
    store = deployments.DocumentStore(tmp_path, 400_000, lambda: now[0])
    with contextlib.suppress(deployments.HubFull):
        for number in range(100):
            now[0] += 1
            store.add(*named(number), "203.0.113.7")
    assert len(names(tmp_path)) == 14
    with pytest.raises(deployments.HubFull):
        store.add(*named(100), "203.0.113.7")
    now[0] += deployments.DAY - 10
    assert store.add(*named(100), "203.0.113.7")
    assert named(0)[0] not in names(tmp_path)
    assert named(1)[0] in names(tmp_path)


def test_documents_of_an_earlier_release_are_taken_in_and_kept(tmp_path: Path):
    old = tmp_path / "deployments" / named(1)[0]
    old.parent.mkdir()
    old.write_bytes(named(1)[1])
    (tmp_path / ".uploads").write_text("203.0.113.7 14096\n")
    store = deployments.DocumentStore(tmp_path, 30_000, lambda: old.stat().st_mtime + 10)
    assert not store.add(*named(1), "203.0.113.7")
    assert store.add(*named(2, 9_000), "203.0.113.7")
    assert not (tmp_path / ".uploads").exists()
    with pytest.raises(deployments.HubFull):
        store.add(*named(3), "203.0.113.7")


@pytest.mark.parametrize(
    ("name", "document", "status"),
    [
        ("0" * 64, DOCUMENT, 400),
        ("short", DOCUMENT, 400),
        ("A" * 64, DOCUMENT, 400),
        ("a" * 32, b"no json", 400),
        ("a" * 32, b"[" * 100_000, 400),
        ("a" * 32, b'"' + b"x" * (3 << 19) + b'"', 413),
        ("%2e%2e%2fetc", DOCUMENT, 400),
    ],
)
async def test_what_is_no_deployment_is_refused(web: TestClient[Any, Any], name: str, document: bytes, status: int):
    assert (await web.put(URL(f"/deployments/{name}", encoded=True), data=io.BytesIO(document))).status == status


def test_a_built_flist_names_the_hubs_blocks(tmp_path: Path):
    source, root = tmp_path / "source", tmp_path / "hub"
    source.mkdir()
    (source / "file").write_bytes(b"content")
    built = build(source, root / "user/x.fl", root=root, url="http://198.51.100.11:8080/", tags={"author": "me"})
    assert built.hash == hashlib.blake2b(built.path.read_bytes(), digest_size=32).hexdigest()
    flist = read(built.path)
    assert flist.routes[0].url == "http://198.51.100.11:8080/blocks"
    name = flist.blocks[:32].hex()
    assert (root / "blocks" / name[:2] / name).is_file()
    assert (built.entries, built.size, built.blocks) == (2, 7, 1)


def test_what_is_not_there_or_no_flist_is_refused(tmp_path: Path):
    with pytest.raises(BadSource, match="no such"):
        build(tmp_path / "nobody", tmp_path / "a.fl", root=tmp_path, url="http://h")
    with pytest.raises(BadSource, match=r"ends with \.fl"):
        build(tmp_path, tmp_path / "a.flist", root=tmp_path, url="http://h")


async def test_a_disk_that_hangs_is_said_and_costs_one_thread(
    web: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
):
    disk, begun = threading.Event(), []

    def hang(*_: object) -> bool:
        begun.append(threading.current_thread())
        return disk.wait(30)

    monkeypatch.setattr(deployments.DocumentStore, "add", hang)
    monkeypatch.setattr(server, "DISK", 0.1)
    for _ in range(3):
        answer = await web.put(f"/deployments/{SHA}", data=DOCUMENT)
        assert (answer.status, (await answer.json())["reason"]) == (503, "runtime.call_too_slow")
    assert len(begun) == 1
    assert (await web.get("/user/a.fl")).status == 200
    disk.set()
    begun[0].join(10)
    monkeypatch.undo()
    async with asyncio.timeout(10):
        while (await web.put(f"/deployments/{SHA}", data=DOCUMENT)).status != 201:
            await asyncio.sleep(0.01)
