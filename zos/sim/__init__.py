"""A simulated node for tests: real daemons on fake hosts, in one process and on virtual time.

    @pytest.mark.virtual
    async def test_a_disk_is_made():
        async with SimNode() as node:
            contract = await node.deploy(w.zmount("disk1"))
            await node.becomes(contract, "disk1", "ok")

Outside of pytest `zos.sim.loop.run` runs a story. This package alone may import everybody's insides.
"""
