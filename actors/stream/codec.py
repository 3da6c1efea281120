"""Part events as JSON and back, for relays, files and other programs.

Each object carries its tag: `event_kind`, `part_kind` or `part_delta_kind`. An ending's request and the exceptions
behind an error are left out: a relay must not give away a prompt, and an exception is no data.
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from ..wire import json_text
from .events import PartEvent
from .plain_data import configure_tag, leave_out, new_converter

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["decode_event", "encode_event", "event_from_data"]


def encode_event(event: PartEvent) -> str:
    """`event` as one line of JSON, in ASCII. Numbers that are not finite are given as their text."""
    # Not msgspec: it refuses the lone surrogates that a text may hold, which JSON can say with escapes.
    return json_text(_converter().unstructure(event, PartEvent))


def decode_event(data: str | bytes) -> PartEvent:
    """The event that `encode_event` wrote. Raises `ValueError` when it isn't one."""
    try:
        value = json.loads(data)
    except (TypeError, ValueError, RecursionError) as exc:
        raise ValueError(f"not an encoded part event: {type(exc).__name__}") from exc
    return event_from_data(value)


def event_from_data(value: Any) -> PartEvent:
    """The event that stands in what `encode_event` wrote, once that was read as JSON. Raises as `decode_event`."""
    from cattrs import BaseValidationError

    try:
        return _converter().structure(value, cast("type[PartEvent]", PartEvent))
    except (BaseValidationError, KeyError, TypeError, ValueError, RecursionError) as exc:
        raise ValueError(f"not an encoded part event: {type(exc).__name__}") from exc


@cache
def _converter() -> "Converter":
    from .result import StreamResult

    converter = new_converter()
    leave_out(converter, StreamResult, "request", "output")
    configure_tag(converter, PartEvent, "event_kind")
    return converter
