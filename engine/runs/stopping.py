"""When one failure stops a whole run, decided from its endings: a plain object that knows neither files nor loops.

| the ending                                      | what it says of the others                                        |
|-------------------------------------------------|-------------------------------------------------------------------|
| refused for what all requests share             | they would all fail: the run stops                                |
| no connection, and never a response yet         | a few more will tell: held, and at the third the run stops        |
| no Messages stream came, and none has begun yet | held; when the first few broke the same way, the run stops        |
| a stream that broke, and none is complete yet   | the same                                                          |
| any other                                       | nothing                                                           |

What is held becomes an answer when it was bad luck after all. What stopped the run, or was held until then, is none.
"""

import re
from collections import Counter

import attrs

from ...actors.stream import StreamResult
from ...actors.wire import plain_text

__all__ = ["Over", "Stopping", "broken", "unreached", "would_fail_all"]

_UNREACHED = 3  # so many failed connections, with never a response, and the run stops
_BROKEN = 5  # so many first answers that broke the same way
_BROKEN_IN_ALL = 20  # so many that broke in any way
_BROKEN_TYPES = ("protocol_error", "internal_error")


@attrs.frozen
class Over:
    """A stream that is over, and what it cost; None when nobody knows a price."""

    result: StreamResult
    dollars: float | None


class Stopping:
    """See above. `model`, `began` and `ended` are told what happens, in its order."""

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
        """A request of this model is sent."""
        self._models.add(str(name))

    def began(self) -> list[Over]:
        """An answer has begun. Returns what was held and is an answer now."""
        if self._any_response:
            return []
        self._any_response = True
        released = self._unreached + [over for over in self._broken if not _had_begun(over.result)]
        self._unreached = []
        self._broken = [over for over in self._broken if _had_begun(over.result)]
        self._ways = Counter(map(_way, self._broken))
        return released

    def ended(self, over: Over) -> list[Over]:
        """A stream is over. Returns what is an answer now: it and what was held, or nothing."""
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
        """No more will come. Returns what was held and is an answer now: a few that broke are too few to say more. That
        nobody was ever reached stops the run all the same."""
        if self._unreached:
            self._stop(self._unreached[0].result)
        return self._release()

    def _release(self) -> list[Over]:
        """What broke is an answer after all, unless it has stopped the run."""
        if self.stopped_by is not None:
            return []
        released, self._broken = self._broken, []
        self._ways.clear()
        return released

    def _stop(self, result: StreamResult) -> None:
        self.stopped_by = self.stopped_by or result

    @property
    def why(self) -> str:
        """What stopped the run, in one line for people."""
        result = self.stopped_by
        assert result is not None
        assert result.error is not None
        info = result.error
        status = f"{info.status} " if info.status else ""
        said = f"{status}{plain_text(info.type)}: {plain_text(info.message)}"
        return f"{said} (so far {len(self._broken)} answers broke, and none was whole)" if broken(result) else said


def would_fail_all(result: StreamResult, *, only_model: bool) -> bool:
    """Whether the failure concerns not this request but all of the run.

    Wrong credentials, billing, missing permission and a reached spend limit or cap do. So does an unknown model, when
    every request so far asked for it (`only_model`).
    """
    info = result.error
    if result.state == "complete" or info is None:
        return False
    if info.status in (401, 402, 403):
        return True
    if info.status == 404:
        # Files and containers can be missing too, which concerns only who asks for them.
        return only_model and info.message.startswith("model")
    return info.code == "enforced_spend_limit_reached" or info.type == "spend_cap_reached"


def unreached(result: StreamResult) -> bool:
    """Whether no connection could be made, or none that lasted until a response."""
    info = result.error
    return info is not None and (info.type == "connection_error" or info.deadline == "connect")


def broken(result: StreamResult) -> bool:
    """Whether what came was no Messages stream, or could not be dealt with."""
    return result.state == "failed" and result.error is not None and result.error.type in _BROKEN_TYPES


def _had_begun(result: StreamResult) -> bool:
    return result.message_id is not None or result.model_name is not None


def _way(over: Over) -> str:
    """How it broke, but for the numbers: offsets, sizes and the like."""
    info = over.result.error
    return "" if info is None else f"{info.type}: {re.sub(r'[0-9]+', '0', info.message)}"
