"""Which strings of an output are worth showing before they are whole, by its schema.

The beginning of a text says something. Half a date, half a number in quotes, or half a word of a few that are allowed
says nothing, or something wrong.
"""

from typing import cast

from ...actors import JsonObject
from ...actors.wire import JsonPath
from .subset import members, resolve

__all__ = ["Shown"]

_DEEPEST = 50
_DECIDED = ("enum", "const", "format", "pattern", "contentEncoding")


class Shown:
    """Asked of a path, it says whether the string there is shown while it grows. It looks each kind of path up once."""

    def __init__(self, schema: JsonObject) -> None:
        self._root = schema
        self._known: dict[tuple[str | None, ...], bool] = {}

    def __call__(self, path: JsonPath) -> bool:
        kind = tuple([key if isinstance(key, str) else None for key in path])
        shown = self._known.get(kind)
        if shown is None:
            shown = self._known[kind] = self._look_up(kind)
        return shown

    def _look_up(self, path: tuple[str | None, ...]) -> bool:
        found = self._alternatives(self._root, _DEEPEST)
        for key in path:
            inner = [_inside(schema, key) for schema in found]
            found = [kind for schema in inner if schema is not None for kind in self._alternatives(schema, _DEEPEST)]
        strings = [schema for schema in found if _takes_strings(schema)]
        # What the schema does not speak of is a text like any other.
        return not strings or any(not any(name in schema for name in _DECIDED) for schema in strings)

    def _alternatives(self, schema: JsonObject, room: int) -> list[JsonObject]:
        """What the schema may stand for, references followed."""
        if not room:
            return []
        if isinstance(reference := schema.get("$ref"), str):
            return self._alternatives(resolve(self._root, reference) or {}, room - 1)
        inner = [part for name in ("anyOf", "oneOf", "allOf") for part in schema.get(name, ())]
        if not inner:
            return [schema]
        return [kind for part in inner for kind in self._alternatives(cast("JsonObject", part), room - 1)]


def _inside(schema: JsonObject, key: str | None) -> JsonObject | None:
    found: object
    if key is None:
        places: list[object] = schema.get("prefixItems") or []
        found = schema.get("items") or (places[0] if places else None)
    else:
        found = members(schema).get(key, schema.get("additionalProperties"))
    return cast("JsonObject", found) if isinstance(found, dict) else None


def _takes_strings(schema: JsonObject) -> bool:
    kinds: object = schema.get("type")
    listed = cast("list[object]", kinds) if isinstance(kinds, list) else [kinds]
    return "string" in listed or (kinds is None and ("enum" in schema or "const" in schema))
