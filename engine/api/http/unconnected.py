"""Why a connection could not be made, in words for people: the same on every system and event loop.

A system's own words differ from one to the next, and name numbers. No I/O.
"""

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from typing import cast

__all__ = ["why_unconnected"]

_NO_NAME = {getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)}
_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "the other side closed the connection at once",
    errno.EPIPE: "the other side closed the connection at once",
    errno.ETIMEDOUT: "it did not answer in time",
    errno.EHOSTUNREACH: "no route to that host",
    errno.ENETUNREACH: "the network can't be reached",
    errno.EADDRNOTAVAIL: "that address can't be reached from here",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files in the system",
}


def why_unconnected(exc: BaseException, host: str, authority: str) -> str:
    """What `exc`, which came while a connection to `host` was made, says: one line, with the host in it. `authority` is
    the host with its port."""
    for link in _links(exc):
        match link:
            case socket.gaierror():
                if link.errno in _NO_NAME:
                    return f"no such host name: {host}"
                return f"the host name {host} can't be looked up: {_lower(link.strerror)}"
            case ssl.SSLCertVerificationError():
                said = getattr(link, "verify_message", "") or str(link) or "it is not trusted"
                return f"{authority}: TLS: certificate verify failed: {said}"
            case ssl.SSLError():
                said = getattr(link, "reason", "") or str(link)  # neither is there in one that Python did not make
                return f"{authority}: TLS failed: {_lower(said.replace('_', ' '))}"
            case OSError() if link.errno is not None:
                return f"{authority}: {_WORDS.get(link.errno) or _lower(os.strerror(link.errno))}"
            case _:
                pass
    return f"{authority}: {exc}" if str(exc) else f"{authority}: the connection could not be made"


def _links(exc: BaseException) -> Iterator[BaseException]:
    """`exc`, what is in it if it is a group, and what it came of."""
    waiting, seen = [exc], set[int]()
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", link).exceptions
        waiting += [other for other in (link.__cause__, link.__context__) if other is not None]


def _lower(words: str | None) -> str:
    return (words or "it failed").lower()
