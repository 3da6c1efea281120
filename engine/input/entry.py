"""An entry of an input: one JSON value and its place, before anybody asks whether it is a request."""

from collections.abc import Callable

import attrs

from .formats import Form, InputError

__all__ = ["Entry", "kind_of", "place", "used_already"]


@attrs.frozen
class Entry:
    """One entry of an input, which should be a request, or a row that becomes one."""

    where: str
    """File and place, as errors name them."""
    number: int
    """The number of its (first) line, or of its place in a document, from 1."""
    default_id: str
    """The `custom_id` it gets if it has none and needs none."""
    read: Callable[[], object]
    """Returns the JSON value. Raises `InputError` when the text is not JSON."""
    is_row: bool = False
    """Whether it is a table's row in any case."""


def place(name: str, number: int, form: Form) -> str:
    """A place as errors name it."""
    match form:
        case "lines" | "delimited":
            return f"{name}:{number}"
        case "parquet":
            return f"{name}: row {number}"
        case "body":
            return f"{name}: requests[{number - 1}]"
        case "array":
            return f"{name}: [{number - 1}]"


def used_already(where: str, custom_id: str, first: str) -> InputError:
    """The error for an id at `where` that was used at the place `first`."""
    return InputError(f"{where}: custom_id {custom_id!r} is used already, in {first}")


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
