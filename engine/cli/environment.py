"""The environment as far as a request's way out depends on it: looked at before anything is sent.

What is wrong in it would fail every request, most of it late and in words that name no variable. Keys are never shown.
"""

import os
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import attrs

from ..runs import InputError

__all__ = ["check_environment", "check_url", "is_local", "without_ways_out"]

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
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
        check_url(variables.base_url, environment[variables.base_url])
        base_url = environment[variables.base_url]
    token_file = environment.get("ANTHROPIC_IDENTITY_TOKEN_FILE")
    if provider == "anthropic" and token_file and not os.path.isfile(token_file):
        raise InputError(f"ANTHROPIC_IDENTITY_TOKEN_FILE {token_file!r} is not a file: name one, or unset it")
    keys = {name: environment[name] for name in variables.keys if name in environment}
    for name, key in keys.items():
        if key:
            _check_key(name, key)
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


def check_url(what: str, url: str) -> None:
    """Raises `InputError` for what is no URL of a server. `what` is the option or the variable that says so."""
    if not url:
        raise InputError(f"{what} is empty: set it to a URL such as https://api.anthropic.com, or unset it")
    if not _is_url(url, ("http", "https")):
        raise InputError(f"{what} {_shown(url)} is not a URL such as http://127.0.0.1:8765")


def is_local(base_url: str | None) -> bool:
    """Whether the server is on this machine: a simulator, or a gateway that has the key."""
    import ipaddress

    host = urlsplit(base_url).hostname or "" if base_url else ""
    try:
        return host in _LOCAL_HOSTS or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_proxy(name: str, value: str) -> None:
    url = value if "://" in value else f"http://{value}"
    if not _is_url(url, _PROXY_SCHEMES):
        raise InputError(
            f"{name} {_shown(value)} is not the URL of a proxy: set it to one such as http://host:3128, or unset it"
        )
    if url.startswith("socks") and not _installed("socksio"):
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


def _check_key(name: str, key: str) -> None:
    if key != key.rstrip("\r\n"):
        raise InputError(f'{name} ends with a line end: set it again without, e.g. export {name}="$(cat FILE)"')
    if any(character.isspace() for character in key):
        raise InputError(f"{name} holds a space or a line end: set it again without")
    if not key.isascii() or not key.isprintable():
        raise InputError(f"{name} holds a character that no key has (it is not ASCII): copy the key again")


def _is_url(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return parts.scheme in schemes and bool(host) and port != 0 and url.isprintable() and " " not in url


def _shown(url: str) -> str:
    """A URL for an error, without the password that may stand in it."""
    before, at, after = url.rpartition("@")
    return repr(f"***@{after}" if at and before else url)


def _installed(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None
