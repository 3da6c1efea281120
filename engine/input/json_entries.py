"""JSON entries: a line each, or all in one document, a Message Batches body or an array. Errors say where they are."""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from ...actors.wire import refuse_constant
from .entry import Entry, kind_of, place
from .formats import Form, InputError, without_bom

__all__ = ["JsonLines", "document_entries"]


class JsonLines:
    """The entries of a file with one on each line. Empty lines are skipped."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = 0

    def feed(self, line: bytes) -> Entry | None:
        """Takes the next line, and returns its entry if it has one."""
        self._number += 1
        number = self._number
        if number == 1:
            line = without_bom(line)
        if not line.strip():
            return None
        return Entry(
            place(self._name, number, "lines"),
            number,
            f"line-{number}",
            partial(_json, self._name, number, line.rstrip()),
        )

    def end(self) -> Entry | None:
        """Nothing is left when no more lines come."""
        return None


def document_entries(name: str, form: Form, data: bytes) -> Iterator[Entry]:
    """The entries of a Batches body or of an array. Raises `InputError` when it is not one."""
    document: Any = _json(name, 1, without_bom(data))
    requests = document["requests"] if form == "body" else document
    if not isinstance(requests, list):
        raise InputError(f"{name}: requests must be an array, not {kind_of(requests)}")
    for number, value in enumerate(cast("list[object]", requests), 1):
        yield Entry(place(name, number, form), number, f"request-{number - 1}", partial(_itself, value))


def _itself(value: object) -> object:
    return value


class _RepeatedKeyError(Exception):
    """An object has a key twice."""


def _object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKeyError(next(name for name in names if names.count(name) > 1))
    return found


_STRICT = json.JSONDecoder(parse_constant=refuse_constant, object_pairs_hook=_object_of)
_LENIENT = json.JSONDecoder(parse_constant=refuse_constant)
_MAY_BE_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def _json(name: str, first_line: int, data: bytes) -> object:
    where = f"{name}:{first_line}"
    try:
        text = data.decode()
        try:
            value = _STRICT.decode(text)
        except _RepeatedKeyError as exc:
            raise InputError(f"{where}{_id_in(text)}: the key {str(exc)!r} stands twice in one object") from None
    except UnicodeDecodeError as exc:
        raise InputError(f"{where}: not UTF-8: {exc.reason} at byte {exc.start + 1}") from None
    except json.JSONDecodeError as exc:
        where = f"{name}:{first_line + exc.lineno - 1}"
        raise InputError(f"{where}: not JSON: {exc.msg} at column {exc.colno}") from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None
    except InputError:
        raise
    except ValueError as exc:
        raise InputError(f"{where}: not JSON: {exc}") from None
    if _MAY_BE_HALF.search(data) and (path := _half_character(value, "")) is not None:
        raise InputError(
            f"{where}{_id_in(text)}: {path.lstrip('.')} holds half of a surrogate pair, which is no character: an emoji"
            " was cut in two"
        )
    return value


def _id_in(text: str) -> str:
    """The id of the request in a text, as places name it; nothing if it has none, or many."""
    value: object = _LENIENT.decode(text)
    custom_id = cast("dict[str, object]", value).get("custom_id") if isinstance(value, dict) else None
    return f" ({custom_id})" if isinstance(custom_id, str) and custom_id.isascii() else ""


def _half_character(value: object, path: str) -> str | None:
    """The path to the first text with a lone surrogate."""
    match value:
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                return path
            return None
        case dict():
            inner = [(one, f"{path}.{name}") for name, one in cast("dict[str, object]", value).items()]
            inner += [(name, f"{path} (a key)") for name in cast("dict[str, object]", value)]
        case list():
            inner = [(one, f"{path}[{number}]") for number, one in enumerate(cast("list[object]", value))]
        case _:
            return None
    return next((found for one, where in inner if (found := _half_character(one, where)) is not None), None)
