"""Writes what happens in a run to its journal and its results.

It is collected until `flush`, which writes all of it in such an order that a kill at any moment loses no answer and
writes none twice. A line is written first, and noted in the journal with the next flush: `resume` adopts lines that the
journal doesn't know. Lines that have to wait for their turn are noted with their text before they are written.
"""

import threading
from collections import deque
from collections.abc import Sequence

import attrs

from ...actors.stream import StreamResult
from .journal import Begun, Ended, Held, Journal
from .output import OutputError, ResultFile
from .replaced import put_back

__all__ = ["Answer", "Writer"]

_DUE = 500  # how many lines whose turn has come are written at a time


@attrs.frozen
class Answer:
    """A result, its line, and its row in the journal."""

    result: StreamResult
    ended: Ended
    line: bytes = attrs.field(repr=False)


class Writer:
    """Writes answers to `output` and `journal`, with `ordered` in the order of the input.

    `begin`, `note`, `flush` and `close` block. They may be called from any thread, and again after an interruption.
    """

    def __init__(self, output: ResultFile, journal: Journal, *, ordered: bool) -> None:
        self._output = output
        self._journal = journal
        self._ordered = ordered
        self._lock = threading.Lock()
        self._answers: deque[Answer] = deque()
        self._used: dict[str, Begun] = {}
        self._noted: list[Ended] = []  # written and not yet noted
        self._written: list[str] = []  # ids of lines that were held and are written now
        self.safe: deque[Answer] = deque()
        """Answers that are on disk, for the run to give."""

    @property
    def waiting(self) -> int:
        """How many answers wait for the next flush."""
        return len(self._answers)

    def used(self, begun: Begun) -> None:
        """Notes how much a request has used that runs, or has ended without an answer."""
        self._used[begun.custom_id] = begun

    def add(self, answer: Answer) -> None:
        """Adds the answer of a request."""
        self._used.pop(answer.ended.custom_id, None)
        self._answers.append(answer)

    def note(self) -> None:
        """Notes in the journal what was used and written so far; the results are left alone. Raises `OutputError` when
        that fails; whatever comes next tries it again."""
        with self._lock:
            self._note()

    def flush(self) -> None:
        """Writes what was collected. Raises `OutputError` when that fails; what could be written is in `safe`, and the
        next flush begins with the rest."""
        with self._lock:
            if self._ordered:
                self._flush_in_order()
            else:
                self._flush_as_they_come()
            self._output.check_there()

    def _flush_as_they_come(self) -> None:
        failure: OutputError | None = None
        try:
            self._note()
        except OutputError as exc:
            failure = exc  # the answers matter more than their rows in the journal
        answers = self._take()
        before = self._output.written
        for answer in answers:
            self._output.add(answer.line)
        try:
            self._output.flush()
        finally:
            count = self._output.written - before
            self._noted += [answer.ended for answer in answers[:count]]
            self.safe.extend(answers[:count])
            self._give_back(answers[count:])
        if failure is not None:
            raise failure

    def _flush_in_order(self) -> None:
        answers = self._take()
        if not (answers or self._used or self._written):
            return
        held = [Held(answer.ended.custom_id, answer.line) for answer in answers]
        try:
            self._commit([answer.ended for answer in answers], held)
        except BaseException:
            self._give_back(answers)
            raise
        self.safe.extend(answers)
        self._write_due()

    def _take(self) -> list[Answer]:
        answers: list[Answer] = []
        while self._answers:  # more may be added meanwhile
            answers.append(self._answers.popleft())
        return answers

    def _give_back(self, answers: list[Answer]) -> None:
        self._answers.extendleft(reversed(answers))

    def _note(self) -> None:
        if self._used or self._noted or self._written:
            self._commit(self._noted)
            self._noted = []

    def _commit(self, ended: list[Ended], held: Sequence[Held] = ()) -> None:
        used, self._used = self._used, {}
        try:
            self._journal.commit(used.values(), ended, held, self._written)
        except BaseException:
            for custom_id, begun in used.items():
                self._used.setdefault(custom_id, begun)  # what was noted meanwhile is more
            raise
        self._written = []

    def _write_due(self) -> None:
        if self._written:
            self._journal.commit((), (), (), self._written)
            self._written = []
        while due := self._journal.due(_DUE, ordered=self._ordered):
            before = self._output.written
            for held in due:
                self._output.add(held.line)
            try:
                self._output.flush()
            finally:
                self._written += [held.custom_id for held in due[: self._output.written - before]]
            self._journal.commit((), (), (), self._written)
            self._written = []

    def begin(self) -> None:
        """Writes the held lines of an earlier session whose turn has come: all of them, where there are no turns."""
        with self._lock:
            self._write_due()

    def close(self, how: str) -> None:
        """Writes the rest, and notes how the session ended. Raises `OutputError`."""
        try:
            self.flush()
        finally:
            with self._lock:
                for answer in self._answers:  # they stay unwritten, and have cost something all the same
                    ended, billed = answer.ended, answer.result.billed
                    self._used[ended.custom_id] = Begun(ended.custom_id, ended.submitted or 0.0, billed, ended.dollars)
                self._note()
                try:
                    put_back(self._journal)
                    self._write_due()
                    self._output.sync()
                finally:
                    self._journal.end_session(how)
