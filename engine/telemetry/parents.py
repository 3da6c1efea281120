"""The span of whoever calls over HTTP, as the parent of what is done for them.

The caller names it in the header `traceparent`, by W3C's Trace Context: https://www.w3.org/TR/trace-context/
"""

import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager

__all__ = ["called_by"]


@contextmanager
def called_by(headers: Iterable[tuple[bytes, bytes]]) -> Generator[None]:
    """A block whose requests have the caller's span as their parent, if these headers name one and the app has
    OpenTelemetry set up."""
    named = {name.lower(): value for name, value in headers if name.lower() in (b"traceparent", b"tracestate")}
    if b"traceparent" not in named or "opentelemetry" not in sys.modules:
        yield
        return
    from opentelemetry import context, propagate

    carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in named.items()}
    token = context.attach(propagate.extract(carrier))
    try:
        yield
    finally:
        context.detach(token)
