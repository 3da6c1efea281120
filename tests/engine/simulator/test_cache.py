"""The prompt cache: what is read, what is written, when others see it, and what the usage says of it."""

from __future__ import annotations

from typing import Any

import anthropic
import anyio
import httpx2
import pytest
from tests.support.service import Service
from tests.support.virtual import virtual_backends

from manystream.engine.simulator import Cache, Conditions, ServiceLimits, Simulator, Stall


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Every client here runs on virtual time."""
    return virtual_backends()[request.param]


MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
LONG = "abc " * 2_000  # about 2,000 tokens
TOOL = {"name": "t", "input_schema": {"type": "object"}, "description": "abc " * 1_500}


def block(text: str, mark: Any = None) -> dict[str, Any]:
    return {"type": "text", "text": text} | ({"cache_control": mark} if mark else {})


def system(text: str = LONG, mark: Any = MARK) -> list[dict[str, Any]]:
    return [block(text, mark)]


def turns(*texts: str) -> list[dict[str, Any]]:
    """A conversation that ends with a user's turn, marked there."""
    *before, last = texts
    roles = ("user", "assistant") * len(texts)
    messages = [{"role": role, "content": text} for role, text in zip(roles, before, strict=False)]
    return [*messages, {"role": "user", "content": [block(last, MARK)]}]


def split(usage: dict[str, Any]) -> tuple[int, int, int]:
    """What is read, what is written, and the rest."""
    names = ("cache_read_input_tokens", "cache_creation_input_tokens", "input_tokens")
    read, written, rest = (usage[name] for name in names)
    return read, written, rest


def test_the_first_request_writes_and_the_next_one_reads() -> None:
    service = Service()
    plain = Service().ask("question", system=LONG).usage["input_tokens"]
    read, written, rest = split(service.ask("question", system=system()).usage)
    assert read == 0
    assert written >= 2_000
    assert 0 < rest < 50
    assert abs(written + rest - plain) <= 5  # the mark counts a little
    again = service.ask("another question", system=system())
    assert split(again.usage) == (written, 0, again.record.input_tokens)
    assert again.record.cache_read_input_tokens == written
    totals = service.ledger.totals()
    assert (totals.cache_creation_input_tokens, totals.cache_read_input_tokens) == (written, written)


def test_streamed_or_not_the_usage_is_the_same() -> None:
    services = {stream: Service() for stream in (True, False)}
    for round in range(2):
        streamed, whole = (service.ask(system=system(), stream=s).usage for s, service in services.items())
        assert streamed == whole
        assert (split(whole)[0] > 0) == (round == 1)


def test_an_entry_can_be_read_once_the_response_that_writes_it_has_begun() -> None:
    service = Service(Stall("head"))
    one = service.ask("a", system=system()).begin()  # the head alone: its message has not begun
    assert split(service.ask("b", system=system()).usage)[0] == 0
    service = Service()
    one = service.ask("a", system=system())
    other = service.ask("b", system=system())
    one.begin()
    assert split(service.ask("c", system=system()).usage)[:2] == (one.record.cache_creation_input_tokens, 0)
    written = split(other.usage)[1]
    assert written == one.record.cache_creation_input_tokens > 0  # both pay for what neither could read


def test_what_is_not_marked_or_too_short_is_not_cached() -> None:
    service = Service()
    prompts: list[Any] = [LONG, system("short"), system(mark={"type": "persistent"})]
    for prompt in prompts * 2:
        assert split(service.ask(system=prompt).usage)[:2] == (0, 0)
    eager = Service(cache=Cache(minimum_tokens=0))
    assert [split(eager.ask(system=system("short")).usage)[0] > 0 for _ in range(2)] == [False, True]


def test_a_growing_conversation_is_read_as_far_as_it_was_written() -> None:
    service = Service()
    first = split(service.ask(messages=turns(LONG)).usage)
    second = split(service.ask(messages=turns(LONG, "answer", LONG + "more")).usage)
    third = split(service.ask(messages=turns(LONG, "answer", LONG + "more", "answer", "short")).usage)
    assert first[0] == 0
    assert 0 <= first[1] - second[0] <= 3  # the mark itself counts a little, and has moved on
    assert second[1] > 2_000
    assert 0 <= sum(second[:2]) - third[0] <= 6
    assert 0 < third[1] < 50
    changed = split(service.ask(messages=turns(LONG, "another answer", LONG + "more")).usage)
    assert changed[0] == second[0]  # as far as they are the same


def test_tools_come_before_system_and_system_before_messages() -> None:
    service = Service()
    service.ask(tools=[TOOL], system=system()).finish()
    other_tools = service.ask(tools=[TOOL | {"name": "u"}], system=system())
    assert split(other_tools.usage)[0] == 0
    marked = [TOOL | {"cache_control": MARK}]
    service.ask(tools=marked, system="one").finish()
    read, written, _ = split(service.ask(tools=marked, system=system("two" + LONG)).usage)
    assert 1_500 <= read <= 1_600
    assert 2_000 <= written <= 2_100


def test_each_model_has_a_cache_of_its_own_and_a_string_is_a_block() -> None:
    service = Service()
    service.ask(LONG, cache_control=MARK).finish()
    assert split(service.ask(LONG, cache_control=MARK, model="claude-haiku-5-5").usage)[0] == 0
    assert split(service.ask([block(LONG, MARK)]).usage)[0] > 0


def test_a_request_with_a_mark_of_its_own_is_cached_whole() -> None:
    service = Service()
    written = split(service.ask(LONG, cache_control=MARK).usage)
    assert written[0] == written[2] == 0
    assert split(service.ask(LONG, cache_control=MARK).usage) == (written[1], 0, 0)


def test_an_entry_lives_for_its_time_after_its_last_use() -> None:
    service = Service()
    asked: dict[str, Any] = {"system": system()}
    service.ask(**asked).finish()
    for _ in range(4):
        service.now += 299
        assert split(service.ask(**asked).usage)[0] > 0
    service.now += 300
    assert split(service.ask(**asked).usage)[0] == 0


def test_to_be_read_keeps_an_entry_alive_where_no_mark_is_any_more() -> None:
    service = Service()
    written = split(service.ask(messages=turns(LONG)).usage)[1]
    service.now += 200
    service.ask(messages=turns(LONG, "answer", LONG)).finish()
    service.now += 200
    assert abs(split(service.ask(messages=turns(LONG, "another answer", "more")).usage)[0] - written) <= 3


def test_an_entry_of_an_hour_lives_for_an_hour_and_is_told_apart() -> None:
    service = Service()
    asked: dict[str, Any] = {"system": system(mark=HOUR), "messages": turns(LONG)}
    usage = service.ask(**asked).usage
    created = usage["cache_creation"]
    assert created["ephemeral_1h_input_tokens"] >= 2_000
    assert created["ephemeral_5m_input_tokens"] >= 2_000
    assert sum(created.values()) == usage["cache_creation_input_tokens"]
    service.now += 3_599
    read, written, _ = split(service.ask(**asked).usage)
    assert read == created["ephemeral_1h_input_tokens"]
    assert written == created["ephemeral_5m_input_tokens"]
    service.now += 3_600
    assert split(service.ask(**asked).usage)[0] == 0


def test_what_is_read_is_free_of_the_input_limit() -> None:
    service = Service(limits=ServiceLimits(input_tokens_per_minute=2_100))
    assert service.ask(system=system()).finish().response.status == 200
    assert service.statuses(3, system=system()) == [200] * 3  # some ten tokens each
    refused = service.ask(system=system("other " + LONG)).finish()
    assert refused.record.refused_by == "input_tokens_per_minute"
    service.now += 60
    assert service.statuses(1, system=system("other " + LONG)) == [200]


def test_a_refused_request_writes_nothing_and_keeps_nothing_alive() -> None:
    service = Service(limits=ServiceLimits(requests_per_minute=1))
    service.ask(system=system()).finish()
    service.now += 30
    assert service.statuses(1, system=system()) == [429]
    service.now += 270.5
    assert split(service.ask(system=system()).usage)[0] == 0


@pytest.mark.anyio
async def test_the_official_client_reads_what_another_request_wrote() -> None:
    simulator = Simulator(time_to_first_token=1, tokens_per_second=10, clock=anyio.current_time)
    simulator.script(["word " * 50] * 3)
    http_client = httpx2.AsyncClient(transport=simulator.transport())
    params: Any = {"model": "claude-opus-5-5", "max_tokens": 99, "system": system()}
    usages: list[Any] = []
    async with (
        anthropic.AsyncAnthropic(api_key="key", base_url="http://simulated", http_client=http_client) as client,
        anyio.create_task_group() as tasks,
    ):

        async def ask(text: str) -> None:
            async with client.messages.stream(**params, messages=[{"role": "user", "content": text}]) as stream:
                usages.append((await stream.get_final_message()).usage)

        tasks.start_soon(ask, "one")
        tasks.start_soon(ask, "two")
        await anyio.sleep(2)  # both have begun, neither is through
        assert {request.outcome for request in simulator.requests} == {"running"}
        tasks.start_soon(ask, "three")
    assert [usage.cache_read_input_tokens > 0 for usage in usages] == [False, False, True]
    assert [usage.cache_creation_input_tokens > 0 for usage in usages] == [True, True, False]
    assert usages[0].cache_creation.ephemeral_5m_input_tokens == usages[0].cache_creation_input_tokens


def test_no_cache_without_room_for_it() -> None:
    service = Service(cache=Cache(minimum_tokens=10**9))
    assert [split(service.ask(system=system()).usage)[0] for _ in range(2)] == [0, 0]
    assert Conditions().cache == Cache()
