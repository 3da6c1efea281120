"""Bodies of the three protocols, read with bounds."""

import json
from typing import Any

from ....actors.wire import refuse_constant
from ..encoders import PROTOCOLS, Protocol
from .agui_body import read_agui
from .asked import Asked
from .native_body import read_native
from .refused import BodyRefused, as_object
from .vercel_body import read_vercel

__all__ = ["MAX_BODY", "read_body"]

MAX_BODY = 16 * 2**20
"""The largest body that is read, in bytes, unless told otherwise: `useChat` and AG-UI send the whole chat."""

_MOST_VALUES = 200_000
"""The most values that a body may hold, by the characters that begin them. Numbers and empty lists cost a hundred times
what as many bytes of text do, and Python's parser lets nothing else run meanwhile, in a thread neither."""
_MOST_DIGITS = 400
"""The most characters of a number: Python's numbers of many digits cost the square of that."""

_READERS = {"native": read_native, "vercel": read_vercel, "agui": read_agui}


def read_body(protocol: Protocol, data: bytes, *, max_bytes: int = MAX_BODY) -> Asked:
    """What a browser asks in `data`, the body of its POST.

    The last user message alone is taken, with the chat's id. All else (earlier messages, a system prompt, tools, a
    model) is in the result's `body`, for a `build` that wants it.

    Raises `BodyRefused` for what is no body of that protocol, and for one above `max_bytes`; `ValueError` for an
    unknown protocol.
    """
    read = _READERS.get(protocol)
    if read is None:
        raise ValueError(f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    if len(data) > max_bytes:
        raise BodyRefused(f"the body has {len(data):,} bytes, more than the {max_bytes:,} that are read", 413)
    if sum(map(data.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise BodyRefused(f"the body holds more than the {_MOST_VALUES:,} values that are read", 413)
    return read(as_object(_parsed(data), "the body"))


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data.decode(), parse_constant=refuse_constant, parse_int=_integer, parse_float=_fraction)
    except UnicodeDecodeError:
        raise BodyRefused("the body is not UTF-8") from None
    except json.JSONDecodeError as exc:
        raise BodyRefused(f"the body is not JSON: {exc.msg} at character {exc.pos}") from None
    except ValueError:
        raise BodyRefused("the body is not JSON: it holds a number that JSON can't say or Python won't read") from None
    except RecursionError:
        raise BodyRefused("the body is nested too deeply") from None


def _integer(text: str) -> int:
    return int(_short(text))


def _fraction(text: str) -> float:
    return float(_short(text))


def _short(text: str) -> str:
    if len(text) > _MOST_DIGITS:
        raise ValueError  # as Python raises it for more digits
    return text
