"""A client's process: `python -m benchmarks.speed.client TASK`, where TASK is JSON. It prints one line of JSON.

It does not leave its streams by the book when it has its figures: with 5,000 of them that takes longer than measuring.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any

import anyio

from .fleet import SlowError
from .kinds import Kind
from .machine import allow_many_files, pin
from .work import PACES, WORK, Bench, Plan

__all__ = ["main"]

_MOST_STREAMS = 20_000  # none is held back by a limit


async def _measure(task: dict[str, Any]) -> None:
    kind = _kind_of(task)
    mode: str = task["mode"]
    plan = Plan(**task["plan"])
    scheme = "https" if task["authority"] else "http"
    url = f"{scheme}://127.0.0.1:{task['port']}/p{PACES.get(mode, 0)}"
    async with (
        kind.connect(url, task["authority"], _MOST_STREAMS) as ask,
        anyio.create_task_group() as tasks,
    ):
        try:
            figures = await WORK[mode](Bench(kind, ask, plan, tasks))
        except SlowError as exc:
            sys.stderr.write(f"{kind.name}, {mode}: {exc}\n")
            figures = {"failed": 1.0}
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()
        os._exit(0)


def _kind_of(task: dict[str, Any]) -> Kind:
    return import_module(task["kinds"]).KINDS[task["kind"]]


def main() -> None:
    """Does its task and is gone."""
    task: dict[str, Any] = json.loads(sys.argv[1])
    allow_many_files()
    pin(task["core"])
    kind = _kind_of(task)
    options: dict[str, Any] = {"use_uvloop": True} if kind.uvloop else {}
    anyio.run(_measure, task, backend=kind.backend, backend_options=options)


if __name__ == "__main__":
    main()
