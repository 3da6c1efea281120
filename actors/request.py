"""A request: what to ask, and how to treat it while it runs."""

import base64
import io
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Required, TypedDict, cast

import attrs

from .deadlines import Deadlines
from .parts import EMPTY
from .recovery import Recovery, check_recovery
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
    return {name: value if type(value) in _PLAIN else _rereadable(value, _DEEPEST) for name, value in params.items()}


_DEEPEST = 7  # where the data of an image in a tool's result stands, counted from the parameter `messages`
_PLAIN = frozenset({str, int, float, bool, type(None)})


def _rereadable(value: Any, depth: int) -> Any:
    """`value` with what could be read only once, iterators and open files, read: a request may be sent more often."""
    kind = cast("type[object]", type(value))
    if kind is dict:
        fields = cast("dict[Any, Any]", value)
        values = list(fields.values())
        read = _rereadable(values, depth)
        return fields if read is values else dict(zip(fields, read, strict=True))
    if kind is not list:
        if isinstance(value, io.IOBase):
            content: str | bytes = value.read()  # the SDK takes files where base64 is wanted
            return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()
        if not isinstance(value, Iterator):
            return value
        value = list(cast("Iterator[Any]", value))
    items = cast("list[Any]", value)
    if depth == 0:
        return items
    read = [item if type(item) in _PLAIN else _rereadable(item, depth - 1) for item in items]
    return read if any(map(operator.is_not, read, items)) else items


def _read_betas(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError("betas is a sequence of names, not one string")
    return tuple(value)


@attrs.frozen
class StreamRequest:
    """One request for one streamed answer.

    `params` are the Messages API's parameters; a plain string is one user message. Iterators and open files among them
    are read at once, as a request may be sent more than once. `custom_id` comes back in the
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
    """How often and how long apart failures are tried again; None for the engine's policy."""
    recovery: Recovery | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(check_recovery)
    )
    """What a failure after the first content leads to; None for the engine's choice. `"fail"`: the stream ends.
    `"restart"`: it is tried again from the beginning, and a `RestartEvent` says that what came before is void.
    `"continue"`: the model is asked to go on where the answer broke off, if that was plain text; else the stream ends.
    """
    group: str | None = attrs.field(default=None, kw_only=True)
    """A name it shares with other requests, to cancel them together."""
    priority: int = attrs.field(default=0, kw_only=True, validator=attrs.validators.instance_of(int))
    """Of the requests that wait, those with a higher number go first."""

    def __attrs_post_init__(self) -> None:
        named = self.params.get("model")
        if self.model is not None and named is not None and named != self.model.model_name:
            raise TypeError(
                f"the request names two models: model={self.model.model_name!r} and params['model']={named!r}; give one"
            )
