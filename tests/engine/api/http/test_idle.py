"""Which idle connection is used again, and which are dropped."""

from manystream.engine.api.http.idle import IdlePool


class Connection:
    def __init__(self) -> None:
        self.open = True

    def is_open(self) -> bool:
        return self.open

    def abort(self) -> None:
        self.open = False


def pool_of(count: int, *, expiry: float = 15, size: int = 100) -> tuple[IdlePool[Connection], list[Connection]]:
    """A pool with connections for "a", put one each second from 0."""
    pool: IdlePool[Connection] = IdlePool(expiry=expiry, size=size)
    connections = [Connection() for _ in range(count)]
    for now, connection in enumerate(connections):
        pool.put("a", connection, now)
    return pool, connections


def test_the_last_one_put_is_the_first_one_taken() -> None:
    pool, connections = pool_of(3)
    assert pool.take("b", 3) is None
    assert [pool.take("a", 3) for _ in range(4)] == [*reversed(connections), None]
    assert len(pool) == 0


def test_the_old_are_dropped_whatever_is_asked_for() -> None:
    pool, connections = pool_of(3)
    assert pool.take("b", 15.5) is None
    assert [connection.open for connection in connections] == [False, True, True]
    pool.put("b", Connection(), 16.5)
    assert [connection.open for connection in connections] == [False, False, True]
    assert pool.take("a", 17) is None
    assert len(pool) == 1


def test_what_was_closed_meanwhile_is_passed_over() -> None:
    pool, connections = pool_of(3)
    connections[2].open = connections[1].open = False
    assert pool.take("a", 3) is connections[0]
    assert pool.take("a", 3) is None


def test_no_more_are_kept_than_wanted() -> None:
    pool, connections = pool_of(5, size=2)
    assert [connection.open for connection in connections] == [True, True, False, False, False]
    assert len(pool) == 2
    assert pool.take("a", 5) is connections[1]
    pool.put("b", connections[1], 5)
    assert connections[1].open


def test_none_outlives_the_pool() -> None:
    pool, connections = pool_of(3)
    pool.clear()
    assert not any(connection.open for connection in connections)
    assert len(pool) == 0
    assert pool.take("a", 3) is None
