"""Calls of the tools that the API defines and clients run: bash, text editor, memory, computer.

What they are called with does no harm where a client really runs it: it looks, and at most writes a note to memory.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any

from .schema import instance_of

__all__ = ["arguments_for", "is_for_clients"]

_DATED = re.compile(r"(bash|text_editor|memory|computer)_\d{8}")
_ARGUMENTS: dict[str, tuple[dict[str, Any], ...]] = {
    "bash": ({"command": "ls"}, {"command": "pwd"}, {"command": "echo hello"}, {"command": "date"}),
    "text_editor": (
        {"command": "view", "path": "README.md"},
        {"command": "view", "path": "."},
        {"command": "view", "path": "README.md", "view_range": [1, 10]},
    ),
    "memory": (
        {"command": "view", "path": "/memories"},
        {"command": "create", "path": "/memories/notes.md", "file_text": "The river was high in March.\n"},
    ),
    "computer": ({"action": "screenshot"}, {"action": "left_click", "coordinate": [120, 80]}),
}


def is_for_clients(tool: dict[str, Any]) -> bool:
    """Whether a client runs this tool: one of its own, or one that the API defines for clients to run."""
    kind = str(tool.get("type") or "custom")
    return kind == "custom" or _DATED.fullmatch(kind) is not None


def arguments_for(tool: dict[str, Any], random: Random) -> Any:
    """Returns what such a tool is called with."""
    if (dated := _DATED.fullmatch(str(tool.get("type")))) is not None:
        return random.choice(_ARGUMENTS[dated[1]])
    return instance_of(tool["input_schema"], random)
