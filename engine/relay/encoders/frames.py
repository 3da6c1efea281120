"""Frames of an event stream, as bytes: JSON strings fast, and whole values for what comes seldom.

A JSON string holds no line end, so a frame is one `data:` line. Readers that split a text into lines as Python does
would split it at three more characters, so those are escaped. What UTF-8 can't say, half a surrogate pair, is either
kept as JSON's escape (`quoted`) or mended (`Growing`), as the protocol's readers need it.
"""

from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from ....actors.message import mended
from ....actors.wire import json_text

__all__ = ["data", "present", "quoted", "utf8"]

_LINE_ENDS = (("\x85", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


def quoted(text: str) -> bytes:
    """`text` as a JSON string in UTF-8, or in ASCII when it holds half a surrogate pair, which is kept as its escape:
    JavaScript joins it with the other half when that comes."""
    try:
        return utf8(text)
    except UnicodeEncodeError:
        return encode_basestring_ascii(text).encode()


def present(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def data(**fields: Any) -> bytes:
    """A frame of one JSON object: the fields that are not None, with no half of a surrogate pair left in them."""
    return b"data: " + json_text(mended(present(**fields))).encode() + b"\n\n"


def utf8(text: str) -> bytes:
    """`text` as a JSON string in UTF-8. Raises `UnicodeEncodeError` when it holds half a surrogate pair."""
    written = encode_basestring(text)
    if not text.isascii():
        for char, escape in _LINE_ENDS:
            if char in written:
                written = written.replace(char, escape)
    return written.encode()
