"""Recovery after content: what follows a failure, by the request and by what has come."""

import io
from typing import Any

import pytest
from tests.support.recovering import PREFILLED, TEXT, USER

from manystream.actors import (
    FallbackPart,
    Part,
    StreamRequest,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    Usage,
)
from manystream.actors.stream.recovery import NextStep, Recovery, continuation, next_step, takes_continuation

ENDED = TextPart("Hel")


@pytest.mark.parametrize(
    ("parts", "step"),
    [
        ([TEXT], "continue"),
        ([ENDED], "continue"),
        ([ENDED, TEXT], "continue"),
        ([TextPart("", complete=False)], "again"),  # nothing was said yet
        ([TextPart("Hel", ({"type": "char_location"},))], "end"),
        ([TextPart("Hel", unknown_deltas=({"type": "new"},))], "end"),
        ([ThinkingPart("Hm", "sig"), TEXT], "end"),
        ([ENDED, ToolCallPart("f", "{", "t", complete=False)], "end"),
        ([ENDED, ToolCallPart("f", "{}", "t")], "end"),
        ([ENDED, FallbackPart("a", "b")], "end"),
    ],
)
def test_only_plain_text_is_continued(parts: list[Part], step: NextStep) -> None:
    def steps(recovery: Recovery, contents: int = 3, stop_reason: str | None = None, continuable: bool = True) -> str:
        return next_step(recovery, contents=contents, parts=parts, stop_reason=stop_reason, continuable=continuable)

    assert steps("continue") == step
    assert steps("continue", continuable=False) == "end"
    assert steps("restart") == "again"
    assert steps("fail") == "end"
    for recovery in ("fail", "restart", "continue"):
        assert steps(recovery, contents=0) == "again"
        assert steps(recovery, contents=0, stop_reason="end_turn") == "end"  # it would only be bought again


SCHEMA: dict[str, Any] = {"type": "json_schema", "schema": {}}


REQUESTS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"messages": [USER]}, {}, True),
    ({"messages": [*PREFILLED, USER], "tools": [{}]}, {"x": 1}, True),
    ({"messages": (USER,), "output_config": {"effort": "low", "format": None}}, {}, True),
    ({"messages": PREFILLED}, {}, False),
    ({"messages": []}, {}, False),
    ({"messages": [USER], "output_config": {"format": SCHEMA}}, {}, False),
    ({"messages": [USER], "output_format": SCHEMA}, {}, False),
    ({"messages": [USER]}, {"output_config": {"format": SCHEMA}}, False),
    ({"messages": [USER]}, {"messages": [USER]}, False),
]


@pytest.mark.parametrize(("params", "extra_body", "takes"), REQUESTS)
def test_which_requests_take_a_continuation(params: dict[str, Any], extra_body: dict[str, Any], takes: bool) -> None:
    assert takes_continuation(params, extra_body) == takes


def test_a_continuation_quotes_the_text_in_one_more_user_turn() -> None:
    params = {"messages": [*PREFILLED, USER], "max_tokens": 5}
    asked = continuation(params, "A [b].\nC \ud83d\ude00 \ud83d")
    quoted = "ended with [A [b].\nC \U0001f600 \ufffd]. Continue from where you left off."
    turn = {"role": "user", "content": f"Your previous response was interrupted and {quoted}"}
    assert asked == {"messages": [*PREFILLED, USER, turn], "max_tokens": 5}
    assert params["messages"] == [*PREFILLED, USER]


def test_a_recovery_that_does_not_exist() -> None:
    wrong: Any = "resume"
    with pytest.raises(ValueError, match=r"recovery is one of .* not 'resume'"):
        StreamRequest("hi", recovery=wrong)


def test_what_can_be_read_once_can_be_sent_more_often() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": io.BytesIO(b"png")}
    image = {"type": "image", "source": source}
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": "t", "content": iter([image])}
    messages = [USER, {"role": "user", "content": (block for block in [result])}]
    request = StreamRequest({"messages": iter(messages), "system": ({"text": text} for text in "ab")})
    read = {**image, "source": {**source, "data": "cG5n"}}
    assert request.params == {
        "messages": [USER, {"role": "user", "content": [{**result, "content": [read]}]}],
        "system": [{"text": "a"}, {"text": "b"}],
    }


def test_usages_add_up() -> None:
    first = Usage(1, 2, 3, 4, None, {"service_tier": "standard", "server_tool_use": {"web_search_requests": 1}})
    second = Usage(
        10, 20, 30, 40, 5, {"service_tier": "batch", "server_tool_use": {"web_search_requests": 2}, "i": [1]}
    )
    assert first + second == Usage(
        11, 22, 33, 44, 5, {"service_tier": "batch", "server_tool_use": {"web_search_requests": 3}, "i": [1]}
    )
    assert second + Usage() == Usage() + second == second
