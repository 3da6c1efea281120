"""Streams on a Redis server: for processes on any number of machines.

A stream is a hash of what is known of it and a sorted set of its entries. What decides (append, claim) is a script of
the server's, so that it happens at once.

The clock is the server's too, so that those of the machines need not agree; but it may be set. So the leases stand in a
hash, until when each is good, and all move on by the time in which nobody wrote, or by which the clock was set back. A
lease that Redis itself lets run out would be gone in that moment, and the streams of processes that live with it.
"""

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from ....actors.channel import Entry
from ...budget.redis import check_url
from .contract import Head, Row, StoreFailed, Written

__all__ = ["RedisStore"]

_PREFIX = "manystream:relay:2:"
_SECONDS = 2.0  # for the server to answer
_WATCHED = 3.0  # seconds for which a note that a stream is read counts
_PASSES = 2.0  # seconds in which somebody writes, else time does not count
_KEPT = 86400  # seconds for which a stream is kept that nobody ended
_FIELDS = ("key", "run_id", "epoch", "ended", "request")

# KEYS: none that the script names by itself, as all keys of a store live on one server.
# Each script begins so: with the time, and with the owners whose leases are good.
_CLOCK = f"""
local prefix = ARGV[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local skipped = now - tonumber(redis.call('GET', prefix .. 'clock') or now)
if 0 <= skipped and skipped <= {_PASSES} then
    skipped = 0
end
redis.call('SET', prefix .. 'clock', string.format('%.6f', now), 'EX', {_KEPT})
local lives, leases = {{}}, redis.call('HGETALL', prefix .. 'leases')
for i = 1, #leases, 2 do
    local good_till = tonumber(leases[i + 1]) + skipped
    if good_till < now then
        redis.call('HDEL', prefix .. 'leases', leases[i])
    else
        lives[leases[i]] = true
        if skipped ~= 0 then
            redis.call('HSET', prefix .. 'leases', leases[i], string.format('%.6f', good_till))
        end
    end
end
"""
_RENEW = f"""
{_CLOCK}
local owner = ARGV[2]
redis.call('HSET', prefix .. 'leases', owner, string.format('%.6f', now + tonumber(ARGV[3])))
redis.call('EXPIRE', prefix .. 'leases', {_KEPT})
"""
_APPEND = """
local lost, input = {}, cjson.decode(ARGV[5])
for i, row in ipairs(input.rows) do
    local hash = prefix .. 'stream:' .. row[1]
    local found = redis.call('HMGET', hash, 'epoch', 'seq', 'ended')
    if found[1] == tostring(row[2]) and not found[3] and found[2] == tostring(row[3] - 1) then
        local entry = cjson.encode({row[3], row[4], row[2]}) .. ARGV[5 + i]
        redis.call('ZADD', prefix .. 'entries:' .. row[1], row[3], entry)
        redis.call('EXPIRE', prefix .. 'entries:' .. row[1], ARGV[#ARGV])
        redis.call('HSET', hash, 'seq', tostring(row[4]))
        if row[5] then
            redis.call('HSET', hash, 'ended', '1')
            redis.call('SREM', prefix .. 'running', row[1])
            redis.call('EXPIRE', hash, retention)
            redis.call('EXPIRE', prefix .. 'entries:' .. row[1], retention)
        end
    elseif not (found[1] == tostring(row[2]) and found[2] and tonumber(found[2]) >= row[4]) then
        lost[#lost + 1] = row[1]
    end
end
for _, name in ipairs(input.reading) do
    if redis.call('EXISTS', prefix .. 'stream:' .. name) == 1 then
        redis.call('HSET', prefix .. 'stream:' .. name, 'watched', string.format('%.6f', now))
    end
end
local own, orphans = {}, {}
for _, name in ipairs(redis.call('SMEMBERS', prefix .. 'running')) do
    local hash = prefix .. 'stream:' .. name
    local found = redis.call('HMGET', hash, 'owner', 'stop', 'watched')
    if not found[1] then
        redis.call('SREM', prefix .. 'running', name)
    elseif found[1] == owner then
        local watched = found[3] and math.abs(now - tonumber(found[3])) < tonumber(input.watched)
        if found[2] or watched then
            own[#own + 1] = {name, found[2] or false, watched and true or false}
        end
    elseif not lives[found[1]] then
        orphans[#orphans + 1] = name
    end
end
return cjson.encode({lost = lost, own = own, orphans = orphans})
"""
_WRITE = f"""
{_RENEW}
local retention = ARGV[4]
{_APPEND}
"""
_CLAIM = f"""
{_CLOCK}
local name, epoch, owner = ARGV[2], ARGV[3], ARGV[4]
local hash = prefix .. 'stream:' .. name
local found = redis.call('HMGET', hash, 'epoch', 'ended', 'owner')
if found[1] ~= epoch or found[2] or lives[found[3]] then
    return 0
end
redis.call('HSET', hash, 'epoch', tostring(tonumber(epoch) + 1), 'owner', owner)
return 1
"""


class RedisStore:
    """The streams of a hub on a Redis server, for all processes that name it.

    `url` is as redis-py has it: `redis://user:password@host:6379/0`, `rediss://` with TLS, or `unix://`. Under keys
    that begin with `manystream:relay:` stand the events of the answers for as long as the hub keeps them, their keys,
    and with `keep_request` the requests. The server must be one, not a cluster. It needs the extra `redis`. Raises
    `TypeError` and `ValueError` for what is no such URL, and `ImportError` without redis-py. Nothing is connected
    before it is used.
    """

    def __init__(self, url: str) -> None:
        check_url(url)
        try:
            self._redis: Any = import_module("redis")
        except ImportError:
            raise ImportError("a store on Redis needs another package: pip install 'manystream[redis]'") from None
        self._url = url
        self._lock = Lock()
        self._opened: Any = None
        self._renew: Any = None
        self._write: Any = None
        self._claim: Any = None

    def __repr__(self) -> str:
        return f"RedisStore({self._shown!r})"

    @property
    def _shown(self) -> str:
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _run(self, work: Any) -> Any:
        # redis-py's synchronous client, in the hub's threads: it has none for trio.
        try:
            with self._lock:
                if self._opened is None:
                    self._opened = self._redis.Redis.from_url(
                        self._url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS, decode_responses=True
                    )
                    self._renew = self._opened.register_script(_RENEW)
                    self._write = self._opened.register_script(_WRITE)
                    self._claim = self._opened.register_script(_CLAIM)
                client = self._opened
            return work(client)
        except (self._redis.RedisError, OSError, ValueError) as exc:
            # What redis-py says may hold what the server was sent.
            raise StoreFailed(f"{self._shown}: {type(exc).__name__}") from None

    def create(self, head: Head, owner: str, lease: float) -> None:
        """See `Store`."""
        fields = {"run_id": head.run_id, "owner": owner, "epoch": str(head.epoch), "seq": "0"}
        if head.key is not None:
            fields["key"] = head.key
        if head.request is not None:
            fields["request"] = head.request

        def work(client: Any) -> None:
            with client.pipeline() as pipe:
                self._renew(args=[_PREFIX, owner, lease], client=pipe)
                pipe.hset(f"{_PREFIX}stream:{head.id}", mapping=fields)
                pipe.expire(f"{_PREFIX}stream:{head.id}", _KEPT)
                pipe.sadd(f"{_PREFIX}running", head.id)
                if head.key is not None:
                    pipe.set(f"{_PREFIX}key:{head.key}", head.id, ex=_KEPT)
                pipe.execute()

        self._run(work)

    def look(self, name: str) -> Head | None:
        """See `Store`."""

        def work(client: Any) -> Head | None:
            found = _head(name, client.hmget(f"{_PREFIX}stream:{name}", _FIELDS))
            if found is None and (latest := client.get(f"{_PREFIX}key:{name}")) is not None:
                found = _head(latest, client.hmget(f"{_PREFIX}stream:{latest}", _FIELDS))
            return found

        return self._run(work)

    def write(self, owner: str, lease: float, rows: Sequence[Row], reading: Sequence[str], retention: float) -> Written:
        """See `Store`."""
        said = {
            "rows": [[row.id, row.epoch, row.entry.first_seq, row.entry.seq, row.entry.ends] for row in rows],
            "reading": list(reading),
            "watched": _WATCHED,
        }
        texts = [row.entry.text for row in rows]

        def work(client: Any) -> Written:
            arguments = [_PREFIX, owner, lease, max(1, round(retention)), json.dumps(said), *texts, _KEPT]
            answer: dict[str, Any] = json.loads(self._write(args=arguments, client=client))
            own: list[tuple[str, Any, bool]] = list(answer["own"] or ())
            heads = [_head(name, client.hmget(f"{_PREFIX}stream:{name}", _FIELDS)) for name in answer["orphans"] or ()]
            return Written(
                frozenset(answer["lost"] or ()),
                {name: stop for name, stop, _ in own if stop},
                frozenset(name for name, _, watched in own if watched),
                [head for head in heads if head is not None],
            )

        return self._run(work)

    def read(self, wants: Mapping[str, int]) -> Sequence[Row]:
        """See `Store`."""

        def work(client: Any) -> list[Row]:
            names = list(wants)
            with client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hget(f"{_PREFIX}stream:{name}", "seq")
                seqs = pipe.execute()
            moved = [name for name, seq in zip(names, seqs, strict=True) if seq and int(seq) > wants[name]]
            if not moved:
                return []
            with client.pipeline(transaction=False) as pipe:
                for name in moved:
                    pipe.zrangebyscore(f"{_PREFIX}entries:{name}", f"({wants[name]}", "+inf")
                lists = pipe.execute()
            return [_row(name, entry) for name, entries in zip(moved, lists, strict=True) for entry in entries]

        return self._run(work)

    def claim(self, head: Head, owner: str) -> bool:
        """See `Store`."""

        def work(client: Any) -> bool:
            return bool(self._claim(args=[_PREFIX, head.id, str(head.epoch), owner], client=client))

        return self._run(work)

    def stop(self, name: str, reason: str) -> bool:
        """See `Store`."""

        def work(client: Any) -> bool:
            running = list(client.smembers(f"{_PREFIX}running"))
            with client.pipeline(transaction=False) as pipe:
                for one in running:
                    pipe.hget(f"{_PREFIX}stream:{one}", "key")
                keys = pipe.execute()
            told = [one for one, key in zip(running, keys, strict=True) if name in (one, key)]
            for one in told:
                client.hset(f"{_PREFIX}stream:{one}", "stop", reason)
            return bool(told)

        return bool(self._run(work))

    def release(self, owner: str) -> None:
        """See `Store`."""

        def work(client: Any) -> None:
            client.hdel(f"{_PREFIX}leases", owner)

        self._run(work)

    def close(self) -> None:
        """See `Store`."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()


def _head(name: str, found: Sequence[str | None]) -> Head | None:
    key, run_id, epoch, ended, request = found
    return None if run_id is None or epoch is None else Head(name, key, run_id, int(epoch), ended is not None, request)


def _row(name: str, entry: str) -> Row:
    numbers, _, text = entry.partition("]")
    first, seq, epoch = json.loads(numbers + "]")
    return Row(name, epoch, Entry(first, seq, text))
