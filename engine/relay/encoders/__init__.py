"""Part events as the bytes of a protocol: our own lean events, Vercel's UI message stream, AG-UI. No I/O."""

from .encoder import Encoder
from .native import NativeEncoder
from .protocols import PROTOCOLS, Protocol, encoder, native
from .shown import Shown

__all__ = ["PROTOCOLS", "Encoder", "NativeEncoder", "Protocol", "Shown", "encoder", "native"]
