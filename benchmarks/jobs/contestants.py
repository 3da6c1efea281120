"""The contestants: their programs, what is installed for them, and the settings that their programs give, and why."""

from __future__ import annotations

import ast
import io
import os
import shutil
import tokenize
from collections.abc import Mapping
from pathlib import Path

import attrs
from tests.clients.environments import python, surroundings, versions
from tests.clients.libraries import Library

__all__ = ["CONTESTANTS", "Contestant", "Installed", "code_lines", "lines_written"]

_TOP = Path(__file__).parents[2]
_PROGRAMS = Path(__file__).parent / "programs"


@attrs.frozen
class Contestant:
    """A program, what it is called in tables, and the cases it is in."""

    name: str
    title: str
    program: str
    packages: tuple[str, ...]
    shown: tuple[str, ...]
    cases: tuple[str, ...] = ("job", "calm", "small")

    def install(self, folder: Path, uv: str) -> Installed:
        """Makes its environment in `folder`, unless it is there. Raises InstallError when that can't be done."""
        # Those that use the same packages share an environment.
        library = Library("-".join(self.shown), self.program, self.shown, self.packages)
        interpreter = python(library, folder, uv)
        return Installed(self, interpreter, versions(library, folder, uv))


@attrs.frozen
class Installed:
    """A contestant with the interpreter of its environment."""

    contestant: Contestant
    interpreter: Path
    versions: str

    def command(self, folder: Path) -> list[str]:
        """What starts the program in this folder, into which it is copied: where a user has it."""
        program = self.contestant.program
        shutil.copy(_PROGRAMS / program, folder)
        return ["sh", program] if program.endswith(".sh") else [str(self.interpreter), program]

    def environment(self, url: str) -> dict[str, str]:
        """The program's environment variables."""
        path = f"{self.interpreter.parent}{os.pathsep}{os.environ['PATH']}"
        return {**surroundings(), "PATH": path, "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "any"}


def lines_written(program: str) -> int:
    """How many lines the user wrote: those of a program with code on them."""
    text = (_PROGRAMS / program).read_text(encoding="utf-8")
    if program.endswith(".py"):
        return code_lines(text)
    return sum(bool(line.strip()) and not line.startswith("#") for line in text.splitlines())


def code_lines(text: str) -> int:
    """How many lines of a Python program have code on them; a text that is a statement of its own is a remark."""
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.end_lineno is not None:
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return len(lines)


_SDK = ("anthropic>=2.12", "tenacity", "aiolimiter")
_SDK_SHOWN = ("anthropic", "tenacity", "aiolimiter")
_INSPECT = ("inspect-ai>=0.3.285", "anthropic>=2.12")
_INSPECT_SHOWN = ("inspect-ai", "anthropic")

CONTESTANTS: Mapping[str, Contestant] = {
    contestant.name: contestant
    for contestant in (
        Contestant("manystream", "manystream run", "manystream_run.sh", ("--editable", str(_TOP)), ("manystream",)),
        Contestant("inspect", "inspect_ai", "inspect_adaptive.py", _INSPECT, _INSPECT_SHOWN),
        Contestant("inspect-fifty", "inspect_ai, 50 connections", "inspect_fifty.py", _INSPECT, _INSPECT_SHOWN),
        Contestant("litellm", "LiteLLM Router", "litellm_router.py", ("litellm>=1.110",), ("litellm",)),
        Contestant("sdk", "SDK, semaphore, tenacity", "sdk_tenacity.py", _SDK, _SDK_SHOWN),
        Contestant("sdk-limiter", "the same with a limiter", "sdk_limiter.py", _SDK, _SDK_SHOWN, ("job",)),
        Contestant("sdk-plain", "SDK, plain loop", "sdk_plain.py", _SDK, _SDK_SHOWN, ("calm", "small")),
    )
}
