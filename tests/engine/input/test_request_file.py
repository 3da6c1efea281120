"""Files of requests: what `manystream run` reads, and an error that says where for everything else."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from manystream import StreamRequest
from manystream.engine.input import InputError, InvalidRequestsError, RequestFile, read_requests
from manystream.engine.input.pipe import RequestPipe
from manystream.engine.input.reading import Reading

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
    found = [(number, request.custom_id) async for number, request, _ in requests]
    requests.close()
    writer.join()
    assert found == ([(1, "a"), (2, "b")] if content.startswith('{"requests') else [(1, "a"), (3, "b")])


@pytest.mark.anyio
async def test_what_is_wrong_in_a_pipe_is_told_when_it_comes() -> None:
    for skip in (False, True):
        end, begin = os.pipe()
        os.write(begin, f"{A}\n{{}}\n{B}\n".encode())
        os.close(begin)
        pipe = RequestPipe("stdin", end, Reading(needs_model=True), skip_invalid=skip)
        ids: list[str | None] = []
        with nullcontext() if skip else pytest.raises(InputError, match=r"^stdin:2: params is missing$"):
            async for _, one, _ in pipe:
                ids.append(one.custom_id)
        assert ids == (["a", "b"] if skip else ["a"])
        assert pipe.invalid.told == (["stdin:2: params is missing"] if skip else [])
        pipe.close()
    end, begin = os.pipe()
    os.close(begin)
    with pytest.raises(InputError, match="it contains no requests"):
        _ = [one async for one in RequestPipe("stdin", end, Reading(needs_model=True), skip_invalid=False)]


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
    ('["a"]', ": [0]: a request must be an object, not a string"),
    ("null", ":1: a request must be an object, not null"),
    ('{"prompt": ""}', ":1: prompt must be a non-empty string, not an empty string"),
    ('{"prompt": 3}', ":1: prompt must be a non-empty string, not a number"),
    ('{"promt": "Hello"}', ":1: unknown key 'promt'; did you mean 'prompt'?"),
    (
        '{"uri": "/v1", "temperature": 1}',
        ":1: unknown key 'uri'; a request has custom_id and params, or prompt; rows need --prompt-column or --template",
    ),
    ('{"prompt": "Hello", "params": {}}', ":1: unknown key 'prompt'; a request has params or prompt, not both"),
    ('{"custom_id": "a"}', ":1 (a): params is missing"),
    ('{"params": {}}', ":1: custom_id is missing"),
    ('{"custom_id": "a", "params": []}', ":1 (a): params must be an object, not an empty array"),
    ('{"custom_id": 3, "params": {}}', ":1: custom_id must be a string, not a number"),
    (request("a b"), ":1: custom_id must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-', not \"a b\""),
    (request("a" * 65), f":1: custom_id must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-', not \"{'a' * 65}\""),
    (request("a\n"), ":1: custom_id must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-', not \"a\\n\""),
    (f"{request()}\n\n{request()}", ":3: custom_id 'a' is used already, in line 1"),
    ('{"custom_id": "line-2", "params": {"messages": [{"role": "user", "content": "Hello"}]}}\n{"prompt": "Hello"}',
     ":2: custom_id 'line-2' is used already, in line 1"),
    ('{"custom_id": "a", "params": {}}', ":1 (a): params: a request needs `messages`"),
    (request(messages="Hello"), ":1 (a): params.messages must be an array of at least one message, not a string"),
    (request(messages=[]), ":1 (a): params.messages must be an array of at least one message, not an empty array"),
    (request(messages=["Hello"]), ":1 (a): params.messages[0] must be an object, not a string"),
    (request(messages=[*ASK, {"role": "user"}]), ":1 (a): params.messages[1].content is missing"),
    (request(model=""), ":1 (a): params.model must be the name of a model, not an empty string"),
    (request(model="claude opus"),
     ":1 (a): params.model is a name such as \"claude-opus-5-5\", without spaces, not 'claude opus'"),
    (request(model="claude\n"),
     ":1 (a): params.model is a name such as \"claude-opus-5-5\", without spaces, not 'claude\\n'"),
    (request(max_tokens="10"), ":1 (a): params.max_tokens must be a number of tokens, not \"10\""),
    (request(max_tokens=True), ":1 (a): params.max_tokens must be a number of tokens, not true"),
    (request(max_token=1), ":1 (a): params: the Messages API has no parameter 'max_token'; did you mean 'max_tokens'?"),
    (request(qwertz=1), ":1 (a): params: the Messages API has no parameter 'qwertz'"),
    # wrong plain types, which the API would refuse one by one
    (request(temperature=[1]), ":1 (a): params.temperature must be a number, not an array"),
    (request(top_k=1.5), ":1 (a): params.top_k must be a whole number, not a number"),
    (request(system=3), ":1 (a): params.system must be a string or an array, not a number"),
    (request(stream="yes"), ":1 (a): params.stream must be true or false, not a string"),
    (request(stop_sequences="end"), ":1 (a): params.stop_sequences must be an array, not a string"),
    (request(tools={}), ":1 (a): params.tools must be an array, not an object"),
    (request(metadata="me"), ":1 (a): params.metadata must be an object, not a string"),
    (request(thinking=True), ":1 (a): params.thinking must be an object, not true"),
    (request(service_tier=1), ":1 (a): params.service_tier must be a string, not a number"),
    (request(messages=[{"role": 1, "content": "Hello"}]),
     ":1 (a): params.messages[0].role must be a string, not a number"),
    (request(messages=[{"role": "user", "content": 3}]),
     ":1 (a): params.messages[0].content must be a string or an array of blocks, not a number"),
    (request(messages=[{"role": "user", "content": ["Hello"]}]),
     ":1 (a): params.messages[0].content[0] must be an object, not a string"),
    # what JSON allows and nobody means
    ('{"prompt": "Hello", "prompt": "Hi"}', ":1: the key 'prompt' stands twice in one object"),
    ('{"custom_id": "a", "params": {"max_tokens": 1, "max_tokens": 2}}',
     ":1 (a): the key 'max_tokens' stands twice in one object"),
    ('{"custom_id": "a", "prompt": "Hello \\ud83d"}',
     ":1 (a): prompt holds half of a surrogate pair, which is no character: an emoji was cut in two"),
    (request(system="\udc00"),
     ":1 (a): params.system holds half of a surrogate pair, which is no character: an emoji was cut in two"),
    (request(metadata={"\ud83d": 1}),
     ":1 (a): params.metadata (a key) holds half of a surrogate pair, which is no character: an emoji was cut in two"),
    # files of other kinds
    ('{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt"}}',
     ':1 (a): is a line of an OpenAI batch; a request is {"custom_id": …, "params": {…}}, whose params are what `body`'
     " holds, with the system prompt in params.system"),
    ('{"custom_id": "a", "result": {"type": "succeeded"}}',
     ":1 (a): is a line of results; name the file of requests"),
    ('{"id": "1", "custom_id": "a", "response": {}, "error": null}',
     ":1 (a): is a line of an OpenAI batch's results; name the file of requests"),
    ('{"messages": [], "model": "m"}',
     ':1: has the parameters of a request alone; a request is {"custom_id": …, "params": {…}}'),
    ('{"model": "m", "requests": []}',
     ':1: is a Message Batches body with more than requests; it is {"requests": […]}, and nothing else'),
    ("Tell me of rivers.\nAnd of lakes.",
     ": begins with 'Tell me of rivers.', which is no JSON; requests are one JSON object a line, such as"
     ' {"custom_id": "a", "prompt": "…"}, or the rows of a table whose first line names the columns (call it .csv or'
     " .tsv)"),
    ("<!DOCTYPE html>",
     ': is XML or HTML; requests are one JSON object a line, such as {"custom_id": "a", "prompt": "…"}'),
    (b"PK\x03\x04rest", ": is a zip archive, as .xlsx files are too; unpack it, or save its rows as CSV"),
    (bytes(range(256)), ": is binary; requests are one JSON object a line, such as"
     ' {"custom_id": "a", "prompt": "…"}'),
    (b"BZh9", ": is compressed with bzip2; unpack it with bunzip2, or use gzip"),
    (b"SQLite format 3\x00", ": is an SQLite database, as a run's journal is; name the file of requests"),
    (gzip.compress(request().encode(), mtime=0)[:-9], ": its compressed data is damaged or cut off"),
    (gzip.compress(request().encode(), mtime=0)[:20] + b"rubbish", ": its compressed data is damaged or cut off"),
    ("[]", ": it contains no requests"),
    (f"[{request()}, {request()}]", ": [1]: custom_id 'a' is used already, in [0]"),
    (f"[{request()}, {{}}]", ": [1]: params is missing"),
    ("[\n1", ":2: not JSON: Expecting ',' delimiter at column 2"),
    (request(timeout=1), ":1 (a): params: a request takes no timeout: streams end by deadlines, see `deadlines`"),
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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_named_with_what_to_do(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "in.jsonl"
    said = told(path, A.encode(encoding))
    name = encoding.upper().replace("-LE", "LE").replace("-BE", "BE")
    assert said == f": is {name}, not UTF-8: iconv -f {name} -t UTF-8 {path} > utf8.jsonl"
    path.write_bytes(path.read_bytes().decode(encoding).encode())  # as iconv does it
    assert [one.custom_id for one in read(path)] == ["a"]


def test_an_object_over_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    assert told(path, json.dumps(json.loads(A), indent=2)) == (
        f": an object goes over several lines; it has to be on one: jq -c . {path} > out.jsonl"
    )


def zstd_of(data: bytes) -> bytes:
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return importlib.import_module(name).compress(data)
    pytest.skip("nothing here knows Zstandard")


LINES = f"{A}\n\n{B}\n".encode()
ARRAY = f" [{A},\n{B}]".encode()
BODY = f'{{ "requests" : [{A}, {B}]}}'.encode()
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzips": lambda data: gzip.compress(data[:50], mtime=0) + gzip.compress(data[50:], mtime=0),
    "zstd": zstd_of,
    "zstds": lambda data: zstd_of(data[:50]) + zstd_of(data[50:]),
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("content", [LINES, ARRAY, BODY], ids=["lines", "array", "body"])
def test_compressed_files_and_arrays(tmp_path: Path, content: bytes, packing: str) -> None:
    path = tmp_path / "in.jsonl"  # its name says nothing
    path.write_bytes(PACKINGS[packing](content))
    requests = read(path)
    assert [one.custom_id for one in requests] == ["a", "b"]
    assert list(requests) == list(requests)


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("content", [LINES, ARRAY, BODY], ids=["lines", "array", "body"])
async def test_the_same_through_a_pipe(content: bytes, packing: str, size: int) -> None:
    packed = PACKINGS[packing](content)
    end, begin = os.pipe()

    def write() -> None:
        for at in range(0, len(packed), size):
            os.write(begin, packed[at : at + size])
        os.close(begin)

    writer = threading.Thread(target=write)
    writer.start()
    pipe = RequestPipe("stdin", end, Reading(needs_model=True), skip_invalid=False)
    assert [one.custom_id async for _, one, _ in pipe] == ["a", "b"]
    writer.join()
    pipe.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(LINES, mtime=0)[:-9], "stdin: its compressed data is damaged or cut off"),
        (A.encode("utf-16"), "stdin: is UTF-16, not UTF-8: send it through iconv -f UTF-16 -t UTF-8"),
        (b"PK\x03\x04rest", "stdin: is a zip archive"),
    ],
)
async def test_what_is_wrong_with_all_of_a_pipe(content: bytes, message: str) -> None:
    end, begin = os.pipe()
    os.write(begin, content)
    os.close(begin)
    pipe = RequestPipe("stdin", end, Reading(needs_model=True), skip_invalid=False)
    with pytest.raises(InputError) as caught:
        _ = [one async for one in pipe]
    assert str(caught.value).startswith(message)
    pipe.close()


def test_zstandard_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    assert told(tmp_path / "in", b"\x28\xb5\x2f\xfdrest") == (
        ": reading Zstandard needs another package: pip install 'manystream[zstd]'"
    )


def test_all_that_is_wrong_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_text("\n".join(["{", A, A, *["{}"] * 20, B]))
    with pytest.raises(InvalidRequestsError) as caught:
        read_requests(path)
    invalid = caught.value.invalid
    assert (invalid.count, len(invalid.told)) == (22, 10)
    assert str(caught.value) == f"{invalid.told[0]} (and 21 more)"
    assert pickle.loads(pickle.dumps(caught.value)).invalid == invalid


def test_parameters_for_all_requests_replace_their_own(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_text("\n".join([request("a", max_tokens=5), request("b", max_tokens=7), '{"prompt": "Hello"}']))
    requests = read(path, needs_model=True, parameters={"model": "claude-opus-5-5", "max_tokens": 5})
    assert [one.params["max_tokens"] for one in requests] == [5, 5, 5]
    assert {one.params["model"] for one in requests} == {"claude-opus-5-5"}
    assert requests.replaced == {"max_tokens": 1}  # what is the same already is not replaced
