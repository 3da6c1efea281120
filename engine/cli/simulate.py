"""`manystream simulate`: the simulator as a server, until Ctrl-C."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import attrs

from ..simulator import ListenError, Scenario, Simulator, read_scenario
from .event_loop import run
from .perform import Status
from .telling import fail, say

__all__ = ["simulate"]


def simulate(
    *, host: str, port: int, tls: bool, scenario_file: str | None, overrides: Mapping[str, Any], backend: str
) -> Status:
    """Serves until Ctrl-C; returns the exit status. `overrides` are settings that replace the scenario's."""
    try:
        scenario = Scenario() if scenario_file is None else read_scenario(scenario_file)
        simulator = Simulator.from_scenario(attrs.evolve(scenario, **overrides))
        serving = simulator.serve(host, port, tls=tls)
    except (ImportError, ValueError) as exc:
        fail(exc)
        return Status.UNUSABLE

    async def serve() -> None:
        async with serving:
            _greet(simulator.url, simulator.certificate if tls else None)
            try:
                # This also works where Python ignores Ctrl-C: in the background of a script.
                with anyio.open_signal_receiver(signal.SIGINT) as signals:
                    await anext(signals)
            except NotImplementedError:
                await anyio.sleep_forever()

    try:
        run(serve, backend)
    except ListenError as exc:
        fail(exc)
        return Status.UNUSABLE
    except KeyboardInterrupt:
        pass  # where signals can't be received, as on Windows
    say("stopped")
    return Status.SUCCEEDED


def _greet(url: str, certificate: Path | None) -> None:
    print(  # noqa: T201
        f"A simulated Messages API listens at {url} until Ctrl-C. Point a client at it:",
        f"  export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=any-but-invalid",
        *([] if certificate is None else [f"  export SSL_CERT_FILE={certificate}"]),
        f"  manystream run prompts.jsonl -o results.jsonl --model claude-opus-5-5 --base-url {url}",
        sep="\n",
        flush=True,
    )
