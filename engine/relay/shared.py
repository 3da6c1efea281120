"""Streams that several processes share: those that run here are written to a store, a window at a time, and those that
run elsewhere are read from it into copies, so that all else is the same code.

One task writes, for all streams in one round trip, and one reads. A process whose lease ran out has lost its streams:
who finds them claims them one by one, and ends them or goes on with them (`takeover`). A process that only stood still
finds its writes refused: it cancels what it runs, and its tabs are moved to the copy of what the other one writes.
"""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from ...actors.channel import Audience, Copy, Cursor, EventLog, Recording, written
from ...actors.stream import Fold, StreamResult
from .interrupted import interruption, never_begun, parts_of
from .relayed import Relayed
from .stores import Head, Row, Store, StoreFailed

__all__ = ["SharedStreams"]

_log = logging.getLogger("manystream.relay")
_T = TypeVar("_T")
_WINDOW = 0.15  # seconds of events in an entry
_RENEWAL = 0.5  # seconds between two writes when there is nothing to write; and to find orphans in time
_POLL = 0.05  # seconds between two looks at what others have written
_LOOK = 0.01  # seconds between two looks at what threads are at
_UNREAD = 30.0  # seconds for which a copy that no tab reads is kept up


class _Writing:
    """A stream that is written here."""

    def __init__(self, stream: Relayed, cursor: Cursor, epoch: int, copy: Copy | None = None) -> None:
        self.stream = stream
        self.copy = copy
        """What its tabs read, if they are told only what was written."""
        self.cursor = cursor
        self.epoch = epoch
        self.rows: list[Row] = []
        """What is still to be appended."""
        self.begun = True
        """Whether more than the ending is written, and the store is sure to have the stream."""

    def take(self) -> list[Row]:
        """All that is to be appended by now."""
        entry = written(self.cursor)
        if entry is not None:
            self.rows.append(Row(self.stream.id, self.epoch, entry))
        return self.rows


class SharedStreams:
    """A hub's streams in a store. `owner` names this process.

    `go_on(head, stream)` continues an orphan and returns where its events are to be written from; None when that can't
    be. `told(stream, result)` is called for an orphan that was ended here.
    """

    def __init__(
        self,
        store: Store,
        owner: str,
        clock: Callable[[], float],
        *,
        lease: float,
        retention: float,
        logged: bool,
        go_on: Callable[[Head, Relayed], Cursor | None],
        told: Callable[[Relayed, StreamResult], None],
    ) -> None:
        self._store = store
        self._owner = owner
        self._clock = clock
        self._lease = lease
        self._retention = retention
        self._logged = logged
        self._go_on = go_on
        self._told = told
        self._writing: dict[str, _Writing] = {}
        self._reading: dict[str, tuple[Relayed, Copy]] = {}
        self._to_read = anyio.Event()
        self._written_at = -_RENEWAL
        self._failing = False
        self._told_unreadable = False
        self._claimed: dict[str, Head] = {}
        """Orphans that are ours by now, and could not be read yet."""
        self._left = False
        self._creating: set[str] = set()  # what threads are at, also when nobody waits for them any more
        self._starting: set[str] = set()  # of which nobody has said yet whether they are begun
        self._thread = anyio.CapacityLimiter(2)  # one writes, one reads
        self._creators = anyio.CapacityLimiter(math.inf)

    async def _do(self, work: Callable[..., _T], *arguments: Any) -> _T:
        return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=self._thread)

    # -- streams

    async def create(self, stream_id: str, key: str | None, run_id: str, request: str | None) -> None:
        """A stream that is to run here. Raises `StoreFailed`. When it raises or is cancelled, the store may have the
        stream all the same: then `discard` it."""
        if self._left:
            raise StoreFailed("the hub has left its store")
        head = Head(stream_id, key, run_id, 1, request=request)

        def work() -> None:
            try:
                self._store.create(head, self._owner, self._lease)
            finally:
                self._creating.discard(stream_id)

        async with self._thread:
            self._starting.add(stream_id)
            self._creating.add(stream_id)  # asyncio's own cancellation leaves the thread at its work
            await anyio.to_thread.run_sync(work, limiter=self._creators)

    def discard(self, stream: Relayed) -> None:
        """Ends a stream that is not begun after all, if the store has it: else browsers would wait for it."""
        self._writing[stream.id] = one = _Writing(stream, never_begun(stream.recording.first.stream_id), stream.epoch)
        one.begun = False
        self._starting.discard(stream.id)

    def write(self, stream: Relayed) -> None:
        """Writes a stream that was created, from its beginning."""
        cursor, copy = stream.recording.after(0), None
        if self._logged:
            stream.recording = _empty()
            copy = Copy(stream.recording.first)
        self._writing[stream.id] = _Writing(stream, cursor, stream.epoch, copy)
        self._starting.discard(stream.id)

    async def look(self, name: str) -> Head | None:
        """What the store knows of the stream of an id, or the latest of a key. Raises `StoreFailed`."""
        return await self._do(self._store.look, name)

    async def copy(self, head: Head) -> Relayed:
        """A copy of a stream that runs elsewhere, with all that was written by now; it is kept up from now on."""
        stream = Relayed(head.id, head.key, _empty(), self._clock, run_id=head.run_id)
        self._copy(stream)
        await self._catch_up([head.id])
        return stream

    def _copy(self, stream: Relayed) -> None:
        recording = _empty()
        stream.recording = recording
        self._reading[stream.id] = stream, Copy(recording.first)
        self._to_read.set()

    async def stop(self, name: str, reason: str) -> bool:
        """Asks the processes that run a stream, or those of a key, to stop them. Returns whether there are any. Raises
        `StoreFailed`."""
        return await self._do(self._store.stop, name, reason)

    # -- writing

    async def run_writer(self) -> None:
        """Writes what comes, and takes over what others left."""
        while not self._left:
            try:
                await self._write()
            except Exception:
                _log.exception("writing relayed streams failed, and is tried again")
            await anyio.sleep(_WINDOW)

    async def _write(self) -> None:
        rows = [row for name, one in list(self._writing.items()) if name not in self._creating for row in one.take()]
        now = self._clock()
        if self._left or (not rows and now - self._written_at < _RENEWAL):
            return
        reading = [stream.id for stream, _ in self._reading.values() if stream.tabs]
        try:
            done = await self._do(self._store.write, self._owner, self._lease, rows, reading, self._retention)
        except StoreFailed as exc:
            if not self._failing:
                _log.warning("the store of relayed streams can't be reached, and is tried again: %s", exc)
            self._failing = True
            return
        self._failing, self._written_at = False, now
        for row in rows:
            if row.id not in done.lost:
                self._appended(row)
        for name in done.lost:
            self._fenced(name)
        for name, reason in done.stops.items():
            if (one := self._writing.get(name)) is not None:
                one.stream.stop(reason)
        for name in done.watched:
            if (one := self._writing.get(name)) is not None and not one.stream.tabs:
                one.stream.alone_since = now
        for head in [*self._claimed.values(), *done.orphans]:
            await self._take_over(head)

    def _appended(self, row: Row) -> None:
        one = self._writing.get(row.id)
        if one is None or row not in one.rows:
            return  # it was written twice, which appends it once
        one.rows.remove(row)
        if row.entry.ends:
            del self._writing[row.id]
        if one.copy is not None:
            ending = one.copy.load(row.entry)
            audience = one.stream.recording.audience
            audience.notify() if ending is None else audience.end()

    def _fenced(self, name: str) -> None:
        """Another process has taken the stream over while this one stood still."""
        one = self._writing.pop(name, None)
        if one is None or not one.begun:
            return
        _log.warning("a stream was taken over by another process: this one had not renewed its lease in time")
        stream = one.stream
        handle, stream.handle, stream.fenced, stream.is_copy = stream.handle, None, True, True
        if handle is not None:
            handle.cancel("another process has taken the stream over")
        stream.ended_at = None
        self._copy(stream)
        for tab in tuple(stream.tabs):
            tab.begin_anew(stream.recording, stream.epoch + 1)

    # -- reading

    async def run_reader(self) -> None:
        """Keeps the copies up."""
        while not self._left:
            if not self._reading:
                self._to_read = anyio.Event()
                await self._to_read.wait()
            try:
                await self._catch_up(list(self._reading))
            except StoreFailed:
                await anyio.sleep(_RENEWAL)  # the writer tells of it
            except Exception:
                _log.exception("reading relayed streams failed, and is tried again")
            await anyio.sleep(_POLL)

    async def _catch_up(self, names: list[str]) -> None:
        wants = {name: self._reading[name][1].last.seq for name in names if name in self._reading}
        if not wants:
            return
        now = self._clock()
        for row in await self._do(self._store.read, wants):
            if row.id in self._reading:
                self._load(row)
        for name in names:
            if name in self._reading:
                stream, _ = self._reading[name]
                if stream.alone_since is not None and now - stream.alone_since > _UNREAD:
                    del self._reading[name]
                    stream.unread = True

    def _load(self, row: Row) -> None:
        stream, copy = self._reading[row.id]
        if row.entry.first_seq != copy.last.seq + 1:
            return  # another look has loaded it
        if row.epoch > stream.epoch:
            stream.taken_over(row.epoch, copy.last.seq)
        try:
            ending = copy.load(row.entry)
        except ValueError:
            self._give_up(stream)
            return
        if ending is None:
            stream.recording.audience.notify()
            return
        stream.recording.audience.end()
        stream.ended()
        del self._reading[row.id]

    def _give_up(self, stream: Relayed) -> None:
        """What was written of the stream can't be read: that is no fault of the other streams, and they go on."""
        del self._reading[stream.id]
        stream.unread = stream.unreadable = True
        for tab in tuple(stream.tabs):
            tab.part()
        if not self._told_unreadable:
            self._told_unreadable = True
            _log.warning(
                "a stream in the store can't be read here: another version of manystream wrote it, or something else"
                " did; this is told once"
            )

    # -- taking over

    async def _take_over(self, head: Head) -> None:
        """Claims an orphan, unless another process is first, and ends it or goes on with it."""
        claimed = self._claimed.pop(head.id, None) is not None
        try:
            claimed = claimed or await self._do(self._store.claim, head, self._owner)
            if not claimed:
                return
            reading = self._reading.get(head.id)
            stream = reading[0] if reading is not None else await self.copy(head)
            if reading is not None:
                await self._catch_up([head.id])  # the last words of the dead
            seq = stream.recording.seq
            if stream.unreadable:
                seq = max((row.entry.seq for row in await self._do(self._store.read, {head.id: 0})), default=0)
        except StoreFailed:
            if claimed:
                self._claimed[head.id] = head  # no other process takes it while this one lives
            return
        fold = Fold()
        try:
            fold = parts_of(stream.recording)
        except ValueError:
            stream.unreadable = True
        cursor = None if stream.unreadable else self._go_on(head, stream)
        result: StreamResult | None = None
        if cursor is None:
            cursor, result = interruption(seq, fold)
        self._writing[head.id] = _Writing(stream, cursor, head.epoch + 1)
        # Without its id, which opens it.
        _log.warning(
            "the process of a relayed stream is gone; the stream is %s here", "ended" if result else "continued"
        )
        if result is not None:
            self._told(stream, result)

    # -- leaving

    async def leave(self, patience: float) -> None:
        """Writes what is left, gives up the lease, and writes no more: what still runs here may be taken over."""
        if self._left:
            return
        with anyio.move_on_after(patience):
            while self._creating or self._starting:  # noqa: ASYNC110 - threads are at it; who asked for it discards it
                await anyio.sleep(_LOOK)
            while any(one.take() for one in self._writing.values()):
                self._written_at = -_RENEWAL
                await self._write()
                if self._failing:
                    await anyio.sleep(_WINDOW)
        self._left = True
        for one in self._writing.values():
            one.stream.fenced = True
        with suppress(StoreFailed):
            await self._do(self._store.release, self._owner)
        await self._do(self._store.close)


def _empty() -> Recording:
    return Recording(EventLog(""), Audience(lambda _: None))  # the events say which stream it is
