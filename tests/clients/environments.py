"""Where the programs run: an environment for each Python library, since they disagree on versions, and one for Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .libraries import Library

__all__ = [
    "OVER_ENGINE",
    "PROGRAMS",
    "InstallError",
    "NotHereError",
    "command",
    "example",
    "manystream_of",
    "python",
    "surroundings",
    "versions",
]

PROGRAMS = Path(__file__).parent / "programs"
OVER_ENGINE = Path(__file__).parent / "over_engine"

# What the libraries would ask or tell others, they don't.
_QUIET = {
    "ANONYMIZED_TELEMETRY": "False",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_PROXY": "127.0.0.1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": str(PROGRAMS),  # the casebook, for programs that stand elsewhere
}


class NotHereError(Exception):
    """The library can't be tried on this machine, which lacks what it runs on; the message says what."""


class InstallError(Exception):
    """The library can't be installed; the message says why."""


def command(library: Library, folder: Path, uv: str, project: Path) -> list[str]:
    """Returns the command that runs the library's program; installs what it needs into `folder` unless it is there.
    Programs over the engine get that of `project`, the folder with its `pyproject.toml`, as it is now.

    Raises NotHereError when Node is not here, and InstallError when it can't be installed.
    """
    programs = OVER_ENGINE if library.over_engine else PROGRAMS
    if library.over_engine:
        interpreter = python(library, folder, uv)
        also = ("--reinstall-package", "manystream", str(project), *library.packages)
        _run([uv, "pip", "install", "--quiet", "--python", str(interpreter), *also], folder)
    if _is_of_python(library):
        return [str(python(library, folder, uv)), str(programs / library.program)]
    return [_tool("node"), str(_node(folder) / programs.name / library.program)]


def example(library: Library, folder: Path, uv: str, project: Path) -> str | None:
    """Runs the library's example among the project's; returns why it failed, or None."""
    program = project / "examples" / "frameworks" / str(library.example)
    try:
        said = _run([str(python(library, folder, uv)), str(program)], folder)
    except InstallError as error:
        return str(error)
    return None if said else "it said nothing"


def surroundings(manystream: Path | None = None) -> dict[str, str]:
    """Returns the environment variables of a program: none of them leads to the real service, or to our modules.
    `manystream` is the command that is ours."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANTHROPIC_", "CLAUDE_", "MANYSTREAM", "PYTHON"))
    }
    return {**kept, **_QUIET} | ({} if manystream is None else {"MANYSTREAM": str(manystream)})


def manystream_of(library: Library, folder: Path) -> Path | None:
    """Returns our command in the environment of a program over the engine."""
    return _interpreter(library, folder).with_name("manystream") if library.over_engine else None


def versions(library: Library, folder: Path, uv: str) -> str:
    """Returns the versions of what is shown of a library that is installed."""
    return " ".join(f"{name} {_version(library, name, folder, uv)}" for name in library.shown)


def _version(library: Library, name: str, folder: Path, uv: str) -> str:
    if _is_of_python(library):
        ask = f"import importlib.metadata as m; print(m.version({name!r}))"
        return _run([str(python(library, folder, uv)), "-c", ask], folder).strip()
    return json.loads((folder / "node" / "node_modules" / name / "package.json").read_text(encoding="utf-8"))["version"]


def python(library: Library, folder: Path, uv: str) -> Path:
    """Returns the interpreter of a Python library's environment, made in `folder` unless it is there.

    Raises InstallError when it can't be made.
    """
    environment, interpreter = folder / library.name, _interpreter(library, folder)
    ready = environment / "ready"
    if not ready.exists():
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)], folder)
        if library.packages:
            _run([uv, "pip", "install", "--quiet", "--python", str(interpreter), *library.packages], folder)
        ready.touch()
    return interpreter


def _interpreter(library: Library, folder: Path) -> Path:
    return folder / library.name / ("Scripts" if os.name == "nt" else "bin") / "python"


def _is_of_python(library: Library) -> bool:
    return library.program.endswith(".py")


def _node(folder: Path) -> Path:
    """The folder with the programs' copies beside their packages, for Node looks for these from the file upwards."""
    environment = folder / "node"
    environment.mkdir(exist_ok=True)
    ready = environment / "ready"
    if not ready.exists():
        shutil.copy(PROGRAMS / "package.json", environment)
        _run([_tool("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock"], environment)
        ready.touch()
    for programs in (PROGRAMS, OVER_ENGINE):
        ignored = shutil.ignore_patterns("*.py", "__pycache__")
        shutil.copytree(programs, environment / programs.name, dirs_exist_ok=True, ignore=ignored)
    return environment


def _tool(name: str) -> str:
    if (path := shutil.which(name)) is None:
        raise NotHereError(f"{name} is not installed here")
    return path


def _run(arguments: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(arguments, cwd=folder, env=surroundings(), capture_output=True, text=True, check=False)
    except OSError as error:
        raise InstallError(f"{arguments[0]} can't be run: {error.strerror}") from None
    if done.returncode != 0:
        raise InstallError(f"{' '.join(arguments[:3])}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout
