"""Wire events: one frame's JSON as a typed value, decoded in one pass.

The known events and deltas of the Messages stream are msgspec structs that refuse unknown fields, so that nothing the
API adds can vanish unseen. What the typed pass refuses is read again, generically: known kinds come back as their
struct with the unknown fields beside it (`Extended`), everything else as `UnknownEvent` or `UnknownDelta` with its JSON
as it was. Only bytes that are not JSON at all, or not UTF-8, raise.

Content blocks, the message and usage stay JSON objects here: they come once a block or once a message, the finished
message needs them whole, and `parts` gives them their types.
"""

import json
from typing import Any, NoReturn, cast

import msgspec

from .framing import Frame

__all__ = [
    "DECODE_ERRORS",
    "CitationsDelta",
    "CompactionDelta",
    "ContentBlockDelta",
    "ContentBlockStart",
    "ContentBlockStop",
    "Delta",
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
    "refuse_constant",
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


class UnknownDeltaEvent(msgspec.Struct):
    """A delta event whose delta is unknown; the block it belongs to is known."""

    index: int
    delta: UnknownDelta


class Extended(msgspec.Struct):
    """A known event that came with fields we don't know: on the event itself, or on its delta."""

    event: KnownEvent | UnknownDeltaEvent
    event_extra: JsonObject
    delta_extra: JsonObject


WireEvent = KnownEvent | UnknownDeltaEvent | UnknownWireEvent | Extended

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

    The JSON's own `type` decides, not the frame's name, except that a frame named `error` is an error whatever it
    holds and one named `ping` is a ping. Raises `WireError` when the data is not valid JSON in valid UTF-8.
    """
    try:
        return decode_known(frame.data)
    except DECODE_ERRORS:
        return decode_other(frame)


def decode_other(frame: Frame) -> WireEvent:
    """The wire event in a frame that `decode_known` refused. Raises as `decode`."""
    if frame.event == b"ping":
        return Ping()
    try:
        raw: object = json.loads(frame.data.decode(), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as exc:
        if frame.event == b"error":
            return ErrorEvent({"type": "api_error", "message": frame.data.decode(errors="replace")})
        name = frame.event.decode(errors="replace") or "unnamed"
        raise WireError(f"the {name} event at byte {frame.offset} is {_explain(exc)}", frame.offset) from None
    if not isinstance(raw, dict):
        return UnknownWireEvent(raw)
    return _known(cast("JsonObject", raw), frame.event)


def _known(raw: JsonObject, name: bytes) -> WireEvent:
    """`raw` as a known event with its unknown fields beside it, or as an unknown one."""
    kind: object = raw.get("type")
    if kind != "error" and name == b"error":
        error: object = raw.get("error", raw)
        if not isinstance(error, dict):
            error = {"type": "api_error", "message": str(error)}
        return ErrorEvent(cast("JsonObject", error))
    cls = _EVENTS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        return UnknownWireEvent(raw)
    known, extra = _split(raw, cls)
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
    except msgspec.ValidationError:
        return UnknownWireEvent(raw)
    return Extended(event, extra, delta_extra) if extra or delta_extra else event


def _known_delta(raw: JsonObject) -> tuple[Delta, JsonObject]:
    kind: object = raw.get("type")
    cls = _DELTAS.get(kind) if isinstance(kind, str) else None
    if cls is not None:
        known, extra = _split(raw, cls)
        try:
            return msgspec.convert(known, KnownDelta), extra
        except msgspec.ValidationError:
            pass
    return UnknownDelta(raw), {}


def _split(raw: JsonObject, cls: type[_Wire]) -> tuple[JsonObject, JsonObject]:
    """The fields that `cls` has, and those that it hasn't."""
    fields = {"type", *cls.__struct_encode_fields__}
    return {k: v for k, v in raw.items() if k in fields}, {k: v for k, v in raw.items() if k not in fields}


def refuse_constant(name: str) -> NoReturn:
    """For `json.loads`, which would take `NaN` and `Infinity` otherwise."""
    raise ValueError(f"{name} is not JSON")


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
