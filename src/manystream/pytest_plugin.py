"""The pytest plugin: one fixture, a simulator that the test's own client can talk to.

pytest loads this module in every run of every project that has manystream installed, so it imports nothing of
manystream before the fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .engine.simulator import Simulator

__all__ = ["manystream_simulator", "pytest_configure"]

_MARKER = "manystream_simulator(**settings): sets up the fixture of this name: `scenario`, `tls`, what Simulator takes"


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known, for runs with `--strict-markers`."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def manystream_simulator(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A Messages API of the test's own, served from a thread of its own: `.url`, `.script([...])`, `.requests`.

    It serves sync tests and async ones, on asyncio and on trio. The marker of the same name sets it up, on a test, a
    class or a module (`pytestmark`), of which the closest counts:

        @pytest.mark.manystream_simulator(tokens_per_second=80, faults=Faults(close=0.1))
        @pytest.mark.manystream_simulator(scenario="overloaded.toml", tls=True)

    `scenario` is a Scenario, or a file of one, seen from the test's; it goes with no other setting but `tls`. Without
    it, the settings are those that `Simulator` takes.
    """
    from .engine.simulator import Scenario, Simulator, read_scenario

    marker = request.node.get_closest_marker("manystream_simulator")
    settings = {} if marker is None else dict(marker.kwargs)
    if marker is not None and marker.args:
        raise TypeError("the marker manystream_simulator takes its settings by name")
    tls = settings.pop("tls", False)
    scenario = settings.pop("scenario", None)
    if scenario is None:
        simulator = Simulator(**settings)
    elif settings:
        raise TypeError(f"beside a scenario the marker manystream_simulator takes no {', '.join(settings)}")
    else:
        known = scenario if isinstance(scenario, Scenario) else read_scenario(request.path.parent / scenario)
        simulator = Simulator.from_scenario(known)
    with simulator.in_thread(tls=tls):
        yield simulator
