"""The parameters of the API that the command line gives all requests: --model, --max-tokens, --system and --param."""

import json
from collections.abc import Sequence
from typing import Any

from ...actors.stream import StreamRequest
from ...actors.wire import refuse_constant
from ..input import InputError
from ..input.checks import check_params
from ..input.formats import text_in

__all__ = ["parameters_of"]

_OPTIONS = {"model": "--model", "max_tokens": "--max-tokens", "system": "--system"}
_NOT_FOR_ALL = {"messages": "the prompts are the input's", "stream": "a run streams every answer"}


def parameters_of(
    *, model: str | None, max_tokens: int | None, system: str | None, more: Sequence[str]
) -> dict[str, Any]:
    """The parameters by their names. `more` has NAME=VALUE, of which the value is JSON, or else a text.

    Raises `InputError` for a name that the API does not have, one that is given twice, and a value of the wrong kind.
    """
    given: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "system": _system(system)}
    found = {name: value for name, value in given.items() if value is not None}
    for text in more:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"--param {text!r} is not NAME=VALUE, such as temperature=0.2")
        if name in _NOT_FOR_ALL:
            raise InputError(f"--param {name}: can't be given for all requests: {_NOT_FOR_ALL[name]}")
        if name in found:
            twice = f"and {_OPTIONS[name]} are both given" if name in _OPTIONS else "stands twice"
            raise InputError(f"--param {name} {twice}: give it once")
        found[name] = _value(name, value)
        _check(name, found[name])
    return found


def _system(text: str | None) -> str | None:
    """The system prompt: the text, or the file behind an @. Two of them stand for one as it is."""
    if text is None or not text.startswith("@"):
        return text
    if text.startswith("@@"):
        return text[1:]
    name = f"--system {text}"
    said = text_in(text[1:], name)
    if not said.strip():
        raise InputError(f"{name}: is empty")
    return said.removesuffix("\n").removesuffix("\r")


def _value(name: str, text: str) -> object:
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except ValueError as exc:
        if text[:1] in ("{", "[", '"'):
            raise InputError(f"--param {name}: not JSON: {exc}") from None
        return text
    except RecursionError:
        raise InputError(f"--param {name}: nested too deeply") from None


def _check(name: str, value: object) -> None:
    where = f"--param {name}"
    try:
        request = StreamRequest({"messages": [{"role": "user", "content": "-"}], name: value})  # pyright: ignore[reportArgumentType]
        check_params(where, request, needs_model=False)
    except (TypeError, ValueError) as exc:
        said = str(exc)
        raise InputError(said if said.startswith(where) else f"{where}: {said}") from None
