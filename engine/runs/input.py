"""What a run is asked: requests from a file, all checked before any is sent, or from a pipe, checked as they come.

Three forms are read. JSON Lines of Message Batches requests, `{"custom_id": …, "params": {…}}`; in the same place the
shorthand `{"prompt": …}`, whose id is made from the line's number unless it has one; or one Message Batches body,
`{"requests": [{"custom_id": …, "params": {…}}, …]}`, as the whole file, which is held in memory. Empty lines are passed
over.
"""

import json
import os
import re
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Callable, Container, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import partial
from typing import IO, Any, NoReturn, cast

import anyio
import attrs
from anyio import to_thread

from ...actors.stream import StreamRequest

__all__ = ["InputError", "Invalid", "RequestFile", "RequestPipe", "read_requests"]

_CUSTOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BODY = re.compile(rb'\s*\{\s*"requests"\s*:')
_HEAD_BYTES = 4096
_BOM = b"\xef\xbb\xbf"
_TOLD = 10  # of what is wrong and passed over


class InputError(ValueError):
    """The input can't be run. The message is one line: which file, where in it, and what is wrong."""


@attrs.define
class Invalid:
    """Requests that were passed over because something is wrong with them."""

    count: int = 0
    told: list[str] = attrs.Factory(list[str])
    """What is wrong with the first ten, a line each."""

    def add(self, error: InputError) -> None:
        """One more."""
        self.count += 1
        if self.count <= _TOLD:
            self.told.append(str(error))

    def lines(self) -> list[str]:
        """What was passed over, for people."""
        more = [f"and {self.count - len(self.told):,} more"] if self.count > len(self.told) else []
        return [f"passed over: {line}" for line in self.told + more]


@attrs.frozen
class RequestFile:
    """Requests that have been checked. Iterating reads the file anew and holds one request at a time."""

    path: str | None
    """Where the file is; None for standard input."""
    count: int
    """How many requests there are."""
    model_name: str | None
    """The model that the first request names."""
    invalid: Invalid
    """What was passed over."""
    _open: Callable[[], IO[bytes]] = attrs.field(repr=False)
    _skipped: Container[int] = attrs.field(repr=False)

    @property
    def name(self) -> str:
        """The file's path, or `stdin`."""
        return "stdin" if self.path is None else self.path

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[StreamRequest]:
        """The requests in their order. Raises `InputError` when the file has changed and is wrong now."""
        return (request for _, request in self.numbered())

    def numbered(self) -> Iterator[tuple[int, StreamRequest]]:
        """The requests with their places: the number of the line, or of the request in a Batches body. Raises as
        iterating does."""
        with _opened(self.name, self._open) as file:
            for raw in _raw_entries(self.name, file):
                if raw.number not in self._skipped:
                    yield raw.number, _request(raw)

    def where(self, number: int) -> str:
        """A place as errors name it."""
        with _opened(self.name, self._open) as file:
            return f"{self.name}: requests[{number - 1}]" if _is_body(file) else f"{self.name}:{number}"


def read_requests(
    path: str | os.PathLike[str], *, needs_model: bool = False, skip_invalid: bool = False
) -> "RequestFile | RequestPipe":
    """Reads and checks all requests of a file; `-` is standard input. What can't be read twice, as a pipe, is given as
    it is: it is read and checked when it is iterated.

    With `needs_model` each request has to name its model. Raises `InputError` for the first thing that is wrong, a file
    without requests included; with `skip_invalid` the requests with which something is wrong are passed over. Blocks;
    of a correct file it imports `anthropic`, to know the API's parameters.
    """
    name = where_it_is = os.fspath(path)
    open_again: Callable[[], IO[bytes]] = partial(open, name, "rb")
    if name == "-":
        name, where_it_is, open_again = "stdin", None, _open_stdin
    with _opened(name, open_again) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return RequestPipe(name, os.dup(file.fileno()), needs_model=needs_model, skip_invalid=skip_invalid)
    model_name: str | None = None
    count = 0
    invalid, skipped = Invalid(), set[int]()
    with _opened(name, open_again) as file, _Places() as places:
        for raw in _raw_entries(name, file):
            try:
                request = _request(raw)
                places.add(raw, cast(str, request.custom_id))
                _check_params(raw.where, request, needs_model=needs_model)
            except InputError as exc:
                if not skip_invalid:
                    raise
                invalid.add(exc)
                skipped.add(raw.number)
                continue
            count += 1
            if model_name is None:
                model_name = request.params.get("model")
    if not count:
        raise InputError(f"{name}: there are no requests in it" + (" that are valid" if invalid.count else ""))
    return RequestFile(where_it_is, count, model_name, invalid, open_again, skipped)


class RequestPipe(AsyncIterator[tuple[int, StreamRequest]]):
    """Requests that come one after the other, with their places, and are checked as they come. Iterated once.

    Raises `InputError` for the first with which something is wrong, unless these are passed over.
    """

    path = None
    model_name = None

    def __init__(self, name: str, descriptor: int, *, needs_model: bool, skip_invalid: bool) -> None:
        self.name = name
        self.invalid = Invalid()
        """What was passed over."""
        self._descriptor = descriptor
        self._needs_model = needs_model
        self._skip_invalid = skip_invalid
        self._entries: Iterator[_Raw] | None = None  # of a Batches body
        self._data = b""
        self._number = 0
        self._ended = False
        self._any = False

    def where(self, number: int) -> str:
        """A place as errors name it."""
        return f"{self.name}:{number}" if self._entries is None else f"{self.name}: requests[{number - 1}]"

    async def __anext__(self) -> tuple[int, StreamRequest]:
        while True:
            raw = await self._next()
            if raw is None:
                if not self._any and not self.invalid.count:
                    raise InputError(f"{self.name}: there are no requests in it")
                raise StopAsyncIteration
            try:
                request = _request(raw)
                _check_params(raw.where, request, needs_model=self._needs_model)
            except InputError as exc:
                if not self._skip_invalid:
                    raise
                self.invalid.add(exc)
                continue
            self._any = True
            return raw.number, request

    async def _next(self) -> "_Raw | None":
        if self._entries is not None:
            return next(self._entries, None)
        while True:
            line, end, rest = self._data.partition(b"\n")
            if not end and not self._ended:
                if data := await self._read():
                    self._data += data
                else:
                    self._ended = True
                continue
            if not self._number and _BODY.match(self._data.removeprefix(_BOM)):
                while data := await self._read():
                    self._data += data
                self._entries = _body_entries(self.name, _json(self.name, 1, self._data.removeprefix(_BOM)))
                return next(self._entries, None)
            if not end and not line:
                return None
            self._data = rest
            self._number += 1
            if line.strip():
                return _line_entry(self.name, self._number, line)

    async def _read(self) -> bytes:
        try:
            if sys.platform == "win32":
                return await to_thread.run_sync(os.read, self._descriptor, 65536, abandon_on_cancel=True)
            with suppress(PermissionError):  # of a device that is always ready
                await anyio.wait_readable(self._descriptor)
            return os.read(self._descriptor, 65536)
        except OSError as exc:
            raise InputError(f"{self.name}: {(exc.strerror or str(exc)).lower()}") from exc

    def close(self) -> None:
        """Lets go of the pipe."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _Places:
    """Which id was used where; on disk, since there may be more than memory holds."""

    def __enter__(self) -> "_Places":
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("CREATE TABLE place (custom_id TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID")
        self._db.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, raw: "_Raw", custom_id: str) -> None:
        """Raises `InputError` when the id was used before."""
        try:
            self._db.execute("INSERT INTO place VALUES (?, ?)", (custom_id, raw.place))
        except sqlite3.IntegrityError:
            (place,) = self._db.execute("SELECT place FROM place WHERE custom_id = ?", (custom_id,)).fetchone()
            raise InputError(f"{raw.where}: custom_id {custom_id!r} was used before, in {place}") from None
        except sqlite3.Error as exc:  # its file is where temporary files are
            raise InputError(f"{raw.where}: the ids can't be compared: {exc}") from exc


def _open_stdin() -> IO[bytes]:
    file = open(os.dup(sys.stdin.fileno()), "rb")  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.seek(0)
    return file


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
class _Raw:
    """What is to be a request."""

    where: str
    """File and place, as errors name them."""
    place: str
    """The place alone."""
    number: int
    default_id: str
    read: Callable[[], object]
    """The JSON value. Raises `InputError` when it isn't one."""


def _is_body(file: IO[bytes]) -> bool:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    return _BODY.match(head.removeprefix(_BOM)) is not None


def _raw_entries(name: str, file: IO[bytes]) -> Iterator[_Raw]:
    if _is_body(file):
        yield from _body_entries(name, _json(name, 1, file.read().removeprefix(_BOM)))
        return
    for number, line in enumerate(file, 1):
        if line.strip():
            yield _line_entry(name, number, line)


def _line_entry(name: str, number: int, line: bytes) -> _Raw:
    if number == 1:
        line = line.removeprefix(_BOM)
    return _Raw(
        f"{name}:{number}", f"line {number}", number, f"line-{number}", lambda: _json(name, number, line.rstrip())
    )


def _body_entries(name: str, body: Any) -> Iterator[_Raw]:
    requests = body["requests"]
    if not isinstance(requests, list):
        raise InputError(f"{name}: requests is an array, not {_kind(requests)}")
    for number, value in enumerate(cast("list[object]", requests)):
        place = f"requests[{number}]"
        yield _Raw(f"{name}: {place}", place, number + 1, f"request-{number}", partial(_itself, value))


def _itself(value: object) -> object:
    return value


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


def _request(entry: _Raw) -> StreamRequest:
    """The request that an entry is. Raises `InputError` when it is none."""
    where = entry.where
    fields = _object(where, entry.read(), "a request")
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
    from ..api.model import AnthropicModel  # here, so that a mistake above is told before `anthropic` is imported

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
