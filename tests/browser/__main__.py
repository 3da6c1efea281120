"""The relay before its real readers: `python -m tests.browser [part...]`.

Installs the newest versions of their libraries into a folder. `frames` puts every frame of the reference corpus before
the schema and the reader of the AI SDK, the client of AG-UI and its Python models. The other parts open a real browser
on a real server: `events` reads our own events by `EventSource`, `chat` is `useChat`, `agui` is `HttpAgent`, each with
reloads, a second tab and a network that is cut. In `killed` a worker dies in mid-answer, over SQLite and, where
there is a redis-server, over Redis; `example` is the example's chat. The status is 0 when nothing failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .environment import NotHereError, browser, models_python, node, programs
from .frames import write_frames

_PARTS = ("frames", "events", "chat", "agui", "killed", "example")
_LONGEST = 1200.0  # seconds for a program
_Tried = tuple[str, str | None]


def main() -> int:
    """Runs the command; returns its status."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(_PARTS))
    parser.add_argument("--into", type=Path, help="where to install; what is there already is used again")
    parser.add_argument("--shots", type=Path, help="where to put screenshots")
    parser.add_argument(
        "--project",
        type=Path,
        default=Path(__file__).parents[2],
        help="the folder of manystream's project, for its example",
    )
    parser.add_argument("--uv", default=shutil.which("uv") or "uv", help="the uv to install with")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(_PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    count = failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        into = (asked.into or Path(temporary)).resolve()
        shots = (asked.shots or into / "shots").resolve()
        shots.mkdir(parents=True, exist_ok=True)
        for part in asked.parts or _PARTS:
            begun = time.monotonic()
            try:
                tried = list(
                    _frames(into, asked.uv) if part == "frames" else _page(part, into, shots, asked.project.resolve())
                )
            except NotHereError as error:
                print(f"left out: {part}: {error}", flush=True)
                continue
            wrong = [(name, why) for name, why in tried if why is not None]
            count, failed = count + len(tried), failed + len(wrong)
            print(
                f"{part:8} {len(tried) - len(wrong):5} of {len(tried):5}  {time.monotonic() - begun:4.0f} s", flush=True
            )
            for name, why in wrong[:20]:
                print(f"FAILED {part} {name}\n    {why}", flush=True)
    print(f"\n{count - failed} passed, {failed} failed of {count}")
    return 1 if failed or not count else 0


def _frames(into: Path, uv: str) -> Iterator[_Tried]:
    folder = programs(into)
    for protocol in ("vercel", "agui"):
        path = folder / f"{protocol}.json"
        write_frames(protocol, path)
        yield from _run([node(), str(folder / f"{protocol}_frames.mjs"), str(path)])
    yield from _run([str(models_python(into, uv)), str(folder / "agui_models.py"), str(folder / "agui.json")])


def _page(part: str, into: Path, shots: Path, project: Path) -> Iterator[_Tried]:
    here = Path(__file__).parent
    where = {
        "BROWSER": browser(),
        "PYTHON": sys.executable,
        "REDIS": shutil.which("redis-server") or "",
        "APP": str(here / "app.py"),
        "EXAMPLE": str(project / "examples" / "chat" / "app.py"),
        "EXAMPLE_SERVER": str(here / "example.py"),
    }
    folder = programs(into)
    yield from _run([node(), str(folder / f"{part}_page.mjs"), str(shots)], where)


def _run(arguments: list[str], more: dict[str, str] | None = None) -> Iterator[_Tried]:
    """What a program tried, and at last whether it came to its end."""
    name = Path(arguments[1]).name
    environment = {**os.environ, **(more or {})}
    try:
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=_LONGEST)
    except subprocess.TimeoutExpired as error:
        yield from _tried(bytes(error.stdout or b"").decode())
        yield f"{name} ends", f"not within {error.timeout:g} s"
        return
    yield from _tried(done.stdout)
    yield f"{name} ends", None if done.returncode == 0 else f"status {done.returncode}: {done.stderr[-2000:]}"


def _tried(output: str) -> Iterator[_Tried]:
    for line in output.splitlines():
        if line.startswith('{"name":'):
            told = json.loads(line)
            yield told["name"], told["failed"]


if __name__ == "__main__":
    sys.exit(main())
