"""What a model refuses although the API has it: sampling, kinds of thinking, forced tools, an answer begun, its length.

A model that isn't listed refuses nothing for what it is.
"""

from __future__ import annotations

import re
from typing import Any, get_args

from ..answers import member
from .dialect import Dialect
from .models import Model, Thinking, model_named
from .shape import integer, invalid, one_of

__all__ = ["check_length", "check_model"]

_KINDS: tuple[Thinking, ...] = get_args(Thinking)
_DISPLAYS = ("summarized", "omitted", None)
_VERSION = re.compile(r"claude-[a-z]+-(\d{1,9})(?:-(\d{1,2}))?(?!\d)")
_LEAST_BUDGET = 1_024
_LONGEST = 300_000


def check_model(body: dict[str, Any], dialect: Dialect) -> None:
    """Raises RefusalError when the model of a request, valid otherwise, doesn't take it."""
    model = model_named(body["model"])
    thinking = _check_thinking(body, model)
    if dialect.samples:
        _check_sampling(body, model, thinking)
    _check_forced_tools(body, model, thinking)
    _check_prefill(body, model)


def check_length(body: dict[str, Any], dialect: Dialect) -> None:
    """Raises RefusalError for a `max_tokens` that is none, is too much for the model or too little for its thinking."""
    max_tokens = integer(body, "max_tokens")
    if max_tokens < 0:
        raise invalid("max_tokens: Input should be greater than or equal to 0")
    model = model_named(body["model"])
    most = _LONGEST if dialect.long or model is None else model.max_tokens
    if model is not None and max_tokens > most:
        raise invalid(
            f"max_tokens: {max_tokens} > {most}, which is the maximum allowed number of output tokens for "
            f"{body['model']}"
        )
    budget = member(body, "thinking").get("budget_tokens")
    if isinstance(budget, int) and member(body, "thinking").get("type") == "enabled" and budget >= max_tokens:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_thinking(body: dict[str, Any], model: Model | None) -> str | None:
    """Returns the kind of thinking that is asked for, None when none is."""
    thinking: object = body.get("thinking")
    if thinking is None:
        return None
    config = member(body, "thinking")
    kind = config.get("type")
    if kind not in _KINDS:
        raise invalid(f"thinking: Input tag should be one of the expected tags: {', '.join(map(repr, _KINDS))}")
    if config.get("display") not in _DISPLAYS:
        raise invalid(f"thinking.{kind}.display: Input should be 'summarized' or 'omitted'")
    if model is not None and kind in model.refuses:
        if kind == "adaptive":
            raise invalid("adaptive thinking is not supported on this model")
        if kind == "disabled" and "between_tools" not in model.refuses and model.line == "sonnet":
            raise invalid(
                '"thinking.type.disabled" is not supported for this model. To turn thinking off on this model, send '
                '"thinking": {"type": "between_tools"}.'
            )
        raise invalid(
            f'"thinking.type.{kind}" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if kind == "enabled":
        budget = config.get("budget_tokens")
        if not isinstance(budget, int) or isinstance(budget, bool):
            raise invalid("thinking.enabled.budget_tokens: Field required")
        if budget < _LEAST_BUDGET:
            raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    return kind


def _check_sampling(body: dict[str, Any], model: Model | None, thinking: str | None) -> None:
    temperature = _number(body, "temperature")
    top_p = _number(body, "top_p")
    top_k = None if body.get("top_k") is None else integer(body, "top_k")
    if top_k is not None and top_k < 0:
        raise invalid("top_k: Input should be greater than or equal to 0")
    if model is not None and not model.samples:
        unusual = (("temperature", temperature not in (None, 1)), ("top_p", top_p not in (None, 1)), ("top_k", top_k))
        for name, given in unusual:
            if given:
                raise invalid(f"`{name}` is deprecated for this model.")
    if thinking in ("enabled", "adaptive") and temperature not in (None, 1):
        raise invalid("`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.")


def _number(body: dict[str, Any], name: str) -> float | None:
    value: object = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise invalid(f"{name}: Input should be a valid number")
    if not 0 <= value <= 1:
        raise invalid(f"{name}: range: 0..1")
    return value


def _check_forced_tools(body: dict[str, Any], model: Model | None, thinking: str | None) -> None:
    if member(body, "tool_choice").get("type") not in ("any", "tool"):
        return
    if thinking in ("enabled", "adaptive"):
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    if model is not None and not model.forced_tools and thinking != "between_tools":
        raise invalid(f"tool_choice: forced tool use is not supported for this model. Use {one_of(('auto', 'none'))}.")


def _check_prefill(body: dict[str, Any], model: Model | None) -> None:
    """From version 4.6 on, models don't take up the beginning of an answer."""
    last = body["messages"][-1]
    if last["role"] != "assistant":
        return
    content: Any = last["content"]
    blocks: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if any(block["type"] in ("server_tool_use", "mcp_tool_use") for block in blocks):
        return  # a paused turn, sent back for the model to go on with it
    version = _VERSION.match(body["model"])
    later = version is not None and (int(version[1]), int(version[2] or 0)) >= (4, 6)
    if later if model is None else not model.prefill:
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    if blocks and str(blocks[-1].get("text", "")).endswith((" ", "\n", "\t")):
        raise invalid("messages: final assistant content cannot end with trailing whitespace")
