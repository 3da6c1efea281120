"""What the API refuses, in its own words: checks of a request to create a message or to count its tokens."""

from __future__ import annotations

import re
from typing import Any

from ..answers import is_array, is_object, member
from .errors import RefusalError

__all__ = ["check_count", "check_create"]

_ROLES = ("user", "assistant", "system")
_VERSION = re.compile(r"claude-[a-z]+-(\d+)(?:-(\d{1,2}))?(?![\d])")
_MESSAGES_LIMIT = 100_000


def check_create(body: object) -> dict[str, Any]:
    """Returns the body when it is a valid request for a message; raises RefusalError otherwise."""
    checked = _check_common(body)
    max_tokens = _integer(checked, "max_tokens")
    if max_tokens < 0:
        raise _refusal("max_tokens: Input should be greater than or equal to 0")
    if not isinstance(checked.get("stream", False), bool):
        raise _refusal("stream: Input should be a valid boolean")
    _check_stops(checked.get("stop_sequences"))
    _check_temperature(checked.get("temperature"))
    _check_thinking(checked.get("thinking"), max_tokens)
    _check_tool_choice(checked)
    _check_prefill(checked)
    return checked


def check_count(body: object) -> dict[str, Any]:
    """Returns the body when it is a valid request to count tokens; raises RefusalError otherwise."""
    return _check_common(body)


def _refusal(message: str) -> RefusalError:
    return RefusalError(400, message)


def _integer(body: dict[str, Any], name: str) -> int:
    value = _required(body, name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _refusal(f"{name}: Input should be a valid integer")
    return value


def _required(body: dict[str, Any], name: str, where: str = "") -> object:
    if name not in body:
        raise _refusal(f"{where}{name}: Field required")
    return body[name]


def _check_common(body: object) -> dict[str, Any]:
    if body is None:
        raise _refusal("The request body is not valid JSON")
    if not is_object(body):
        raise _refusal("Input should be a valid dictionary or object to extract fields from")
    model = _required(body, "model")
    if not isinstance(model, str):
        raise _refusal("model: Input should be a valid string")
    _check_messages(_required(body, "messages"))
    _check_tools(body.get("tools"))
    if not model.startswith("claude-"):
        raise RefusalError(404, f"model: {model}")
    return body


def _check_messages(messages: object) -> None:
    if not is_array(messages):
        raise _refusal("messages: Input should be a valid list")
    if not messages:
        raise _refusal("messages: at least one message is required")
    if len(messages) > _MESSAGES_LIMIT:
        raise _refusal(f"messages: at most {_MESSAGES_LIMIT} messages are allowed")
    asked: set[str] = set()
    for number, message in enumerate(messages):
        where = f"messages.{number}"
        if not is_object(message):
            raise _refusal(f"{where}: Input should be a valid dictionary")
        role = _required(message, "role", f"{where}.")
        if role not in _ROLES:
            raise _refusal(f"{where}.role: Input should be 'user', 'assistant' or 'system'")
        if number == 0 and role != "user":
            raise _refusal('messages: first message must use the "user" role')
        blocks = _blocks(_required(message, "content", f"{where}."), where)
        if not blocks and number < len(messages) - 1:
            raise _refusal(
                f"{where}: all messages must have non-empty content except for the optional final assistant message"
            )
        if role == "assistant" and blocks and blocks[-1]["type"] in ("thinking", "redacted_thinking"):
            raise _refusal(f"{where}: The final block in an assistant message cannot be `{blocks[-1]['type']}`.")
        asked = _check_tool_results(blocks, asked, where)
    if asked:
        raise _unanswered(asked, f"messages.{len(messages) - 1}")


def _blocks(content: object, where: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not is_array(content):
        raise _refusal(f"{where}.content: Input should be a valid list")
    blocks: list[dict[str, Any]] = []
    for number, block in enumerate(content):
        if not is_object(block):
            raise _refusal(f"{where}.content.{number}: Input should be a valid dictionary or object")
        kind = _required(block, "type", f"{where}.content.{number}.")
        if kind == "text" and block.get("text") == "":
            raise _refusal("messages: text content blocks must be non-empty")
        if kind == "text" and isinstance(block.get("text"), str) and not block["text"].strip():
            raise _refusal("messages: text content blocks must contain non-whitespace text")
        if kind == "thinking" and not _required(block, "signature", f"{where}.content.{number}.thinking."):
            raise _refusal(f"{where}.content.{number}: Invalid `signature` in `thinking` block")
        blocks.append(block)
    return blocks


def _check_tool_results(blocks: list[dict[str, Any]], asked: set[str], where: str) -> set[str]:
    """Matches the results in a message with the calls in the one before; returns the calls made in this one."""
    answered: set[str] = set()
    for number, block in enumerate(blocks):
        if block["type"] != "tool_result":
            continue
        call_id = str(_required(block, "tool_use_id", f"{where}.content.{number}."))
        if call_id not in asked:
            raise _refusal(
                f"{where}.content.{number}: unexpected `tool_use_id` found in `tool_result` blocks: {call_id}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        answered.add(call_id)
    if missing := asked - answered:
        raise _unanswered(missing, where)
    return {str(block.get("id")) for block in blocks if block["type"] == "tool_use"}


def _unanswered(ids: set[str], where: str) -> RefusalError:
    return _refusal(
        f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(sorted(ids))}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
        "message."
    )


def _check_tools(tools: object) -> None:
    if tools is None:
        return
    if not is_array(tools):
        raise _refusal("tools: Input should be a valid list")
    names: set[str] = set()
    for number, tool in enumerate(tools):
        if not is_object(tool):
            raise _refusal(f"tools.{number}: Input should be a valid dictionary or object")
        if tool.get("type", "custom") != "custom":  # the API's own tools: of these we know nothing
            continue
        name = _required(tool, "name", f"tools.{number}.custom.")
        schema = _required(tool, "input_schema", f"tools.{number}.custom.")
        if not isinstance(name, str) or not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name):
            raise _refusal(f"tools.{number}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if not is_object(schema) or schema.get("type") != "object":
            raise _refusal(f"tools.{number}.custom.input_schema.type: Input should be 'object'")
        if name in names:
            raise _refusal("tools: Tool names must be unique.")
        names.add(name)


def _check_tool_choice(body: dict[str, Any]) -> None:
    choice: object = body.get("tool_choice")
    if choice is None:
        return
    kind: object = choice.get("type") if is_object(choice) else None
    if not is_object(choice) or kind not in ("auto", "any", "tool", "none"):
        raise _refusal("tool_choice: Input tag should be one of the expected tags: 'auto', 'any', 'tool', 'none'")
    tools: list[dict[str, Any]] = body.get("tools") or []
    if not tools and kind != "none":
        raise _refusal("tool_choice: may only be specified while providing tools")
    if kind == "tool" and choice.get("name") not in [tool.get("name") for tool in tools]:
        raise _refusal(f"tool_choice.name: Tool '{choice.get('name')}' not found in provided tools")
    if kind in ("any", "tool") and member(body, "thinking").get("type") in ("enabled", "adaptive"):
        raise _refusal("Thinking may not be enabled when tool_choice forces tool use.")


def _check_stops(stops: object) -> None:
    if stops is None:
        return
    if not is_array(stops):
        raise _refusal("stop_sequences: Input should be a valid list")
    for number, stop in enumerate(stops):
        if not isinstance(stop, str):
            raise _refusal(f"stop_sequences.{number}: Input should be a valid string")
        if not stop.strip():
            raise _refusal("stop_sequences: each stop sequence must contain non-whitespace")


def _check_temperature(temperature: object) -> None:
    if temperature is None:
        return
    if not isinstance(temperature, int | float) or isinstance(temperature, bool):
        raise _refusal("temperature: Input should be a valid number")
    if not 0 <= temperature <= 1:
        raise _refusal("temperature: range: 0..1")


def _check_thinking(thinking: object, max_tokens: int) -> None:
    if thinking is None:
        return
    kinds = ("enabled", "disabled", "adaptive", "between_tools")
    if not is_object(thinking) or thinking.get("type") not in kinds:
        raise _refusal(f"thinking: Input tag should be one of the expected tags: {', '.join(map(repr, kinds))}")
    if thinking["type"] == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or isinstance(budget, bool):
            raise _refusal("thinking.enabled.budget_tokens: Field required")
        if budget < 1_024:
            raise _refusal("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= max_tokens:
            raise _refusal("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_prefill(body: dict[str, Any]) -> None:
    """From version 4.6 on, models don't take up the beginning of an answer."""
    last = body["messages"][-1]
    if last["role"] != "assistant":
        return
    blocks = _blocks(last["content"], "messages")
    if any(block["type"] in ("server_tool_use", "mcp_tool_use") for block in blocks):
        return  # a paused turn, sent back for the model to go on with it
    version = _VERSION.match(body["model"])
    if version is not None and (int(version[1]), int(version[2] or 0)) >= (4, 6):
        raise _refusal(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    if blocks and str(blocks[-1].get("text", "")).endswith((" ", "\n", "\t")):
        raise _refusal("messages: final assistant content cannot end with trailing whitespace")
