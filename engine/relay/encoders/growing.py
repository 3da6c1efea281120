"""Parts that grow, for protocols whose frames of a delta differ in how they begin and not in how they go on.

Their readers take no half of a surrogate pair: the first half at a piece's end is held back until the piece with the
other half; any other half is U+FFFD. Pydantic, and so most readers in Python, refuse JSON with a half in it.
"""

from ....actors import PartDeltaEvent, TextPartDelta, ThinkingPartDelta, ToolCallPartDelta
from ....actors.message import mended
from ....actors.wire import joined
from .frames import utf8

__all__ = ["Growing"]

_END = b"}\n\n"


class Growing:
    """The open parts of one connection that were told: how the frame of a delta begins for each, and what is held back
    of its text. A frame's beginning is all before the piece's JSON; it is empty for a part whose deltas are not told.
    """

    __slots__ = ("_begins", "_held")

    def __init__(self) -> None:
        self._begins: dict[int, bytes] = {}
        self._held: dict[int, str] = {}

    @property
    def indexes(self) -> tuple[int, ...]:
        """Of the open parts, in the order in which they began."""
        return tuple(self._begins)

    def begin(self, index: int, frame: bytes, text: str = "") -> bytes:
        """A part is open, and its deltas begin so. Returns the frame of the text it begins with."""
        self._begins[index] = frame
        return self._paired(index, frame, text) if frame else b""

    def feed(self, event: PartDeltaEvent) -> bytes:
        """The frame of a delta; none where there is nothing to tell."""
        index = event.index
        frame = self._begins.get(index)
        if not frame:
            return b""
        delta = event.delta
        if type(delta) is TextPartDelta or type(delta) is ThinkingPartDelta:
            piece = delta.content_delta
        elif type(delta) is ToolCallPartDelta:
            piece = delta.args_delta
        else:
            return b""
        if not piece:
            return b""
        if not self._held:
            try:
                return frame + utf8(piece) + _END
            except UnicodeEncodeError:
                pass
        return self._paired(index, frame, piece)

    def _paired(self, index: int, frame: bytes, piece: str) -> bytes:
        text = joined([self._held.pop(index, ""), piece])
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held[index] = text[-1]
            text = text[:-1]
        return frame + utf8(mended(text)) + _END if text else b""

    def end(self, index: int) -> bytes | None:
        """A part is over. Returns the frame of what was held back of it, often none; None for one that is not open."""
        frame, held = self._begins.pop(index, None), self._held.pop(index, "")
        if frame is None:
            return None
        return frame + utf8(mended(held)) + _END if frame and held else b""

    def cut(self, index: int) -> bytes:
        """An open part is over, and nobody told its end. Returns how its deltas began."""
        self._held.pop(index, None)
        return self._begins.pop(index)

    def clear(self) -> None:
        """Forgets all parts."""
        self._begins.clear()
        self._held.clear()
