"""What the API refuses, in its own words: checks of a request to create a message or to count its tokens."""

from __future__ import annotations

from typing import Any

from ..answers import is_array, is_object
from .content_rules import check_blocks
from .dialect import ANY, Dialect
from .errors import RefusalError
from .fields import check_fields
from .model_rules import check_length, check_model
from .output_rules import check_output
from .shape import invalid, required
from .tool_rules import check_tool_choice, check_tools

__all__ = ["check_count", "check_create"]

_ROLES = ("user", "assistant", "system")
_MESSAGES_LIMIT = 100_000


def check_create(body: object, dialect: Dialect = ANY) -> dict[str, Any]:
    """Returns the body when it is a valid request for a message; raises RefusalError otherwise."""
    checked = _check_common(body, dialect)
    if not isinstance(checked.get("stream", False), bool):
        raise invalid("stream: Input should be a valid boolean")
    check_length(checked, dialect)
    _check_stops(checked.get("stop_sequences"))
    check_model(checked, dialect)
    return checked


def check_count(body: object, dialect: Dialect = ANY) -> dict[str, Any]:
    """Returns the body when it is a valid request to count tokens; raises RefusalError otherwise."""
    checked = _check_common(body, dialect)
    check_model(checked, dialect)
    return checked


def _check_common(body: object, dialect: Dialect) -> dict[str, Any]:
    if body is None:
        raise invalid("The request body is not valid JSON")
    if not is_object(body):
        raise invalid("Input should be a valid dictionary or object to extract fields from")
    model = required(body, "model")
    if not isinstance(model, str):
        raise invalid("model: Input should be a valid string")
    _check_system(body.get("system"))
    _check_messages(required(body, "messages"), dialect)
    check_tools(body.get("tools"))
    check_tool_choice(body)
    check_output(body, dialect)
    check_fields(body, dialect)
    if not model.startswith("claude-"):
        raise RefusalError(404, f"model: {model}")
    return body


def _check_system(system: object) -> None:
    if system is None or isinstance(system, str):
        return
    if not is_array(system):
        raise invalid("system: Input should be a valid string or list")
    for number, block in enumerate(system):
        if not is_object(block) or block.get("type") != "text":
            raise invalid(f"system.{number}.type: Input should be 'text'")
        if not isinstance(required(block, "text", f"system.{number}."), str):
            raise invalid(f"system.{number}.text: Input should be a valid string")


def _check_messages(messages: object, dialect: Dialect) -> None:
    if not is_array(messages):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    if len(messages) > _MESSAGES_LIMIT:
        raise invalid(f"messages: at most {_MESSAGES_LIMIT} messages are allowed")
    asked: set[str] = set()
    for number, message in enumerate(messages):
        where = f"messages.{number}"
        if not is_object(message):
            raise invalid(f"{where}: Input should be a valid dictionary")
        role = required(message, "role", f"{where}.")
        if role not in _ROLES:
            raise invalid(f"{where}.role: Input should be 'user', 'assistant' or 'system'")
        if number == 0 and role != "user":
            raise invalid('messages: first message must use the "user" role')
        blocks = check_blocks(required(message, "content", f"{where}."), role, where, dialect)
        if not blocks and number < len(messages) - 1:
            raise invalid(
                f"{where}: all messages must have non-empty content except for the optional final assistant message"
            )
        if role == "assistant" and blocks and blocks[-1]["type"] in ("thinking", "redacted_thinking"):
            raise invalid(f"{where}: The final block in an assistant message cannot be `{blocks[-1]['type']}`.")
        asked = _check_tool_results(blocks, asked, where)
    if asked:
        raise _unanswered(asked, f"messages.{len(messages) - 1}")


def _check_tool_results(blocks: list[dict[str, Any]], asked: set[str], where: str) -> set[str]:
    """Matches the results in a message with the calls in the one before; returns the calls made in this one."""
    answered: set[str] = set()
    for number, block in enumerate(blocks):
        if block["type"] != "tool_result":
            continue
        call_id = str(required(block, "tool_use_id", f"{where}.content.{number}."))
        if call_id not in asked:
            raise invalid(
                f"{where}.content.{number}: unexpected `tool_use_id` found in `tool_result` blocks: {call_id}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        answered.add(call_id)
    if missing := asked - answered:
        raise _unanswered(missing, where)
    return {str(block.get("id")) for block in blocks if block["type"] == "tool_use"}


def _unanswered(ids: set[str], where: str) -> RefusalError:
    return invalid(
        f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(sorted(ids))}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
        "message."
    )


def _check_stops(stops: object) -> None:
    if stops is None:
        return
    if not is_array(stops):
        raise invalid("stop_sequences: Input should be a valid list")
    for number, stop in enumerate(stops):
        if not isinstance(stop, str):
            raise invalid(f"stop_sequences.{number}: Input should be a valid string")
        if not stop.strip():
            raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
