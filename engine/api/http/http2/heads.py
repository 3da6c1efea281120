"""A response's head, checked: a bad one ends its own stream, and not the connection (RFC 9113, 8.1.1 and 8.2)."""

import re
from collections.abc import Iterable

__all__ = ["BadHead", "read_head"]

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")


class BadHead(Exception):
    """The head is not one that HTTP/2 allows."""


def read_head(fields: Iterable[tuple[bytes, bytes]]) -> tuple[int, list[tuple[bytes, bytes]]]:
    """The status and the headers in a head. Raises `BadHead`."""
    status: bytes | None = None
    headers: list[tuple[bytes, bytes]] = []
    for name, value in fields:
        name, value = bytes(name), bytes(value)
        if name == b":status" and status is None and not headers:
            status = value
        elif _NAME.fullmatch(name) and _VALUE.fullmatch(value):
            headers.append((name, value.strip(b" \t")))
        else:
            raise BadHead(f"its head has {name[:50]!r}")
    if status is None or len(status) != 3 or not status.isdigit():
        raise BadHead("its head has no status")
    return int(status), headers
