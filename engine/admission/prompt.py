"""How large a request's prompt is, and which prefixes of it are to be cached: estimated before anything is sent.

Only values that can be read twice are read: strings, mappings, lists and tuples. For an iterator or an SDK object a
guess is counted, and the object is left as it is.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeGuard, cast

import attrs

__all__ = ["Prefix", "Prompt", "leading_prefixes", "measure"]

_BYTES_A_TOKEN = 4  # of UTF-8: four letters of English, or one character of a script in which each takes about a token
_SCALAR = 4  # bytes: numbers, true, false and null are about a token each
_UNREADABLE = 250 * _BYTES_A_TOKEN  # what can't be read counts as a paragraph or two
_IMAGE = 1600 * _BYTES_A_TOKEN  # the most that an image takes before the API scales it down
_PAGE = 3000 * _BYTES_A_TOKEN  # a page of a PDF counts as an image and as its text
_PAGE_BYTES = 50_000  # of the PDF file, for each page
_MAX_PAGES = 100
_UNSEEN_PAGES = 5  # of a document that is a URL or a file id
_MIN_CACHED_TOKENS = 1024  # the API does not cache less
_LIFETIMES = {"5m": 300.0, "1h": 3600.0}


@attrs.frozen
class Prefix:
    """The part of a prompt up to and including a block with `cache_control`."""

    key: bytes
    """Equal for all requests to one model that begin with this part, whatever follows it."""
    tokens: int
    """How many tokens it has, roughly."""
    ttl: float
    """How long the API keeps it after its last use, in seconds."""


@attrs.frozen
class Prompt:
    """The size of a prompt and its cached prefixes, shortest first."""

    tokens: int
    """How many input tokens it has, roughly."""
    prefixes: tuple[Prefix, ...] = ()


def measure(params: Mapping[str, Any]) -> Prompt:
    """Estimates the prompt in `params`, which are the Messages API's parameters. Consumes nothing and never raises.

    Text counts four bytes a token, and so does a schema that the answer is held to; an image 1,600 tokens, a PDF 3,000
    tokens for every 50 kB of its file. Prefixes of fewer than 1,024 tokens are left out, as are those with something in
    them that is not plain JSON data.
    """
    size = 0
    marks: dict[int, tuple[int, float]] = {}  # by number of the record: the size up to there, and the lifetime
    last = None
    try:
        for number, (kind, record) in enumerate(_records(params)):
            try:
                size += _size(record)
            except Exception:  # such as a structure that contains itself
                size += _UNREADABLE
            if kind in ("schema", "message"):
                continue
            last = number
            if (ttl := _lifetime(record)) is not None:
                marks[number] = size, ttl
        if last is not None and last not in marks and (ttl := _own_lifetime(params)) is not None:
            marks[last] = size, ttl
        prefixes = _prefixes(params, marks) if marks else ()
    except Exception:  # a mapping that is none: the API or the SDK will say what is wrong with it
        return Prompt(_tokens(size + _UNREADABLE))
    return Prompt(_tokens(size), prefixes)


def leading_prefixes(params: Mapping[str, Any], most: int = 16) -> tuple[Prefix, ...]:
    """The prefixes that could be cached, whether they are marked or not: up to the end of each tool, each block of the
    system prompt and each block of the messages, the first `most` of them. Consumes nothing and never raises."""
    size = 0
    marks: dict[int, tuple[int, float]] = {}
    try:
        for number, (kind, record) in enumerate(_records(params)):
            size += _size(record)
            if kind not in ("schema", "message"):
                marks[number] = size, _LIFETIMES["5m"]
            if len(marks) >= most:
                break
        return _prefixes(params, marks) if _tokens(size) >= _MIN_CACHED_TOKENS else ()
    except Exception:  # as in `measure`
        return ()


def _prefixes(params: Mapping[str, Any], marks: Mapping[int, tuple[int, float]]) -> tuple[Prefix, ...]:
    found: list[Prefix] = []
    digest = blake2b(repr(params.get("model")).encode(errors="replace"), digest_size=16)
    records = _records(params)
    begin = 0
    for number, (size, ttl) in marks.items():
        part = [(kind, _without_marks(record)) for kind, record in islice(records, number + 1 - begin)]
        begin = number + 1
        try:
            text = _encode(part)
        except (TypeError, ValueError, RecursionError):
            break
        digest.update(f"{text[1:-1]},".encode())  # the bytes are the same however the prompt is cut into parts
        if (tokens := _tokens(size)) >= _MIN_CACHED_TOKENS:
            found.append(Prefix(digest.digest(), tokens, ttl))
    return tuple(found)


def _records(params: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """The prompt in the order in which it is cached: what the API adds of itself to hold the answer to a schema, tools,
    system, then each message's head and its blocks."""
    if (schema := _answers_schema(params)) is not None:
        yield "schema", schema
    if tools := params.get("tools"):
        for tool in tools if _is_list(tools) else [tools]:
            yield "tool", tool
    if system := params.get("system"):
        for block in _blocks(system):
            yield "system", block
    if messages := params.get("messages"):
        for message in messages if _is_list(messages) else [messages]:
            if not _is_mapping(message):
                yield "block", message
                continue
            yield "message", {name: value for name, value in message.items() if name != "content"}
            for block in _blocks(message.get("content", ())):
                yield "block", block


def _answers_schema(params: Mapping[str, Any]) -> object:
    """The schema that the answer is held to. The model is told of it, and pays for it, as for a system prompt."""
    config = params.get("output_config")
    return config.get("format") if config is not None and _is_mapping(config) else None


def _blocks(content: object) -> Iterable[object]:
    if isinstance(content, str):
        return ({"type": "text", "text": content},)
    return content if _is_list(content) else (content,)


def _size(value: object) -> int:
    """The size in bytes of text; what is no text counts as so many bytes."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode(errors="replace"))
    if _is_list(value):
        return sum(map(_size, value))
    if _is_mapping(value):
        # `in` a tuple: a JSON schema's type may be a list, which has no hash.
        if value.get("type") in ("image", "document") and _is_mapping(source := value.get("source")):
            rest = sum(_size(name) + _size(other) for name, other in value.items() if name != "source")
            return rest + (_IMAGE if value["type"] == "image" else _document_size(source))
        size = 0
        for item in value.items():
            for (
                one
            ) in item:  # ASCII, which nearly all is, is counted inline: a call for each string takes twice as long
                size += len(one) if type(one) is str and one.isascii() else _size(one)
        return size
    return _SCALAR if value is None or isinstance(value, (int, float)) else _UNREADABLE


def _document_size(source: Mapping[Any, Any]) -> int:
    if source.get("type") in ("text", "content"):
        return _size(source)
    data = source.get("data")
    pages = _UNSEEN_PAGES
    if isinstance(data, str):
        pages = min(max(len(data) * 3 // 4 // _PAGE_BYTES, 1), _MAX_PAGES)
    return pages * _PAGE


def _tokens(size: int) -> int:
    return -(-size // _BYTES_A_TOKEN)


def _own_lifetime(block: Mapping[Any, Any]) -> float | None:
    mark = block.get("cache_control")
    if mark is None or not _is_mapping(mark):
        return None
    return _LIFETIMES.get(str(mark.get("ttl")), _LIFETIMES["5m"])


def _lifetime(block: object) -> float | None:
    """The lifetime of the cached prefix that ends with `block`; None when none does. A mark inside a tool result counts
    as the result's."""
    if not _is_mapping(block):
        return None
    own = _own_lifetime(block)
    content = block.get("content")
    if own is not None or not _is_list(content):
        return own
    return max((ttl for inner in content if (ttl := _lifetime(inner)) is not None), default=None)


def _without_marks(block: object) -> object:
    """`block` without the `cache_control` of its own and of the blocks in it. A tool's argument of that name stays."""
    if not _is_mapping(block):
        return block
    content = block.get("content")
    if "cache_control" not in block and not _is_list(content):
        return block
    plain = {name: value for name, value in block.items() if name != "cache_control"}
    if _is_list(content):
        plain["content"] = [_without_marks(inner) for inner in content]
    return plain


def _is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, (list, tuple))


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, (dict, Mapping))  # dict first: nearly all are, and the check is faster


def _as_dict(value: object) -> dict[Any, Any]:
    if _is_mapping(value):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON data")


_encode = cast(
    "Callable[[object], str]",
    json.JSONEncoder(sort_keys=True, allow_nan=False, separators=(",", ":"), default=_as_dict).encode,
)
