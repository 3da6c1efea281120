"""What goes wrong on purpose: refusals before anything is done, answers lost after it, results that break off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.batches import PATH, Api, an_entry, entries
from tests.support.responder import body_of, json_of

from manystream.engine.simulator import Bytes, Cut, Fail, Simulator, Slow, Stall
from manystream.engine.simulator.service.steps import Abort, Close, Reply, Send, Step, Wait


def ended(api: Api, count: int = 20) -> tuple[str, bytes]:
    """A batch that has ended, and its results."""
    batch_id = api.create(entries(count, max_tokens=5))["id"]
    api.now += 60
    return batch_id, b"\n".join([*api.lines(batch_id), b""])


def sent(steps: list[Step]) -> bytes:
    return b"".join(step.data for step in steps if isinstance(step, Send))


def results(api: Api, batch_id: str) -> Reply:
    return api.call("GET", f"{PATH}/{batch_id}/results")


def test_a_refusal_comes_before_anything_is_done() -> None:
    api = Api.made()
    api.script("create", 529, Fail(429, headers={"retry-after": "3"}))
    response = api.call("POST", PATH, {"requests": entries(1)})
    assert (response.status, json_of(response)["error"]["type"]) == (529, "overloaded_error")
    response = api.call("POST", PATH, {"requests": entries(1)})
    assert (response.status, dict(response.headers)["retry-after"]) == (429, "3")
    assert api.responder.batches.recorded() == []
    assert api.create(entries(1))["type"] == "message_batch"


@pytest.mark.parametrize(
    ("step", "ends"),
    [
        (Cut("nothing", "reset"), [Abort()]),
        (Cut("nothing", "close"), [Close()]),
        (Stall("nothing"), [Wait(float("inf"))]),
        (Cut("head", "reset"), [Abort()]),
        (Cut(Bytes(40), "close"), [Close()]),
    ],
    ids=str,
)
def test_an_answer_is_lost_after_all_is_done(step: Any, ends: list[Step]) -> None:
    api = Api.made(per_second=0.001)
    api.script("create", step)
    api.script("cancel", step)
    lost = list(api.call("POST", PATH, {"requests": entries(3)}).steps)
    assert lost[-1:] == ends
    (record,) = api.responder.batches.recorded()
    assert api.status(record.id) == "in_progress"
    assert list(api.call("POST", f"{PATH}/{record.id}/cancel").steps)[-1:] == ends
    assert api.status(record.id) == "ended"
    api.script("delete", step)
    assert list(api.call("DELETE", f"{PATH}/{record.id}").steps)[-1:] == ends
    assert api.responder.batches.recorded()[0].deleted


def test_an_error_in_place_of_the_answer_comes_after_all_is_done() -> None:
    api = Api.made()
    api.script("create", Cut("nothing", Fail(500)), Cut("nothing", "html"))
    assert api.call("POST", PATH, {"requests": entries(3)}).status == 500
    assert b"Bad Gateway" in body_of(api.call("POST", PATH, {"requests": entries(3)}))
    assert len(api.list()["data"]) == 2


def test_each_endpoint_has_steps_of_its_own_and_none_is_none() -> None:
    api = Api.made()
    api.script("list", 503)
    api.script("retrieve", None, 404)
    batch_id = api.create(entries(1))["id"]
    assert api.call("GET", f"{PATH}/{batch_id}").status == 200
    assert api.call("GET", f"{PATH}/{batch_id}").status == 404
    assert api.call("GET", f"{PATH}/{batch_id}").status == 200
    assert api.call("GET", PATH).status == 503
    assert api.call("GET", PATH).status == 200


def test_what_is_refused_anyway_takes_no_step() -> None:
    api = Api.made(per_second=1)
    for operation in ("create", "retrieve", "cancel", "delete", "results"):
        api.script(operation, 503)
    assert api.call("POST", PATH, {"requests": []}).status == 400
    for method, path in (("GET", "x"), ("POST", "x/cancel"), ("DELETE", "x"), ("GET", "x/results")):
        assert api.call(method, f"{PATH}/{path}").status == 404
    assert api.call("POST", PATH, {"requests": entries(5)}).status == 503
    batch_id = api.create(entries(5))["id"]
    assert api.call("DELETE", f"{PATH}/{batch_id}").status == 400
    assert results(api, batch_id).status == 404
    api.now += 60
    assert api.call("POST", f"{PATH}/{batch_id}/cancel").status == 400
    assert api.call("DELETE", f"{PATH}/{batch_id}").status == 503
    assert results(api, batch_id).status == 503


def test_results_break_off_in_the_middle_of_a_line() -> None:
    api = Api.made()
    batch_id, whole = ended(api)
    lines = whole.splitlines(keepends=True)
    for step, end, cut in (
        (Cut(3, "reset"), Abort(), len(b"".join(lines[:3])) + len(lines[3]) // 2),
        (Cut(0, "close"), Close(), len(lines[0]) // 2),
        (Cut(1_000, "close"), Close(), len(b"".join(lines[:-1])) + len(lines[-1]) // 2),
        (Cut(Bytes(700), "close"), Close(), 700),
        (Cut(Bytes(10**9), "close"), Close(), len(whole) - 1),
        (Cut("head", "reset"), Abort(), 0),
        (Cut("nothing", "reset"), Abort(), 0),
        (Cut(3, "end"), None, len(b"".join(lines[:3])) + len(lines[3]) // 2),
    ):
        api.script("results", step)
        steps = list(results(api, batch_id).steps)
        assert sent(steps) == whole[:cut], step
        assert (steps[-1] if end else None) == end
    assert body_of(results(api, batch_id)) == whole


def test_results_stall_and_go_on() -> None:
    api = Api.made()
    batch_id, whole = ended(api)
    api.script("results", Stall(3, seconds=5), Stall("nothing", seconds=5), Slow(100_000))
    for _ in range(2):
        steps = list(results(api, batch_id).steps)
        assert sent(steps) == whole
        assert steps.count(Wait(5)) == 1
    steps = list(results(api, batch_id).steps)
    assert sent(steps) == whole
    assert sum(step.seconds for step in steps if isinstance(step, Wait)) == pytest.approx(len(whole) / 100_000)


def test_an_error_in_place_of_results() -> None:
    api = Api.made()
    batch_id, whole = ended(api)
    api.script("results", Cut(3, Fail(529)))
    assert results(api, batch_id).status == 529
    assert body_of(results(api, batch_id)) == whole


def test_results_of_one_request() -> None:
    api = Api.made()
    batch_id = api.create([an_entry()])["id"]
    api.now += 60
    api.script("results", Cut(0, "end"))
    with pytest.raises(json.JSONDecodeError):
        json.loads(body_of(results(api, batch_id)))


@pytest.mark.parametrize(
    ("operation", "steps", "error"),
    [
        ("creates", [529], "operation must be one of create, retrieve, list, cancel, delete, results, not 'creates'"),
        ("create", ["hello"], "a str is not a step of a script for batches"),
        ("create", "hello", "a script is a list of steps"),
        ("create", [True], "a bool is not a step of a script for batches"),
        ("create", [200], "status must lie between 400 and 599, not 200"),
        ("create", [529, Cut("nothing", "reset", text="hello")], "a step for batches has no text"),
    ],
    ids=str,
)
def test_what_is_no_step(operation: Any, steps: Any, error: str) -> None:
    simulator = Simulator()
    with pytest.raises((TypeError, ValueError), match=error):
        simulator.script_batches(operation, steps)
