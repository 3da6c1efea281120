"""The protocols by their names."""

from typing import Literal, get_args

from .agui_events import AGUIEncoder
from .contract import Encoder
from .native_events import NativeEncoder
from .shown import SHOWN, Shown
from .vercel_chunks import VercelEncoder

__all__ = ["PROTOCOLS", "Protocol", "agui", "encoder", "native", "vercel"]

Protocol = Literal["native", "vercel", "agui"]
"""Our own events, Vercel's UI message stream (version 1), or AG-UI (1.0)."""

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


def native(*, tag: str = "", epoch: int = 1, first_seq: int = 1, shown: Shown = SHOWN) -> NativeEncoder:
    """An encoder of our own events, whose ids are `tag-epoch-seq`, or `epoch-seq` without a tag. `first_seq` is the
    number of the first event that the connection is to be told: after an id that the browser names, `seq + 1`."""
    return NativeEncoder(tag=tag, epoch=epoch, first_seq=first_seq, shown=shown)


def vercel(*, message_id: str | None = None, shown: Shown = SHOWN) -> VercelEncoder:
    """An encoder of Vercel's UI message stream. `message_id` is the message's id for whoever reads it, now or later;
    without it, it is the API's own, which a restart changes."""
    return VercelEncoder(message_id=message_id, shown=shown)


def agui(*, thread_id: str, run_id: str, message_id: str | None = None, shown: Shown = SHOWN) -> AGUIEncoder:
    """An encoder of AG-UI events. `thread_id` and `run_id` are those of the run's input; `message_id` is what the ids
    of its messages begin with, the run's id without it."""
    return AGUIEncoder(thread_id=thread_id, run_id=run_id, message_id=message_id, shown=shown)


def encoder(
    protocol: Protocol,
    *,
    message_id: str | None = None,
    thread_id: str | None = None,
    run_id: str | None = None,
    shown: Shown = SHOWN,
) -> Encoder:
    """A new encoder for one connection, which is told the stream from its beginning. `message_id` is for Vercel's
    protocol and AG-UI: give it, and give it the same for every connection of a stream, or a browser that comes back
    takes the messages for new ones. `thread_id` and `run_id` are for AG-UI alone.

    Raises `ValueError` for an unknown protocol.
    """
    match protocol:
        case "native":
            return native(shown=shown)
        case "vercel":
            return vercel(message_id=message_id, shown=shown)
        case "agui":
            # A browser that comes back names no run; the messages' ids are what it knows them by.
            run_id = run_id or message_id or "run"
            return agui(thread_id=thread_id or "thread", run_id=run_id, message_id=message_id, shown=shown)
        case _:
            raise ValueError(f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")
