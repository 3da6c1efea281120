"""Parts: the content of a message, one frozen value per content block. The names follow Pydantic AI's.

What no field here stands for is kept as the API sent it: unknown fields in `extra`, deltas of unknown kinds in
`unknown_deltas`, blocks of unknown kinds as an `UnknownPart`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal, NoReturn, cast

import attrs

from ..wire import JsonObject, parse_json

__all__ = [
    "CompactionPart",
    "ContainerUploadPart",
    "FallbackPart",
    "MCPToolListingPart",
    "Part",
    "RedactedThinkingPart",
    "ServerToolCallPart",
    "ServerToolResultPart",
    "TextPart",
    "ThinkingPart",
    "ToolCallPart",
    "UnknownPart",
    "part_from_block",
]


class _Empty(Mapping[str, Any]):
    """No fields: what nearly every value has, so it is one object, and pickled by its name."""

    __slots__ = ()

    def __getitem__(self, name: str) -> NoReturn:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"

    def __reduce__(self) -> str:
        return "EMPTY"


EMPTY: Mapping[str, Any] = _Empty()


@attrs.frozen(kw_only=True)
class _Part:
    """What every part has."""

    complete: bool = True
    """Whether the block's end was seen. A part that is still open, or whose stream died, is not complete."""
    extra: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)
    """Fields of the block that no attribute stands for, as the API sent them."""
    unknown_deltas: tuple[Mapping[str, Any], ...] = attrs.field(default=(), repr=False)
    """Deltas that no rule could apply, as the API sent them, in order."""


@attrs.frozen
class TextPart(_Part):
    """Text the model wrote. `citations` are the API's citation objects, in order."""

    part_kind: ClassVar[Literal["text"]] = "text"
    content: str = attrs.field(default="", repr=False)
    citations: tuple[Mapping[str, Any], ...] = attrs.field(default=(), repr=False)

    def to_block(self) -> JsonObject:
        """The block as the Messages API writes it."""
        block: JsonObject = {"type": "text", "text": self.content, **self.extra}
        return {**block, "citations": list(self.citations)} if self.citations else block


@attrs.frozen
class ThinkingPart(_Part):
    """The model's thinking. `signature` is what the API wants back with it."""

    part_kind: ClassVar[Literal["thinking"]] = "thinking"
    content: str = attrs.field(default="", repr=False)
    signature: str | None = attrs.field(default=None, repr=False)
    estimated_tokens: int | None = None
    """A coarse running estimate, where a beta asked for it; not a billed count."""

    def to_block(self) -> JsonObject:
        """The block as the Messages API writes it."""
        return {"type": "thinking", "thinking": self.content, "signature": self.signature or "", **self.extra}


@attrs.frozen
class RedactedThinkingPart(_Part):
    """Thinking that came encrypted, to be sent back unchanged."""

    part_kind: ClassVar[Literal["redacted-thinking"]] = "redacted-thinking"
    data: str = attrs.field(default="", repr=False)

    def to_block(self) -> JsonObject:
        """The block as the Messages API writes it."""
        return {"type": "redacted_thinking", "data": self.data, **self.extra}


@attrs.frozen
class _CallPart(_Part):
    tool_name: str
    args: str = attrs.field(default="", repr=False)
    """The arguments' JSON text as it came; it may be cut short or invalid. Empty when the model gave none."""
    tool_call_id: str = ""

    def args_as_dict(self) -> JsonObject:
        """The arguments, parsed.

        Raises `ValueError` when they are not a JSON object: cut short, or invalid as the model wrote them; and when
        they are nested more than 200 deep or hold a number beyond all floats. They are never repaired.
        """
        if not self.args and self.complete:
            return {}
        try:
            value = parse_json(self.args)
        except (ValueError, RecursionError) as exc:
            cut = "" if self.complete else "; the stream ended before they were complete"
            raise ValueError(f"the arguments of {self.tool_name} are not valid JSON{cut}: {_why(exc)}") from exc
        if not isinstance(value, dict):
            raise ValueError(f"the arguments of {self.tool_name} are JSON, but not an object")
        return cast("JsonObject", value)

    @property
    def is_whole(self) -> bool:
        """Whether the call arrived to its end and its arguments are a JSON object."""
        if not self.complete:
            return False
        try:
            self.args_as_dict()
        except ValueError:
            return False
        return True


@attrs.frozen
class ToolCallPart(_CallPart):
    """A call of one of the caller's own tools."""

    part_kind: ClassVar[Literal["tool-call"]] = "tool-call"

    def to_block(self) -> JsonObject:
        """The block as the Messages API writes it. Raises `ValueError` as `args_as_dict` does."""
        return {
            "type": "tool_use",
            "id": self.tool_call_id,
            "name": self.tool_name,
            "input": self.args_as_dict(),
            **self.extra,
        }


@attrs.frozen
class ServerToolCallPart(_CallPart):
    """A call that the API answers itself: a server tool's, or an MCP server's when `server_name` is given."""

    part_kind: ClassVar[Literal["server-tool-call"]] = "server-tool-call"
    server_name: str | None = None

    def to_block(self) -> JsonObject:
        """The block as the Messages API writes it. Raises `ValueError` as `args_as_dict` does."""
        kind = "server_tool_use" if self.server_name is None else "mcp_tool_use"
        block = {
            "type": kind,
            "id": self.tool_call_id,
            "name": self.tool_name,
            "input": self.args_as_dict(),
            **self.extra,
        }
        return block if self.server_name is None else {**block, "server_name": self.server_name}


@attrs.frozen
class ServerToolResultPart(_Part):
    """What a server tool answered. It arrives whole; `content` is the API's own, which differs from tool to tool."""

    part_kind: ClassVar[Literal["server-tool-result"]] = "server-tool-result"
    block_type: str
    """The block's type on the wire, such as `web_search_tool_result`."""
    tool_call_id: str = ""
    content: Any = attrs.field(default=None, repr=False)

    def to_block(self) -> JsonObject:
        """The block as the Messages API writes it."""
        return {"type": self.block_type, "tool_use_id": self.tool_call_id, "content": self.content, **self.extra}


@attrs.frozen
class ContainerUploadPart(_Part):
    """A file that code execution left in the container."""

    part_kind: ClassVar[Literal["container-upload"]] = "container-upload"
    file_id: str = ""

    def to_block(self) -> JsonObject:
        """The block as the Messages API writes it."""
        return {"type": "container_upload", "file_id": self.file_id, **self.extra}


@attrs.frozen
class CompactionPart(_Part):
    """A summary that stands for earlier turns (beta). `content` is None when the summary failed."""

    part_kind: ClassVar[Literal["compaction"]] = "compaction"
    content: str | None = attrs.field(default=None, repr=False)
    encrypted_content: str | None = attrs.field(default=None, repr=False)

    def to_block(self) -> JsonObject:
        """The block as the Messages API writes it."""
        block: JsonObject = {"type": "compaction", "content": self.content, **self.extra}
        return block if self.encrypted_content is None else {**block, "encrypted_content": self.encrypted_content}


@attrs.frozen
class FallbackPart(_Part):
    """Where one model's output gives way to another's (beta)."""

    part_kind: ClassVar[Literal["fallback"]] = "fallback"
    from_model: str | None = None
    to_model: str | None = None

    def to_block(self) -> JsonObject:
        """The block as the Messages API writes it."""
        return {"type": "fallback", **self.extra}


@attrs.frozen
class MCPToolListingPart(_Part):
    """The tools that an MCP server offered, to be sent back unchanged (beta)."""

    part_kind: ClassVar[Literal["mcp-tool-listing"]] = "mcp-tool-listing"
    server_name: str = ""
    tools: tuple[Mapping[str, Any], ...] = attrs.field(default=(), repr=False)

    def to_block(self) -> JsonObject:
        """The block as the Messages API writes it."""
        return {"type": "mcp_tool_listing", "mcp_server_name": self.server_name, "tools": [*self.tools], **self.extra}


@attrs.frozen
class UnknownPart(_Part):
    """A block of a kind we don't know. `raw` is how it began; its deltas, whatever they are, are `unknown_deltas`."""

    part_kind: ClassVar[Literal["unknown"]] = "unknown"
    raw: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)

    def to_block(self) -> JsonObject:
        """The block as it began. What its deltas would have made of it can't be known."""
        return dict(self.raw)


Part = (
    TextPart
    | ThinkingPart
    | RedactedThinkingPart
    | ToolCallPart
    | ServerToolCallPart
    | ServerToolResultPart
    | ContainerUploadPart
    | CompactionPart
    | FallbackPart
    | MCPToolListingPart
    | UnknownPart
)


def part_from_block(block: Mapping[str, Any], *, complete: bool) -> Part:
    """The part for a content block as it stands in `content_block_start` or in a finished message.

    A block of an unknown kind, or of a known kind whose fields are not what they should be, is an `UnknownPart`.
    """
    fields = dict(block)
    kind = fields.pop("type", None)
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None and isinstance(kind, str) and kind.endswith("_tool_result") and kind != "tool_result":
        read = _read_result
        fields["type"] = kind
    if read is not None:
        try:
            part = read(fields)
        except (KeyError, TypeError):
            pass
        else:
            return attrs.evolve(part, complete=complete, extra=fields or EMPTY)
    return UnknownPart(raw=block, complete=complete)


def _why(exc: Exception) -> str:
    # Positions and reasons only: the text itself is the user's.
    return f"{exc.msg} at character {exc.pos}" if isinstance(exc, json.JSONDecodeError) else str(exc)


def _take(fields: JsonObject, name: str, kind: type[Any] | tuple[type[Any], ...], default: Any = ...) -> Any:
    """Takes a field out, checked: what is left in the end is `extra`."""
    value = fields[name] if default is ... else fields.get(name, default)
    if not isinstance(value, kind) and value is not default:
        raise TypeError(name)
    fields.pop(name, None)
    return value


def _take_objects(fields: JsonObject, name: str) -> tuple[JsonObject, ...]:
    """Takes out a list of objects, that may be missing or null."""
    items: list[object] = _take(fields, name, (list, type(None)), None) or []
    if not all(isinstance(item, dict) for item in items):
        raise TypeError(name)
    return tuple(cast("list[JsonObject]", items))


def _read_text(fields: JsonObject) -> TextPart:
    return TextPart(_take(fields, "text", str), _take_objects(fields, "citations"))


def _read_thinking(fields: JsonObject) -> ThinkingPart:
    return ThinkingPart(_take(fields, "thinking", str), _take(fields, "signature", str, None) or None)


def _read_call(fields: JsonObject) -> tuple[str, str, str]:
    # Gateways begin a call with `"input": ""`, or with all of its arguments as text, and leave its id null.
    arguments = _take(fields, "input", (dict, str), None)
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments) if arguments else ""
    return _take(fields, "name", str), arguments, _take(fields, "id", str, None) or ""


def _read_result(fields: JsonObject) -> ServerToolResultPart:
    return ServerToolResultPart(
        _take(fields, "type", str), _take(fields, "tool_use_id", str), _take(fields, "content", object)
    )


def _read_fallback(fields: JsonObject) -> FallbackPart:
    # Both ends stay in `extra` as they are: they hold more than the model's name.
    names: list[object] = [fields["from"]["model"], fields["to"]["model"]]
    if not all(isinstance(name, str) for name in names):
        raise TypeError("model")
    return FallbackPart(*cast("list[str]", names))


_READERS: dict[str, Callable[[JsonObject], Part]] = {
    "text": _read_text,
    "thinking": _read_thinking,
    "redacted_thinking": lambda fields: RedactedThinkingPart(_take(fields, "data", str)),
    "tool_use": lambda fields: ToolCallPart(*_read_call(fields)),
    "server_tool_use": lambda fields: ServerToolCallPart(*_read_call(fields)),
    "mcp_tool_use": lambda fields: ServerToolCallPart(*_read_call(fields), _take(fields, "server_name", str)),
    "container_upload": lambda fields: ContainerUploadPart(_take(fields, "file_id", str)),
    "compaction": lambda fields: CompactionPart(
        _take(fields, "content", str, None), _take(fields, "encrypted_content", str, None)
    ),
    "fallback": _read_fallback,
    "mcp_tool_listing": lambda fields: MCPToolListingPart(
        _take(fields, "mcp_server_name", str), _take_objects(fields, "tools")
    ),
}
