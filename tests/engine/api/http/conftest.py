"""What the HTTP transport's tests share: the event loops, and an authority for certificates."""

import gc
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from tests.support.loops import BACKENDS


@pytest.fixture(params=BACKENDS.values(), ids=list(BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The transport has an end of its own for asyncio, which uvloop shares, and one for trio."""
    return request.param


@pytest.fixture(autouse=True, scope="module")
def little_to_collect() -> Iterator[None]:
    """The tests collect garbage often: what was there before them is left out, which would take most of their time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="package")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    return context
