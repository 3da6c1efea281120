"""What a hub relies on in a store: one writer at a time, entries in order and once, orphans claimed once."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from tests.support.redis_server import NEEDS_REDIS, redis_server

from manystream.actors.channel import Entry
from manystream.engine.relay.stores import Head, Row, SQLiteStore, Store, StoreFailed, Written, redis, store_of
from manystream.engine.relay.stores.redis import RedisStore

Make = Callable[[], Store]
HEAD = Head("ms-1", "chat", "run", 1, request="{}")


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=NEEDS_REDIS)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Make]:
    """Makes stores of one place, each as another process would."""
    made: list[Store] = []

    def keep(store: Store) -> Store:
        made.append(store)
        return store

    if request.param == "sqlite":
        yield lambda: keep(SQLiteStore(tmp_path / "relay.db"))
    else:
        with redis_server(tmp_path) as url:
            yield lambda: keep(RedisStore(url))
    for store in made:
        store.close()


def row(first: int, seq: int, epoch: int = 1, *, ends: bool = False, name: str = HEAD.id) -> Row:
    return Row(name, epoch, Entry(first, seq, f'{{"v":1,"items":["]{first}"]}}', ends))


def write(
    store: Store, owner: str, *rows: Row, reading: Any = (), lease: float = 30.0, retention: float = 60
) -> Written:
    return store.write(owner, lease, rows, reading, retention)


def entries(store: Store, after: int = 0, name: str = HEAD.id) -> list[tuple[int, int, int]]:
    return [(one.entry.first_seq, one.entry.seq, one.epoch) for one in store.read({name: after})]


def test_entries_come_back_in_order_from_any_number_on(make: Make) -> None:
    one, two = make(), make()
    one.create(HEAD, "a", 30.0)
    assert write(one, "a", row(1, 9), row(10, 10)).lost == frozenset()
    assert write(one, "a", row(11, 12, ends=True)).lost == frozenset()
    assert entries(two) == [(1, 9, 1), (10, 10, 1), (11, 12, 1)]
    assert entries(two, 9) == [(10, 10, 1), (11, 12, 1)]
    assert entries(two, 12) == entries(two, name="ms-none") == []
    assert [one.entry.text for one in two.read({HEAD.id: 10})] == ['{"v":1,"items":["]11"]}']


def test_a_stream_is_found_by_its_id_and_the_latest_by_its_key(make: Make) -> None:
    one, two = make(), make()
    assert two.look(HEAD.id) is None
    one.create(HEAD, "a", 30.0)
    later = attrs.evolve(HEAD, id="ms-2", request=None)
    time.sleep(0.002)
    one.create(later, "a", 30.0)
    one.create(Head("ms-3", None, "run", 1), "a", 30.0)
    assert (two.look("ms-1"), two.look("chat"), two.look("nothing")) == (HEAD, later, None)
    write(one, "a", row(1, 1, name="ms-2", ends=True))
    assert two.look("chat") == attrs.evolve(later, ended=True)


def test_what_does_not_follow_is_refused_and_what_came_before_is_not_appended_again(make: Make) -> None:
    store = make()
    store.create(HEAD, "a", 30.0)
    write(store, "a", row(1, 3))
    assert write(store, "a", row(5, 6)).lost == {HEAD.id}
    assert write(store, "a", row(1, 3)).lost == frozenset()  # its answer was lost, and the row comes again
    assert write(store, "a", row(4, 4, ends=True)).lost == frozenset()
    assert write(store, "a", row(5, 5)).lost == {HEAD.id}  # nothing follows an ending
    assert write(store, "a", row(1, 1, name="ms-none")).lost == {"ms-none"}
    assert entries(store) == [(1, 3, 1), (4, 4, 1)]


def test_an_orphan_is_claimed_once_and_its_old_writer_is_refused(make: Make) -> None:
    one, two, three = make(), make(), make()
    one.create(HEAD, "a", 30.0)
    write(one, "a", row(1, 2))
    assert write(two, "b").orphans == []
    assert not two.claim(HEAD, "b")  # it lives
    write(one, "a", lease=0.001)
    time.sleep(0.05)
    (orphan,) = write(two, "b").orphans
    assert orphan == HEAD
    assert [two.claim(orphan, "b"), three.claim(orphan, "c"), two.claim(orphan, "b")] == [True, False, False]
    assert write(one, "a", row(3, 3)).lost == {HEAD.id}
    assert write(two, "b", row(3, 4, 2, ends=True)).lost == frozenset()
    assert entries(three) == [(1, 2, 1), (3, 4, 2)]
    assert write(three, "c").orphans == []
    assert not three.claim(attrs.evolve(HEAD, epoch=2), "c")  # it has ended


def test_a_stream_is_nobody_s_orphan_before_its_writer_has_written(make: Make) -> None:
    one, two = make(), make()
    one.create(HEAD, "a", 30.0)
    assert write(two, "b").orphans == []
    assert not two.claim(HEAD, "b")


def test_what_is_released_is_an_orphan_at_once(make: Make) -> None:
    one, two = make(), make()
    one.create(HEAD, "a", 30.0)
    write(one, "a")
    one.release("a")
    assert [head.id for head in write(two, "b").orphans] == [HEAD.id]


def set_clocks(monkeypatch: pytest.MonkeyPatch, stores: list[Store]) -> Callable[[float], None]:
    """Sets the clock by which the stores of one place tell leases, now and again."""
    if isinstance(stores[0], SQLiteStore):

        def set_own(now: float) -> None:
            for store in stores:
                monkeypatch.setattr(store, "_clock", lambda: now)

        return set_own
    for script in ("_RENEW", "_WRITE", "_CLAIM"):
        given = getattr(redis, script)
        assert "redis.call('TIME')" in given
        monkeypatch.setattr(redis, script, given.replace("redis.call('TIME')", "redis.call('LRANGE', 'time', 0, 1)"))
    server: Any = import_module("redis").Redis.from_url(cast("Any", stores[0])._url)

    def set_clock(now: float) -> None:
        server.execute_command("DEL", "time")
        server.execute_command("RPUSH", "time", int(now), round(now % 1 * 1e6))

    return set_clock


def test_a_lease_runs_out_in_its_time_and_not_before(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = [make(), make()]
    set_clock = set_clocks(monkeypatch, stores)
    one, two = stores
    set_clock(1000.0)
    one.create(HEAD, "a", 10.0)
    for now in (1001.0, 1003.0, 1005.0, 1007.0, 1009.0, 1009.9):
        set_clock(now)
        assert write(two, "b").orphans == [], now
        assert not two.claim(HEAD, "b"), now
    set_clock(1010.1)
    assert write(two, "b").orphans == [HEAD]
    assert two.claim(HEAD, "b")


@NEEDS_REDIS
@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_server_s_clock_that_is_set_takes_no_stream_over_and_leaves_none_for_ever(
    step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server(tmp_path) as url:
        one, two = RedisStore(url), RedisStore(url)
        set_clock = set_clocks(monkeypatch, [one, two])
        set_clock(5000.0)
        one.create(HEAD, "a", 10.0)
        two.create(attrs.evolve(HEAD, id="ms-2"), "b", 10.0)
        dead = attrs.evolve(HEAD, id="ms-3")
        two.create(dead, "c", 9.0)
        for now in (5000.5, 5001.0 + step, 5001.5 + step):  # both live
            set_clock(now)
            assert not two.claim(HEAD, "b"), now
            assert write(two, "b", lease=10.0).orphans == [], now
            assert write(one, "a", lease=10.0).orphans == [], now
        for second in range(7):  # one dies too
            set_clock(5002.5 + second + step)
            assert write(two, "b", lease=10.0).orphans == [], second
        set_clock(5009.7 + step)  # half a second was not counted
        assert write(two, "b", lease=10.0).orphans == [dead]
        set_clock(5011.6 + step)
        assert len(write(two, "b", lease=10.0).orphans) == 2
        two.close()
        one.close()


def test_the_wall_clock_tells_no_lease_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "relay.db"
    one, two = SQLiteStore(path), SQLiteStore(path)
    one.create(HEAD, "a", 10.0)
    wall = time.time
    for step in (3600.0, -3600.0):
        monkeypatch.setattr(time, "time", lambda step=step: wall() + step)
        assert write(two, "b", lease=10.0).orphans == []
        later = attrs.evolve(HEAD, id=f"ms{step}", key=f"{step}")
        one.create(later, "a", 10.0)
        two.create(attrs.evolve(later, id=f"ms{step}-2"), "b", 10.0)
        assert write(two, "b", lease=10.0).orphans == []
        assert two.look(f"{step}") == attrs.evolve(later, id=f"ms{step}-2")  # the latest
    one.create(attrs.evolve(HEAD, id="ms-last"), "a", 10.0)
    assert (two.look("chat") or HEAD).id == "ms-last"
    one.close()
    two.close()


def test_a_file_of_before_the_machine_was_restarted_has_orphans_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores: list[Store] = [SQLiteStore(tmp_path / "relay.db"), SQLiteStore(tmp_path / "relay.db")]
    set_clock = set_clocks(monkeypatch, stores)
    set_clock(1e6)
    stores[0].create(HEAD, "a", 10.0)
    set_clock(20.0)
    assert write(stores[1], "b").orphans == [HEAD]
    assert stores[1].claim(HEAD, "b")
    for store in stores:
        store.close()


def test_of_many_that_claim_at_once_one_does(make: Make) -> None:
    make().create(HEAD, "gone", 0.001)
    stores = [make() for _ in range(8)]
    time.sleep(0.05)
    barrier, won = threading.Barrier(8), list[str]()

    def claim(store: Store, owner: str) -> None:
        barrier.wait()
        if store.claim(HEAD, owner):
            won.append(owner)

    threads = [threading.Thread(target=claim, args=(store, str(number))) for number, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_all_streams_of_a_key_that_run_are_asked_to_stop(make: Make) -> None:
    one, two = make(), make()
    for number in range(3):
        one.create(attrs.evolve(HEAD, id=f"ms-{number}"), "a", 60)
    one.create(attrs.evolve(HEAD, id="ms-other", key="another"), "a", 60)
    write(one, "a", row(1, 1, ends=True, name="ms-0"))
    assert two.stop("chat", "enough")
    assert dict(write(one, "a").stops) == {"ms-1": "enough", "ms-2": "enough"}
    write(one, "a", *(row(1, 1, ends=True, name=f"ms-{number}") for number in (1, 2)))
    assert not two.stop("chat", "enough")


def test_the_writer_hears_who_reads_and_who_wants_it_to_stop(make: Make) -> None:
    one, two = make(), make()
    one.create(HEAD, "a", 30.0)
    assert write(one, "a") == Written(orphans=[])
    write(two, "b", reading=[HEAD.id, "ms-none"])
    assert two.stop(HEAD.id, "enough")
    assert not two.stop("ms-none", "enough")
    heard = write(one, "a")
    assert (dict(heard.stops), heard.watched) == ({HEAD.id: "enough"}, {HEAD.id})
    assert write(two, "b").stops == {}
    assert two.look("ms-none") is None


def test_what_ended_is_forgotten_after_its_time(make: Make) -> None:
    store = make()
    store.create(HEAD, "a", 30.0)
    write(store, "a", row(1, 1, ends=True), retention=1)
    assert entries(store) == [(1, 1, 1)]
    time.sleep(1.2)
    write(store, "a", retention=1)
    assert (entries(store), store.look("ms-1")) == ([], None)


def test_a_store_is_used_again_after_it_was_closed(make: Make) -> None:
    store = make()
    store.create(HEAD, "a", 30.0)
    store.close()
    store.close()
    assert store.look(HEAD.id) == HEAD


def test_a_file_is_for_its_owner_alone_and_one_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    store = SQLiteStore(path)
    store.create(HEAD, "a", 30.0)
    assert {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {0o600}
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version=99")
    connection.close()
    with pytest.raises(StoreFailed, match="another version"):
        store.look("x")
    with pytest.raises(StoreFailed, match="missing"):
        SQLiteStore(tmp_path / "missing" / "relay.db").look("x")


@pytest.mark.parametrize("lock", ["begin", "begin immediate", "begin exclusive"])
def test_a_file_that_another_process_is_at_without_the_log_is_waited_for(lock: str, tmp_path: Path) -> None:
    # As it is while several processes open a new file: SQLite waits for some of these locks, and not for all.
    path = tmp_path / "relay.db"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path), lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    opener = threading.Timer(0.1, holder.communicate)
    opener.start()
    store = SQLiteStore(path)
    store.create(HEAD, "a", 30.0)
    assert store.look(HEAD.id) == HEAD
    store.close()
    opener.join()


_HOLDER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("create table strange(x)")
db.execute(sys.argv[2])
db.execute("select * from strange").fetchall()
print("held", flush=True)
sys.stdin.read()
db.execute("commit")
"""


@NEEDS_REDIS
def test_a_server_that_is_not_there_is_told_without_its_password() -> None:
    store = RedisStore("redis://me:a-secret@127.0.0.1:1/0")
    with pytest.raises(StoreFailed) as failed:
        store.look("x")
    assert "a-secret" not in str(failed.value) + repr(store)
    assert "127.0.0.1:1" in str(failed.value)


@pytest.mark.parametrize("given", ["", "sqlite:", "postgres://a-secret", "memory", 1, object()])
def test_what_is_no_store_is_refused_without_being_told(given: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="store is") as refused:
        store_of(given)
    assert "a-secret" not in str(refused.value)


def test_a_store_in_a_word(tmp_path: Path) -> None:
    assert store_of(None) is None
    assert repr(store_of(f"sqlite:{tmp_path}/x.db")) == f"SQLiteStore('{tmp_path}/x.db')"
    own = SQLiteStore(tmp_path / "y.db")
    assert store_of(own) is own
