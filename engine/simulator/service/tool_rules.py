"""Which tools a request may offer, and which of them it may choose."""

from __future__ import annotations

import re
from typing import Any

from ..answers import is_array, is_for_clients, is_object
from .output_rules import check_schema
from .shape import invalid, required

__all__ = ["check_tool_choice", "check_tools"]


def check_tools(tools: object) -> None:
    """Raises RefusalError for tools that are no tools, or whose names aren't unique."""
    if tools is None:
        return
    if not is_array(tools):
        raise invalid("tools: Input should be a valid list")
    names: set[str] = set()
    for number, tool in enumerate(tools):
        if not is_object(tool):
            raise invalid(f"tools.{number}: Input should be a valid dictionary or object")
        kind = tool.get("type") or "custom"
        if kind != "custom":  # the API's own tools: we know only that those for clients have names
            if is_for_clients(tool) and not isinstance(required(tool, "name", f"tools.{number}.{kind}."), str):
                raise invalid(f"tools.{number}.{kind}.name: Input should be a valid string")
            continue
        name = required(tool, "name", f"tools.{number}.custom.")
        schema = required(tool, "input_schema", f"tools.{number}.custom.")
        if not isinstance(name, str) or not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name):
            raise invalid(f"tools.{number}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if not is_object(schema) or schema.get("type") != "object":
            raise invalid(f"tools.{number}.custom.input_schema.type: Input should be 'object'")
        if tool.get("strict") is True:
            check_schema(schema, f"tools.{number}.custom")
        if name in names:
            raise invalid("tools: Tool names must be unique.")
        names.add(name)


def check_tool_choice(body: dict[str, Any]) -> None:
    """Raises RefusalError for a choice that is none, or that the tools don't offer."""
    choice: object = body.get("tool_choice")
    if choice is None:
        return
    kind: object = choice.get("type") if is_object(choice) else None
    if not is_object(choice) or kind not in ("auto", "any", "tool", "none"):
        raise invalid("tool_choice: Input tag should be one of the expected tags: 'auto', 'any', 'tool', 'none'")
    tools: list[dict[str, Any]] = body.get("tools") or []
    if not tools and kind != "none":
        raise invalid("tool_choice: may only be specified while providing tools")
    if kind == "tool" and choice.get("name") not in [tool.get("name") for tool in tools]:
        raise invalid(f"tool_choice.name: Tool '{choice.get('name')}' not found in provided tools")
