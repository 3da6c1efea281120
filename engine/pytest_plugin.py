"""The pytest plugin: one fixture, a simulator that the test's own client can talk to.

pytest loads this module in every run of every project that has manystream installed, so it imports nothing of
manystream before the fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .simulator import Simulator

__all__ = ["manystream_simulator"]


@pytest.fixture
def manystream_simulator() -> Iterator[Simulator]:
    """A Messages API of the test's own, served from a thread of its own: `.url`, `.script([...])`, `.requests`."""
    from .simulator import Simulator

    with Simulator().in_thread() as simulator:
        yield simulator
