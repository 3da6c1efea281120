"""Which tools an answer calls, and what the API's own tools return.

A tool is called when the request forces it or its last turn speaks of it. The API's own (web search, web fetch, code
execution, MCP servers) are also called by chance: what comes of it is decided by the seed and the request.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from random import Random
from typing import Any

from .blocks import Block, ServerToolResult, ServerToolUse, ToolUseBlock
from .client_tools import arguments_for, is_for_clients
from .ids import identifier
from .jsondata import is_array, is_object, member
from .prose import json_pieces, random_prose

__all__ = ["call_tools", "kind_of_choice", "use_server_tools"]

_BY_CHANCE = 1 / 3
_SEARCH_RESULTS = 3


def kind_of_choice(body: dict[str, Any]) -> str:
    """Returns the type of the request's `tool_choice`."""
    return member(body, "tool_choice").get("type", "auto")


def call_tools(body: dict[str, Any], random: Random, ids: Random) -> list[Block]:
    """Returns the calls of client tools."""
    tools: list[dict[str, Any]] = [tool for tool in _offered(body) if is_for_clients(tool)]
    choice = member(body, "tool_choice")
    suggested = [tool for tool in tools if _suggests(body["messages"][-1], tool["name"])]
    match kind_of_choice(body):
        case "none":
            return []
        case "tool":
            chosen = [tool for tool in tools if tool["name"] == choice.get("name")]
        case "any":
            chosen = suggested or ([random.choice(tools)] if tools else [])
        case _:
            chosen = suggested
    if choice.get("disable_parallel_tool_use"):
        chosen = chosen[:1]
    return [
        ToolUseBlock(identifier("toolu", ids), tool["name"], json_pieces(arguments_for(tool, random)))
        for tool in chosen
    ]


def use_server_tools(body: dict[str, Any], random: Random, ids: Random) -> list[Block]:
    """Returns the calls of the API's own tools, each followed by its result."""
    blocks: list[Block] = []
    for tool in _offered(body):
        if _is_called(body, tool, random):
            match str(tool["type"]).rpartition("_"):
                case ("web_search", _, _):
                    blocks += _web_search(random, ids)
                case ("web_fetch", _, _):
                    blocks += _web_fetch(tool, random, ids)
                case ("code_execution", _, "20250522"):
                    blocks += _code_execution("code_execution", {"code": "print(6 * 7)"}, random, ids)
                case _:  # newer versions run a shell
                    blocks += _code_execution("bash_code_execution", {"command": "expr 6 '*' 7"}, random, ids)
    for server in _objects(body.get("mcp_servers")):
        if _is_called(body, server, random):
            blocks += _ask_server(str(server.get("name")), random, ids)
    return blocks


def _offered(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The tools that may be called: the client's, and those of the API that are known here."""
    for tool in _objects(body.get("tools")):
        kind = str(tool.get("type", "custom"))
        if is_for_clients(tool) or kind.rpartition("_")[0] in ("web_search", "web_fetch", "code_execution"):
            yield tool


def _objects(values: object) -> list[dict[str, Any]]:
    return [value for value in values if is_object(value)] if is_array(values) else []


def _is_called(body: dict[str, Any], tool: dict[str, Any], random: Random) -> bool:
    name = str(tool.get("name"))
    if is_for_clients(tool):
        return False
    by_chance = random.random() < _BY_CHANCE
    match kind_of_choice(body):
        case "none":
            return False
        case "tool":
            return name == member(body, "tool_choice").get("name")
        case "any" if not any(map(is_for_clients, _offered(body))):
            return True
        case _:
            return by_chance or _suggests(body["messages"][-1], name)


def _suggests(message: dict[str, Any], tool_name: str) -> bool:
    """Whether a user's turn speaks of the tool: by a longer word of its name. Results of tools want no new call."""
    content: Any = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if any(block.get("type") == "tool_result" for block in blocks):
        return False
    said = " ".join(str(block.get("text", "")) for block in blocks).lower()
    words = tool_name.lower().replace("-", "_").split("_")
    return any(word in said for word in (tool_name.lower(), *(word for word in words if len(word) > 3)))


def _web_search(random: Random, ids: Random) -> Iterator[Block]:
    call = identifier("srvtoolu", ids)
    query = _phrase(random, 6)
    yield ServerToolUse(call, "web_search", json_pieces({"query": query}))
    results = [
        {
            "type": "web_search_result",
            "title": _phrase(random, 5),
            "url": f"https://example.com/{random.getrandbits(32):08x}",
            "encrypted_content": base64.b64encode(random.randbytes(random.randint(60, 300))).decode(),
            "page_age": random.choice((None, "3 days ago", "March 14, 2026")),
        }
        for _ in range(_SEARCH_RESULTS)
    ]
    yield ServerToolResult("web_search_tool_result", call, results)


def _web_fetch(tool: dict[str, Any], random: Random, ids: Random) -> Iterator[Block]:
    call = identifier("srvtoolu", ids)
    url = f"https://example.com/{random.getrandbits(32):08x}"
    yield ServerToolUse(call, "web_fetch", json_pieces({"url": url}))
    document = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "".join(random_prose(random, 120))},
        "title": _phrase(random, 5),
        "citations": {"enabled": bool(member(tool, "citations").get("enabled"))},
    }
    page = {"type": "web_fetch_result", "url": url, "retrieved_at": "2026-03-14T15:09:26Z", "content": document}
    yield ServerToolResult("web_fetch_tool_result", call, page)


def _code_execution(name: str, arguments: dict[str, Any], random: Random, ids: Random) -> Iterator[Block]:
    call = identifier("srvtoolu", ids)
    yield ServerToolUse(call, name, json_pieces(arguments))
    failed = random.random() < 0.1
    outcome: dict[str, Any] = {
        "type": f"{name}_result",
        "stdout": "" if failed else "42\n",
        "stderr": "command not found\n" if failed else "",
        "return_code": 127 if failed else 0,
        "content": [],
    }
    yield ServerToolResult(f"{name}_tool_result", call, outcome)


def _ask_server(server_name: str, random: Random, ids: Random) -> Iterator[Block]:
    call = identifier("mcptoolu", ids)
    yield ServerToolUse(call, "look_up", json_pieces({"question": _phrase(random, 8)}), server_name)
    found = [{"type": "text", "text": "".join(random_prose(random, 60))}]
    yield ServerToolResult("mcp_tool_result", call, found)


def _phrase(random: Random, tokens: int) -> str:
    return "".join(random_prose(random, tokens)).strip(" .,")
