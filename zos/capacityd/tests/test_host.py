"""What is read of the machine."""

from __future__ import annotations

import asyncio
import socket
import time

from zos.capacityd.host import LinuxHost, established
from zos.fetch.tests.served import serving

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:9C40 0100007F:0277 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0100007F:0277 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
   3: 0100007F:0277 0100007F:9C41 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0
"""


def test_only_established_connections_count() -> None:
    assert established(TABLE) == 2
    assert established("") == established("no table") == 0


async def test_a_connection_of_ours_is_among_them() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        assert LinuxHost().connections() >= 1
    server.close()
    await server.wait_closed()


async def test_a_geoip_answer_that_comes_in_parts_is_read_whole() -> None:
    def in_parts(link: socket.socket) -> None:
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{")
        time.sleep(0.05)
        link.sendall(b"  }")

    with serving({"/": in_parts}) as there:
        assert await LinuxHost().fetch(there.url) == b"{  }"
