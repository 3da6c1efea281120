"""Prompts from templates: Jinja2, strict, so that a column that is not there is an error and never an empty place.

Of what Jinja prints by itself two things are otherwise: a missing value (None) gives no text, and objects and arrays
give JSON. A template sees the row's columns by their names, and all of them as `row`, for names with spaces in them. It
runs in Jinja's sandbox, and may include files that lie beside it.
"""

import json
import os
from collections.abc import Mapping
from difflib import get_close_matches
from types import TracebackType
from typing import Any

from ...actors.stream import check_path
from .formats import InputError, WholeFileError, text_in

__all__ = ["Template"]

_NO_KEY = "'dict object' has no attribute '"
_INLINE = "template"  # what a template is called that is no file


class Template:
    """A template for prompts. Made from its text, or by `read`."""

    def __init__(self, text: str, *, name: str = _INLINE, folder: str | None = None) -> None:
        # Imported here, since most runs have no template.
        from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self.name = name
        """What errors call it: its path, or `template`."""
        self.text = text
        """As it was given."""
        loader = None if folder is None else FileSystemLoader(folder)
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, loader=loader, finalize=_printed)
        try:
            code = environment.compile(text, name=name, filename=name)
            self._template = environment.template_class.from_code(environment, code, environment.make_globals(None))
        except TemplateSyntaxError as exc:
            raise InputError(f"{name}:{exc.lineno}: not a Jinja template: {exc.message}") from None
        except TemplateError as exc:
            raise InputError(f"{name}: not a Jinja template: {exc}") from None
        self._error = TemplateError

    @classmethod
    def of(cls, given: str | os.PathLike[str] | None) -> "Template | None":
        """A template from its text, or from the file at a path, if one is given. Raises `InputError`, and `ValueError`
        for a text that is the same for all rows."""
        if given is None:
            return None
        if not isinstance(given, str):
            check_path("template", given, "a text in Jinja, or the Path of a file")
            return cls.read(given)
        if _is_constant(given):  # most likely it is the name of a file
            raise ValueError(f"the template {given[:40]!r} has no {{{{ column }}}} in it; the path of a file is a Path")
        return cls(given)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Template":
        """Reads a template from a file, in UTF-8. Raises `InputError`."""
        name = os.fspath(path)
        text = text_in(path, name)
        if text.strip() and _is_constant(text):
            raise InputError(f"{name}: has no {{{{ column }}}} in it, so that all rows would get the same prompt")
        return cls(text, name=name, folder=os.path.dirname(name) or ".")

    def render(self, where: str, row: Mapping[str, Any]) -> str:
        """The prompt of a row. Raises `InputError`, with the line of the template."""
        from jinja2 import TemplateNotFound, UndefinedError

        try:
            return self._template.render({"row": row, **row})
        except UndefinedError as exc:
            raise _undefined(f"{where}: {self._place(exc)}", exc, row) from None
        except TemplateNotFound as exc:
            raise InputError(f"{where}: {self._place(exc)}: no file {exc.name!r} beside it") from None
        except self._error as exc:
            raise InputError(f"{where}: {self._place(exc)}: {exc.message or type(exc).__name__}") from None
        except Exception as exc:
            raise InputError(f"{where}: {self._place(exc)}: {type(exc).__name__}: {exc}") from None

    def _place(self, exc: BaseException) -> str:
        """The template's name with the line where this happened: in it, or in one that it includes."""
        found = self.name
        traceback: TracebackType | None = exc.__traceback__
        while traceback is not None:
            # Jinja puts a frame with the template's name and line in place of that of its code.
            if "__jinja_exception__" in traceback.tb_frame.f_globals:
                found = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
            traceback = traceback.tb_next
        return found


def _is_constant(text: str) -> bool:
    """Whether a text gives the same for all rows, such as one with Python's `{column}` in it."""
    return "{{" not in text and "{%" not in text


def _printed(value: object) -> object:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple) else value


def _undefined(where: str, exc: Exception, row: Mapping[str, Any]) -> InputError:
    """Jinja's `'name' is undefined`, in the words of who has a table."""
    said = str(exc)
    name = said.removeprefix("'").removesuffix("' is undefined")
    if said.startswith(_NO_KEY) and (key := said.removeprefix(_NO_KEY).removesuffix("'")) not in row:
        name, said = key, f"'{key}' is undefined"  # row.name
    if said != f"'{name}' is undefined":
        return InputError(f"{where}: {said}")
    near = get_close_matches(name, row, 1)
    there = ", ".join(repr(column) for column in list(row)[:10]) + (" …" if len(row) > 10 else "")
    hint = f"did you mean {near[0]!r}?" if near else f"there are {there}" if row else "there are none"
    return WholeFileError(f"{where}: no column {name!r}; {hint}")
