"""Errors by their codes, and the limits of what may be spent: as the official client reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import anthropic
import httpx2
import pytest
from anthropic._error_classes import ERROR_CLASSES  # pyright: ignore[reportPrivateUsage]
from tests.support.service import NOW, Service

from manystream.engine.simulator import Cut, Fail, Simulator, SpendKind, SpendLimit, read_scenario
from manystream.engine.simulator.service import ERROR_CODES

CLASSES: dict[tuple[int, str | None], type[anthropic.APIStatusError]] = ERROR_CLASSES
Client: TypeAlias = Any
ASK: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 20,
    "messages": [{"role": "user", "content": "hi"}],
}
DAY = 86_400


@pytest.fixture
def simulator() -> Simulator:
    return Simulator()


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    http_client = httpx2.AsyncClient(transport=simulator.transport())
    async with anthropic.AsyncAnthropic(
        api_key="key", base_url="http://simulated", max_retries=0, http_client=http_client
    ) as client:
        yield client


def test_the_table_has_the_codes_that_the_official_client_knows() -> None:
    """A client that is older than the table knows a part of it, and the table has a part of what a newer one knows."""
    known = {code: status for status, code in CLASSES if code is not None}
    table = {code: usual.status for code, usual in ERROR_CODES.items()}
    assert table.items() <= known.items() or known.items() <= table.items()


@pytest.mark.anyio
async def test_each_code_becomes_the_official_clients_own_exception(client: Client, simulator: Simulator) -> None:
    for code, usual in ERROR_CODES.items():
        if (usual.status, code) not in CLASSES:  # an older client
            continue
        simulator.script([Fail(code=code)])
        with pytest.raises(anthropic.APIStatusError) as caught:
            await client.messages.create(**ASK)
        assert type(caught.value) is CLASSES[usual.status, code]
        assert caught.value.error_code == code
        assert caught.value.api_message == usual.message
        assert ("retry-after" in caught.value.response.headers) is (usual.retry_after is not None)


@pytest.mark.anyio
async def test_a_code_goes_with_details_of_its_own(client: Client, simulator: Simulator) -> None:
    simulator.script([Fail(code="organization_on_hold", details={"appeal_url": "https://example.com/appeal"})])
    with pytest.raises(anthropic.OrganizationOnHoldError) as caught:
        await client.messages.create(**ASK)
    assert caught.value.details.appeal_url == "https://example.com/appeal"


@pytest.mark.anyio
async def test_a_code_comes_inside_a_stream_too(client: Client, simulator: Simulator) -> None:
    simulator.script([Cut(2, Fail(code="compaction_unavailable"), text="one two three four five")])
    with pytest.raises(anthropic.APIStatusError) as caught:
        async with client.messages.stream(**ASK) as stream:
            await stream.get_final_message()
    assert caught.value.error_code == "compaction_unavailable"
    assert caught.value.type == "overloaded_error"


def test_a_code_may_be_given_another_status_and_other_headers() -> None:
    failure = Fail(503, code="ramp_limit_exceeded", headers={"retry-after": "9"})
    assert (failure.status, failure.type, failure.headers) == (503, "api_error", {"retry-after": "9"})
    assert Fail(418, code="new_code").body("req")["error"]["details"] == {"error_code": "new_code"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "status must be given, or a code that has one"),
        ({"code": "organisation_on_hold"}, "did you mean organization_on_hold"),
        ({"code": "zzz"}, "with a status, any code will do"),
        ({"code": 7}, "code must be a text"),
        ({"status": 400, "details": "x"}, "details must map names to values"),
    ],
)
def test_a_failure_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fail(**settings)


def test_a_scenario_may_name_codes(tmp_path: Path) -> None:
    file = tmp_path / "codes.toml"
    file.write_text(
        'script = [{ fail = { code = "organization_on_hold", details = { appeal_url = "u" } } }]\n'
        '[spend]\noutput_tokens = 5\nkind = "contract"\n'
    )
    scenario = read_scenario(file)
    assert scenario.script == (Fail(400, code="organization_on_hold", details={"appeal_url": "u"}),)
    assert scenario.conditions.spend == SpendLimit(output_tokens=5, kind="contract")


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("tier", 429, "enforced_spend_limit_reached"),
        ("contract", 429, "contract_spend_limit_reached"),
        ("organization", 400, None),
        ("workspace", 400, None),
    ],
)
def test_a_spend_limit_refuses_by_its_kind(kind: SpendKind, status: int, code: str | None) -> None:
    service = Service(spend=SpendLimit(output_tokens=1, kind=kind))
    assert service.statuses(3) == [200, status, status]
    refused = service.ask()
    assert refused.error.get("details") == (None if code is None else {"error_code": code})
    assert refused.record.refused_by == "spend"


@pytest.mark.parametrize(("kind", "whose"), [("organization", "API"), ("workspace", "workspace API")])
def test_a_limit_of_the_customers_own_says_when_access_resumes_and_then_it_does(kind: SpendKind, whose: str) -> None:
    service = Service(spend=SpendLimit(output_tokens=1, kind=kind))
    service.ask().finish()
    message = service.ask().error["message"]
    assert message.startswith(f"You have reached your specified {whose} usage limits. You will regain access on 20")
    assert message.endswith("-01 at 00:00 UTC.")
    service.now = NOW + 32 * DAY
    assert service.statuses(2) == [200, 400]


def test_a_user_profiles_limit_is_its_own() -> None:
    service = Service(spend=SpendLimit(output_tokens=1, kind="user_profile"))
    asked = [service.ask(headers={"anthropic-user-profile-id": name}).finish() for name in ("a", "a", "b", "a", "b")]
    assert [answer.response.status for answer in asked] == [200, 402, 200, 402, 402]
    assert asked[1].error["details"] == {"error_code": "linked_organization_spend_limit_reached"}
    assert service.statuses(2) == [200, 200]


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of tier, contract"):
        SpendLimit(output_tokens=1, kind="wallet")  # pyright: ignore[reportArgumentType]
