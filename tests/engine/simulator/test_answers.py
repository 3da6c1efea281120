"""What the simulated model says: going on with an interrupted answer, the API's own tools, citations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import (
    BashCodeExecutionToolResultBlock,
    CitationCharLocation,
    CitationContentBlockLocation,
    CitationPageLocation,
    CitationsSearchResultLocation,
    CodeExecutionToolResultBlock,
    ServerToolUseBlock,
    TextBlock,
    WebFetchToolResultBlock,
    WebSearchResultBlock,
    WebSearchToolResultBlock,
)
from anthropic.types.beta import BetaMCPToolResultBlock, BetaMCPToolUseBlock
from tests.support.responder import WEATHER, a_body, a_request, a_responder, assembled, events_of, generated, json_of

from manystream.engine.simulator import Simulator
from manystream.engine.simulator.answers.prose import count_tokens
from manystream.engine.simulator.faults.script import Cut, ScriptStep


def text_of(message: dict[str, Any]) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def interrupted(body: dict[str, Any], said: str, *, blocks: bool = False) -> dict[str, Any]:
    """The request that has a client go on with what it got of an answer."""
    text = f"Your previous response was interrupted and ended with [{said}]. Continue from where you left off."
    turn = {"role": "user", "content": [{"type": "text", "text": text}] if blocks else text}
    return {**body, "messages": [*body["messages"], turn]}


def answered(body: dict[str, Any], *script: ScriptStep) -> dict[str, Any]:
    return json_of(a_responder(*script).respond(a_request(body)))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("params", [{}, {"thinking": {"type": "adaptive"}}, {"stop_sequences": ["river"]}], ids=str)
def test_an_interrupted_answer_goes_on_wherever_it_was_cut(params: dict[str, Any], blocks: bool, stream: bool) -> None:
    body = a_body(**params)
    whole = generated(body)
    text = text_of(whole)
    for cut in (1, 7, len(text) // 2, len(text) - 1):
        request = a_request(interrupted({**body, "stream": stream}, text[:cut], blocks=blocks))
        response = a_responder().respond(request)
        rest = assembled(events_of(response.steps)) if stream else json_of(response)
        assert [block["type"] for block in rest["content"]] == ["text"]
        assert text[:cut] + text_of(rest) == text
        assert (rest["stop_reason"], rest["stop_sequence"]) == (whole["stop_reason"], whole["stop_sequence"])


def test_only_what_was_left_to_say_is_billed() -> None:
    whole = generated(a_body())
    text = text_of(whole)
    before, after = text.split(" ", 1)
    rest = generated(interrupted(a_body(), before))
    assert rest["usage"]["output_tokens"] == whole["usage"]["output_tokens"] - count_tokens(before)
    assert text_of(rest) == " " + after
    assert rest["usage"]["input_tokens"] > whole["usage"]["input_tokens"]


def test_an_answer_that_was_whole_goes_on_with_nothing() -> None:
    whole = next(message for seed in range(99) if (message := generated(a_body(), seed))["stop_reason"] == "end_turn")
    said = text_of(whole)
    rest = answered(interrupted(a_body(), said), said)
    assert rest["content"] == [{"type": "text", "text": ""}]
    assert (rest["stop_reason"], rest["usage"]["output_tokens"]) == ("end_turn", 1)
    events = events_of(a_responder(said).respond(a_request(interrupted(a_body(stream=True), said))).steps)
    assert assembled(events)["content"] == rest["content"]


def test_the_end_of_what_was_said_is_enough() -> None:
    assert text_of(answered(interrupted(a_body(), "two"), "one two three")) == " three"
    assert text_of(answered(interrupted(a_body(), "one"), "one, or one")) == ", or one"  # rather a beginning
    assert text_of(answered(interrupted(a_body(), "a] [b"), "a] [b] [c]")) == "] [c]"


def test_what_has_another_beginning_is_said_whole() -> None:
    assert text_of(answered(interrupted(a_body(), "one two"), " three")) == " three"


def test_an_answer_may_be_interrupted_twice() -> None:
    text = text_of(generated(a_body()))
    once = interrupted(a_body(), text[:10])
    assert text_of(generated(interrupted(a_body(), text[:25]))) == text[25:]  # all so far is quoted
    assert text_of(generated(interrupted(once, text[10:25]))) == text[25:]  # or a turn for each interruption


def test_calls_that_were_still_to_come_do_come() -> None:
    body = a_body("the weather", tools=[WEATHER])
    whole = generated(body)
    rest = generated(interrupted(body, text_of(whole)[:9]))
    assert text_of(rest) == text_of(whole)[9:]
    assert rest["content"][1]["input"] == whole["content"][1]["input"]
    assert rest["stop_reason"] == "tool_use"


def test_a_script_can_cut_the_same_answer_again_and_again() -> None:
    whole = "one two three four five six " * 3
    script = [Cut(after=2, how="end", text=whole) for _ in range(3)]
    responder = a_responder(*script)
    said = ""
    for _ in script:
        body = interrupted(a_body(stream=True), said) if said else a_body(stream=True)
        events = events_of(responder.respond(a_request(body)).steps)
        said += "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert whole.startswith(said)
    assert len(said) > 20


def test_only_a_last_user_turn_of_these_very_words_continues() -> None:
    text = text_of(generated(a_body()))
    alone = {**a_body(), "messages": interrupted(a_body(), text[:5])["messages"][1:]}
    assert not text.endswith(text_of(generated(alone)))
    other = interrupted(a_body(), text[:5])
    other["messages"].append({"role": "user", "content": "Why?"})
    assert not text.endswith(text_of(generated(other)))


# The API's own tools, and citations


SEARCH = {"type": "web_search_20260209", "name": "web_search"}
FETCH = {"type": "web_fetch_20260209", "name": "web_fetch", "citations": {"enabled": True}}
CODE = {"type": "code_execution_20250522", "name": "code_execution"}
SHELL = {"type": "code_execution_20260120", "name": "code_execution"}
CITED = {"citations": {"enabled": True}}
PLAIN: dict[str, Any] = {
    "type": "document",
    "title": "Rivers",
    "source": {
        "type": "text",
        "media_type": "text/plain",
        "data": "Rivers run. Do they? Naïve 🌊 ones do! And the end",
    },
    **CITED,
}


def kinds_of(message: Any) -> list[str]:
    return [block.type for block in message.content]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        Simulator().in_thread() as simulator,
        anthropic.Anthropic(api_key="k", base_url=simulator.url, max_retries=0) as client,
    ):
        yield client


def both_ways(client: Any, *, beta: bool = False, **params: Any) -> Any:
    """The message as the SDK reads it from a stream, which must be what it is when it isn't streamed."""
    route = client.beta.messages if beta else client.messages
    asked = {"model": "claude-opus-5-5", "max_tokens": 400, **params}
    with route.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert comparable(streamed) == comparable(route.create(**asked))
    return streamed


def comparable(message: Any) -> dict[str, Any]:
    """A message without the ids, which no two responses share."""
    data: dict[str, Any] = message.to_dict(mode="json")
    for part in (data, *data["content"]):
        for name in ("id", "tool_use_id", "container"):
            part.pop(name, None)
    return data


def user(*content: Any) -> list[Any]:
    return [{"role": "user", "content": list(content)}]


def say(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("tool", "prompt", "call", "result", "types"),
    [
        (SEARCH, "search for it", "web_search", "web_search_tool_result", WebSearchToolResultBlock),
        (FETCH, "fetch the page", "web_fetch", "web_fetch_tool_result", WebFetchToolResultBlock),
        (CODE, "by execution", "code_execution", "code_execution_tool_result", CodeExecutionToolResultBlock),
        (SHELL, "run code", "bash_code_execution", "bash_code_execution_tool_result", BashCodeExecutionToolResultBlock),
    ],
    ids=["search", "fetch", "code", "shell"],
)
def test_the_sdk_knows_what_the_apis_own_tools_return(
    client: Any, tool: Any, prompt: str, call: str, result: str, types: type
) -> None:
    message = both_ways(client, messages=user(say(prompt)), tools=[tool])
    used, got, *texts = message.content
    assert (type(used), used.name, bool(used.input)) == (ServerToolUseBlock, call, True)
    assert used.id.startswith("srvtoolu_01")
    assert (type(got), got.type, got.tool_use_id) == (types, result, used.id)
    assert texts
    assert all(isinstance(text, TextBlock) for text in texts)
    assert message.stop_reason == "end_turn"
    usage = message.usage.server_tool_use
    assert (usage.web_search_requests, usage.web_fetch_requests) == (call == "web_search", call == "web_fetch")
    assert (message.container is not None) == ("code_execution" in call)
    if call in ("web_search", "web_fetch"):
        citations = [citation for text in texts for citation in text.citations or ()]
        assert citations
        if call == "web_search":
            assert {type(page) for page in got.content} == {WebSearchResultBlock}
            assert {citation.url for citation in citations} <= {page.url for page in got.content}
        else:
            data = got.content.content.source.data
            for citation in citations:
                assert data[citation.start_char_index : citation.end_char_index] == citation.cited_text


def test_a_server_tool_is_called_by_chance_too_and_as_the_request_decides() -> None:
    def called(content: Any, **params: Any) -> bool:
        message = generated(a_body(content, tools=[SEARCH], **params))
        return "server_tool_use" in [block["type"] for block in message["content"]]

    assert called("Please search")
    assert called("A haiku", tool_choice={"type": "any"})
    assert called("A haiku", tool_choice={"type": "tool", "name": "web_search"})
    assert not called("Please search", tool_choice={"type": "none"})
    assert 15 < sum(called(f"Haiku {number}") for number in range(100)) < 55
    assert "server_tool_use" not in generated(a_body("Please search"))["usage"]


def test_server_tools_go_before_client_tools_and_within_max_tokens() -> None:
    body = a_body("search, then the weather", tools=[SEARCH, WEATHER])
    kinds = [block["type"] for block in generated(body)["content"]]
    assert kinds == ["server_tool_use", "web_search_tool_result", "text", "tool_use"]
    for budget in (1, 5, 9, 14, 30):
        message = generated({**body, "max_tokens": budget})
        assert message["usage"]["output_tokens"] <= budget
        assert (message["stop_reason"] == "max_tokens") == (message["usage"]["output_tokens"] == budget)
        kinds = [block["type"] for block in message["content"]]
        assert ("web_search_tool_result" in kinds) == (len(kinds) > 1)


def test_an_mcp_server_is_asked(client: Any) -> None:
    servers = [{"type": "url", "url": "https://example.com/mcp", "name": "deepwiki"}]
    asked = {"messages": user(say("ask deepwiki")), "mcp_servers": servers, "betas": ["mcp-client-2025-11-20"]}
    message = both_ways(client, beta=True, **asked)
    used, got, *_ = message.content
    assert (type(used), used.server_name) == (BetaMCPToolUseBlock, "deepwiki")
    assert (type(got), got.tool_use_id, got.is_error) == (BetaMCPToolResultBlock, used.id, False)
    assert message.usage.server_tool_use.web_search_requests == 0


def citations_of(message: Any) -> list[Any]:
    return [citation for block in message.content for citation in block.citations or ()]


def test_documents_are_cited_to_the_character(client: Any) -> None:
    other = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Not to be cited."}}
    message = both_ways(client, messages=user(other, PLAIN, say("What of rivers?")))
    assert set(kinds_of(message)) == {"text"}
    assert any(not block.citations for block in message.content)
    citations = citations_of(message)
    assert citations
    for citation in citations:
        assert type(citation) is CitationCharLocation
        assert (citation.document_index, citation.document_title) == (1, "Rivers")
        data = PLAIN["source"]["data"]
        assert data[citation.start_char_index : citation.end_char_index] == citation.cited_text != ""


@pytest.mark.parametrize(
    ("block", "types"),
    [
        (
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
            CitationPageLocation,
        ),
        (
            {"type": "document", "source": {"type": "content", "content": [say("a"), say("b")]}},
            CitationContentBlockLocation,
        ),
        ({"type": "search_result", "source": "x", "title": "y", "content": [say("a")]}, CitationsSearchResultLocation),
    ],
    ids=["pages", "blocks", "search-result"],
)
def test_each_kind_of_source_has_its_kind_of_location(client: Any, block: Any, types: type) -> None:
    message = both_ways(client, messages=user({**block, **CITED}, say("What of it?")))
    citations = citations_of(message)
    assert {type(citation) for citation in citations} == {types}
    assert all(citation.cited_text for citation in citations)


def test_nothing_is_cited_that_is_not_to_be() -> None:
    quiet = {**PLAIN, "citations": {"enabled": False}}
    empty = {**PLAIN, "source": {"type": "text", "media_type": "text/plain", "data": " "}}
    for content in (quiet, {**PLAIN, "citations": None}, empty):
        message = generated(a_body([content, say("What of rivers?")]))
        assert message["content"] == [{"type": "text", "text": text_of(message)}]


def test_a_cited_text_goes_on_where_it_was_cut() -> None:
    body = a_body([PLAIN, say("What of rivers?")])
    whole = generated(body)
    assert len(whole["content"]) > 2
    text = text_of(whole)
    for cut in range(1, len(text), 7):
        rest = generated(interrupted(body, text[:cut]))
        assert text[:cut] + text_of(rest) == text
        later = [block for block in rest["content"][1:] if "citations" in block]
        assert all(block in whole["content"] for block in later)
