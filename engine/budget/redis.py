"""The budget of many machines: the ledger on a Redis server.

The ledger's Python runs in each engine. It reads the state, books its report, and writes the state back if nobody else
has written meanwhile (a compare-and-set, by a script of the server's); else it begins again with what is there now. The
clock is the server's, so those of the machines need not agree. A report tells sums: one that was booked though its
answer was lost does no harm when it comes again.
"""

from importlib import import_module
from random import uniform
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread

from .booking import booked
from .budget import CarrierFailed
from .checks import check_shares
from .messages import GrantT, Told
from .state import FORMAT

__all__ = ["RedisBudget"]

_SCHEMES = ("redis", "rediss", "unix")
_SECONDS = 0.9  # for the server to answer
_TRIES_AGAIN = 0.002, 0.05  # seconds, at first and at most
_KEPT = 3600  # seconds for which a state is kept that nobody touches

_SCRIPT = """
local found = redis.call('HMGET', KEYS[1], 'version', 'state')
local version = found[1] or '0'
if ARGV[1] == version then
    redis.call('HSET', KEYS[1], 'version', tostring(tonumber(version) + 1), 'state', ARGV[2])
    if ARGV[3] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
    return {1}
end
return {0, version, found[2] or '', redis.call('TIME')}
"""
_ONLY_READ = "-"  # no version


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
        wait, longest = _TRIES_AGAIN
        kept = 0 if report.lasting else _KEPT
        found = await self._ask(account, _ONLY_READ, b"", kept)
        while True:
            _, version, data, (seconds, microseconds) = found
            state, grant = booked(data, report, int(seconds) + int(microseconds) / 1e6)
            found = await self._ask(account, version, state, kept)
            if found[0] == 1:
                return grant
            await anyio.sleep(wait * uniform(0.0, 1.0))
            wait = min(1.5 * wait, longest)

    async def _ask(self, account: str, version: Any, data: bytes, kept: int) -> Any:
        # In a thread, since redis-py has no client for trio. One that hangs is left to its timeout.
        return await anyio.to_thread.run_sync(self._ask_now, account, version, data, kept, abandon_on_cancel=True)

    def _ask_now(self, account: str, version: Any, data: bytes, kept: int) -> Any:
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
            return script(keys=[f"manystream:budget:{FORMAT}:{account}"], args=[version, data, kept])
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
