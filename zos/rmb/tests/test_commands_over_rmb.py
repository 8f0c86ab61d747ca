"""Commands as clients send them: signed, encrypted, over a relay."""

from __future__ import annotations

from pathlib import Path

import pytest

from zos.model.deployment import decode
from zos.provisiond.tests import users as u
from zos.rmb.errors import Refused
from zos.rmb.tests.overrelay import NODE, bus
from zos.rmb.tests.world import USER


async def test_a_client_deploys_and_reads_back_over_a_relay(tmp_path: Path) -> None:
    async with bus(tmp_path) as b:
        assert "zmachine" in await b.ask("zos.system.node_features_get")
        body = u.document(5, u.network(), u.zmount(), u.zmachine(mounts=[("disk1", "/data")]))
        u.contract(b.world.provision, 5, body)
        assert await b.client.call(NODE.id, "zos.deployment.deploy", u.signed(body)) == b"null"
        await b.world.becomes(5, "vm1", "ok")
        found = await b.ask("zos.deployment.get", b'{"contract_id":5}')
        assert [one["name"] for one in found["workloads"]] == ["net1", "disk1", "vm1"]
        assert decode(found).twin_id == USER
        assert await b.ask("zos.network.list_private_ips", b'{"network_name":"net1"}') == ["10.20.2.5"]


async def test_refusals_arrive_in_the_grids_words(tmp_path: Path) -> None:
    async with bus(tmp_path) as b:
        body = u.document(5, u.zmount())
        u.contract(b.world.provision, 5, body)
        for peer, command, argument, text in (
            (b.client, "zos.teapot", b"", "function is not found"),
            (b.client, "zos.deployment.get", b'{"contract_id":7}', "deployment not found"),
            (b.client, "zos.admin.interfaces", b"null", "unauthorized"),
            (b.client, "zos.perf.get", b'{"Name":"iperf"}', "result not found"),
            (b.client, "zos.network.public_config_get", b"", "no public configuration"),
            (b.other, "zos.deployment.deploy", u.signed(body), "twin id mismatch (deployment: 26, message: 27)"),
        ):
            with pytest.raises(Refused) as caught:
                await b.ask(command, argument, peer)
            assert caught.value.facts["message"] == text
