"""What the command line gives all requests: --param, and --system from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from manystream.engine.cli.parameters import parameters_of
from manystream.engine.input import InputError


def given(*params: str, model: str | None = None, max_tokens: int | None = None, system: str | None = None) -> Any:
    return parameters_of(model=model, max_tokens=max_tokens, system=system, more=params)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("temperature=0.2", {"temperature": 0.2}),
        ("top_k=5", {"top_k": 5}),
        ('stop_sequences=["a", "b"]', {"stop_sequences": ["a", "b"]}),
        ('thinking={"type": "disabled"}', {"thinking": {"type": "disabled"}}),
        ("service_tier=auto", {"service_tier": "auto"}),
        ("system=3 = three", {"system": "3 = three"}),
        ("model=claude-opus-5-5", {"model": "claude-opus-5-5"}),
    ],
)
def test_a_value_is_json_or_else_a_text(text: str, value: dict[str, Any]) -> None:
    assert given(text) == value


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (("temperature",), "--param 'temperature' is not NAME=VALUE, such as temperature=0.2"),
        (("=3",), "--param '=3' is not NAME=VALUE, such as temperature=0.2"),
        (("temprature=1",),
         "--param temprature: the Messages API has no parameter 'temprature'; did you mean 'temperature'?"),
        (("temperature=hot",), "--param temperature: params.temperature must be a number, not a string"),
        (("temperature=NaN",), "--param temperature: params.temperature must be a number, not a string"),
        (('thinking={"type":',), "--param thinking: not JSON: Expecting value: line 1 column 9 (char 8)"),
        (("top_k=1", "top_k=2"), "--param top_k stands twice: give it once"),
        (("messages=[]",), "--param messages: can't be given for all requests: the prompts are the input's"),
        (("stream=true",), "--param stream: can't be given for all requests: a run streams every answer"),
        (("timeout=3",), "--param timeout: a request takes no timeout: streams end by deadlines, see `deadlines`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_before_any_request_is_looked_at(params: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        given(*params)
    assert str(caught.value) == message


def test_an_option_and_its_parameter_are_not_given_both() -> None:
    with pytest.raises(InputError, match="--param max_tokens and --max-tokens are both given: give it once"):
        given("max_tokens=3", max_tokens=4)


def test_a_system_prompt_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "system.md"
    path.write_bytes("\ufeffBe brief.\n\nNo lists.\r\n".encode())
    assert given(system=f"@{path}") == {"system": "Be brief.\n\nNo lists."}
    assert given(system="@@home") == {"system": "@home"}
    assert given(system="Be @brief") == {"system": "Be @brief"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file or directory"),
        (b"na\xefve", "not UTF-8: invalid continuation byte at byte 3"),
        (b" \n", "is empty"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_system_prompt(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "system.md"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        given(system=f"@{path}")
    assert str(caught.value) == f"--system @{path}: {message}"
