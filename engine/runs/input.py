"""What a run is asked: requests read from a file and checked, all of them, before any is sent.

Three forms are read. JSON Lines of Message Batches requests, `{"custom_id": …, "params": {…}}`; in the same place the
shorthand `{"prompt": …}`, whose id is made from the line's number unless it has one; or one Message Batches body,
`{"requests": [{"custom_id": …, "params": {…}}, …]}`, as the whole file. Empty lines are passed over.
"""

import io
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from typing import IO, Any, NoReturn, cast

import attrs

from ...actors.request import StreamRequest

__all__ = ["InputError", "RequestFile", "read_requests"]

_CUSTOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BODY = re.compile(rb'\s*\{\s*"requests"\s*:')
_HEAD_BYTES = 4096
_BOM = b"\xef\xbb\xbf"


class InputError(ValueError):
    """The input can't be run. The message is one line: which file, where in it, and what is wrong."""


@attrs.frozen
class RequestFile:
    """Requests that have been checked. Iterating reads the file anew and holds one request at a time."""

    path: str | None
    """Where the file is; None for standard input."""
    count: int
    """How many requests there are."""
    model_name: str | None
    """The model that the first request names."""
    _open: Callable[[], IO[bytes]] = attrs.field(repr=False)

    @property
    def name(self) -> str:
        """The file's path, or `stdin`."""
        return "stdin" if self.path is None else self.path

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[StreamRequest]:
        """The requests in their order. Raises `InputError` when the file has changed and is wrong now."""
        with _opened(self.name, self._open) as file:
            for entry in _entries(self.name, file):
                yield _request(entry)


def read_requests(path: str | os.PathLike[str], *, needs_model: bool = False) -> RequestFile:
    """Reads and checks all requests of a file; `-` is standard input, which is held in memory, as is what can't be read
    twice.

    With `needs_model` each request has to name its model. Raises `InputError` for the first thing that is wrong, a file
    without requests included. Blocks; of a correct file it imports `anthropic`, to know the API's parameters.
    """
    name = where_it_is = os.fspath(path)
    open_again: Callable[[], IO[bytes]] = partial(open, name, "rb")
    if name == "-":
        name, where_it_is, open_again = "stdin", None, partial(io.BytesIO, sys.stdin.buffer.read())
    else:
        with _opened(name, open_again) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                open_again = partial(io.BytesIO, file.read())
    places: dict[str, str] = {}
    model_name: str | None = None
    with _opened(name, open_again) as file:
        for entry in _entries(name, file):
            request = _request(entry)
            custom_id = cast(str, request.custom_id)
            if custom_id in places:
                raise InputError(f"{entry.where}: custom_id {custom_id!r} was used before, in {places[custom_id]}")
            places[custom_id] = entry.place
            _check_params(entry.where, request, needs_model=needs_model)
            if model_name is None:
                model_name = request.params.get("model")
    if not places:
        raise InputError(f"{name}: there are no requests in it")
    return RequestFile(where_it_is, len(places), model_name, open_again)


@contextmanager
def _opened(name: str, open_file: Callable[[], IO[bytes]]) -> Generator[IO[bytes]]:
    """A file that is closed again; what can't be opened or read is an `InputError`."""
    try:
        with open_file() as file:
            yield file
    except OSError as exc:
        raise InputError(f"{name}: {(exc.strerror or str(exc)).lower()}") from exc


# -- from bytes to JSON values and their places


@attrs.frozen
class _Entry:
    """A JSON value that is to be a request."""

    where: str
    """File and place, as errors name them."""
    place: str
    """The place alone."""
    default_id: str
    value: object


def _entries(name: str, file: IO[bytes]) -> Iterator[_Entry]:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if _BODY.match(head.removeprefix(_BOM)):
        yield from _body_entries(name, _json(name, 1, file.read().removeprefix(_BOM)))
        return
    for number, line in enumerate(file, 1):
        if number == 1:
            line = line.removeprefix(_BOM)
        if line.strip():
            value = _json(name, number, line.rstrip())
            yield _Entry(f"{name}:{number}", f"line {number}", f"line-{number}", value)


def _body_entries(name: str, body: Any) -> Iterator[_Entry]:
    requests = body["requests"]
    if not isinstance(requests, list):
        raise InputError(f"{name}: requests is an array, not {_kind(requests)}")
    for number, value in enumerate(cast("list[object]", requests)):
        place = f"requests[{number}]"
        yield _Entry(f"{name}: {place}", place, f"request-{number}", value)


def _json(name: str, first_line: int, data: bytes) -> object:
    where = f"{name}:{first_line}"
    try:
        return json.loads(data.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as exc:
        raise InputError(f"{where}: not UTF-8: {exc.reason} at byte {exc.start + 1}") from None
    except json.JSONDecodeError as exc:
        where = f"{name}:{first_line + exc.lineno - 1}"
        raise InputError(f"{where}: not JSON: {exc.msg} at column {exc.colno}") from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None
    except ValueError as exc:
        raise InputError(f"{where}: not JSON: {exc}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it has no {name}")


# -- from JSON values to requests


def _request(entry: _Entry) -> StreamRequest:
    """The request that an entry is. Raises `InputError` when it is none."""
    where = entry.where
    fields = _object(where, entry.value, "a request")
    known = ("custom_id", "prompt" if "prompt" in fields and "params" not in fields else "params")
    for name in fields:
        if name not in known:
            near = get_close_matches(name, ("custom_id", "params", "prompt"), 1)
            hint = f"did you mean {near[0]!r}?" if near else "a request has custom_id and params, or prompt"
            if name == "prompt":
                hint = "a request has params or prompt, not both"
            raise InputError(f"{where}: unknown key {name!r}; {hint}")
    custom_id = fields.get("custom_id")
    if "prompt" in fields:
        prompt = fields["prompt"]
        if not isinstance(prompt, str) or not prompt:
            raise InputError(f"{where}: prompt is a text, not {_kind(prompt)}")
        params: Mapping[str, Any] = {"messages": [{"role": "user", "content": prompt}]}
        custom_id = fields.get("custom_id", entry.default_id)
    else:
        for name in ("params", "custom_id"):
            if name not in fields:
                raise InputError(f"{where}: {name} is missing")
        params = _object(where, fields["params"], "params")
    if not isinstance(custom_id, str):
        raise InputError(f"{where}: custom_id is a text, not {_kind(custom_id)}")
    if not _CUSTOM_ID.fullmatch(custom_id):
        raise InputError(f"{where}: custom_id {_short(custom_id)} is not 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
    try:
        return StreamRequest(params, custom_id=custom_id)
    except TypeError as exc:
        raise InputError(f"{where}: params: {exc}") from None


def _check_params(where: str, request: StreamRequest, *, needs_model: bool) -> None:
    """What can be said of the parameters before the API does."""
    params = request.params
    messages: object = params["messages"]
    if not isinstance(messages, list) or not messages:
        kind = _kind(cast(object, messages))
        raise InputError(f"{where}: params.messages is an array of at least one message, not {kind}")
    for number, message in enumerate(cast("list[object]", messages)):
        place = f"params.messages[{number}]"
        fields = _object(where, message, place)
        for name in ("role", "content"):
            if name not in fields:
                raise InputError(f"{where}: {place}.{name} is missing")
    if "model" in params and (not isinstance(params["model"], str) or not params["model"]):
        raise InputError(f"{where}: params.model is a model's name, not {_kind(params['model'])}")
    if needs_model and "model" not in params:
        raise InputError(f"{where}: no model: name one in params, or give --model")
    tokens = params.get("max_tokens", 1)
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        raise InputError(f"{where}: params.max_tokens is a number of tokens, not {_short(tokens)}")
    from ..model import AnthropicModel  # here, so that a mistake above is told before `anthropic` is imported

    try:
        AnthropicModel("any").params_for(request)
    except TypeError as exc:
        # Requests of a file have no extra_body to put newer parameters into.
        raise InputError(f"{where}: params: {exc}".removesuffix("; newer ones go into extra_body")) from None


def _object(where: str, value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: {what} is an object, not {_kind(value)}")
    return cast("dict[str, Any]", value)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a text" if value else "an empty text"
        case list():
            return "an array" if value else "an empty array"
        case dict():
            return "an object"
        case _:
            return "a number"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
