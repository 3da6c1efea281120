"""When one failure stops a whole run, decided from what happens: a plain object that knows neither files nor loops.

| what happens                                    | what it says of the others                                        |
|-------------------------------------------------|-------------------------------------------------------------------|
| refused for what all requests share             | they would all fail: the run stops                                |
| no connection, and never a response             | held; the run stops when three attempts of any requests got none  |
| no Messages stream, and none has begun so far   | held; when the first few broke the same way, the run stops        |
| a stream that broke, and none complete so far   | the same                                                          |
| so many failures, or such a share of them       | the run goes wrong, if its user said so (`max_failures`)          |
| any other                                       | nothing                                                           |

A held ending becomes an answer when later endings show that it concerns its own request alone. What stopped the run,
and what was held until then, is not an answer. A failure that counted as one of too many is.
"""

import math
import re
from collections import Counter
from typing import Literal
from urllib.parse import urlsplit

import attrs

from ...actors.stream import ErrorInfo, StreamResult, refuses_account, refuses_profile
from ...actors.wire import plain_text
from .too_many import MaxFailures

__all__ = ["Over", "Stop", "StopReason", "Stopping", "broken", "unreached", "would_fail_all"]

StopReason = Literal[
    "key",
    "billing",
    "permission",
    "model",
    "account",
    "profile",
    "spend_limit",
    "spend_cap",
    "unreachable",
    "wrong_url",
    "broken",
    "failures",
]
"""Why a run stops: the credentials, billing, a missing permission, a model that doesn't exist, an account on hold, a
user profile, a spend limit of the API's, the run's own spend cap, no connection, a URL that leads to no Messages API,
answers that are all broken, too many failures."""

_UNREACHED = 3  # failed connections without any response, at which the run stops
_REFUSED = 5  # attempts in a row, at which people are told
_PATIENCE = 3.0  # seconds that a server has to come up, from the first request on
_LOOKS = 1.0  # seconds between two looks, until somebody answers
_BROKEN = 5  # first answers that broke the same way, at which the run stops
_BROKEN_IN_ALL = 20  # first answers that broke in any way, at which the run stops
_PROFILE_HEADER = "anthropic-user-profile-id"
_PROFILE_PARAMETER = "user_profile_id"
_BROKEN_TYPES = ("protocol_error", "internal_error")
_REASONS: dict[int | None, StopReason] = {401: "key", 402: "billing", 403: "permission", 404: "model"}


@attrs.frozen
class Over:
    """A stream that is over, and what it cost; None when a price is unknown."""

    result: StreamResult
    dollars: float | None
    missed_dollars: float | None = None
    """The part of it that a cache miss cost, if the API told of one."""
    restarts: int = 0
    """Attempts that were paid for, and begun anew."""
    restarted_dollars: float = 0.0
    """The part of the dollars that those cost, as far as prices are known."""


@attrs.frozen
class Stop:
    """What stops the run."""

    reason: StopReason
    why: str
    """In one line for people."""
    error: ErrorInfo | None
    """The failure that decided it."""


class Stopping:
    """The decision, from what the methods are told in the order in which it happens. Times are seconds on one clock.

    `url` is where the requests go. `done` and `failed` are the answers of earlier sessions, and how many of them are
    failures; they count for `max_failures`. `same_url` says that those came from there too.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        max_failures: MaxFailures | None = None,
        done: int = 0,
        failed: int = 0,
        same_url: bool = False,
    ) -> None:
        self._url = url
        self._max_failures = max_failures
        self._done, self._failed = done, failed
        self._models: set[str] = set()
        self._begun: float | None = None
        self._look_at = math.inf
        self._reached = False
        # Earlier sessions count: what runs again is what failed, and may all fail again.
        self._any_complete = done > failed
        self._any_stream = self._any_complete and same_url
        self._unconnected = 0
        self._last_unconnected: ErrorInfo | None = None
        self._unreached: list[Over] = []
        self._broken: list[Over] = []
        self._ways: Counter[str] = Counter()
        self.stop: Stop | None = None
        """What stops the run, once something does."""
        self._refused = 0  # in a row
        self.trouble: str | None = None
        """What keeps the requests from being answered at the moment, in a line; None while they are answered."""
        self.stopped_by: StreamResult | None = None
        """An ending that had the failure which stops the run, once there is one."""

    @property
    def due(self) -> float:
        """When to call `look`, if nothing happens before; infinite when never."""
        return math.inf if self.stop is not None or self._reached else self._look_at

    def sent(self, model: object, now: float) -> None:
        """Notes that a request for this model is sent."""
        self._models.add(str(model))
        if self._begun is None:
            self._begun, self._look_at = now, now + _PATIENCE

    def failed_attempt(self, info: ErrorInfo, now: float) -> list[Over]:
        """Notes that an attempt failed and another is to follow. Returns what was held and is an answer now."""
        if unconnected(info):
            self._count_unconnected(info)
            self._judge_unconnected(info, now)
        elif info.status is not None:
            released = self._reach()
            self._refused += 1
            if self._refused >= _REFUSED:
                self.trouble = f"the API refuses: {_said(info)}"
            return self._answers(released)
        return []

    def look(self, now: float) -> None:
        """Decides again, since time has passed."""
        self._look_at = now + _LOOKS
        if self._last_unconnected is not None:
            self._judge_unconnected(self._last_unconnected, now)

    def _count_unconnected(self, info: ErrorInfo) -> None:
        self.trouble = f"the API can't be reached: {plain_text(info.message)}"
        self._unconnected += 1
        self._last_unconnected = info

    def _judge_unconnected(self, info: ErrorInfo, now: float) -> None:
        if self._reached or self._unconnected < _UNREACHED:
            return
        patient = info.retryable and self._begun is not None and now < self._begun + _PATIENCE
        if not patient:
            self._stop("unreachable", info, self._unreached[-1].result if self._unreached else None)

    def _reach(self) -> list[Over]:
        """Somebody answered. Returns what was held and is an answer now."""
        self._unconnected = 0
        if self._refused < _REFUSED:
            self.trouble = None
        if self._reached:
            return []
        self._reached = True
        released, self._unreached = self._unreached, []
        return released

    def began(self) -> list[Over]:
        """Notes that an answer has begun. Returns what was held and is an answer now."""
        self._refused = 0
        released = self._reach()
        if not self._any_stream:
            self._any_stream = True
            released += [over for over in self._broken if not _had_begun(over.result)]
            self._broken = [over for over in self._broken if _had_begun(over.result)]
            self._ways = Counter(map(_way, self._broken))
        return self._answers(released)

    def ended(self, over: Over, now: float = math.inf) -> list[Over]:
        """Notes that a stream is over. Returns what is an answer now: this one and what was held, or nothing."""
        result = over.result
        if self.stop is not None and self.stopped_by is None and result.state == "cancelled" and result.attempts:
            # It was dropped in the middle of what stops the run.
            self.stopped_by = attrs.evolve(result, state="failed", error=self.stop.error)
        if would_fail_all(result, only_model=len(self._models) == 1):
            self._stop(_reason(result), result.error, result)
            return []
        if unreached(result):
            assert result.error is not None
            self._count_unconnected(result.error)
            if not self._reached:
                self._unreached.append(over)
                self._judge_unconnected(result.error, now)
                return []
        released = self._reach() if result.error is not None and result.error.status is not None else []
        if self._breaks(result):
            self._broken.append(over)
            self._ways[_way(over)] += 1
            several = len(self._broken) >= _BROKEN_IN_ALL and not _not_found(result)
            if max(self._ways.values()) >= _BROKEN or several:
                self._stop("wrong_url" if not _had_begun(result) else "broken", result.error, result)
            return self._answers(released)
        if result.state == "complete":
            self._any_complete = True
            released += self._release()
        return self._answers([*released, over])

    def _breaks(self, result: StreamResult) -> bool:
        """Whether the ending may say that nothing at all will come of the others."""
        if _not_found(result):
            return not self._any_stream
        return broken(result) and not (self._any_complete if _had_begun(result) else self._any_stream)

    def exhausted(self) -> list[Over]:
        """Notes that no more streams will come. Returns what was held and is an answer now: too few answers broke to
        blame more than their own requests. If no server was ever reached, the run stops all the same."""
        if self._unreached:
            self._stop("unreachable", self._unreached[0].result.error, self._unreached[0].result)
        return self._answers(self._release())

    def _release(self) -> list[Over]:
        """What broke and is an answer now; nothing once the run is stopped."""
        if self.stop is not None:
            return []
        released, self._broken = self._broken, []
        self._ways.clear()
        return released

    def _answers(self, overs: list[Over]) -> list[Over]:
        """Counts these answers, and stops the run at too many failures."""
        for over in overs:
            self._done += 1
            if over.result.state not in ("failed", "truncated"):
                continue
            self._failed += 1
            limit = self._max_failures
            if self.stop is None and limit is not None and limit.reached(self._failed, self._done):
                why = f"{self._failed:,} of {self._done:,} answers are failures, --max-failures is {limit}"
                self._stop("failures", over.result.error, over.result, why)
        return overs

    def _stop(
        self, reason: StopReason, info: ErrorInfo | None, result: StreamResult | None = None, why: str | None = None
    ) -> None:
        if self.stop is None:
            self.stop = Stop(reason, why or self._words(reason, info), info)
            self.stopped_by = result

    def _words(self, reason: StopReason, info: ErrorInfo | None) -> str:
        assert info is not None
        if reason == "unreachable":
            host = None if self._url is None else urlsplit(self._url).hostname
            where = "" if host is None or host in str(info.message) else f" at {self._url}"
            return f"the API can't be reached{where}: {plain_text(info.message)}"
        said = _said(info)
        if reason == "wrong_url":
            where = "" if self._url is None else f"; is {self._url} the base URL of a Messages API?"
            doubled = self._url is not None and self._url.rstrip("/").endswith("/v1")
            hint = " It ends with /v1, which is added to it: leave that out" if doubled else ""
            return f"{said} (the first {len(self._broken)} answers were like that{where}{hint})"
        return (
            f"{said} (so far {len(self._broken)} answers broke, and none was complete)" if reason == "broken" else said
        )

    @property
    def why(self) -> str:
        """What stopped the run, in one line for people. There has to be a `stop`."""
        assert self.stop is not None
        return self.stop.why


def would_fail_all(result: StreamResult, *, only_model: bool) -> bool:
    """Whether the failure would meet every request of the run.

    So it is with wrong credentials, billing, missing permission, an organization on hold, and a spend limit or cap that
    is reached; and with an unknown model, when every request so far asked for it (`only_model`). What refuses a user
    profile concerns the requests that name it, or all when the client names it for them.
    """
    info = result.error
    if result.state == "complete" or info is None:
        return False
    if refuses_profile(info.code):
        return not _names_profile(result)
    if info.status in (401, 402, 403):
        return True
    if info.status == 404:
        # Files and containers can be missing too, which concerns only the requests that use them.
        return only_model and info.message.startswith("model")
    return refuses_account(info.code, info.message) or info.type == "spend_cap_reached"


def _reason(result: StreamResult) -> StopReason:
    """The reason for what `would_fail_all`."""
    info = result.error
    assert info is not None
    if refuses_profile(info.code):
        return "profile"
    if info.type == "spend_cap_reached":
        return "spend_cap"
    if refuses_account(info.code, info.message):
        return "account" if info.code == "organization_on_hold" else "spend_limit"
    return _REASONS.get(info.status, "permission")


def _names_profile(result: StreamResult) -> bool:
    """Whether the request itself says which user profile it is billed to, in a header or in its body."""
    request = result.request
    if request is None:
        return False
    if {**request.params, **request.extra_body}.get(_PROFILE_PARAMETER) is not None:
        return True
    return any(name.lower() == _PROFILE_HEADER for name in request.extra_headers)


def unconnected(info: ErrorInfo) -> bool:
    """Whether no connection could be made, or it was lost before a response."""
    return info.type == "connection_error" or info.deadline == "connect"


def unreached(result: StreamResult) -> bool:
    """Whether the stream ended since no connection could be made, or it was lost before a response."""
    return result.error is not None and unconnected(result.error)


def broken(result: StreamResult) -> bool:
    """Whether the response was not a Messages stream, or could not be processed."""
    return result.state == "failed" and result.error is not None and result.error.type in _BROKEN_TYPES


def _not_found(result: StreamResult) -> bool:
    """Whether there was nothing under the URL that could take a request, which is not said of a model."""
    info = result.error
    return info is not None and info.status in (404, 405, 410, 501) and not info.message.startswith("model")


def _said(info: ErrorInfo) -> str:
    status = f"{info.status} " if info.status else ""
    return f"{status}{plain_text(info.type)}: {plain_text(info.message)}"


def _had_begun(result: StreamResult) -> bool:
    return result.message_id is not None or result.model_name is not None


def _way(over: Over) -> str:
    """How it broke, without the numbers in it: offsets, sizes and the like."""
    info = over.result.error
    return "" if info is None else f"{info.type}: {re.sub(r'[0-9]+', '0', info.message)}"
