"""What an error says, whatever its shape: the words of a service, a gateway or a proxy, made fit to be shown and kept.

The Messages API answers `{"type": "error", "error": {"type", "message", "details"}, "request_id"}`. What stands between
it and us answers otherwise: `{"error": "text"}`, `{"detail": …}` (FastAPI), `{"message": …}` (AWS), a list (Google),
plain text, HTML. Their words are kept, in at most 300 characters, and never more than words: control characters are
escaped, what validation details quote of the request is dropped, and so are the credentials and the query of a URL.
"""

import html
import json
import re
from collections.abc import Mapping
from typing import Any, cast

import attrs

__all__ = ["ErrorBody", "plain_text", "read_error_body", "text_of_html"]

_LONGEST_MESSAGE = 300
_LONGEST_TYPE = 100
_TYPE = re.compile(r"[A-Za-z0-9_.:#-]+")
_URL = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?:[^\s/?#@\"'<>]*@)?(?P<rest>[^\s?#\"'<>]*)(?:[?#][^\s\"'<>]*)?", re.IGNORECASE
)
_QUOTED_FROM_REQUEST = frozenset({"input", "ctx"})  # pydantic's names for what was wrong, which may be the prompt
_SKIPPED_ELEMENTS = re.compile(r"<(script|style|head)\b.*?(</\1\s*>|$)", re.IGNORECASE | re.DOTALL)
_TITLE_BEGINS = re.compile(r"<title\b", re.IGNORECASE)
_TITLE_ENDS = re.compile(r"</title", re.IGNORECASE)
_LONGEST_PAGE = 65536  # characters of a web page that are looked at
_TAG = re.compile(r"<[^>]*>?")


@attrs.frozen
class ErrorBody:
    """The parts of an error that could be read. A part that is missing is None."""

    type: str | None = None
    message: str | None = None
    code: str | None = None
    """The API's `details.error_code`."""
    request_id: str | None = None


def read_error_body(body: object) -> ErrorBody:
    """Reads an error: its JSON, or its text. It never raises."""
    if isinstance(body, list):
        items = cast("list[object]", body)
        only = items[0] if len(items) == 1 else None
        return read_error_body(cast("object", only) if isinstance(only, dict) else {"detail": items})
    if not isinstance(body, Mapping):
        return ErrorBody(message=_words(body))
    outer = cast("Mapping[str, object]", body)
    request_id = _name(outer.get("request_id"))
    error: object = outer.get("error")
    if isinstance(error, Mapping):
        error = inner = cast("Mapping[str, object]", error)
        kind = _name(inner.get("type"))
    else:
        inner = outer
        kind = _name(outer.get("type")) or _name(outer.get("__type"))
        kind = None if kind == "error" else kind
    message = next((words for value in _candidates(inner, error) if (words := _words(value)) is not None), None)
    details = inner.get("details")
    code = _name(cast("Mapping[str, object]", details).get("error_code")) if isinstance(details, Mapping) else None
    return ErrorBody(kind, message, code, request_id or _name(inner.get("request_id")))


def _candidates(inner: Mapping[str, object], error: object) -> list[object]:
    """What may be the message, the most telling first."""
    said = [inner.get(name) for name in ("message", "Message", "detail", "error_description", "error_msg", "msg")]
    rest = {name: value for name, value in inner.items() if value and name not in ("type", "details", "request_id")}
    return [*said, None if isinstance(error, Mapping) else error, inner.get("errors"), rest]


def plain_text(text: str, longest: int = _LONGEST_MESSAGE) -> str:
    """`text` as it can be shown in one line anywhere: at most `longest` characters, control characters and halves of
    surrogate pairs escaped, URLs without credentials and query."""
    text = _URL.sub(lambda found: found["scheme"] + found["rest"], text[: 4 * longest].strip())
    shown = "".join(char if char.isprintable() else _escaped(char) for char in " ".join(text.split()))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def text_of_html(page: str) -> str:
    """The words of a web page: its title, if it has one, and what stands on it. It takes time linear in the page."""
    page = page[:_LONGEST_PAGE]
    words = _TAG.sub(" ", _SKIPPED_ELEMENTS.sub(" ", page))
    return " ".join(html.unescape(f"{_title(page)} {words}").split())


def _title(page: str) -> str:
    # Step by step: one pattern that looks for the end from each beginning takes time quadratic in the page.
    begins = _TITLE_BEGINS.search(page)
    opened = page.find(">", begins.end()) if begins else -1
    ends = _TITLE_ENDS.search(page, opened) if opened >= 0 else None
    return page[opened + 1 : ends.start()] if ends else ""


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _name(value: object) -> str | None:
    """A single word, such as a type or an id; None for anything else."""
    if not isinstance(value, str) or not value or len(value) > _LONGEST_TYPE:
        return None
    return value if _TYPE.fullmatch(value) else plain_text(value, _LONGEST_TYPE) or None


def _words(value: object) -> str | None:
    if value is None or value == "" or value == {} or value == []:
        return None
    if isinstance(value, str):
        return plain_text(value) or None
    try:
        return plain_text(json.dumps(_without_input(value, 8), default=str, ensure_ascii=False)) or None
    except (ValueError, RecursionError):
        return None


def _without_input(value: Any, depth: int) -> Any:
    """`value` without what a validation error quotes of the request."""
    if depth == 0 and isinstance(value, dict | list):
        return "…"
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {
            name: _without_input(item, depth - 1) for name, item in fields.items() if name not in _QUOTED_FROM_REQUEST
        }
    if isinstance(value, list):
        return [_without_input(item, depth - 1) for item in cast("list[Any]", value)]
    return value
