"""A request's head as HTTP/2 has it: four pseudo-headers, then the headers in lower case, without those that speak of
the connection."""

from collections.abc import Sequence

from hpack import HeaderTuple, NeverIndexedHeaderTuple

__all__ = ["Fields", "length_field", "request_fields"]

Fields = list[tuple[bytes, bytes]]

_OF_THE_CONNECTION = frozenset(
    (b"host", b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"http2-settings")
)
_SECRET = frozenset((b"x-api-key", b"authorization", b"proxy-authorization", b"cookie"))
# They stay out of the compression's table, here and in any proxy that passes them on (RFC 7541, 7.1.3).


def request_fields(method: str, scheme: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Fields:
    """The fields for a request whose headers were checked as HTTP/1.1's."""
    lower = [(name.lower(), value) for name, value in headers]
    named = b",".join(value for name, value in lower if name == b"connection")
    left_out = _OF_THE_CONNECTION | {option.strip().lower() for option in named.split(b",")}
    fields: Fields = [
        HeaderTuple(b":method", method.encode()),
        HeaderTuple(b":authority", next(value for name, value in lower if name == b"host")),
        HeaderTuple(b":scheme", scheme),
        HeaderTuple(b":path", target),
    ]
    for name, value in lower:
        if name in left_out or (name == b"te" and value.lower() != b"trailers"):
            continue
        if name == b"content-length":
            fields.append(length_field(value))
        else:
            fields.append(NeverIndexedHeaderTuple(name, value) if name in _SECRET else HeaderTuple(name, value))
    return fields


def length_field(length: bytes) -> tuple[bytes, bytes]:
    """The length of a body. It differs from one request to the next, and would push out of the compression's table what
    does not."""
    return NeverIndexedHeaderTuple(b"content-length", length)
