"""`--schema`: what each answer is to be, from a file with a JSON Schema or from a type in a Python module."""

import json
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from ...actors import OutputSpec
from ..input import InputError
from ..output import typed_output

__all__ = ["read_schema"]

_TRIES_AGAIN = 1


def read_schema(given: str) -> OutputSpec[Any]:
    """What `FILE.json` or `module:Type` stands for; an answer that does not fit is asked for once more.

    Raises `InputError` for what can't be read, for what is no type, and for a schema that the API does not take.
    """
    path, _, name = given.rpartition(":")
    wanted = _imported(path, name) if path and not os.path.exists(given) else _read(given)
    try:
        spec = OutputSpec[Any](wanted, retry_invalid=_TRIES_AGAIN)
        typed_output(spec)
    except (TypeError, ValueError) as exc:
        raise InputError(f"--schema {given}: {exc}") from None
    return spec


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
    here = os.getcwd()
    if here not in sys.path:  # the command's own path begins where it is installed
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as exc:  # a user's module may raise anything
        raise InputError(f"--schema {module}:{name}: {type(exc).__name__}: {exc}") from None
    return found
