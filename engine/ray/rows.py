"""Rows into requests, and results into columns. It knows nothing of Ray: a batch is what Ray Data gives a function.

| a row has                        | the request                                                             |
|----------------------------------|-------------------------------------------------------------------------|
| `prompt`                         | one user message                                                        |
| `params`                         | the API's parameters: an object, or its JSON as a text                  |
| both, and `params` no messages   | the parameters, with the prompt as the user message                     |

Arrow has one shape for all rows of a column: a parameter that other rows have is null in those that lack it, and whole
numbers beside nulls become fractions. So what is null in an object, at any depth, counts as not there, and 5.0 is 5. A
text is taken as it is.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...actors.stream import StreamRequest, StreamResult
from ...actors.wire import json_text
from ..export.lines import whole_text
from ..input.checks import check_params, object_of
from ..input.formats import InputError
from ..input.plain_values import plain_row
from ..prices import Prices
from ..runs.results import batch_result

__all__ = ["COLUMNS", "answer_of", "columns_of", "refusal", "request_of"]

COLUMNS = ("text", "result", "state", "usage", "cost", "attempts", "error", "error_message")
"""What is added to each row."""

_READ = ("prompt", "params", "custom_id")


def columns_of(batch: Any) -> dict[str, Any]:
    """The columns of a batch, each a sequence: of a dict of arrays, a frame of pandas', or a table of Arrow's."""
    if isinstance(batch, Mapping):
        return dict(cast("Mapping[str, Any]", batch))
    if hasattr(batch, "column_names"):  # Arrow's
        return {name: batch.column(name).to_pylist() for name in batch.column_names}
    return {str(name): batch[name].to_numpy() for name in batch.columns}


def request_of(columns: Mapping[str, Sequence[Any]], index: int) -> StreamRequest:
    """The request of the row at `index`. Raises `InputError` when it has none."""
    where = f"row {index}"
    row = plain_row(where, {name: columns[name][index] for name in _READ if name in columns})
    params, prompt, custom_id = row.get("params"), row.get("prompt"), row.get("custom_id")
    if isinstance(params, str):
        try:
            params = json.loads(params)
        except ValueError as exc:
            raise InputError(f"{where}: params is no JSON: {exc}") from None
    else:
        params = _as_it_was(params)
    asked: dict[str, Any] = {} if params is None else dict(object_of(where, params, "params"))
    if prompt is not None and "messages" in asked:
        raise InputError(f"{where}: it has a prompt, and messages in params: one of the two is the request")
    if "messages" not in asked:
        if not isinstance(prompt, str) or not prompt:
            raise InputError(f"{where}: a row has its request in prompt, a text, or in params, with messages")
        asked["messages"] = [{"role": "user", "content": prompt}]
    try:
        request = StreamRequest(cast("Any", asked), custom_id=custom_id if isinstance(custom_id, str) else None)
    except (TypeError, ValueError) as exc:
        raise InputError(f"{where}: params: {exc}") from None
    check_params(where, request, needs_model=False)
    return request


def _as_it_was(value: object) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).items()
        return {name: _as_it_was(one) for name, one in members if one is not None}
    if isinstance(value, list):
        return [_as_it_was(one) for one in cast("list[object]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def answer_of(result: StreamResult, model_name: str, prices: Prices) -> dict[str, Any]:
    """What is added to the row of this result. `model_name` is the engine's model."""
    error, used = result.error, result.billed
    return {
        "text": whole_text(result.text),
        "result": json_text(batch_result(result) or {"type": "canceled"}),
        "state": result.state,
        "usage": {
            "input_tokens": used.input_tokens,
            "output_tokens": used.output_tokens,
            "cache_creation_input_tokens": used.cache_creation_input_tokens,
            "cache_read_input_tokens": used.cache_read_input_tokens,
        },
        "cost": _cost(result, model_name, prices),
        "attempts": len(result.attempts),
        # Not one object: Arrow makes empty ones of those that are missing.
        "error": None if error is None else error.type,
        "error_message": None if error is None else whole_text(error.message),
    }


def refusal(exc: Exception) -> dict[str, Any]:
    """What is added to a row that has no valid request."""
    message = str(exc)
    error = {"type": "invalid_request_error", "message": message}
    return {
        "text": "",
        "result": json_text({"type": "errored", "error": {"type": "error", "error": error}}),
        "state": "failed",
        "usage": {
            "input_tokens": 0,
            "output_tokens": 0,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
        "cost": 0.0,
        "attempts": 0,
        "error": "request_error",
        "error_message": whole_text(message),
    }


def _cost(result: StreamResult, model_name: str, prices: Prices) -> float:
    """Dollars for all attempts; not a number when the price is unknown."""
    asked = result.request.params.get("model", model_name) if result.request is not None else model_name
    names = [name for name in (result.model_name, asked) if isinstance(name, str)]
    dollars = 0.0
    for attempt in result.attempts:
        used = attempt.known_usage
        if used.total_input_tokens or used.output_tokens:
            costs = (prices.cost(name, used) for name in names)
            dollars += next((cost for cost in costs if cost is not None), float("nan"))
    return dollars
