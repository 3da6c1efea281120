"""User content from text and files: the blocks that the Messages API takes, made anew field by field."""

from base64 import b64decode
from typing import Any
from urllib.parse import unquote_to_bytes

from ....actors.message import mended
from .refused import BodyRefused

__all__ = ["file_block", "text_block"]

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_PDF = "application/pdf"
_LONGEST_HEAD = 1000  # characters of a data: url before its comma
_MOST_ESCAPES = 100_000  # in a text that is not base64: each costs more than a thousand characters of base64


def text_block(text: str) -> dict[str, Any]:
    """A block of text. Half a surrogate pair, which a JavaScript string may hold, is U+FFFD."""
    return {"type": "text", "text": mended(text)}


def file_block(media_type: str, url: str, where: str) -> dict[str, Any]:
    """A block of an image or document at a `data:` or `https:` address. Raises `BodyRefused` for any other."""
    scheme = url[:8].lower()
    if scheme.startswith("data:"):
        comma = url.find(",", 0, _LONGEST_HEAD)
        if comma < 0:
            raise BodyRefused(f"{where}: a data: url has a comma before its data")
        named, *parameters = url[len("data:") : comma].split(";")
        is_base64 = bool(parameters) and parameters[-1].strip().lower() == "base64"
        return _given(named or media_type, url[comma + 1 :], is_base64, where)
    if scheme != "https://":
        raise BodyRefused(f"{where}: a file's url begins with data: or https:")
    return _block(media_type, {"type": "url", "url": mended(url)}, where)


def _given(media_type: str, data: str, is_base64: bool, where: str) -> dict[str, Any]:
    if not is_base64 and data.count("%") > _MOST_ESCAPES:
        raise BodyRefused(f"{where}: a text with so many escapes is sent as base64")
    try:
        given = b64decode(data, validate=True) if is_base64 else unquote_to_bytes(data)
    except ValueError:
        raise BodyRefused(f"{where}: the file's data is not base64") from None
    if media_type.lower().startswith("text/plain"):
        try:
            text = given.decode()
        except UnicodeDecodeError:
            raise BodyRefused(f"{where}: a plain text file is UTF-8") from None
        return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}
    if not is_base64:
        raise BodyRefused(f"{where}: the file's data is not base64")
    return _block(media_type, {"type": "base64", "media_type": media_type.lower(), "data": data}, where)


def _block(media_type: str, source: dict[str, Any], where: str) -> dict[str, Any]:
    kind = media_type.lower()
    if kind in _IMAGES or (source["type"] == "url" and kind in ("image", "image/*")):
        return {"type": "image", "source": source}
    if kind == _PDF:
        return {"type": "document", "source": source}
    raise BodyRefused(f"{where}: files are JPEG, PNG, GIF and WebP images, PDFs, and plain text in a data: url")
