"""Which failures pass by themselves, and what a failure is called: one table for runs that end and runs that go on.

| the failure                                              | its name              | does it pass?                 |
|----------------------------------------------------------|-----------------------|-------------------------------|
| no connection, or lost before a response                 | `connection_error`    | yes, if a retry may mend it   |
| the bytes ended before the answer did                    | `truncated`           | yes (1)                       |
| a corrupt event                                          | `protocol_error`      | yes, if a retry may mend it   |
| status 408, 429, all from 500 on but 501                 | the API's type        | yes, but for spend limits     |
| the same type inside a stream                            | the API's type        | the same                      |
| a type that is not known, inside a stream                | the API's type        | yes, if it may be retried     |
| the deadlines `connect`, `silence`, `first_event`        | `deadline_connect`, … | yes (1)                       |
| the deadlines `first_content`, `idle`, `total`, `queued` | `deadline_idle`, …    | no: the answer is slow        |
| every other status from 400 on                           | the API's type        | no: it has to be mended       |
| the engine crashed                                       | `engine_error`        | yes: no matter of the request |
| not sendable; unexpected                                 | `request_error`, …    | no                            |
| a whole answer that is no output of its type             | `output_invalid`, …   | no                            |

(1) Not for a turn of a message thread that the API may have run: sent again, it is refused.

What passes is written as errored, and a run that goes on makes the request again.
"""

import re

from ...actors.stream import STATUS_OF_TYPE, ErrorInfo, refuses_account, refuses_profile
from .results import NO_OUTPUT_TYPES

__all__ = ["FAILURES", "failure_name", "line_passes", "passes"]

_PASSING_DEADLINES = frozenset({"connect", "silence", "first_event"})
_OTHER_DEADLINES = frozenset({"first_content", "idle", "total", "queued"})
_PASSING = frozenset({"connection_error", "protocol_error", "truncated"})  # of our own types, where a retry may mend it
_LASTING = frozenset({"internal_error", "request_error", "spend_cap_reached", *NO_OUTPUT_TYPES})
_CRASH = "engine_error"
_DEADLINE = re.compile(r"the deadline (\w+) of ")

FAILURES = frozenset(
    {
        *STATUS_OF_TYPE,
        *_PASSING,
        *_LASTING,
        _CRASH,
        *(f"deadline_{name}" for name in _PASSING_DEADLINES | _OTHER_DEADLINES),
    }
)
"""The names of all failures that are known."""


def failure_name(info: ErrorInfo) -> str:
    """The one name of a failure: its type, or `deadline_` and the name of the deadline that passed."""
    return info.type if info.deadline is None else f"deadline_{info.deadline}"


def passes(info: ErrorInfo) -> bool:
    """Whether the failure passes by itself, so that the same request, sent later, may well succeed."""
    kind, code, message = _text(info.type), _text(info.code), _text(info.message)
    if info.deadline is not None:
        return _text(info.deadline) in _PASSING_DEADLINES and info.retryable is True
    if refuses_account(code, message) or refuses_profile(code):
        return False
    if kind in _PASSING:
        return info.retryable is True
    if kind in _LASTING:
        return False
    if kind == _CRASH:
        return True
    status: object = info.status
    if not isinstance(status, int):
        return info.retryable is True
    return status in (408, 429) or (status >= 500 and status != 501)


def _text(value: object) -> str:
    """A server may say anything in the place of a name."""
    return value if isinstance(value, str) else ""


def line_passes(type: str | None, message: str | None) -> bool:
    """`passes` for an error of which only its line in the results is known: by the API's type, which stands for several
    of ours, and for a deadline by its name in the message."""
    message = message or ""
    if refuses_account(None, message):
        return False
    if type == "timeout_error" and (deadline := _DEADLINE.match(message)) is not None:
        return deadline[1] in _PASSING_DEADLINES
    return type in ("api_error", "overloaded_error", "rate_limit_error", "timeout_error")
