"""A relay under the servers that people use, each a process of its own: uvicorn, hypercorn on both loops, granian."""

import json
import signal
import socket
import sys
import time
from contextlib import closing

import pytest
from tests.support.asgi import frames_of, told
from tests.support.relay_app import TEXT
from tests.support.relay_servers import SERVERS, read, served

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals")]


@pytest.mark.parametrize("name", SERVERS)
def test_a_browser_that_was_cut_goes_on_and_reads_to_the_end(name: str) -> None:
    with served(name, RELAY_SPEED="100") as server:
        key = server.start("chat")
        with closing(server.open(key)) as first:
            begun = read(first, b"part_delta")
        last = [frame for frame, _, _ in frames_of(begun) if frame][-1]
        with closing(server.open(key, last)) as again:
            rest = read(again)
        assert told(begun) + told(rest) == TEXT
        assert frames_of(rest)[-1][1] == "stream_end"


@pytest.mark.parametrize("name", SERVERS)
def test_a_silent_disconnect_is_seen_in_a_fifth_of_a_second(name: str) -> None:
    with served(name, RELAY_SPEED="0.01") as server:
        key = server.start("chat")
        connection = server.open(key)
        read(connection, b"stream-open")
        server.until_tabs(1)
        connection.close()
        assert server.until_tabs(0) < 1.0  # the looks take their time, and the machine may be busy


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_told_to_stop_sends_its_tabs_away_and_ends(name: str) -> None:
    with served(name, RELAY_SPEED="1") as server:
        key = server.start("chat")
        with closing(server.open(key)) as connection:
            begun = read(connection, b"part_delta")
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            rest = b""
            while got := connection.recv(65536):
                rest += got
            server.process.wait(10)
        assert time.monotonic() - began < 8
        # Hypercorn's workers get no signal: it cancels what still runs after its own three seconds.
        assert b"retry: " in rest or name.startswith("hypercorn")
        assert b"stream_end" not in begun + rest


@pytest.mark.parametrize("name", SERVERS)
def test_a_client_that_reads_nothing_holds_nobody_up(name: str) -> None:
    settings = json.dumps({"send_timeout": 1.0})
    with served(name, RELAY_SPEED="0", RELAY_SETTINGS=settings) as server:
        keys = [server.start(f"chat{number}") for number in range(3)]
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.connect(("127.0.0.1", server.port))
        with closing(slow):
            # Far more than the buffers between hold, asked for in one connection.
            slow.sendall(f"GET /{keys[0]}/stream HTTP/1.1\r\nhost: a\r\n\r\n".encode())
            with closing(server.open(keys[1])) as other:
                assert frames_of(read(other))[-1][1] == "stream_end"  # the others go on meanwhile
