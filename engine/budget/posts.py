"""Reports that are left on a server for whoever books them, and the grants that come of it: their form as bytes.

A round trip to a server may take longer than the time between two reports of all participants together. So whoever
writes the state books what others have left there as well, and leaves them their grants.
"""

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from .booking import booked
from .dollars import Allowance, Spending
from .messages import Grant, GrantT, OutOfDateError, Report, Told

__all__ = ["book_posts", "grant_in", "post_of"]

_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[bytes, msgspec.msgpack.Decoder[Any]] = {
    b"r": msgspec.msgpack.Decoder(Report),
    b"d": msgspec.msgpack.Decoder(Spending),
}
_grants: dict[bytes, msgspec.msgpack.Decoder[Any]] = {
    b"r": msgspec.msgpack.Decoder(Grant),
    b"d": msgspec.msgpack.Decoder(Allowance),
}


def post_of(report: Told[Any]) -> bytes:
    """The report as bytes."""
    return _kind(report) + _encode(report)


def grant_in(data: bytes, report: Told[GrantT]) -> GrantT:
    """What was granted upon the report. Raises `ValueError` for bytes that are none."""
    try:
        return cast("GrantT", _grants[_kind(report)].decode(data))
    except msgspec.DecodeError as exc:
        raise ValueError("it is no grant") from exc


def book_posts(state: bytes, posts: Iterable[bytes], now: float) -> tuple[bytes, list[bytes]]:
    """The state with all that was left there, and for each the number of the report and what is granted upon it, as
    bytes. What is no report, is out of date, or can't be booked, changes nothing, and is granted nothing: it may come
    from another version."""
    grants: list[bytes] = []
    for post in posts:
        try:
            report = _decoders[post[:1]].decode(post[1:])
            state, grant = booked(state, report, now)
        except (OutOfDateError, msgspec.MsgspecError, ValueError, LookupError, TypeError, ArithmeticError):
            grants.append(b"")
        else:
            grants.append(b"%d %b" % (report.number, _encode(grant)))
    return state, grants


def _kind(report: Told[Any]) -> bytes:
    return b"d" if isinstance(report, Spending) else b"r"
