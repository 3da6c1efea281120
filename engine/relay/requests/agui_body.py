"""AG-UI's body, `RunAgentInput`: `threadId`, `runId` and `messages`. Its tools, context and state are for `build`."""

from typing import Any

from ....actors import ToolResultBlock
from ....actors.message import mended
from .asked import Asked, read_key
from .contents import file_block, text_block
from .refused import BodyRefused, as_list, as_object, as_text

__all__ = ["read_agui"]

_MEDIA = ("image", "document", "audio", "video")


def read_agui(body: dict[str, Any]) -> Asked:
    """What an AG-UI client asks. Raises `BodyRefused`."""
    ids = {name: read_key(body.get(name), name) for name in ("threadId", "runId")}
    for name, value in ids.items():
        if value is None:
            raise BodyRefused(f"{name} is missing: AG-UI's body has threadId, runId and messages")
    found = as_list(body.get("messages"), "messages")
    results: list[ToolResultBlock] = []
    for place in range(len(found) - 1, -1, -1):
        where = f"messages[{place}]"
        message = as_object(found[place], where)
        match message.get("role"):
            case "user":
                return Asked(
                    key=ids["threadId"],
                    run_id=ids["runId"],
                    content=_content(message.get("content"), f"{where}.content"),
                    tool_results=tuple(reversed(results)),
                    message_id=read_key(message.get("id"), f"{where}.id"),
                    body=body,
                )
            case "tool":
                results.append(_result(message, where))
            case _:
                pass
    raise BodyRefused("messages holds no message with the role user")


def _content(content: Any, where: str) -> tuple[dict[str, Any], ...]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    blocks: list[dict[str, Any]] = []
    for number, given in enumerate(as_list(content, where, "a string or a list of parts")):
        place = f"{where}[{number}]"
        part = as_object(given, place)
        kind = part.get("type")
        if kind == "text":
            if (text := as_text(part.get("text"), f"{place}.text")).strip():
                blocks.append(text_block(text))
        elif kind in _MEDIA:
            blocks.append(_file(kind, as_object(part.get("source"), f"{place}.source"), place))
        elif kind == "binary":  # as clients before 1.0 send files
            media_type = as_text(part.get("mimeType"), f"{place}.mimeType")
            data = part.get("data")
            url = f"data:{media_type};base64,{data}" if isinstance(data, str) else part.get("url")
            blocks.append(file_block(media_type, as_text(url, f"{place}.url"), place))
        else:
            raise BodyRefused(f"{place}.type is text, image, document or binary")
    if not blocks:
        raise BodyRefused(f"{where} has neither text nor files")
    return tuple(blocks)


def _file(kind: Any, source: dict[str, Any], where: str) -> dict[str, Any]:
    value = as_text(source.get("value"), f"{where}.source.value")
    media_type = source.get("mimeType") or {"image": "image/*", "document": "application/pdf"}.get(kind, kind)
    media_type = as_text(media_type, f"{where}.source.mimeType")
    if source.get("type") == "data":
        value = f"data:{media_type};base64,{value}"
    return file_block(media_type, value, where)


def _result(message: dict[str, Any], where: str) -> ToolResultBlock:
    call = as_text(message.get("toolCallId"), f"{where}.toolCallId")
    content = message.get("content")
    if not isinstance(content, str):
        content = [*_content(content, f"{where}.content")]
    error = message.get("error")
    result: ToolResultBlock = {"type": "tool_result", "tool_use_id": mended(call), "content": mended(content)}
    return {**result, "is_error": True} if isinstance(error, str) and error else result
