"""A whole message, sent where a stream was asked for, as the events of a stream."""

import json
from typing import Literal

import msgspec

__all__ = ["BOM", "message_as_sse"]

BOM = b"\xef\xbb\xbf"
"""The mark that some servers write before UTF-8."""


class _Block(msgspec.Struct):
    """Any JSON object."""


class _Message(msgspec.Struct):
    """The fields by which a whole message is told from other JSON. The wire's decoder reads the rest."""

    type: Literal["message"]
    content: list[_Block]


def message_as_sse(body: bytes) -> bytes | None:
    """A whole message as SSE: a stream that holds all of it in its `message_start`. None if `body` is no message."""
    body = body.removeprefix(BOM)
    try:
        msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        if not _is_message(body):
            return None
    line = body.replace(b"\n", b" ").replace(b"\r", b" ")  # in JSON, line ends stand only between tokens
    return b"".join(
        (
            b'event: message_start\ndata: {"type":"message_start","message":',
            line,
            b'}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
        )
    )


def _is_message(body: bytes) -> bool:
    """Whether it is a message in JSON that msgspec refuses, such as one with a lone surrogate."""
    try:
        value: object = json.loads(body.decode(), parse_int=str)
        msgspec.convert(value, _Message)
    except (ValueError, RecursionError):
        return False
    return True
