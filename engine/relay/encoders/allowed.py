"""What crosses to a browser, field by field: a list of what may, so that what is new stays here until it is listed.

`cited_text` is part of the answer. What an API error says may name the organisation, a limit or a key, so an error is
told as a fixed sentence by its type, and the types that concern the operator's account alike.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import attrs

from ....actors import ServerToolResultPart, StreamResult, Usage

__all__ = ["Problem", "citation", "problem_of", "result_content", "usage_of"]

_CITATION = (
    "type",
    "cited_text",
    "document_index",
    "document_title",
    "start_char_index",
    "end_char_index",
    "start_page_number",
    "end_page_number",
    "start_block_index",
    "end_block_index",
    "search_result_index",
    "source",
    "title",
    "url",
)

# What server tools answer, at any depth: pages found and fetched (not their content), what a program wrote, what a
# file edit did, what an MCP server said. Not the encrypted content, and not the files' ids.
_RESULT = frozenset(
    (
        "type",
        "content",
        "error_code",
        "is_error",
        "is_file_update",
        "num_lines",
        "page_age",
        "retrieved_at",
        "return_code",
        "start_line",
        "stderr",
        "stdout",
        "text",
        "title",
        "tool_name",
        "tool_references",
        "total_lines",
        "url",
    )
)
_DEEPEST = 20


@attrs.frozen
class Problem:
    """Why an answer is not whole, for a reader: nothing of the API's own words."""

    type: str
    message: str
    retryable: bool


_UNAVAILABLE = ("unavailable", "The answer could not be given.")
_BROKEN = "The answer broke off."
_LATE = "The answer took too long."
_OUTPUT = "The answer is not in the form that was asked for."
_PROBLEMS = {
    "overloaded_error": "The model is overloaded just now.",
    "rate_limit_error": "There are too many requests just now.",
    "timeout_error": _LATE,
    "deadline_exceeded": _LATE,
    "request_too_large": "The conversation is too long.",
    "invalid_request_error": "The request could not be answered.",
    "connection_error": "The model could not be reached.",
    "api_error": _UNAVAILABLE[1],
    "protocol_error": _BROKEN,
    "truncated": _BROKEN,
    "interrupted": _BROKEN,
    "output_truncated": _OUTPUT,
    "output_refused": _OUTPUT,
    "output_invalid": _OUTPUT,
}


def problem_of(result: StreamResult[Any]) -> Problem | None:
    """Why the answer is not whole; None when it is, or when it was cancelled."""
    if result.state in ("complete", "cancelled"):
        return None
    error = result.error
    kind = error.type if error is not None else result.state
    message = _PROBLEMS.get(kind)
    retryable = error is not None and error.retryable
    return Problem(*_UNAVAILABLE, retryable) if message is None else Problem(kind, message, retryable)


def citation(given: Mapping[str, Any]) -> dict[str, Any]:
    """What may be told of a citation."""
    return {name: value for name in _CITATION if isinstance(value := given.get(name), str | int | float)}


def result_content(part: ServerToolResultPart) -> Any:
    """What may be told of what a server tool answered."""
    return _filtered(part.content, _DEEPEST)


def _filtered(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        return {name: _filtered(inner, depth - 1) for name, inner in fields.items() if name in _RESULT} if depth else {}
    if isinstance(value, list | tuple):
        return [_filtered(inner, depth - 1) for inner in cast("Iterable[Any]", value)] if depth else []
    return value


def usage_of(usage: Usage) -> dict[str, int]:
    """What may be told of the usage. Input is all of it, cached or not."""
    return {"input_tokens": usage.total_input_tokens, "output_tokens": usage.output_tokens}
