"""The limits of batches: requests to the endpoints, and requests in the queue, whatever the model or the workspace."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.support.batches import PATH, Api, entries
from tests.support.responder import a_body, a_request, json_of

from manystream.engine.simulator import Batches


def test_by_default_there_are_none_and_no_header_tells_of_any() -> None:
    api = Api.made()
    response = api.call("POST", PATH, {"requests": entries(1)})
    assert response.status == 200
    assert not [name for name, _ in response.headers if "ratelimit" in name]


def test_requests_to_the_endpoints() -> None:
    api = Api.made(requests_per_minute=3)
    batch = api.create(entries(1))
    api.headers = {"x-api-key": "another"}
    headers = dict(api.call("GET", PATH).headers)
    assert headers["anthropic-ratelimit-requests-limit"] == "3"
    assert headers["anthropic-ratelimit-requests-remaining"] == "1"
    assert headers["anthropic-ratelimit-requests-reset"] == "2027-01-15T08:00:40Z"
    api.headers = {}
    assert api.retrieve(batch["id"])["id"] == batch["id"]
    for method, path in (("POST", PATH), ("GET", f"{PATH}/{batch['id']}/results"), ("GET", PATH)):
        response = api.call(method, path, {"requests": entries(1)})
        assert (response.status, dict(response.headers)["retry-after"]) == (429, "20")
        assert response.refused_by == "batches.requests_per_minute"
        assert json_of(response)["error"]["type"] == "rate_limit_error"
    api.now += 20
    assert api.call("GET", PATH).status == 200
    assert api.call("GET", PATH).status == 429


def test_they_have_nothing_to_do_with_messages() -> None:
    api = Api.made(requests_per_minute=1)
    for _ in range(3):
        assert api.responder.respond(a_request(a_body())).status == 200
    assert api.call("GET", PATH).status == 200


def test_requests_in_the_queue() -> None:
    api = Api.made(per_second=1, queued_requests=100)
    first = api.create(entries(60, model="claude-opus-5-5"))
    api.headers = {"x-api-key": "another"}
    response = api.call("POST", PATH, {"requests": entries(50, model="claude-haiku-4-5")})
    assert (response.status, dict(response.headers)["retry-after"]) == (429, "10")
    assert response.refused_by == "batches.queued_requests"
    assert api.list()["data"] == []
    api.now += 10
    second = api.create(entries(50))
    assert second["processing_status"] == "in_progress"
    assert api.create(entries(1))["error"]["type"] == "rate_limit_error"
    api.headers = {}
    api.cancel(first["id"])  # what is cancelled leaves the queue
    assert api.create(entries(50))["processing_status"] == "in_progress"


def test_a_batch_that_never_fits() -> None:
    api = Api.made(queued_requests=10)
    response = api.call("POST", PATH, {"requests": entries(11)})
    assert (response.status, dict(response.headers)["retry-after"]) == (429, "1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per_second": 0}, "per_second must be a number above 0, not 0"),
        ({"per_second": float("inf")}, "per_second must be a number above 0, not inf"),
        ({"speed": True}, "speed must be a number above 0, not True"),
        ({"scheduler": "fair"}, "scheduler must be one of first_come, equal_share, not 'fair'"),
        ({"ending_seconds": -1}, "ending_seconds must be a number, 0 or more, not -1"),
        ({"errored": 2}, "errored must be a number between 0 and 1, not 2"),
        ({"requests_per_minute": 0}, "requests_per_minute must be a whole number above 0, not 0"),
        ({"queued_requests": 1.5}, "queued_requests must be a whole number above 0, not 1.5"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Batches(**settings)
