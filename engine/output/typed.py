"""An output of a type, ready for use: what is sent to ask for it, and how an answer is read.

It is made once for each type: the schema is derived, brought into what the API takes, and kept with the readers.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import attrs
import msgspec

from ...actors import JsonObject, Part
from ...actors.output_reader import output_text
from ...actors.stream import InvalidOutput, OutputSpec, ReadItem, StreamRequest, check_kind
from ...actors.wire import JsonPath
from .readers import TypeReader, json_of, reader_for
from .shown import Shown
from .subset import SchemaRefused, fit, members, resolve

__all__ = ["TypedOutput", "typed_output"]

_WRAPPED = "value"
_NAME = re.compile("[a-zA-Z0-9_.-]{1,64}")
_KEPT_TYPES = 256  # each with its schema and decoder


@attrs.frozen(eq=False)
class TypedOutput:
    """How one type is asked for and read. `OutputReading` says what an actor wants of it."""

    schema: JsonObject = attrs.field(repr=False)
    """What is sent."""
    tool: str | None
    root: JsonPath
    retry_invalid: int
    _reader: TypeReader = attrs.field(repr=False)
    _shown: Shown = attrs.field(repr=False)
    _items: dict[JsonPath, ReadItem] = attrs.field(factory=dict[JsonPath, ReadItem], init=False, repr=False)

    def read(self, text: str) -> Any:
        """The output, made of the whole JSON text. Raises `InvalidOutput`."""
        if not self.root:
            return self._reader.read(text)
        try:
            arguments = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeEncodeError):
            value = json_of(text)  # which takes half a surrogate pair, too
            if not isinstance(value, dict) or _WRAPPED not in value:
                raise self._unwrapped() from None
            return self._reader.convert(value[_WRAPPED])
        if _WRAPPED not in arguments:
            raise self._unwrapped()
        return self._reader.read(bytes(arguments[_WRAPPED]).decode())

    def _unwrapped(self) -> InvalidOutput:
        return InvalidOutput("", f"the arguments of the tool {self.tool!r} are not an object with {_WRAPPED!r}")

    def data_of(self, parts: Sequence[Part]) -> Any:
        """The output of an answer with these parts, as plain JSON data; None when none of it is JSON."""
        found = [text for part in parts if (text := output_text(part, self.tool)) is not None]
        try:
            data = json_of(found[-1]) if found else None
        except InvalidOutput:
            return None
        return data[_WRAPPED] if self.root and data is not None else data

    def item(self, path: JsonPath) -> ReadItem:
        """How the items of the array at `path` are made. Raises `ValueError` when the type has no array there."""
        if path not in self._items:
            reader = self._reader.item(path)
            if reader is None:
                place = f"at {'.'.join(map(str, path))!r}" if path else "as a whole"
                raise ValueError(f"the output is no list {place}: items() takes the names that lead to one")
            self._items[path] = reader.convert
        return self._items[path]

    def shows(self, path: JsonPath) -> bool:
        """Whether the string at `path`, from the root of the JSON on, is worth showing before it is whole."""
        return self._shown(path[len(self.root) :])

    def asked_of(self, params: Mapping[str, Any], request: StreamRequest) -> dict[str, Any]:
        """The parameters with the output asked for.

        Raises `TypeError` when they ask for another one already, and where they can't take one in.
        """
        body: dict[str, Any] = {**params, **request.extra_body}
        config: dict[str, Any] = body.get("output_config") or {}
        check_kind("output_config", config, Mapping, 'a mapping, such as {"effort": "low"}')
        if body.get("output_format") is not None or config.get("format") is not None:
            raise TypeError("the request asks for two outputs: give output=, or a format in output_config; not both")
        if self.tool is None:
            _check_free(request, "output_config")
            return {**params, "output_config": {**config, "format": {"type": "json_schema", "schema": self.schema}}}
        _check_free(request, "tools")
        given: Any = params.get("tools") or ()
        check_kind("tools", given, (list, tuple), "a list of tools, each a mapping")
        tools: list[Any] = [*given]
        if any(isinstance(tool, Mapping) and tool.get("name") == self.tool for tool in tools):
            raise TypeError(f"the request has a tool {self.tool!r} already: OutputSpec(..., tool=) names another")
        return {**params, "tools": [*tools, {"name": self.tool, "description": _USE, "input_schema": self.schema}]}


_USE = "Gives the final answer: call it once, with all of it, when the answer is ready."


def _check_free(request: StreamRequest, name: str) -> None:
    if name in request.extra_body:
        raise TypeError(f"extra_body has {name!r}, which output= sends: put it into the request's parameters")


def typed_output(given: Any) -> TypedOutput:
    """What an `output` stands for: a type, a JSON Schema, or an `OutputSpec`.

    Raises `TypeError` for what is no type that JSON can be read as, and `SchemaRefused` (a `ValueError`) for a type
    that the API can't hold answers to; either says what to change.
    """
    spec = cast("OutputSpec[Any]", given if isinstance(given, OutputSpec) else OutputSpec(given))
    tool = spec.tool if spec.via == "tool" else None
    wanted: Any = spec.type
    if isinstance(wanted, Mapping):
        made = _of_schema(msgspec.json.encode(wanted), tool)
    elif _is_hashable(wanted):
        made = _of_type(wanted, tool)
    else:
        made = _made(wanted, tool)
    return made if spec.retry_invalid == made.retry_invalid else attrs.evolve(made, retry_invalid=spec.retry_invalid)


def _is_hashable(given: Any) -> bool:
    try:
        hash(given)
    except TypeError:  # an annotation may be anything
        return False
    return True


@lru_cache(_KEPT_TYPES, typed=True)
def _of_type(given: Any, tool: str | None) -> TypedOutput:
    return _made(given, tool)


@lru_cache(_KEPT_TYPES)
def _of_schema(schema: bytes, tool: str | None) -> TypedOutput:
    return _made(msgspec.json.decode(schema), tool)


def _made(given: Any, tool: str | None) -> TypedOutput:
    reader = reader_for(given)
    shown = Shown(reader.schema)
    if tool is None:
        return TypedOutput(fit(reader.schema), None, (), 0, reader, shown)
    _check_names(reader.schema)
    if _is_object(reader.schema):
        return TypedOutput(_whole_object(reader.schema), tool, (), 0, reader, shown)
    inner = {name: value for name, value in reader.schema.items() if name not in ("$defs", "definitions", "$schema")}
    wrapped: JsonObject = {"type": "object", "properties": {_WRAPPED: inner}, "required": [_WRAPPED]}
    wrapped |= {name: reader.schema[name] for name in ("$defs", "definitions") if name in reader.schema}
    return TypedOutput(wrapped, tool, (_WRAPPED,), 0, reader, shown)


def _check_names(schema: object) -> None:
    """Raises `SchemaRefused` for names of fields that the API takes in no tool's schema."""
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            part = cast("JsonObject", found)
            odd = [name for name in members(part) if not _NAME.fullmatch(name)]
            if odd:
                raise SchemaRefused(
                    f"a field is named {odd[0]!r}, and the API takes only up to 64 letters, digits and ._- in a tool's"
                    " schema: give it such a name in JSON, an alias"
                )
            waiting += part.values()
        elif isinstance(found, list):
            waiting += cast("list[object]", found)


def _is_object(schema: JsonObject) -> bool:
    found: JsonObject | None = schema
    for _ in range(10):
        reference: object = found.get("$ref")
        if not isinstance(reference, str) or (found := resolve(schema, reference)) is None:
            break
    # At the top of a tool's schema the API takes no alternatives.
    return found is not None and found.get("type") == "object" and not {"anyOf", "oneOf", "allOf"} & {*found}


def _whole_object(schema: JsonObject) -> JsonObject:
    """A tool's schema says by itself that it is an object; the definition that the root refers to is put there."""
    found = schema
    while isinstance(reference := found.get("$ref"), str):
        found = resolve(schema, reference) or {}
    shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    return {**found, **shared}
