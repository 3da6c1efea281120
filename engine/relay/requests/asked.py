"""What a browser asks: what the default request is made of, and, apart from it, all that it sent."""

from collections.abc import Mapping
from typing import Any

import attrs

from ....actors import StreamRequest, ToolResultBlock
from ....actors.message import EMPTY
from .refused import BodyRefused, as_text

__all__ = ["Asked", "read_key"]

_LONGEST_KEY = 200


@attrs.frozen(kw_only=True)
class Asked:
    """A browser's body, read. Nothing in it is to be believed: who asks, and whether the chat is theirs, is for
    `authorize`; the history, the model, the system prompt, the tools and the limits are for `build`."""

    key: str | None = None
    """The chat's id: `id` of `useChat`'s body and ours, `threadId` of AG-UI's."""
    content: tuple[Mapping[str, Any], ...] = attrs.field(repr=False)
    """The last user message, as content blocks of the Messages API: text, images and documents."""
    tool_results: tuple[ToolResultBlock, ...] = attrs.field(default=(), repr=False)
    """What the browser says the tools answered that it ran since that message, if it did. Where there are any, the next
    turn is these, and not `content`, which the history holds."""
    message_id: str | None = None
    """The id that the browser gave the user message."""
    run_id: str | None = None
    """AG-UI's id of this run."""
    regenerate: bool = False
    """Whether `useChat` wants another answer to a message that was answered."""
    body: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)
    """All that came, for what an app adds to its bodies."""

    def request(self) -> StreamRequest:
        """The last user message alone, as a request: no history, and nothing else of what the browser sent."""
        return StreamRequest({"messages": [{"role": "user", "content": list(self.content)}]})


def read_key(value: object, where: str) -> str | None:
    """An id that a browser chose; None for none. Raises `BodyRefused` for what no id can be."""
    if value is None:
        return None
    text = as_text(value, where)
    if not 0 < len(text) <= _LONGEST_KEY or not text.isprintable():
        raise BodyRefused(f"{where} has 1 to {_LONGEST_KEY} printable characters")
    return text
