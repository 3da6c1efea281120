"""The life of a batch: where it stands at which time, what its requests come to, and what may be done to it when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.batches import DAY, HOUR, PATH, Api, an_entry, entries
from tests.support.responder import NOW, WEATHER, a_body, a_request, a_responder, json_of

Counts = dict[str, int]
INTERRUPTED = "Your previous response was interrupted and ended with [ ]. Continue from where you left off."
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def counts(**some: int) -> Counts:
    return {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0, **some}


def written(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds")


def kinds(api: Api, batch_id: str) -> Counts:
    found: Counts = {}
    for result in api.results(batch_id).values():
        found[result["type"]] = found.get(result["type"], 0) + 1
    return found


def test_a_new_batch_is_as_the_api_shows_it() -> None:
    api = Api.made()
    api.headers = {"host": "example.test:80"}
    batch = api.create(entries(3))
    assert batch == {
        "id": batch["id"],
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": counts(processing=3),
        "ended_at": None,
        "created_at": written(NOW),
        "expires_at": written(NOW + DAY),
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": None,
    }
    assert batch["id"].startswith("msgbatch_01")
    assert batch["created_at"] == "2027-01-15T08:00:00.000000+00:00"


def test_counts_stay_until_the_whole_batch_has_ended() -> None:
    api = Api.made(per_second=1)
    api.headers = {"host": "example.test:80"}
    batch = api.create(entries(10))
    api.now += 9.9
    assert api.retrieve(batch["id"]) == batch
    api.now += 0.1
    assert api.retrieve(batch["id"]) == {
        **batch,
        "processing_status": "ended",
        "request_counts": counts(succeeded=10),
        "ended_at": written(NOW + 10),
        "results_url": f"http://example.test:80{PATH}/{batch['id']}/results",
    }


def test_batches_wait_for_each_other_or_share() -> None:
    for scheduler, status in (("first_come", ["ended", "in_progress"]), ("equal_share", ["in_progress"] * 2)):
        api = Api.made(per_second=1, scheduler=scheduler)
        batches = [api.create(entries(10)) for _ in range(2)]
        api.now += 11
        assert [api.status(batch["id"]) for batch in batches] == status
        api.now += 10
        assert [api.status(batch["id"]) for batch in batches] == ["ended"] * 2


def test_an_end_may_be_slow() -> None:
    api = Api.made(per_second=1, ending_seconds=100)
    batch = api.create(entries(10))
    api.now += 109
    assert api.retrieve(batch["id"])["request_counts"] == counts(processing=10)
    api.now += 1
    assert api.retrieve(batch["id"])["ended_at"] == written(NOW + 110)


def test_what_is_not_processed_within_a_day_expires() -> None:
    api = Api.made(per_second=10 / DAY)
    batch = api.create(entries(25))
    api.now += DAY - 1
    assert api.status(batch["id"]) == "in_progress"
    api.now += 1
    ended = api.retrieve(batch["id"])
    assert (ended["ended_at"], ended["request_counts"]) == (ended["expires_at"], counts(succeeded=10, expired=15))
    assert kinds(api, batch["id"]) == {"succeeded": 10, "expired": 15}


def test_a_share_of_requests_expires_with_the_batch() -> None:
    api = Api.made(expired=0.3)
    batch = api.create(entries(200))
    api.now += DAY - 1
    assert api.status(batch["id"]) == "in_progress"
    api.now += 1
    found = api.retrieve(batch["id"])["request_counts"]
    assert 40 <= found["expired"] <= 80
    assert found["succeeded"] + found["expired"] == 200
    assert kinds(api, batch["id"]) == {"succeeded": found["succeeded"], "expired": found["expired"]}


def test_a_share_of_requests_errs() -> None:
    api = Api.made(errored=0.3)
    batch = api.create(entries(200))
    api.now += 60
    found = api.retrieve(batch["id"])["request_counts"]
    assert 40 <= found["errored"] <= 80
    assert found["succeeded"] + found["errored"] == 200
    error = next(result for result in api.results(batch["id"]).values() if result["type"] == "errored")["error"]
    assert error["error"]["type"] == "api_error"
    assert error["request_id"].startswith("workerreq_")


def test_a_cancelled_batch_keeps_what_was_done() -> None:
    api = Api.made(per_second=1, canceling_seconds=60)
    api.headers = {"host": "example.test:80"}
    batch = api.create(entries(100))
    api.now += 10.5
    canceling = {**batch, "processing_status": "canceling", "cancel_initiated_at": written(NOW + 10.5)}
    assert api.cancel(batch["id"]) == canceling
    api.now += 30
    assert api.cancel(batch["id"]) == canceling  # the second time changes nothing
    api.now += 30
    ended = api.retrieve(batch["id"])
    assert ended["processing_status"] == "ended"
    assert ended["ended_at"] == written(NOW + 70.5)
    assert ended["request_counts"] == counts(succeeded=11, canceled=89)  # the one in progress is completed
    assert kinds(api, batch["id"]) == {"succeeded": 11, "canceled": 89}


def test_a_batch_that_waits_is_cancelled_whole() -> None:
    api = Api.made(per_second=1)
    api.create(entries(100))
    batch = api.create(entries(3))
    assert api.cancel(batch["id"])["processing_status"] == "ended"
    assert api.results(batch["id"]) == {f"r{number}": {"type": "canceled"} for number in range(3)}


def test_cancelling_races_with_the_end() -> None:
    api = Api.made(per_second=1, ending_seconds=5, canceling_seconds=60)
    batch = api.create(entries(10))
    api.now += 12  # all is done, but the batch hasn't ended
    assert api.cancel(batch["id"])["processing_status"] == "canceling"
    api.now += 60
    assert api.retrieve(batch["id"])["request_counts"] == counts(succeeded=10)
    late = api.create(entries(10))
    api.now += 15
    error = api.cancel(late["id"])["error"]
    assert error["type"] == "invalid_request_error"
    assert "has already ended" in error["message"]
    assert api.retrieve(late["id"])["cancel_initiated_at"] is None


def test_a_day_goes_by_while_a_batch_is_being_cancelled() -> None:
    api = Api.made(per_second=1, canceling_seconds=2 * HOUR)
    batch = api.create(entries(100_000 // 50, max_tokens=1))
    api.now += 10
    api.cancel(batch["id"])
    api.now += 2 * DAY
    found = api.retrieve(batch["id"])
    assert found["ended_at"] == written(NOW + 10 + 2 * HOUR)
    assert found["request_counts"]["expired"] == 0


def test_results_are_to_be_had_for_29_days_from_the_end_on() -> None:
    api = Api.made(per_second=1)
    batch = api.create(entries(10))

    def message() -> str:
        response = api.call("GET", f"{PATH}/{batch['id']}/results")
        assert response.status == 404
        return json_of(response)["error"]["message"]

    assert message() == f"Message Batch {batch['id']} has no available results."
    api.now = NOW + 29 * DAY - 1
    assert len(api.results(batch["id"])) == 10
    assert api.retrieve(batch["id"])["archived_at"] is None
    api.now += 1
    assert message() == f"Message Batch {batch['id']} has no available results."
    archived = api.retrieve(batch["id"])
    assert (archived["archived_at"], archived["results_url"]) == (written(NOW + 29 * DAY), None)
    assert archived["request_counts"] == counts(succeeded=10)


def test_only_what_has_ended_is_deleted() -> None:
    api = Api.made(per_second=1, canceling_seconds=60)
    batch = api.create(entries(10))
    refused = "In progress batches cannot be deleted. Consider canceling the batch instead."
    assert api.delete(batch["id"])["error"] == {"type": "invalid_request_error", "message": refused}
    api.cancel(batch["id"])
    assert api.delete(batch["id"])["error"]["message"] == refused
    api.now += 60
    assert api.delete(batch["id"]) == {"id": batch["id"], "type": "message_batch_deleted"}
    for gone in (api.retrieve, api.cancel, api.delete):
        assert gone(batch["id"])["error"] == {
            "type": "not_found_error",
            "message": f"Message Batch {batch['id']} not found.",
        }
    assert api.list()["data"] == []


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"thinking": {"type": "adaptive"}, "max_tokens": 300},
        {"tools": [WEATHER], "tool_choice": {"type": "any"}},
        {"output_config": {"format": {"type": "json_schema", "schema": CITY}}},
        {"messages": [*a_body()["messages"], {"role": "user", "content": INTERRUPTED}]},
    ],
    ids=["plain", "thinking", "tools", "by schema", "interrupted"],
)
def test_an_answer_is_the_one_that_the_request_gets_alone(params: dict[str, Any]) -> None:
    api = Api.made(seed=7)
    batch = api.create([an_entry(**params)])
    api.now += 60
    message = api.results(batch["id"])["one"]["message"]
    alone = json_of(a_responder(seed=7).respond(a_request(a_body(**params))))
    assert message["usage"].pop("service_tier") == "batch"
    assert alone["usage"].pop("service_tier") == "standard"
    for block, other in zip([message, *message["content"]], [alone, *alone["content"]], strict=True):
        if "id" in block:
            assert block.pop("id") != other.pop("id")
    assert message == alone


def test_results_come_in_any_order_and_are_the_same_each_time() -> None:
    def read() -> list[list[bytes]]:
        api = Api.made(errored=0.1)
        batch = api.create(entries(50))
        api.now += 60
        return [api.lines(batch["id"]) for _ in range(2)]

    first, second = read()
    assert first == second
    assert read() == [first, second]
    sent = [b'{"custom_id":"r%d",' % number for number in range(50)]
    assert [line[: line.index(b",") + 1] for line in first] != sent
    assert sorted(line[: line.index(b",") + 1] for line in first) == sorted(sent)


def test_two_batches_of_the_same_requests_are_two() -> None:
    api = Api.made()
    first, second = api.create(entries(3)), api.create(entries(3))
    assert first["id"] != second["id"]
    api.now += 60
    ids = {result["message"]["id"] for batch in (first, second) for result in api.results(batch["id"]).values()}
    assert len(ids) == 6


def test_the_clock_of_batches_goes_faster_and_is_set_forward() -> None:
    api = Api.made(per_second=1, speed=3_600)
    batch = api.create(entries(7_200, max_tokens=1))
    api.now += 1.5
    assert api.status(batch["id"]) == "in_progress"
    api.now += 0.5
    assert api.retrieve(batch["id"])["ended_at"] == written(NOW + 7_200)
    later = api.create(entries(1))
    assert later["created_at"] == written(NOW + 7_200)
    api.responder.batches.advance(DAY)
    assert api.create(entries(1))["created_at"] == written(NOW + 7_200 + DAY)
    for seconds in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="seconds must be"):
            api.responder.batches.advance(seconds)


def test_the_record_tells_what_was_paid() -> None:
    api = Api.made(per_second=1)
    batch = api.create([an_entry("good"), an_entry("bad", temperature="hot"), an_entry("late")])
    (record,) = api.responder.batches.recorded()
    assert (record.requests, record.processing_status, record.outcomes) == (("good", "bad", "late"), "in_progress", {})
    assert (record.input_tokens, record.output_tokens) == (0, 0)
    api.now += 60
    results = api.results(batch["id"])
    api.delete(batch["id"])
    (record,) = api.responder.batches.recorded()
    assert (record.id, record.deleted, record.ended_at) == (batch["id"], True, NOW + 3)
    assert record.outcomes == {name: result["type"] for name, result in results.items()}
    assert sorted(record.outcomes.values()) == ["errored", "succeeded", "succeeded"]
    usages = [result["message"]["usage"] for result in results.values() if result["type"] == "succeeded"]
    assert record.input_tokens == sum(usage["input_tokens"] for usage in usages)
    assert record.output_tokens == sum(usage["output_tokens"] for usage in usages)
