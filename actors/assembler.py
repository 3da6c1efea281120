"""The assembler: wire events in, part events (into an `EventLog`) and the finished message out. It does no I/O.

One instance serves one answer: that of one attempt, or of several when an interrupted answer is continued. Blocks are
kept by their index on the wire, in the order in which they began. Text is kept in pieces and joined once, when its part
ends or when the message is asked for, so the work is linear in the stream's size.

The finished message is built the way the SDK builds it, field by field, for the route the request took: the beta route
copies more of `message_delta` than the stable one.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, cast

import attrs
import msgspec

from .block import OpenBlock, raw_of
from .channel import EventLog
from .message import (
    EMPTY,
    CitationPartDelta,
    CompactionPart,
    CompactionPartDelta,
    Part,
    PartDelta,
    ServerToolCallPart,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    UnknownPartDelta,
    Usage,
    merge_usage,
    normalise_container,
    sum_of_usages,
    usage_from_json,
)
from .stream import PartDeltaEvent, PartEndEvent, PartStartEvent, StreamStartEvent, UnknownEvent, UsageEvent
from .wire import JsonObject, readable
from .wire import events as wire

if TYPE_CHECKING:
    from .wire import PartialJSON

__all__ = ["Assembler"]

# What the SDK's final message takes over from `message_delta`, by route.
_USAGE_FIELDS = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "server_tool_use",
    "output_tokens_details",
)
_BETA_USAGE_FIELDS = (*_USAGE_FIELDS, "iterations", "fallback_credit")
_CONTENT_KINDS = ("content_block_start", "content_block_delta")
_DELTA_FIELDS = {"stop_reason", "stop_sequence", "stop_details", "container"}


class Assembler:
    """Puts the wire events of one answer together.

    `beta` says which route the request took. `started` and `stopped` tell of `message_start` and of an end that makes
    the answer whole; `error` is the error the API sent inside the stream, if it did; `broken` says what is wrong when
    the events make no message; `over` says that no more events are wanted; `contents` counts the content events so far.

    An answer is whole when its message began, a stop reason came, and every block has ended (`is_whole`), whatever the
    stream then ends with. At `message_stop` a block without an end of its own has ended too, unless it is a call whose
    JSON is not whole.

    After `go_on` the events of a continuation follow. Its blocks get the indexes after those there are, except that its
    first block, when that is text, is more of the text that was open. The message is then the last attempt's (its id,
    model and stop reason), with all content, and the usage of all attempts together.
    """

    def __init__(self, log: EventLog, *, beta: bool = False, request_id: str | None = None) -> None:
        self._log = log
        self._beta = beta
        self.request_id = request_id
        self._blocks: list[OpenBlock] = []  # in the order in which they began
        self._current: dict[int, OpenBlock] = {}  # the block that an index on the wire stands for now
        self._offset = 0  # from an index on the wire to that of its part
        self._cut: OpenBlock | None = None  # the open text that a continuation may go on with, until its first block
        self._message: JsonObject | None = None
        self._usage: JsonObject = {}
        self._typed_usage: Usage | None = None  # the same, until it changes
        self._earlier_usage: JsonObject | None = None  # of the attempts that this one continues
        self._earlier_characters = 0
        self.started = False
        self.stopped = False
        self.over = False
        self.error: wire.ErrorEvent | None = None
        self.broken: str | None = None
        self.contents = 0
        self.usage_is_final = False
        self.extra: JsonObject = {}
        """Fields of `message_delta` and `message_stop` that nothing else stands for."""

    def with_log(self, log: EventLog) -> "Assembler":
        """A copy that would add to another log: the parts, and not the events that they came in."""
        other = copy(self)
        other._log = log
        return other

    def feed(self, event: wire.WireEvent) -> None:
        """Takes one wire event in; its part events are in the log when this returns."""
        if type(event) is wire.ContentBlockDelta:
            # The hot path: a delta that only adds text to its part.
            block = self._current.get(event.index)
            delta: Any = event.delta
            if (
                block is None
                or type(delta) is not block.takes
                or not block.open
                or (block.estimates and delta.estimated_tokens is not None)
            ):
                self._rare_delta(event.index, delta)
                return
            text: str = delta.text
            if not text and block.pieces and not block.pieces[-1]:
                return  # an empty delta like the one before it: a flood of them is kept as one
            self.contents += 1
            block.pieces.append(text)
            if block.args is not None:
                block.args.feed(text)
            self._log.add_text(block.index, block.make_text, text)
            return
        match event:
            case wire.Extended():
                self._extended(event)
            case wire.ContentBlockStart():
                self._start_block(event.index, event.content_block)
            case wire.ContentBlockStop():
                self._stop_block(event.index)
            case wire.MessageDelta():
                self._message_delta(event)
            case wire.MessageStart():
                self._message_start(event)
            case wire.MessageStop():
                self._message_stop()
            case wire.ErrorEvent():
                self.error = event
                self.over = True
            case wire.Done():
                self.stopped = self.is_whole
                self.over = True
            case wire.UnknownDeltaEvent():
                self._rare_delta(event.index, event.delta)
            case wire.UnknownWireEvent():
                self._log.add(UnknownEvent, event.raw)
                if event.kind in _CONTENT_KINDS:
                    self._break(f"a {event.kind} event does not say what it should")
            case wire.ContentBlockDelta() | wire.Ping():
                pass

    def close(self) -> None:
        """Ends what is still open: the stream is over."""
        whole = self.stopped or self.is_whole
        for block in self._blocks:
            if block.open:
                self._end_block(block, complete=whole and self._needs_no_end(block))

    @property
    def is_whole(self) -> bool:
        """Whether the answer lacks at most its `message_stop`."""
        if not self.started or self.stop_reason is None or self.error is not None or self.broken is not None:
            return False
        return not any(map(self._is_unfinished, self._blocks))

    def _is_unfinished(self, block: OpenBlock) -> bool:
        return block.open and not self._needs_no_end(block)

    def _needs_no_end(self, block: OpenBlock) -> bool:
        # A continuation without any content had nothing to add to the text that was open.
        return block.whole or block is self._cut

    def _break(self, what: str) -> None:
        """The events do not form one message: content was lost, or belongs to another answer."""
        self.broken = self.broken or what
        self.over = True

    def go_on(self) -> None:
        """The attempt was cut, in or after text; the events of one that continues the answer follow."""
        self._earlier_usage = sum_of_usages(self._earlier_usage or {}, self._usage)
        self._earlier_characters += self.attempt_characters
        self._usage = {}
        self._typed_usage = None
        self._current.clear()
        last = max((block.index for block in self._blocks), default=-1)
        self._offset = last + 1
        self._cut = None
        for block in self._blocks:
            if block.open and block.index == last:
                self._cut = block
            elif block.open:
                self._end_block(block, complete=False)
        self.started = self.stopped = self.over = False
        self.error = self.broken = None

    def go_on_behind(self, parts: Iterable[tuple[int, Part]]) -> None:
        """Begins behind parts that another process has logged; the events of a continuation follow."""
        for index, part in parts:
            block = OpenBlock(index, part.to_block())
            if part.complete:
                block.end(complete=True)
            self._blocks.append(block)
            self.contents += 1
        self.go_on()

    # -- what has been put together

    @property
    def usage(self) -> Usage:
        """The usage so far."""
        if self._earlier_usage is None:
            return self.attempt_usage
        return usage_from_json(sum_of_usages(self._earlier_usage, self._usage))

    @property
    def attempt_usage(self) -> Usage:
        """The usage of the last attempt alone."""
        if self._typed_usage is None:
            self._typed_usage = usage_from_json(self._usage)
        return self._typed_usage

    @property
    def attempt_characters(self) -> int:
        """How much text, thinking and JSON the last attempt brought."""
        return sum(block.characters for block in self._blocks) - self._earlier_characters

    @property
    def message_id(self) -> str | None:
        """The message's id, once it has begun."""
        return readable((self._message or EMPTY).get("id"))

    @property
    def model_name(self) -> str | None:
        """The model that serves the answer, once it has begun."""
        return readable((self._message or EMPTY).get("model"))

    @property
    def stop_reason(self) -> str | None:
        """Why the model stopped, once the API has said so."""
        return readable((self._message or EMPTY).get("stop_reason")) or None

    @property
    def stop_sequence(self) -> str | None:
        """Which stop sequence the model wrote, if one ended the answer."""
        return readable((self._message or EMPTY).get("stop_sequence"))

    @property
    def stop_details(self) -> JsonObject | None:
        """The API's `stop_details`, if it sent any."""
        details: object = (self._message or EMPTY).get("stop_details")
        return details if isinstance(details, dict) else None  # pyright: ignore[reportUnknownVariableType]

    def parts(self) -> tuple[tuple[int, Part], ...]:
        """All parts with their indexes, in the message's order; the open ones as they are now."""
        return tuple((block.index, block.part or block.current(complete=False)) for block in self._in_order())

    def open_parts(self) -> tuple[tuple[int, Part], ...]:
        """The parts that have begun and not ended, as they are now."""
        return tuple((block.index, block.current(complete=False)) for block in self._blocks if block.open)

    def partial_args(self, index: int) -> "PartialJSON":
        """The best parse so far of the tool arguments at `index`: its value is updated in place as more comes.

        Raises `KeyError` when no tool call has begun at `index`.
        """
        block = self._current.get(index - self._offset)
        if block is None or not isinstance(block.base, ToolCallPart | ServerToolCallPart):
            raise KeyError(f"no tool call has begun at index {index}")
        return block.partial_args()

    def message(self) -> JsonObject | None:
        """The message as far as it has come, as plain JSON data; None before `message_start`."""
        if self._message is None:
            return None
        message = {**self._message, "content": [block.to_message_block() for block in self._in_order()]}
        if self._earlier_usage is not None:
            own: object = message.get("usage") if self.started else None
            message["usage"] = sum_of_usages(
                self._earlier_usage, cast("JsonObject", own) if isinstance(own, dict) else {}
            )
        return message

    def _in_order(self) -> list[OpenBlock]:
        return sorted(self._blocks, key=lambda block: block.index)

    # -- other deltas

    def _rare_delta(self, index: int, delta: wire.Delta, extra: Mapping[str, Any] = EMPTY) -> None:
        """A delta that is not just more text for its part."""
        block = self._current.get(index)
        if block is None or not block.open:
            self._log.add(
                UnknownEvent, {"type": "content_block_delta", "index": index, "delta": raw_of(delta), **extra}
            )
            self._break(f"a delta is for block {index}, which {'never began' if block is None else 'has ended'}")
            return
        self.contents += 1
        base = block.base
        match delta:
            case wire.ThinkingDelta(text, estimate) if isinstance(base, ThinkingPart):
                part_delta = ThinkingPartDelta(text, estimated_tokens=estimate, extra=extra)
                self._append(block, part_delta, text, attrs.evolve(part_delta, content_delta=""))
            case wire.TextDelta(text) if isinstance(base, TextPart):
                part_delta = TextPartDelta(text, extra)
                self._append(block, part_delta, text, attrs.evolve(part_delta, content_delta=""))
            case wire.InputJsonDelta(text) if isinstance(base, ToolCallPart | ServerToolCallPart):
                part_delta = ToolCallPartDelta(text, base.tool_call_id, extra)
                self._append(block, part_delta, text, attrs.evolve(part_delta, args_delta=""))
            case wire.SignatureDelta(signature) if isinstance(base, ThinkingPart):
                self._apply(block, ThinkingPartDelta(signature_delta=signature, extra=extra))
            case wire.CitationsDelta(citation) if isinstance(base, TextPart):
                self._apply(block, CitationPartDelta(citation, extra))
            case wire.CompactionDelta(content, encrypted) if isinstance(base, CompactionPart):
                block.replaced = True
                self._apply(block, CompactionPartDelta(content, encrypted, extra))
            case wire.UnknownDelta(raw):
                self._apply(block, UnknownPartDelta(raw, extra))
            case _:
                # Of a known kind, but not for this kind of part.
                self._apply(block, UnknownPartDelta(raw_of(delta), extra))

    def _apply(self, block: OpenBlock, delta: PartDelta) -> None:
        block.apply(delta)
        self._log.add(PartDeltaEvent, block.index, delta)

    def _append(self, block: OpenBlock, delta: PartDelta, text: str, rest: PartDelta) -> None:
        """Keeps the text that a delta appends among the pieces, and applies only the rest of it."""
        block.pieces.append(text)
        if block.args is not None:
            block.args.feed(text)
        block.base = rest.apply(block.base)
        self._log.add(PartDeltaEvent, block.index, delta)

    # -- blocks

    def _start_block(
        self, index: int, raw: JsonObject, extra: Mapping[str, Any] = EMPTY, *, whole: bool = False
    ) -> None:
        earlier = self._current.get(index)
        if earlier is not None and earlier.open:
            self._end_block(earlier, complete=earlier.whole)
            if not earlier.whole:
                self._break(f"block {index} began again before it had ended")
        block = OpenBlock(index + self._offset, raw)
        block.whole = whole
        if self._cut is not None:
            cut, self._cut = self._cut, None
            if index == 0 and isinstance(block.base, TextPart) and not block.base.citations:
                self._join(cut, block, extra)
                return
            self._end_block(cut, complete=True)  # the continuation has begun with something else: the text was complete
        self._blocks.append(block)
        self._current[index] = block
        if block.takes is None:
            self.contents += 1  # it comes whole
        if self._beta and raw.get("type") == "fallback" and self._message is not None:
            to = raw.get("to")
            if isinstance(to, dict) and "model" in to:
                self._message["model"] = to["model"]
        self._log.add(PartStartEvent, block.index, block.base, extra)

    def _join(self, block: OpenBlock, more: OpenBlock, extra: Mapping[str, Any]) -> None:
        """The text that a continuation begins with is more of the text that was cut."""
        self._offset = block.index
        self._current[0] = block
        block.whole = more.whole
        assert isinstance(more.base, TextPart)
        text, extra = more.base.content, {**extra, **more.base.extra}
        if text or extra:
            block.raw = {**more.raw, **block.raw}
            part_delta = TextPartDelta(text, extra)
            self._append(block, part_delta, text, attrs.evolve(part_delta, content_delta=""))

    def _stop_block(self, index: int, extra: Mapping[str, Any] = EMPTY) -> None:
        block = self._current.get(index)
        if block is None or not block.open:
            self._log.add(UnknownEvent, {"type": "content_block_stop", "index": index, **extra})
            return
        self._end_block(block, complete=True, extra=extra)

    def _end_block(self, block: OpenBlock, *, complete: bool, extra: Mapping[str, Any] = EMPTY) -> None:
        if block.placeholder and not any(block.pieces):
            block.pieces.append(block.placeholder)
            if block.args is not None:
                block.args.feed(block.placeholder)
            self._log.add_text(block.index, block.make_text, block.placeholder)
        self._log.add(PartEndEvent, block.index, block.end(complete=complete), extra)

    # -- the message

    def _message_start(self, event: wire.MessageStart) -> None:
        message = normalise_container(dict(event.message))
        if self.started:
            assert self._message is not None
            earlier = self._message.get("id")
            if self._current or (earlier is not None and message.get("id") not in (None, earlier)):
                self._log.add(UnknownEvent, msgspec.to_builtins(event))
                self._break("another message begins within the message")
                return
            if earlier is not None:
                message["id"] = earlier  # the same message, told again before it had any content
        told = self.started and (self.message_id, self.model_name)
        self.started = True
        self._message = message
        usage: object = message.get("usage")
        changed = False
        if isinstance(usage, dict):
            message["usage"] = dict(usage)  # pyright: ignore[reportUnknownArgumentType]
            self._typed_usage = None
            changed = merge_usage(self._usage, usage)  # pyright: ignore[reportUnknownArgumentType]
        if (self.message_id, self.model_name) != told:
            self._log.add(StreamStartEvent, self.message_id, self.model_name, self.request_id)
        if changed:
            self._log.add(UsageEvent, self.usage)
        content: object = message.get("content") or []
        blocks = cast("list[object]", content) if isinstance(content, list) else [content]
        for index, block in enumerate(blocks):
            if isinstance(block, dict):
                self._start_block(index, cast("JsonObject", block), whole=True)
            else:
                self._break("the message begins with content that is no block")

    def _message_stop(self) -> None:
        if not self.started:
            self._break("message_stop came without a message")
        elif self.stop_reason is None:
            self._break("message_stop came without a stop reason")
        else:
            for block in self._blocks:
                if self._is_unfinished(block):
                    if not block.may_end:
                        self._break(f"message_stop came before the end of block {block.index - self._offset}")
                        return
                    self._end_block(block, complete=True)
            self.stopped = self.over = True

    def _message_delta(self, event: wire.MessageDelta) -> None:
        message, delta = self._message, event.delta
        if message is None or not self.started:
            self._log.add(UnknownEvent, msgspec.to_builtins(event))
            return
        for name in ("stop_reason", "stop_sequence", "stop_details"):
            if delta.get(name) is not None or name not in message:
                message[name] = delta.get(name)
        if delta.get("container") is not None:
            message["container"] = normalise_container({"container": delta["container"]})["container"]
        self.extra.update((name, value) for name, value in delta.items() if name not in _DELTA_FIELDS)
        for name in ("context_management", "input_transformations"):
            value = getattr(event, name)
            if value is not None:
                (message if self._beta else self.extra)[name] = value
        usage = event.usage or {}
        total: object = message.get("usage")
        if isinstance(total, dict):
            if usage.get("output_tokens") is not None:
                total["output_tokens"] = usage["output_tokens"]
            for name in _BETA_USAGE_FIELDS if self._beta else _USAGE_FIELDS:
                if usage.get(name) is not None:
                    total[name] = usage[name]
        if merge_usage(self._usage, usage):
            self._typed_usage = None
            self._log.add(UsageEvent, self.usage)
        # The cut attempt's final usage never came.
        self.usage_is_final = self._earlier_usage is None and message.get("stop_reason") is not None

    # -- what came with more than we know

    def _extended(self, extended: wire.Extended) -> None:
        event, extra, delta_extra = extended.event, extended.event_extra, extended.delta_extra
        match event:
            case wire.ContentBlockDelta(index, delta) | wire.UnknownDeltaEvent(index, delta):
                self._rare_delta(index, delta, {**extra, **delta_extra})
            case wire.ContentBlockStart(index, block):
                self._start_block(index, block, extra)
            case wire.ContentBlockStop(index):
                self._stop_block(index, extra)
            case wire.Ping():
                self._log.add(UnknownEvent, {"type": "ping", **extra})
            case _:
                self.extra.update(extra)
                self.feed(event)
