"""A submission: what a request becomes when an engine takes it in.

The request is made of what was given, its model is found, and its parameters are computed, once. From them come the
stream's actor, its ticket for admission, and the way in which each of its attempts is sent.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import attrs
import httpx2

from ..actors.actor import Owner, StreamActor
from ..actors.channel import OnAbandon
from ..actors.response import Open, Response
from ..actors.stream import (
    Deadlines,
    Recovery,
    RequestLike,
    RetryPolicy,
    StreamRequest,
    takes_continuation,
)
from ..actors.stream.recovery import check_recovery
from .admission import Admission, Ticket, measure
from .admission.spend_cap import SpendCap
from .api import AnthropicModel
from .api.parameters import DEFAULT_MAX_TOKENS

if TYPE_CHECKING:
    from .api.send import Send
    from .output import TypedOutput

__all__ = ["Defaults", "Submission", "Way", "held_back"]


@attrs.frozen
class Defaults:
    """An engine's answers to what a request leaves open."""

    model: AnthropicModel
    deadlines: Deadlines
    retry: RetryPolicy
    recovery: Recovery = attrs.field(validator=check_recovery)

    def model_of(self, request: StreamRequest) -> AnthropicModel:
        """The model that is to serve a request. Raises `TypeError` when the request names something else."""
        model = request.model or self.model
        if not isinstance(model, AnthropicModel):
            raise TypeError(f"model is an AnthropicModel, not a {type(model).__name__}")
        return model


@attrs.frozen
class Way:
    """How the attempts of a request reach the API."""

    open: Open
    credentials: Hashable = attrs.field(repr=False)
    """Whose limits its requests count against. It is secret."""
    base_url: httpx2.URL
    bills_dropped: bool = False
    """Whether a stream that is dropped is billed as if it had been read to its end."""
    cap: SpendCap | None = None
    """A cap on what these credentials spend, beside the engine's."""
    told: Callable[[StreamActor], None] | None = None
    """Called with the request's stream before anything is done for it."""


@attrs.frozen
class Submission:
    """A request that was submitted, and what was found out about it."""

    request: StreamRequest
    model: AnthropicModel
    params: Mapping[str, Any]
    """The parameters that are sent, the model's defaults among them."""
    model_name: str
    """The name of the model that is asked for."""
    _fast: bool
    _max_tokens: int
    _defaults: Defaults
    output: "TypedOutput | None" = None
    """How its answer is read as an output of a type, if it wants one."""

    @classmethod
    def of(cls, request: RequestLike, defaults: Defaults) -> Self:
        """Reads what was given. Raises `TypeError` for what is not a request that can be sent, and `ValueError` for
        one that is nested too deep, lost its headers in a pickle, or wants an output that the API does not take."""
        if not isinstance(request, StreamRequest):
            request = StreamRequest(request)
        if request.extra_headers and (dropped := request.dropped_headers):
            raise ValueError(f"the request was pickled without its headers {', '.join(dropped)}: set them again")
        model = defaults.model_of(request)
        params = model.params_for(request)
        output: TypedOutput | None = None
        if request.output is not None:
            from .output import typed_output  # the machinery of types is for those who use it

            output = typed_output(request.output)
        sent = {**params, **request.extra_body} if request.extra_body else params
        messages: object = sent["messages"]
        if isinstance(messages, str | Mapping):
            kind = "string" if isinstance(messages, str) else "mapping"
            raise TypeError(f"messages is a list of messages, not one {kind}")
        name, max_tokens = sent["model"], sent["max_tokens"]
        if not isinstance(name, str):
            raise TypeError(f"model is a model's name, not a {type(name).__name__}")
        if not isinstance(max_tokens, int):
            max_tokens = DEFAULT_MAX_TOKENS  # for the estimates: the API will say what is wrong
        return cls(request, model, params, name, sent.get("speed") == "fast", max_tokens, defaults, output)

    @classmethod
    def foreign(cls, request: RequestLike, defaults: Defaults) -> Self:
        """Takes a request of somebody else's as it is: nothing is added to it, and the API says what is wrong."""
        assert isinstance(request, StreamRequest)
        params = {**request.params, **request.extra_body}
        name, max_tokens = params.get("model"), params.get("max_tokens")
        return cls(
            request,
            defaults.model,
            params,
            name if isinstance(name, str) else "unknown",
            params.get("speed") == "fast",
            max_tokens if isinstance(max_tokens, int) else DEFAULT_MAX_TOKENS,
            defaults,
        )

    def actor(
        self,
        stream_id: str,
        *,
        owner: Owner,
        clock: Callable[[], float],
        on_abandon: OnAbandon,
        bills_dropped: Callable[[], float] | None = None,
    ) -> StreamActor:
        """The actor of the stream that answers it."""
        request, defaults = self.request, self._defaults
        recovery = request.recovery or defaults.recovery
        if recovery == "continue" and not (self.output is None and takes_continuation(self.params, request.extra_body)):
            recovery = "fail"  # by the model's defaults, which the actor does not know; or what came fits no more
        return StreamActor(
            stream_id,
            request,
            retry=request.retry or defaults.retry,
            recovery=recovery,
            clock=clock,
            on_abandon=on_abandon,
            deadlines=request.deadlines or defaults.deadlines,
            owner=owner,
            bills_dropped=bills_dropped,
            output=self.output,
        )

    def ticket(self, admission: Admission, way: Way) -> Ticket:
        """Its place in `admission`, in the pool of its way's credentials; with an id of its own for its stream."""
        return Ticket(
            cap=way.cap,
            pool=admission.pool(way.credentials, self.model_name, own=self.model.limits_pool, fast=self._fast),
            stream_id=f"stream_{uuid4().hex}",
            custom_id=self.request.custom_id,
            model_name=self.model_name,
            prompt=measure(self.params),
            max_tokens=self._max_tokens,
            group=self.request.group,
            priority=self.request.priority,
        )

    def opening(self, send: "Send") -> Open:
        """How an attempt is made: through `send`, with the parameters computed before."""
        request, params = self.request, self.params

        async def open_response(attempt: StreamRequest) -> Response:
            # An attempt that continues an answer has messages of its own; the rest is as it was submitted.
            own = {} if attempt is request else {"messages": attempt.params["messages"]}
            return await send(attempt, {**params, **own} if own else params)

        return open_response


def held_back(send: Open, until: Callable[[], Awaitable[object]]) -> Open:
    """Sends as `send` does, once `until()` has returned."""

    async def open_response(attempt: StreamRequest) -> Response:
        await until()
        return await send(attempt)

    return open_response
