"""When one failure stops a whole run, decided from its endings: a plain object that knows neither files nor loops.

| the ending                                      | what it says of the others                                        |
|-------------------------------------------------|-------------------------------------------------------------------|
| refused for what all requests share             | they would all fail: the run stops                                |
| no connection, and no response so far           | held; at the third the run stops                                  |
| no Messages stream, and none has begun so far   | held; when the first few broke the same way, the run stops        |
| a stream that broke, and none complete so far   | the same                                                          |
| any other                                       | nothing                                                           |

A held ending becomes an answer when later endings show that it concerns its own request alone. What stopped the run,
and what was held until then, is not an answer.
"""

import re
from collections import Counter

import attrs

from ...actors.stream import StreamResult, refuses_account, refuses_profile
from ...actors.wire import plain_text

__all__ = ["Over", "Stopping", "broken", "unreached", "would_fail_all"]

_UNREACHED = 3  # failed connections without any response, at which the run stops
_BROKEN = 5  # first answers that broke the same way, at which the run stops
_BROKEN_IN_ALL = 20  # first answers that broke in any way, at which the run stops
_PROFILE_HEADER = "anthropic-user-profile-id"
_PROFILE_PARAMETER = "user_profile_id"
_BROKEN_TYPES = ("protocol_error", "internal_error")


@attrs.frozen
class Over:
    """A stream that is over, and what it cost; None when a price is unknown."""

    result: StreamResult
    dollars: float | None
    missed_dollars: float | None = None
    """The part of it that a cache miss cost, if the API told of one."""


class Stopping:
    """The decision, from what `model`, `began`, `ended` and `exhausted` are told in the order in which it happens."""

    def __init__(self) -> None:
        self._models: set[str] = set()
        self._any_response = False
        self._any_complete = False
        self._unreached: list[Over] = []
        self._broken: list[Over] = []
        self._ways: Counter[str] = Counter()
        self.stopped_by: StreamResult | None = None
        """The ending that stops the run, once there is one."""

    def model(self, name: object) -> None:
        """Notes that a request for this model is sent."""
        self._models.add(str(name))

    def began(self) -> list[Over]:
        """Notes that an answer has begun. Returns what was held and is an answer now."""
        if self._any_response:
            return []
        self._any_response = True
        released = self._unreached + [over for over in self._broken if not _had_begun(over.result)]
        self._unreached = []
        self._broken = [over for over in self._broken if _had_begun(over.result)]
        self._ways = Counter(map(_way, self._broken))
        return released

    def ended(self, over: Over) -> list[Over]:
        """Notes that a stream is over. Returns what is an answer now: this one and what was held, or nothing."""
        result = over.result
        if would_fail_all(result, only_model=len(self._models) == 1):
            self._stop(result)
            return []
        if unreached(result) and not self._any_response:
            self._unreached.append(over)
            if len(self._unreached) >= _UNREACHED:
                self._stop(result)
            return []
        if broken(result) and not (self._any_complete if _had_begun(result) else self._any_response):
            self._broken.append(over)
            self._ways[_way(over)] += 1
            if max(self._ways.values()) >= _BROKEN or len(self._broken) >= _BROKEN_IN_ALL:
                self._stop(result)
            return []
        released: list[Over] = []
        if result.state == "complete":
            self._any_complete = True
            released = self._release()
        return [*released, over]

    def exhausted(self) -> list[Over]:
        """Notes that no more streams will come. Returns what was held and is an answer now: too few answers broke to
        blame more than their own requests. If no server was ever reached, the run stops all the same."""
        if self._unreached:
            self._stop(self._unreached[0].result)
        return self._release()

    def _release(self) -> list[Over]:
        """What broke and is an answer now; nothing once the run is stopped."""
        if self.stopped_by is not None:
            return []
        released, self._broken = self._broken, []
        self._ways.clear()
        return released

    def _stop(self, result: StreamResult) -> None:
        self.stopped_by = self.stopped_by or result

    @property
    def why(self) -> str:
        """What stopped the run, in one line for people. There has to be a `stopped_by`."""
        result = self.stopped_by
        assert result is not None
        assert result.error is not None
        info = result.error
        status = f"{info.status} " if info.status else ""
        said = f"{status}{plain_text(info.type)}: {plain_text(info.message)}"
        return f"{said} (so far {len(self._broken)} answers broke, and none was complete)" if broken(result) else said


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


def _names_profile(result: StreamResult) -> bool:
    """Whether the request itself says which user profile it is billed to, in a header or in its body."""
    request = result.request
    if request is None:
        return False
    if {**request.params, **request.extra_body}.get(_PROFILE_PARAMETER) is not None:
        return True
    return any(name.lower() == _PROFILE_HEADER for name in request.extra_headers)


def unreached(result: StreamResult) -> bool:
    """Whether no connection could be made, or it was lost before a response."""
    info = result.error
    return info is not None and (info.type == "connection_error" or info.deadline == "connect")


def broken(result: StreamResult) -> bool:
    """Whether the response was not a Messages stream, or could not be processed."""
    return result.state == "failed" and result.error is not None and result.error.type in _BROKEN_TYPES


def _had_begun(result: StreamResult) -> bool:
    return result.message_id is not None or result.model_name is not None


def _way(over: Over) -> str:
    """How it broke, without the numbers in it: offsets, sizes and the like."""
    info = over.result.error
    return "" if info is None else f"{info.type}: {re.sub(r'[0-9]+', '0', info.message)}"
