"""The corpus is what it says: the SDK makes a message of each comparable stream, and none of some of the others."""

from typing import Any

import pytest

from tests.support.reference.sdk import sdk_final_message
from tests.support.reference.streams import STREAMS, ReferenceStream, recordings

pytestmark = pytest.mark.anyio

COMPARABLE = [stream for stream in (*STREAMS.values(), *recordings()) if stream.comparable]
ERRORS = {
    "APIStatusError",
    "AssertionError",
    "AttributeError",
    "IndexError",
    "JSONDecodeError",
    "TypeError",
    "UnicodeDecodeError",
    "ValueError",
}


def outcome_promised(stream: ReferenceStream) -> str | None:
    """The name of the exception with which the note begins, if it does."""
    first = stream.note.removeprefix("The SDK: ").replace(",", " ").split()[0]
    return first if first in ERRORS else None


async def test_the_sdk_makes_a_message_of_each_comparable_stream() -> None:
    for stream in COMPARABLE:
        message = await sdk_final_message(stream.body, beta=stream.beta)
        assert message["stop_reason"], stream.name


async def test_what_the_notes_promise_of_the_others() -> None:
    for stream in STREAMS.values():
        if stream.comparable:
            continue
        raised: str | None = None
        message: dict[str, Any] | None = None
        try:
            message = await sdk_final_message(stream.body, beta=stream.beta)
        except Exception as error:
            raised = type(error).__name__
        assert raised == outcome_promised(stream), (stream.name, message)


def test_a_stream_shows_its_name_but_not_its_bytes() -> None:
    stream = STREAMS["text"]
    assert "Hello" in stream.body.decode()
    assert "Hello" not in repr(stream)


def test_recordings_are_found_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "mcp_servers_stream-0.sse").write_bytes(b"data: 1\n\n")
    (tmp_path / "other-0.sse").write_bytes(b"")
    (tmp_path / "README.md").write_bytes(b"")
    monkeypatch.setenv("MANYSTREAM_RECORDINGS", str(tmp_path))
    assert [(stream.name, stream.beta, stream.comparable) for stream in recordings()] == [
        ("mcp_servers_stream-0", True, True),
        ("other-0", False, True),
    ]
    monkeypatch.setenv("MANYSTREAM_RECORDINGS", str(tmp_path / "absent"))
    assert [*recordings()] == []
