"""Wire events: one frame's JSON as a typed value, decoded in one pass.

The known events and deltas of the Messages stream are msgspec structs that refuse unknown fields, so that nothing the
API adds can vanish unseen. What the typed pass refuses is read again, generically: known kinds come back as their
struct with the unknown fields beside it (`Extended`), everything else as `UnknownWireEvent` or `UnknownDelta` with its
JSON as it was. Only bytes that are not JSON at all, or not UTF-8, raise. What JSON allows and Python can't hold or
write again (a number beyond all floats, an integer of 5,000 digits, a thousand lists in each other) is kept as its
text.

Content blocks, the message and usage stay JSON objects here: they come once a block or once a message, the finished
message needs them whole, and `parts` gives them their types.
"""

import json
import math
import re
from typing import Any, cast

import msgspec

from .framing import Frame
from .strict_json import refuse_constant

__all__ = [
    "DECODE_ERRORS",
    "SMALL",
    "CitationsDelta",
    "CompactionDelta",
    "ContentBlockDelta",
    "ContentBlockStart",
    "ContentBlockStop",
    "Delta",
    "Done",
    "ErrorEvent",
    "Extended",
    "InputJsonDelta",
    "JsonObject",
    "MessageDelta",
    "MessageStart",
    "MessageStop",
    "Ping",
    "SignatureDelta",
    "TextDelta",
    "ThinkingDelta",
    "UnknownDelta",
    "UnknownWireEvent",
    "WireError",
    "WireEvent",
    "decode",
    "decode_known",
    "decode_other",
    "joined",
    "nested_too_deep",
    "parse_json",
    "readable",
]

JsonObject = dict[str, Any]


class WireError(ValueError):
    """A frame whose data is not JSON or not UTF-8. `offset` is the frame's first byte in the stream."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class _Wire(msgspec.Struct, tag_field="type", forbid_unknown_fields=True, gc=False):
    """The base of all wire structs: tagged by `type`; without reference cycles, so the collector need not know them."""


# -- deltas (what only appends text calls it `text`, whatever its name on the wire)


class TextDelta(_Wire, tag="text_delta"):
    text: str


class InputJsonDelta(_Wire, tag="input_json_delta"):
    text: str = msgspec.field(name="partial_json")


class ThinkingDelta(_Wire, tag="thinking_delta"):
    text: str = msgspec.field(name="thinking")
    estimated_tokens: int | None = None


class SignatureDelta(_Wire, tag="signature_delta"):
    signature: str


class CitationsDelta(_Wire, tag="citations_delta"):
    citation: JsonObject


class CompactionDelta(_Wire, tag="compaction_delta"):
    content: str | None = None
    encrypted_content: str | None = None


KnownDelta = TextDelta | InputJsonDelta | ThinkingDelta | SignatureDelta | CitationsDelta | CompactionDelta


class UnknownDelta(msgspec.Struct):
    """A delta of a kind we don't know, or a known kind whose fields are not what they should be."""

    raw: JsonObject


Delta = KnownDelta | UnknownDelta

# -- events


class MessageStart(_Wire, tag="message_start"):
    message: JsonObject


class ContentBlockStart(_Wire, tag="content_block_start"):
    index: int
    content_block: JsonObject


class ContentBlockDelta(_Wire, tag="content_block_delta"):
    index: int
    delta: KnownDelta


class ContentBlockStop(_Wire, tag="content_block_stop"):
    index: int


class MessageDelta(_Wire, tag="message_delta"):
    delta: JsonObject
    usage: JsonObject | None = None
    context_management: JsonObject | None = None
    input_transformations: list[Any] | None = None


class MessageStop(_Wire, tag="message_stop"):
    pass


class Ping(_Wire, tag="ping"):
    pass


class ErrorEvent(_Wire, tag="error"):
    error: JsonObject
    request_id: str | None = None


class Done(msgspec.Struct):
    """`[DONE]`, by which other APIs end a stream, and gateways this one's."""


KnownEvent = (
    MessageStart
    | ContentBlockStart
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
    | Ping
    | ErrorEvent
)


class UnknownWireEvent(msgspec.Struct):
    """An event of a kind we don't know, or a known kind whose fields are not what they should be."""

    raw: Any
    kind: str | None = None
    """The known kind that it is of, if it is."""


class UnknownDeltaEvent(msgspec.Struct):
    """A delta event whose delta is unknown; the block it belongs to is known."""

    index: int
    delta: UnknownDelta


class Extended(msgspec.Struct):
    """A known event that came with fields we don't know: on the event itself, or on its delta."""

    event: KnownEvent | UnknownDeltaEvent
    event_extra: JsonObject
    delta_extra: JsonObject


WireEvent = KnownEvent | UnknownDeltaEvent | UnknownWireEvent | Extended | Done

decode_known = msgspec.json.Decoder(KnownEvent).decode
"""The wire event in a frame's data, if it is one that we know; else it raises one of `DECODE_ERRORS`."""

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# msgspec's error for an unknown tag or field is a DecodeError too, and it refuses lone surrogates (`"\ud83d"`), which
# are JSON: the second pass tells these from what is malformed.

_EVENTS: dict[str, type[_Wire]] = {
    str(cls.__struct_config__.tag): cls
    for cls in (
        MessageStart,
        ContentBlockStart,
        ContentBlockDelta,
        ContentBlockStop,
        MessageDelta,
        MessageStop,
        Ping,
        ErrorEvent,
    )
}
_DELTAS: dict[str, type[_Wire]] = {
    str(cls.__struct_config__.tag): cls
    for cls in (TextDelta, InputJsonDelta, ThinkingDelta, SignatureDelta, CitationsDelta, CompactionDelta)
}


def decode(frame: Frame) -> WireEvent:
    """The wire event in a frame.

    The JSON's own `type` decides, or else the frame's name; except that a frame named `error` is an error whatever it
    holds and one named `ping` is a ping. Raises `WireError` when the data is not valid JSON in valid UTF-8.
    """
    try:
        if frame.event == b"error" or (len(frame.data) > SMALL and nested_too_deep(frame.data)):
            return decode_other(frame)
        return decode_known(frame.data)
    except DECODE_ERRORS:
        return decode_other(frame)


def decode_other(frame: Frame) -> WireEvent:
    """The wire event in a frame that `decode_known` refused, or that is nested too deeply. Raises as `decode`."""
    name = frame.event.decode(errors="replace")
    if name == "ping":
        return Ping()
    try:
        text = frame.data.decode()
        if text.strip() == "[DONE]" and name != "error":
            return Done()
        raw: object = _parse_wire(_shallow(text) if nested_too_deep(frame.data) else text)
    except (ValueError, RecursionError) as exc:
        if name == "error":
            return ErrorEvent({"message": frame.data.decode(errors="replace")})
        raise WireError(
            f"the {name or 'unnamed'} event at byte {frame.offset} is {_explain(exc)}", frame.offset
        ) from None
    if not isinstance(raw, dict):
        if name == "error":
            return ErrorEvent({"message": raw})
        return UnknownWireEvent(raw, name if name in _EVENTS else None)
    return _known(cast("JsonObject", raw), name)


def _known(raw: JsonObject, name: str) -> WireEvent:
    """`raw` as a known event with its unknown fields beside it, or as an unknown one."""
    kind: object = raw.get("type")
    if name == "error" or kind == "error":
        error: object = raw.get("error", raw)
        request_id: object = raw.get("request_id")
        return ErrorEvent(
            cast("JsonObject", error) if isinstance(error, dict) else {"message": error},
            request_id if isinstance(request_id, str) else None,
        )
    if not isinstance(kind, str):
        kind = name
    cls = _EVENTS.get(kind)
    if cls is None:
        return UnknownWireEvent(raw)
    known, extra = _split(raw, cls)
    known["type"] = kind
    delta_extra: JsonObject = {}
    try:
        if cls is not ContentBlockDelta:
            event: KnownEvent | UnknownDeltaEvent = msgspec.convert(known, KnownEvent)
        else:
            raw_delta: JsonObject = msgspec.convert(known.get("delta"), JsonObject)
            index = msgspec.convert(known.get("index"), int)
            delta, delta_extra = _known_delta(raw_delta)
            event = (
                UnknownDeltaEvent(index, delta) if isinstance(delta, UnknownDelta) else ContentBlockDelta(index, delta)
            )
    except _CONVERT_ERRORS:
        return UnknownWireEvent(raw, kind)
    return Extended(event, extra, delta_extra) if extra or delta_extra else event


def _known_delta(raw: JsonObject) -> tuple[Delta, JsonObject]:
    kind: object = raw.get("type")
    cls = _DELTAS.get(kind) if isinstance(kind, str) else None
    if cls is not None:
        known, extra = _split(raw, cls)
        try:
            return msgspec.convert(known, KnownDelta), extra
        except _CONVERT_ERRORS:
            pass
    return UnknownDelta(raw), {}


def _split(raw: JsonObject, cls: type[_Wire]) -> tuple[JsonObject, JsonObject]:
    """The fields that `cls` has, and those that it hasn't."""
    fields = {"type", *cls.__struct_encode_fields__}
    return {k: v for k, v in raw.items() if k in fields}, {k: v for k, v in raw.items() if k not in fields}


_CONVERT_ERRORS = (msgspec.ValidationError, ValueError, OverflowError, RecursionError)
# Beside its own error msgspec raises what Python raises for a value that can't be what is asked for: of half a
# surrogate pair where a number should be, UnicodeEncodeError.

# -- JSON that Python can hold and write again

DEEPEST = 200
"""How many lists and objects may stand in each other. Python's own readers and writers give up at about a thousand,
sooner the deeper they are called; the SDK's reader of partial JSON gives up at two hundred."""

SMALL = 2 * DEEPEST
"""Bytes of JSON that can't be nested too deeply."""

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?+|[\[{]|[\]}]', re.DOTALL)
_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def nested_too_deep(data: bytes) -> bool:
    """Whether lists and objects stand in each other more than 200 deep."""
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return False
    depth = 0
    for token in _TOKEN.finditer(data.decode(errors="replace")):
        match token[0]:
            case "[" | "{":
                depth += 1
                if depth > DEEPEST:
                    return True
            case "]" | "}":
                depth -= 1
            case _:
                pass
    return False


def _shallow(text: str) -> str:
    """JSON with what is nested too deeply given as its text."""
    pieces: list[str] = []
    depth = written = begin = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "[" | "{":
                depth += 1
                if depth == DEEPEST + 1:
                    begin = token.start()
            case "]" | "}":
                depth -= 1
                if depth == DEEPEST:
                    pieces += text[written:begin], json.dumps(text[begin : token.end()])
                    written = token.end()
            case _:
                pass
    return "".join((*pieces, text[written:]))


def parse_json(text: str) -> Any:
    """The value of a JSON text that can also be written again.

    Raises `ValueError` for what is not JSON by RFC 8259, nests more than 200 deep, or has a number beyond all floats.
    """
    if len(text) > SMALL and nested_too_deep(text.encode(errors="replace")):
        raise ValueError(f"nested more than {DEEPEST} deep")
    return json.loads(text, parse_constant=refuse_constant, parse_float=_finite)


def _parse_wire(text: str) -> Any:
    """The value of a JSON text. A number that Python can't hold or write again is given as its text."""
    return json.loads(text, parse_constant=refuse_constant, parse_float=_finite_or_text, parse_int=_int_or_text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is beyond all floats")
    return number


def _finite_or_text(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _int_or_text(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INTEGER else text


_LONGEST_INTEGER = 4000  # digits: beyond 4,300 Python converts none, back and forth


def joined(pieces: list[str]) -> str:
    """`pieces` as one text. The two halves of a surrogate pair that were in two pieces are one character in it."""
    text = "".join(pieces)
    if text.isascii() or not _HALVES.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def readable(value: object) -> str | None:
    """A name or an id from the wire; None for what is none. Half a surrogate pair, which no file or log can take, is
    given as its escape."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode(errors="backslashreplace").decode()


def _explain(exc: Exception) -> str:
    # Positions and reasons only: the text itself is the user's.
    match exc:
        case UnicodeDecodeError():
            return f"not valid UTF-8: {exc.reason} at byte {exc.start} of its data"
        case json.JSONDecodeError():
            return f"not valid JSON: {exc.msg} at character {exc.pos} of its data"
        case RecursionError():
            return "nested too deeply to be read"
        case _:
            return f"not valid JSON: {exc}"
