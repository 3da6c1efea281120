"""The models on offer at `/v1/models`. Messages may name any model that begins with `claude-`, listed here or not."""

from __future__ import annotations

from typing import Any

from .errors import RefusalError

__all__ = ["find_model", "model_page"]

# id, display name, line, created
_MODELS = (
    ("claude-opus-5-5", "Claude Opus 5.5", "opus", "2026-09-01T00:00:00Z"),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5", "sonnet", "2026-08-01T00:00:00Z"),
    ("claude-haiku-5-5", "Claude Haiku 5.5", "haiku", "2026-07-01T00:00:00Z"),
    ("claude-haiku-4-5", "Claude Haiku 4.5", "haiku", "2025-10-01T00:00:00Z"),
)


def model_page() -> dict[str, Any]:
    """Returns the list of all models, which is one page."""
    models = [_described(*model) for model in _MODELS]
    return {"data": models, "has_more": False, "first_id": models[0]["id"], "last_id": models[-1]["id"]}


def find_model(model_id: str) -> dict[str, Any]:
    """Returns one model; raises RefusalError (404) when it isn't listed."""
    for model in _MODELS:
        if model[0] == model_id:
            return _described(*model)
    raise RefusalError(404, f"model: {model_id}")


def _described(id: str, display_name: str, line: str, created_at: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": id,
        "display_name": display_name,
        "line": line,
        "created_at": created_at,
        "lifecycle": "active",
        "max_input_tokens": 1_000_000,
        "max_tokens": 128_000,
        "capabilities": None,
    }
