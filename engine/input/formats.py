"""What kind of file the input is, by its first bytes: compressed or not, lines or one document, or no requests at all.

| the file                                  | what happens                                             |
|-------------------------------------------|----------------------------------------------------------|
| JSON objects, one a line                  | read line by line                                        |
| CSV or TSV with a header                  | read line by line                                        |
| a Message Batches body, a JSON array      | read as a whole                                          |
| Parquet                                   | read a thousand rows at a time                           |
| gzip or Zstandard around one of these     | decompressed as it is read                               |
| UTF-16, an archive, prose and so on       | refused, in words that say what it is and what to do     |
"""

import csv
import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, cast

__all__ = [
    "HEAD_BYTES",
    "Form",
    "InputError",
    "Unpacking",
    "WholeFileError",
    "check_head",
    "delimiter_of",
    "form_of",
    "is_undecided",
    "opened",
    "separator_in",
    "text_in",
    "unpacking_of",
    "without_bom",
]

HEAD_BYTES = 4096
"""How much of a file is looked at."""

Form = Literal["lines", "body", "array", "delimited", "parquet"]

_BOM = b"\xef\xbb\xbf"
_BODY = re.compile(rb'\s*\{\s*"requests"\s*:')
_ARRAY = re.compile(rb"\s*\[")
_UNDECIDED = re.compile(rb'\s*(\{\s*("[a-z]*"?\s*)?)?')
_SPREAD = re.compile(rb'\{\s*\n\s*"')
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PARQUET = b"PAR1"
_MARK_BYTES = 4
_DELIMITERS = (",", "\t", ";")
_NAME = re.compile(r"[^\x00-\x1f{}<>]{0,200}")
_SEPARATOR = re.compile(rb"sep=([\t!#-~])\r?\n?", re.IGNORECASE)
_BY_COLUMNS = re.compile(rb'\{"[^"\n]*":\s*\{"0":')
_CR_LINES = re.compile(rb"[^\r\n]+\r+[^\r\n]")
_TABLE = re.compile(r"\.(csv|tsv|tab)(\.(gz|zst))?$", re.IGNORECASE)
_TSV = re.compile(r"\.(tsv|tab)(\.(gz|zst))?$", re.IGNORECASE)
_ENCODINGS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
# Without a mark: every other byte of Western text is zero, at the beginning anyway.
_UNMARKED = ((re.compile(rb"([^\x00]\x00){2}"), "UTF-16LE"), (re.compile(rb"(\x00[^\x00]){2}"), "UTF-16BE"))
_OTHERS = (
    (b"PK\x03\x04", "a zip archive, as .xlsx files are too", "unpack it, or save its rows as CSV"),
    (b"BZh", "compressed with bzip2", "unpack it with bunzip2, or use gzip"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it with unxz, or use gzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"ARROW1", "an Arrow file", "write its rows as Parquet or as JSON Lines"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch that: git lfs pull"),
    (b"%PDF", "a PDF", "write requests, one JSON object a line"),
    (b"SQLite format 3\x00", "an SQLite database, as a run's journal is", "name the file of requests"),
)
_EXAMPLE = '{"custom_id": "a", "prompt": "…"}'


class InputError(ValueError):
    """The input can't be run. The message is one line: which file, where in it, and what is wrong."""


class WholeFileError(InputError):
    """What is wrong with the entry is most likely wrong with all of its file."""


def without_bom(data: bytes) -> bytes:
    """The text without the mark that some editors put before it."""
    return data.removeprefix(_BOM)


def text_in(path: str | os.PathLike[str], name: str) -> str:
    """All of a small file in UTF-8, which errors call `name`. Raises `InputError`."""
    try:
        return without_bom(Path(path).read_bytes()).decode()
    except OSError as exc:
        raise InputError(f"{name}: {(exc.strerror or str(exc)).lower()}") from None
    except UnicodeDecodeError as exc:
        raise InputError(f"{name}: not UTF-8: {exc.reason} at byte {exc.start + 1}") from None


def form_of(name: str, head: bytes) -> Form:
    """What a file that begins so holds. Its name only counts for a table of one column, which looks like prose."""
    if head.startswith(_PARQUET):
        return "parquet"
    head = without_bom(head)
    if _BODY.match(head):
        return "body"
    if _ARRAY.match(head):
        return "array"
    return "lines" if _header(name, head) is None else "delimited"


def separator_in(line: bytes) -> str | None:
    """The delimiter that a first line `sep=;` names, as spreadsheets write and read it; None for any other line."""
    found = _SEPARATOR.fullmatch(line)
    return None if found is None else found[1].decode(errors="replace")


def delimiter_of(name: str, head: bytes) -> str:
    """What stands between the fields of a table that begins so: what its first line says, or the most frequent in its
    header of what may."""
    if (said := separator_in(without_bom(head).partition(b"\n")[0])) is not None:
        return said
    line = _header(name, without_bom(head)) or ""
    counts = [len(_split(line, delimiter)) for delimiter in _DELIMITERS]
    if max(counts) == 1 and _TSV.search(name):
        return "\t"
    return _DELIMITERS[counts.index(max(counts))]


def _header(name: str, head: bytes) -> str | None:
    """The first line, if a file that begins so is a table with a header. One that names the delimiter stands for it."""
    line = head.lstrip(b"\r\n").partition(b"\n")[0].rstrip(b"\r").decode(errors="replace")
    if not line.strip() or line.lstrip().startswith(("{", "<")) or not line.replace("\t", "").isprintable():
        return None
    if _TABLE.search(name) or line.strip() == "prompt" or separator_in(line.encode()) is not None:
        return line
    if _is_json(line):
        return None
    for delimiter in _DELIMITERS:
        names = _split(line, delimiter)
        if len(names) > 1 and all(_NAME.fullmatch(one.strip()) for one in names):
            return line
    return None


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), list[str]())
    except csv.Error:
        return []


def is_undecided(head: bytes) -> bool:
    """Whether more has to be read before it is known what a file holds that begins so."""
    if len(head) >= HEAD_BYTES or head.startswith(_PARQUET):
        return False
    text = without_bom(head).lstrip()
    if text[:1] not in (b"{", b"["):
        return b"\n" not in text  # a header has to be there as a whole
    return _UNDECIDED.fullmatch(text) is not None


def check_head(name: str, head: bytes) -> None:
    """Raises `InputError` for a file that begins as no file of requests does."""
    if (encoding := _encoding(head)) is not None:
        raise InputError(f"{name}: is {encoding}, not UTF-8: {_by_iconv(name, encoding)}")
    for mark, what, to_do in _OTHERS:
        if head.startswith(mark):
            raise InputError(f"{name}: is {what}; {to_do}")
    form = form_of(name, head)
    if form in ("lines", "delimited") and b"\n" not in head and _CR_LINES.match(without_bom(head)):
        raise InputError(
            f"{name}: its lines end in carriage returns alone, as on old Macs; save it with line feeds, or:"
            f" tr '\\r' '\\n' < {name} > lines{_ending(name)}"
        )
    if form != "lines":
        return
    text = without_bom(head).lstrip()
    if _BY_COLUMNS.match(text):
        raise InputError(
            f'{name}: is a table by its columns, as pandas writes JSON; write its rows: to_json(orient="records",'
            " lines=True)"
        )
    if _SPREAD.match(text):
        raise InputError(f"{name}: an object goes over several lines; it has to be on one: jq -c . {name} > out.jsonl")
    line = text.partition(b"\n")[0].rstrip().decode(errors="replace")
    if line and not line.startswith("{") and not _is_json(line):
        raise InputError(f"{name}: {_what_text(line)}")


def _encoding(head: bytes) -> str | None:
    """What a file is encoded in that begins so, if that is plainly not UTF-8."""
    for mark, encoding in _ENCODINGS:
        if head.startswith(mark):
            return encoding
    return next((encoding for begin, encoding in _UNMARKED if begin.match(head)), None)


def _by_iconv(name: str, encoding: str) -> str:
    """What makes UTF-8 of an input."""
    command = f"iconv -f {encoding} -t UTF-8"
    return f"send it through {command}" if name == "stdin" else f"{command} {name} > utf8{_ending(name)}"


def _ending(name: str) -> str:
    found = _TABLE.search(name)
    return f".{found[1].lower()}" if found is not None else ".jsonl"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _what_text(line: str) -> str:
    """What a file is whose first line is no JSON, and what to do."""
    if not line.replace("\t", "").isprintable():
        return f"is binary; requests are one JSON object a line, such as {_EXAMPLE}"
    if line.startswith("<"):
        return f"is XML or HTML; requests are one JSON object a line, such as {_EXAMPLE}"
    start = line if len(line) <= 40 else f"{line[:37]}..."
    return (
        f"begins with {start!r}, which is no JSON; requests are one JSON object a line, such as {_EXAMPLE}, or the rows"
        " of a table whose first line names the columns (call it .csv or .tsv)"
    )


# -- compressed input


class Unpacking:
    """Undoes a compression piece by piece. Files may be made of several compressed ones, one behind the other."""

    def __init__(self, make: Callable[[], Any], errors: tuple[type[Exception], ...]) -> None:
        self._make = make
        self._errors = errors
        self._current: Any = None

    def feed(self, data: bytes) -> bytes:
        """What the next piece adds. Raises `EOFError` when it is damaged."""
        parts: list[bytes] = []
        while data:
            if self._current is None:
                self._current = self._make()
            try:
                parts.append(self._current.decompress(data))
            except self._errors as exc:
                raise EOFError(str(exc)) from None
            data = b""
            if self._current.eof:
                data, self._current = self._current.unused_data, None
        return b"".join(parts)

    def end(self) -> None:
        """Notes that no more comes. Raises `EOFError` when it has to."""
        if self._current is not None:
            raise EOFError("it is cut off")


def unpacking_of(name: str, head: bytes) -> Unpacking | None:
    """How to undo the compression of a file that begins so, if it has one. Raises `InputError` without the package that
    undoes it."""
    if head.startswith(_GZIP):
        return Unpacking(lambda: zlib.decompressobj(wbits=31), (zlib.error,))
    if head.startswith(_ZSTD):
        zstd = _zstd(name)
        return Unpacking(zstd.ZstdDecompressor, (zstd.ZstdError,))
    return None


@contextmanager
def opened(name: str, open_file: Callable[[], IO[bytes]]) -> Generator[IO[bytes]]:
    """A file, decompressed, and closed at the end of the block. Raises `InputError` when it can't be opened or read."""
    damaged: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
    try:
        with open_file() as raw:
            head = raw.read(_MARK_BYTES)
            raw.seek(0)
            if head.startswith(_GZIP):
                with gzip.GzipFile(fileobj=raw) as file:
                    yield cast("IO[bytes]", file)
            elif head.startswith(_ZSTD):
                zstd = _zstd(name)
                damaged = (*damaged, zstd.ZstdError)
                with zstd.ZstdFile(raw) as file:
                    yield file
            else:
                yield raw
    except damaged:
        raise InputError(f"{name}: its compressed data is damaged or cut off") from None
    except OSError as exc:
        raise InputError(f"{name}: {(exc.strerror or str(exc)).lower()}") from exc


def _zstd(name: str) -> Any:
    """The module that knows Zstandard: Python's own from 3.14 on."""
    for module in _zstd_modules():
        return module
    raise InputError(f"{name}: reading Zstandard needs another package: pip install 'manystream[zstd]'")


def _zstd_modules() -> Iterator[Any]:
    from importlib import import_module

    for name in ("compression.zstd", "backports.zstd"):
        try:
            yield import_module(name)
        except ImportError:
            continue
