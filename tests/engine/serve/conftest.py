"""A gateway runs on asyncio alone: on its own loop and on uvloop."""

import sys
from typing import Any

import pytest
from tests.support.loops import BACKENDS

LOOPS = ["asyncio"] if sys.platform == "win32" else ["asyncio", "uvloop"]


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return BACKENDS[request.param]
