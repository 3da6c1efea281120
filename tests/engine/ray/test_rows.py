"""Rows into requests and results into columns, without Ray."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from manystream import Attempt, ErrorInfo, InputError, Price, StreamRequest, StreamResult, TextPart, Usage
from manystream.engine.prices import Prices
from manystream.engine.ray.rows import COLUMNS, answer_of, columns_of, refusal, request_of

MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("row", "params"),
    [
        ({"prompt": "Hi"}, {"messages": MESSAGES}),
        ({"prompt": "Hi", "params": None, "other": object()}, {"messages": MESSAGES}),
        ({"prompt": "Hi", "params": float("nan")}, {"messages": MESSAGES}),
        ({"prompt": "Hi", "params": {"max_tokens": 5}}, {"messages": MESSAGES, "max_tokens": 5}),
        ({"params": {"messages": MESSAGES, "system": "S"}}, {"messages": MESSAGES, "system": "S"}),
        ({"prompt": None, "params": json.dumps({"messages": MESSAGES})}, {"messages": MESSAGES}),
        # As Arrow has it: what only other rows have is null, and numbers beside nulls are fractions.
        (
            {"prompt": "Hi", "params": {"max_tokens": 5.0, "temperature": 0.5, "top_k": None}},
            {"messages": MESSAGES, "max_tokens": 5, "temperature": 0.5},
        ),
        ({"params": {"messages": [{**MESSAGES[0], "name": None}], "system": None}}, {"messages": MESSAGES}),
    ],
)
def test_a_row_becomes_a_request(row: dict[str, Any], params: dict[str, Any]) -> None:
    found = request_of({name: [value] for name, value in row.items()}, 0).params
    assert json.dumps(found, sort_keys=True) == json.dumps(params, sort_keys=True)


def test_a_text_of_json_keeps_its_nulls() -> None:
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {"a": None}}
    messages = [*MESSAGES, {"role": "assistant", "content": [call]}]
    found = request_of({"params": [json.dumps({"messages": messages})]}, 0).params
    assert found["messages"][1]["content"][0]["input"] == {"a": None}


def test_the_id_of_a_row_is_its_requests() -> None:
    columns = {"prompt": ["a", "b"], "custom_id": ["one", "two"]}
    assert [request_of(columns, index).custom_id for index in (0, 1)] == ["one", "two"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "a row has its request in prompt"),
        ({"prompt": ""}, "a row has its request in prompt"),
        ({"prompt": 5}, "a row has its request in prompt"),
        ({"prompt": "Hi", "params": {"messages": MESSAGES}}, "a prompt, and messages in params"),
        ({"params": "{"}, "params is no JSON"),
        ({"params": [1]}, "params must be an object, not an array"),
        ({"prompt": "Hi", "params": {"max_token": 5}}, "did you mean 'max_tokens'"),
        ({"prompt": "Hi", "params": {"max_tokens": "5"}}, "max_tokens must be a number"),
        ({"params": {"messages": []}}, "messages must be an array of at least one message"),
        ({"prompt": "Hi", "params": b"x"}, "bytes"),
    ],
)
def test_a_row_that_is_no_request_is_told(row: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=r"^row 0: ") as caught:
        request_of({name: [value] for name, value in row.items()}, 0)
    assert said in str(caught.value)
    told = refusal(caught.value)
    assert tuple(told) == COLUMNS
    assert (told["state"], told["attempts"], told["error"], told["cost"]) == ("failed", 0, "request_error", 0.0)
    assert told["error_message"] == str(caught.value)


def a_result(**facts: Any) -> StreamResult:
    given: dict[str, Any] = {"state": "complete", "stream_id": "s", "timestamp": datetime.now(UTC)}
    return StreamResult(**(given | facts))


def attempt(number: int, output: int) -> Attempt:
    return Attempt(number, 0.0, 1.0, usage=Usage(input_tokens=10, output_tokens=output))


def test_an_answer_has_all_attempts_in_its_usage_and_cost() -> None:
    result = a_result(
        parts=(TextPart("Hello \ud83d"),),
        message={"role": "assistant", "content": []},
        attempts=(attempt(1, 5), attempt(2, 20)),
        request=StreamRequest("Hi"),
    )
    found = answer_of(result, "mine", Prices({"mine": Price(1e6, 2e6)}))
    assert tuple(found) == COLUMNS
    assert found["text"] == "Hello \N{REPLACEMENT CHARACTER}"
    assert json.loads(found["result"])["type"] == "succeeded"
    assert (found["usage"]["input_tokens"], found["usage"]["output_tokens"]) == (20, 25)
    assert (found["cost"], found["attempts"], found["error"]) == (20 + 50, 2, None)


def test_an_unknown_price_is_not_a_number_and_no_attempt_costs_nothing() -> None:
    assert math.isnan(answer_of(a_result(attempts=(attempt(1, 5),)), "unheard-of", Prices())["cost"])
    error = ErrorInfo("overloaded_error", "Overloaded", 529)
    found = answer_of(a_result(state="failed", error=error, attempts=(Attempt(1, 0.0, 1.0),)), "unheard-of", Prices())
    assert (found["cost"], found["error"], found["error_message"]) == (0.0, "overloaded_error", "Overloaded")
    assert json.loads(found["result"])["error"]["error"]["type"] == "overloaded_error"


def test_batches_of_every_format_have_columns() -> None:
    assert columns_of({"a": [1]}) == {"a": [1]}
    pandas, arrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    assert list(columns_of(pandas.DataFrame({"a": [1, 2]}))["a"]) == [1, 2]
    assert columns_of(arrow.table({"a": [1, 2]})) == {"a": [1, 2]}
