"""The models on offer at `/v1/models`, and what each takes. Messages may name any model that begins with `claude-`.

Source: the platform's pages on models, thinking and migration, and version 2.14 of the official Python SDK, read on
2026-11-28. What is not documented is taken to be allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import attrs

from .errors import RefusalError
from .paging import page_of
from .shape import invalid

__all__ = ["Model", "Thinking", "find_model", "model_named", "model_page"]

Thinking: TypeAlias = Literal["adaptive", "between_tools", "disabled", "enabled"]

_LIFECYCLES = ("active", "deprecated", "retired")
_READ = "2026-11-28T00:00:00Z"
_UNKNOWN = "1970-01-01T00:00:00Z"  # what the API says when a date of release isn't known
_DATED = re.compile(r"-\d{8}$")


@attrs.frozen
class Model:
    """A model as its requests meet it.

    `refuses` are the kinds of thinking it doesn't take. `samples` says whether it takes sampling parameters other than
    the usual ones, `forced_tools` whether a request may force a tool, `prefill` whether it takes up an answer begun.
    One that has a date of retirement is deprecated.
    """

    id: str
    created_at: str = _UNKNOWN
    max_tokens: int = 128_000
    max_input_tokens: int = 1_000_000
    refuses: tuple[Thinking, ...] = ()
    samples: bool = False
    forced_tools: bool = True
    prefill: bool = False
    retires_at: str | None = None

    @property
    def alias(self) -> str:
        """Its id without a date."""
        return _DATED.sub("", self.id)

    @property
    def line(self) -> str:
        """The line it belongs to, such as `opus`."""
        return self.id.split("-")[1]

    @property
    def display_name(self) -> str:
        """Its name as people write it."""
        _, line, *version = self.alias.split("-")
        return f"Claude {line.capitalize()} {'.'.join(version)}" if version[0].isdigit() else "Claude Mythos Preview"


# Newest first, as the API lists them.
_MODELS = (
    Model("claude-fable-5-2", refuses=("disabled", "enabled")),
    Model("claude-mythos-5-2", refuses=("enabled",)),
    Model("claude-haiku-5-5", refuses=("enabled",)),
    Model(
        "claude-sonnet-5-5", "2026-09-28T00:00:00Z", refuses=("disabled", "enabled"), forced_tools=False
    ),
    Model("claude-opus-5-5", "2026-09-22T00:00:00Z", refuses=("disabled", "enabled"), forced_tools=False),
    Model("claude-fable-5-1", refuses=("disabled", "enabled"), forced_tools=False),
    Model("claude-mythos-5-1", refuses=("enabled",)),
    Model("claude-opus-5", "2026-07-24T00:00:00Z"),
    Model("claude-sonnet-5", refuses=("enabled",)),
    Model("claude-fable-5", refuses=("disabled", "enabled")),
    Model("claude-mythos-5", refuses=("enabled",)),
    Model("claude-opus-4-8", refuses=("enabled",)),
    Model("claude-opus-4-7", refuses=("enabled",)),
    Model("claude-mythos-preview", samples=True, retires_at="2026-06-30T00:00:00Z"),
    Model("claude-sonnet-4-6", samples=True),
    Model("claude-opus-4-6", samples=True),
    Model(
        "claude-opus-4-5-20251101", "2025-11-24T00:00:00Z", 64_000, 200_000,
        refuses=("adaptive",), samples=True, prefill=True, retires_at="2027-01-22T00:00:00Z",
    ),
    Model(
        "claude-haiku-4-5-20251001", "2025-10-15T00:00:00Z", 64_000, 200_000,
        refuses=("adaptive",), samples=True, prefill=True,
    ),
    Model(
        "claude-sonnet-4-5-20250929", "2025-09-29T00:00:00Z", 64_000, 1_000_000,
        refuses=("adaptive",), samples=True, prefill=True, retires_at="2026-11-30T00:00:00Z",
    ),
)  # fmt: skip
_NAMED = {name: model for model in _MODELS for name in (model.id, model.alias)}


def model_named(name: str) -> Model | None:
    """Returns the model of this id or alias; None when it isn't listed, and nothing is known of it."""
    return _NAMED.get(name)


def model_page(query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Returns a page of the models; raises RefusalError (400) for a query that makes no sense."""
    wanted = [*query.get("lifecycle[]", ()), *query.get("lifecycle", ())]
    for lifecycle in wanted:
        if lifecycle not in _LIFECYCLES:
            raise invalid(f"lifecycle: Input should be {', '.join(map(repr, _LIFECYCLES))}")
    described = [_described(model) for model in _MODELS]
    return page_of([model for model in described if not wanted or model["lifecycle"] in wanted], query)


def find_model(name: str) -> dict[str, Any]:
    """Returns the model of this id or alias; raises RefusalError (404) when it isn't listed."""
    if (model := model_named(name)) is None:
        raise RefusalError(404, f"model: {name}")
    return _described(model)


def _described(model: Model) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "line": model.line,
        "created_at": model.created_at,
        "lifecycle": _lifecycle(model),
        "deprecated_at": None,
        "retires_at": model.retires_at,
        "max_input_tokens": model.max_input_tokens,
        "max_tokens": model.max_tokens,
        "capabilities": _capabilities(model),
    }


def _lifecycle(model: Model) -> str:
    if model.retires_at is None:
        return "active"
    return "deprecated" if model.retires_at > _READ else "retired"


def _capabilities(model: Model) -> dict[str, Any]:
    yes = {"supported": True}
    return {
        "batch": yes,
        "citations": yes,
        "code_execution": yes,
        "context_management": {
            "supported": True,
            "clear_thinking_20251015": yes,
            "clear_tool_uses_20250919": yes,
            "compact_20260112": yes,
        },
        "effort": {"supported": True, **dict.fromkeys(("low", "medium", "high", "xhigh", "max"), yes)},
        "image_input": yes,
        "pdf_input": yes,
        "server_tools": {"supported": True, "code_execution": yes, "web_search": yes},
        "structured_outputs": yes,
        "thinking": {
            "supported": True,
            "types": {kind: {"supported": kind not in model.refuses} for kind in get_args(Thinking)},
        },
    }
