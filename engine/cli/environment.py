"""The environment as far as a request's way out depends on it: looked at before anything is sent.

What is wrong in it would fail every request, most of it late and in words that name no variable. Keys are never shown.
"""

import os
import ssl
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import attrs

from ..api.given import check_base_url, check_key, check_proxy
from ..input import InputError

__all__ = ["check_environment", "checked", "installed", "is_local", "without_ways_out"]

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_LOCAL_HOSTS = ("localhost",)


@attrs.frozen
class _Variables:
    """What a provider's client reads."""

    base_url: str
    keys: tuple[str, ...]
    """Any of them is enough."""


_READ_BY = {
    "anthropic": _Variables("ANTHROPIC_BASE_URL", ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")),
    "bedrock": _Variables("ANTHROPIC_BEDROCK_BASE_URL", ("AWS_BEARER_TOKEN_BEDROCK",)),
    "vertex": _Variables("ANTHROPIC_VERTEX_BASE_URL", ()),
    "foundry": _Variables("ANTHROPIC_FOUNDRY_BASE_URL", ("ANTHROPIC_FOUNDRY_API_KEY",)),
}


def check_environment(
    provider: str, *, base_url: str | None = None, environment: Mapping[str, str] = os.environ
) -> None:
    """Raises `InputError` for a variable that would fail every request: it names the variable and what to do.

    `base_url` is what the command line says; the variable does not count then.
    """
    for name in _PROXIES:
        for spelling in (name.lower(), name):
            if value := environment.get(spelling):
                _check_proxy(spelling, value)
    _check_certificates(environment)
    _check_headers(environment.get("ANTHROPIC_CUSTOM_HEADERS", ""))
    variables = _READ_BY[provider]
    if base_url is None and variables.base_url in environment:
        checked(check_base_url, variables.base_url, environment[variables.base_url])
        base_url = environment[variables.base_url]
    token_file = environment.get("ANTHROPIC_IDENTITY_TOKEN_FILE")
    if provider == "anthropic" and token_file and not os.path.isfile(token_file):
        raise InputError(f"ANTHROPIC_IDENTITY_TOKEN_FILE {token_file!r} is not a file: name one, or unset it")
    keys = {name: environment[name] for name in variables.keys if name in environment}
    for name, key in keys.items():
        if key:
            checked(check_key, name, key)
        elif not any(keys.values()) and not is_local(base_url):
            raise InputError(f"{name} is empty: set it to a key, or unset it")


@contextmanager
def without_ways_out() -> Generator[None]:
    """A block without the variables that lead requests out of this machine: for a server inside of it."""
    names = [*_PROXIES, *map(str.lower, _PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR"]
    kept = {name: value for name in names if (value := os.environ.pop(name, None)) is not None}
    try:
        yield
    finally:
        os.environ.update(kept)


def _check_headers(text: str) -> None:
    """The SDK takes a header a line, and passes over what is none."""
    for number, line in enumerate(filter(str.strip, text.split("\n")), 1):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise InputError(f"ANTHROPIC_CUSTOM_HEADERS: line {number} is no header; each is NAME: VALUE")
        if not f"{name}{value.strip()}".isprintable() or not line.isascii():
            raise InputError(
                f"ANTHROPIC_CUSTOM_HEADERS: the value of {name.strip()!r} holds a character that no header may have"
            )


def checked(check: Callable[[str, str], str], what: str, value: str) -> str:
    """What `check` returns for a value of the command line or the environment. Its `ValueError` becomes an
    `InputError`. `what` is the option or the variable."""
    try:
        return check(what, value)
    except ValueError as exc:
        raise InputError(str(exc)) from None


def installed(package: str) -> bool:
    """Whether an optional package is there, which is not imported for that."""
    from importlib.util import find_spec

    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # its parent
        return False


def is_local(base_url: str | None) -> bool:
    """Whether the server is on this machine: a simulator, or a gateway that has the key."""
    import ipaddress

    host = urlsplit(base_url).hostname or "" if base_url else ""
    try:
        return host in _LOCAL_HOSTS or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_proxy(name: str, value: str) -> None:
    url = checked(check_proxy, name, value)
    if url.startswith("socks") and not installed("socksio"):
        raise InputError(f"{name} names a SOCKS proxy, which needs another package: pip install 'httpx2[socks]'")


def _check_certificates(environment: Mapping[str, str]) -> None:
    file, folder = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    if file:
        if not os.path.isfile(file):
            raise InputError(f"SSL_CERT_FILE {file!r} is not a file: set it to a file of certificates, or unset it")
        try:
            ssl.create_default_context(cafile=file)
        except OSError as exc:
            said = (
                "it holds no certificates in PEM"
                if isinstance(exc, ssl.SSLError)
                else (exc.strerror or str(exc)).lower()
            )
            raise InputError(f"SSL_CERT_FILE {file!r} can't be used: {said}") from None
    if folder and not all(os.path.isdir(part) for part in folder.split(os.pathsep)):
        raise InputError(f"SSL_CERT_DIR {folder!r} is not a folder: set it to a folder of certificates, or unset it")
