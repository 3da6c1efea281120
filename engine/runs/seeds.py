"""The seed of a sample, kept in the run's journal: a run that goes on takes the same rows."""

import os
import sqlite3
from contextlib import suppress
from secrets import randbelow

from ..input.formats import InputError
from ..input.order import Order
from .journal_rows import journal_path
from .reading import BusyError, read_journal

__all__ = ["settled_order"]

_SEEDS = 2**31
_SEED = "SELECT value FROM meta WHERE key = 'seed'"


def settled_order(
    output: str | os.PathLike[str], *, sample: int | None, shuffle: bool, seed: int | None, overwrite: bool
) -> Order:
    """The order of a run's input: with the seed that was given, or that its journal has, or a new one.

    Raises `InputError` for another seed than the journal's, and `ValueError` for a seed that nothing needs. Blocks.
    """
    if sample is None and not shuffle:
        if seed is not None:
            raise ValueError("a seed goes with a sample, or with shuffle")
        return Order()
    known = None if overwrite else _known(os.fspath(output))
    if seed is not None and known is not None and seed != known:
        raise InputError(
            f"{os.fspath(output)}: was begun with the seed {known}, not {seed}: leave the seed out to go on, or name"
            " another output"
        )
    chosen = seed if seed is not None else known
    return Order(sample=sample, shuffle=shuffle, seed=randbelow(_SEEDS) if chosen is None else chosen)


def _known(output: str) -> int | None:
    path = journal_path(output)
    if output == "-" or not os.path.exists(path):
        return None
    with suppress(sqlite3.Error, BusyError, OSError):  # what is wrong with it is told when the run opens it
        row = read_journal(path, lambda journal: journal.execute(_SEED).fetchone())
        return None if row is None else int(row[0])
    return None
