"""Where the programs run: an environment of Node's packages, and one of Python's for AG-UI's models."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["NotHereError", "browser", "models_python", "node", "programs"]

_PROGRAMS = Path(__file__).parent / "programs"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class NotHereError(Exception):
    """What is needed is not on this machine; the message says what."""


def node() -> str:
    """Returns the path of Node. Raises NotHereError when it is not here."""
    return _tool("node")


def browser() -> str:
    """Returns the path of a browser of Chromium's kind. Raises NotHereError when none is here."""
    for name in _BROWSERS:
        if (path := shutil.which(name)) is not None:
            return path
    raise NotHereError("chromium is not installed here")


def programs(into: Path) -> Path:
    """Returns the folder with the programs' copies beside their packages, which are installed unless they are there."""
    folder = into / "node"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "ready").exists():
        shutil.copy(_PROGRAMS / "package.json", folder)
        _run([_tool("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock"], folder)
        (folder / "ready").touch()
    shutil.copytree(_PROGRAMS, folder, dirs_exist_ok=True)
    return folder


def models_python(into: Path, uv: str) -> Path:
    """Returns the interpreter of an environment with ag-ui-protocol, which is made unless it is there."""
    folder = into / "models"
    interpreter = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "ready").exists():
        into.mkdir(parents=True, exist_ok=True)
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], into)
        _run([uv, "pip", "install", "--quiet", "--python", str(interpreter), "ag-ui-protocol>=1.0"], into)
        (folder / "ready").touch()
    return interpreter


def _tool(name: str) -> str:
    if (path := shutil.which(name)) is None:
        raise NotHereError(f"{name} is not installed here")
    return path


def _run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments[:3])} failed: {done.stderr[-2000:]}")
