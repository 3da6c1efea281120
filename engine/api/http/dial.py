"""Connecting to a server on asyncio by one of its addresses, which are tried in a race (happy eyeballs, RFC 8305).

If IPv6 leads nowhere, IPv4 is tried a quarter of a second later. asyncio can do this, but uvloop can't.
"""

import asyncio
import socket
from typing import Any

import anyio

from .connection import prepare_socket
from .ungrouped import ungrouped

__all__ = ["dial"]

_STAGGER_SECONDS = 0.25

_Address = tuple[socket.AddressFamily, Any]


async def dial(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket. Raises `OSError`. Cancelled, it leaves no socket open."""
    addresses = await _resolve(loop, host, port)
    if len(addresses) == 1:
        return await _connect(loop, addresses[0])
    return await ungrouped(_race, loop, addresses)


async def _race(loop: asyncio.AbstractEventLoop, addresses: list[_Address]) -> socket.socket:
    """A socket for the first address that answers. Raises `OSError`; anything else comes in a group."""
    winner: socket.socket | None = None
    failures: list[OSError] = []

    async def attempt(address: _Address, over: anyio.Event) -> None:
        nonlocal winner
        try:
            sock = await _connect(loop, address)
        except OSError as exc:
            failures.append(exc)
        else:
            if winner is None:
                winner = sock
                race.cancel_scope.cancel()
            else:
                sock.close()
        finally:
            over.set()

    try:
        async with anyio.create_task_group() as race:
            for address in addresses:
                over = anyio.Event()
                race.start_soon(attempt, address, over)
                with anyio.move_on_after(_STAGGER_SECONDS):
                    await over.wait()
    except BaseException:
        if winner is not None:
            winner.close()
        raise
    if winner is None:
        raise OSError("; ".join(dict.fromkeys(str(failure) for failure in failures))) from failures[0]
    return winner


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[_Address]:
    """The addresses of `host`, in the order to try them: the second is of the other family than the first."""
    try:
        # A numeric address needs no resolver, and no thread for it.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [(family, address) for family, _, _, _, address in found]
    for index, (family, _) in enumerate(addresses):
        if family != addresses[0][0]:
            addresses.insert(1, addresses.pop(index))
            break
    return addresses


async def _connect(loop: asyncio.AbstractEventLoop, address: _Address) -> socket.socket:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        prepare_socket(sock)
        await loop.sock_connect(sock, address[1])
    except BaseException:
        sock.close()
        raise
    return sock
