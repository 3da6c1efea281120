"""Bytes to frames, and frames to wire events. The JSON that is read and written, and error bodies, are here too."""

from .error_body import plain_text, read_error_body, text_of_html
from .events import (
    DECODE_ERRORS,
    SMALL,
    ErrorEvent,
    JsonObject,
    WireError,
    decode,
    decode_known,
    decode_other,
    joined,
    parse_json,
    readable,
)
from .framing import Frame, FramingError, SSEFramer
from .partial_json import JsonPath, PartialJSON, ValueState
from .strict_json import json_line, json_text, refuse_constant

__all__ = [
    "DECODE_ERRORS",
    "SMALL",
    "ErrorEvent",
    "Frame",
    "FramingError",
    "JsonObject",
    "JsonPath",
    "PartialJSON",
    "SSEFramer",
    "ValueState",
    "WireError",
    "decode",
    "decode_known",
    "decode_other",
    "joined",
    "json_line",
    "json_text",
    "parse_json",
    "plain_text",
    "read_error_body",
    "readable",
    "refuse_constant",
    "text_of_html",
]
