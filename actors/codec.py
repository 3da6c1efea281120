"""Part events as JSON and back, for relays, files and other programs.

Each object carries its tag: `event_kind`, `part_kind` or `part_delta_kind`. An ending's request and the exceptions
behind an error are left out: a relay must not give away a prompt, and an exception is no data.
"""

import json
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from .deltas import PartDelta
from .events import PartEvent
from .parts import Part

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["decode_event", "encode_event"]


def encode_event(event: PartEvent) -> str:
    """`event` as one line of JSON."""
    # Not msgspec: it refuses the lone surrogates that a text may hold, which JSON can say with escapes.
    return json.dumps(_converter().unstructure(event, PartEvent), separators=(",", ":"))


def decode_event(data: str | bytes) -> PartEvent:
    """The event that `encode_event` wrote. Raises `ValueError` when it isn't one."""
    from cattrs import BaseValidationError

    try:
        return _converter().structure(json.loads(data), cast("type[PartEvent]", PartEvent))
    except (BaseValidationError, KeyError, TypeError, ValueError) as exc:
        raise ValueError(f"not an encoded part event: {type(exc).__name__}") from exc


@cache
def _converter() -> "Converter":
    # cattrs is not needed to run streams, and takes its time to import.
    from datetime import datetime

    from cattrs import Converter
    from cattrs.strategies import configure_tagged_union

    from .errors import ErrorInfo
    from .result import StreamResult

    converter = Converter()
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    for union, tag in ((Part, "part_kind"), (PartDelta, "part_delta_kind"), (PartEvent, "event_kind")):
        for cls, private in ((ErrorInfo, "cause"), (StreamResult, "request")):
            _leave_out(converter, cls, private)
        configure_tagged_union(union, converter, tag_name=tag, tag_generator=attrgetter(tag))
    return converter


def _leave_out(converter: "Converter", cls: type[Any], field: str) -> None:
    from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

    overrides: dict[str, Any] = {field: override(omit=True)}
    converter.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, converter, **overrides))
    converter.register_structure_hook(cls, make_dict_structure_fn(cls, converter, **overrides))
