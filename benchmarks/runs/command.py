"""`python -m benchmarks run`: so many short requests through `open_run`, and what memory and journal were like."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console

from manystream import AnthropicModel, Engine
from manystream.engine.runs import open_run
from manystream.engine.runs.journal import Journal
from manystream.engine.runs.registry import Registry
from manystream.engine.runs.writer import Writer

from ..speed.machine import describe, resident_bytes

__all__ = ["command"]

_LIMITS = ("requests", "input_tokens", "output_tokens")


@contextmanager
def _simulator() -> Generator[str]:
    with tempfile.TemporaryDirectory() as folder:
        # Limits that nobody reaches: what is measured is not to wait for them.
        scenario = Path(folder) / "scenario.toml"
        scenario.write_text("".join(f"limits.{name}_per_minute = 1_000_000_000\n" for name in _LIMITS))
        yield from _serve(scenario)


def _serve(scenario: Path) -> Iterator[str]:
    arguments = [sys.executable, "-m", "manystream", "simulate", "--port", "0", "--scenario", str(scenario)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield next(word for word in line.split() if word.startswith("http"))
        process.terminate()


def _prompts(path: Path, count: int) -> None:
    with path.open("w") as file:
        for number in range(count):
            messages = [{"role": "user", "content": f"Tell me of {number}"}]
            params = {"max_tokens": 5, "messages": messages}
            file.write(json.dumps({"custom_id": f"r{number}", "params": params}) + "\n")


class _Clock:
    """The processor time that some methods take, in whichever thread."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self, cls: type[Any], *names: str) -> None:
        for name in names:
            setattr(cls, name, self._timed(getattr(cls, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def timed(*arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.thread_time() - began

        return timed


async def _run(
    url: str, requests: int, at: int, folder: Path, journal: _Clock, reading: _Clock
) -> Iterator[tuple[str, float]]:
    source, output = folder / "in.jsonl", folder / "out.jsonl"
    _prompts(source, requests)
    model = AnthropicModel("claude-opus-5-5", api_key="none", base_url=url)
    figures: dict[str, float] = {}
    began, cpu = time.perf_counter(), time.process_time()
    async with Engine(model, max_concurrency=50) as engine, open_run(engine, source, output) as run:
        done = 0
        async for _ in run:
            done += 1
            if done == at:
                figures["rss_mb_early"] = resident_bytes() / 1e6
        figures["rss_mb_end"] = resident_bytes() / 1e6
    cpu, wall = time.process_time() - cpu, time.perf_counter() - began
    figures |= {
        "requests": done,
        "requests_per_second": done / wall,
        "cpu_ms_per_request": cpu / done * 1e3,
        "journal_share": journal.seconds / cpu,
        "reading_share": reading.seconds / cpu,
    }
    return iter(figures.items())


def command(
    requests: Annotated[int, typer.Option(min=10, help="How many requests.")] = 100_000,
    at: Annotated[int, typer.Option(min=1, help="After how many the memory is looked at first.")] = 5_000,
    out: Annotated[Path, typer.Option(help="The folder for the figures.")] = Path("benchmarks/out"),
) -> None:
    """A long run of short requests: memory early and late, and the journal's share of the processor time."""
    journal, reading = _Clock(), _Clock()
    journal.time(Writer, "flush", "close")
    journal.time(Journal, "unanswered")
    reading.time(Registry, "register", "next")
    with _simulator() as url, tempfile.TemporaryDirectory() as folder:
        figures = dict(anyio.run(_run, url, requests, at, Path(folder), journal, reading))
    console = Console(highlight=False)
    for name, value in figures.items():
        console.print(f"{name:22s} {value:,.4g}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").write_text(json.dumps({**describe(), **figures}, indent=1) + "\n")
