"""What stands in events and results as plain JSON data, made by cattrs of the attrs classes themselves.

Each object carries its tag: `part_kind` or `part_delta_kind`. The exceptions behind an error are left out: an exception
is no data.
"""

from collections.abc import Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import attrs

from ..message import Part, PartDelta
from ..wire import JsonObject
from .failure import ErrorInfo
from .output import OutputSpec
from .pickling import without_secrets
from .request import StreamRequest

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["configure_tag", "leave_out", "new_converter", "request_data"]


def new_converter() -> "Converter":
    """A converter that knows parts, deltas, errors and times. Events and results are for its callers to add."""
    # cattrs is not needed to run streams, and takes its time to import.
    from datetime import datetime

    from cattrs import Converter

    converter = Converter()
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(float, _float)
    # The API's own JSON goes through as it is, however deep.
    converter.register_unstructure_hook_func(_is_json, _plain)
    converter.register_structure_hook_func(_is_json, _json)
    # In this order: each is made from those before it.
    configure_tag(converter, Part, "part_kind")
    configure_tag(converter, PartDelta, "part_delta_kind")
    leave_out(converter, ErrorInfo, "cause")
    return converter


def configure_tag(converter: "Converter", union: Any, tag: str) -> None:
    """Has the members of `union` told apart by `tag`, an attribute of each that stands in its data."""
    from cattrs.strategies import configure_tagged_union

    configure_tagged_union(union, converter, tag_name=tag, tag_generator=attrgetter(tag))


def leave_out(converter: "Converter", cls: type[Any], *fields: str) -> None:
    """Leaves fields of `cls` out of its data; read back, each has its default."""
    from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

    overrides: dict[str, Any] = {field: override(omit=True) for field in fields}
    converter.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, converter, **overrides))
    converter.register_structure_hook(cls, make_dict_structure_fn(cls, converter, **overrides))


def request_data(request: StreamRequest) -> JsonObject:
    """A request, as what `StreamRequest` is made of. A header that may be a secret is `"<dropped>"`, the model is its
    name, and a value that is no JSON (which can't be sent either) the name of its class."""
    return {
        "params": _json_like(request.params),
        "model": request.model and request.model.model_name,
        "custom_id": request.custom_id,
        "betas": list(request.betas),
        "extra_headers": _json_like(without_secrets(request.extra_headers)),
        "extra_body": _json_like(request.extra_body),
        "extra_query": _json_like(request.extra_query),
        "deadlines": request.deadlines and attrs.asdict(request.deadlines),
        "retry": request.retry and attrs.asdict(request.retry),
        "recovery": request.recovery,
        "output": _output_data(request.output),
        "group": request.group,
        "priority": request.priority,
    }


def _output_data(output: Any) -> Any:
    """What the request wants as output: a schema as it is, a type by its name."""
    if isinstance(output, OutputSpec):
        spec = cast("OutputSpec[Any]", output)
        return {**attrs.asdict(spec, recurse=False), "type": _output_data(spec.type)}
    if output is None or isinstance(output, Mapping):
        return _json_like(output)
    return output.__qualname__ if isinstance(output, type) else str(output)


def _json_like(value: Any) -> Any:
    # By `map`, which takes half the stack that a comprehension does.
    if isinstance(value, Mapping):
        inner = cast("Mapping[Any, Any]", value)
        return dict(zip(map(str, inner), map(_json_like, inner.values()), strict=True))
    if isinstance(value, list | tuple):
        return list(map(_json_like, cast("list[Any]", value)))
    if value is None or isinstance(value, str | int | float):
        return value
    return f"<{type(value).__name__}>"


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
