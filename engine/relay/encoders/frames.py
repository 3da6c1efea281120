"""Frames of an event stream, as bytes: JSON strings fast, and whole values for what comes seldom.

A JSON string holds no line end, so a frame is one `data:` line. Readers that split a text into lines as Python does
would split it at three more characters, so those are escaped. What UTF-8 can't say, half a surrogate pair, is either
kept as JSON's escape (`quoted`) or mended (`PairedText`), as the protocol's readers need it.
"""

from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from ....actors.message import mended
from ....actors.wire import joined, json_text

__all__ = ["END", "PairedText", "data", "present", "quoted"]

END = b"}\n\n"

_LINE_ENDS = (("\x85", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


def quoted(text: str) -> bytes:
    """`text` as a JSON string in UTF-8, or in ASCII when it holds half a surrogate pair, which is kept as its escape:
    JavaScript joins it with the other half when that comes."""
    try:
        return _utf8(text)
    except UnicodeEncodeError:
        return encode_basestring_ascii(text).encode()


def present(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def data(**fields: Any) -> bytes:
    """A frame of one JSON object: the fields that are not None, with no half of a surrogate pair left in them."""
    return b"data: " + json_text(mended(present(**fields))).encode() + b"\n\n"


class PairedText:
    """Texts of parts that grow, as JSON strings in UTF-8 that every reader takes.

    The first half of a surrogate pair at a piece's end is held back until the piece with the other half; any other half
    is U+FFFD. Pydantic, and so most readers in Python, refuse JSON with a half in it.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[int, str] = {}

    def quoted(self, index: int, piece: str) -> bytes:
        """`piece` of the part at `index`; empty when nothing of it can go out yet."""
        if not self._held:
            try:
                return _utf8(piece)
            except UnicodeEncodeError:
                pass
        text = joined([self._held.pop(index, ""), piece])
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held[index] = text[-1]
            text = text[:-1]
        return _utf8(mended(text)) if text else b""

    def rest(self, index: int) -> bytes:
        """What was held back of the part at `index`, which is over; empty when nothing was."""
        held = self._held.pop(index, "")
        return _utf8(mended(held)) if held else b""

    def clear(self) -> None:
        """Forgets all parts."""
        self._held.clear()


def _utf8(text: str) -> bytes:
    written = encode_basestring(text)
    if not text.isascii():
        for char, escape in _LINE_ENDS:
            if char in written:
                written = written.replace(char, escape)
    return written.encode()
