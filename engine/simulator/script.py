"""The script: what the next requests are to be answered with, misbehaviour included.

A script is a queue of steps. Every request to `/v1/messages` that would have been answered takes one; when none is
left, generated answers resume. A step is one of

- an `int`, 400 to 599: the API's error with that status, short for `Fail(status)`;
- a `str`: an answer of exactly that text;
- `bytes`: the body of an event stream, replayed byte for byte;
- `Fail`: an error response in every detail;
- `Cut`: an answer that ends before its time;
- `Stall`: an answer that falls silent.

`Cut` and `Stall` say where: `after="nothing"` (not a byte was sent), `after="head"` (status and headers were), or
`after=n`, with n content deltas sent. An answer with fewer deltas than n breaks off just before `message_stop`. Of an
answer that isn't streamed, `"nothing"` is as above, and anything else is half of the body.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, cast

import attrs

from .errors import error_type

__all__ = ["Cut", "CutHow", "Fail", "Point", "Script", "ScriptStep", "Stall"]

Point: TypeAlias = int | Literal["nothing", "head"]
CutHow: TypeAlias = Literal["end", "close", "reset", "garbage"]

_CUT_HOW: tuple[CutHow, ...] = ("end", "close", "reset", "garbage")


def _check_status(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 400 <= value <= 599:
        raise ValueError(f"{attribute.name} must lie between 400 and 599, not {value}")


def _check_point(_: object, attribute: attrs.Attribute[Point], value: Point) -> None:
    if value not in ("nothing", "head") and (not isinstance(cast(object, value), int) or value < 0):
        raise ValueError(f'{attribute.name} must be "nothing", "head" or a number of deltas, not {value!r}')


def _usual_type(failure: Fail) -> str:
    return error_type(failure.status)[0]


def _usual_message(failure: Fail) -> str:
    return error_type(failure.status)[1]


@attrs.frozen
class Fail:
    """An error: as a response with its status, or, as the end of a `Cut`, as an event inside the stream.

    `type` and `message` are the API's own for the status unless given; `headers` (such as `retry-after`) are added to
    those every response has.
    """

    status: int = attrs.field(validator=_check_status)
    type: str = attrs.field(default=attrs.Factory(_usual_type, takes_self=True), kw_only=True)
    message: str = attrs.field(default=attrs.Factory(_usual_message, takes_self=True), kw_only=True)
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], kw_only=True)


@attrs.frozen
class Cut:
    """An answer that ends before its time.

    `how` it ends:

    - `"end"`: the body ends in good order, but without `message_stop`;
    - `"close"`: the connection is closed, the body being incomplete by HTTP's rules;
    - `"reset"`: the connection is reset; the client has received at most what came before;
    - `"garbage"`: an event whose JSON breaks off, then the body ends in good order;
    - a `Fail`: an `error` event, then the body ends in good order. `after="nothing"` makes it a plain error response.

    `text` is the answer to cut; without it, one is generated.
    """

    after: Point = attrs.field(validator=_check_point)
    how: CutHow | Fail
    text: str | None = attrs.field(default=None, kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.how, Fail) and self.how not in _CUT_HOW:
            raise ValueError(f"how must be a Fail or one of {', '.join(_CUT_HOW)}, not {self.how!r}")
        if self.after == "nothing" and self.how in ("end", "garbage"):
            raise ValueError("a body cannot end in good order before the response has begun")


@attrs.frozen
class Stall:
    """An answer that falls silent and stays so until the client goes, its connection open.

    `pings` is the number of seconds between pings, None for none at all. `text` is the answer that stalls; without
    it, one is generated.
    """

    after: Point = attrs.field(validator=_check_point)
    pings: float | None = attrs.field(default=None, kw_only=True)
    text: str | None = attrs.field(default=None, kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.pings is not None and (self.after == "nothing" or self.pings <= 0):
            raise ValueError("pings need a response that has begun, and a number of seconds between them")


ScriptStep: TypeAlias = int | str | bytes | Fail | Cut | Stall
QueuedStep: TypeAlias = str | bytes | Fail | Cut | Stall  # a status having become the Fail it is short for


class Script:
    """The queue of steps. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._steps: deque[QueuedStep] = deque()
        self._lock = threading.Lock()

    def extend(self, steps: Iterable[ScriptStep]) -> None:
        """Put steps at the end of the queue, all of them or none.

        Raises TypeError for what isn't a step, ValueError for a status that is no error.
        """
        checked = [_check_step(step) for step in _refuse_bare(steps)]
        with self._lock:
            self._steps.extend(checked)

    def take(self) -> QueuedStep | None:
        """Return the next step, or None when there is none left."""
        with self._lock:
            return self._steps.popleft() if self._steps else None


def _refuse_bare(steps: Iterable[ScriptStep]) -> Iterable[ScriptStep]:
    # A string is iterable too, and would become one answer for each of its characters.
    if isinstance(cast(object, steps), str | bytes):
        raise TypeError("a script is a list of steps: [...]")
    return steps


def _check_step(step: ScriptStep) -> QueuedStep:
    if isinstance(step, bool) or not isinstance(cast(object, step), ScriptStep):
        raise TypeError(f"a {type(step).__name__} is not a step of a script")
    return Fail(step) if isinstance(step, int) else step
