"""Part events as the bytes of a protocol: our own lean events, Vercel's UI message stream, AG-UI. No I/O."""

from .agui_events import AGUIEncoder
from .contract import Encoder
from .native_events import NativeEncoder
from .protocols import PROTOCOLS, Protocol, agui, encoder, native, vercel
from .shown import SHOWN, Shown
from .vercel_chunks import VercelEncoder

__all__ = [
    "PROTOCOLS",
    "SHOWN",
    "AGUIEncoder",
    "Encoder",
    "NativeEncoder",
    "Protocol",
    "Shown",
    "VercelEncoder",
    "agui",
    "encoder",
    "native",
    "vercel",
]
