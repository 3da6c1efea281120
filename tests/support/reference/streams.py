"""The project's own corpus of Messages streams, as the bytes of the response.

It has every kind of event, block, delta, stop reason and usage there is, and every way of writing it on the wire. A
stream is `comparable` where the SDK's final message is the truth. The others are those of which the SDK makes nothing,
or something wrong; their notes say what.
"""

import json
import os
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import attrs

__all__ = ["STREAMS", "ReferenceStream", "recordings"]


@attrs.frozen
class ReferenceStream:
    """One response body. `beta` says which of the SDK's routes it belongs to."""

    name: str
    body: bytes = attrs.field(repr=False)
    beta: bool = False
    comparable: bool = True
    note: str = ""


_BETA_RECORDINGS = ("native_tool_search_streaming", "compaction", "mcp_servers", "sdk-fallback")


def recordings() -> Iterator[ReferenceStream]:
    """Recorded streams, from the folder that `MANYSTREAM_RECORDINGS` names, or else from `shared/recordings` beside
    the repository; none where there is no such folder.
    """
    beside = Path(__file__).resolve().parents[3].parent / "shared" / "recordings"
    for path in sorted(Path(os.environ.get("MANYSTREAM_RECORDINGS") or beside).glob("*.sse")):
        beta = any(part in path.name for part in _BETA_RECORDINGS)
        yield ReferenceStream(path.stem, path.read_bytes(), beta, note="a recording")


# How a stream is made: events out of data, in the order of their appearance.

Json = dict[str, Any]


def event(kind: str, **fields: Any) -> bytes:
    """One event as the API writes it: with spaces before the closing brace."""
    text = json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))
    padding = " " * (len(text) % 7)
    return f"event: {kind}\ndata: {text[:-1]}{padding}}}\n\n".encode()


def raw(kind: str, data: str) -> bytes:
    """One event with `data` as it stands."""
    return f"event: {kind}\ndata: {data}\n\n".encode()


USAGE: Json = {
    "input_tokens": 21,
    "cache_creation_input_tokens": 100,
    "cache_read_input_tokens": 2000,
    "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
    "output_tokens": 1,
    "service_tier": "standard",
    "inference_geo": "not_available",
}


def start(*content: Json, usage: Json = USAGE, **fields: Any) -> bytes:
    message: Json = {
        "model": "claude-opus-5-5",
        "id": "msg_0123456789abcdefghijklmn",
        "type": "message",
        "role": "assistant",
        "content": list(content),
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    return event("message_start", message={**message, **fields})


def begin(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_start", index=index, content_block={"type": kind, **fields})


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


def text_delta(index: int, text: str) -> bytes:
    return delta(index, "text_delta", text=text)


def json_delta(index: int, partial_json: str) -> bytes:
    return delta(index, "input_json_delta", partial_json=partial_json)


def cite(index: int, kind: str, **fields: Any) -> bytes:
    return delta(index, "citations_delta", citation={"type": kind, "cited_text": "The river rises.", **fields})


def text(index: int, *pieces: str, **fields: Any) -> bytes:
    return (
        begin(index, "text", text="", **fields) + b"".join(text_delta(index, piece) for piece in pieces) + stop(index)
    )


def thinking(index: int, *pieces: str, signature: str = "EqQBCkYIBxgCKkA0c2lnbmF0dXJl") -> bytes:
    return (
        begin(index, "thinking", thinking="", signature="")
        + b"".join(delta(index, "thinking_delta", thinking=piece) for piece in pieces)
        + delta(index, "signature_delta", signature=signature)
        + stop(index)
    )


def tool(index: int, *pieces: str, kind: str = "tool_use", name: str = "get_weather", **fields: Any) -> bytes:
    prefix = {"tool_use": "toolu", "server_tool_use": "srvtoolu", "mcp_tool_use": "mcptoolu"}[kind]
    return (
        begin(index, kind, id=f"{prefix}_{index:024}", name=name, input={}, **fields)
        + b"".join(json_delta(index, piece) for piece in pieces)
        + stop(index)
    )


def server_tool(index: int, name: str, arguments: Json) -> bytes:
    written = json.dumps(arguments)
    return tool(index, "", written[:5], written[5:], kind="server_tool_use", name=name)


def result(index: int, kind: str, content: Any, *, call: str = "srvtoolu", **fields: Any) -> bytes:
    """The result of a server tool, whole, to the call of the block before it."""
    tool_use_id = f"{call}_{index - 1:024}"
    return begin(index, kind, tool_use_id=tool_use_id, content=content, **fields) + stop(index)


def last(
    stop_reason: str | None = "end_turn", usage: Json | None = None, *, top: Json | None = None, **more: Any
) -> bytes:
    """The `message_delta`; `more` goes into its delta, and `top` beside it."""
    fields = {"stop_reason": stop_reason, "stop_sequence": None, **more}
    return event("message_delta", delta=fields, usage={"output_tokens": 42} if usage is None else usage, **(top or {}))


END = event("message_stop")
PING = raw("ping", '{"type": "ping"}')
HELLO = start() + text(0, "Hello", " world")
CALL = begin(0, "tool_use", id="toolu_0", name="get_weather", input={})


def message(*blocks: bytes, begun: bytes = b"", ended: bytes = b"") -> bytes:
    """A whole stream with these blocks in it."""
    return (begun or start()) + b"".join(blocks) + (ended or last()) + END


def _plain() -> Iterator[tuple[str, bytes]]:
    """Text, thinking and tools, and how they may come."""
    yield "text", HELLO + last() + END
    yield "no blocks", message()
    yield "text, empty", message(text(0))
    yield "text, an empty delta", message(text(0, "", "a", ""))
    yield ("text that begins in its block", message(begin(0, "text", text="Once"), text_delta(0, " more")))
    yield "text, twenty blocks", message(b"".join(text(index, "a", str(index)) for index in range(20)))
    yield "text, a thousand deltas", message(text(0, *(f"{n} " for n in range(1000))))
    yield "text, large", message(text(0, *["wide é river " * 400] * 20))
    yield "pings everywhere", _with_pings(message(thinking(0, "a", "b"), text(1, "c")))
    yield "thinking", message(thinking(0, "Let me", " see."), text(1, "Yes."))
    yield "thinking, not shown", message(thinking(0), text(1, "Yes."))
    yield (
        "thinking, signed twice",
        message(
            begin(0, "thinking", thinking="", signature=""),
            delta(0, "signature_delta", signature="Rmlyc3Q="),
            delta(0, "signature_delta", signature="U2Vjb25k"),
            stop(0),
        ),
    )
    yield (
        "thinking, redacted",
        message(begin(0, "redacted_thinking", data="RW5jcnlwdGVk"), stop(0), thinking(1, "On."), text(2, "Yes.")),
    )
    yield (
        "blocks interleaved",
        message(
            begin(0, "text", text=""),
            begin(1, "tool_use", id="toolu_1", name="get_weather", input={}),
            text_delta(0, "Let "),
            json_delta(1, '{"city"'),
            begin(2, "thinking", thinking="", signature=""),
            delta(2, "thinking_delta", thinking="Hm"),
            text_delta(0, "me"),
            json_delta(1, ': "Wien"}'),
            stop(1),
            text_delta(0, " see"),
            delta(2, "signature_delta", signature="c2ln"),
            stop(0),
            stop(2),
            ended=last("tool_use"),
        ),
    )
    yield (
        "all of it in message_start",
        start({"type": "text", "text": "Whole."}, stop_reason="end_turn", usage={**USAGE, "output_tokens": 3}) + END,
    )
    yield (
        "all of it in message_start, with a tool",
        start(
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "tool_use", "id": "toolu_0", "name": "get_weather", "input": {"city": "Wien"}},
            stop_reason="tool_use",
            stop_details=None,
            container=None,
        )
        + END,
    )
    yield (
        "half of it in message_start",
        message(
            text_delta(0, "B"), stop(0), text(1, "C"), begun=start({"type": "text", "text": "A", "citations": None})
        ),
    )
    for reason in ("max_tokens", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"):
        yield f"stopped by {reason}", HELLO + last(reason) + END
    yield "stopped by stop_sequence", HELLO + last("stop_sequence", stop_sequence="\n\nHuman:") + END
    yield "stopped by something new", HELLO + last("brand_new_reason") + END
    yield (
        "refusal, explained",
        message(
            text(0),
            begun=start(stop_details=None),
            ended=last("refusal", stop_details={"type": "refusal", "category": "cyber", "explanation": "No."}),
        ),
    )
    yield (
        "refusal, unexplained",
        HELLO + last("refusal", stop_details={"type": "refusal", "category": None, "explanation": None}) + END,
    )


def _with_pings(body: bytes) -> bytes:
    return PING + (b"\n\n" + PING).join(body.removesuffix(b"\n\n").split(b"\n\n")) + b"\n\n" + PING


def _tools() -> Iterator[tuple[str, bytes]]:
    arguments = {
        "no arguments at all": [],
        "only an empty delta": [""],
        "an empty object": ["", "{}"],
        "one piece": ['{"city": "Wien", "days": 3}'],
        "one piece a character": [*'{"city": "Wien", "days": [1, 2.5, -3e2, true, null, {"a": {}}]}'],
        "space around it": [' \n{ "a" : [ 1 ,', " 2 ] }", "\t\n"],
        "escapes": [
            '{"path": "C:\\\\new\\',
            'ntab\\t\\"q\\" \\u00',
            "e9 \\ud83d",
            '\\ude00 \\/ é 😀 \\u2028 \\u0000"}',
        ],
        "numbers": ['{"a": 1.0, "b": 1e2, "c": -0, "d": -0.0, "e": 12345678901', '2345678901234567890, "f": 0.1}'],
        "the same name twice": ['{"a": 1, "b": 2,', ' "a": {"c": 3}}'],
        "a date": ['{"expires_at": "2026-01-02T03:04:05.500+00:00"}'],
        "a list": ["[1, ", "2]"],
        "a large string": ['{"content": "', *["def f():\\n    return 1\\n" * 50] * 40, '"}'],
        "depth": ['{"a":' * 60 + "1" + "}" * 60],
    }
    for name, pieces in arguments.items():
        yield f"tool, {name}", message(tool(0, *pieces), ended=last("tool_use"))
    yield (
        "tools in parallel",
        message(
            text(0, "Two:"), tool(1, "", '{"city":', '"Wien"}'), tool(2, '{"city":"Graz"}'), ended=last("tool_use")
        ),
    )
    yield (
        "tool, arguments in its start",
        message(begin(0, "tool_use", id="toolu_0", name="f", input={"a": 1.0}), stop(0), ended=last("tool_use")),
    )
    yield (
        "tool, arguments in its start, replaced",
        message(
            begin(0, "tool_use", id="toolu_0", name="f", input={"a": 1}),
            json_delta(0, '{"b": 2}'),
            stop(0),
            ended=last("tool_use"),
        ),
    )
    callers = (
        {"type": "direct"},
        {"type": "code_execution_20250825", "tool_id": "srvtoolu_0"},
        {"type": "code_execution_20260120", "tool_id": "srvtoolu_0"},
        {"type": "caller_of_the_future", "since": 2027},
        None,
    )
    for caller in callers:
        kind = caller["type"] if caller else "null"
        yield (
            f"tool, caller {kind}",
            message(tool(0, '{"a": 1}', caller=caller, toolset_name="set"), ended=last("tool_use")),
        )


def _server_tools() -> Iterator[tuple[str, bytes]]:
    page: Json = {
        "type": "web_search_result",
        "url": "https://example.com/rivers",
        "title": "Rivers",
        "encrypted_content": "RW5jcnlwdGVk",
        "page_age": "April 30, 2026",
    }

    def document(source: Json, **fields: Any) -> Json:
        inner = {"type": "document", "source": source, **fields}
        return {
            "type": "web_fetch_result",
            "url": page["url"],
            "retrieved_at": "2026-01-02T03:04:05.678+00:00",
            "content": inner,
        }

    plain = document(
        {"type": "text", "media_type": "text/plain", "data": "Rivers é"}, title="Rivers", citations={"enabled": True}
    )
    pdf = document({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, title=None, citations=None)

    def run(kind: str, output: str, **fields: Any) -> Json:
        files = [{"type": output, "file_id": "file_0"}]
        return {"type": kind, "stdout": "42\n", "stderr": "", "return_code": 0, "content": files, **fields}

    def error(kind: str, code: str = "unavailable", **fields: Any) -> Json:
        return {"type": f"{kind}_error", "error_code": code, **fields}

    editor = "text_editor_code_execution"
    results: dict[tuple[str, str], list[Any]] = {
        ("web_search", "web_search_tool_result"): [
            [page, {**page, "page_age": None}],
            [],
            error("web_search_tool_result", "max_uses_exceeded"),
            [{"type": "video_result_of_the_future", "url": "https://example.com/video"}],
        ],
        ("web_fetch", "web_fetch_tool_result"): [plain, pdf, error("web_fetch_tool_result", "url_not_allowed")],
        ("code_execution", "code_execution_tool_result"): [
            run("code_execution_result", "code_execution_output"),
            {
                "type": "encrypted_code_execution_result",
                "encrypted_stdout": "RW5jcnlwdGVk",
                "stderr": "",
                "return_code": 0,
                "content": [],
            },
            error("code_execution_tool_result", "execution_time_exceeded"),
        ],
        ("bash_code_execution", "bash_code_execution_tool_result"): [
            run("bash_code_execution_result", "bash_code_execution_output"),
            error("bash_code_execution_tool_result", "output_file_too_large"),
        ],
        (editor, f"{editor}_tool_result"): [
            {
                "type": f"{editor}_view_result",
                "file_type": "text",
                "content": "a\nb",
                "num_lines": 2,
                "start_line": 1,
                "total_lines": 2,
            },
            {"type": f"{editor}_create_result", "is_file_update": False},
            {
                "type": f"{editor}_str_replace_result",
                "lines": ["-a", "+b"],
                "new_lines": 1,
                "new_start": 1,
                "old_lines": 1,
                "old_start": 1,
            },
            {"type": f"{editor}_str_replace_result"},
            error(f"{editor}_tool_result", "file_not_found", error_message=None),
        ],
        ("tool_search_tool_regex", "tool_search_tool_result"): [
            {
                "type": "tool_search_tool_search_result",
                "tool_references": [{"type": "tool_reference", "tool_name": "get_weather"}],
            },
            error("tool_search_tool_result", error_message="Try again."),
        ],
        ("tool_search_tool_bm25", "tool_search_tool_result"): [
            {"type": "tool_search_tool_search_result", "tool_references": []}
        ],
        ("bash_code_execution", "code_execution_tool_result"): [{"type": "result_of_the_future", "holds": [None, 1.5]}],
    }
    for (name, kind), contents in results.items():
        for number, content in enumerate(contents, 1):
            inner = _kind(content)
            call = server_tool(0, name, {"query": "rivers"})
            yield f"{kind} {number}: {inner}", message(call, result(1, kind, content), text(2, "So."))
    yield (
        "web_search_tool_result with its caller",
        message(
            server_tool(0, "web_search", {"query": "x"}),
            result(1, "web_search_tool_result", [page], caller={"type": "direct"}),
        ),
    )
    yield "container_upload", message(begin(0, "container_upload", file_id="file_0"), stop(0))
    yield (
        "pause_turn in a server tool",
        message(server_tool(0, "web_search", {"query": "x"}), ended=last("pause_turn")),
    )


def _kind(content: Any) -> str:
    """What to call the content of a result."""
    if isinstance(content, dict):
        return cast(Json, content)["type"]
    return ", ".join(item["type"] for item in cast(list[Json], content)) or "none"


def _citations() -> Iterator[tuple[str, bytes]]:
    document: Json = {"document_index": 0, "document_title": "Rivers", "file_id": None}
    kinds: dict[str, Json] = {
        "char_location": {**document, "start_char_index": 0, "end_char_index": 16},
        "page_location": {**document, "document_title": None, "start_page_number": 1, "end_page_number": 2},
        "content_block_location": {**document, "start_block_index": 0, "end_block_index": 1},
        "web_search_result_location": {"url": "https://example.com", "title": "Rivers", "encrypted_index": "RW5j"},
        "search_result_location": {
            "search_result_index": 0,
            "source": "https://example.com",
            "title": None,
            "start_block_index": 0,
            "end_block_index": 1,
        },
        "location_of_the_future": {"galaxy": 3},
    }
    openings: dict[str, Json] = {"": {}, ", null before": {"citations": None}, ", [] before": {"citations": []}}
    for kind, fields in kinds.items():
        for before, opening in openings.items():
            block = (
                begin(0, "text", text="", **opening)
                + text_delta(0, "It")
                + cite(0, kind, **fields)
                + text_delta(0, " rises.")
            )
            yield f"citation, {kind}{before}", message(block, stop(0))
    every = b"".join(cite(0, kind, **fields) for kind, fields in kinds.items())
    yield (
        "citations of every kind",
        message(begin(0, "text", text="", citations=[]), every, text_delta(0, "x"), stop(0)),
    )
    first = {"type": "char_location", "cited_text": "a", **kinds["char_location"]}
    yield (
        "citations in the block's start and after",
        message(begin(0, "text", text="a", citations=[first]), every, stop(0)),
    )
    yield ("citations null and none after", message(text(0, "a", citations=None), text(1, "b", citations=[])))


def _usage() -> Iterator[tuple[str, bytes]]:
    nothing = dict.fromkeys((*USAGE, "server_tool_use", "output_tokens_details", "iterations", "fallback_credit"))
    tools = {"web_search_requests": 2, "web_fetch_requests": 0}
    deltas: dict[str, Json] = {
        "only output": {"output_tokens": 7},
        "zeros": dict.fromkeys(("output_tokens", "input_tokens", "cache_read_input_tokens"), 0),
        "nulls": {**nothing, "output_tokens": 7},
        "every count": {
            "input_tokens": 22,
            "cache_creation_input_tokens": 101,
            "cache_read_input_tokens": 2001,
            "output_tokens": 7,
            "server_tool_use": tools,
            "output_tokens_details": {"thinking_tokens": 5},
        },
        "server_tool_use": {"output_tokens": 7, "server_tool_use": tools},
        "server_tool_use, with an unknown tool": {
            "output_tokens": 7,
            "server_tool_use": {**tools, "requests_of_the_future": 1},
        },
        "what only message_start may say": {
            "output_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "service_tier": "priority",
            "inference_geo": "eu",
        },
    }
    starts: dict[str, Json] = {
        "": USAGE,
        ", little before": {"input_tokens": 3, "output_tokens": 1},
        ", everything before": {
            **USAGE,
            "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 9},
            "output_tokens_details": {"thinking_tokens": 0},
            "speed": "fast",
        },
        ", nulls before": {**nothing, "input_tokens": 3, "output_tokens": 1},
    }
    for before, usage in starts.items():
        for name, later in deltas.items():
            yield (
                f"usage, {name}{before}",
                message(text(0, "a"), begun=start(usage=usage), ended=last("end_turn", later)),
            )
    yield (
        "several message_delta",
        HELLO
        + last("pause_turn", {"output_tokens": 5, "cache_read_input_tokens": 7})
        + PING
        + last("end_turn", {"output_tokens": 9, "input_tokens": None})
        + END,
    )
    yield (
        "several message_delta, between blocks",
        HELLO + last(None, {"output_tokens": 5}) + text(1, "more") + last() + END,
    )
    yield (
        "usage iterations, which are beta's, on the stable route",
        HELLO + last("end_turn", {"output_tokens": 9, "iterations": [_iteration("message")]}) + END,
    )


def _iteration(kind: str, **fields: Any) -> Json:
    counts = {"input_tokens": 21, "output_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"type": kind, **counts, "cache_creation": None, **fields}


def _containers() -> Iterator[tuple[str, bytes]]:
    times = (
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.678Z",
        "2026-01-02T03:04:05.600000Z",
        "2026-01-02T03:04:05.678901+00:00",
        "2026-01-02T03:04:05.678901234Z",
        "2026-01-02T03:04:05+00:00",
        "2026-01-02T03:04:05.000-07:30",
        "2026-01-02T03:04:05",
    )
    for time in times:
        container: Json = {"id": "container_0", "expires_at": time}
        yield f"container until {time}", HELLO + last(container=container) + END
        yield f"container from the start, until {time}", message(text(0, "a"), begun=start(container=container))
    kept: Json = {"id": "container_0", "expires_at": times[1]}
    yield "container, then null", message(text(0, "a"), begun=start(container=kept), ended=last(container=None))
    yield (
        "container, then another",
        message(begun=start(container=kept), ended=last(container={**kept, "id": "container_1", "skills": None})),
    )
    yield (
        "container with skills, and more",
        HELLO
        + last(
            container={
                **kept,
                "skills": [{"type": "anthropic", "skill_id": "pptx", "version": "20260101"}],
                "created_at": "2026-01-02T03:04:05+00:00",
            }
        )
        + END,
    )


def _unknown_fields() -> Iterator[tuple[str, bytes]]:
    new: Json = {"novelty": {"list": [None, 1, 2.5, "é"], "when": "2026-01-02T03:04:05+00:00"}, "nothing": None}
    yield "unknown fields of the message", message(text(0, "a"), begun=start(**new, diagnostics=None))
    yield "unknown fields of the usage", message(text(0, "a"), begun=start(usage={**USAGE, **new}))
    yield (
        "unknown service tier, as it has a list of known ones",
        message(begun=start(usage={**USAGE, "service_tier": "gold"})),
    )
    yield "unknown fields of the last usage", HELLO + last("end_turn", {"output_tokens": 7, **new}) + END
    yield "unknown fields of the last delta", HELLO + last(**new) + END
    yield "unknown fields of message_delta", HELLO + last(top=new) + END
    yield (
        "unknown fields of stop_details",
        HELLO + last("refusal", stop_details={"type": "refusal", "category": "x", **new}) + END,
    )
    yield "unknown fields of message_stop", HELLO + last() + event("message_stop", **new)
    yield (
        "unknown fields of blocks",
        (
            message(
                text(0, "a", **new),
                tool(1, '{"a": 1}', **new),
                begin(2, "thinking", thinking="", signature="", **new),
                stop(2),
                begin(3, "redacted_thinking", data="RW5j", **new),
                stop(3),
                server_tool(4, "web_search", {}),
                result(
                    5, "web_search_tool_result", [{"type": "web_search_result", "url": "u", "title": "t", **new}], **new
                ),
            )
        ),
    )
    yield (
        "unknown fields of deltas",
        (
            message(
                begin(0, "text", text=""),
                delta(0, "text_delta", text="a", **new),
                cite(0, "char_location", document_index=0, start_char_index=0, end_char_index=1, **new),
                stop(0),
                begin(1, "tool_use", id="toolu_1", name="f", input={}),
                delta(1, "input_json_delta", partial_json='{"a": 1}', **new),
                stop(1),
                begin(2, "thinking", thinking="", signature=""),
                delta(2, "thinking_delta", thinking="a", **new),
                delta(2, "signature_delta", signature="c2ln", **new),
                stop(2),
            )
        ),
    )
    yield (
        "unknown fields of events",
        (
            message(
                event("content_block_start", index=0, content_block={"type": "text", "text": ""}, **new),
                event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"}, **new),
                event("content_block_stop", index=0, **new),
            )
        ),
    )
    yield "unknown server tool", message(server_tool(0, "tool_of_the_future", {"a": 1}))


def _wire() -> Iterator[tuple[str, bytes]]:
    """The same few events in every way that server-sent events may be written."""
    body = message(text(0, "Grüße, 世界 😀", " 𝄞"), tool(1, '{"a": "é', '😀"}'), ended=last("tool_use"))
    yield "characters beyond the BMP", body
    yield "line ends, CRLF", body.replace(b"\n", b"\r\n")
    yield "line ends, CR", body.replace(b"\n", b"\r")
    yield (
        "line ends, mixed",
        b"".join(
            part.replace(b"\n", end)
            for part, end in zip(body.splitlines(keepends=True), cycle([b"\n", b"\r\n", b"\r\n"]), strict=False)
        ),
    )
    yield "no space after the colon", body.replace(b"data: ", b"data:").replace(b"event: ", b"event:")
    yield "two spaces after the colon", body.replace(b"data: ", b"data:  ")
    yield "comments", b": hello\n\n" + body.replace(b"\ndata:", b"\n: a comment\ndata:").replace(b"\n\n", b"\n\n:\n\n")
    yield "blank lines between", b"\n\n" + body.replace(b"\n\n", b"\n\n\n\n")
    yield (
        "data before event",
        b"".join(
            b"\n".join([*reversed(part.split(b"\n"))]) + b"\n\n" for part in body.removesuffix(b"\n\n").split(b"\n\n")
        ),
    )
    yield (
        "data in several lines",
        body.replace(b'{"type"', b'{\ndata:  "type"').replace(b'"index":', b'"index":\ndata:'),
    )
    yield "fields of no meaning", body.replace(b"event:", b"id: 7\nretry: 1000\nnew: field\nalone\nevent:")
    yield "spaces before every closing brace", body.replace(b'"}', b'"   }')
    escaped = json.dumps({"type": "text_delta", "text": 'é 😀 \u2028\u2029\x85\x00\x1f\x7f " \\ /'})
    yield (
        "escapes",
        message(
            begin(0, "text", text=""),
            raw("content_block_delta", f'{{"type": "content_block_delta", "index": 0, "delta": {escaped}}}'),
            stop(0),
        ),
    )
    yield "line separators that end no line", message(text(0, "a\u2028b\u2029c\x85d\x0b"))
    lone = r'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\ud83d"}}'
    yield (
        "half a surrogate pair, escaped",
        message(begin(0, "text", text=""), raw("content_block_delta", lone), text_delta(0, "b"), stop(0)),
    )
    yield (
        "both halves of a surrogate pair, in two deltas",
        (
            message(
                begin(0, "text", text=""),
                raw("content_block_delta", lone),
                raw("content_block_delta", lone.replace(r"a\ud83d", r"\ude00")),
                stop(0),
            )
        ),
    )
    yield (
        "the same key twice",
        message(
            begin(0, "text", text=""),
            raw(
                "content_block_delta",
                '{"type":"x","type":"content_block_delta","index":9,"index":0,"delta":{"type":"text_delta","text":"no","text":"yes"}}',
            ),
            stop(0),
        ),
    )
    yield "a ping after the end", body + PING
    yield (
        "keys in another order",
        message(
            begin(0, "text", text=""),
            raw(
                "content_block_delta",
                '{"delta":{"text":"a","type":"text_delta"},"index":0,"type":"content_block_delta"}',
            ),
            stop(0),
        ),
    )


def _beta() -> Iterator[tuple[str, bytes]]:
    yield "text", HELLO + last() + END
    yield "tools", message(tool(0, '{"a":', "1}"), server_tool(1, "advisor", {}), ended=last("tool_use"))
    ask = tool(0, "", '{"q": ', '"x"}', kind="mcp_tool_use", name="ask", server_name="wiki")
    for name, content, is_error in (
        ("a list", [{"type": "text", "text": "Found.", "citations": None}, {"type": "text", "text": "é"}], False),
        ("a string", "Found.", False),
        ("an error", [{"type": "text", "text": "Not found."}], True),
        ("nothing", [], False),
    ):
        yield (
            f"mcp_tool_result, {name}",
            message(ask, result(1, "mcp_tool_result", content, call="mcptoolu", is_error=is_error), text(2, "So.")),
        )
    yield ("mcp_tool_use without deltas", message(tool(0, kind="mcp_tool_use", name="list", server_name="wiki")))
    yield (
        "mcp_tool_listing",
        message(
            begin(
                0,
                "mcp_tool_listing",
                mcp_server_name="wiki",
                tools=[{"name": "ask", "description": "Asks.", "input_schema": {"type": "object"}}, {"name": "list"}],
            ),
            stop(0),
        ),
    )
    for content in (
        {"type": "advisor_result", "text": "Do this.", "stop_reason": "end_turn"},
        {"type": "advisor_result", "text": "Do this."},
        {"type": "advisor_redacted_result", "encrypted_content": "RW5j", "stop_reason": None},
        {"type": "advisor_tool_result_error", "error_code": "overloaded"},
    ):
        yield (
            f"advisor_tool_result: {len(content)} fields of {content['type']}",
            message(server_tool(0, "advisor", {}), result(1, "advisor_tool_result", content), text(2, "So.")),
        )
    for name, fields in {
        "its content": {"content": "Summary é."},
        "encrypted": {"content": "Summary.", "encrypted_content": "RW5j"},
        "null": {"content": None, "encrypted_content": None},
        "nothing in it": {},
    }.items():
        yield (
            f"compaction, {name}",
            message(
                begin(0, "compaction", content=None), delta(0, "compaction_delta", **fields), stop(0), text(1, "On.")
            ),
        )
    compaction = begin(0, "compaction", content=None, encrypted_content=None, signature="c2ln", tool_changes=[])
    yield (
        "compaction, twice",
        message(
            compaction,
            delta(0, "compaction_delta", content="a", encrypted_content="x"),
            delta(0, "compaction_delta", content="b"),
            stop(0),
            ended=last("compaction"),
        ),
    )
    yield "compaction, no delta", message(compaction, stop(0), ended=last("compaction"))
    iterations = [
        _iteration("compaction"),
        _iteration("message", model="claude-opus-5-5"),
        _iteration("advisor_message", model="claude-opus-5-5"),
        _iteration("fallback_message", model="claude-sonnet-5"),
        {"type": "iteration_of_the_future", "tokens": 3},
    ]
    for name, later in {"some": iterations, "none": [], "null": None}.items():
        for before, usage in (("", USAGE), (", after one", {**USAGE, "iterations": iterations[:1]})):
            yield (
                f"usage iterations, {name}{before}",
                message(
                    text(0, "a"),
                    begun=start(usage=usage),
                    ended=last("end_turn", {"output_tokens": 9, "iterations": later}),
                ),
            )
    for status in ({"type": "redeemed"}, {"type": "not_applied", "reason": "expired", "remove_to_redeem": ["system"]}):
        yield (
            f"fallback_credit, {status['type']}",
            HELLO + last("end_turn", {"output_tokens": 9, "fallback_credit": {"status": status}}) + END,
        )

    def fallback(index: int, before: str, after: str) -> bytes:
        trigger = {"type": "refusal", "category": "cyber"}
        return begin(index, "fallback", **{"from": {"model": before}}, to={"model": after}, trigger=trigger) + stop(
            index
        )

    hop, second = fallback(1, "claude-opus-5-5", "claude-sonnet-5"), fallback(3, "claude-sonnet-5", "claude-haiku-5")
    yield "fallback", message(text(0, "I"), hop, text(2, "Yes."))
    yield "fallback, two hops", message(text(0, "I"), hop, text(2), second, text(4, "Yes."))
    edits = [
        {"type": "clear_tool_uses_20250919", "cleared_tool_uses": 3, "cleared_input_tokens": 900},
        {"type": "clear_thinking_20251015", "cleared_thinking_turns": 1, "cleared_input_tokens": 80},
        {"type": "edit_of_the_future", "cleared": True},
    ]
    dropped = {"type": "thinking_dropped", "path": "messages.1.content.0", "reason": "model_binding_mismatch"}
    tops: dict[str, Json] = {
        "context_management": {"context_management": {"applied_edits": edits}},
        "context_management, no edits": {"context_management": {"applied_edits": []}},
        "context_management, null": {"context_management": None},
        "input_transformations": {"input_transformations": [dropped, {**dropped, "type": "thinking_mismatch_allowed"}]},
        "input_transformations, none": {"input_transformations": []},
        "input_transformations, null": {"input_transformations": None},
    }
    for name, top in tops.items():
        yield name, HELLO + last(top=top) + END
        earlier: Json = {"context_management": {"applied_edits": edits[:1]}, "input_transformations": [dropped]}
        yield f"{name}, after others", message(text(0, "a"), begun=start(**earlier), ended=last(top=top))
    yield (
        "thinking with estimated tokens",
        (
            message(
                begin(0, "thinking", thinking="", signature=""),
                delta(0, "thinking_delta", thinking="", estimated_tokens=50),
                delta(0, "thinking_delta", thinking="Hm", estimated_tokens=25),
                delta(0, "signature_delta", signature="c2ln"),
                stop(0),
                text(1, "Yes."),
            )
        ),
    )
    details = {
        "type": "refusal",
        "category": "bio",
        "explanation": None,
        "recommended_model": "claude-sonnet-5",
        "fallback_credit_token": "token",
        "fallback_has_prefill_claim": False,
    }
    yield "refusal, with what beta adds", HELLO + last("refusal", stop_details=details) + END
    skills = [{"type": "custom", "skill_id": "skill_0", "version": "1"}]
    container = {"id": "container_0", "expires_at": "2026-01-02T03:04:05.678901Z", "skills": skills}
    yield "container with skills", HELLO + last(container=container) + END


def _cut_short() -> Iterator[tuple[str, bytes, str]]:
    """Streams that end before their end; the SDK takes what it has for a whole message."""
    whole = "as if it were whole"
    yield "nothing at all", b"", "AssertionError"
    yield "only a ping", PING, "AssertionError"
    yield "cut in message_start", start()[:-40], "AssertionError"
    yield "cut after message_start", start(), whole
    yield "cut in a text", start() + begin(0, "text", text="") + text_delta(0, "Hel"), whole
    yield "cut between blocks", HELLO, whole
    yield (
        "cut in thinking",
        start() + begin(0, "thinking", thinking="", signature="") + delta(0, "thinking_delta", thinking="Hm"),
        whole,
    )
    yield "cut in a tool's arguments", start() + CALL + json_delta(0, '{"city": "Wi'), "completes the arguments"
    yield (
        "cut with three blocks open",
        start() + begin(0, "text", text="a") + CALL.replace(b'"index":0', b'"index":1') + begin(2, "text", text="b"),
        whole,
    )
    yield "cut before message_stop", HELLO + last(), whole
    yield "cut in an event's name", HELLO + last() + b"event: mess", whole
    yield "cut in an event's data", HELLO + last()[:-25], whole
    yield (
        "cut in a character",
        start() + begin(0, "text", text="") + text_delta(0, "😀").partition(b"\x98\x80")[0],
        "UnicodeDecodeError",
    )
    yield (
        "no blank line after the last event",
        HELLO + last() + END.removesuffix(b"\n"),
        "loses the event, which changes nothing",
    )
    yield (
        "no line end after the last event",
        HELLO + last() + END.removesuffix(b"\n\n"),
        "loses the event, which changes nothing",
    )
    yield "no blank line after message_delta", HELLO + last().removesuffix(b"\n"), "loses stop_reason and usage"


def _broken() -> Iterator[tuple[str, bytes, str]]:
    yield "a delta after its block's stop", HELLO + text_delta(0, "!") + last() + END, "adds it to a block that is over"
    """Streams that the API should not send, or that need a reader newer than the SDK."""
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"}, request_id="req_0")
    status = "APIStatusError with status 200"
    yield "error at once", error, status
    yield "error in a text", start() + begin(0, "text", text="") + text_delta(0, "Hel") + error, status
    yield "error in a tool's arguments", start() + CALL + json_delta(0, '{"city": "Wi') + error, status
    yield "error before message_stop", HELLO + last() + error, status
    yield (
        "error with details",
        HELLO + event("error", error={"type": "rate_limit_error", "message": "", "details": {"a": 1}}),
        status,
    )
    yield (
        "error of an unknown type",
        HELLO + event("error", error={"type": "error_of_the_future", "message": "?"}),
        status,
    )
    yield "error without its error", HELLO + event("error"), status
    yield "error and then more", HELLO + error + last() + END, status
    yield "error that is no JSON", HELLO + raw("error", "upstream connect error"), status
    yield (
        "unknown event",
        HELLO + event("event_of_the_future", value=[1, None]) + last() + END,
        "hands it out as another",
    )
    yield (
        "unknown event with an index",
        HELLO + event("content_block_future", index=0, value=1) + last() + END,
        "as above",
    )
    yield "unknown event first", event("event_of_the_future", a=1) + HELLO + last() + END, "as above"
    block = begin(0, "block_of_the_future", value={"a": [1]}, text=None)
    yield "unknown block", message(block, stop(0), text(1, "a")), "takes it for text"
    yield (
        "unknown block with deltas",
        message(block, text_delta(0, "a"), json_delta(0, "{}"), delta(0, "delta_of_the_future", x=1), stop(0)),
        "drops the deltas",
    )
    yield (
        "unknown delta",
        message(
            begin(0, "text", text=""),
            text_delta(0, "a"),
            delta(0, "delta_of_the_future", value={"b": 1}),
            text_delta(0, "c"),
            stop(0),
        ),
        "drops it",
    )
    yield (
        "delta of another kind than its block",
        message(begin(0, "text", text=""), delta(0, "thinking_delta", thinking="Hm"), text_delta(0, "a"), stop(0)),
        "drops it",
    )
    arguments = {
        "cut in a string": ['{"city": "Wi'],
        "cut in a name": ['{"city": "Wien", "da'],
        "cut in a number": ['{"days": 12'],
        "cut in a word": ['{"a": 1, "b": tr'],
        "cut in an escape": ['{"a": "b\\u00'],
        "cut after its first brace": ["{"],
    }
    for name, pieces in arguments.items():
        yield f"tool JSON {name}, max_tokens", message(tool(0, *pieces), ended=last("max_tokens")), "completes it"
    invalid = {
        "with a trailing comma": ['{"a": 1,}'],
        "with a raw line end": ['{"a": "x\ny"}'],
        "with a bad escape": ['{"a": "\\x41"}'],
        "without quotes": ["{a: 1}"],
        "of white space": ["  "],
        "of prose": ["Sure", ", here it is"],
        "with half a surrogate pair": ['{"a": "\\ud83d"}'],
        "too deep for it": ["[" * 500 + "]" * 500],
    }
    for name, pieces in invalid.items():
        yield f"tool JSON {name}", message(tool(0, *pieces), ended=last("tool_use")), "ValueError"
    yield (
        "tool JSON that begins with white space of its own",
        message(tool(0, " ", '{"a": 1}'), ended=last("tool_use")),
        "ValueError, as it parses what there is at each delta",
    )
    yield (
        "tool JSON with text behind it",
        message(tool(0, '{"a": 1}', " and so on"), ended=last("tool_use")),
        "ignores that text",
    )
    yield (
        "tool JSON of NaN",
        message(tool(0, '{"a": NaN, "b": -Infinity}'), ended=last("tool_use")),
        "takes it for null",
    )
    yield (
        "tool JSON of a float too large",
        message(tool(0, '{"a": 1e400}'), ended=last("tool_use")),
        "takes it for null",
    )
    yield "a gap in the indexes", message(text(1, "a")), "IndexError"
    yield "indexes out of order", message(text(1, "one"), text(0, "zero")), "IndexError"
    yield (
        "blocks begun out of order",
        message(
            begin(1, "text", text="1"),
            begin(0, "text", text="0"),
            text_delta(1, "b"),
            text_delta(0, "a"),
            stop(0),
            stop(1),
        ),
        "swaps them",
    )
    yield "an index twice", message(text(0, "a"), text(0, "b")), "adds all text to the first"
    yield "a delta without its block", message(text_delta(0, "a")), "IndexError"
    yield "a stop without its block", message(stop(0)), "IndexError"
    yield ("a block that never stops", message(begin(0, "text", text=""), text_delta(0, "a")), "as if it had stopped")
    usage_only = event("message_delta", delta={}, usage={"output_tokens": 50})
    yield (
        "a second message_delta without stop_reason",
        HELLO + last("stop_sequence", stop_sequence="x") + usage_only + END,
        "makes it null",
    )
    yield (
        "a message_delta without the stop_reason of message_start",
        start(stop_reason="end_turn") + text(0, "a") + usage_only + END,
        "makes it null",
    )
    yield (
        "a message_delta whose output_tokens is null",
        HELLO + last("end_turn", {"output_tokens": None, "input_tokens": 5}) + END,
        "makes it null",
    )
    yield "a message_delta whose usage is empty", HELLO + last("end_turn", {}) + END, "makes output_tokens null"
    yield (
        "a message_delta without usage",
        HELLO + event("message_delta", delta={"stop_reason": "end_turn"}) + END,
        "AttributeError",
    )
    yield (
        "a message_delta without delta",
        HELLO + event("message_delta", usage={"output_tokens": 5}) + END,
        "AttributeError",
    )
    yield "a message_start without usage", message(text(0, "a"), begun=start(usage=None)), "AttributeError"  # type: ignore[arg-type]
    yield "events before message_start", text(0, "lost") + HELLO + last() + END, "ignores them"
    yield "a second message_start", HELLO + start(id="msg_1") + last() + END, "ignores it"
    yield (
        "events after message_stop",
        HELLO + last() + END + text(1, "late") + last("max_tokens"),
        "goes on as if nothing were",
    )
    yield (
        "a text delta of null",
        message(begin(0, "text", text=""), delta(0, "text_delta", text=None), stop(0)),
        "TypeError",
    )
    yield (
        "a text delta of a number",
        message(begin(0, "text", text=""), delta(0, "text_delta", text=5), stop(0)),
        "TypeError",
    )
    for name, data in {
        "cut": '{"type":"content_block_delta","index":0,"delta":{"type":"text_',
        "no JSON": "hello",
        "with a raw control character": '{"type":"content_block_delta","index":0,"delta":{"text":"\x01"}}',
    }.items():
        yield (
            f"malformed event data, {name}",
            HELLO + raw("content_block_delta", data) + last() + END,
            "JSONDecodeError",
        )
    for name, data in {
        "a list": "[]",
        "null": "null",
        "a string": '"hi"',
        "a number": "5",
    }.items():
        yield f"event data of {name}", HELLO + raw("content_block_delta", data) + last() + END, "TypeError"
    yield "event data of an empty object", HELLO + raw("content_block_delta", "{}") + last() + END, "ignores it"
    yield (
        "an index that is no number",
        HELLO + event("content_block_delta", index="a", delta={"type": "text_delta", "text": "b"}) + last() + END,
        "TypeError",
    )
    yield "a negative index", HELLO + text_delta(-1, "!") + last() + END, "takes the last block"
    yield (
        "invalid UTF-8",
        HELLO + last() + text_delta(0, "\u00e9").replace(b"\xc3\xa9", b"\xff\xfe") + END,
        "UnicodeDecodeError",
    )
    yield "invalid UTF-8 where nobody looks", HELLO + b": comment \xff\n\n" + last() + END, "UnicodeDecodeError"
    yield "a page of HTML", b"<!doctype html>\n<html><body>502 Bad Gateway</body></html>\n", "AssertionError"
    yield (
        "no names of events",
        (HELLO + last() + END).replace(b"event: ", b"x-event: "),
        "AssertionError, as it ignores them all",
    )
    yield (
        "a wrong name of an event",
        (HELLO + last() + END).replace(b"event: content_block_delta", b"event: message_stop"),
        "goes by the data",
    )
    yield (
        "a byte order mark",
        b"\xef\xbb\xbf" + HELLO + last() + END,
        "AssertionError, though the standard says skip it",
    )


def _corpus() -> Iterator[ReferenceStream]:
    sections = {
        "": _plain,
        "tools": _tools,
        "server tools": _server_tools,
        "citations": _citations,
        "usage": _usage,
        "containers": _containers,
        "unknown fields": _unknown_fields,
        "wire": _wire,
    }
    for stable in sections.values():
        for name, body in stable():
            yield ReferenceStream(name, body)
    for name, body in _beta():
        yield ReferenceStream(f"beta, {name}", body, beta=True)
    for section in (_cut_short, _broken):
        for name, body, note in section():
            yield ReferenceStream(name, body, comparable=False, note=f"The SDK: {note}")


STREAMS: Mapping[str, ReferenceStream] = MappingProxyType({stream.name: stream for stream in _corpus()})
"""Every stream of the corpus, by name."""
