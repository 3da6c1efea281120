"""A result as data, in a repr and in a notebook: all of the answer in the one, none of it in the other, no markup of
others in the third."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, cast

import attrs
import pytest

from manystream import (
    AnthropicModel,
    Attempt,
    Deadlines,
    ErrorInfo,
    RedactedThinkingPart,
    ServerToolCallPart,
    StreamEndEvent,
    StreamRequest,
    StreamResult,
    TextPart,
    ThinkingPart,
    Timings,
    ToolCallPart,
    UnknownPart,
    Usage,
    encode_event,
)

KEY, PROMPT, ANSWER = "sk-ant-planted", "planted prompt", "planted answer"
WHEN = datetime(2026, 11, 1, tzinfo=UTC)
MODEL = AnthropicModel("claude-opus-5-5", api_key=KEY)
REQUEST = StreamRequest(
    {"messages": [{"role": "user", "content": PROMPT}], "metadata": {"raw": object()}},
    model=MODEL,
    extra_headers={"x-api-key": KEY, "x-plain": "1"},
    deadlines=Deadlines(total=9),
)


def result(**changes: Any) -> StreamResult:
    base: dict[str, Any] = {
        "state": "failed",
        "stream_id": "stream_1",
        "custom_id": "c",
        "request": REQUEST,
        "model_name": "claude-opus-5-5",
        "stop_reason": "end_turn",
        "parts": (
            ThinkingPart(ANSWER, "sig"),
            TextPart(ANSWER, citations=({"cited_text": ANSWER},)),
            ToolCallPart("look", '{"a": "planted answer"}', "t1"),
            ServerToolCallPart("search", '{"q": "planted answer"}', "t2"),
            RedactedThinkingPart(ANSWER),
            UnknownPart({"type": "new", "text": ANSWER}),
        ),
        "message": {"content": [{"type": "text", "text": ANSWER}]},
        "usage": Usage(1200, 34),
        "error": ErrorInfo("overloaded_error", f"it quotes {PROMPT}", 529, rate_limits={"a": "b"}),
        "attempts": (Attempt(1, 0.0, 1.0, "req_1", error=ErrorInfo("api_error", PROMPT)), Attempt(2, 1.0, 2.0)),
        "request_id": "req_2",
        "timestamp": WHEN,
        "timings": Timings(sent=0.5, first_content=1.25, end=2.0),
        "stop_details": {"why": ANSWER},
        "extra": {"more": ANSWER},
    }
    return StreamResult(**(base | changes))


def test_the_dict_is_what_encode_event_writes() -> None:
    one = result()
    written = json.loads(encode_event(StreamEndEvent(one, stream_id="s", first_seq=1, seq=1)))["result"]
    assert one.to_dict() == written == json.loads(one.to_json())
    assert "request" not in written
    assert written["parts"][1]["content"] == ANSWER
    assert written["timestamp"] == "2026-11-01T00:00:00+00:00"


def test_the_dict_shares_nothing_with_the_result() -> None:
    one = result()
    told = one.to_dict()
    told["message"]["content"][0]["text"] = "changed"
    told["parts"].clear()
    assert one.to_dict()["message"] == {"content": [{"type": "text", "text": ANSWER}]}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_it_is_json_whatever_the_answer_holds(number: float) -> None:
    deep: Any = "end"
    for _ in range(3000):
        deep = [deep]
    one = result(message={"deep": deep, "number": number, "half": "\ud800"})
    told = json.loads(one.to_json(), parse_constant=pytest.fail)
    assert told["message"]["half"] == "\ud800"
    assert told == one.to_dict()
    assert "\n" not in one.to_json()


def test_the_request_is_told_only_when_it_is_asked_for_and_its_secrets_never() -> None:
    told = result().to_dict(request=True)["request"]
    assert told["params"] == {"messages": [{"role": "user", "content": PROMPT}], "metadata": {"raw": "<object>"}}
    assert told["model"] == "claude-opus-5-5"
    assert told["extra_headers"] == {"x-api-key": "<dropped>", "x-plain": "1"}
    assert told["deadlines"]["total"] == 9
    assert set(told) == {field.name for field in attrs.fields(StreamRequest)}
    assert KEY not in result().to_json(request=True)
    assert PROMPT not in result(error=None, attempts=()).to_json()
    assert "request" not in result(request=None).to_dict(request=True)


def test_a_repr_is_a_few_lines_without_what_was_asked_or_answered() -> None:
    shown = repr(result())
    assert shown.splitlines() == [
        "<StreamResult failed, end_turn",
        "  error overloaded_error 529",
        "  custom_id 'c'",
        "  stream_id stream_1",
        "  model claude-opus-5-5",
        "  request_id req_2",
        "  parts thinking, text, tool-call, server-tool-call, redacted-thinking, unknown",
        "  tokens 1,200 in, 34 or more out",
        "  time 2.000 s, first content after 0.750 s, 2 attempts>",
    ]
    assert not any(secret in shown for secret in (KEY, PROMPT, ANSWER))


def test_a_repr_of_the_least_that_there_is() -> None:
    least = StreamResult(state="cancelled", stream_id="s", cancelled_by="handle", usage_is_final=True, timestamp=WHEN)
    assert [line.strip() for line in repr(least).splitlines()] == [
        "<StreamResult cancelled",
        "cancelled by handle",
        "stream_id s",
        "parts none",
        "tokens 0 in, 0 out",
        "time 0.000 s>",
    ]


class _Markup(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Any]] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", None))

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", data))

    def handle_data(self, data: str) -> None:
        self.words += data


HOSTILE = """</pre></details></div><script>alert("1")</script><img src=x onerror='a'>&lt;b&gt;<!-- {} \ud800\x00"""


def texts_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a result, its parts and its error there is text, the request apart."""
    for field in attrs.fields(cast("type[Any]", type(value))):
        inner = getattr(value, field.name)
        if isinstance(inner, str) and field.name not in ("state", "deadline"):
            yield (*path, field.name)
        elif isinstance(inner, ErrorInfo):
            yield from texts_of(inner, (*path, field.name))
        elif field.name == "parts":
            for number, part in enumerate(inner):
                yield from texts_of(part, (*path, field.name, number))


def with_text(value: Any, path: tuple[Any, ...], text: str) -> Any:
    name, *rest = path
    if isinstance(value, tuple):
        return tuple(with_text(part, tuple(rest), text) if i == name else part for i, part in enumerate(value))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    inner = with_text(getattr(value, name), tuple(rest), text) if rest else text
    return attrs.evolve(value, **{name: inner})


WHOLE = result(cancelled_by="handle", cancel_reason="why", message_id="m", stop_sequence="x")


@pytest.mark.parametrize("path", [*texts_of(WHOLE)], ids=lambda path: ".".join(map(str, path)))
def test_no_text_becomes_markup_in_a_notebook(path: tuple[Any, ...]) -> None:
    quiet = _Markup(WHOLE._repr_html_())  # pyright: ignore[reportPrivateUsage]
    page = with_text(WHOLE, path, HOSTILE)._repr_html_()
    page.encode()  # a notebook writes it
    assert _Markup(page).tags == quiet.tags


def test_every_text_that_may_be_hostile_is_tried() -> None:
    tried = {".".join(map(str, path)) for path in texts_of(WHOLE)}
    assert {"model_name", "custom_id", "error.message", "error.type", "parts.1.content", "parts.2.args"} <= tried
    assert {"parts.2.tool_name", "stop_reason", "request_id", "parts.0.content"} <= tried


def test_a_notebook_shows_the_answer_and_nothing_of_the_request() -> None:
    page = _Markup(result(error=None)._repr_html_())  # pyright: ignore[reportPrivateUsage]
    assert page.words.count(ANSWER) == 3  # the thinking, the text, the arguments
    assert PROMPT not in page.words
    assert KEY not in page.words
    for told in ("failed, end_turn", "1,200 in, 34 or more out", "2.000 s"):
        assert told in page.words


def test_a_notebook_is_not_filled_by_one_long_answer() -> None:
    page = result(parts=(TextPart("x" * 1_000_000),))._repr_html_()  # pyright: ignore[reportPrivateUsage]
    assert len(page) < 60_000
    assert "950,000 more characters" in page
