"""The commands export traces and metrics as OpenTelemetry's standard variables say: to a real receiver of OTLP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the exporter comes with the extra test")

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import manystream

SOURCES = Path(manystream.__file__).parent.parent
KEY, PROMPT = "sk-ant-planted", "planted prompt"


class Receiver:
    """Takes OTLP over HTTP, and reads it."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        received = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                import gzip

                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                received.append((self.path, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def spans(self) -> list[Any]:
        found: list[Any] = []
        for path, body in self.bodies:
            if path == "/v1/traces":
                request: Any = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        found += [(resource.resource, span) for span in scope.spans]
        return found

    @property
    def metrics(self) -> set[str]:
        found: set[str] = set()
        for path, body in self.bodies:
            if path == "/v1/metrics":
                request: Any = ExportMetricsServiceRequest.FromString(body)
                for resource in request.resource_metrics:
                    for scope in resource.scope_metrics:
                        found |= {metric.name for metric in scope.metrics}
        return found


def facts(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


def run(folder: Path, *given: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A demo in a process of its own, whose environment has no other variables of OpenTelemetry's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment |= {"PYTHONPATH": str(SOURCES), "ANTHROPIC_API_KEY": KEY, **variables}
    return subprocess.run(
        [sys.executable, "-m", "manystream", "demo", "-n", "12", "-o", "out.jsonl", *given],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=pytest.mark.slow)])
def test_every_request_is_a_span_at_the_receiver(tmp_path: Path, receiver: Receiver, backend: str) -> None:
    done = run(tmp_path, "--backend", backend, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_SERVICE_NAME="my-job")
    assert done.returncode == 0, done.stderr
    spans = receiver.spans
    assert len(spans) == 12  # none is lost at the end
    resource, span = spans[0]
    assert facts(resource.attributes)["service.name"] == "my-job"
    assert span.name.startswith("chat claude-")
    told = facts(span.attributes)
    assert told["gen_ai.usage.output_tokens"] > 0
    assert told["manystream.state"] == "complete"
    assert "gen_ai.client.operation.duration" in receiver.metrics
    assert not any(KEY.encode() in body for _, body in receiver.bodies)


def test_the_service_has_a_name_of_its_own(tmp_path: Path, receiver: Receiver) -> None:
    run(tmp_path, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{receiver.url}/v1/traces")
    assert facts(receiver.spans[0][0].attributes)["service.name"] == "manystream"
    assert receiver.metrics == set()  # only traces were asked for


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"},
        pytest.param({"OTEL_TRACES_EXPORTER": "none"}, marks=pytest.mark.slow),
        pytest.param({"OTEL_SERVICE_NAME": "a name alone asks for nothing"}, marks=pytest.mark.slow),
    ],
)
def test_nothing_is_exported_unless_it_is_asked_for(
    tmp_path: Path, receiver: Receiver, variables: dict[str, str]
) -> None:
    at = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url} if "OTEL_SDK_DISABLED" in variables else {}
    done = run(tmp_path, **variables, **at)
    assert done.returncode == 0
    assert "traces" not in done.stderr
    assert receiver.bodies == []


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "nonsense"}, "no traces and metrics: "),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, ""),  # nobody is there
    ],
)
def test_telemetry_that_fails_stops_no_run(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    done = run(tmp_path, **variables)
    assert done.returncode == 0
    assert words in done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 12
