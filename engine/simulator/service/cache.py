"""The prompt cache: what of a prompt is read from it, and what is written to it.

A prompt is a row of blocks: tools, then system, then messages. A prefix of the row is cached if a block with
`cache_control` ends it, or if the request itself has `cache_control` and it is the whole row. Others can read it once
the response to the request that wrote it has begun, which for one that isn't streamed is when its body is sent. Two
that begin together both write, and both pay for it.

The real cache also looks back no more than 20 blocks from a mark, takes four marks at most, keeps messages apart by
the thinking and tool settings they were asked with, and sees marks within the content of tool results.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import attrs
import msgspec

from ..answers import Usage, input_tokens, is_array, is_object
from .conditions import Cache

__all__ = ["Prompt", "PromptCache"]

_KEPT = 10_000
_HOUR = 3_600.0


@attrs.frozen
class _Block:
    """A block of the row, or a string in place of one. `place` is the section, with the number for a message."""

    place: tuple[str, int, str]
    content: Any

    @property
    def mark(self) -> object:
        """Its `cache_control`, if it has one."""
        return self.content.get("cache_control") if is_object(self.content) else None


@attrs.define
class _Entry:
    ttl: float
    expires: float


@attrs.frozen
class Prompt:
    """What the cache does for one request."""

    usage: Usage
    read: bytes | None = attrs.field(default=None, repr=False)  # the key of the prefix that is read
    writes: tuple[tuple[bytes, float], ...] = attrs.field(default=(), repr=False)  # keys, with how long they stay


class PromptCache:
    """The cached prefixes of one organisation: the 10,000 last used at most."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def look_up(self, body: dict[str, Any], now: float) -> Prompt:
        """Returns what would be read and written. Changes nothing."""
        total = input_tokens(body)
        blocks = list(_blocks(body))
        marks = {number: _ttl(block.mark) for number, block in enumerate(blocks, 1) if _is_mark(block.mark)}
        if blocks and _is_mark(body.get("cache_control")):
            marks.setdefault(len(blocks), _ttl(body["cache_control"]))
        if not marks:
            return Prompt(Usage(input_tokens=total))
        keys = list(_keys(str(body["model"]), blocks[: max(marks)]))
        length = next((length for length in range(len(keys), 0, -1) if self._is_readable(keys[length - 1], now)), 0)
        read = min(total, _tokens(blocks[:length])) if length else 0
        written = one_hour = 0
        writes: list[tuple[bytes, float]] = []
        for number, ttl in sorted(marks.items()):
            tokens = min(total, _tokens(blocks[:number]))
            if tokens < self._cache.minimum_tokens:
                continue
            writes.append((keys[number - 1], self._cache.ttl if ttl is None else ttl))
            if (more := tokens - read - written) > 0:
                written += more
                one_hour += more if ttl == _HOUR else 0
        usage = Usage(
            input_tokens=total - read - written,
            cache_creation_input_tokens=written,
            cache_read_input_tokens=read,
            one_hour_tokens=one_hour,
        )
        return Prompt(usage, keys[length - 1] if length else None, tuple(writes))

    def use(self, prompt: Prompt, now: float) -> None:
        """Lets the prefix that is read live on."""
        if prompt.read is not None and (entry := self._entries.get(prompt.read)) is not None:
            self._keep(prompt.read, entry.ttl, now)

    def write(self, prompt: Prompt, now: float) -> None:
        """Makes readable what the prompt writes."""
        for key, ttl in prompt.writes:
            self._keep(key, ttl, now)
        while len(self._entries) > _KEPT:
            self._entries.popitem(last=False)

    def _keep(self, key: bytes, ttl: float, now: float) -> None:
        self._entries[key] = _Entry(ttl, now + ttl)
        self._entries.move_to_end(key)

    def _is_readable(self, key: bytes, now: float) -> bool:
        entry = self._entries.get(key)
        return entry is not None and now < entry.expires


def _ttl(mark: Any) -> float | None:
    """How long the mark asks to keep its prefix; None is the usual time."""
    return _HOUR if mark.get("ttl") == "1h" else None


def _is_mark(value: object) -> bool:
    return is_object(value) and value.get("type") == "ephemeral"


def _blocks(body: dict[str, Any]) -> Iterator[_Block]:
    for section in ("tools", "system"):
        for content in _contents(body.get(section)):
            yield _Block((section, 0, ""), content)
    for number, message in enumerate(body["messages"]):
        for content in _contents(message["content"]):
            yield _Block(("messages", number, message["role"]), content)


def _contents(value: object) -> list[Any]:
    if isinstance(value, str):
        return [value] if value else []
    return value if is_array(value) else []


def _tokens(blocks: list[_Block]) -> int:
    """The tokens of these blocks, as those of the request that holds them alone."""
    body: dict[str, Any] = {"tools": [], "system": [], "messages": []}
    last: tuple[str, int, str] | None = None
    for block in blocks:
        section, _, role = block.place
        if section != "messages":
            body[section].append(block.content)
            continue
        if block.place != last:
            body["messages"].append({"role": role, "content": []})
        body["messages"][-1]["content"].append(block.content)
        last = block.place
    return input_tokens(body)


def _keys(model: str, blocks: list[_Block]) -> Iterator[bytes]:
    """Yields for each block the key of the prefix it ends. The marks are no part of it: they move, and it stays."""
    key = model.encode()
    for block in blocks:
        content: Any = {"type": "text", "text": block.content} if isinstance(block.content, str) else block.content
        if is_object(content):
            content = {name: value for name, value in content.items() if name != "cache_control"}
        encoded = msgspec.json.encode([block.place, content], order="deterministic")
        key = hashlib.blake2b(encoded, key=hashlib.blake2b(key, digest_size=32).digest(), digest_size=16).digest()
        yield key
