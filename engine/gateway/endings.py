"""The exceptions of requests that ended badly without an answer of the API's: kinds of the SDK's own, with the result.

The SDK raises them as they are, and code that is written for the SDK catches them.
"""

import anthropic
import httpx2

from ...actors.stream import StreamResult
from .answers import words_of

__all__ = ["AnswerFailed", "AnswerTimedOut", "ending_of"]


class AnswerFailed(anthropic.APIConnectionError):
    """There is no answer, or it broke off: raised by the clients of `engine.anthropic_client`. `result` is all that is
    known of it, with what was received.

    The exception behind it is the `StreamError` that the engine's own methods raise.
    """

    def __init__(self, result: StreamResult, request: httpx2.Request) -> None:
        bare = httpx2.Request(request.method, request.url)  # its headers hold the key, its body the prompt
        anthropic.APIConnectionError.__init__(self, message=words_of(result), request=bare)
        self.result = result


class AnswerTimedOut(AnswerFailed, anthropic.APITimeoutError):
    """A deadline passed: the engine's, or the client's `timeout`, whose `read` is the longest silence."""


def ending_of(result: StreamResult, request: httpx2.Request) -> AnswerFailed:
    """The exception for an ending that is not `complete`."""
    late = result.error is not None and result.error.deadline is not None
    failure = (AnswerTimedOut if late else AnswerFailed)(result, request)
    failure.__cause__ = result.exception()
    return failure
