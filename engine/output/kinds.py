"""What types are made of: the fields of classes, the items of lists, and what is found on the way to a value."""

import dataclasses
import types
from collections import abc
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NotRequired, Required, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs
import msgspec
from typing_extensions import ReadOnly, is_typeddict

from ...actors.wire import JsonPath

__all__ = ["alternatives", "fields_of", "holds_lazy", "holds_pydantic", "item_type", "member_type", "types_at"]

_LAZY: tuple[Any, ...] = (abc.Iterable, abc.Iterator, abc.Generator)
_DICTIONARIES = ("dict", "Mapping", "MutableMapping", "defaultdict", "OrderedDict")
_SAID_OF_IT: tuple[Any, ...] = (Annotated, Required, NotRequired, ReadOnly)
_LISTS = ("list", "set", "frozenset", "deque", "Sequence", "MutableSequence", "Collection", "Set")


def holds_pydantic(given: Any) -> bool:
    """Whether a type is, or holds anywhere, a model or a dataclass of pydantic's."""
    return any(
        hasattr(found, "__pydantic_core_schema__") or hasattr(found, "__pydantic_validator__")
        for found in _held_by(given)
    )


def holds_lazy(given: Any) -> bool:
    """Whether a type is, or holds anywhere, something that is made item by item when it is asked for, such as an
    `Iterable`: nothing of it would have been checked."""
    return any((get_origin(found) or found) in _LAZY for found in _held_by(given))


def _held_by(given: Any) -> Iterator[Any]:
    """A type, and all that it is made of, each once."""
    seen: list[Any] = []
    waiting = [given]
    while waiting:
        found = waiting.pop()
        if any(found is other for other in seen):
            continue
        seen.append(found)
        yield found
        waiting += [*get_args(found), getattr(found, "__value__", None), *fields_of(found).values()]
        waiting.append(getattr(found, "__supertype__", None))


def fields_of(given: Any) -> dict[str, Any]:
    """The types of a class's fields, by their names in JSON; none for what has no fields."""
    kind: Any = get_origin(given) or given
    if not isinstance(kind, type):
        return {}
    kind = cast("Any", kind)
    if hasattr(kind, "model_fields"):  # pydantic: its fields know their constraints and their names in JSON
        return dict(_model_fields(given if isinstance(given, type) else kind))
    if issubclass(kind, msgspec.Struct):
        return {field.encode_name: field.type for field in msgspec.structs.fields(given)}
    named_tuple = tuple in kind.__mro__ and hasattr(kind, "_fields")
    if not (dataclasses.is_dataclass(kind) or attrs.has(kind) or is_typeddict(kind) or named_tuple):
        return {}
    try:
        hints = get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):  # a name that is not known here: what reads the type will say so
        return {}
    parameters: Any = getattr(kind, "__parameters__", ())
    arguments = dict(zip(parameters, get_args(given), strict=False))
    return {name: _filled_in(hint, arguments) for name, hint in hints.items()}


def _model_fields(model: Any) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        alias = field.validation_alias if isinstance(field.validation_alias, str) else field.alias
        told = field.annotation
        for constraint in field.metadata:
            told = Annotated[told, constraint]
        yield alias or name, told


def _filled_in(hint: Any, arguments: Mapping[Any, Any]) -> Any:
    """A field's type, with what the class's own parameters stand for."""
    if isinstance(hint, TypeVar):
        return arguments.get(hint, Any)
    parameters: Any = getattr(hint, "__parameters__", ())
    return hint[tuple(arguments.get(parameter, Any) for parameter in parameters)] if parameters else hint


def types_at(given: Any, path: JsonPath) -> list[Any]:
    """The types that a value at `path` may have, alternatives one by one; none when there is no such value."""
    found = [*alternatives(given)]
    for key in path:
        found = [
            inner
            for kind in found
            for told in ([member_type(kind, key)] if isinstance(key, str) else [item_type(kind)])
            if told is not None
            for inner in alternatives(told)
        ]
    return found


def member_type(given: Any, name: str) -> Any:
    """The type of a member of an object, by its name; None when there is none of that name."""
    arguments = get_args(given)
    if getattr(get_origin(given), "__name__", "") in _DICTIONARIES and len(arguments) == 2:
        return arguments[1]
    return fields_of(given).get(name)


def item_type(given: Any) -> Any:
    """The type of a list's items; None for what is no list."""
    origin = get_origin(given)
    name = getattr(origin or given, "__name__", "")
    arguments = get_args(given)
    if origin is tuple:
        return arguments[0] if len(arguments) == 2 and arguments[1] is Ellipsis else None
    return arguments[0] if name in _LISTS and len(arguments) == 1 else None


def alternatives(given: Any) -> Iterator[Any]:
    """The types that a value of a type may have, one by one: those of a union, without names and remarks."""
    origin = get_origin(given)
    if origin in _SAID_OF_IT:
        yield from alternatives(get_args(given)[0])
    elif (supertype := cast("Any", getattr(given, "__supertype__", None))) is not None:
        yield from alternatives(supertype)
    elif getattr(given, "__pydantic_root_model__", False):
        yield from alternatives(fields_of(given)["root"])
    elif origin is Union or isinstance(given, types.UnionType):
        for inner in get_args(given):
            yield from alternatives(inner)
    elif (alias := cast("Any", getattr(given, "__value__", None))) is not None and not isinstance(given, type):
        yield from alternatives(alias)  # a type that was given a name
    else:
        yield given
