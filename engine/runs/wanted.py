"""What a run asks for in requests that do not say it themselves: an output of a type."""

from typing import Any

import attrs

from ...actors.stream import OutputLike, StreamRequest

__all__ = ["with_schema"]


def with_schema(request: StreamRequest, schema: OutputLike[Any] | None) -> StreamRequest:
    """The request, with the run's output if it wants none of its own."""
    return request if schema is None or request.output is not None else attrs.evolve(request, output=schema)
