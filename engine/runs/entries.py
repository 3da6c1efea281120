"""Raw entries out of a file of requests: JSON values with their places, before anybody asks whether they are requests.

A file holds JSON Lines, or one Message Batches body, `{"requests": […]}`. Errors say where they were met.
"""

import json
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any, cast

import attrs

from ...actors.wire import refuse_constant

__all__ = [
    "Entry",
    "InputError",
    "body_entries",
    "entries_of",
    "is_body",
    "is_body_file",
    "kind_of",
    "line_entry",
    "opened",
    "place",
    "used_already",
]

_BODY = re.compile(rb'\s*\{\s*"requests"\s*:')
_HEAD_BYTES = 4096
_BOM = b"\xef\xbb\xbf"


class InputError(ValueError):
    """The input can't be run. The message is one line: which file, where in it, and what is wrong."""


@attrs.frozen
class Entry:
    """One entry of a file, which should be a request."""

    where: str
    """File and place, as errors name them."""
    number: int
    """The number of its line, or of its place in a Batches body, from 1."""
    default_id: str
    """The `custom_id` it gets if it has none and needs none."""
    read: Callable[[], object]
    """Returns the JSON value. Raises `InputError` when the text is not JSON."""


@contextmanager
def opened(name: str, open_file: Callable[[], IO[bytes]]) -> Generator[IO[bytes]]:
    """A file, closed at the end of the block. Raises `InputError` when it can't be opened or read."""
    try:
        with open_file() as file:
            yield file
    except OSError as exc:
        raise InputError(f"{name}: {(exc.strerror or str(exc)).lower()}") from exc


def is_body(head: bytes) -> bool:
    """Whether a file that begins so is a Batches body."""
    return _BODY.match(head.removeprefix(_BOM)) is not None


def is_body_file(file: IO[bytes]) -> bool:
    """Whether an open file is a Batches body. Goes back to the file's beginning."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    return is_body(head)


def place(name: str, number: int, *, in_body: bool) -> str:
    """A place as errors name it."""
    return f"{name}: requests[{number - 1}]" if in_body else f"{name}:{number}"


def used_already(where: str, custom_id: str, first: str) -> InputError:
    """The error for an id at `where` that was used at the place `first`."""
    return InputError(f"{where}: custom_id {custom_id!r} is used already, in {first}")


def entries_of(name: str, file: IO[bytes]) -> Iterator[Entry]:
    """All entries of an open file. Raises `InputError`."""
    if is_body_file(file):
        yield from body_entries(name, file.read())
        return
    for number, line in enumerate(file, 1):
        if line.strip():
            yield line_entry(name, number, line)


def line_entry(name: str, number: int, line: bytes) -> Entry:
    """The entry on a line."""
    if number == 1:
        line = line.removeprefix(_BOM)
    where = place(name, number, in_body=False)
    return Entry(where, number, f"line-{number}", lambda: _json(name, number, line.rstrip()))


def body_entries(name: str, data: bytes) -> Iterator[Entry]:
    """The entries of a Batches body. Raises `InputError` when it is not one."""
    body: Any = _json(name, 1, data.removeprefix(_BOM))
    requests = body["requests"]
    if not isinstance(requests, list):
        raise InputError(f"{name}: requests must be an array, not {kind_of(requests)}")
    for number, value in enumerate(cast("list[object]", requests), 1):
        yield Entry(place(name, number, in_body=True), number, f"request-{number - 1}", partial(_itself, value))


def _itself(value: object) -> object:
    return value


def _json(name: str, first_line: int, data: bytes) -> object:
    where = f"{name}:{first_line}"
    try:
        return json.loads(data.decode(), parse_constant=refuse_constant)
    except UnicodeDecodeError as exc:
        raise InputError(f"{where}: not UTF-8: {exc.reason} at byte {exc.start + 1}") from None
    except json.JSONDecodeError as exc:
        where = f"{name}:{first_line + exc.lineno - 1}"
        raise InputError(f"{where}: not JSON: {exc.msg} at column {exc.colno}") from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None
    except ValueError as exc:
        raise InputError(f"{where}: not JSON: {exc}") from None


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
