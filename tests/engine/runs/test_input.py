"""What `manystream run` reads: three forms of input, and an error that says where for everything else."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from manystream import StreamRequest
from manystream.engine.runs import InputError, RequestFile, read_requests
from manystream.engine.runs.input import RequestPipe

ASK = [{"role": "user", "content": "Hello"}]


def request(custom_id: str = "a", **params: Any) -> str:
    return json.dumps({"custom_id": custom_id, "params": {"model": "claude-opus-5-5", "messages": ASK, **params}})


A, B = request("a"), request("b")


def read(path: Path, **options: Any) -> RequestFile:
    requests = read_requests(path, **options)
    assert isinstance(requests, RequestFile)
    return requests


def told(path: Path, content: str | bytes, **options: Any) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError) as caught:
        read_requests(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


def test_batch_requests_a_line(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(request("a", max_tokens=5) + "\n\n" + request("b", stream=True) + "\r\n")
    requests = read(path, needs_model=True)
    assert len(requests) == 2
    assert requests.model_name == "claude-opus-5-5"
    assert list(requests) == [
        StreamRequest({"model": "claude-opus-5-5", "messages": ASK, "max_tokens": 5}, custom_id="a"),
        StreamRequest({"model": "claude-opus-5-5", "messages": ASK}, custom_id="b"),
    ]
    assert list(requests) == list(requests)


def test_prompts_take_their_ids_from_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"prompt": "Hello"}\n\n{"prompt": "Hello", "custom_id": "mine"}\n{"prompt": "Hello"}'
    )
    assert [request.custom_id for request in read(path)] == ["line-1", "mine", "line-4"]
    assert all(request.params == {"messages": ASK} for request in read(path))


@pytest.mark.parametrize("indent", [None, 2])
def test_one_batches_body(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "body.json"
    path.write_text(json.dumps({"requests": [json.loads(request("a")), json.loads(request("b"))]}, indent=indent))
    assert [request.custom_id for request in read(path)] == ["a", "b"]


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Puts a text where standard input is read from."""
    with ExitStack() as files:

        def put(text: str) -> None:
            (tmp_path / "stdin").write_text(text)
            monkeypatch.setattr("sys.stdin", files.enter_context(open(tmp_path / "stdin")))

        yield put


def test_standard_input_from_a_file(stdin: Callable[[str], None]) -> None:
    stdin(request() + "\n{}")
    with pytest.raises(InputError, match=r"^stdin:2: params is missing$"):
        read_requests("-")
    stdin(request())
    requests = read_requests("-")
    assert isinstance(requests, RequestFile)
    assert list(requests) == list(requests)


@pytest.mark.anyio
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    "content", [request("a") + "\n\n" + request("b"), f'{{"requests": [{request("a")}, {request("b")}]}}']
)
async def test_a_pipe_is_read_once_and_as_it_comes(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text(content))
    writer.start()
    requests = await anyio.to_thread.run_sync(read_requests, path)
    assert isinstance(requests, RequestPipe)
    found = [(number, request.custom_id) async for number, request in requests]
    requests.close()
    writer.join()
    assert found == ([(1, "a"), (2, "b")] if content.startswith('{"requests') else [(1, "a"), (3, "b")])


@pytest.mark.anyio
async def test_what_is_wrong_in_a_pipe_is_told_when_it_comes() -> None:
    for skip in (False, True):
        end, begin = os.pipe()
        os.write(begin, f"{A}\n{{}}\n{B}\n".encode())
        os.close(begin)
        pipe = RequestPipe("stdin", end, needs_model=True, skip_invalid=skip)
        ids: list[str | None] = []
        with nullcontext() if skip else pytest.raises(InputError, match=r"^stdin:2: params is missing$"):
            async for _, one in pipe:
                ids.append(one.custom_id)
        assert ids == (["a", "b"] if skip else ["a"])
        assert pipe.invalid.told == (["stdin:2: params is missing"] if skip else [])
        pipe.close()
    end, begin = os.pipe()
    os.close(begin)
    with pytest.raises(InputError, match="it contains no requests"):
        _ = [one async for one in RequestPipe("stdin", end, needs_model=True, skip_invalid=False)]


def test_what_is_wrong_can_be_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_text("\n".join(["{", request("a"), request("a"), *["{}"] * 20, request("b")]))
    requests = read_requests(path, skip_invalid=True)
    assert isinstance(requests, RequestFile)
    assert [request.custom_id for request in requests] == ["a", "b"]
    assert (len(requests), requests.invalid.count) == (2, 22)
    *lines, more = requests.invalid.lines()
    assert lines[1] == f"skipped: {path}:3: custom_id 'a' is used already, in line 2"
    assert len(lines) == 10
    assert more == "skipped: and 12 more"
    with pytest.raises(InputError, match="contains no valid requests"):
        path.write_text("{}")
        read_requests(path, skip_invalid=True)


WRONG = [
    ("", ": it contains no requests"),
    (" \n\n", ": it contains no requests"),
    ('{"requests": []}', ": it contains no requests"),
    ('{"requests": {}}', ": requests must be an array, not an object"),
    ('{"requests": [\n\n', ":3: not JSON: Expecting value at column 1"),
    (f'{{"requests": [{request()}, 3]}}', ": requests[1]: a request must be an object, not a number"),
    (f'{{"requests": [{request()}, {request()}]}}', ": requests[1]: custom_id 'a' is used already, in requests[0]"),
    (request() + '\n{"prompt":\n', ":2: not JSON: Expecting value at column 11"),
    (request() + '\n{"prompt": NaN}', ":2: not JSON: NaN is not a JSON value"),
    (b'{"prompt": "\xff"}', ":1: not UTF-8: invalid start byte at byte 13"),
    ("[" * 100_000, ":1: nested too deeply"),
    ('["a"]', ":1: a request must be an object, not an array"),
    ("null", ":1: a request must be an object, not null"),
    ('{"prompt": ""}', ":1: prompt must be a non-empty string, not an empty string"),
    ('{"prompt": 3}', ":1: prompt must be a non-empty string, not a number"),
    ('{"promt": "Hello"}', ":1: unknown key 'promt'; did you mean 'prompt'?"),
    (
        '{"url": "/v1", "body": {}}',
        ":1: unknown key 'url'; a request has custom_id and params, or prompt",
    ),
    ('{"prompt": "Hello", "params": {}}', ":1: unknown key 'prompt'; a request has params or prompt, not both"),
    ('{"custom_id": "a"}', ":1: params is missing"),
    ('{"params": {}}', ":1: custom_id is missing"),
    ('{"custom_id": "a", "params": []}', ":1: params must be an object, not an empty array"),
    ('{"custom_id": 3, "params": {}}', ":1: custom_id must be a string, not a number"),
    (request("a b"), ":1: custom_id must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-', not \"a b\""),
    (request("a" * 65), f":1: custom_id must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-', not \"{'a' * 65}\""),
    (request("a\n"), ":1: custom_id must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-', not \"a\\n\""),
    (f"{request()}\n\n{request()}", ":3: custom_id 'a' is used already, in line 1"),
    ('{"custom_id": "line-2", "params": {"messages": [{"role": "user", "content": "Hello"}]}}\n{"prompt": "Hello"}',
     ":2: custom_id 'line-2' is used already, in line 1"),
    ('{"custom_id": "a", "params": {}}', ":1: params: a request needs `messages`"),
    (request(messages="Hello"), ":1: params.messages must be an array of at least one message, not a string"),
    (request(messages=[]), ":1: params.messages must be an array of at least one message, not an empty array"),
    (request(messages=["Hello"]), ":1: params.messages[0] must be an object, not a string"),
    (request(messages=[*ASK, {"role": "user"}]), ":1: params.messages[1].content is missing"),
    (request(model=""), ":1: params.model must be the name of a model, not an empty string"),
    (request(max_tokens="10"), ":1: params.max_tokens must be a number of tokens, not \"10\""),
    (request(max_tokens=True), ":1: params.max_tokens must be a number of tokens, not true"),
    (request(max_token=1), ":1: params: the Messages API has no parameter 'max_token'; did you mean 'max_tokens'?"),
    (request(qwertz=1), ":1: params: the Messages API has no parameter 'qwertz'"),
    (request(timeout=1), ":1: params: a request takes no timeout: streams end by deadlines, see `deadlines`"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert told(tmp_path / "in.jsonl", content) == message


def test_a_request_without_a_model(tmp_path: Path) -> None:
    content = request() + '\n{"prompt": "Hello"}'
    assert told(tmp_path / "in", content, needs_model=True) == ":2: no model: name one in params, or give --model"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent: no such file or directory$"):
        read_requests(tmp_path / "absent")
    with pytest.raises(InputError, match=r": is a directory$"):
        read_requests(tmp_path)
