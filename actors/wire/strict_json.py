"""JSON as RFC 8259 has it, which every reader takes: for results, events and everything else that other programs read.

Python's own decoder and encoder take NaN and Infinity, which are no JSON, and the encoder fails at what is nested about
a thousand deep. Here `refuse_constant` makes the decoder refuse them; a number that is not finite is written as its
text, and what lies deeper than 500 in such a value as its JSON text.
"""

import json
import math
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import NoReturn, cast

__all__ = ["json_line", "json_text", "refuse_constant"]

_DEEPEST = 500  # all readers in Python take it
_ASCII = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_UNICODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False)
# Readers that split a text into lines (str.splitlines, JavaScript of old) split it here too.
_LINE_ENDS = (("\x85", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))

Quote = Callable[[str], str]


def refuse_constant(name: str) -> NoReturn:
    """For `json.loads(…, parse_constant=refuse_constant)`: raises `ValueError` for NaN, Infinity and -Infinity."""
    raise ValueError(f"{name} is not a JSON value")


def json_text(value: object) -> str:
    """`value` in one line of ASCII. Halves of surrogate pairs are kept, as escapes."""
    try:
        return _ASCII.encode(value)
    except (ValueError, RecursionError):
        return _written(value, encode_basestring_ascii, _DEEPEST)


def json_line(value: object) -> bytes:
    """`value` in one line of UTF-8, line feed included; in ASCII where it holds halves of surrogate pairs, which UTF-8
    can't say."""
    try:
        text = _UNICODE.encode(value)
    except (ValueError, RecursionError):
        text = _written(value, encode_basestring, _DEEPEST)
    if not text.isascii():
        for char, escape in _LINE_ENDS:
            text = text.replace(char, escape)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json_text(value).encode() + b"\n"


def _written(value: object, quote: Quote, deepest: float) -> str:
    """What the encoders refuse. Without recursion, however deep it is."""
    pieces: list[str] = []
    todo: list[tuple[object, int]] = [(value, 0)]  # a depth of -1 marks what is written already; the last comes first
    while todo:
        item, depth = todo.pop()
        if depth < 0:
            pieces.append(cast(str, item))
        elif not isinstance(item, Mapping | list | tuple):
            pieces.append(_scalar(item, quote))
        elif depth >= deepest:
            pieces.append(quote(_written(cast(object, item), encode_basestring, math.inf)))
        else:
            if isinstance(item, Mapping):
                ends = "{}"
                inner = [(f"{_key(key, quote)}:", it) for key, it in cast("Mapping[object, object]", item).items()]
            else:
                ends, inner = "[]", [("", it) for it in cast("list[object]", item)]
            todo.append((ends[1], -1))
            for number in range(len(inner) - 1, -1, -1):
                before, it = inner[number]
                todo += ((it, depth + 1), (f",{before}" if number else before, -1))
            todo.append((ends[0], -1))
    return "".join(pieces)


def _key(key: object, quote: Quote) -> str:
    return quote(key if isinstance(key, str) else _scalar(key, quote).strip('"'))


def _scalar(value: object, quote: Quote) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case float():
            return repr(value) if math.isfinite(value) else quote(_not_finite(value))
        case int():
            try:
                return int.__repr__(value)
            except ValueError:  # so long that Python won't write it
                return quote(hex(value))
        case _:
            raise TypeError(f"a {type(value).__name__} is no JSON")


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
