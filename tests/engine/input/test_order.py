"""Samples and shuffled inputs: the same seed takes the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from manystream import Columns, InputError, RequestFile, StreamRequest, read_requests
from manystream.engine.input.given import requests_in
from manystream.engine.input.order import Order
from manystream.engine.input.reading import Reading


def ids(path: Path, **options: Any) -> list[str]:
    requests = read_requests(path, columns=Columns(id="key"), **options)
    assert isinstance(requests, RequestFile)
    found = [str(request.custom_id) for request in requests]
    assert [str(request.custom_id) for request in requests] == found
    assert len(found) == len(requests)
    return found


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Say {n}", "key": f"k{n}"}) + "\n" for n in range(200)))
    return path


def test_a_sample_is_in_the_input_s_order_and_repeats(rows: Path) -> None:
    every = ids(rows)
    some = ids(rows, sample=20, seed=3)
    assert some == [one for one in every if one in set(some)]
    assert len(some) == 20
    assert ids(rows, sample=20, seed=3) == some
    assert ids(rows, sample=20, seed=4) != some
    assert set(some) < set(ids(rows, sample=40, seed=3))
    assert ids(rows, sample=500, seed=3) == every


def test_shuffled_has_all_of_them_in_another_order(rows: Path) -> None:
    every, mixed = ids(rows), ids(rows, shuffle=True, seed=3)
    assert mixed != every
    assert sorted(mixed) == sorted(every)
    assert ids(rows, shuffle=True, seed=3) == mixed
    assert ids(rows, shuffle=True, seed=4) != mixed
    assert ids(rows, shuffle=True, sample=20, seed=3) == mixed[:20]
    assert set(mixed[:20]) == set(ids(rows, sample=20, seed=3))


def test_rows_that_come_or_go_do_not_change_which_others_are_taken(rows: Path) -> None:
    before = ids(rows, sample=50, seed=1)
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[100:] + lines[:50]))
    after = set(ids(rows, sample=50, seed=1))
    gone = {f"k{n}" for n in range(50, 100)}
    assert set(before) - gone <= after


def test_places_in_errors_are_those_of_the_file(rows: Path) -> None:
    requests = read_requests(rows, shuffle=True, epochs=2)
    assert isinstance(requests, RequestFile)
    _, request, _ = list(requests.numbered())[4]
    prompt = request.params["messages"][0]["content"]  # pyright: ignore[reportIndexIssue]
    assert requests.where(5) == f"{rows}:{int(prompt.removeprefix('Say ')) + 1}"


def test_epochs_do_not_change_the_sample(rows: Path) -> None:
    once = ids(rows, sample=10, seed=1)
    assert ids(rows, sample=10, seed=1, epochs=2) == [f"{one}__{epoch}" for one in once for epoch in (1, 2)]


def test_what_a_program_gives_can_be_shuffled_too() -> None:
    given: list[Any] = [
        {"prompt": "row"},
        "a prompt",
        StreamRequest("a request", custom_id="mine"),
        {"messages": [{"role": "user", "content": "Hi"}]},
    ]
    requests = requests_in(given, Reading(epochs=2), lambda: Order(shuffle=True, seed=1), skip_invalid=False)
    assert sorted(one.custom_id for one in requests) == sorted(
        f"{name}__{epoch}" for name in ("row-1", "request-2", "mine", "request-4") for epoch in (1, 2)
    )


def test_a_pipe_has_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="sample and shuffle need all rows at once"):
        requests_in(iter([{"prompt": "x"}]), Reading(), lambda: Order(sample=1), skip_invalid=False)


def test_stdin_has_no_sample(tmp_path: Path) -> None:
    import os

    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(InputError, match="a pipe can't be sampled or shuffled"):
            read_requests(path, sample=1)
    finally:
        os.close(descriptor)
