"""`--schema`: what each answer is to be, from a file with a JSON Schema or from a type in a Python module."""

import json
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal, cast

import attrs

from ...actors import OutputSpec
from ..input import InputError
from ..output import typed_output

__all__ = ["Via", "read_schema"]

Via = Literal["format", "tool"]

_TRIES_AGAIN = 1


def read_schema(given: str | None, via: Via | None = None) -> OutputSpec[Any] | None:
    """What `FILE.json` or `module:Type` stands for, asked for by `via`; None for None. An answer that does not fit is
    asked for once more, unless a module has an `OutputSpec` of that name, which says so itself.

    Raises `InputError` for what can't be read, for what is no type, and for a schema that the API does not take.
    """
    if given is None:
        if via is not None:
            raise InputError("--schema-via says how a schema is asked for: give one, with --schema")
        return None
    path, _, name = given.rpartition(":")
    wanted = _imported(path, name) if path and not os.path.exists(given) else _read(given)
    try:
        spec = (
            cast("OutputSpec[Any]", wanted)
            if isinstance(wanted, OutputSpec)
            else OutputSpec[Any](wanted, retry_invalid=_TRIES_AGAIN)
        )
        spec = attrs.evolve(spec, via=via or spec.via)
        typed_output(spec)
    except (TypeError, ValueError) as exc:
        raise InputError(f"--schema {given}: {_in_options(str(exc))}") from None
    return spec


def _in_options(words: str) -> str:
    """What is said to programs, as it is said to those who write a command."""
    return words.replace('OutputSpec(..., via="tool")', "--schema-via tool")


def _read(path: str) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            schema: object = json.load(file)
    except OSError as exc:
        hint = "" if path.endswith(".json") else "; a type is named as module:Type"
        raise InputError(f"--schema {path}: {(exc.strerror or str(exc)).lower()}{hint}") from None
    except (ValueError, RecursionError):
        raise InputError(f"--schema {path}: is not JSON") from None
    if not isinstance(schema, dict):
        raise InputError(f"--schema {path}: a JSON Schema is an object")
    return cast("dict[str, Any]", schema)


def _imported(module: str, name: str) -> Any:
    if not name:
        raise InputError(f"--schema {module}:: a type is named as module:Type")
    here = os.getcwd()
    if here not in sys.path:  # the command's own path begins where it is installed
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as exc:  # a user's module may raise anything
        raise InputError(f"--schema {module}:{name}: {type(exc).__name__}: {exc}") from None
    return found
