"""What `open_run`, `plan_run` and the readers of files are given: each wrong argument is one sentence with its name,
raised where it is given, before anything is read or replaced."""

from pathlib import Path
from typing import Any

import pytest

from manystream import AnthropicModel, Engine, Price, open_run, plan_run, read_requests, read_results

MODEL = AnthropicModel("claude-opus-5-5", api_key="k")
ENGINE = Engine(MODEL)
OPEN_RUN: Any = open_run
PLAN_RUN: Any = plan_run
READ_REQUESTS: Any = read_requests
READ_RESULTS: Any = read_results

OF_A_RUN: list[tuple[dict[str, Any], str]] = [
    ({"engine": 3}, "engine is an Engine, as in async with Engine(model) as engine, not 3"),
    ({"engine": None}, "engine is an Engine, as in async with Engine(model) as engine, not None"),
    ({"engine": MODEL}, "engine is an Engine, as in async with Engine(model) as engine, not an AnthropicModel"),
    ({"source": 3}, "requests is an iterable of requests, not a int"),
    ({"source": {"prompt": "Hi"}}, "requests is an iterable of requests, not one dict: put it into a list"),
    ({"output": 3}, "output is the path of the results file, or - for standard output, not 3"),
    ({"output": None}, "output is the path of the results file, or - for standard output, not None"),
    ({"output": b"out"}, "output is the path of the results file, or - for standard output, not a bytes"),
    ({"output": ""}, "output is the path of the results file, or - for standard output, and is empty"),
    ({"stream_events": 3}, "stream_events is the path of a directory, or - for standard output, not 3"),
    ({"stream_events": ""}, "stream_events is the path of a directory, or - for standard output, and is empty"),
    *(
        ({name: value}, f"{name} is True or False, not {value!r}")
        for name in ("overwrite", "ordered", "retry_errored", "skip_invalid", "shuffle")
        for value in ("no", 1, None)
    ),
    *(({"limit": value}, f"limit is at least 1, or None, not {value!r}") for value in (0, -1, 1.5, "3", True)),
    *(({"epochs": value}, f"epochs is at least 1, not {value!r}") for value in (0, -1, 1.5, "3", True, None)),
    *(({"seed": value}, f"seed is a whole number, or None, not {value!r}") for value in (1.5, "3", True)),
    ({"recovery": "bogus"}, 'recovery is one of "fail", "restart" and "continue", not'),
    ({"retry_only": "api_error"}, "retry_only is a list of names, such as ['api_error'], not str"),
    ({"retry_only": 3}, "retry_only is a list of names, such as ['api_error'], not int"),
    ({"retry_only": [3]}, "a name in retry_only is a string, not 3"),
    ({"retry_only": ["bogus"]}, "no error is called 'bogus'; there are api_error,"),
    ({"retry_stopped": None}, "retry_stopped is a list of names, such as ['max_tokens'], not NoneType"),
    ({"retry_stopped": [3]}, "a name in retry_stopped is a string, not 3"),
    ({"retry_stopped": ["max_token"]}, "no stop reason is called 'max_token'; did you mean 'max_tokens'?"),
    ({"retry_errored": True, "retry_only": ["api_error"]}, "retry_errored runs all errors again"),
    (
        {"max_failures": 0},
        "max_failures is a number of failures such as 20, or a share of the answers such as 5%, not 0",
    ),
    ({"max_failures": []}, "max_failures is a number of failures such as 20"),
    ({"template": 3}, "template is a text in Jinja, or the Path of a file, not 3"),
    ({"template": b"{{ a }}"}, "template is a text in Jinja, or the Path of a file, not a bytes"),
    ({"template": ""}, "the template '' has no {{ column }} in it"),
    ({"columns": "prompt"}, "columns is Columns(prompt=…, id=…), not 'prompt'"),
    ({"schema": 3}, "is a type or a JSON Schema"),
    ({"schema": "Invoice"}, "is a type or a JSON Schema"),
    ({"schema": dict[str, int]}, "the output is a dictionary, and the API takes only"),
]


@pytest.mark.parametrize(("wrong", "words"), OF_A_RUN, ids=lambda value: str(value)[:40])
def test_a_run_refuses_what_it_is_given_at_once(wrong: dict[str, Any], words: str, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("earlier results\n")
    given: dict[str, Any] = {"engine": ENGINE, "source": ["Hi"], "output": output, "overwrite": True} | wrong
    with pytest.raises((TypeError, ValueError)) as raised:
        OPEN_RUN(given.pop("engine"), given.pop("source"), given.pop("output"), **given)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert output.read_text() == "earlier results\n"


OF_A_PLAN: list[tuple[dict[str, Any], str]] = [
    ({"model": 3}, 'model is a model, as in AnthropicModel("claude-opus-5-5"), not 3'),
    ({"output": 3}, "output is the path of a results file, or None, not 3"),
    ({"limits": 3}, "limits is Limits(requests_per_minute=…)"),
    ({"max_concurrency": 0}, "max_concurrency is at least 1, not 0"),
    ({"limit": "2"}, "limit is at least 1, or None, not '2'"),
    ({"epochs": "2"}, "epochs is at least 1, not '2'"),
    ({"sample": "2"}, "sample is at least 1, or None, not '2'"),
    ({"seed": "2"}, "seed is a whole number, or None, not '2'"),
    ({"shuffle": "yes"}, "shuffle is True or False, not 'yes'"),
    ({"schema": 3}, "is a type or a JSON Schema"),
]


@pytest.mark.parametrize(("wrong", "words"), OF_A_PLAN, ids=lambda value: str(value)[:40])
def test_a_plan_refuses_what_it_is_given(wrong: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"model": MODEL, "source": ["Hi"]} | wrong
    with pytest.raises((TypeError, ValueError)) as raised:
        PLAN_RUN(given.pop("model"), given.pop("source"), **given)
    assert words in str(raised.value)


@pytest.mark.parametrize("path", [3, None, b"a.jsonl", ["a.jsonl"]])
def test_files_are_named_by_paths(path: Any) -> None:
    with pytest.raises(TypeError, match="path is the path of a file of requests, or - for standard input, not "):
        READ_REQUESTS(path)
    with pytest.raises(TypeError, match="path is the path of a results file, or - for standard input, not "):
        next(READ_RESULTS(path))


def test_sampled_rows_are_counted_by_whole_numbers() -> None:
    for sample in (0, 1.5, "3"):
        with pytest.raises((TypeError, ValueError), match="sample is at least 1, or None, not"):
            READ_REQUESTS("prompts.jsonl", sample=sample)


def test_prices_are_for_answers_whose_price_was_unknown(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text(
        '{"custom_id": "a", "result": {"type": "succeeded", "message": {"model": "claude-nobody-0", "content": [],'
        ' "usage": {"input_tokens": 1000000, "output_tokens": 1000000}}}}\n'
    )
    assert [row["cost_usd"] for row in read_results(results)] == [None]
    priced = read_results(results, prices={"claude-nobody-0": Price(2, 10)})
    assert [row["cost_usd"] for row in priced] == [12.0]
