"""A copy of what a request was made of, so that later changes to the caller's objects change nothing.

Dictionaries, lists and what else is sent as JSON's objects and arrays are copied, at any depth; strings, numbers and
other values that can't change are shared. What can be read only once is read, and what the SDK would encode is encoded
now, as the SDK does it. What it does not know is left as it is: the SDK says best what is wrong with it.
"""

import base64
import io
import sys
from collections import UserString
from collections.abc import Iterator, Mapping, MappingView, Sequence, Set
from datetime import date
from pathlib import Path
from typing import Any, cast

__all__ = ["own_copy"]

_PLAIN = frozenset({str, int, float, bool, type(None)})
_SCALARS = (str, bytes, bytearray, memoryview, UserString)
_DEEPEST = 250  # arrays and objects in each other: a tool's input may have 200, and stands some deep in `messages`


def own_copy(value: Any) -> Any:
    """A copy of `value` that shares nothing with it that could change.

    Open files are read, and given as base64; so is a path where the API wants base64 data. Iterators are read, and
    become lists as other arrays do; tuples stay tuples. Pydantic models (the SDK's own among them) and dates become
    what the SDK sends for them. Reading a file or an iterator may block, and raises what it raises.

    Raises `ValueError` for what holds itself, or is more than 250 levels deep.
    """
    if type(value) in _PLAIN:
        return value
    try:
        return _copied(value, _DEEPEST)
    except RecursionError:
        raise ValueError("the request is nested too deep for the stack it is made on") from None


def _copied(value: Any, room: int) -> Any:
    if not room:
        raise ValueError(f"a request can't be nested more than {_DEEPEST} levels deep; does it hold itself?")
    room -= 1
    kind = cast("type[object]", type(value))
    if kind is dict:
        copy = {name: item if type(item) in _PLAIN else _copied(item, room) for name, item in value.items()}
        if "data" in copy and isinstance(copy["data"], Path) and copy.get("type") == "base64":
            copy["data"] = _read_path(copy["data"])
        return copy
    if kind is list:
        return [item if type(item) in _PLAIN else _copied(item, room) for item in value]
    if kind is tuple:
        return tuple([item if type(item) in _PLAIN else _copied(item, room) for item in value])
    return _encoded(value, room)


def _encoded(value: Any, room: int) -> Any:
    """The rarer kinds, in the order in which the SDK asks for them."""
    if isinstance(value, _SCALARS):
        return cast("object", value)
    if isinstance(value, Mapping):
        return _copied(dict(cast("Mapping[Any, Any]", value)), room + 1)
    if isinstance(value, io.IOBase):
        content: str | bytes = value.read()  # the SDK takes files where base64 is wanted
        return _base64(content)
    if isinstance(value, (Sequence, Set, MappingView, Iterator)):
        return _copied(list(cast("Iterator[Any]", value)), room + 1)
    if isinstance(value, date):
        return value.isoformat()
    pydantic: Any = sys.modules.get("pydantic")  # until it is imported, nothing can be one of its models
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        model: Any = value
        hidden = getattr(model, "__api_exclude__", None)  # what the SDK keeps to itself
        return _copied(model.model_dump(mode="json", exclude_unset=True, by_alias=True, exclude=hidden), room + 1)
    return value


def _read_path(path: Path) -> str | Path:
    try:
        return _base64(path.read_bytes())
    except OSError:
        return path  # the SDK will reject it too, and only that request fails


def _base64(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()
