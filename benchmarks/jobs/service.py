"""The simulator in a process of its own, with its ledger: `python -m benchmarks.jobs.service CASE`.

It says where it listens on the first line, then answers what it is asked on its standard input, a line each: `answered`
(how many whole answers there are) and `ledger` (every request). It ends with its standard input.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, cast

import attrs

from manystream import Simulator
from manystream.engine.simulator import RecordedRequest
from manystream.engine.simulator.answers.blocks import Text
from manystream.engine.simulator.served.answering import answer_to

from .cases import CASES, SEED
from .tally import Exchange

__all__ = ["Service", "ledger_of", "served"]

_TOP = Path(__file__).parents[2]
_KEPT = 10_000  # the simulator's ledger keeps so many requests one by one


class Service:
    """A simulator that is being served by another process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url: str = self._read()

    def answered(self) -> int:
        """How many answers were sent whole so far."""
        return self._ask("answered")

    def ledger(self) -> list[Exchange]:
        """All requests so far. Raises RuntimeError when they are more than the ledger keeps."""
        told = self._ask("ledger")
        if isinstance(told, str):
            raise RuntimeError(told)
        return [Exchange(**exchange) for exchange in told]

    def _ask(self, question: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the simulator's process has ended; what it said is above")
        return json.loads(line)


@contextmanager
def served(case_name: str) -> Generator[Service]:
    """Serves a case's simulator until the block is left."""
    command = [sys.executable, "-m", "benchmarks.jobs.service", case_name]
    with subprocess.Popen(
        command, cwd=_TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        yield Service(process)  # it ends with its standard input, which is closed when this block is left


def _exchange(request: RecordedRequest) -> Exchange:
    text = _whole_answer(request.json) if request.status == 200 else None
    return Exchange(
        _prompt(request.json), request.status, request.outcome, request.input_tokens, request.output_tokens, text
    )


def _prompt(body: Any) -> str:
    """The text of the last message: a text, or blocks of which the last one has it."""
    content: object = body["messages"][-1]["content"]
    return content if isinstance(content, str) else cast("list[dict[str, str]]", content)[-1]["text"]


def _whole_answer(body: Any) -> str:
    # The same request gets the same answer each time: that is how to know what was said without keeping it.
    answer = answer_to(body, SEED, Random(0))
    return "".join("".join(block.pieces) for block in answer.blocks if isinstance(block, Text))


def ledger_of(simulator: Simulator) -> list[Exchange]:
    """Every request for a message. Raises RuntimeError when there were more than the simulator keeps."""
    if (count := simulator.totals.requests) > _KEPT:
        raise RuntimeError(f"there were {count:,} requests, and the ledger keeps {_KEPT:,}: try fewer rows")
    return [_exchange(request) for request in simulator.requests if request.path == "/v1/messages"]


def _told(simulator: Simulator) -> list[dict[str, Any]] | str:
    try:
        return [attrs.asdict(exchange) for exchange in ledger_of(simulator)]
    except RuntimeError as error:
        return str(error)


def _say(told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serves until the standard input ends."""
    simulator = Simulator.from_scenario(CASES[sys.argv[1]].scenario())
    with simulator.in_thread():
        _say(simulator.url)
        for line in sys.stdin:
            if line.strip() == "answered":
                _say(sum(request.outcome == "complete" and request.status == 200 for request in simulator.requests))
            else:
                _say(_told(simulator))


if __name__ == "__main__":
    main()
