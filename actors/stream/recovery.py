"""Recovery: what a failed attempt leads to. Decisions made from facts, with no clock and no I/O.

Before any content, an attempt that failed may simply be made again. Once content has come, consumers have seen it, and
`Recovery` says what becomes of it. An answer of plain text can be continued the way the Messages API documents: the
same request again, with one more user turn that quotes the text so far. Tool calls and thinking can't be resumed in
part, so an answer that has any is never continued.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, cast, get_args

import attrs

from ..message import Part, TextPart, mended
from ..wire import JsonObject
from .failure import ErrorInfo

__all__ = [
    "NextStep",
    "Recovery",
    "check_recovery",
    "continuation",
    "continues_thread",
    "may_have_run",
    "next_step",
    "takes_continuation",
]

Recovery = Literal["fail", "restart", "continue"]

NextStep = Literal["end", "again", "continue"]
"""End the stream, make the attempt again from the beginning, or go on where the answer broke off."""


def check_recovery(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    """For attrs: raises `ValueError` for what is no `Recovery`."""
    if value not in get_args(Recovery):
        raise ValueError(f'{field.name} is one of "fail", "restart" and "continue", not {value!r}')


def next_step(
    recovery: Recovery, *, contents: int, parts: Sequence[Part], stop_reason: str | None, continuable: bool
) -> NextStep:
    """What may follow an attempt that failed; whether and when it does is for the `RetryPolicy`.

    `contents` counts the content events so far, `parts` is the answer so far, and `continuable` what
    `takes_continuation` said of the request.
    """
    if stop_reason is not None:
        return "end"  # the API has said its last word: it would only be bought again
    if contents == 0:
        return "again"
    match recovery:
        case "restart":
            return "again"
        case "continue" if continuable and all(_is_plain(part) for part in parts):
            # Without any text there is nothing to go on from, and nothing that anybody could have read twice.
            return "continue" if any(part.content for part in cast("Sequence[TextPart]", parts)) else "again"
        case _:
            return "end"


def _is_plain(part: Part) -> bool:
    return isinstance(part, TextPart) and not part.citations and not part.unknown_deltas


def continues_thread(params: Mapping[str, Any], extra_body: Mapping[str, Any]) -> bool:
    """Whether a request is a turn that goes on with a message thread. The API takes one turn after each answer: a turn
    that ran, sent again, is refused (`thread_already_continued`), and says nothing of the answer that is lost."""
    thread: object = {**params, **extra_body}.get("thread")
    return isinstance(thread, Mapping) and cast("Mapping[str, Any]", thread).get("type") == "continue"


def may_have_run(info: ErrorInfo) -> bool:
    """Whether the API may have begun to work on a request that failed so. It has not when it was refused for now, or
    could not be connected to in time. A lost connection proves nothing."""
    return info.status not in (429, 503, 529) and info.deadline != "connect"


def takes_continuation(params: Mapping[str, Any], extra_body: Mapping[str, Any]) -> bool:
    """Whether an interrupted answer to this request could be continued, if it is plain text.

    Not when the request ends with the beginning of the answer; when the answer is to fit a schema, as what would be
    sent next would be a whole new document; or when `extra_body` says what the messages are.
    """
    body = {**params, **extra_body}
    if "messages" in extra_body or body.get("output_format") is not None:
        return False
    config: object = body.get("output_config")
    if isinstance(config, Mapping) and cast("Mapping[str, Any]", config).get("format") is not None:
        return False
    *_, last = [None, *cast("Iterable[object]", params["messages"])]
    role: object = cast("Mapping[str, Any]", last).get("role") if isinstance(last, Mapping) else None
    return role == "user"


def continuation(params: Mapping[str, Any], text: str) -> JsonObject:
    """The parameters of the request that asks to go on after `text`, made of those of the original request."""
    # The API's documentation has this sentence.
    turn = f"Your previous response was interrupted and ended with [{mended(text)}]. Continue from where you left off."
    return {**params, "messages": [*params["messages"], {"role": "user", "content": turn}]}
