"""What an attempt came to: how its failure is told, and whether its answer is the output that was wanted.

Decisions from facts, without I/O: the actor does what they say.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import attrs

from .assembler import Assembler
from .message import ToolCallPart, mended, to_message_param, tool_result
from .output_reader import output_text
from .stream import (
    Attempt,
    ErrorInfo,
    InvalidOutput,
    OutputReading,
    RetryPolicy,
    StreamRequest,
    continues_thread,
    may_have_run,
)
from .wire import JsonObject

__all__ = ["Verdict", "asked_again", "judged", "told"]

_CUT = ("max_tokens", "model_context_window_exceeded")
_TOO_LARGE = re.compile(r"(?is)grammar|compilation|schemas?\b.*\b(?:too (?:complex|many|large)|exceeds)")
"""What the API says of a schema that it can't hold answers to; how large it is for that, only the API knows."""
_SMALLER = (
    "the schema of output= is too much for the API's format: give fewer fields a default or several types, shorten"
    ' enums, nest less, or split it over several requests; OutputSpec(..., via="tool") takes it whole'
)
_NOT_YET = ("tool_use", "pause_turn", "compaction")
"""The turn ends here, and the answer is still to come: in a turn that the caller makes."""


def told(
    info: ErrorInfo, *, request: StreamRequest, began: bool, before: Sequence[Attempt], retry: RetryPolicy
) -> ErrorInfo:
    """An attempt's failure as it is told, in the light of what else is known: whether another attempt may succeed, and
    why there is none. `began` says that the API had begun a message; `before` are the attempts before."""
    if info.type == "protocol_error" and any(
        attempt.error is not None and attempt.error.message == info.message for attempt in before
    ):
        info = attrs.evolve(info, retryable=False)  # the same failure at the same place will come again
    if info.status == 400 and request.output is not None and _TOO_LARGE.search(info.message):
        info = attrs.evolve(info, message=f"{info.message} ({_SMALLER})")
    if info.retryable and continues_thread(request.params, request.extra_body):
        # An error inside the stream came after its begin, whatever its status would have been.
        info = attrs.evolve(info, retryable=not (began or may_have_run(info)))
    if info.retryable and info.retry_after is not None and retry.asks_too_much(info.retry_after):
        info = attrs.evolve(info, message=f"{info.message} ({retry.refusal(info.retry_after)})")
    return info


class Verdict(NamedTuple):
    """What a whole answer is worth as an output: `output`, or what is wrong with it."""

    output: Any = None
    error: ErrorInfo | None = None


def judged(reading: OutputReading | None, assembler: Assembler, request_id: str | None) -> Verdict:
    """The output of a whole answer. None when none was asked for, or when the turn ended before the answer."""
    if reading is None:
        return Verdict()
    stop, parts = assembler.stop_reason, [part for _, part in assembler.parts()]
    found = [text for part in parts if (text := output_text(part, reading.tool)) is not None]
    if stop in _CUT:
        words = f"the output was cut: the answer ended with the stop reason {stop}"
        return Verdict(error=_wrong("output_truncated", words, request_id))
    if stop == "refusal":
        return Verdict(error=_wrong("output_refused", "the model refused to answer", request_id))
    if stop in _NOT_YET and not (reading.tool is not None and found):
        return Verdict()
    if not found:
        what = "text" if reading.tool is None else f"call of the tool {reading.tool!r}"
        return Verdict(error=_wrong("output_invalid", f"the answer has no {what}", request_id))
    try:
        return Verdict(reading.read(found[-1]))
    except InvalidOutput as exc:
        return Verdict(error=_wrong("output_invalid", str(exc), request_id))
    except Exception as exc:  # of the type's own code
        return Verdict(error=_wrong("output_invalid", f"{type(exc).__name__}: {exc}", request_id))


def _wrong(kind: str, words: str, request_id: str | None) -> ErrorInfo:
    return ErrorInfo(kind, mended(words), request_id=request_id)


def asked_again(params: Any, assembler: Assembler, words: str) -> JsonObject:
    """The parameters of the request that asks for an output once more, after an answer that did not fit: its turn, and
    what the validator said of it."""
    parts = [part for _, part in assembler.parts()]
    turn = to_message_param(parts, interrupted=False, keep_tools=True)
    content: list[Any] = []
    if turn is not None:
        kept = {block.get("id") for block in turn["content"]}
        calls = [part for part in parts if isinstance(part, ToolCallPart) and part.tool_call_id in kept]
        content = [tool_result(call, "This was not used.", is_error=True) for call in calls]
    content.append(
        {
            "type": "text",
            "text": mended(f"This does not fit what was asked for: {words}. Give all of it again, mended."),
        }
    )
    turns = [] if turn is None else [turn]
    return {**params, "messages": [*params["messages"], *turns, {"role": "user", "content": content}]}
