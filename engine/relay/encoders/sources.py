"""Citations as Vercel's protocol has them: what each text cites, and each source once, as a part of its own."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from .allowed import citation
from .frames import present

__all__ = ["Sources"]

_DOCUMENT = "text/plain"  # the API does not say what a cited document is


class Sources:
    """The sources of one message, told once each."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._titles: dict[str, str] = {}
        self._new: list[dict[str, Any]] = []

    def found(self, content: Any) -> None:
        """Remembers the titles of what a search found: a citation of it may have none."""
        if isinstance(content, list):
            for item in cast("list[Any]", content):
                match item:
                    case {"url": str() as url, "title": str() as title}:
                        self._titles[url] = title
                    case _:
                        pass

    def of(self, citations: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The citations of a text, for its end."""
        return [self._told(citation(given)) for given in citations]

    def new(self) -> list[dict[str, Any]]:
        """The chunks of sources that were not told yet."""
        new, self._new = self._new, []
        return new

    def _told(self, given: dict[str, Any]) -> dict[str, Any]:
        url = given.get("url")
        cited = given.get("cited_text")
        title = _text(given.get("title")) or _text(given.get("document_title"))
        known = {"anthropic": given}
        if isinstance(url, str) and url:
            title = title or self._titles.get(url)
            name = self._name(url, {"type": "source-url", "url": url, **present(title=title)})
            source = {"type": "source", "sourceType": "url", "id": name, "url": url, **present(title=title)}
        else:
            place = given.get("document_index", given.get("search_result_index", 0))
            title = title or _text(given.get("source")) or f"Document {place}"
            document = {"mediaType": _DOCUMENT, "title": title}
            name = self._name(f"{place} {title}", {"type": "source-document", **document})
            source = {"type": "source", "sourceType": "document", "id": name, **document}
        return {"source": {**source, "providerMetadata": known}, **present(citedText=_text(cited))}

    def _name(self, key: str, chunk: dict[str, Any]) -> str:
        name = self._ids.get(key)
        if name is None:
            name = self._ids[key] = f"s{len(self._ids)}"
            self._new.append({**chunk, "sourceId": name})
        return name


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
