"""Who may ask a gateway for what, decided from a request's head alone.

A gateway listens on the loopback interface, where two kinds of strangers reach it: web pages in a browser of this
machine, and its other users. A page sends an `Origin`, or a `Host` that is not ours once it has bound its own name to
this address; both are refused. Against other users there is a token.
"""

import hmac
import re
from base64 import b64decode
from binascii import Error as NotBase64
from ipaddress import ip_address

import attrs

from ..gateway import Answer, error_answer
from .asked import Asked

__all__ = ["OWN_PATHS", "TOKEN_HEADER", "Rules", "is_loopback"]

TOKEN_HEADER = b"manystream-token"
"""The header for the token of a gateway that holds no key: the caller's own key is in its usual place."""
OWN_PATHS = ("/", "/health", "/stats")
"""What the gateway answers itself."""

_LOOPBACK = frozenset(["localhost", "127.0.0.1", "::1"])
_ALWAYS = frozenset([("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"), ("GET", "/v1/models")])
_MODELS = "/v1/models/"
_BATCHES = ("/v1/messages/batches", "/v1/complete")
_PLAIN = re.compile(r"(/[A-Za-z0-9_~:@!$&'()*+,;=.-]+)+")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() in _LOOPBACK


@attrs.frozen(kw_only=True)
class Rules:
    """The rules of a gateway. `allowed` are paths that pass beside the usual ones where it holds the key: each with
    what lies below it."""

    hosts: frozenset[str] = frozenset()
    """Names by which it may be called, beside those of the loopback interface."""
    token: str | None = attrs.field(default=None, repr=False)
    holds_key: bool = False
    allowed: tuple[str, ...] = ()
    capped: bool = False
    """Whether what callers spend is capped."""
    via: bytes = b"manystream"
    """The name under which it passes requests on."""

    def refusal(self, asked: Asked) -> Answer | None:
        """The answer to a request that is not to be answered; None for one that is."""
        method, path = asked.method, asked.path
        if method == "CONNECT" or not asked.target.startswith("/"):
            return _refused(400, "this is a gateway to one API, not a proxy: ask for a path, such as /v1/messages")
        if path == "/health":
            return None
        return self._stranger(asked) or self._looping(asked) or (None if path in OWN_PATHS else self._kept(asked))

    def _stranger(self, asked: Asked) -> Answer | None:
        hosts = [value.decode("latin-1") for value in asked.all(b"host")]
        if len(hosts) > 1 or (not hosts and asked.version != "1.0"):
            return _refused(400, "a request has one Host header")
        name = _name_in(hosts[0]) if hosts else ""
        if hosts and name not in _LOOPBACK and name not in self.hosts:
            return _refused(
                403,
                f"this gateway is not called {name!r}: start it with --allowed-host {name}, if that is a name of it",
                kind="permission_error",
            )
        if asked.one(b"origin") is not None or not _of_its_own_site(asked):
            return _refused(403, "web pages may not use this gateway", kind="permission_error")
        if self.token is not None and not self._knows(asked, self.token):
            where = "x-api-key or as a bearer token" if self.holds_key else TOKEN_HEADER.decode()
            more = [(b"www-authenticate", b'Basic realm="manystream"')] if asked.path in OWN_PATHS else []
            return error_answer(401, "authentication_error", f"this gateway wants its token in {where}", more=more)
        return None

    def _knows(self, asked: Asked, token: str) -> bool:
        given = asked.all(TOKEN_HEADER)
        if self.holds_key:
            given += asked.all(b"x-api-key")
        for value in asked.all(b"authorization"):
            scheme, _, rest = value.strip().partition(b" ")
            if scheme.lower() == b"bearer" and self.holds_key:
                given.append(rest.strip())
            elif scheme.lower() == b"basic" and asked.path in OWN_PATHS:  # a browser's
                given.append(_password(rest))
        wanted = token.encode()
        return any(hmac.compare_digest(value, wanted) for value in given)

    def _looping(self, asked: Asked) -> Answer | None:
        ours = any(self.via in hop.split() for value in asked.all(b"via") for hop in value.split(b","))
        return (
            _refused(508, "the request has passed here before: the base URL leads back", kind="api_error")
            if ours
            else None
        )

    def _kept(self, asked: Asked) -> Answer | None:
        """The answer to what would be done with a key that is not the caller's, or beside the caps."""
        method, path = asked.method, asked.path
        if not (self.holds_key or self.capped):
            return None
        dots = any(segment in (".", "..") for segment in path.split("/"))
        if not _PLAIN.fullmatch(path) or dots:
            return _refused(400, "a path here has plain segments alone")
        if self.capped and not self.holds_key and len(asked.all(b"x-api-key") + asked.all(b"authorization")) > 1:
            return _refused(400, "a request has one key here: the spend cap counts for each")
        if self.capped and method == "POST" and any(_within(path, costly) for costly in _BATCHES):
            return _refused(
                400, f"POST {path} passes by the spend cap of this gateway, and is refused: only /v1/messages counts"
            )
        if not self.holds_key:
            return None
        asked_for = "GET" if method == "HEAD" else method
        usual = (asked_for, path) in _ALWAYS or (asked_for == "GET" and path.startswith(_MODELS))
        if usual or any(_within(path, allowed) for allowed in self.allowed):
            return None
        return _refused(
            403,
            f"this gateway holds the key, and {asked.method} {path} is not among what it does with it: start it with"
            f" --allow {path}, if it should",
            kind="permission_error",
        )


def _within(path: str, allowed: str) -> bool:
    allowed = allowed.rstrip("/")
    return path == allowed or path.startswith(f"{allowed}/")


def _name_in(host: str) -> str:
    """The name in a `Host` header, without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _of_its_own_site(asked: Asked) -> bool:
    """Whether a browser that says where a request comes from names our own page, or the address bar. A link to the page
    may be followed."""
    site = asked.one(b"sec-fetch-site")
    if site in (None, b"same-origin", b"none"):
        return True
    return asked.one(b"sec-fetch-mode") == b"navigate" and asked.method == "GET" and asked.path == "/"


def _password(credentials: bytes) -> bytes:
    try:
        return b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except NotBase64:
        return b""


def _refused(status: int, message: str, kind: str = "invalid_request_error") -> Answer:
    return error_answer(status, kind, message)
