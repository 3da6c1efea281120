"""How JSON becomes values of a type: by msgspec, by pydantic, or as it is when a plain JSON Schema takes it.

Each reader is a type's own decoder. What it finds wrong is told with its place and the validator's own words.
"""

import json
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NoReturn, Protocol, Union, cast

import msgspec

from ...actors import JsonObject
from ...actors.stream import InvalidOutput
from ...actors.wire import JsonPath, parse_json
from .kinds import holds_lazy, holds_pydantic, item_type, types_at
from .moments import with_moments
from .subset import members, resolve

__all__ = ["TypeReader", "json_of", "reader_for"]

_AT = re.compile(r" - at `\$\.?(.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"Resource '(.*?)' is not present|Pointer '(.*?)' does not exist")
_MOST_TOLD = 3


class TypeReader(Protocol):
    """What reads one type."""

    @property
    def schema(self) -> JsonObject:
        """The type's JSON Schema, as whole as there is one."""
        ...

    def read(self, text: str) -> Any:
        """The value of a whole JSON text. Raises `InvalidOutput`."""
        ...

    def convert(self, value: Any) -> Any:
        """The value of plain JSON data. Raises `InvalidOutput`."""
        ...

    def item(self, path: JsonPath) -> "TypeReader | None":
        """What reads the items of the array at `path`; None when there is no array."""
        ...


def reader_for(given: Any) -> TypeReader:
    """What reads a type, or plain data by a JSON Schema.

    Raises `TypeError` for what is no type that JSON can be read as.
    """
    if isinstance(given, Mapping):
        return _SchemaReader(dict(cast("Mapping[str, Any]", given)), None)
    if isinstance(given, str):
        raise TypeError(f"output is a type or a JSON Schema, not the name {given!r}")
    if holds_lazy(given):
        raise TypeError(f"output: {_said(given)} would be read lazily, and nothing of it be checked: write list[...]")
    if holds_pydantic(given):
        return _by_pydantic(given)
    try:
        schema = msgspec.json.schema(given)
    except (TypeError, NameError) as exc:
        try:
            return _by_pydantic(given)  # it takes unions of dataclasses, told apart by their fields
        except TypeError:
            raise TypeError(f"output: {_said(given)} can't be read from JSON: {_first_line(exc)}") from exc
    return _MsgspecReader(given, with_moments(schema, given))


def _said(given: Any) -> str:
    return given.__name__ if isinstance(given, type) else str(given)


def _first_line(exc: BaseException) -> str:
    """What a library says of a type, without its advice on itself."""
    lines = [line for line in str(exc).splitlines() if line.strip() and not line.startswith("-")]
    return lines[-1] if lines and lines[0].endswith(":") else (lines or [type(exc).__name__])[0]


class _MsgspecReader:
    def __init__(self, given: Any, schema: JsonObject) -> None:
        self._type = given
        self.schema = schema
        self._decode: Callable[[str], Any] = msgspec.json.Decoder(given).decode

    def read(self, text: str) -> Any:
        try:
            return self._decode(text)
        except msgspec.ValidationError as exc:
            raise _by_msgspec(exc) from None
        except (msgspec.DecodeError, UnicodeEncodeError):
            # It may be JSON nevertheless: half a surrogate pair is refused, and JSON can say it.
            return self.convert(json_of(text))

    def convert(self, value: Any) -> Any:
        try:
            return msgspec.convert(value, self._type, str_keys=True)
        except msgspec.ValidationError as exc:
            raise _by_msgspec(exc) from None

    def item(self, path: JsonPath) -> TypeReader | None:
        return _item_reader(self._type, path)


def _by_msgspec(exc: msgspec.ValidationError) -> InvalidOutput:
    said = str(exc)
    if (place := _AT.search(said)) is not None:
        return InvalidOutput(place[1], said[: place.start()])
    return InvalidOutput("", said)


def json_of(text: str) -> Any:
    """The plain data of a JSON text. Raises `InvalidOutput` for what is no JSON."""
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidOutput("", f"it is no JSON: {exc}") from None


def _item_reader(given: Any, path: JsonPath) -> TypeReader | None:
    found: list[Any] = []
    for kind in types_at(given, path):
        if (inner := item_type(kind)) is not None and inner not in found:
            found.append(inner)
    return reader_for(Union[tuple(found)]) if found else None  # noqa: UP007


def _by_pydantic(given: Any) -> TypeReader:
    from pydantic import PydanticUserError, TypeAdapter  # comes with the SDK; takes its time to import

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(given)
        return _PydanticReader(given, adapter, adapter.json_schema())
    except PydanticUserError as exc:
        raise TypeError(f"output: {_said(given)} can't be read by pydantic: {_first_line(exc)}") from exc


class _PydanticReader:
    def __init__(self, given: Any, adapter: Any, schema: JsonObject) -> None:
        self._type = given
        self.schema = schema
        from pydantic import ValidationError
        from pydantic_core import PydanticSerializationError, to_json

        self._validate: Callable[[str | bytes], Any] = adapter.validate_json
        self._to_json: Callable[[Any], bytes] = to_json
        self._invalid, self._unwritable = ValidationError, PydanticSerializationError

    def read(self, text: str) -> Any:
        try:
            return self._validate(text)
        except self._invalid as exc:
            raise _told_by_pydantic(exc) from None
        except UnicodeEncodeError:
            raise InvalidOutput("", "it holds half a surrogate pair, which pydantic does not take") from None

    def convert(self, value: Any) -> Any:
        # From JSON again, not from the data: strict models take dates and the like only from JSON.
        try:
            return self._validate(self._to_json(value))
        except self._invalid as exc:
            raise _told_by_pydantic(exc) from None
        except self._unwritable:  # half a surrogate pair, of which `read` says what is wrong
            return self.read(json.dumps(value))

    def item(self, path: JsonPath) -> TypeReader | None:
        return _item_reader(self._type, path)


def _told_by_pydantic(exc: Any) -> InvalidOutput:
    # Without the input: what the model wrote is in the result, and need not be in every log.
    errors: list[Any] = exc.errors(include_url=False, include_input=False, include_context=False)
    place = _shown(errors[0]["loc"])
    words = errors[0]["msg"]
    others = [f"{_shown(error['loc'])}: {error['msg']}".removeprefix(": ") for error in errors[1:_MOST_TOLD]]
    more = f"; and {len(errors) - _MOST_TOLD} more" if len(errors) > _MOST_TOLD else ""
    return InvalidOutput(place, "; ".join([words, *others]) + more)


def _shown(path: Any) -> str:
    shown = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return shown.removeprefix(".")


def _fetch_nothing(uri: str) -> NoReturn:
    """For the validator, which would read files and ask servers that a schema names."""
    raise LookupError(uri)


class _SchemaReader:
    """Plain JSON data that a JSON Schema takes."""

    def __init__(self, schema: JsonObject, root: JsonObject | None) -> None:
        try:
            jsonschema_rs: Any = import_module("jsonschema_rs")
        except ImportError:
            raise TypeError(
                "a plain JSON Schema as output needs the extra schema: pip install 'manystream[schema]'; a type doesn't"
            ) from None
        self.schema = schema
        self._root = schema if root is None else root
        try:
            self._validator: Any = jsonschema_rs.validator_for(
                schema, mask="the value", validate_formats=True, retriever=_fetch_nothing
            )
        except (ValueError, jsonschema_rs.ReferencingError) as exc:
            if (missing := _MISSING.search(str(exc))) is not None:
                reference = missing[1] or f"#{missing[2]}"
                raise TypeError(
                    f"output: the schema refers to {reference!r}, which is not in it: put it under $defs"
                ) from None
            place = _shown(getattr(exc, "instance_path", ()))
            at = f" at {place}" if place else ""
            raise TypeError(f"output: this is no JSON Schema{at}: {_first_line(exc)}") from exc

    def read(self, text: str) -> Any:
        return self.convert(json_of(text))

    def convert(self, value: Any) -> Any:
        found = next(self._validator.iter_errors(value), None)
        if found is not None:
            raise InvalidOutput(_shown(found.instance_path), str(found.message))
        return value

    def item(self, path: JsonPath) -> TypeReader | None:
        found = [self.schema]
        for key in (*path, 0):
            found = [inner for part in found for kind in self._alternatives(part) for inner in _step(kind, key)]
        if not found:
            return None
        shared = {name: self._root[name] for name in ("$defs", "definitions", "$schema") if name in self._root}
        return _SchemaReader({**shared, **(found[0] if len(found) == 1 else {"anyOf": found})}, self._root)

    def _alternatives(self, schema: JsonObject) -> list[JsonObject]:
        if isinstance(reference := schema.get("$ref"), str):
            return self._alternatives(resolve(self._root, reference) or {})
        inner: list[JsonObject] = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
        return [schema, *(found for part in inner for found in self._alternatives(part))]


def _step(schema: JsonObject, key: str | int) -> list[JsonObject]:
    inner: object
    if isinstance(key, str):
        inner = members(schema).get(key, schema.get("additionalProperties"))
    else:
        inner = schema.get("items")
    return [cast("JsonObject", inner)] if isinstance(inner, dict) else []
