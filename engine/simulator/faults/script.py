"""The script: what the next requests are to be answered with, misbehaviour included.

A script is a queue of steps. Every request to `/v1/messages` that would have been answered takes one; when none is
left, generated answers resume. A step is one of

- an `int`, 400 to 599: the API's error with that status, short for `Fail(status)`;
- a `str`: an answer of exactly that text;
- `ToolUse`, `Structured`, `Thinking`: an answer that is this call, this JSON or this thought;
- a list of such parts: an answer of all of them, a content block each;
- `bytes`: the body of an event stream, replayed byte for byte;
- `Fail`: an error response in every detail;
- `Cut`: an answer that ends before its time;
- `Stall`: an answer that falls silent, for a time or for good;
- `Slow`: an answer whose bytes come in a trickle.

`Cut` and `Stall` say where: `after="nothing"` (not a byte was sent), `after="head"` (status and headers were),
`after=n`, with n content deltas sent, or `after=Bytes(n)`, with n bytes of the body sent, in the middle of an event or
of a character if so. An answer with fewer breaks off just before `message_stop`. What is an event itself (an error,
broken ones, pings) doesn't come inside another one, but before the one in which the n bytes end. Of an answer that
isn't streamed, everything but `"nothing"` and `Bytes(n)` means half of the body.
"""

from __future__ import annotations

import math
import re
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, cast

import attrs

from ..answers import Part, Said, Structured, Thinking, ToolUse
from ..service import ERROR_CODES, ErrorCode, error_body, error_type

__all__ = ["Bytes", "Cut", "CutHow", "Fail", "Fault", "Point", "Script", "ScriptStep", "Slow", "Stall"]

CutHow: TypeAlias = Literal["end", "close", "reset", "garbage", "bad-utf8", "bad-chunk", "html"]

_CUT_HOW: tuple[CutHow, ...] = ("end", "close", "reset", "garbage", "bad-utf8", "bad-chunk", "html")
_IMPOSSIBLE_AT_FIRST = ("end", "garbage", "bad-utf8", "bad-chunk")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PRINTABLE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def _check_status(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not _is_count(value) or not 400 <= value <= 599:
        raise ValueError(f"{attribute.name} must lie between 400 and 599, not {value!r}")


def _check_count(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not _is_count(value):
        raise ValueError(f"{attribute.name} must be a whole number, 0 or more, not {value!r}")


def _check_point(_: object, attribute: attrs.Attribute[Point], value: Point) -> None:
    if value not in ("nothing", "head") and not isinstance(value, Bytes) and not _is_count(value):
        raise ValueError(f'{attribute.name} must be "nothing", "head", a number of deltas or Bytes(n), not {value!r}')


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_headers(_: object, attribute: attrs.Attribute[Mapping[str, str]], value: Mapping[str, str]) -> None:
    if not isinstance(cast(object, value), Mapping):
        raise ValueError(f"{attribute.name} must map names to values, not {value!r}")
    for name, text in cast("Mapping[object, object]", value).items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ValueError(f"{attribute.name}: {name!r} is not the name of a header")
        if name.lower() in ("content-length", "transfer-encoding"):
            raise ValueError(f"{attribute.name}: {name} is for the server to set")
        if not isinstance(text, str) or not _PRINTABLE.fullmatch(text) or text != text.strip(" \t"):
            raise ValueError(
                f"{attribute.name}: the value of {name} must be text of latin-1 characters on one line, without "
                "spaces around it"
            )


def _check_positive(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not isinstance(cast(object, value), int | float) or not 0 < value < math.inf:
        raise ValueError(f"{attribute.name} must be a number above 0, not {value!r}")


def _check_text(_: object, attribute: attrs.Attribute[Any], value: str) -> None:
    if not isinstance(cast(object, value), str):
        raise ValueError(f"{attribute.name} must be a text, not {value!r}")


def _check_code(failure: Fail, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is None:
        if failure.status == _UNKNOWN:
            raise ValueError("status must be given, or a code that has one")
        return
    _check_text(failure, attribute, value)
    if failure.status == _UNKNOWN:
        near = get_close_matches(value, ERROR_CODES, n=1)
        hint = f"did you mean {near[0]}? With" if near else "with"
        raise ValueError(f"{attribute.name} {value!r} is none of the API's; {hint} a status, any code will do")


def _check_details(_: object, attribute: attrs.Attribute[Any], value: Mapping[str, Any]) -> None:
    if not isinstance(cast(object, value), Mapping):
        raise ValueError(f"{attribute.name} must map names to values, not {value!r}")


# Defaults are made before anything is checked.
_UNKNOWN = 0


def _usual(failure: Fail) -> ErrorCode | None:
    return ERROR_CODES.get(failure.code) if isinstance(failure.code, str) else None


def _usual_status(failure: Fail) -> int:
    return _UNKNOWN if (usual := _usual(failure)) is None else usual.status


def _usual_type(failure: Fail) -> str:
    return error_type(failure.status)[0] if _is_count(failure.status) else ""


def _usual_message(failure: Fail) -> str:
    if (usual := _usual(failure)) is not None:
        return usual.message
    return error_type(failure.status)[1] if _is_count(failure.status) else ""


def _usual_headers(failure: Fail) -> Mapping[str, str]:
    usual = _usual(failure)
    return {} if usual is None or usual.retry_after is None else {"retry-after": str(usual.retry_after)}


@attrs.frozen
class Bytes:
    """A place in a body: after so many bytes of it, not counting the chunked encoding's own."""

    count: int = attrs.field(validator=_check_count)


Point: TypeAlias = int | Literal["nothing", "head"] | Bytes


@attrs.frozen
class Fail:
    """An error: as a response with its status, or, as the end of a `Cut`, as an event inside the stream.

    `code` is the API's own for the kind of error (`error.details.error_code`), such as `"organization_on_hold"`; it
    stands for its status, too. `details` are further ones that go with it. `type` and `message` are the API's for the
    status or the code unless given; `headers` are added to those every response has: unless given, a `retry-after`
    where the code always has one.
    """

    code: str | None = attrs.field(default=None, kw_only=True, validator=_check_code)
    status: int = attrs.field(default=attrs.Factory(_usual_status, takes_self=True), validator=_check_status)
    type: str = attrs.field(default=attrs.Factory(_usual_type, takes_self=True), kw_only=True, validator=_check_text)
    message: str = attrs.field(
        default=attrs.Factory(_usual_message, takes_self=True), kw_only=True, validator=_check_text
    )
    headers: Mapping[str, str] = attrs.field(
        default=attrs.Factory(_usual_headers, takes_self=True), kw_only=True, validator=_check_headers
    )
    details: Mapping[str, Any] = attrs.field(factory=dict[str, Any], kw_only=True, validator=_check_details)

    def body(self, request_id: str) -> dict[str, Any]:
        """Returns the error as JSON data, as it stands in a response or in an event."""
        return error_body(self.type, self.message, request_id, self.code, self.details)


@attrs.frozen
class Cut:
    """An answer that ends before its time.

    `how` it ends:

    - `"end"`: the body ends in good order, but without `message_stop`;
    - `"close"`: the connection is closed, the body being incomplete by HTTP's rules;
    - `"reset"`: the connection is reset; the client has received at most what came before;
    - `"garbage"`: an event whose JSON breaks off, then the body ends in good order;
    - `"bad-utf8"`: an event whose text isn't UTF-8, then the body ends in good order;
    - `"bad-chunk"`: what should be the next chunk's size isn't one, then the connection is closed;
    - `"html"`: the HTML page of a proxy, then the body ends in good order. `after="nothing"` makes it all of a
      response that says 200 and `text/html`;
    - a `Fail`: an `error` event, then the body ends in good order. `after="nothing"` makes it a plain error response.

    `text` is the answer to cut; without it, one is generated.
    """

    after: Point = attrs.field(validator=_check_point)
    how: CutHow | Fail
    text: str | None = attrs.field(
        default=None, kw_only=True, repr=False, validator=attrs.validators.optional(_check_text)
    )

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.how, Fail) and self.how not in _CUT_HOW:
            raise ValueError(f"how must be a Fail or one of {', '.join(_CUT_HOW)}, not {self.how!r}")
        if self.after == "nothing" and self.how in _IMPOSSIBLE_AT_FIRST:
            raise ValueError(f'how cannot be "{self.how}" before the response has begun')


@attrs.frozen
class Stall:
    """An answer that falls silent, its connection open: until the client goes, or for so many `seconds`.

    After `seconds` it goes on as if nothing had been, so that `Stall(after="nothing", seconds=5)` is a head that comes
    late. `pings` is the number of seconds between pings meanwhile, None for none at all. `text` is the answer that
    stalls; without it, one is generated.
    """

    after: Point = attrs.field(validator=_check_point)
    seconds: float | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_check_positive)
    )
    pings: float | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(_check_positive))
    text: str | None = attrs.field(
        default=None, kw_only=True, repr=False, validator=attrs.validators.optional(_check_text)
    )

    def __attrs_post_init__(self) -> None:
        if self.pings is not None and self.after == "nothing":
            raise ValueError("pings need a response that has begun")


@attrs.frozen
class Slow:
    """An answer that comes in a trickle of `bytes_per_second`, whatever the model's pace.

    Each byte is a write of its own, up to a hundred writes a second; faster than that, the writes are larger. `text`
    is the answer; without it, one is generated.
    """

    bytes_per_second: float = attrs.field(validator=_check_positive)
    text: str | None = attrs.field(
        default=None, kw_only=True, repr=False, validator=attrs.validators.optional(_check_text)
    )


Fault: TypeAlias = Cut | Stall | Slow
ScriptStep: TypeAlias = int | str | bytes | Fail | Fault | ToolUse | Structured | Thinking | Sequence[Part]
# A status having become the Fail it is short for, and parts an answer.
QueuedStep: TypeAlias = str | bytes | Fail | Fault | Said


class Script:
    """The queue of steps. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._steps: deque[QueuedStep] = deque()
        self._lock = threading.Lock()

    def extend(self, steps: Iterable[ScriptStep | Said]) -> None:
        """Puts steps at the end of the queue, all of them or none.

        Raises TypeError for what isn't a step, ValueError for a status that is no error.
        """
        checked = check_steps(steps)
        with self._lock:
            self._steps.extend(checked)

    def take(self) -> QueuedStep | None:
        """Returns the next step, or None when there is none left."""
        with self._lock:
            return self._steps.popleft() if self._steps else None


def check_steps(steps: Iterable[ScriptStep | Said]) -> tuple[QueuedStep, ...]:
    """Returns the steps of a script, each status as the error it is short for; raises what `Script.extend` does."""
    # A string is iterable too, and would become one answer for each of its characters.
    if isinstance(cast(object, steps), str | bytes):
        raise TypeError("a script is a list of steps: [...]")
    return tuple(map(_check_step, steps))


def _check_step(step: ScriptStep | Said) -> QueuedStep:
    match step:
        case bool():
            pass
        case int():
            return Fail(step)
        case str() | bytes() | Fail() | Cut() | Stall() | Slow() | Said():
            return step
        case ToolUse() | Structured() | Thinking():
            return Said((step,))
        case list() | tuple():
            return Said(tuple(map(_check_part, cast("Sequence[object]", step))))
        case _:
            pass
    raise TypeError(f"a {type(step).__name__} is not a step of a script")


def _check_part(part: object) -> Part:
    if not isinstance(part, Part):
        raise TypeError(f"a {type(part).__name__} is not a part of an answer")
    return part
