"""Traces and metrics of the commands, by OpenTelemetry's standard variables (`OTEL_…`).

They are set up by OpenTelemetry's own configurator, which reads all of them, when the SDK is installed and a variable
asks for an exporter. Nothing of it is imported otherwise. What can't be set up is told in one line, and the
command goes on: telemetry must not stop a run.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from threading import Thread
from typing import Any

from .telling import say

__all__ = ["exported"]

_SIGNALS = {"traces": "OTEL_TRACES_EXPORTER", "metrics": "OTEL_METRICS_EXPORTER"}
_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
_FLUSH_SECONDS = 5.0


def asked() -> bool:
    """Whether the environment asks for telemetry."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = [os.environ.get(name, "") for name in _SIGNALS.values()]
    return any(exporter not in ("", "none") for exporter in exporters) or any(map(os.environ.get, _ENDPOINTS))


@contextmanager
def exported() -> Generator[None]:
    """A block whose engines are traced as the environment says. What they told is exported before it is left, or when
    five seconds have passed."""
    if not asked() or not _set_up():
        yield
        return
    try:
        yield
    finally:
        _flush()


def _set_up() -> bool:
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        say("OTEL_… variables are set, and OpenTelemetry's SDK is not installed: pip install opentelemetry-sdk")
        return False
    _choose()
    try:
        _configurator().configure()
    except Exception as exc:  # another package's: it raises what it likes
        say(f"no traces and metrics: {type(exc).__name__}: {exc}")
        return False
    return True


def _configurator() -> Any:
    """That of a distribution of OpenTelemetry's, if one is installed, or the SDK's, of which those are made."""
    for found in entry_points(group="opentelemetry_configurator", name="configurator"):
        return found.load()()
    return import_module("opentelemetry.sdk._configuration")._OTelSDKConfigurator()


def _choose() -> None:
    """What the variables leave open: OTLP for each signal that has an endpoint, over HTTP where that is installed."""
    environment = os.environ
    environment.setdefault("OTEL_SERVICE_NAME", "manystream")
    for signal, name in _SIGNALS.items():
        own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
        if "OTEL_EXPORTER_OTLP_ENDPOINT" in environment or own in environment:
            environment.setdefault(name, "otlp")
    if find_spec("opentelemetry.exporter") and find_spec("opentelemetry.exporter.otlp.proto.http"):
        environment.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")


def _flush() -> None:
    # In a thread, since an exporter whose collector is gone may try for long.
    thread = Thread(target=_shut_down, daemon=True)
    thread.start()
    thread.join(_FLUSH_SECONDS)
    if thread.is_alive():
        say("some traces and metrics could not be exported in time")


def _shut_down() -> None:
    from opentelemetry import metrics, trace

    providers: tuple[Any, ...] = (trace.get_tracer_provider(), metrics.get_meter_provider())
    for provider in providers:
        shutdown = getattr(provider, "shutdown", None)
        if shutdown is not None:
            shutdown()
