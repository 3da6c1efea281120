"""A URL that is safe to show, whether it is one or only should be: a password in it often makes it none."""

import re
from typing import TYPE_CHECKING

from ...actors.wire import plain_text

if TYPE_CHECKING:
    import httpx2

__all__ = ["shown_url"]

_LONGEST = 150  # characters
_SCHEME = re.compile(r"([A-Za-z][A-Za-z\d+.-]*:)?/+")
_HOST_AND_PORT = re.compile(r"(\[[\da-fA-F:.]*\]?|[^:\[\]]*)(:\d*)?")


def shown_url(url: "httpx2.URL | str") -> str:
    """A URL without credentials, query and fragment, at most 150 characters.

    An `httpx2.URL` is one that a client has understood. A string is what somebody wrote: whatever may be meant as a
    password is hidden, even if a URL's rules say that it is something else, such as a path.
    """
    if isinstance(url, str):
        return _without_secrets(url)[:_LONGEST]
    return plain_text(_without_query(str(url.copy_with(userinfo=b"") if url.userinfo else url)), _LONGEST)


def _without_secrets(text: str) -> str:
    before, at, after = text.rpartition("@")
    if at and ("?" in before or "#" in before):
        return "***"  # either side may be the secret: the `@` may stand in a password or in a query
    scheme = found[0] if not at and (found := _SCHEME.match(after)) else ""
    rest = _without_query(after[len(scheme) :])
    authority = rest.partition("/")[0]
    if not _HOST_AND_PORT.fullmatch(authority):
        # No port is written so: it may be a password.
        rest = "***" if "[" in authority else f"{authority.partition(':')[0]}:***"
    return f"{'***@' if before else ''}{scheme}{rest}"


def _without_query(url: str) -> str:
    return url.partition("#")[0].partition("?")[0]
