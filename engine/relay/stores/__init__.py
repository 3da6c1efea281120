"""Where several processes share the streams of a hub: as values, and on SQLite or Redis."""

from .contract import Head, Row, Store, StoreFailed, Written
from .given import store_of
from .sqlite import SQLiteStore

__all__ = ["Head", "Row", "SQLiteStore", "Store", "StoreFailed", "Written", "store_of"]
