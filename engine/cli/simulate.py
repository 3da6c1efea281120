"""The simulator as a server of its own, until Ctrl-C."""

import signal

import anyio

from ..simulator import ListenError, Simulator
from .session import Status, fail, say

__all__ = ["simulate"]


def simulate(
    *, host: str, port: int, seed: int, time_to_first_token: float, tokens_per_second: float, backend: str
) -> Status:
    """Serves until Ctrl-C; returns what to exit with."""
    simulator = Simulator(seed=seed, time_to_first_token=time_to_first_token, tokens_per_second=tokens_per_second)

    async def serve() -> None:
        async with simulator.serve(host, port):
            _greet(simulator.url)
            try:
                # Also where Python would ignore it: in the background of a script.
                with anyio.open_signal_receiver(signal.SIGINT) as signals:
                    await anext(signals)
            except NotImplementedError:
                await anyio.sleep_forever()

    try:
        anyio.run(serve, backend=backend)
    except ListenError as exc:
        fail(exc)
        return Status.UNUSABLE
    except KeyboardInterrupt:
        pass  # where signals can't be received, as on Windows
    say("stopped")
    return Status.SUCCEEDED


def _greet(url: str) -> None:
    print(  # noqa: T201
        f"A simulated Messages API listens at {url} until Ctrl-C. Point a client at it:",
        f"  export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=any-but-invalid",
        f"  manystream run prompts.jsonl -o results.jsonl --model claude-opus-5-5 --base-url {url}",
        sep="\n",
        flush=True,
    )
