"""The list of batches: its pages, what lags behind, and who sees what."""

from __future__ import annotations

import pytest
from tests.support.batches import PATH, Api, entries


def several(api: Api, count: int) -> list[str]:
    """The ids of so many new batches, the newest first."""
    ids: list[str] = []
    for _ in range(count):
        ids.insert(0, api.create(entries(1))["id"])
        api.now += 1
    return ids


def ids_on(page: dict[str, list[dict[str, str]]]) -> list[str]:
    return [batch["id"] for batch in page["data"]]


def test_an_empty_list() -> None:
    assert Api.made().list() == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_the_newest_come_first_20_a_page() -> None:
    api = Api.made()
    ids = several(api, 25)
    page = api.list()
    assert (ids_on(page), page["has_more"]) == (ids[:20], True)
    assert (page["first_id"], page["last_id"]) == (ids[0], ids[19])
    assert page["data"][0] == api.retrieve(ids[0])
    everything = api.list(limit=1_000)
    assert (ids_on(everything), everything["has_more"]) == (ids, False)
    assert (len(api.list(limit=25)["data"]), api.list(limit=25)["has_more"]) == (25, False)


def test_pages_after_and_before() -> None:
    api = Api.made()
    ids = several(api, 10)
    page = api.list(limit=3, after_id=ids[2])
    assert (ids_on(page), page["has_more"]) == (ids[3:6], True)
    page = api.list(limit=3, after_id=ids[6])
    assert (ids_on(page), page["has_more"]) == (ids[7:], False)
    page = api.list(limit=3, before_id=ids[5])
    assert (ids_on(page), page["has_more"]) == (ids[2:5], True)
    page = api.list(limit=3, before_id=ids[3])
    assert (ids_on(page), page["has_more"]) == (ids[:3], False)
    assert api.list(before_id=ids[0])["data"] == api.list(after_id=ids[9])["data"] == []


@pytest.mark.parametrize(
    "query",
    [{"limit": 0}, {"limit": 1_001}, {"limit": "x"}, {"after_id": "msgbatch_none"}, {"before_id": "msgbatch_none"}],
)
def test_pages_that_there_are_none_of(query: dict[str, object]) -> None:
    api = Api.made()
    several(api, 3)
    assert api.list(**query)["error"]["type"] == "invalid_request_error"


def test_a_new_batch_may_be_listed_later_than_it_is_there() -> None:
    api = Api.made(listed_after=5)
    (old,) = several(api, 1)
    api.now += 10
    new = api.create(entries(1))["id"]
    assert ids_on(api.list()) == [old]
    assert api.retrieve(new)["id"] == new
    api.now += 4.9
    assert ids_on(api.list(before_id=old)) == []
    api.now += 0.1
    assert ids_on(api.list()) == [new, old]
    assert ids_on(api.list(before_id=old)) == [new]


def test_a_workspace_sees_its_own() -> None:
    api = Api.made(per_second=0.001)
    workspaces = [
        {"x-api-key": "one"},
        {"x-api-key": "two"},
        {"x-api-key": "", "authorization": "Bearer one"},
        {"x-api-key": "one", "anthropic-workspace-id": "wrkspc_mine"},
    ]
    made: list[str] = []
    for headers in workspaces:
        api.headers = headers
        made.append(api.create(entries(1))["id"])
    for headers, own in zip(workspaces, made, strict=True):
        api.headers = headers
        assert ids_on(api.list()) == [own]
        assert api.retrieve(own)["id"] == own
        for other in set(made) - {own}:
            for asked in (api.retrieve, api.cancel, api.delete):
                assert asked(other)["error"]["type"] == "not_found_error"
            assert api.call("GET", f"{PATH}/{other}/results").status == 404
    api.headers = {"x-api-key": "three", "anthropic-workspace-id": "wrkspc_mine"}
    assert ids_on(api.list()) == [made[3]]
    assert api.responder.batches.recorded()[3].workspace_id == "wrkspc_mine"


def test_each_response_names_the_workspace() -> None:
    api = Api.made()
    named = dict(api.call("GET", PATH).headers)["anthropic-workspace-id"]
    assert named.startswith("wrkspc_")
    api.create(entries(1))
    api.headers = {"x-api-key": "another", "anthropic-workspace-id": named}
    assert len(api.list()["data"]) == 1
