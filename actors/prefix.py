"""The beginning of an answer that another process has logged, for an actor that goes on with it."""

import attrs

from .assembler import Assembler
from .channel import EventLog
from .message import Part, TextPart
from .stream import StreamRequest, continuation, takes_continuation

__all__ = ["Prefix"]


@attrs.frozen
class Prefix:
    """What came of an answer before its process died: the number of its last event, and its parts with their
    indexes."""

    seq: int
    parts: tuple[tuple[int, Part], ...] = attrs.field(repr=False)

    def continued(self, request: StreamRequest, log: EventLog) -> tuple[Assembler, StreamRequest]:
        """What puts the rest together, into `log`, and what is to be sent for it: `request` with the text so far, or as
        it is when there is none."""
        assembler = Assembler(log, beta=bool(request.betas))
        text = "".join(part.content for _, part in self.parts if isinstance(part, TextPart))
        if not text:
            return assembler, request
        assembler.go_on_behind(self.parts)
        return assembler, attrs.evolve(request, params=continuation(request.params, text))

    def may_be_continued(self, request: StreamRequest) -> bool:
        """Whether an answer to `request`, in which all parameters stand, can go on behind it: when it is plain text
        with something in it, or has not begun."""
        if self.parts and not any(isinstance(part, TextPart) and part.content for _, part in self.parts):
            return False
        return all(
            isinstance(part, TextPart) and not part.citations and not part.unknown_deltas for _, part in self.parts
        ) and takes_continuation(request.params, request.extra_body)
