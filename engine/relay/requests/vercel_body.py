"""`useChat`'s body: `id`, `messages` (or `message`, as its `prepareSendMessagesRequest` is often written)."""

from typing import Any

from ....actors import ToolResultBlock
from ....actors.message import mended
from ....actors.wire import json_text
from .asked import Asked, read_key
from .contents import file_block, text_block
from .refused import BodyRefused, as_list, as_object, as_text

__all__ = ["read_vercel"]


def read_vercel(body: dict[str, Any]) -> Asked:
    """What `useChat` asks. Raises `BodyRefused`."""
    messages = [body["message"]] if "message" in body else body.get("messages")
    where = "message" if "message" in body else "messages"
    found = as_list(messages, where, "a list of UI messages")
    for place in range(len(found) - 1, -1, -1):
        message = as_object(found[place], f"{where}[{place}]")
        if message.get("role") == "user":
            return Asked(
                key=read_key(body.get("id"), "id"),
                content=_content(message, f"{where}[{place}]"),
                tool_results=tuple(_tool_results(found[place + 1 :])),
                message_id=read_key(message.get("id"), f"{where}[{place}].id"),
                regenerate=body.get("trigger") == "regenerate-message",
                body=body,
            )
    raise BodyRefused(f"{where} holds no message with the role user")


def _content(message: dict[str, Any], where: str) -> tuple[dict[str, Any], ...]:
    blocks: list[dict[str, Any]] = []
    for number, given in enumerate(as_list(message.get("parts"), f"{where}.parts")):
        place = f"{where}.parts[{number}]"
        part = as_object(given, place)
        match part.get("type"):
            case "text":
                if (text := as_text(part.get("text"), f"{place}.text")).strip():
                    blocks.append(text_block(text))
            case "file":
                media_type = as_text(part.get("mediaType"), f"{place}.mediaType")
                blocks.append(file_block(media_type, as_text(part.get("url"), f"{place}.url"), place))
            case _:
                pass  # data of the app's own, and steps: not for the model
    if not blocks:
        raise BodyRefused(f"{where} has neither text nor files")
    return tuple(blocks)


def _tool_results(messages: list[Any]) -> list[ToolResultBlock]:
    """What tools answered in the browser: the outputs of the calls that are not the API's own."""
    return [result for message in messages for part in _parts(message) for result in _answered(part)]


def _parts(message: Any) -> list[Any]:
    match message:
        case {"parts": [*parts]}:
            return parts
        case _:
            return []


def _answered(part: Any) -> list[ToolResultBlock]:
    match part:
        case {"providerExecuted": True}:
            return []
        case {"state": "output-available", "toolCallId": str() as call, "output": output}:
            return [_result(call, output)]
        case {"state": "output-error", "toolCallId": str() as call, "errorText": str() as text}:
            return [{**_result(call, text), "is_error": True}]
        case _:
            return []


def _result(call: str, output: Any) -> ToolResultBlock:
    text = output if isinstance(output, str) else json_text(output)
    return {"type": "tool_result", "tool_use_id": mended(call), "content": mended(text)}
