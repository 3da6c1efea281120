"""What the content of a message may be made of: which blocks there are, what they must have, and whose they may be.

Source: the blocks that version 2.14 of the official Python SDK sends, read on 2026-11-28.
"""

from __future__ import annotations

from typing import Any

from ..answers import is_array, is_object
from .dialect import Dialect
from .shape import invalid, required

__all__ = ["check_blocks"]

_KINDS = (
    "text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result",
    "server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
    "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
    "container_upload", "advisor_tool_result", "compaction", "fallback", "mcp_tool_listing", "mcp_tool_use",
    "mcp_tool_result", "tool_addition", "tool_removal",
)  # fmt: skip
_NEEDED = {
    "image": ("source",),
    "document": ("source",),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",),
}
_SIDE = {"tool_use": "assistant", "tool_result": "user"}


def check_blocks(content: object, role: object, where: str, dialect: Dialect) -> list[dict[str, Any]]:
    """Returns the blocks of a message's content; raises RefusalError for what is none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not is_array(content):
        raise invalid(f"{where}.content: Input should be a valid list")
    for number, block in enumerate(content):
        _check(block, role, f"{where}.content.{number}", dialect)
    return content


def _check(block: object, role: object, where: str, dialect: Dialect) -> None:
    if not is_object(block):
        raise invalid(f"{where}: Input should be a valid dictionary or object")
    kind = required(block, "type", f"{where}.")
    if kind not in _KINDS:
        raise invalid(f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    assert isinstance(kind, str)
    for name in _NEEDED.get(kind, ()):
        required(block, name, f"{where}.{kind}.")
    if _SIDE.get(kind, role) != role:
        raise invalid(f"{where}: `{kind}` blocks can only be in `{_SIDE[kind]}` messages")
    if kind == "text":
        _check_text(block, where)
    if kind == "tool_use" and not is_object(block["input"]):
        raise invalid(f"{where}.tool_use.input: Input should be a valid dictionary")
    if kind == "thinking" and not required(block, "signature", f"{where}.thinking."):
        raise invalid(f"{where}: Invalid `signature` in `thinking` block")
    if not dialect.samples:  # from API version 2026-10-21 on, some blocks belong to one side of the conversation
        if role == "assistant" and kind == "document":
            raise invalid(f"{where}: `document` blocks are not allowed in `assistant` messages")
        if role == "user" and kind == "text" and block.get("citations"):
            raise invalid(f"{where}.citations: not allowed on `text` blocks in `user` messages")


def _check_text(block: dict[str, Any], where: str) -> None:
    text = required(block, "text", f"{where}.text.")
    if not isinstance(text, str):
        raise invalid(f"{where}.text.text: Input should be a valid string")
    if not text:
        raise invalid("messages: text content blocks must be non-empty")
    if not text.strip():
        raise invalid("messages: text content blocks must contain non-whitespace text")
