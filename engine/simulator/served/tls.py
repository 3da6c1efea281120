"""TLS for the server: a certificate made on the spot, and the authority that a client has to trust for it."""

from __future__ import annotations

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

__all__ = ["Certificate"]

_ALWAYS = ("localhost", "127.0.0.1", "::1")


class Certificate:
    """A certificate for one host name or address, and for this machine's own; a context manager.

    Making one raises ImportError, in one line, without the extra `tls`. While it is open, `authority` is the path of a
    file (PEM) with the certificate of the authority that signed it.
    """

    def __init__(self, host: str) -> None:
        try:
            import trustme
        except ImportError:
            raise ImportError("TLS needs the package trustme: install manystream[tls]") from None
        authority = trustme.CA(organization_name="manystream simulator")
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.set_alpn_protocols(["http/1.1"])
        issued: Any = authority.issue_cert(*dict.fromkeys((host, *_ALWAYS)))
        issued.configure_cert(self.context)
        self._pem = authority.cert_pem.bytes()

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="manystream-")
        self.authority = Path(self._folder.name) / "ca.pem"
        self.authority.write_bytes(self._pem)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._folder.cleanup()
