"""The budget of many machines: the ledger on a Redis server.

The ledger's Python runs in each engine. It leaves its report on the server. Unless another engine is at it, it reads
the state, books its report and all that others have left there, and writes the state back with their grants: by a
script of the server's, and only if nobody else has written meanwhile. Those who wait look for their grant; when none is
there and nobody is at it, or whoever is has not come back in half a second, it is their turn. So an exchange takes
about as long as four round trips, however many share and however far the server is, and nothing is reckoned twice.

The clock is the server's, so those of the machines need not agree. A report tells sums, and has a number: one that was
booked though its answer was lost does no harm when it comes again, nor one that comes late.
"""

from importlib import import_module
from random import uniform
from threading import Lock
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import anyio.to_thread

from .booking import booked
from .budget import CarrierFailed
from .checks import check_shares
from .messages import GrantT, Told
from .posts import book_posts, grant_in, post_of
from .state import FORMAT

__all__ = ["RedisBudget"]

_SCHEMES = ("redis", "rediss", "unix")
_SECONDS = 0.9  # for the server to answer
_KEPT = 3600  # seconds for which a state is kept that nobody touches

_LOOKS_AGAIN = 0.003, 0.03  # seconds, at first and at most

_SCRIPT = """
local key, version, state, kept, name, number, post = KEYS[1], unpack(ARGV, 1, 6)
local found = redis.call('HGET', key, 'version') or '0'
local now = redis.call('TIME')
if version == found then
    redis.call('HSET', key, 'version', tostring(tonumber(found) + 1), 'state', state)
    redis.call('HDEL', key, 'clerk', 'report ' .. name)
    for i = 7, #ARGV, 3 do
        local other = ARGV[i]
        if redis.call('HGET', key, 'report ' .. other) == ARGV[i + 1] then
            redis.call('HDEL', key, 'report ' .. other)
        end
        if ARGV[i + 2] ~= '' then redis.call('HSET', key, 'grant ' .. other, now[1] .. ' ' .. ARGV[i + 2]) end
    end
    if tonumber(found) % 64 == 0 then
        for _, field in ipairs(redis.call('HKEYS', key)) do
            if string.sub(field, 1, 6) == 'grant ' then
                local since = string.match(redis.call('HGET', key, field), '^%d+')
                if tonumber(now[1]) - tonumber(since or 0) > 60 then redis.call('HDEL', key, field) end
            end
        end
    end
    if kept ~= '0' then redis.call('EXPIRE', key, kept) end
    return {1}
end
local granted = redis.call('HGET', key, 'grant ' .. name)
if granted then
    redis.call('HDEL', key, 'grant ' .. name)
    local told, grant = string.match(granted, '^%d+ (%d+) (.*)$')  -- since when it lies here, and for which report
    if told == number then return {2, grant} end
end
if post ~= '' then
    redis.call('HSET', key, 'report ' .. name, post)
    if kept ~= '0' then redis.call('EXPIRE', key, kept) end
end
local clerk, moment = redis.call('HGET', key, 'clerk'), now[1] * 1000 + math.floor(now[2] / 1000)
if clerk then
    local till, who = string.match(clerk, '^(%d+) (.*)$')
    local left = tonumber(till) - moment  -- more than it was given: the server's clock was set back
    if who ~= name and left > 0 and left <= 500 then return {3} end
end
redis.call('HSET', key, 'clerk', string.format('%d', moment + 500) .. ' ' .. name)
local all, reports = redis.call('HGETALL', key), {}
local state = ''
for i = 1, #all, 2 do
    if all[i] == 'state' then
        state = all[i + 1]
    elseif string.sub(all[i], 1, 7) == 'report ' then
        reports[#reports + 1] = string.sub(all[i], 8)
        reports[#reports + 1] = all[i + 1]
    end
end
return {0, found, state, now, reports}
"""
_ONLY_READ = "-"  # no version
_WRITTEN, _GRANTED, _WAIT = 1, 2, 3


class RedisBudget:
    """One budget for all engines that use the same key and this Redis server, on any number of machines.

    `url` is as redis-py has it: `redis://user:password@host:6379/0`, `rediss://` with TLS, or `unix://`. `name`,
    `weight`, `priority` and `spend_cap` are as in `HostBudget`. On the server stand hashes of accounts, numbers and
    times, under keys that begin with `manystream:budget:`. What nobody touches is gone after an hour; dollars that were
    spent under a cap stay until they are reset, as long as the server keeps its data.

    It needs the extra `redis`. Raises `TypeError` and `ValueError` for settings that make no sense, and `ImportError`
    without redis-py. Nothing is connected before it is used. It may be given to several engines.
    """

    on_host = False
    starts_within = 3.0
    """How many seconds the first exchange may take: it connects, and brings the script."""

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        weight: float = 1.0,
        priority: int = 0,
        spend_cap: float | None = None,
    ) -> None:
        check_url(url)
        check_shares(name, weight, priority, spend_cap)
        try:
            self._redis: Any = import_module("redis")
        except ImportError:
            raise ImportError("a budget on Redis needs another package: pip install 'manystream[redis]'") from None
        self.name = name
        self.weight = weight
        self.priority = priority
        self.spend_cap = spend_cap
        self._url = url
        self._lock = Lock()
        self._client: Any = None
        self._script: Any = None

    def __repr__(self) -> str:
        return f"RedisBudget({self._shown!r}, name={self.name!r})"

    async def exchange(self, account: str, report: Told[GrantT]) -> GrantT:
        """Takes a report to the ledger. Cancelled, it may have been booked all the same, which does no harm."""
        name, number = report.participant or uuid4().hex, str(report.number)
        kept = 0 if report.lasting else _KEPT
        wait, longest = _LOOKS_AGAIN
        found = await self._ask(account, _ONLY_READ, b"", kept, name, number, post_of(report))
        while found[0] != _GRANTED:
            if found[0] == _WAIT:
                await anyio.sleep(wait * uniform(0.5, 1.5))
                wait = min(1.5 * wait, longest)
                found = await self._ask(account, _ONLY_READ, b"", kept, name, number, b"")
                continue
            _, version, state, (seconds, microseconds), left = found
            now = int(seconds) + int(microseconds) / 1e6
            others = [(who, post) for who, post in zip(left[::2], left[1::2], strict=True) if who != name.encode()]
            state, grants = book_posts(state, (post for _, post in others), now)
            state, grant = booked(state, report, now)
            told = [part for (who, post), granted in zip(others, grants, strict=True) for part in (who, post, granted)]
            found = await self._ask(account, version, state, kept, name, number, b"", *told)
            if found[0] == _WRITTEN:
                return grant
        return grant_in(found[1], report)

    async def _ask(self, account: str, *arguments: Any) -> Any:
        # In a thread, since redis-py has no client for trio. One that hangs is left to its timeout.
        return await anyio.to_thread.run_sync(self._ask_now, account, arguments, abandon_on_cancel=True)

    def _ask_now(self, account: str, arguments: tuple[Any, ...]) -> Any:
        try:
            with self._lock:
                if self._client is None:
                    self._client = self._redis.Redis.from_url(
                        self._url,
                        socket_timeout=_SECONDS,
                        socket_connect_timeout=_SECONDS,
                        decode_responses=False,
                    )
                    self._script = self._client.register_script(_SCRIPT)
                script = self._script
            return script(keys=[f"manystream:budget:{FORMAT}:{account}"], args=arguments)
        except (self._redis.RedisError, OSError, ValueError) as exc:
            # What redis-py says may hold what the server was sent.
            raise CarrierFailed(f"{self._shown}: {type(exc).__name__}") from None

    async def aclose(self) -> None:
        """Closes the connections. The next exchange opens them again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            await anyio.to_thread.run_sync(client.close)

    @property
    def _shown(self) -> str:
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check_url(url: object) -> None:
    """Raises `TypeError` and `ValueError` for what is no URL of a Redis server. It may hold a password, which is not
    told."""
    if not isinstance(url, str):
        raise TypeError(f"url is redis://host:port, not a {type(url).__name__}")
    try:
        parts = urlsplit(url)
        fine = parts.scheme in _SCHEMES and bool(parts.hostname or parts.path.strip("/")) and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise ValueError("url is redis://host:port, rediss://host:port or unix:///path, and this one is not")
