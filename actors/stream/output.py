"""An output with a type: what a request asks for, and what an actor needs to know of it to judge an answer.

How a type becomes a schema, and how an answer is validated, is not known here: it is handed in as an `OutputReading`.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, Union, cast, get_origin

import attrs
from typing_extensions import TypeVar

from ..wire import JsonPath
from .checks import as_given, number
from .own_copy import own_copy

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = [
    "InvalidOutput",
    "OutputLike",
    "OutputReading",
    "OutputSpec",
    "OutputT",
    "OutputT_co",
    "ReadItem",
    "check_type",
]

OutputT = TypeVar("OutputT", default=Any)
OutputT_co = TypeVar("OutputT_co", default=Any, covariant=True)

ReadItem: TypeAlias = Callable[[Any], Any]
"""Makes an item of plain JSON data. Raises `InvalidOutput`."""


_TOOL_NAME = re.compile("[a-zA-Z0-9_-]{1,128}")


def _check_via(_: object, __: object, via: object) -> None:
    if via not in ("format", "tool"):
        raise ValueError(f'via is "format" or "tool", not {as_given(via)}')


def _check_tool(_: object, __: object, tool: object) -> None:
    if not isinstance(tool, str):
        raise TypeError(f"tool is the tool's name, a string, not {as_given(tool)}")
    if not _TOOL_NAME.fullmatch(tool):
        raise ValueError(f"tool is a name of up to 128 letters, digits, _ and -, not {as_given(tool)}")


def check_type(_: object, field: "attrs.Attribute[Any]", given: Any) -> None:
    """For attrs: raises `TypeError` for what is neither a type nor a JSON Schema. Whether JSON can be read as the type
    is seen when it is used."""
    named = get_origin(given) is not None or hasattr(given, "__value__") or hasattr(given, "__supertype__")
    if not (named or isinstance(given, type | Mapping) or given is Any):
        raise TypeError(f"{field.name} is a type or a JSON Schema, as in output=list[str], not {as_given(given)}")


@attrs.frozen
class OutputSpec(Generic[OutputT_co]):
    """What is wanted of an answer, and how it is asked for.

    `type` is a type, or a JSON Schema as a mapping. `via="format"` holds the answer's text to the type's schema
    (`output_config.format`). `via="tool"` offers the model a tool named `tool` with that schema, whose arguments are
    the output. It takes schemas that the API's format refuses, but does not hold the model to them, and the model may
    answer without the tool: a `tool_choice` is the request's own affair.

    `retry_invalid` is how often an answer that does not fit is asked for again, with the validator's words. Each is an
    attempt among the `max_attempts` of the request's `RetryPolicy`.
    """

    type: Union["TypeForm[OutputT_co]", Mapping[str, Any]] = attrs.field(validator=check_type)
    via: Literal["format", "tool"] = attrs.field(default="format", kw_only=True, validator=_check_via)
    retry_invalid: int = attrs.field(
        default=0, kw_only=True, validator=number("{} is a whole number, 0 or more", least=0, whole=True)
    )
    tool: str = attrs.field(default="give_answer", kw_only=True, validator=_check_tool)

    def __attrs_post_init__(self) -> None:
        wanted: Any = self.type
        if isinstance(wanted, Mapping):  # not by a converter: type checkers would learn nothing of the type
            object.__setattr__(self, "type", own_copy(cast("Mapping[str, Any]", wanted)))


OutputLike: TypeAlias = Union["TypeForm[OutputT]", OutputSpec[OutputT], Mapping[str, Any]]
"""What an `output` may be: a type, a JSON Schema, or either with more said about it."""


class InvalidOutput(ValueError):
    """An output that does not fit its type. `path` says where, in the manner of `lines[0].qty`; it is empty for the
    whole. `reason` is what the validator says of it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


class OutputReading(Protocol):
    """How an answer to one request is read as an output of its type."""

    @property
    def tool(self) -> str | None:
        """The tool whose arguments are the output; None for the answer's text."""
        ...

    @property
    def root(self) -> JsonPath:
        """Where the output stands in the JSON that the model writes: in a tool's arguments, what is no object stands
        under a name."""
        ...

    @property
    def retry_invalid(self) -> int:
        """How often an answer that does not fit is asked for again."""
        ...

    def read(self, text: str) -> Any:
        """The output, made of the whole JSON text. Raises `InvalidOutput`."""
        ...

    def item(self, path: JsonPath) -> ReadItem:
        """How the items of the array at `path` are made. Raises `ValueError` when the type has no array there."""
        ...

    def shows(self, path: JsonPath) -> bool:
        """Whether the string at `path`, from the root of the JSON on, is worth showing before it is whole."""
        ...
