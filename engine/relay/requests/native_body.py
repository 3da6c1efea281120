"""Our own body: `{"id": the chat's, "message": text}`, or, with files, a list of text and file parts."""

from typing import Any

from .asked import Asked, read_key
from .contents import file_block, text_block
from .refused import BodyRefused, as_list, as_object, as_text

__all__ = ["read_native"]


def read_native(body: dict[str, Any]) -> Asked:
    """What a body of ours asks. Raises `BodyRefused`."""
    message = body.get("message")
    if isinstance(message, str):
        message = [{"type": "text", "text": message}]
    blocks: list[dict[str, Any]] = []
    for number, given in enumerate(as_list(message, "message", "a string or a list of parts")):
        where = f"message[{number}]"
        part = as_object(given, where)
        match part.get("type"):
            case "text":
                if (text := as_text(part.get("text"), f"{where}.text")).strip():
                    blocks.append(text_block(text))
            case "file":
                media_type = as_text(part.get("media_type"), f"{where}.media_type")
                blocks.append(file_block(media_type, as_text(part.get("url"), f"{where}.url"), where))
            case _:
                raise BodyRefused(f"{where}.type is text or file")
    if not blocks:
        raise BodyRefused("message has neither text nor files")
    return Asked(key=read_key(body.get("id"), "id"), content=tuple(blocks), body=body)
