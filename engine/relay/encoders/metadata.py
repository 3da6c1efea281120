"""What is told of an ending and of usage beside the content, in the names that JavaScript's protocols use."""

from typing import Any

from ....actors import StreamResult, Usage
from .allowed import problem_of, usage_of
from .frames import present
from .shown import Shown

__all__ = ["ending_metadata", "usage_metadata"]


def usage_metadata(usage: Usage) -> dict[str, int]:
    """The tokens so far: all input, cached or not, and output."""
    told = usage_of(usage)
    return {"inputTokens": told["input_tokens"], "outputTokens": told["output_tokens"]}


def ending_metadata(result: StreamResult[Any], shown: Shown) -> dict[str, Any]:
    """How the answer ended. `state` is one of `complete`, `truncated`, `cancelled` and `failed`: some readers hide what
    the protocol itself says of it."""
    problem = problem_of(result)
    return present(
        state=result.state,
        stopReason=result.stop_reason,
        usage=usage_metadata(result.usage) if shown.usage else None,
        requestId=result.request_id if shown.request_ids else None,
        error=problem and present(type=problem.type, message=problem.message, retryable=problem.retryable),
    )
