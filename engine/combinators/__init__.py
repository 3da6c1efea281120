"""What an app does with one stream or many: read one, merge, gather, race, hedge, take them as they end."""

from .as_completed import CompletionChannel
from .host import Until
from .launcher import ChannelContext
from .merge import MergeChannel
from .race import HedgeContext, RaceContext, RaceStream
from .single import Stream, StreamContext, TextStream

__all__ = [
    "ChannelContext",
    "CompletionChannel",
    "HedgeContext",
    "MergeChannel",
    "RaceContext",
    "RaceStream",
    "Stream",
    "StreamContext",
    "TextStream",
    "Until",
]
