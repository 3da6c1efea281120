"""The gateway's page: what it does now, for people. It asks `/stats` each second.

The page has no data of its own, and puts what it gets in as text: a label can't become part of the page. Its policy
allows the one style and the one script that stand in it.
"""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

__all__ = ["PAGE", "PAGE_HEADERS"]

_TEXT = files("manystream.engine.serve").joinpath("page.html").read_text("utf-8")


def _hash_of(element: str) -> str:
    found = re.search(f"<{element}>(.*)</{element}>", _TEXT, re.DOTALL)
    assert found is not None
    return f"'sha256-{b64encode(sha256(found[1].encode()).digest()).decode()}'"


PAGE = _TEXT.encode()
"""The page."""

PAGE_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        (
            f"default-src 'none'; script-src {_hash_of('script')}; style-src {_hash_of('style')}; img-src data:;"
            " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ).encode(),
    ),
]
"""Its headers."""
