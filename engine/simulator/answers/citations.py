"""Citations: what of a request, and of what the API's own tools found, may be cited, and text that cites it.

A document or a search result may be when the request says so (`"citations": {"enabled": true}`), what a web search
found always. Each kind of source has its kind of location: characters of plain text, pages of a PDF, blocks of custom
content and of search results.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, TypeAlias

import attrs

from .blocks import Block, ServerToolResult, Text
from .jsondata import is_array, is_object, member
from .prose import random_prose

__all__ = ["Source", "cite", "sources_in"]

Source: TypeAlias = Callable[[Random], dict[str, Any]]
"""Makes a citation of a place in something that can be cited."""

_MOST = 3  # citations in an answer
_SENTENCE = re.compile(r"\S[^.!?]*[.!?]*")


def sources_in(body: dict[str, Any], found: Iterable[Block]) -> list[Source]:
    """Returns what can be cited: of the request's messages, and of these results of the API's own tools."""
    sources: list[Source] = []
    documents = search_results = 0
    for block in _citable(body["messages"]):
        if block["type"] == "document":
            if (source := _document(block, documents)) is not None:
                sources.append(source)
            documents += 1
        else:
            if (source := _search_result(block, search_results)) is not None:
                sources.append(source)
            search_results += 1
    for result in found:
        if not isinstance(result, ServerToolResult):
            continue
        if result.type == "web_search_tool_result":
            sources += [_Page(page) for page in result.content]
        elif result.type == "web_fetch_tool_result":
            if (source := _document(result.content["content"], documents)) is not None:
                sources.append(source)
            documents += 1
    return sources


def cite(text: Text, sources: list[Source], random: Random) -> list[Text]:
    """Returns the text in blocks: of every two, the second cites a source. Without sources it stays one."""
    if not sources or not text.pieces:
        return [text]
    count = max(1, min(_MOST, len(text.pieces) // 4))
    cuts = sorted(random.sample(range(len(text.pieces) + 1), 2 * count))
    blocks: list[Text] = []
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(text.pieces)], strict=True)):
        cited = number % 2 == 1
        if end > start:
            blocks.append(Text(text.pieces[start:end], (random.choice(sources)(random),) if cited else ()))
    return blocks


def _citable(messages: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The documents and search results of the messages, those within results of tools included, in their order."""
    for message in messages:
        content: object = message.get("content")
        for block in content if is_array(content) else ():
            if not is_object(block):
                continue
            if block.get("type") in ("document", "search_result"):
                yield block
            elif block.get("type") == "tool_result":
                yield from _citable([block])


def _document(block: dict[str, Any], index: int) -> Source | None:
    if not member(block, "citations").get("enabled"):
        return None
    source = member(block, "source")
    about = {"document_index": index, "document_title": block.get("title"), "file_id": None}
    match source.get("type"):
        case "text":
            sentences = list(_SENTENCE.finditer(str(source.get("data"))))
            return _Characters(about, sentences) if sentences else None
        case "content":
            content: object = source.get("content")
            return _blocks("content_block_location", about, [content] if isinstance(content, str) else content)
        case _:
            return _Pages(about)


def _search_result(block: dict[str, Any], index: int) -> Source | None:
    if not member(block, "citations").get("enabled"):
        return None
    about = {"search_result_index": index, "source": block.get("source"), "title": block.get("title")}
    return _blocks("search_result_location", about, block.get("content"))


def _blocks(kind: str, about: dict[str, Any], content: object) -> Source | None:
    parts = (
        [str(part.get("text", "")) if is_object(part) else str(part) for part in content] if is_array(content) else []
    )
    return _Blocks(kind, about, parts) if parts else None


@attrs.frozen
class _Characters:
    about: dict[str, Any]
    sentences: list[re.Match[str]]

    def __call__(self, random: Random) -> dict[str, Any]:
        sentence = random.choice(self.sentences)
        place = {"start_char_index": sentence.start(), "end_char_index": sentence.end()}
        return {"type": "char_location", "cited_text": sentence[0], **self.about, **place}


@attrs.frozen
class _Pages:
    about: dict[str, Any]

    def __call__(self, random: Random) -> dict[str, Any]:
        page = random.randint(1, 9)  # nobody here reads PDFs
        place = {"start_page_number": page, "end_page_number": page + 1}
        return {"type": "page_location", "cited_text": _sentence(random), **self.about, **place}


@attrs.frozen
class _Blocks:
    kind: str
    about: dict[str, Any]
    parts: list[str]

    def __call__(self, random: Random) -> dict[str, Any]:
        start = random.randrange(len(self.parts))
        place = {"start_block_index": start, "end_block_index": start + 1}
        return {"type": self.kind, "cited_text": self.parts[start], **self.about, **place}


@attrs.frozen
class _Page:
    result: dict[str, Any]

    def __call__(self, random: Random) -> dict[str, Any]:
        return {
            "type": "web_search_result_location",
            "cited_text": _sentence(random),
            "url": self.result["url"],
            "title": self.result["title"],
            "encrypted_index": base64.b64encode(random.randbytes(90)).decode(),
        }


def _sentence(random: Random) -> str:
    return "".join(random_prose(random, random.randint(6, 16)))
