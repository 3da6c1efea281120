"""The fields at the top of a request's body: which there are, and which of them are for betas.

Source: the parameters of version 2.14 of the official Python SDK, read on 2026-11-28.
"""

from __future__ import annotations

from typing import Any

from .dialect import Dialect
from .errors import RefusalError
from .shape import invalid

__all__ = ["check_fields"]

_FIELDS = {
    "cache_control", "container", "diagnostics", "inference_geo", "max_tokens", "messages", "metadata", "model",
    "output_config", "output_format", "service_tier", "speed", "stop_sequences", "stream", "system", "thinking",
    "tool_choice", "tools", "user_profile_id", "workspace_id",
}  # fmt: skip
_IN_BETA = {
    "billing_policy", "compaction", "context_management", "fallback_credit_token", "fallbacks", "mcp_servers", "thread",
}  # fmt: skip
_SAMPLING = {"temperature", "top_p", "top_k"}


def check_fields(body: dict[str, Any], dialect: Dialect) -> None:
    """Raises RefusalError for a field that isn't one, and for a message thread, which isn't served here."""
    known = {*_FIELDS, *(_IN_BETA if dialect.beta else ()), *(_SAMPLING if dialect.samples else ())}
    for name in body:
        if name not in known:
            raise invalid(f"{name}: Extra inputs are not permitted")
    if body.get("thread") is not None:
        raise RefusalError(
            400,
            "thread: message threads are not supported for this organization. Send the full conversation without it.",
            error_code="thread_unsupported_request",
        )
