"""Which entries of an input are taken, and in which order: all as they stand, a sample of them, or shuffled.

Each entry has a rank, a hash of the seed and its id. A sample of N are the N of the lowest ranks, and shuffled is by
rank. So the same seed takes the same rows whatever stands around them, and a larger sample has the smaller one in it.
"""

import json
import sqlite3
import weakref
from collections.abc import Iterator
from functools import partial
from hashlib import blake2b
from heapq import heappush, heappushpop

import attrs

from ...actors.stream import StreamRequest, check_number
from .entry import Entry
from .formats import InputError

__all__ = ["Order", "SampledNumbers", "Shuffled"]

_RANK_BYTES = 8


def _at_least_one(_: object, __: object, sample: int | None) -> None:
    if sample is not None:
        check_number("sample is at least 1, or None", sample, least=1, whole=True)


@attrs.frozen(kw_only=True)
class Order:
    """Which entries are taken."""

    sample: int | None = attrs.field(default=None, validator=_at_least_one)
    """How many; None for all."""
    shuffle: bool = False
    seed: int = 0

    @property
    def is_given(self) -> bool:
        """Whether it is another than all as they stand."""
        return self.sample is not None or self.shuffle

    def rank(self, entry_id: str) -> int:
        """Where an entry stands in this seed's order."""
        return int.from_bytes(blake2b(f"{self.seed}\0{entry_id}".encode(), digest_size=_RANK_BYTES).digest()) >> 1


class SampledNumbers:
    """The numbers of the `size` entries with the lowest ranks so far."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[int, int]] = []  # the highest rank first, both negated

    def add(self, rank: int, number: int) -> None:
        """Takes one more entry."""
        if len(self._heap) < self._size:
            heappush(self._heap, (-rank, -number))
        else:
            heappushpop(self._heap, (-rank, -number))

    def numbers(self) -> frozenset[int]:
        """Which entries are in the sample."""
        return frozenset(-number for _, number in self._heap)


class Shuffled:
    """Entries by their ranks, kept in a temporary database on disk: a file can't be read in any order. It blocks, and
    raises `InputError` when the disk is full."""

    def __init__(self, name: str, size: int | None) -> None:
        self._name = name
        self._size = -1 if size is None else size  # SQLite's word for all
        self._requests: dict[int, StreamRequest] = {}  # those that a program gave are in memory anyway
        # One thread at a time uses it, but not always the same.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)  # it lasts as long as the input that it belongs to
        self._db.execute("CREATE TABLE entry (rank INTEGER, number INTEGER, at TEXT, default_id TEXT, value TEXT)")
        self._db.execute("BEGIN")

    def add(self, rank: int, entry: Entry, value: object) -> None:
        """Takes one more entry."""
        if isinstance(value, StreamRequest):
            self._requests[entry.number] = value
            value = None
        row = (rank, entry.number, entry.where, entry.default_id, json.dumps([value, entry.is_row]))
        try:
            self._db.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.Error as exc:
            raise InputError(f"{self._name}: can't be shuffled: {exc}") from None

    def entries(self) -> Iterator[Entry]:
        """All entries, each with its place in the new order as its number."""
        query = "SELECT number, at, default_id, value FROM entry ORDER BY rank, number LIMIT ?"
        for place, (number, where, default_id, text) in enumerate(self._db.execute(query, (self._size,)), 1):
            value, is_row = json.loads(text)
            value = self._requests.get(number, value)
            yield Entry(where, place, default_id, partial(_itself, value), is_row)

    def where(self, place: int) -> str:
        """Where the entry stands in its input that has this place in the new order."""
        found = self._db.execute("SELECT at FROM entry ORDER BY rank, number LIMIT 1 OFFSET ?", (place - 1,)).fetchone()
        return self._name if found is None else found[0]


def _itself(value: object) -> object:
    return value
