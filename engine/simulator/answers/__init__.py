"""What the simulated model says: answers, made up, scripted or recorded, as the events of the wire."""

from .blocks import Answer
from .client_tools import is_for_clients
from .continuation import interrupted, rest_of
from .counting import input_tokens
from .generate import generate
from .ids import identifier
from .jsondata import is_array, is_object, member
from .recordings import read_recordings, recorded_events
from .schema import resolve
from .scripted import Part, Said, Structured, Thinking, ToolUse
from .usage import NOTHING, Usage
from .wire import PING, Event, Head, encode_event, message_json, stream_events

__all__ = [
    "NOTHING",
    "PING",
    "Answer",
    "Event",
    "Head",
    "Part",
    "Said",
    "Structured",
    "Thinking",
    "ToolUse",
    "Usage",
    "encode_event",
    "generate",
    "identifier",
    "input_tokens",
    "interrupted",
    "is_array",
    "is_for_clients",
    "is_object",
    "member",
    "message_json",
    "read_recordings",
    "recorded_events",
    "resolve",
    "rest_of",
    "stream_events",
]
