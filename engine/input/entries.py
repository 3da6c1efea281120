"""Raw entries out of a file of requests: JSON values with their places, before anybody asks whether they are requests.

A file holds JSON Lines, or one document: a Message Batches body, `{"requests": […]}`, or an array. Errors say where
they were met.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any, cast

import attrs

from ...actors.wire import refuse_constant
from .formats import HEAD_BYTES, Form, InputError, check_head, form_of, without_bom

__all__ = [
    "Entry",
    "document_entries",
    "entries_of",
    "form_of_file",
    "kind_of",
    "line_entry",
    "place",
    "used_already",
]


@attrs.frozen
class Entry:
    """One entry of a file, which should be a request."""

    where: str
    """File and place, as errors name them."""
    number: int
    """The number of its line, or of its place in a document, from 1."""
    default_id: str
    """The `custom_id` it gets if it has none and needs none."""
    read: Callable[[], object]
    """Returns the JSON value. Raises `InputError` when the text is not JSON."""


def form_of_file(file: IO[bytes]) -> Form:
    """What an open file holds. Goes back to the file's beginning."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    return form_of(head)


def place(name: str, number: int, form: Form) -> str:
    """A place as errors name it."""
    match form:
        case "lines":
            return f"{name}:{number}"
        case "body":
            return f"{name}: requests[{number - 1}]"
        case "array":
            return f"{name}: [{number - 1}]"


def used_already(where: str, custom_id: str, first: str) -> InputError:
    """The error for an id at `where` that was used at the place `first`."""
    return InputError(f"{where}: custom_id {custom_id!r} is used already, in {first}")


def entries_of(name: str, file: IO[bytes]) -> Iterator[Entry]:
    """All entries of an open file. Raises `InputError`."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    check_head(name, head)
    if (form := form_of(head)) != "lines":
        yield from document_entries(name, form, file.read())
        return
    for number, line in enumerate(file, 1):
        if line.strip():
            yield line_entry(name, number, line)


def line_entry(name: str, number: int, line: bytes) -> Entry:
    """The entry on a line."""
    if number == 1:
        line = without_bom(line)
    return Entry(place(name, number, "lines"), number, f"line-{number}", lambda: _json(name, number, line.rstrip()))


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


def kind_of(value: object) -> str:
    """What kind of JSON value it is, with its article, for errors."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a string" if value else "an empty string"
        case list():
            return "an array" if value else "an empty array"
        case dict():
            return "an object"
        case _:
            return "a number"
