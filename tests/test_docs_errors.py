"""The page on errors has them all: every public exception, every exit code, every error type that the code makes."""

import inspect
import re
from pathlib import Path

import pytest

import manystream
from manystream.engine.cli.perform import Status

TOP = Path(__file__).parent.parent
PAGE = (TOP / "docs" / "errors.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([A-Za-z_]+)`", PAGE))

NO_TYPES = {"is_error", "read_error", "status_error"}
"""Words of the code that only look like an error's type."""


def exceptions() -> set[str]:
    names: set[str] = set()
    for name in (*manystream.actors.__all__, *manystream.engine.__all__):
        value = getattr(manystream, name)
        if inspect.isclass(value) and issubclass(value, BaseException):
            names.add(name)
    return names


def types() -> set[str]:
    """The types of errors that stand in the code, wherever it makes one."""
    code = [
        file.read_text(encoding="utf-8")
        for top in ("actors", "engine")
        for file in (TOP / top).rglob("*.py")
        if "simulator" not in file.parts
    ]
    found = set(re.findall(r'"([a-z_]+_error|deadline_exceeded|spend_cap_reached)"', "".join(code)))
    found |= set(re.findall(r'ErrorInfo\(\s*(?:type=)?"([a-z_]+)"', "".join(code)))
    return found - NO_TYPES


def test_every_public_exception_is_named() -> None:
    assert len(exceptions()) > 15
    assert exceptions() - NAMED == set()


@pytest.mark.parametrize("status", Status, ids=lambda status: status.name)
def test_every_exit_code_is_named(status: Status) -> None:
    assert f"| {status.value} | {status.name} |" in PAGE


def test_every_error_type_is_named() -> None:
    assert {"truncated", "overloaded_error", "internal_error", "spend_cap_reached"} <= types()
    assert types() - NAMED == set()


def test_nothing_is_named_that_is_no_exception() -> None:
    table = re.findall(r"^\| `([A-Z]\w+)`", PAGE, re.MULTILINE)
    ours = {name for name in table if name not in ("TypeError", "ValueError", "RuntimeError")}
    assert ours == exceptions()
