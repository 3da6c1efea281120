"""What a model is given, checked before anything is sent: names, keys, URLs and switches. No error shows a key."""

import ipaddress
import os
import re
from urllib.parse import SplitResult, urlsplit

from .shown_url import shown_url

__all__ = ["check_base_url", "check_key", "check_name", "check_proxy", "check_switch"]

_WHOLE_ROUTE = "/v1/messages"  # the SDK adds it
_SCHEMES = ("http", "https")
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_LOOKS_LIKE_IPV4 = re.compile(r"[\d.]+")


def check_name(what: str, value: object) -> str:
    """A model's name, as it was given. Raises `TypeError`, and `ValueError` for one that is empty or has spaces."""
    if not isinstance(value, str):
        raise TypeError(f'{what} is a name such as "claude-opus-5-5", not a {type(value).__name__}')
    if not value or not value.isprintable() or any(char.isspace() for char in value):
        raise ValueError(f'{what} is a name such as "claude-opus-5-5", without spaces, not {value[:40]!r}')
    return value


def check_key(what: str, value: object) -> str:
    """A key, as it was given. Raises `TypeError`, and `ValueError` for one that can't be sent; neither shows it."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is a string, not a {type(value).__name__}")
    if not value:
        raise ValueError(f"{what} is empty: give a key, or leave it out")
    if value != value.rstrip("\r\n"):
        raise ValueError(f"{what} ends with a line end: leave it out, as key.strip() and $(cat FILE) do")
    if any(char.isspace() for char in value):
        raise ValueError(f"{what} holds a space or a line end: copy the key again without")
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"{what} holds a character that no key has: copy the key again")
    return value


def check_base_url(what: str, value: object) -> str:
    """A base URL, as it was given. Raises `TypeError`, and `ValueError` for one that can't lead to a server; neither
    shows a password in it."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is a URL as a string, not a {type(value).__name__}")
    if not value:
        raise ValueError(f"{what} is empty: give a URL such as https://api.anthropic.com, or leave it out")
    wrong = _what_is_wrong(value, _SCHEMES)
    if wrong is not None:
        raise ValueError(f"{what} {shown_url(value)!r} {wrong}")
    return value


def check_proxy(what: str, value: str) -> str:
    """The URL of a proxy, with its scheme, which may be left out. Raises `ValueError`, which shows no password."""
    url = value if "://" in value else f"http://{value}"
    if _what_is_wrong(url, _PROXY_SCHEMES) is not None:
        raise ValueError(
            f"{what} {shown_url(value)!r} is not the URL of a proxy: set it to one such as http://host:3128, or unset"
            " it"
        )
    return url


def _what_is_wrong(url: str, schemes: tuple[str, ...]) -> str | None:
    if not url.isprintable() or " " in url:
        return "holds a space or a line end: strip it"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:  # its words would show a password
        return "can't be read as a URL"
    if parts.scheme not in schemes:
        return (
            f"has no scheme: write https://{shown_url(url)}"
            if "://" not in url
            else "is no URL with http:// or https://"
        )
    if not host:
        return "names no host: write one such as https://api.anthropic.com"
    if not _has_port(parts):
        return "has a port that is no number from 1 to 65535"
    if parts.fragment:
        return "has a fragment, which no server sees: leave it out"
    if parts.path.rstrip("/").endswith(_WHOLE_ROUTE):
        return f"holds {_WHOLE_ROUTE}, which is added to it: leave that out"
    return _what_is_wrong_with_host(host)


def _has_port(parts: SplitResult) -> bool:
    """Whether there is a port that a server may have, or none."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def _what_is_wrong_with_host(host: str) -> str | None:
    if ":" in host:
        return None  # an IPv6 address, which urlsplit has checked
    if _LOOKS_LIKE_IPV4.fullmatch(host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return "names a host that looks like an IP address, but is none"
        return None
    try:
        host.encode("idna")
        known = re.fullmatch(r"[^\x00-\x20!\"#$&'()*+,/;<=>?@\[\\\]^`{|}~%]+", host)
    except UnicodeError:
        known = None
    return None if known else "names a host that can't be: its name has letters, digits, hyphens and dots"


def check_switch(variable: str) -> bool:
    """Whether an environment variable is on: `1`, `true`, `yes` or `on`; unset, empty, `0`, `false`, `no` or `off` is
    off. Raises `ValueError` for anything else."""
    value = os.environ.get(variable, "").strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("", "0", "false", "no", "off"):
        return False
    raise ValueError(f"the environment variable {variable} is 1 or 0 (or true or false), not {value[:40]!r}")
