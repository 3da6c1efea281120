"""A request: what to ask, and how to treat it while it runs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, Required, TypedDict, cast

import attrs

from .deadlines import Deadlines
from .parts import EMPTY
from .retry import RetryPolicy

__all__ = ["MessageParams", "Model", "StreamRequest"]


class Model(Protocol):
    """What a request needs to know of the model that will serve it."""

    @property
    def model_name(self) -> str: ...

    @property
    def system(self) -> str: ...


class MessageParams(TypedDict, total=False):
    """What the Messages API takes. Only `messages` is required here; the model's defaults fill in the rest.

    The values go on as they are. Parameters newer than this list go into `StreamRequest.extra_body`.
    """

    messages: Required[Iterable[Any]]
    model: str
    max_tokens: int
    cache_control: Any
    container: Any
    context_management: Any
    diagnostics: Any
    fallbacks: Any
    inference_geo: str | None
    mcp_servers: Iterable[Any]
    metadata: Mapping[str, Any]
    output_config: Mapping[str, Any]
    output_format: Any
    service_tier: str
    speed: str | None
    stop_sequences: Sequence[str]
    stream: bool
    system: str | Iterable[Any]
    temperature: float
    thinking: Mapping[str, Any]
    tool_choice: Mapping[str, Any]
    tools: Iterable[Any]
    top_k: int
    top_p: float


def _read_params(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        return {"messages": [{"role": "user", "content": value}]}
    if not isinstance(value, Mapping):
        raise TypeError(f"a request is a string or a mapping of Messages parameters, not a {type(value).__name__}")
    params = dict(cast("Mapping[str, Any]", value))
    if "timeout" in params:
        raise TypeError("a request takes no timeout: streams end by deadlines, see `deadlines`")
    if "messages" not in params:
        raise TypeError("a request needs `messages`")
    params.pop("stream", None)
    return params


def _read_betas(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError("betas is a sequence of names, not one string")
    return tuple(value)


@attrs.frozen
class StreamRequest:
    """One request for one streamed answer.

    `params` are the Messages API's parameters; a plain string is one user message. `custom_id` comes back in the
    result. `betas` sends the request by the beta route with these beta headers. `model` overrides the engine's model,
    and goes with no other name in `params["model"]`. Raises `TypeError` for what is not a request.
    """

    params: Mapping[str, Any] = attrs.field(converter=_read_params, repr=False)
    model: Model | None = attrs.field(default=None, kw_only=True)
    custom_id: str | None = attrs.field(default=None, kw_only=True)
    betas: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=_read_betas)
    extra_headers: Mapping[str, str] = attrs.field(default=EMPTY, kw_only=True, repr=False)
    extra_body: Mapping[str, Any] = attrs.field(default=EMPTY, kw_only=True, repr=False)
    extra_query: Mapping[str, Any] = attrs.field(default=EMPTY, kw_only=True, repr=False)
    deadlines: Deadlines | None = attrs.field(default=None, kw_only=True)
    """How long each stage may take; None for the engine's deadlines."""
    retry: RetryPolicy | None = attrs.field(default=None, kw_only=True)
    """How failures before the first content are tried again; None for the engine's policy."""
    group: str | None = attrs.field(default=None, kw_only=True)
    """A name it shares with other requests, to cancel them together."""
    priority: int = attrs.field(default=0, kw_only=True)
    """Of the requests that wait, those with a higher number go first."""

    def __attrs_post_init__(self) -> None:
        named = self.params.get("model")
        if self.model is not None and named is not None and named != self.model.model_name:
            raise TypeError(
                f"the request names two models: model={self.model.model_name!r} and params['model']={named!r}; give one"
            )
