"""Frames of an event stream, as bytes: JSON strings fast, and whole values for what comes seldom.

JSON strings hold no line end, so a frame is one `data:` line. What UTF-8 can't say, half a surrogate pair, is either
kept as JSON's escape (`quoted`) or mended (`PairedText`), as the protocol's readers need it.
"""

from collections.abc import Mapping
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from ....actors.message import mended
from ....actors.wire import joined, json_text

__all__ = ["END", "PairedText", "data", "present", "quoted", "unicode_data"]

END = b"}\n\n"


def quoted(text: str) -> bytes:
    """`text` as a JSON string in UTF-8, or in ASCII when it holds half a surrogate pair, which is kept as its escape:
    JavaScript joins it with the other half when that comes."""
    try:
        return encode_basestring(text).encode()
    except UnicodeEncodeError:
        return encode_basestring_ascii(text).encode()


def present(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def data(fields: Mapping[str, Any]) -> bytes:
    """A frame of one JSON object."""
    return b"data: " + json_text(fields).encode() + b"\n\n"


def unicode_data(**fields: Any) -> bytes:
    """A frame of the fields that are not None, in which no half of a surrogate pair is left."""
    return data(mended(present(**fields)))


class PairedText:
    """Texts of parts that grow, as JSON strings in UTF-8 that every reader takes.

    The first half of a surrogate pair at a piece's end is held back until the piece with the other half; any other half
    is U+FFFD. Pydantic, and so every reader in Python, refuses JSON with a half in it.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[int, str] = {}

    def quoted(self, index: int, piece: str) -> bytes:
        """`piece` of the part at `index`; empty when nothing of it can go out yet."""
        if not self._held:
            try:
                return encode_basestring(piece).encode()
            except UnicodeEncodeError:
                pass
        text = joined([self._held.pop(index, ""), piece])
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held[index] = text[-1]
            text = text[:-1]
        return encode_basestring(mended(text)).encode() if text else b""

    def rest(self, index: int) -> bytes:
        """What was held back of the part at `index`, which is over; empty when nothing was."""
        held = self._held.pop(index, "")
        return encode_basestring(mended(held)).encode() if held else b""

    def clear(self) -> None:
        """Forgets all parts."""
        self._held.clear()
