"""Which budget a command takes, and what it says of those who share it."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.engines import engine_in_memory
from tests.support.virtual import virtual_backends

from manystream import HostBudget, InputError
from manystream.engine.cli.sharing import budget_by, tell_of_sharing
from manystream.engine.simulator import Simulator
from manystream.engine.simulator.service.conditions import Conditions, ServiceLimits


@pytest.mark.parametrize(
    ("words", "base_url", "shared"),
    [
        (None, None, True),
        (None, "https://gateway.example.com", True),
        (None, "http://127.0.0.1:8765", False),
        (None, "http://localhost:1", False),
        ("host", "http://127.0.0.1:8765", True),
        ("off", None, False),
    ],
)
def test_limits_are_shared_unless_the_server_stands_here(words: str | None, base_url: str | None, shared: bool) -> None:
    assert (budget_by(words, base_url=base_url) is not None) is shared


def test_the_base_url_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://localhost:8765")
    assert budget_by(None, base_url=None) is None


def test_words_that_mean_no_budget() -> None:
    with pytest.raises(InputError, match=r"--budget is .*, or off$"):
        budget_by("hots", base_url=None)
    with pytest.raises(InputError, match="a command has host, redis://… or off"):
        budget_by("ray", base_url=None)


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> dict[str, Any]:
    name, options = virtual_backends()[request.param]
    return {"backend": name, "backend_options": options}


def test_what_is_said_of_those_who_share(backend: dict[str, Any], tmp_path: Path) -> None:
    said: list[str] = []

    def host(path: Path) -> HostBudget:
        budget = HostBudget(path)
        budget._clock = anyio.current_time  # pyright: ignore[reportPrivateUsage]
        return budget

    async def main() -> None:
        limits = ServiceLimits(requests_per_minute=60)
        simulator = Simulator(conditions=Conditions(limits=limits), clock=anyio.current_time)
        path = tmp_path / "b.db"
        async with (
            engine_in_memory(simulator, budget=host(path), grace=0) as engine,
            engine_in_memory(simulator, budget=host(path), grace=0) as second,
            engine_in_memory(simulator, budget=host(path), grace=0) as third,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(tell_of_sharing, engine, said.append)
            for _ in range(90):
                engine.submit("Hello")
            await anyio.sleep(2)
            assert said == []  # it is alone
            for _ in range(90):
                second.submit("Hello")
                third.submit("Hello")
            await anyio.sleep(5)
            assert said == ["sharing limits with 2 others on this host (--budget off)"]
            path.unlink()
            path.mkdir()
            await anyio.sleep(5)
            assert said[1:] == [
                "the shared budget can't be reached: going on with the share that was left (--budget off)"
            ]
            tasks.cancel_scope.cancel()

    anyio.run(main, **backend)
