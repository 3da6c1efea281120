"""Part events as JSON and back, for relays, files and other programs.

Each object carries its tag: `event_kind`, `part_kind` or `part_delta_kind`. An ending's request and the exceptions
behind an error are left out: a relay must not give away a prompt, and an exception is no data.
"""

import json
from collections.abc import Mapping
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from ..message import Part, PartDelta
from ..wire import JsonObject, json_text
from .events import PartEvent

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["decode_event", "encode_event"]


def encode_event(event: PartEvent) -> str:
    """`event` as one line of JSON, in ASCII. Numbers that are not finite are given as their text."""
    # Not msgspec: it refuses the lone surrogates that a text may hold, which JSON can say with escapes.
    return json_text(_converter().unstructure(event, PartEvent))


def decode_event(data: str | bytes) -> PartEvent:
    """The event that `encode_event` wrote. Raises `ValueError` when it isn't one."""
    from cattrs import BaseValidationError

    try:
        return _converter().structure(json.loads(data), cast("type[PartEvent]", PartEvent))
    except (BaseValidationError, KeyError, TypeError, ValueError, RecursionError) as exc:
        raise ValueError(f"not an encoded part event: {type(exc).__name__}") from exc


@cache
def _converter() -> "Converter":
    # cattrs is not needed to run streams, and takes its time to import.
    from datetime import datetime

    from cattrs import Converter
    from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
    from cattrs.strategies import configure_tagged_union

    from .failure import ErrorInfo
    from .result import StreamResult

    converter = Converter()
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(float, _float)
    # The API's own JSON goes through as it is, however deep.
    converter.register_unstructure_hook_func(_is_json, _plain)
    converter.register_structure_hook_func(_is_json, _json)

    def configure(union: Any, tag: str) -> None:
        configure_tagged_union(union, converter, tag_name=tag, tag_generator=attrgetter(tag))

    def leave_out(cls: type[Any], field: str) -> None:
        overrides: dict[str, Any] = {field: override(omit=True)}
        converter.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, converter, **overrides))
        converter.register_structure_hook(cls, make_dict_structure_fn(cls, converter, **overrides))

    # In this order: each is made from those before it.
    configure(Part, "part_kind")
    configure(PartDelta, "part_delta_kind")
    leave_out(ErrorInfo, "cause")
    leave_out(StreamResult, "request")
    configure(PartEvent, "event_kind")
    return converter


def _is_json(kind: Any) -> bool:
    return kind in (Any, JsonObject, Mapping[str, Any], Mapping[str, str])


def _plain(value: Any) -> Any:
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else value


def _json(value: Any, kind: Any) -> Any:
    return value if kind is Any else _exactly(value, dict)


def _exactly(value: Any, kind: type[Any]) -> Any:
    """`value`, which must be of this kind already: a string of digits is not a number."""
    if type(value) is kind:
        return value
    raise TypeError(f"a {type(value).__name__} instead of a {kind.__name__}")


def _float(value: Any, kind: type[float]) -> Any:
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    return value if type(value) is int else _exactly(value, kind)
