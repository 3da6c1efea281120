"""Two processes of a service that share a store, and one of them dies, stands still, or loses the store."""

import json
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.asgi import frames_of, told
from tests.support.redis_server import NEEDS_REDIS, redis_server
from tests.support.relay_app import TEXT
from tests.support.relay_servers import Served, read, served

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals")]

LEASE = 2.0
STREAMS = 20


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=NEEDS_REDIS)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path}/relay.db"
    else:
        with redis_server(tmp_path) as url:
            yield url


class Tab:
    """A browser's connection that is read as it comes."""

    def __init__(self, server: Served, name: str, last: str = "") -> None:
        self.body = b""
        self._connection = server.open(name, last)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with closing(self._connection), suppress(OSError):
            self.body = read(self._connection)

    def wait(self) -> "Tab":
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self

    @property
    def ending(self) -> dict[str, Any]:
        _, event, data = frames_of(self.body)[-1]
        assert event == "stream_end"
        assert [event for _, event, _ in frames_of(self.body)].count("stream_end") == 1
        return data

    @property
    def last(self) -> str:
        return next((name for name, _, _ in reversed(frames_of(self.body)) if name), "")


def settings(store: str, **more: Any) -> dict[str, str]:
    return {"RELAY_SPEED": "10", "RELAY_SETTINGS": json.dumps({"store": store, "lease": LEASE, **more})}


def begun(server: Served) -> list[str]:
    """Streams that have come to as many different moments."""
    names: list[str] = []
    for number in range(STREAMS):
        names.append(server.start(f"chat-{number}"))
        time.sleep(0.07)
    return names


def test_a_producer_that_is_killed_is_told_of_once_and_alike_everywhere(store: str) -> None:
    with served("uvicorn", **settings(store)) as one, served("uvicorn", **settings(store)) as two:
        names = begun(one)
        own = [Tab(one, name) for name in names]
        others = [Tab(two, name) for name in names]
        time.sleep(1)
        one.process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        for tab in others:
            tab.wait()
        assert time.monotonic() - killed < LEASE + 3  # a second by the design; this machine may be busy
        for name, mine, other in zip(names, own, others, strict=True):
            assert (other.ending["state"], other.ending["error"]["type"]) == ("truncated", "interrupted")
            assert TEXT.startswith(told(other.body))
            # Who read from the dead process comes to the other one: it goes on there, or is told anew.
            again = Tab(two, name, mine.wait().last).wait()
            assert told(mine.body + again.body) == told(other.body)
            assert again.ending == other.ending | {"first_seq": again.ending["first_seq"]}


def test_what_a_killed_producer_left_is_continued(store: str) -> None:
    going_on = settings(store, takeover="continue", keep_request=True)
    with served("uvicorn", **going_on) as one, served("uvicorn", **going_on | {"RELAY_SPEED": "0"}) as two:
        names = begun(one)
        others = [Tab(two, name) for name in names]
        time.sleep(1)
        one.process.send_signal(signal.SIGKILL)
        for tab in others:
            tab.wait()
            assert tab.ending["state"] == "complete"
            said = told(tab.body)
            assert said.endswith(TEXT)
            assert TEXT.startswith(said.removesuffix(TEXT))


def test_a_process_that_stood_still_tells_its_tabs_what_the_others_were_told(store: str) -> None:
    with served("uvicorn", **settings(store)) as one, served("uvicorn", **settings(store)) as two:
        name = one.start("chat")
        own, other = Tab(one, name), Tab(two, name)
        time.sleep(2)
        one.process.send_signal(signal.SIGSTOP)
        other.wait()
        one.process.send_signal(signal.SIGCONT)
        own.wait()
        assert told(own.body) == told(other.body)
        assert own.ending["error"] == other.ending["error"]


@NEEDS_REDIS
def test_a_store_that_is_away_for_a_while_costs_its_own_tabs_nothing(tmp_path: Path) -> None:
    store = f"unix://{tmp_path / 'redis.sock'}"
    environment = settings(store, lease=30.0) | {"RELAY_SPEED": "40"}
    with served("uvicorn", **environment) as one, served("uvicorn", **environment) as two:
        with redis_server(tmp_path) as url:
            assert url == store
            name = one.start("chat")
            own = Tab(one, name)
            time.sleep(1)
        (tmp_path / "redis.sock").unlink(missing_ok=True)
        time.sleep(3)
        with pytest.raises(Exception, match="503"):
            one.start("another")
        own.wait()
        assert (told(own.body), own.ending["state"]) == (TEXT, "complete")
        with closing(two.open(name)) as connection:
            assert b" 503 " in connection.recv(4096)


def test_a_restart_one_by_one_loses_nobody(store: str) -> None:
    going_on = settings(store, takeover="continue", keep_request=True)
    with served("uvicorn", **going_on) as one, served("uvicorn", **going_on | {"RELAY_SPEED": "0"}) as two:
        names = begun(one)
        own = [Tab(one, name) for name in names]
        time.sleep(1)
        one.process.send_signal(signal.SIGTERM)
        one.process.wait(20)
        for name, tab in zip(names, own, strict=True):
            assert b"retry: " in tab.wait().body
            rest = Tab(two, name, tab.last).wait()
            assert rest.ending["state"] == "complete"
            said = told(tab.body + rest.body)
            assert said.endswith(TEXT)
            assert TEXT.startswith(said.removesuffix(TEXT))
