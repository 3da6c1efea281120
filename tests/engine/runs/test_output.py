"""The results file: whole lines only, and nothing of the user's lost by mistake."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.messages import MessageBatchIndividualResponse

from manystream import ErrorInfo, StreamRequest, StreamResult
from manystream.engine.runs.output import OutputError, ResultFile
from manystream.engine.runs.results import batch_result, encode_line
from manystream.engine.runs.stopping import would_fail_all

OWN_LIMIT = "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."


def test_what_may_not_be_written(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    for path, source, message in (
        (taken, None, "exists already, without a journal to go on from; --overwrite replaces it"),
        (tmp_path, None, "is a directory"),
        (tmp_path / "no" / "out", None, f"there is no directory {tmp_path / 'no'}"),
    ):
        with pytest.raises(OutputError) as caught:
            ResultFile(path).check(source)
        assert str(caught.value) == f"{path}: {message}"
    with pytest.raises(OutputError, match="the output is the input"):
        ResultFile(tmp_path / "." / "taken", overwrite=True).check(str(taken))
    ResultFile(taken, overwrite=True).check("elsewhere")
    assert taken.read_text() == "mine"


def test_an_empty_file_and_a_device_hold_nothing_to_lose(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    ResultFile(tmp_path / "empty").check()
    ResultFile(os.devnull).check()


def test_lines_are_there_when_they_are_flushed(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "out")
    file.open()
    file.add(b"one\n")
    file.add(b"two\n")
    assert (tmp_path / "out").read_bytes() == b""
    file.flush()
    file.flush()
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
    assert file.written == 2
    file.close()
    file.close()


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 10
    write = os.write

    def write_some(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        written = write(descriptor, data[: min(room, 4)])
        room -= written
        return written

    file = ResultFile(tmp_path / "out")
    file.open()
    for line in (b"one\n", b"two\n", b"three\n"):
        file.add(line)
    monkeypatch.setattr(os, "write", write_some)
    with pytest.raises(OutputError, match=r"out: no space left on device$"):
        file.flush()
    monkeypatch.undo()
    file.close()
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
    assert file.written == 2


def test_flushes_that_meet_write_each_line_once(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "out")
    file.open()
    for number in range(1000):
        file.add(b"%d\n" % number)
    threads = [threading.Thread(target=file.flush) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    assert (tmp_path / "out").read_bytes() == b"".join(b"%d\n" % number for number in range(1000))


def test_half_a_surrogate_pair_is_written_as_an_escape() -> None:
    assert encode_line("a", {"text": "é"}) == '{"custom_id":"a","result":{"text":"é"}}\n'.encode()
    assert encode_line("a", {"text": "\ud83d"}) == b'{"custom_id":"a","result":{"text":"\\ud83d"}}\n'


def test_a_line_is_a_line_to_every_reader() -> None:
    line = encode_line("\u2028", {"text": "a\x85b\u2029\u2028", "number": float("nan")})
    assert line == b'{"custom_id":"\\u2028","result":{"text":"a\\u0085b\\u2029\\u2028","number":"NaN"}}\n'


# -- endings as results


def make(state: Any, **fields: Any) -> StreamResult:
    return StreamResult(state=state, stream_id="s", timestamp=datetime.now(UTC), **fields)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("overloaded_error", "overloaded_error"),
        ("brand_new_error", "brand_new_error"),
        ("connection_error", "api_error"),
        ("protocol_error", "api_error"),
        ("request_error", "invalid_request_error"),
    ],
)
def test_failures_are_errors_of_the_api_s_kinds(kind: str, written: str) -> None:
    result = batch_result(make("failed", error=ErrorInfo(kind, "why", request_id="req_1")))
    error = {"type": "error", "error": {"type": written, "message": "why"}, "request_id": "req_1"}
    assert result == {"type": "errored", "error": error}


def test_the_sdk_reads_every_kind_of_line() -> None:
    deadline = ErrorInfo("deadline_exceeded", "late", deadline="queued")
    for result, kind in (
        (make("truncated", error=ErrorInfo("truncated", "cut"), request_id="req_1"), "errored"),
        (make("failed", error=ErrorInfo("deadline_exceeded", "late", deadline="idle")), "errored"),
        (make("failed", error=deadline), "expired"),
        (make("cancelled", cancelled_by="handle"), "canceled"),
    ):
        line = encode_line("a", batch_result(result) or {})
        assert MessageBatchIndividualResponse.model_validate_json(line).result.type == kind


def test_an_interruption_is_no_answer() -> None:
    assert batch_result(make("cancelled", cancelled_by="engine")) is None
    assert batch_result(make("cancelled", cancelled_by="consumer")) is None


def test_failures_that_would_fail_all() -> None:
    def would(status: int | None, message: str = "", *, only_model: bool = True, **fields: Any) -> bool:
        info = ErrorInfo("some_error", message, status, **fields)
        return would_fail_all(make("failed", error=info), only_model=only_model)

    assert [status for status in (400, 401, 402, 403, 404, 413, 500, 529, None) if would(status)] == [401, 402, 403]
    assert would(404, "model: claude-nobody")
    assert not would(404, "model: claude-nobody", only_model=False)
    assert would(429, code="enforced_spend_limit_reached")
    assert would(429, code="contract_spend_limit_reached")
    assert would(400, code="organization_on_hold")
    assert would(400, OWN_LIMIT)
    assert would(400, OWN_LIMIT.replace("specified", "specified workspace"))
    assert not would(400, f"messages.0: the text says: {OWN_LIMIT}")
    assert not would(429, code="ramp_limit_exceeded")
    assert not would(429)
    assert not would_fail_all(make("complete"), only_model=True)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (402, "linked_organization_spend_limit_reached"),
        (402, "linked_organization_billing_unavailable"),
        (403, "user_profile_not_billable"),
        (403, "user_profile_billing_not_authorized"),
        (400, "user_profile_not_found"),
    ],
)
def test_a_refused_user_profile_fails_those_who_name_it(status: int, code: str) -> None:
    def would(request: StreamRequest) -> bool:
        info = ErrorInfo("billing_error", "no", status, code=code)
        return would_fail_all(make("failed", error=info, request=request), only_model=True)

    assert not would(StreamRequest("hi", extra_headers={"Anthropic-User-Profile-Id": "up_1"}))
    assert not would(StreamRequest({"messages": [], "user_profile_id": "up_1"}))
    assert not would(StreamRequest("hi", extra_body={"user_profile_id": "up_1"}))
    assert would(StreamRequest("hi", extra_headers={"x-other": "1"}))  # then the client's own headers name it
    assert would(StreamRequest({"messages": [], "user_profile_id": None}))
