"""A request: what to ask, and how to treat it while it runs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, Required, Self, TypeAlias, TypedDict, cast

import attrs

from ..message import EMPTY
from .checks import as_given, kind, number
from .deadlines import Deadlines
from .output import OutputLike, OutputSpec, OutputT, OutputT_co, check_type
from .own_copy import own_copy
from .pickling import DROPPED, Lost, portable, without_secrets
from .recovery import Recovery, check_recovery
from .retry import RetryPolicy

__all__ = ["MessageParams", "Model", "RequestLike", "StreamRequest", "check_names"]

_CERTAINLY = 0.85  # so alike are two names of which one is a slip of the other


# RFC 9110, 5.1 and 5.5. The value has to be ASCII, which is more than that asks: HTTP clients send no other.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t -~]*")

_name = kind(str, "a string", optional=True)


class Model(Protocol):
    """What a request needs to know of the model that will serve it."""

    @property
    def model_name(self) -> str: ...

    @property
    def system(self) -> str: ...


class MessageParams(TypedDict, total=False):
    """What the Messages API takes. Only `messages` is required here; the model's defaults fill in the rest.

    The values go on as they are. Parameters newer than this list go into `StreamRequest.extra_body`. A type checker
    takes no other names: give a dict that is built step by step this type.
    """

    messages: Required[Iterable[Any]]
    model: str
    max_tokens: int
    billing_policy: Any
    cache_control: Any
    compaction: Any
    container: Any
    context_management: Any
    diagnostics: Any
    fallback_credit_token: str | None
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
    thread: Mapping[str, Any]
    tool_choice: Mapping[str, Any]
    tools: Iterable[Any]
    top_k: int
    top_p: float
    user_profile_id: str | None
    workspace_id: str | None


def check_names(names: Iterable[str]) -> None:
    """Raises `TypeError` for a parameter's name that is certainly a slip, and names the right one. Other names that are
    not known here may be newer: the SDK is asked for them when the request is sent."""
    unknown = [name for name in names if name not in MessageParams.__annotations__]
    if not unknown:
        return
    from difflib import get_close_matches

    for name in unknown:
        if near := get_close_matches(str(name), MessageParams.__annotations__, 1, _CERTAINLY):
            raise TypeError(f"the Messages API has no parameter {name!r}; did you mean {near[0]!r}?")


def _read_params(value: MessageParams | str) -> Mapping[str, Any]:
    if isinstance(value, str):
        return {"messages": [{"role": "user", "content": value}]}
    if not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"a request is a string or a mapping of Messages parameters, not a {type(value).__name__}")
    params: dict[str, Any] = own_copy(value)
    if "timeout" in params:
        raise TypeError("a request takes no timeout: streams end by deadlines, see `deadlines`")
    check_names(params)
    if "messages" not in params:
        raise TypeError("a request needs `messages`")
    params.pop("stream", None)
    return params


def _read_betas(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError("betas is a sequence of names, not one string")
    if not isinstance(value, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"betas is a sequence of names, not a {type(value).__name__}")
    names = tuple(value)
    for name in names:
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"betas is a sequence of names, not of {type(name).__name__}")
        if not _VALUE.fullmatch(name) or not name.strip():
            raise ValueError(f"a beta's name goes into a header, which can't hold {name!r}")
    return names


def _check_headers(_: object, __: object, headers: Mapping[str, Any]) -> None:
    for name, value in headers.items():
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a header's name is a string, not a {type(name).__name__}")
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"extra_headers: {name!r} can't be a header's name: it has letters, digits and hyphens")
        if isinstance(value, str):
            if not _VALUE.fullmatch(value):
                raise ValueError(f"extra_headers: the value of {name!r} holds a line end, or what is not ASCII")
        elif type(value).__module__.partition(".")[0] != "anthropic":  # whose Omit() leaves a header out
            raise TypeError(f"extra_headers: the value of {name!r} is a string, not a {type(value).__name__}")


def _check_names(_: object, field: "attrs.Attribute[Any]", value: Mapping[Any, Any]) -> None:
    for name in value:
        if not isinstance(name, str):
            raise TypeError(f"{field.name} has names that are strings, not {as_given(name)}")


def _check_model(_: object, __: object, model: object) -> None:
    if model is not None and not hasattr(model, "model_name"):
        raise TypeError(f"model is an AnthropicModel, not {as_given(model)}: a model's name goes into params['model']")


def _check_output(request: object, field: "attrs.Attribute[Any]", output: object) -> None:
    # In a pickle, an output of a class that it can't name is lost; it is refused when the request is submitted.
    if not isinstance(output, OutputSpec | Lost):
        check_type(request, field, output)


def _read_extra(value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if value is EMPTY or value is None:
        return EMPTY
    if not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"extra headers, body and query are mappings, not a {type(value).__name__}")
    return own_copy(value)


@attrs.frozen
class StreamRequest(Generic[OutputT_co]):
    """One request for one streamed answer.

    `params` are the Messages API's parameters; a plain string is one user message. `custom_id` comes back in the
    result. `betas` sends the request by the beta route with these beta headers. `model` overrides the engine's model,
    and goes with no other name in `params["model"]`.

    A request is what it was when it was made (an engine makes one of what it is given at `submit`, or when it draws it
    from an iterable): mappings and arrays are copied, at any depth, so that later changes to the caller's objects
    change nothing, and each attempt sends the same. Iterators and open files are read, and the SDK's own objects and
    dates become what the SDK sends for them. The copy is the request's own: read it, don't change it.

    It can be copied and pickled. A pickle holds no header that may be a secret: those of `extra_headers` come back as
    `"<dropped>"`, and an engine refuses the request until they are set again with `attrs.evolve`.

    Raises `TypeError` for what is not a request, and `ValueError` for one that is nested more than 250 levels deep, or
    holds itself.
    """

    params: Mapping[str, Any] = attrs.field(converter=_read_params, repr=False)
    model: Model | None = attrs.field(default=None, kw_only=True, validator=_check_model)
    custom_id: str | None = attrs.field(default=None, kw_only=True, validator=_name)
    betas: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=_read_betas)
    extra_headers: Mapping[str, str] = attrs.field(
        default=EMPTY, kw_only=True, repr=False, converter=_read_extra, validator=_check_headers
    )
    extra_body: Mapping[str, Any] = attrs.field(
        default=EMPTY, kw_only=True, repr=False, converter=_read_extra, validator=_check_names
    )
    extra_query: Mapping[str, Any] = attrs.field(
        default=EMPTY, kw_only=True, repr=False, converter=_read_extra, validator=_check_names
    )
    deadlines: Deadlines | None = attrs.field(
        default=None, kw_only=True, validator=kind(Deadlines, "a Deadlines, as in Deadlines(total=30)", optional=True)
    )
    """How long each stage may take; None for the engine's deadlines."""
    retry: RetryPolicy | None = attrs.field(
        default=None,
        kw_only=True,
        validator=kind(RetryPolicy, "a RetryPolicy, as in RetryPolicy(max_attempts=3)", optional=True),
    )
    """How often and how long apart failures are tried again; None for the engine's policy."""
    recovery: Recovery | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(check_recovery)
    )
    """What a failure after the first content leads to; None for the engine's choice. `"fail"`: the stream ends.
    `"restart"`: it is tried again from the beginning, and a `RestartEvent` says that what came before is void.
    `"continue"`: the model is asked to go on where the answer broke off, if that was plain text; else the stream ends.
    """
    group: str | None = attrs.field(default=None, kw_only=True, validator=_name)
    """A name it shares with other requests, to cancel them together."""
    priority: int = attrs.field(default=0, kw_only=True, validator=number("{} is a whole number", whole=True))
    """Of the requests that wait, those with a higher number go first."""

    output: "OutputLike[OutputT_co] | None" = attrs.field(
        default=None, kw_only=True, repr=False, validator=attrs.validators.optional(_check_output)
    )
    """What the answer is to be: a type (a dataclass, an attrs class, a msgspec Struct, a TypedDict, a pydantic model, a
    list or a union of such, a Literal), a JSON Schema as a mapping, or an `OutputSpec` that says more. The schema is
    sent with the request, and `result.output` is the answer as a value of the type. What the API can't be asked for is
    refused when the request is submitted."""

    def __attrs_post_init__(self) -> None:
        output: Any = self.output
        if isinstance(output, Mapping):
            object.__setattr__(self, "output", own_copy(cast("Mapping[str, Any]", output)))
        named = self.params.get("model")
        if self.model is not None and named is not None and named != self.model.model_name:
            raise TypeError(
                f"the request names two models: model={self.model.model_name!r} and params['model']={named!r}; give one"
            )

    @property
    def dropped_headers(self) -> tuple[str, ...]:
        """The names of the `extra_headers` that a pickle did not hold. The request can't be sent without them."""
        return tuple(name for name, value in self.extra_headers.items() if value == DROPPED)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return attrs.evolve(self)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        fields["extra_headers"] = without_secrets(self.extra_headers)
        for name in ("params", "extra_headers", "extra_body", "extra_query", "output"):
            fields[name] = portable(fields[name])
        return _made_of, (type(self), fields)


RequestLike: TypeAlias = StreamRequest[OutputT] | MessageParams | str
"""A request, or what one is made of: Messages parameters, or the text of one user message. The output of a
`RequestLike[T]`, if it wants one, is a `T`."""


def _made_of(kind: type[StreamRequest], fields: dict[str, Any]) -> StreamRequest:
    return kind(**fields)
