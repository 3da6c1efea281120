"""The protocols by their names."""

from typing import Literal

from .encoder import Encoder
from .native import NativeEncoder
from .shown import SHOWN, Shown

__all__ = ["PROTOCOLS", "Protocol", "encoder", "native"]

Protocol = Literal["native"]
PROTOCOLS: tuple[Protocol, ...] = ("native",)


def native(*, epoch: int = 1, first_seq: int = 1, shown: Shown = SHOWN) -> NativeEncoder:
    """An encoder of our own events, whose ids are `epoch-seq`. `first_seq` is the number of the first event that the
    connection is to be told: after an id `epoch-seq` that the browser names, `seq + 1`."""
    return NativeEncoder(epoch=epoch, first_seq=first_seq, shown=shown)


def encoder(protocol: Protocol, *, shown: Shown = SHOWN) -> Encoder:
    """A new encoder for one connection, which is told the stream from its beginning.

    Raises `ValueError` for an unknown protocol.
    """
    if protocol == "native":
        return native(shown=shown)
    raise ValueError(f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")
