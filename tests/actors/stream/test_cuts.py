"""A thousand answers over a line that breaks at any byte: what recovery makes of them, and what that costs."""

import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import attrs
import httpx2
import pytest
from tests.support.engines import assert_one_ending, engine_in_memory
from tests.support.stage import NO_WAIT, fold
from tests.support.virtual import virtual_backends

from manystream import AnthropicModel, Engine, StreamRequest, StreamResult
from manystream.actors import Part, PartDeltaEvent, PartEvent, RestartEvent, TextPart, ThinkingPart, ToolCallPart
from manystream.actors.stream.recovery import Recovery
from manystream.engine.simulator import RecordedRequest, Simulator

pytestmark = pytest.mark.anyio

STREAMS = {"asyncio": 400, "trio": 100}
TOOL = {"name": "lookup", "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}}}
KINDS: Sequence[Mapping[str, Any]] = (
    {},
    {},
    {},
    {"tools": [TOOL]},  # some text, then a call
    {"tools": [TOOL], "tool_choice": {"type": "any"}},
    {"thinking": {"type": "adaptive"}},
)
QUESTIONS = 10 * len(KINDS)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Every stream here runs on virtual time."""
    return virtual_backends()[request.param]


def question(number: int) -> StreamRequest:
    params: Any = {
        "model": "claude-opus-4-6",  # newer ones can't be forced to call a tool
        "messages": [{"role": "user", "content": f"lookup {number}"}],
        "max_tokens": 32,
    }
    params |= KINDS[number % len(KINDS)]
    return StreamRequest(params)


# -- the line


class BreakingLine(httpx2.AsyncBaseTransport):
    """Cuts the first responses of each stream, at bytes drawn for that stream, in whatever order all run."""

    def __init__(self, simulator: Simulator, lengths: Sequence[int]) -> None:
        self._transport = simulator.transport()
        self._lengths = lengths
        self._cuts: dict[str, list[tuple[int, bool]]] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        stream = request.headers["x-stream"]
        cuts = self._cuts.setdefault(stream, self._draw(int(stream)))
        response = await self._transport.handle_async_request(request)
        if cuts:
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _CutBody(response.stream, *cuts.pop())
        return response

    def _draw(self, stream: int) -> list[tuple[int, bool]]:
        drawn = random.Random(stream)
        length = self._lengths[stream % QUESTIONS]
        return [(drawn.randrange(length), drawn.random() < 0.5) for _ in range(drawn.choice((1, 1, 1, 2)))]


class _CutBody(httpx2.AsyncByteStream):
    """The first bytes of a body; then it breaks, or ends in good order."""

    def __init__(self, body: httpx2.AsyncByteStream, length: int, breaks: bool) -> None:
        self._body = body
        self._left = length
        self._breaks = breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece[: self._left]
            self._left -= len(piece)
            if self._left <= 0:
                break
        if self._breaks:
            raise httpx2.ReadError("the line broke")

    async def aclose(self) -> None:
        await self._body.aclose()


# -- what is played over it


@attrs.frozen
class Played:
    """What became of the streams, by their numbers, and the requests that the simulator saw."""

    results: Sequence[StreamResult]
    events: Sequence[Sequence[PartEvent]]
    requests: Sequence[RecordedRequest]

    @property
    def tokens_for_plain_text(self) -> int:
        """The output tokens billed for streams that are text alone."""
        return sum(
            request.output_tokens for request in self.requests if not request.json.keys() & {"tools", "thinking"}
        )


_uncut: list[tuple[StreamResult, int]] = []
_played: dict[tuple[str, Recovery], Played] = {}


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_kept() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """What was played serves all tests here, and no others."""
    yield
    _uncut.clear()
    _played.clear()


async def uncut() -> Sequence[tuple[StreamResult, int]]:
    """The answers as they are on a line that holds, and the lengths of their bodies."""
    if not _uncut:
        simulator = Simulator()
        async with engine_in_memory(simulator, max_concurrency=1) as engine:
            answers = await engine.gather([question(number) for number in range(QUESTIONS)])
        assert {answer.state for answer in answers} == {"complete"}
        _uncut.extend(zip(answers, [request.bytes_sent for request in simulator.requests], strict=True))
    return _uncut


async def played(backend: str, recovery: Recovery) -> Played:
    """All streams over a breaking line, once for each backend. What their consumers hold is what the results say."""
    if (backend, recovery) in _played:
        return _played[backend, recovery]
    simulator = Simulator()
    line = BreakingLine(simulator, [length for _, length in await uncut()])
    model = AnthropicModel("claude-opus-5-5", api_key="k", http_client=httpx2.AsyncClient(transport=line))
    events: list[list[PartEvent]] = [[] for _ in range(STREAMS[backend])]
    async with Engine(model, max_concurrency=1000, retry=NO_WAIT, recovery=recovery) as engine:
        requests = [
            attrs.evolve(question(number % QUESTIONS), custom_id=str(number), extra_headers={"x-stream": str(number)})
            for number in range(len(events))
        ]
        async with engine.merge(requests) as channel:
            async for tagged in channel:
                events[int(tagged.custom_id or "")].append(tagged.event)
    results: list[StreamResult] = []
    for told in events:
        result = assert_one_ending(told).result
        assert tuple(fold(told)[0].values()) == result.parts
        results.append(result)
    _played[backend, recovery] = play = Played(results, events, simulator.requests)
    return play


def said_by(parts: Sequence[Part]) -> list[tuple[str, str]]:
    """What parts say, and of what kind it is; texts in a row are one text."""
    found: list[tuple[str, str]] = []
    for part in parts:
        match part:
            case TextPart() | ThinkingPart():
                said = part.content
            case ToolCallPart():
                said = part.args
            case _:
                raise AssertionError(part)
        if found and found[-1][0] == part.part_kind == "text":
            said = found.pop()[1] + said
        if said:
            found.append((part.part_kind, said))
    return found


async def test_begun_anew_every_answer_is_there_whole_and_once(anyio_backend_name: str) -> None:
    play = await played(anyio_backend_name, "restart")
    for number, result in enumerate(play.results):
        answer, _ = (await uncut())[number % QUESTIONS]
        assert result.state == "complete"
        assert said_by(result.parts) == said_by(answer.parts)
        assert all(part.complete for part in result.parts)
        assert (result.usage, result.usage_is_final) == (answer.usage, True)
        assert [bool(attempt.error) for attempt in result.attempts] == [True] * (len(result.attempts) - 1) + [False]
    # Of those cut behind the stop reason nothing is missing, and none was bought again.
    assert sum(len(result.attempts) > 1 for result in play.results) > 0.95 * len(play.results)


async def test_continued_every_text_is_whole_and_nothing_is_spliced(anyio_backend_name: str) -> None:
    play = await played(anyio_backend_name, "continue")
    for number, result in enumerate(play.results):
        answer, _ = (await uncut())[number % QUESTIONS]
        said, to_say = said_by(result.parts), said_by(answer.parts)
        if result.state == "complete":
            assert said == to_say
        else:
            assert (result.state, result.error and result.error.type) == ("truncated", "truncated")
            for (kind, text), (all_kind, all_text) in zip(said, to_say, strict=False):
                assert kind == all_kind
                assert all_text.startswith(text) if (kind, text) == said[-1] else text == all_text
            assert len(said) <= len(to_say)
        if not KINDS[number % len(KINDS)]:
            assert said == to_say
            assert result.state == "complete"
        anew = [place for place, event in enumerate(play.events[number]) if isinstance(event, RestartEvent)]
        for event in play.events[number][: anew[-1] if anew else 0]:
            assert not isinstance(event, PartDeltaEvent)
    for request in play.requests:
        continues = len(request.json["messages"]) > 1
        assert not (continues and ("thinking" in request.json or "tool_choice" in request.json))


async def test_to_continue_costs_less_than_to_begin_anew(anyio_backend_name: str) -> None:
    anew = await played(anyio_backend_name, "restart")
    continued = await played(anyio_backend_name, "continue")
    once = sum(
        answer.usage.output_tokens
        for number, (answer, _) in enumerate(await uncut())
        if not KINDS[number % len(KINDS)]
    ) * (len(anew.results) // QUESTIONS)  # fmt: skip
    assert once <= continued.tokens_for_plain_text < 0.8 * anew.tokens_for_plain_text
    for result in (*anew.results, *continued.results):
        assert result.usage.output_tokens <= result.billed.output_tokens
