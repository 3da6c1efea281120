"""Docstrings as the code has them, which is Markdown in a small way, made into the reStructuredText autodoc expects.

Single backticks are code, and a link where they name something public; fenced blocks are code; an indented paragraph
after a colon is code too.
"""

import re
from typing import Any

import manystream
from manystream.engine import simulator

_CODE = re.compile(r"(?<![`:])`([^`\n]+)`(?![`_])(\w?)")
_NOT_MADE_BY_USERS = frozenset(
    [
        "Stream",
        "StreamHandle",
        "Mailbox",
        "Snapshots",
        "MergeChannel",
        "CompletionChannel",
        "Run",
        "RequestFile",
        "Figures",
        "Serving",
        "InThread",
        "EngineStats",
        "WaitingRequest",
        "PoolStats",
        "LimitStats",
        "ConnectionStats",
        "RecordedRequest",
        "Tally",
    ]
)
_HOMES = dict.fromkeys(simulator.__all__, "manystream.engine.simulator") | dict.fromkeys(
    manystream.__all__, "manystream"
)


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process)
    app.connect("autodoc-process-signature", _shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _process(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    made: list[str] = []
    fenced = block = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        if line.strip().startswith("```"):
            if not fenced:
                made += [f".. code-block:: {line.strip()[3:] or 'text'}", ""]
            fenced = not fenced
        elif fenced:
            made.append(f"    {line}")
        elif indented and (block or _begins_block(lines, number)):
            if not block:
                made += [".. code-block:: python", ""]
            block = True
            made.append(line)
        else:
            block = block and not line.strip()
            made.append(_CODE.sub(_as_role, line))
    lines[:] = made


def _shorten(
    app: Any, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """No arguments for what others make. Defaults that are made anew each time, and functions, have no text that tells
    anything."""
    if what == "class" and name.rpartition(".")[2] in _NOT_MADE_BY_USERS:
        return "", None
    return signature and re.sub(r"\bNOTHING\b|<built-in function \w+>", "...", signature), returns


def _begins_block(lines: list[str], number: int) -> bool:
    return number > 1 and not lines[number - 1].strip() and lines[number - 2].rstrip().endswith((":", ","))


def _as_role(found: "re.Match[str]") -> str:
    text, joined = found[1], f"\\ {found[2]}" if found[2] else ""
    name = text.removesuffix("()")
    role = f":py:obj:`{text} <{_HOMES[name]}.{name}>`" if name in _HOMES else f"``{text}``"
    return role + joined
