"""Why a connection could not be made: one line, with the host in it, the same on every system."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from manystream.engine.api.http.unconnected import why_unconnected


def grouped(exc: Exception) -> Exception:
    outer = OSError("all attempts to connect failed")
    outer.__cause__ = ExceptionGroup("attempts", [exc, exc])
    return outer


@pytest.mark.parametrize(
    ("exc", "told"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), "a.example:443: connection refused"),
        (grouped(OSError(errno.ECONNREFUSED, "x")), "a.example:443: connection refused"),
        (OSError(errno.ENETUNREACH, "x"), "a.example:443: the network can't be reached"),
        (OSError(errno.EMFILE, "x"), "a.example:443: too many open files"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "no such host name: a.example"),
        (socket.gaierror(socket.EAI_AGAIN, "Try again"), "the host name a.example can't be looked up: try again"),
        (ssl.SSLError(1, "bad"), "a.example:443: TLS failed: "),
        (ssl.SSLCertVerificationError(1, "not trusted"), "a.example:443: TLS: certificate verify failed: "),
        (ValueError("no name"), "a.example:443: no name"),
        (OSError(), "a.example:443: the connection could not be made"),
    ],
)
def test_in_words(exc: Exception, told: str) -> None:
    said = why_unconnected(exc, "a.example", "a.example:443")
    assert said == told or (told.endswith(": ") and said.startswith(told))
