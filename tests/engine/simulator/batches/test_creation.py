"""What the API asks of a new batch, and what it leaves for later."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.batches import PATH, Api, an_entry

from manystream.engine.simulator.batches import creation

REFUSED: list[tuple[Any, str]] = [
    ([], "Input should be a valid dictionary or object to extract fields from"),
    ({}, "requests: Field required"),
    ({"requests": {}}, "requests: Input should be a valid list"),
    ({"requests": []}, "requests: List should have at least 1 item after validation, not 0"),
    ({"requests": [1]}, "requests.0: Input should be a valid dictionary or object to extract fields from"),
    ({"requests": [an_entry()], "stream": True}, "stream: Extra inputs are not permitted"),
    ({"requests": [{"params": {}}]}, "requests.0.custom_id: Field required"),
    ({"requests": [an_entry(), {"custom_id": "x"}]}, "requests.1.params: Field required"),
    ({"requests": [{**an_entry(), "model": "x"}]}, "requests.0.model: Extra inputs are not permitted"),
    ({"requests": [{"custom_id": 1, "params": {}}]}, "requests.0.custom_id: Input should be a valid string"),
    ({"requests": [an_entry("")]}, "requests.0.custom_id: String should have at least 1 character"),
    ({"requests": [an_entry("x" * 65)]}, "requests.0.custom_id: String should have at most 64 characters"),
    ({"requests": [an_entry("a\n")]}, "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"),
    (
        {"requests": [an_entry("a b")]},
        "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
    ),
    ({"requests": [{"custom_id": "x", "params": []}]}, "requests.0.params: Input should be a valid dictionary"),
    (
        {"requests": [an_entry("dup"), an_entry("other"), an_entry("dup")]},
        "requests: custom_id's must be unique within a batch. Duplicate custom_id found: dup",
    ),
]


@pytest.mark.parametrize(("body", "message"), REFUSED, ids=str)
def test_what_is_refused_at_once(body: Any, message: str) -> None:
    api = Api.made()
    response = api.call("POST", PATH, body)
    assert response.status == 400
    error = api.json("POST", PATH, body)["error"]
    assert error == {"type": "invalid_request_error", "message": message}
    assert api.list()["data"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"requests":',
        b'{"requests":[{"custom_id":"\xff","params":{}}]}',
        b'{"requests":[{"custom_id":"x","params":' + b'{"a":' * 10_000,
    ],
    ids=["nothing", "cut", "bad UTF-8", "too deep"],
)
def test_a_body_that_is_no_json(body: bytes) -> None:
    error = Api.made().json("POST", PATH, body)["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith("The request body is not valid JSON: ")


def test_the_longest_ids_there_may_be() -> None:
    assert Api.made().create([an_entry("x" * 64), an_entry("-_09azAZ")])["request_counts"]["processing"] == 2


def test_the_most_requests_there_may_be() -> None:
    def body(count: int) -> bytes:
        return b'{"requests":[%b]}' % b",".join(b'{"custom_id":"r%d","params":{}}' % n for n in range(count))

    api = Api.made()
    assert api.json("POST", PATH, body(100_000))["request_counts"]["processing"] == 100_000
    error = api.json("POST", PATH, body(100_001))["error"]
    assert error["message"] == "requests: List should have at most 100000 items after validation, not 100001"


def test_the_largest_body_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert creation.LARGEST_BATCH == 256_000_000
    monkeypatch.setattr(creation, "LARGEST_BATCH", 1_000)
    fitting = json.dumps({"requests": [an_entry()]}).encode().ljust(1_000)
    api = Api.made()
    assert api.call("POST", PATH, fitting).status == 200
    response = api.call("POST", PATH, fitting + b" ")
    assert response.status == 413
    assert api.json("POST", PATH, fitting + b" ")["error"]["type"] == "request_too_large"


def test_parameters_are_checked_when_they_are_processed() -> None:
    api = Api.made()
    wrong: dict[str, Any] = {
        "nothing": {},
        "model": {**an_entry()["params"], "model": "gpt"},
        "stream": {**an_entry()["params"], "stream": True},
        "speed": {**an_entry()["params"], "speed": "fast"},
        "none": {**an_entry()["params"], "max_tokens": 0},
        "profile": {**an_entry()["params"], "user_profile_id": "other"},
    }
    right = {
        "plain": an_entry()["params"],
        "not streamed": {**an_entry()["params"], "stream": False},
        "same profile": {**an_entry()["params"], "user_profile_id": "mine"},
    }
    api.headers = {"anthropic-user-profile-id": "mine"}
    requests = [{"custom_id": name.replace(" ", "_"), "params": params} for name, params in {**wrong, **right}.items()]
    batch = api.create(requests)
    assert batch["request_counts"]["processing"] == len(requests)
    api.now += 60
    results = api.results(batch["id"])
    errors = {
        name: (result["error"]["error"]["type"], result["error"]["error"]["message"])
        for name, result in results.items()
        if result["type"] == "errored"
    }
    assert errors == {
        "nothing": ("invalid_request_error", "model: Field required"),
        "model": ("not_found_error", "model: gpt"),
        "stream": ("invalid_request_error", "`stream=True` is not supported in the Message Batches API"),
        "speed": ("invalid_request_error", "`speed` is not supported in the Message Batches API"),
        "none": ("invalid_request_error", "max_tokens: must be greater than or equal to 1"),
        "profile": (
            "invalid_request_error",
            "user_profile_id: conflicts with the anthropic-user-profile-id of the batch",
        ),
    }
    assert api.retrieve(batch["id"])["request_counts"] == {
        "processing": 0,
        "succeeded": 3,
        "errored": 6,
        "canceled": 0,
        "expired": 0,
    }
    assert results["nothing"]["error"]["type"] == "error"
    assert results["nothing"]["error"]["request_id"] is None
    assert results["nothing"]["error"]["error"]["details"] == {"error_visibility": "user_facing"}


def test_what_is_no_utf8_errs_alone() -> None:
    api = Api.made()
    body = b'{"requests":[{"custom_id":"bad","params":{"model":"\xff"}},%b]}' % json.dumps(an_entry("good")).encode()
    batch = api.json("POST", PATH, body)
    api.now += 60
    results = api.results(batch["id"])
    assert (results["bad"]["type"], results["good"]["type"]) == ("errored", "succeeded")
    assert "not valid JSON" in results["bad"]["error"]["error"]["message"]


def test_all_requests_speak_as_their_batch_does() -> None:
    api = Api.made()
    long = an_entry("long", max_tokens=250_000)
    beta = an_entry("beta", mcp_servers=[])
    sampled = an_entry("sampled", model="claude-haiku-4-5", temperature=0.5)
    for headers, right in (
        ({}, {"sampled"}),
        ({"anthropic-beta": "output-300k-2026-03-24"}, {"long", "beta", "sampled"}),
        ({"anthropic-version": "2026-10-21"}, set[str]()),
    ):
        api.headers = headers
        batch = api.create([long, beta, sampled])
        api.now += 60
        types = {name: result["type"] for name, result in api.results(batch["id"]).items()}
        assert {name for name, kind in types.items() if kind == "succeeded"} == right
